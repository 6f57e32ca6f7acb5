"""What is played to legs and to rooms: who hears it, and when it is told to have ended."""

from collections.abc import Callable
from typing import Any

from sipconf.media import protocol
from tests.media.conftest import CLEAR, NOTHING

Houses = Callable[..., Any]
BEEP = 2500.0


def test_playback_to_one_leg_is_heard_by_it_alone_and_ends_once(house: Houses) -> None:
    sim = house()
    one, two = sim.phone(1, room=1), sim.phone(2)
    sim.plane.send(protocol.PlayToLeg(1, 41, ("beep", "short-beep"), False))
    sim.plane.send(protocol.PlayToLeg(2, 42, ("short-beep",), False))
    sim.run(0.3)
    assert sim.of_kind(protocol.PlaybackEnded) == [protocol.PlaybackEnded(2, 42)]
    assert one.loudness(BEEP, 0.2) > CLEAR and two.loudness(BEEP, 0.1) < NOTHING
    sim.run(1.0)
    assert sim.of_kind(protocol.PlaybackEnded) == [protocol.PlaybackEnded(1, 41)]
    assert one.loudness(BEEP, 0.4) < NOTHING


def test_a_loop_goes_on_until_it_is_stopped_and_tells_nothing(house: Houses) -> None:
    sim = house()
    one = sim.phone(1)
    sim.plane.send(protocol.PlayToLeg(1, 5, ("beep",), True))
    sim.run(3.0)
    assert one.loudness(BEEP, 1.0) > CLEAR
    sim.plane.send(protocol.StopLegPlayback(1))
    sim.run(1.0)
    assert one.loudness(BEEP, 0.8) < NOTHING
    assert not sim.of_kind(protocol.PlaybackEnded)


def test_a_playback_sent_before_the_leg_is_connected_begins_then(house: Houses) -> None:
    sim = house()
    one = sim.phone(1, connect=False)
    sim.plane.send(protocol.PlayToLeg(1, 5, ("beep",), False))
    sim.run(1.0, silent=[1])
    assert not one.packets() and not sim.of_kind(protocol.PlaybackEnded)
    sim.connect(one)
    sim.run(0.4)
    assert one.loudness(BEEP, 0.3) > CLEAR


def test_a_room_hears_its_playback_and_no_other_room_does(house: Houses) -> None:
    sim = house()
    room = [sim.phone(1, room=1), sim.phone(2, room=1, encoding="L16", clock_rate=16000, payload_type=96)]
    other = sim.phone(3, room=2)
    sim.run(1.0)
    sim.plane.send(protocol.PlayToRoom(1, ("beep",)))
    sim.run(0.4)
    for phone in room:
        assert phone.loudness(BEEP, 0.3) > CLEAR
    assert other.loudness(BEEP, 0.3) < NOTHING
    sim.plane.send(protocol.PlayToRoom(77, ("beep",)))  # nobody is there
    sim.run(0.1)
