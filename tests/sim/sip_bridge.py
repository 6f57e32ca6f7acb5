"""A user agent on a simulated network with a stand-in for the floor above it."""

import random
from typing import Any

from sipconf.sip import events
from sipconf.sip.agent import UserAgent
from sipconf.sip.digest import Authenticator
from sipconf.sip.flow import Flow
from sipconf.sip.registrar import NoBindings, Registrar, RegistrarSettings
from sipconf.sip.settings import AgentSettings
from sipconf.sip.trunk import Trunks, TrunkSpec
from sipconf.sip.uri import SipUri
from tests.sim.network import Network, Weather
from tests.sim.raw_phone import RawPhone

SERVER = ("192.0.2.1", 5060)
PHONE = ("198.51.100.7", 5062)
OTHER = ("198.51.100.8", 5060)
TRUNK = ("203.0.113.9", 5060)
PASSWORDS = {"101": "secret-101", "102": "secret-102"}
SDP = b"v=0\r\no=- 9 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 10000 RTP/AVP 0\r\n"
SETTLED = 120.0  # longer than any chain of timers after the last word


class Bridge:
    """A stand-in for the floor above: keeps the events and does the obvious."""

    def __init__(self, seed: int, weather: Weather, *, answer_after: float | None = 0.5) -> None:
        self.network = Network(seed, weather)
        rng = random.Random(seed)
        settings = AgentSettings("example.test", "sipconf", lambda flow: SERVER)
        trunks = Trunks([TrunkSpec("provider", frozenset({TRUNK[0]}))])
        self.registrar = Registrar(NoBindings(), RegistrarSettings(), rng)
        authenticator = Authenticator("example.test", PASSWORDS.get, ("MD5",), rng)
        self.agent = UserAgent(settings, authenticator, trunks, self.registrar, rng)
        self.events: list[Any] = []
        self.answer_after = answer_after
        self.network.attach(SERVER, self.agent, self._hear)

    def phone(self, name: str = "101", address: tuple[str, int] = PHONE) -> RawPhone:
        phone = RawPhone(address, SERVER, name, PASSWORDS.get(name, ""), self.network.seed)
        self.network.attach(address, phone)
        return phone

    def _hear(self, event: Any, now: float) -> None:
        self.events.append(event)
        if isinstance(event, events.IncomingCall) and self.answer_after is not None:
            self.agent.ring(event.session, now)
            self.network.after(self.answer_after, lambda: self.agent.answer(event.session, SDP, self.network.now))
        elif isinstance(event, events.Reoffered):
            self.agent.answer_reoffer(event.session, SDP, now)

    def kinds(self) -> list[str]:
        return [type(event).__name__ for event in self.events if not isinstance(event, events.Counted)]

    def only(self, kind: type) -> Any:
        found = [event for event in self.events if isinstance(event, kind)]
        assert len(found) == 1, self.events
        return found[0]

    def invite(self, phone: RawPhone, name: str = "102") -> str:
        host, port = phone.address
        return self.agent.invite(
            target=SipUri.parse(f"sip:{name}@{host}:{port}"),
            flow=Flow("udp", phone.address, SERVER),
            from_uri=SipUri.parse("sip:2001@example.test"),
            from_name="Weekly",
            offer=SDP,
            now=self.network.now,
        )

    def settle(self) -> None:
        """Let every timer run out; then nothing may be remembered."""
        self.network.run(SETTLED)
        assert self.agent.idle()
        assert self.agent.next_timer() is None
