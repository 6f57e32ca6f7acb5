"""A media worker that says it is nearly at its limit: new calls are refused in words a person understands, those that
are there go on as if nothing was."""

from collections.abc import Callable
from typing import Any

from sipconf.conference.directory import ConferenceSpec
from sipconf.media import protocol
from sipconf.media.placement import CALM_REPORTS, TICK_MS
from sipconf.media.workers import Workers
from tests.sim.house import House, assert_everyone_hears_the_others

ROOM = ConferenceSpec("Weekly", "2001")


class Busy:
    """Keeps the house's plane, and reports of it what it is told."""

    up, restarts, heard = True, 0, 0.0

    def __init__(self, house: House, news: Callable[[], None]) -> None:
        self._house, self._news = house, news
        self._events: list[protocol.Event] = []

    def send(self, command: protocol.Command) -> None:
        self._house.plane.send(command)

    def tell(self, events: list[protocol.Event]) -> None:
        self._events = events
        self._news()

    def take_events(self) -> list[protocol.Event]:
        return self._events

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class PlacedHouse(House):
    """The house whose plane is behind Workers, busy as told."""

    def __init__(self, *conferences: ConferenceSpec, **traits: Any) -> None:
        self.busy_share = 0.1
        super().__init__(*conferences, **traits)
        self.media = Workers([lambda news: Busy(self, news)], lambda: None, lambda call: None)

    def send(self, command: protocol.Command) -> None:
        self.media.send(command)

    def take_events(self) -> list[protocol.Event]:
        (keeper,) = self.media.keepers
        events = [event for event in super().take_events() if not isinstance(event, protocol.PlaneReport)]
        report = protocol.PlaneReport(0, 50, 0, 0, self.busy_share * TICK_MS)
        keeper.tell(events + ([report] if round(self.now / 0.02) % 50 == 0 else []))  # type: ignore[attr-defined]
        return self.media.take_events()


def join(house: House, name: str) -> Any:
    phone = house.dial(house.phone(name), "2001")
    house.until(lambda: house.states().get(name) == "talking", f"{name} is in")
    return phone


def test_new_calls_are_refused_before_the_sound_suffers_and_let_in_when_it_is_calm() -> None:
    with PlacedHouse(ROOM) as house:
        rung = house.phone("106")
        house.register(rung)
        people = [join(house, name) for name in ("101", "102")]
        house.busy_share = 0.9
        house.run(2.0)
        late, other = house.phone("103"), house.phone("104")
        late.invite("2001", house.now)
        other.invite("106", house.now)
        house.until(lambda: "503 INVITE" in late.log and "503 INVITE" in other.log, "both refused")
        refusal = house.refusal(503)
        assert refusal.startswith(b"SIP/2.0 503 All lines are busy, please try again in a moment\r\n")
        assert b"\r\nRetry-After: 10\r\n" in refusal
        assert "INVITE" not in rung.log, "nobody is rung for a call that cannot be"
        house.listen(1.0)
        assert_everyone_hears_the_others(people)
        house.busy_share = 0.3
        house.run(CALM_REPORTS + 1.0)
        people.append(join(house, "105"))
        house.run(0.7)
        house.listen(1.0)
        assert_everyone_hears_the_others(people)
        house.settle()
