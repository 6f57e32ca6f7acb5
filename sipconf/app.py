"""Builds the house from a configuration, starts it and stops it in order.

The rooms are quiet; this is where they get their clock, their chance, their sockets and their worker process.
"""

import asyncio
import gc
import logging
import random
import resource
import secrets
import signal
import ssl
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvloop

from sipconf import log as logs
from sipconf.clock import SYSTEM_CLOCK
from sipconf.conference.directory import ConferenceSpec, Directory, IncomingNumberSpec, UserSpec
from sipconf.conference.service import ConferenceService, ConferenceSettings
from sipconf.config import Config, is_example_secret, is_loopback, load
from sipconf.errors import StartError
from sipconf.media.supervisor import MediaSupervisor, WorkerSettings
from sipconf.metrics import Metrics
from sipconf.reload import Change, Reloader
from sipconf.sip.agent import UserAgent
from sipconf.sip.digest import Authenticator
from sipconf.sip.edge.addresses import Addresses
from sipconf.sip.edge.endpoint import Endpoint
from sipconf.sip.edge.resolver import resolve_trunks
from sipconf.sip.events import CallEvent
from sipconf.sip.offer import Capabilities, Format
from sipconf.sip.registrar import Registrar, RegistrarSettings
from sipconf.sip.settings import AgentSettings
from sipconf.sip.trunk import Trunks, TrunkSpec
from sipconf.store import Store
from sipconf.switchboard import Settings, Switchboard
from sipconf.web.app import WebServer, build_app
from sipconf.web.events import EventFeed

log = logging.getLogger(__name__)

FAREWELL = 2.0
"""Seconds that SIGTERM leaves for telephones to answer our BYE."""
TRUNK_REFRESH = 60.0
FILES_WANTED = 65536

CAPABILITIES = Capabilities(formats=(
    Format("PCMU", 8000, 0), Format("PCMA", 8000, 8),
    Format("L16", 48000, 96), Format("L16", 16000, 97), Format("L16", 8000, 98),
))


