"""Builds the house from a configuration, starts it and stops it in order.

The rooms are quiet; this is where they get their clock, their chance, their sockets and their worker process. Not
here: what the web side may ask (operations), which figures are counted (meters), the words at the start (welcome).
"""

import asyncio
import contextlib
import gc
import logging
import random
import secrets
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop

from sipconf import log as logs
from sipconf.capacity import raise_file_limit, room_for_calls, worker_settings, workers_of
from sipconf.clock import SYSTEM_CLOCK
from sipconf.conference.service import ConferenceService, ConferenceSettings
from sipconf.config import Config, load
from sipconf.dial_plan import directory_of, password_from, peers_of, trunks_of
from sipconf.listeners import keeper_of, stream_limits, visitor_limits, web_listeners, websocket_carriers
from sipconf.media import workers
from sipconf.media.handshakes import Handshakes
from sipconf.meters import MeteredAgent, Meters
from sipconf.operations import ServerOperations, VisitorCalls
from sipconf.reload import Change, Reloader
from sipconf.repertoire import capabilities_of
from sipconf.signalling import Signalling
from sipconf.sip.agent import UserAgent
from sipconf.sip.digest import Authenticator
from sipconf.sip.edge.addresses import Addresses
from sipconf.sip.edge.endpoint import Endpoint
from sipconf.sip.edge.resolver import Resolver, resolve_trunks
from sipconf.sip.events import CallEvent, RegistrationChanged
from sipconf.sip.flow import Flow
from sipconf.sip.registrar import Registrar, RegistrarSettings
from sipconf.sip.settings import AgentSettings
from sipconf.sip.trunk import Trunks
from sipconf.store import Store
from sipconf.switchboard import Settings, Switchboard
from sipconf.watchdog import Watchdog
from sipconf.web.app import WebServer, build_app
from sipconf.web.events import EventFeed
from sipconf.web.visitors import Visitors
from sipconf.web_calls import WebCalls
from sipconf.welcome import welcome

if TYPE_CHECKING:
    from sipconf.rtp.edge.dtls import DtlsCertificate

log = logging.getLogger(__name__)

FAREWELL = 1.6
"""Seconds that SIGTERM leaves for telephones to answer our BYE, sent three times by then (RFC 3261 timer E)."""
MEDIA_PATIENCE = 5.0
"""Seconds without a word from a media worker, which reports each second, until the server is no longer healthy."""
SOMEWHERE = Flow("udp", ("192.0.2.1", 9), ("0.0.0.0", 0))
"""A peer that does not exist, to ask which of our addresses the world would see (RFC 5737)."""
TRUNK_REFRESH = 60.0
TRUNK_PATIENCE = 0.3
"""Seconds that the start waits for the trunks' names; a slower name server must not keep others from calling."""


