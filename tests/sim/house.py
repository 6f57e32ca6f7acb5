"""The whole house on one virtual clock: user agent, conferences, switchboard and a plane in-process, with telephones
and a network that loses, repeats and reorders both SIP and RTP by a seed. A failure inside `with house:` carries it.

Wired as app.py does it. Every clip is a tone of its own, so that what is played can be told from what is said.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sipconf import web_calls
from sipconf.conference import commands
from sipconf.conference.directory import ConferenceSpec, Directory, IncomingNumberSpec, UserSpec
from sipconf.conference.lockouts import LockoutStore, MemoryLockoutStore
from sipconf.conference.service import ConferenceService, ConferenceSettings
from sipconf.media import protocol
from sipconf.media.plane import TICK_SECONDS, MediaPlane, PlaneSettings
from sipconf.mixer.prompts import ClipLibrary
from sipconf.signalling import Signalling
from sipconf.sip.agent import UserAgent
from sipconf.sip.digest import Authenticator
from sipconf.sip.flow import Address, Flow
from sipconf.sip.offer import Capabilities, Format
from sipconf.sip.registrar import Registrar, RegistrarSettings
from sipconf.sip.settings import AgentSettings
from sipconf.sip.trunk import Trunks, TrunkSpec
from sipconf.store import StoredBinding
from sipconf.switchboard import Settings, Switchboard
from sipconf.web_calls import WebCalls
from tests.sim.network import CLEAR, Network, Weather
from tests.sim.rtp_phone import RtpPhone
from tests.sim.rtp_wire import RtpWire
from tests.sim.web_phone import WebPhone

DOMAIN = "example.test"
HOST = "192.0.2.1"
SERVER = (HOST, 5060)
TRUNK_HOST = "203.0.113.9"
TRUNK_HOSTS = (TRUNK_HOST, *(f"203.0.113.{number}" for number in range(100, 150)))
"""All from which the provider's calls come."""
PBX_HOST = "203.0.113.20"
USERS = ("101", "102", "103", "104", "105", "106")
NUMBER = "+3225551234"
ROUGH_SIP = Weather(loss=0.1, duplicate=0.1, delay=0.01, jitter=0.1)
ROUGH_RTP = Weather(loss=0.02, duplicate=0.03, delay=0.01, jitter=0.025)
SETTLED = 150.0  # longer than any chain of SIP timers after the last word

CAPABILITIES = Capabilities(formats=(
    Format("PCMU", 8000, 0), Format("PCMA", 8000, 8),
    Format("L16", 48000, 96), Format("L16", 16000, 97), Format("L16", 8000, 98),
))  # fmt: skip

FINGERPRINT = ":".join(["5E"] * 32)
"""Of the certificate that our side of DTLS would show."""

CLIP_SECONDS = 0.4
CLIP_NAMES = (
    "enter-code", "wrong-code", "goodbye", "too-many-tries", "wait-for-administrator", "administrator-left",
    "conference-ended", "only-person", "locked", "full", "not-available", "muted", "unmuted", "kicked", "welcome",
    "join-tone", "leave-tone", "music",
)  # fmt: skip
CLIP_PITCH = {name: 2000 + 100 * index for index, name in enumerate(CLIP_NAMES)}
"""Hz, all below 4000 and above every telephone's own."""


def _clip(pitch: int) -> np.ndarray:
    at = np.arange(int(16000 * CLIP_SECONDS)) / 16000
    return (3000 * np.sin(2 * np.pi * pitch * at)).astype(np.float32)


CLIPS = ClipLibrary({name: (16000, _clip(pitch)) for name, pitch in CLIP_PITCH.items()})


class KeptBindings:
    """A BindingStore that outlives a server of the simulation, as the file does."""

    def __init__(self) -> None:
        self.kept: dict[str, list[StoredBinding]] = {}

    def load(self) -> list[StoredBinding]:
        return [binding for bindings in self.kept.values() for binding in bindings]

    def save(self, extension: str, bindings: Sequence[StoredBinding]) -> None:
        self.kept[extension] = list(bindings)


class _Alarm:
    """The switchboard as an endpoint of the network: its timers run and what it publishes is kept."""

    def __init__(self, house: "House") -> None:
        self._house = house

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        raise AssertionError("nothing is sent to the switchboard")

    def handle_timer(self, now: float) -> None:
        self._house.switchboard.handle_timer(now)

    def next_timer(self) -> float | None:
        return self._house.switchboard.next_timer()

    def take_outputs(self) -> list[commands.Publish]:
        return self._house.switchboard.take_outputs()