class House:
    """The running server. Implements the web side's Operations."""

    def __init__(self, config: Config, path: Path) -> None:
        self._loop = asyncio.get_running_loop()
        self._clock = SYSTEM_CLOCK
        self._rng = random.SystemRandom()
        self._config = config
        self._healthy = False
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: list[asyncio.Task[Any]] = []
        self._own_password = secrets.token_urlsafe(12)
        self.events = EventFeed(first_id=int(time.time() * 1000))
        self.metrics = Metrics()
        self._store = Store(config.store.path)
        self._addresses = Addresses(config.sip.advertise, config.sip.local_networks)
        authenticator = Authenticator(config.sip.domain, self._password_of, config.sip.digest, self._rng)
        self._trunks = Trunks([TrunkSpec(each.name, frozenset(each.addresses), each.peer) for each in config.trunks])
        registrar = Registrar(self._store.bindings, RegistrarSettings(), self._rng)
        settings = AgentSettings(config.sip.domain, "sipconf", self._addresses.contact_for)
        self._agent = UserAgent(settings, authenticator, self._trunks, registrar, self._rng)
        self._conferences = ConferenceService(directory_of(config), ConferenceSettings(), self._rng,
                                              self._store.lockouts, self._wall_time)
        first, last = config.rtp.port_range
        sounds = str(config.prompts.directory) if config.prompts.directory else None
        self._media = MediaSupervisor(
            WorkerSettings(first, last, sounds, config.rtp.silence_timeout), self._hear_media)
        self._switchboard = Switchboard(
            self._agent, registrar, self._conferences, self._media,
            Settings(config.sip.domain, CAPABILITIES, self._addresses.host_for,
                     frozenset(each.name for each in config.trunks if each.peer), config.limits.max_calls), self._rng)
        self._endpoint = Endpoint(self._agent, config.sip.listen, self._hear_sip, self._clock, in_use=registrar.uses)
        self._web = WebServer(build_app(self), web_listeners(config))
        self._reloader = Reloader(path, self._use, current=config, on_result=self._reloaded)

    # --- start and stop ----------------------------------------------------------------------------------------------
    async def start(self) -> None:
        """Bind everything and start the media worker. Raises StartError."""
        raise_file_limit()
        await asyncio.gather(self._media.start(), self._endpoint.start(), self._web.start())
        await resolve_trunks(self._trunks, self._config.trunks)
        self._tasks = [self._loop.create_task(self._reloader.watch(), name="watch the configuration"),
                       self._loop.create_task(self._keep_trunks_resolved(), name="resolve trunks")]
        gc.collect()
        gc.freeze()
        self._healthy = True

    async def stop(self) -> None:
        """Say BYE to everyone, give their answers a moment, close everything."""
        self._healthy = False
        for task in self._tasks:
            task.cancel()
        now = self._clock.monotonic()
        self._switchboard.hang_up_all("the server is stopping", now)
        self._pump(now)
        deadline = self._loop.time() + FAREWELL
        while self._agent.calls and self._loop.time() < deadline:
            await asyncio.sleep(0.02)
        await asyncio.gather(self._web.stop(), self._endpoint.stop(), self._media.stop())
        self._store.close()

    def print_welcome(self) -> None:
        """Where to dial and browse, in a few lines."""
        config = self._config
        print("sipconf is ready.")
        for url in config.sip.listen:
            print(f"  telephones register and dial at  {url}")
        print(f"  HTTP (API, health, metrics)      http://{config.http.listen}/")
        for room in config.conferences:
            code = " with an access code" if room.access_code else ""
            print(f"  dial {room.extension:<6} {room.name}{code}")
        if config.http.admin_password is None:
            print(f"  admin password for this run      {self._own_password}")
        for holder in config.example_secret_holders():
            print(f"  warning: {holder} has the example's password; it works from this machine only")

    # --- events of the floors below ----------------------------------------------------------------------------------
    def _hear_sip(self, events: Sequence[CallEvent], now: float) -> None:
        self._switchboard.receive_sip(events, now)
        self._pump(now)

    def _hear_media(self) -> None:
        now = self._clock.monotonic()
        self._switchboard.receive_media(self._media.take_events(), now)
        self._pump(now)

    def _pump(self, now: float) -> None:
        """Send what the agent has to say, publish what happened, set the alarm for the next timer."""
        self._endpoint.pump(now)
        for publish in self._switchboard.take_outputs():
            self.events.publish(publish.event, publish.data)
        due = self._switchboard.next_timer()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due is not None:
            self._timer = self._loop.call_later(max(0.0, due - now), self._ring_alarm)

    def _ring_alarm(self) -> None:
        now = self._clock.monotonic()
        self._switchboard.handle_timer(now)
        self._pump(now)

    def _password_of(self, extension: str, source: str) -> str | None:
        user = self._users.get(extension)
        if user is None or (is_example_secret(user.password) and not is_loopback(source)):
            return None
        return user.password

    def _wall_time(self, now: float) -> float:
        return self._clock.wall() + now - self._clock.monotonic()

    async def _keep_trunks_resolved(self) -> None:
        while True:
            await asyncio.sleep(TRUNK_REFRESH)
            await resolve_trunks(self._trunks, self._config.trunks)

    # --- configuration -----------------------------------------------------------------------------------------------
    @property
    def _config(self) -> Config:
        return self.__config

    @_config.setter
    def _config(self, config: Config) -> None:
        self.__config = config
        self._users = {user.extension: user for user in config.users}

    def _use(self, config: Config) -> None:
        """Take an edited configuration. Running calls are not touched."""
        self._config = config
        logs.setup(config.log.level, config.log.format)
        now = self._clock.monotonic()
        self._trunks.replace([TrunkSpec(each.name, frozenset(each.addresses), each.peer) for each in config.trunks])
        self._loop.create_task(resolve_trunks(self._trunks, config.trunks))
        self._switchboard.set_peers(frozenset(each.name for each in config.trunks if each.peer))
        self._conferences.replace_directory(directory_of(config), now)
        self._switchboard.carry_out(now)
        self._pump(now)

    def _reloaded(self, result: str, changes: Sequence[Change], error: Exception | None) -> None:
        self.metrics.reload(result)
        if result == "applied":
            self.events.publish("applied", {"changes": [change.as_dict() for change in changes]})
        elif error is not None:
            self.events.publish("configuration-broken", {"errors": str(error).splitlines()})

    def reload(self) -> None:
        """SIGHUP: read the file again."""
        self._reloader.reload("SIGHUP")

    # --- what the web side may ask (web.api.Operations) --------------------------------------------------------------
    def healthy(self) -> bool:
        return self._healthy

    def metrics_page(self) -> bytes:
        lines = list(self._switchboard.lines)
        self.metrics.set_calls(len(lines))
        self.metrics.set_participants(sum(room["participants"] for room in self._conferences.conferences()))
        return self.metrics.page()

    def count_http(self, status: int) -> None:
        self.metrics.http_request(status)

    def config(self) -> Config:
        return self._config

    def admin_password(self) -> str:
        return self._config.http.admin_password or self._own_password

    def conferences(self) -> list[dict[str, Any]]:
        return self._conferences.conferences()

    def participants(self, extension: str) -> list[dict[str, Any]]:
        return self._conferences.participants(extension)

    def lock(self, extension: str, locked: bool) -> None:
        self._console(self._conferences.lock, extension, locked)

    def mute(self, extension: str, participant: str, muted: bool) -> None:
        self._console(self._conferences.mute, extension, participant, muted)

    def kick(self, extension: str, participant: str) -> None:
        self._console(self._conferences.kick, extension, participant)

    def apply(self) -> Sequence[Change]:
        return self._reloader.apply()

    def _console(self, action: Any, *arguments: Any) -> None:
        now = self._clock.monotonic()
        action(*arguments, now)
        self._switchboard.carry_out(now)
        self._pump(now)


