"""Guards on the plane: what is found is muted, told, apart from an administrator's mute, and comes back."""

from collections.abc import Callable
from typing import Any

from sipconf.media import protocol

Houses = Callable[..., Any]
HEARD, NOTHING = 500.0, 60.0


def guarded_room(house: Houses, guards: bool = True) -> Any:
    """Leg 1 plays a steady tone into the room, which is the simplest music on hold; leg 2 listens."""
    sim = house()
    for number in (1, 2):
        sim.phone(number, room=1)
        sim.plane.send(protocol.TreatLeg(number, False, guards))
    return sim


def found(events: list[protocol.Event]) -> list[tuple[int, str | None]]:
    return [(event.leg, event.reason) for event in events if isinstance(event, protocol.GuardChanged)]


def test_hold_music_is_taken_out_of_the_room_told_and_put_back(house: Houses) -> None:
    sim = guarded_room(house)
    assert found(sim.run(10.0, silent=(2,))) == [(1, "hold music")]
    sim.run(1.0, silent=(2,))
    assert sim.phones[2].loudness(sim.phones[1].pitch, 0.9) < NOTHING
    assert found(sim.run(6.0, silent=(1, 2))) == [(1, None)]
    sim.run(1.0, silent=(2,))
    assert sim.phones[2].loudness(sim.phones[1].pitch, 0.8) > HEARD


def test_without_guards_nothing_is_taken_out(house: Houses) -> None:
    sim = guarded_room(house, guards=False)
    assert found(sim.run(12.0, silent=(2,))) == []
    assert sim.phones[2].loudness(sim.phones[1].pitch) > HEARD


def test_a_guard_is_no_mute_and_a_mute_no_guard(house: Houses) -> None:
    sim = guarded_room(house)
    sim.run(10.0, silent=(2,))
    sim.plane.send(protocol.MuteLeg(1, True))
    assert found(sim.run(1.0, silent=(2,))) == [(1, None)], "who is muted needs no guard"
    sim.plane.send(protocol.MuteLeg(1, False))
    assert found(sim.run(10.0, silent=(2,))) == [(1, "hold music")]


def test_leaving_the_room_and_switching_the_guards_off_end_it(house: Houses) -> None:
    sim = guarded_room(house)
    assert found(sim.run(10.0, silent=(2,))) == [(1, "hold music")]
    sim.plane.send(protocol.TreatLeg(1, False, False))
    assert found(sim.run(2.0, silent=(2,))) == [(1, None)]
    assert sim.phones[2].loudness(sim.phones[1].pitch) > HEARD
    sim.plane.send(protocol.TreatLeg(1, False, True))
    assert found(sim.run(10.0, silent=(2,))) == [(1, "hold music")]
    sim.plane.send(protocol.PlaceLeg(1, None))
    assert found(sim.run(1.0, silent=(2,))) == [(1, None)]


def test_another_codec_in_mid_call_begins_anew(house: Houses) -> None:
    sim = guarded_room(house)
    sim.run(10.0, silent=(2,))
    phone = sim.phones[1]
    phone.encoding, phone.payload_type = "PCMA", 8
    sim.connect(phone)
    assert found(sim.run(1.0, silent=(2,))) == [(1, None)]
    assert found(sim.run(10.0, silent=(2,))) == [(1, "hold music")]
