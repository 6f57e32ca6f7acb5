"""Lines of a simulated house at each stage that a call goes through, and news told to its switchboard."""

from collections.abc import Callable

from sipconf.line import Stage
from sipconf.media import protocol as media
from tests.sim.house import House
from tests.sim.network import Weather


def arrived(house: House) -> str:
    """A caller whose called person's telephone rings."""
    ringing(house)
    return next(line.call for line in house.switchboard.lines if line.stage is Stage.ARRIVED)


def ringing(house: House) -> str:
    called = house.phone("102")
    called.pickup = None
    house.register(called)
    house.phone("101").invite("102", house.now)
    house.until(lambda: "180" in called.log or "INVITE" in called.log, "ringing")
    house.run(0.1)
    return next(line.call for line in house.switchboard.lines if line.stage is Stage.CALLING)


def calling(house: House) -> str:
    """A call to somebody whose leg is not yet open: the plane has not ticked."""
    called = house.phone("102")
    house.register(called)
    house.phone("101").invite("102", house.now)
    house.network.run(0.2)
    return next(line.call for line in house.switchboard.lines if line.stage is Stage.CALLING)


def opening(house: House) -> str:
    house.phone("101").invite("2001", house.now)
    house.network.run(0.2)
    (line,) = house.switchboard.lines
    assert line.stage is Stage.OPENING
    return line.call


def answered(house: House) -> str:
    """The 200 is out and will never arrive."""
    call = opening(house)
    house.plane.tick(house.now)
    house.network.weather = Weather(loss=1.0)
    house.switchboard.receive_media(house.plane.take_events(), house.now)
    house.network.run(0.1)
    return call


def connected(house: House) -> str:
    house.dial(house.phone("101"), "2001")
    house.run(0.1)
    (line,) = house.switchboard.lines
    return line.call


STAGES: dict[str, Callable[[House], str]] = {
    "arrived": arrived, "opening": opening, "calling": calling, "ringing": ringing, "answered": answered,
    "connected": connected,
}  # fmt: skip


def stage_of(house: House, call: str) -> str:
    line = house.switchboard.lines.of_call(call)
    if line is None:
        return "over"
    if line.stage is Stage.CALLING:
        return "ringing" if line.sessions else "calling"
    return line.stage.name.lower()


def tell(house: House, event: object) -> None:
    receive = house.switchboard.receive_media if type(event).__module__ == media.__name__ else None
    (receive or house.switchboard.receive_sip)([event], house.now)