class House:
    """The running server: every room, and the wires between them."""

    def __init__(self, config: Config, path: Path, program: str = "sipconf") -> None:
        """program: how the command is typed here, for the words at the start."""
        self._loop = asyncio.get_running_loop()
        self._clock = SYSTEM_CLOCK
        self._rng = random.SystemRandom()
        self._path, self._program = path, program
        self._config = config
        self._open = False
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: list[asyncio.Task[Any]] = []
        self._resolving: asyncio.Task[None] | None = None
        self._own_password = secrets.token_urlsafe(12)
        self._events = EventFeed(first_id=int(time.time() * 1000))
        self._certificate = keeper_of(config)
        self._watchdog = Watchdog()
        self._resolver = Resolver()
        self._store = Store(config.store.path)
        self._build_signalling(config)
        self._media = Handshakes(partial(workers.processes, worker_settings(config), workers_of(config)),
                                 lambda *terms: self._dtls.handshake(*terms), self._hear_media, self._loop)
        self._web_calls = WebCalls()
        self._visitors = Visitors(VisitorCalls(self._web_calls, self._conferences, self._act), visitor_limits(config))
        self._switchboard = Switchboard(
            Signalling(self._agent, self._web_calls), self._registrar, self._conferences, self._media,
            Settings(config.sip.domain, capabilities_of(config), self._addresses.host_for, peers_of(config),
                     config.limits.max_calls, self._addresses.candidates_for,
                     fingerprint=lambda: self._dtls.fingerprint(),
                     encrypted=config.sip.encryption == "required"), self._rng)
        self._meters = self._build_meters()
        self._endpoint = Endpoint(MeteredAgent(self._agent, self._meters.metrics), config.sip.listen, self._hear_sip,
                                  self._clock, in_use=self._registrar.uses, limits=stream_limits(config),
                                  tls=None if self._certificate is None else self._certificate.context)
        self._reloader = Reloader(path, self._use, current=config, on_result=self._reloaded)
        self._web = WebServer(build_app(ServerOperations(
            self._reloader, self._conferences, self._meters, self._events,
            act=self._act, healthy=self.healthy, own_password=self._own_password),
            carriers=websocket_carriers(self._endpoint), visitors=self._visitors),
            web_listeners(config, self._certificate))

    def _build_signalling(self, config: Config) -> None:
        """The quiet rooms that know who somebody is and what may be dialled."""
        self._addresses = Addresses(config.sip.advertise, config.sip.local_networks)
        self._trunks = Trunks(trunks_of(config))
        self._registrar = Registrar(self._store.bindings, RegistrarSettings(), self._rng)
        self._registrar.keep_only(self._users, self._clock.monotonic())
        authenticator = Authenticator(config.sip.domain, self._password_of, config.sip.digest, self._rng)
        settings = AgentSettings(config.sip.domain, "sipconf", self._addresses.contact_for,
                                 drop_unknown=config.sip.drop_unknown,
                                 session_expires=config.sip.session_expires)
        self._agent = UserAgent(settings, authenticator, self._trunks, self._registrar, self._rng,
                                lambda trunk, dialled: self._switchboard.serves_trunk(trunk, dialled))
        self._conferences = ConferenceService(directory_of(config), ConferenceSettings(), self._rng,
                                              self._store.lockouts, self._wall_time)

    def _build_meters(self) -> Meters:
        """Figures that are read from the rooms whenever somebody looks."""
        tls = {} if self._certificate is None else {"tls_certificate_seconds_left": self._certificate.seconds_left}
        connections = {f"connections_{name}_now": lambda name=name: self._endpoint.connections_by_transport()[name]
                       for name in ("tcp", "tls", "ws", "wss")}
        return Meters(
            gauges=tls | connections | {
                "connections_now": lambda: float(self._endpoint.connections),
                "calls_now": lambda: len(self._switchboard.lines),
                "visitors_now": lambda: len(self._visitors),
                "participants_now": lambda: sum(room["participants"] for room in self._conferences.conferences()),
                "bindings_now": self._count_telephones,
                "dialogs_now": lambda: self._agent.calls,
                "transactions_now": lambda: self._agent.transactions,
                "tasks_now": lambda: len(asyncio.all_tasks()),
                "healthy": lambda: float(self.healthy()),
            },
            totals={
                "media_restarts": lambda: self._media.restarts,
                "dtls_handshakes": lambda: self._media.completed,
                "dtls_failures": lambda: self._media.failed,
                "dtls_dropped": lambda: self._media.dropped,
                "store_failures": lambda: self._store.failures,
                "loop_stalls": lambda: self._watchdog.stalls,
                "loop_stalled_seconds": lambda: self._watchdog.stalled,
                "sip_dropped": lambda: self._agent.dropped,
            })

    # --- start and stop ----------------------------------------------------------------------------------------------
    async def start(self) -> None:
        """Bind everything and start the media workers. Raises StartError."""
        raise_file_limit()
        # Nobody can call before the workers can be called upon, and browsers' calls be answered.
        await asyncio.gather(self._media.start(), self._read_dtls())
        await asyncio.gather(self._endpoint.start(), self._web.start())
        self._resolve_trunks()
        await asyncio.wait({self._resolving}, timeout=TRUNK_PATIENCE)
        self._tasks = [self._loop.create_task(self._reloader.watch(), name="watch the configuration"),
                       self._loop.create_task(self._keep_trunks_resolved(), name="resolve trunks"),
                       self._loop.create_task(self._watchdog.watch(), name="watch the event loop")]
        if self._certificate is not None:
            self._tasks.append(self._loop.create_task(self._certificate.watch(), name="watch the certificate"))
        for task in self._tasks:
            task.add_done_callback(note_end)
        gc.collect()
        gc.freeze()
        self._open = True
        log.info("started with %s: %d users, %d conferences, %d trunks, %d telephones registered", self._path,
                 len(self._config.users), len(self._config.conferences), len(self._config.trunks),
                 self._count_telephones())
        here = self._addresses.host_for(SOMEWHERE)
        names = () if self._certificate is None else self._certificate.current.names
        room = room_for_calls(self._config, self._media.capacities)
        log.info("%s", room)
        print(welcome(self._config, self._path, here, self._own_password, names, room, self._program), flush=True)

    async def _read_dtls(self) -> None:
        """The certificate that browsers are shown. Its library takes a while to be imported: the workers start
        meanwhile. Raises StartError."""
        file = Path(self._config.store.path).with_name("dtls.pem")
        self._dtls: DtlsCertificate = await asyncio.to_thread(keep_certificate, file)

    async def stop(self, why: str) -> None:
        """Say BYE to everyone, give their answers a moment, close everything."""
        had_started, self._open = self._open, False
        if had_started:
            log.info("stopping: %s; %d calls are told", why, len(self._switchboard.lines))
        for task in (*self._tasks, self._resolving):
            if task is not None:
                task.cancel()
        now = self._clock.monotonic()
        self._switchboard.hang_up_all("the server is stopping", now)
        self._pump(now)
        deadline = self._loop.time() + FAREWELL
        while self._agent.calls and self._loop.time() < deadline:
            await asyncio.sleep(0.02)
        await asyncio.gather(self._web.stop(), self._endpoint.stop(), self._media.stop())
        self._store.close()
        if had_started:
            log.info("stopped")

    def healthy(self) -> bool:
        """True while every listener is bound and every media worker is heard of."""
        return self._open and self._loop.time() - self._media.heard < MEDIA_PATIENCE

    # --- events of the floors below ----------------------------------------------------------------------------------
    def _hear_sip(self, events: Sequence[CallEvent], now: float) -> None:
        self._meters.hear_sip(events)
        for event in events:
            if isinstance(event, RegistrationChanged):
                self._note_registration(event, now)
        self._switchboard.receive_sip(events, now)
        self._pump(now)

    def _hear_media(self) -> None:
        now = self._clock.monotonic()
        events = self._media.take_events()
        self._meters.hear_media(events)
        with self._surviving("media", now):
            self._switchboard.receive_media(events, now)

    @contextlib.contextmanager
    def _surviving(self, where: str, now: float) -> Iterator[None]:
        """A fault of ours costs what was being done, not the calls: it is counted and logged, and the rest goes on."""
        try:
            yield
        except Exception:
            self._meters.metrics.fault(where)
            log.exception("a fault of this program, met by %s", where)
        self._pump(now)

    def _note_registration(self, event: RegistrationChanged, now: float) -> None:
        """One line for a telephone that has come or gone."""
        bindings = self._registrar.bindings(event.extension, now)
        where = ", ".join(f"{each.flow.transport} {each.flow.remote[0]}:{each.flow.remote[1]}" for each in bindings)
        log.info("extension %s: %s", event.extension, f"registered at {where}" if where else "no longer registered")

    def _pump(self, now: float) -> None:
        """Send what the agent has to say, publish what happened, set the alarm for the next timer."""
        while events := self._web_calls.take_events():
            self._meters.hear_sip(events)
            self._switchboard.receive_sip(events, now)
        self._endpoint.pump(now)
        self._visitors.hear(self._web_calls.take_outputs())
        for publish in self._switchboard.take_outputs():
            self._events.publish(publish.event, publish.data)
            self._visitors.publish(publish.event, publish.data)
        due = self._switchboard.next_timer()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due is not None:
            self._timer = self._loop.call_later(max(0.0, due - now), self._ring_alarm)

    def _ring_alarm(self) -> None:
        now = self._clock.monotonic()
        with self._surviving("timer", now):
            self._switchboard.handle_timer(now)

    def _act(self, action: Callable[[float], None]) -> None:
        """Something is done to the conferences from outside: see that what follows from it is done too."""
        now = self._clock.monotonic()
        action(now)
        self._switchboard.carry_out(now)
        self._pump(now)

    def _count_telephones(self) -> int:
        now = self._clock.monotonic()
        return sum(len(self._registrar.bindings(user.extension, now)) for user in self._config.users)

    def _password_of(self, extension: str, source: str) -> str | None:
        user = self._users.get(extension)
        return None if user is None else password_from(user.password, source)

    def _wall_time(self, now: float) -> float:
        return self._clock.wall() + now - self._clock.monotonic()

    async def _keep_trunks_resolved(self) -> None:
        while True:
            await asyncio.sleep(TRUNK_REFRESH)
            self._resolve_trunks()

    def _resolve_trunks(self) -> None:
        """Look up where the trunks are now; until that is known they are where they were."""
        if self._resolving is not None:
            self._resolving.cancel()
        self._resolving = self._loop.create_task(resolve_trunks(self._resolver, self._trunks, self._config.trunks))

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
        if config.http.admin_password is None and self._config.http.admin_password is not None:
            print(f"administrator's password for this run: {self._own_password}", flush=True)
        self._config = config
        logs.setup(config.log.level, config.log.format)
        now = self._clock.monotonic()
        if self._certificate is not None and config.tls is not None:
            self._certificate.move(config.tls.certificate, config.tls.key)
        self._trunks.replace(trunks_of(config))
        self._resolve_trunks()
        self._registrar.keep_only(self._users, now)
        self._switchboard.set_peers(peers_of(config))
        self._conferences.replace_directory(directory_of(config), now)
        self._switchboard.carry_out(now)
        self._pump(now)

    def _reloaded(self, result: str, changes: Sequence[Change], error: Exception | None) -> None:
        self._meters.metrics.reload(result)
        if result == "applied":
            self._events.publish("applied", {"changes": [change.as_dict() for change in changes]})
        elif error is not None:
            self._events.publish("configuration-broken", {"errors": str(error).splitlines()})

    def reload(self) -> None:
        """SIGHUP: read the file again, and the certificate where it changed."""
        self._reloader.reload("SIGHUP")
        if self._certificate is not None:
            self._certificate.look(settled=True)