class House:
    """Conferences to serve; sip, rtp: the weather on the way; pairs: how many calls have a port; authenticator: who
    proves identities, the real one by default."""

    def __init__(
        self, *conferences: ConferenceSpec, seed: int = 1, sip: Weather = CLEAR, rtp: Weather = CLEAR,
        silence_timeout: float = 30.0, pairs: int = 1000, settings: ConferenceSettings | None = None,
        max_calls: int = 100, media_address: Callable[[Flow], str] = lambda flow: HOST,
        authenticator: Any = None, lockouts: LockoutStore | None = None, encrypted: bool = False,
        capabilities: Capabilities = CAPABILITIES,
    ) -> None:
        rng = random.Random(seed)
        self.network = Network(seed, sip)
        self.wire = RtpWire(HOST, seed + 1, rtp, pairs)
        self.phones: list[RtpPhone] = []
        self.published: list[commands.Publish] = []
        self.media_events: list[protocol.Event] = []
        self.hear_web: Callable[[Sequence[web_calls.Output]], None] = self._hear_web
        self._plane_settings = PlaneSettings(silence_timeout, wall_offset=1.7e9)
        self._rng = rng
        self.plane = self._new_plane()
        self._authenticator = authenticator
        self._conference_settings = settings or ConferenceSettings()
        self._media_address, self._max_calls, self._encrypted = media_address, max_calls, encrypted
        self._capabilities = capabilities
        self.bindings, self.lockouts = KeptBindings(), lockouts or MemoryLockoutStore()
        self._build(self.directory(*conferences))
        self.network.attach(("switchboard", 0), _Alarm(self), lambda publish, now: self.published.append(publish))

    def _build(self, directory: Directory) -> None:
        """Everything that a process of the server holds, on what outlives it."""
        rng = self._rng
        passwords = {user: f"secret-{user}" for user in USERS}
        authenticator = self._authenticator or Authenticator(
            DOMAIN, lambda user, source: passwords.get(user), ("MD5",), rng)
        trunks = Trunks([TrunkSpec("provider", frozenset(TRUNK_HOSTS)), TrunkSpec("pbx", frozenset({PBX_HOST}), True)])
        self.registrar = Registrar(self.bindings, RegistrarSettings(), rng)
        self.agent = UserAgent(AgentSettings(DOMAIN, "sipconf", lambda flow: SERVER), authenticator, trunks,
                               self.registrar, rng, lambda *call: self.switchboard.serves_trunk(*call))
        self.conferences = ConferenceService(directory, self._conference_settings, rng, self.lockouts,
                                             lambda now: now + 1.7e9)
        self.one_worker = True
        self.web_calls = WebCalls()
        self.switchboard = Switchboard(
            Signalling(self.agent, self.web_calls), self.registrar, self.conferences, self,
            Settings(DOMAIN, self._capabilities, self._media_address, frozenset({"pbx"}), self._max_calls,
                     lambda flow: (HOST,), lambda: ("sha-256", FINGERPRINT), self._encrypted), rng)
        self.network.attach(SERVER, self.agent, lambda event, now: self.switchboard.receive_sip([event], now))

    def __enter__(self) -> "House":
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            error.add_note(f"seed {self.network.seed}, at {self.now:.3f} s, SIP {self.network.weather}, "
                           f"RTP {self.wire.weather}")
            for phone in self.phones:
                error.add_note(f"{phone.name} at {phone.address[0]}: {' | '.join(phone.log[-12:])}")

    @staticmethod
    def directory(*conferences: ConferenceSpec) -> Directory:
        """All users, and the incoming number of the first conference. People say tones here, which a guard takes for
        music on hold."""
        numbers = [IncomingNumberSpec(NUMBER, conferences[0].extension)] if conferences else []
        unguarded = [replace(conference, guards=False) for conference in conferences]
        return Directory([UserSpec(user, f"User {user}") for user in USERS], unguarded, numbers)

    # --- the plane behind a keeper that can be replaced (protocol.Media) ---------------------------------------------
    def send(self, command: protocol.Command) -> None:
        self.plane.send(command)

    def take_events(self) -> list[protocol.Event]:
        return self.plane.take_events()

    def together(self, leg: int, other: int) -> bool:
        return self.one_worker

    def move(self, leg: int, room: int) -> bool:
        return self.one_worker

    def kill_worker(self) -> None:
        """The media worker dies with all its legs and another takes its place, as the supervisor tells it."""
        legs = sorted(line.leg for line in self.switchboard.lines if line.opened)
        self.replace_plane()
        self.switchboard.receive_media([protocol.LegFailed(leg, "the media worker ended") for leg in legs], self.now)

    def replace_plane(self) -> None:
        """Another plane, with no leg."""
        self.plane.close()
        self.plane = self._new_plane()

    def restart(self, directory: Directory, farewell: float | None = None) -> None:
        """The server starts again: registrations and lock-outs are as they were, of calls nothing is left. farewell:
        seconds between its BYEs and its end; None: it dies without a word."""
        if farewell is not None:
            self.switchboard.hang_up_all("the server is stopping", self.now)
            self.run(farewell)
        before = {user: self._contacts(user) for user in USERS}
        self.replace_plane()
        self._build(directory)
        assert {user: self._contacts(user) for user in USERS} == before, "a registration did not outlive the restart"
        assert not self.switchboard.lines and self.agent.idle()

    def _contacts(self, user: str) -> set[tuple[str, Flow]]:
        return {(each.header_value(), each.flow) for each in self.registrar.bindings(user, self.now)}

    def _new_plane(self) -> MediaPlane:
        return MediaPlane(self.wire, self.wire.streams, CLIPS, self._plane_settings, self._rng)

    # --- people ------------------------------------------------------------------------------------------------------
    def phone(self, name: str = "101", host: str | None = None, **traits: Any) -> RtpPhone:
        """A telephone with an address and a pitch of its own. name: a user, or a caller's number at TRUNK_HOST."""
        number = len(self.phones) + 1
        address: Address = (host or f"198.51.100.{number}", 5062)
        traits = {"pitch": 250 + 200 * number, **traits}
        phone = RtpPhone(address, SERVER, name, f"secret-{name}", self.network.seed * 100 + number, self.wire, **traits)
        self.network.attach(address, phone)
        self.phones.append(phone)
        return phone

    def visitor(self, extension: str = "2001", name: str = "Vera", host: str | None = None) -> WebPhone:
        """Somebody with a browser offers a call; what stands for WebRTC here is plain RTP."""
        number = len(self.phones) + 1
        phone = WebPhone((host or f"198.51.100.{number}", 5062), self, name, 250 + 200 * number)
        self.phones.append(phone)
        phone.offer(extension)
        return phone

    def _hear_web(self, outputs: Sequence[web_calls.Output]) -> None:
        for output in outputs:
            next(phone for phone in self.phones if getattr(phone, "session", None) == output.session).hear(output)

    def refusal(self, status: int) -> bytes:
        """The first response with this status that was sent."""
        return next(data for _, _, _, data in self.network.sent if data.startswith(b"SIP/2.0 %d" % status))

    def dial(self, phone: RtpPhone, dialled: str, offer: bool = True) -> RtpPhone:
        """Dial and wait for the answer."""
        phone.invite(dialled, self.now, offer)
        self.until(lambda: phone.in_call and phone.remote_media is not None, f"{phone.name} is answered")
        return phone

    def enter(self, phone: RtpPhone, dialled: str = "2001", code: str = "4321") -> RtpPhone:
        """Dial, key the code, be in the room."""
        self.dial(phone, dialled)
        self.await_prompt(phone, dialled)
        phone.press(code + "#")
        self.until(lambda: self.states(dialled)[phone.name] != "prompting", f"{phone.name} is let in")
        return phone

    def await_prompt(self, phone: RtpPhone, conference: str = "2001") -> None:
        """Until the receptionist asks and the plane takes this telephone's packets."""
        self.until(lambda: phone.name in self.states(conference), f"{phone.name} is here")
        assert self.states(conference)[phone.name] == "prompting", "nobody goes past the receptionist"
        self.until(lambda: self.trusted(phone), f"{phone.name} is believed")

    def reoffer(self, phone: RtpPhone, mode: str, **how: Any) -> None:
        """A re-INVITE, tried again where an earlier one is still pending (491), as telephones do."""
        while True:
            before = self._answers(phone)
            phone.reinvite(mode, self.now, **how)
            self.until(lambda before=before: self._answers(phone) != before, "the re-INVITE is answered")
            if self._answers(phone)[0] > before[0]:
                return
            self.run(0.5)

    @staticmethod
    def _answers(phone: RtpPhone) -> tuple[int, int]:
        return phone.log.count("200 INVITE"), phone.log.count("491 INVITE")

    def register(self, *phones: RtpPhone) -> None:
        for phone in phones:
            phone.register(self.now)
        self.until(lambda: all("200 REGISTER" in phone.log for phone in phones), "registered")

    def trusted(self, phone: RtpPhone) -> bool:
        """The plane has begun to take this telephone's packets."""
        return any(self.wire.streams.latched(slot) == phone.media_address for slot in self._slots()) and all(
            self.wire.streams.started[slot] for slot in self._slots()
            if self.wire.streams.latched(slot) == phone.media_address)

    def _slots(self) -> list[int]:
        return list(self.wire._port_of_slot)

    # --- time --------------------------------------------------------------------------------------------------------
    @property
    def now(self) -> float:
        return self.network.now

    def tick(self) -> None:
        """Twenty milliseconds of everything."""
        self.network.run(TICK_SECONDS)
        for phone in self.phones:
            phone.speak(self.now)
        self.plane.tick(self.now)
        events = self.take_events()
        self.media_events += events
        self.switchboard.receive_media(events, self.now)
        self.pump()
        self.wire.carry(self.now)
        for phone in self.phones:
            phone.listen()

    def pump(self) -> None:
        """The switchboard hears of visitors, and they of it."""
        while events := self.web_calls.take_events():
            self.switchboard.receive_sip(events, self.now)
        if outputs := self.web_calls.take_outputs():
            self.hear_web(outputs)
            self.pump()

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / TICK_SECONDS)):
            self.tick()

    def until(self, condition: Callable[[], bool], what: str, limit: float = 45.0) -> None:
        """Let time pass until something is so."""
        end = self.now + limit
        while not condition():
            assert self.now < end, f"not within {limit} s: {what}"
            self.tick()

    def listen(self, seconds: float) -> None:
        """Everyone hears for so long; what was heard before is forgotten."""
        for phone in self.phones:
            phone.forget()
        self.run(seconds)

    def settle(self) -> None:
        """Everyone hangs up, every timer runs out; then nothing may be left in any table."""
        for phone in self.phones:
            if phone.in_call:
                phone.bye(self.now)
        self.until(lambda: not self.switchboard.lines, "all calls end")
        self.run(2 * TICK_SECONDS)
        self.network.run(SETTLED)
        left = self.leftovers()
        assert not left, left

    def leftovers(self) -> dict[str, Any]:
        """What is still remembered of calls, by whom."""
        board, rooms = self.switchboard, self.conferences
        tables = {
            "agent": 0 if self.agent.idle() else self.agent.calls or "something",
            "agent timer": self.agent.next_timer() if not self.registered else None,
            "visitors": len(self.web_calls), "lines": board.lines.leftovers(),
            "plane": self.plane.legs, "ports": self.wire.in_use,
            "guests": rooms.guests, "private calls": rooms.private, "conference rooms": rooms._rooms,
            "agenda": rooms.next_timer(),
        }
        return {name: table for name, table in tables.items() if table}

    @property
    def registered(self) -> bool:
        return any(self.registrar.bindings(user, self.now) for user in USERS)

    # --- what can be seen --------------------------------------------------------------------------------------------
    def states(self, conference: str = "2001") -> dict[str, str]:
        """State by number of everyone whom the console shows."""
        return {each["number"]: each["state"] for each in self.conferences.participants(conference)}

    def participant(self, number: str, conference: str = "2001") -> dict[str, Any]:
        return next(each for each in self.conferences.participants(conference) if each["number"] == number)

    def console(self, action: Callable[..., None], *arguments: Any) -> None:
        """What app does for the console's switches."""
        action(*arguments, self.now)
        self.switchboard.carry_out(self.now)

    def heard(self, phone: RtpPhone, clip: str) -> bool:
        """Whether a telephone has heard a clip since it last forgot."""
        return phone.heard_clip(CLIP_PITCH[clip])

    def events(self, name: str) -> list[commands.Publish]:
        return [publish for publish in self.published if publish.event == name]


def assert_everyone_hears_the_others(phones: Sequence[RtpPhone]) -> None:
    """Each hears every other and not itself, in what was heard since `listen`."""
    for listener in phones:
        for speaker in phones:
            expected = listener is not speaker
            assert listener.hears(speaker.pitch) == expected, (listener.name, speaker.name, expected)
