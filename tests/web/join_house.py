"""The join page's server side before the whole simulated house: a POST becomes a call in the switchboard, the plane
opens its leg, and the answer comes back. Time goes on only where a test or an order says so."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from web_house import House as WebHouse

from sipconf.clock import Clock
from sipconf.media.protocol import DigitReceived
from sipconf.operations import VisitorCalls
from sipconf.web.app import build_app
from sipconf.web.door import Door
from sipconf.web.visitors import VisitorLimits, Visitors
from tests.sim.secure_phones import Browser, SecureHouse

SDP = Browser(("127.0.0.1", 0), ("127.0.0.1", 0), "", "", 1).sdp()
PLAIN_SDP = ("v=0\r\no=- 1 1 IN IP4 203.0.113.9\r\ns=-\r\nc=IN IP4 203.0.113.9\r\nt=0 0\r\n"
             "m=audio 4000 RTP/AVP 0\r\na=sendrecv\r\n")
TYPE = {"Content-Type": "application/sdp"}


@dataclass
class Alarm:
    """A timer of `Visitors`; rings when a test lets it."""

    seconds: float
    ring: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


@dataclass
class JoinHouse:
    """sim: the house; stalled: its media plane does not answer. alarms: timers running now."""

    sim: SecureHouse
    folder: Path
    limits: VisitorLimits = field(default_factory=VisitorLimits)
    stalled: bool = False
    config: str = ""

    def __post_init__(self) -> None:
        self.visitors = Visitors(
            VisitorCalls(self.sim.web_calls, self.sim.conferences, self.act), self.limits, self._later)
        self.sim.hear_web = self.visitors.hear
        self._alarms: list[Alarm] = []
        web = WebHouse(self.folder)
        if self.config:
            web.file.write_text(web.file.read_text().replace("[http]", f"[http]\n{self.config}"))
            web.reloader.apply()
        self.web = web
        clock = Clock(lambda: self.sim.now, lambda: self.sim.now)
        self.app = build_app(web, Door(clock), visitors=self.visitors)

    def act(self, action: Callable[[float], None]) -> None:
        action(self.sim.now)
        self.go_on()
        for _ in range(0 if self.stalled else 3):
            self.sim.tick()
            self.go_on()

    def go_on(self) -> None:
        self.sim.pump()
        self.sim.switchboard.carry_out(self.sim.now)
        self.sim.pump()
        for publish in (*self.sim.published, *self.sim.switchboard.take_outputs()):
            self.visitors.publish(publish.event, publish.data)
        self.sim.published.clear()

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.02)):
            self.sim.tick()
            self.go_on()

    def key(self, digits: str) -> None:
        """The newest call keys these, by the media plane's word."""
        for digit in digits:
            *_, line = self.sim.switchboard.lines
            self.sim.switchboard.receive_media([DigitReceived(line.leg, digit)], self.sim.now)
            self.run(0.3)

    @property
    def alarms(self) -> list[Alarm]:
        return [alarm for alarm in self._alarms if not alarm.cancelled]

    def _later(self, seconds: float, ring: Callable[[], None]) -> Alarm:
        alarm = Alarm(seconds, ring)
        self._alarms.append(alarm)
        return alarm


async def read_events(response: Any, count: int) -> list[tuple[str, dict[str, Any]]]:
    """So many events of a stream, comments and retry left out."""
    found: list[tuple[str, dict[str, Any]]] = []
    name = ""
    while len(found) < count:
        line = (await response.content.readline()).decode().rstrip("\n")
        if line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: "):
            found.append((name, json.loads(line[6:])))
    return found