def check_media(config: Config) -> None:
    """Raises StartError, one clear line, for what the media worker would fail on."""
    if config.prompts.directory is not None:
        from sipconf.mixer.edge.wavfile import load_sounds  # NumPy: only where it is needed on this side

        for name in load_sounds(config.prompts.directory).unknown:
            log.warning("%s: replaces no sound of ours; see sipconf/sounds for their names",
                        config.prompts.directory / name)


def keep_certificate(file: Path) -> "DtlsCertificate":
    """The certificate of this file, made where there is none. Raises StartError."""
    from sipconf.rtp.edge import dtls  # a fifth of all that a start imports

    return dtls.keep(file)


def note_end(task: "asyncio.Task[Any]") -> None:
    """A task that should run for ever has ended: say so, unless it was told to."""
    if not task.cancelled() and task.exception() is not None:
        log.error("the task to %s ended; restart the server", task.get_name(), exc_info=task.exception())


ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


async def _run(path: Path, config: Config, program: str) -> None:
    house = House(config, path, program)
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[str] = loop.create_future()

    def end(why: str) -> None:
        if not ended.done():  # a second signal changes nothing: we are on our way
            ended.set_result(why)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end, number.name)
    loop.add_signal_handler(signal.SIGHUP, house.reload)
    why = "it could not start"
    try:
        await house.start()
        why = await ended
    finally:
        await house.stop(why)
        # The loop takes its handlers with it; a signal sent once more must not kill what is ending well.
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)
        for number in ENDING_SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)


def serve(path: Path, program: str = "sipconf") -> None:
    """Run the server on this configuration until SIGTERM. Raises ConfigError or StartError before it has started."""
    config = load(path)
    logs.setup(config.log.level, config.log.format)
    check_media(config)
    uvloop.run(_run(path, config, program))