def directory_of(config: Config) -> Directory:
    """Who can be dialled, as the conference floor knows it."""
    return Directory(
        users=[UserSpec(user.extension, user.name) for user in config.users],
        conferences=[ConferenceSpec(
            room.name, room.extension, room.access_code, room.administrator, room.administrator_code,
            room.wait_for_administrator, room.when_administrator_leaves, room.max_participants, room.tones,
            room.announce_alone) for room in config.conferences],
        incoming_numbers=[IncomingNumberSpec(each.number, each.conference) for each in config.incoming_numbers],
    )


def web_listeners(config: Config) -> list[tuple[str, ssl.SSLContext | None]]:
    """The addresses of the HTTP server with their TLS contexts. Raises StartError for a certificate that is none."""
    listeners: list[tuple[str, ssl.SSLContext | None]] = [(config.http.listen, None)]
    if config.http.tls_listen is not None and config.tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(config.tls.certificate, config.tls.key)
        except (OSError, ssl.SSLError) as error:
            raise StartError(f"[tls] {config.tls.certificate}: {error}; a certificate chain and its key in PEM are "
                             "needed") from error
        listeners.append((config.http.tls_listen, context))
    return listeners


def raise_file_limit() -> None:
    """Every call takes two sockets of the worker, which inherits this limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_WANTED if hard == resource.RLIM_INFINITY else min(FILES_WANTED, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _run(path: Path, config: Config) -> None:
    house = House(config, path)
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    loop.add_signal_handler(signal.SIGHUP, house.reload)
    try:
        await house.start()
        house.print_welcome()
        await ended.wait()
    finally:
        await house.stop()


def serve(path: Path) -> None:
    """Run the server on this configuration until SIGTERM. Raises ConfigError or StartError before it has started."""
    config = load(path)
    logs.setup(config.log.level, config.log.format)
    uvloop.run(_run(path, config))
