"""The plane on a simulated network: who hears whom, judged by a tone for each telephone."""

import struct
from collections.abc import Callable
from typing import Any

import pytest

from sipconf.media import protocol
from tests.media.conftest import NOTHING, hears

Houses = Callable[..., Any]


def test_everyone_hears_everyone_else_in_the_room_and_nobody_themselves(house: Houses) -> None:
    sim = house()
    room = [sim.phone(number, room=7) for number in range(1, 5)]
    stranger, alone = sim.phone(5, room=8), sim.phone(6)
    sim.run(3.0)
    for listener in room:
        for speaker in room:
            assert hears(listener, speaker) == (listener is not speaker), (listener.number, speaker.number)
        assert not hears(listener, stranger) and not hears(listener, alone)
    for outsider in (stranger, alone):
        assert not any(hears(outsider, speaker) for speaker in sim.phones.values())


def test_a_packet_leaves_every_tick_without_a_gap(house: Houses) -> None:
    sim = house()
    phone = sim.phone(1, room=1)
    sim.run(2.0)
    heads = [struct.unpack("!BBHII", data[:12]) for _, data in phone.packets()]
    assert len(heads) == 100
    assert {len(data) for _, data in phone.packets()} == {172}
    assert [(b[2] - a[2]) % 2**16 for a, b in zip(heads, heads[1:], strict=False)] == [1] * 99
    assert [(b[3] - a[3]) % 2**32 for a, b in zip(heads, heads[1:], strict=False)] == [160] * 99
    assert [head[1] >> 7 for head in heads] == [1] + [0] * 99
    assert len({head[4] for head in heads}) == 1


def test_legs_move_between_rooms_and_out(house: Houses) -> None:
    sim = house()
    one, two = sim.phone(1, room=1), sim.phone(2, room=1)
    sim.run(2.0)
    assert hears(one, two)
    sim.plane.send(protocol.PlaceLeg(2, 9))
    sim.run(1.5)
    assert not hears(one, two) and not hears(two, one)
    sim.plane.send(protocol.PlaceLeg(1, 9))
    sim.run(1.5)
    assert hears(one, two) and hears(two, one)
    sim.plane.send(protocol.PlaceLeg(1, None))
    sim.run(1.5)
    assert not hears(one, two) and not hears(two, one)


def test_a_muted_leg_is_not_heard_and_hears(house: Houses) -> None:
    sim = house()
    one, two = sim.phone(1, room=1), sim.phone(2, room=1)
    sim.plane.send(protocol.MuteLeg(2, True))
    sim.run(2.0)
    assert not hears(one, two) and hears(two, one)
    assert two.loudness(two.pitch) < NOTHING, "a muted leg hears itself inverted"
    sim.plane.send(protocol.MuteLeg(2, False))
    sim.run(1.5)
    assert hears(one, two)


@pytest.mark.parametrize(
    ("direction", "gets_packets", "is_heard"),
    [("recvonly", False, False), ("sendonly", True, False), ("inactive", False, False), ("sendrecv", True, True)],
)
def test_a_leg_on_hold_adds_nothing_and_gets_what_its_direction_says(
    house: Houses, direction: str, gets_packets: bool, is_heard: bool
) -> None:
    sim = house()
    one, two = sim.phone(1, room=1), sim.phone(2, room=1)
    sim.run(2.0)
    assert hears(one, two)
    sim.connect(two, direction)
    sim.run(0.2)
    two.packets().clear()
    sim.run(1.5)
    assert bool(two.packets()) == gets_packets
    assert hears(one, two) == is_heard
    sim.connect(two)
    sim.run(1.5)
    assert hears(one, two) and hears(two, one)


def test_a_mute_survives_a_hold(house: Houses) -> None:
    sim = house()
    one, two = sim.phone(1, room=1), sim.phone(2, room=1)
    sim.plane.send(protocol.MuteLeg(2, True))
    sim.connect(two, "inactive")
    sim.run(1.0)
    sim.connect(two)
    sim.run(2.0)
    assert not hears(one, two) and hears(two, one)


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_loss_reordering_and_duplicates_leave_the_voice_clear(house: Houses, seed: int) -> None:
    sim = house(seed, loss=0.02, duplicate=0.05, jitter=0.03)
    phones = [sim.phone(number, room=1) for number in (1, 2, 3)]
    sim.run(5.0)
    for listener in phones:
        for speaker in phones:
            assert hears(listener, speaker, 2.0) == (listener is not speaker), f"seed {seed}"
    (report,) = sim.reports_of(1)[-1:]
    assert report.duplicated > 0 and report.lost > 0 and report.strangers == 0


def test_a_strangers_packets_are_counted_and_not_heard(house: Houses) -> None:
    sim = house()
    one, two = sim.phone(1, room=1), sim.phone(2, room=1)
    sim.run(1.0)
    intruder = type(one)(9, sim.network, pitch=1700.0, port=one.port)
    sim.phones[9] = intruder
    sim.run(3.0)
    assert two.loudness(1700.0) < NOTHING and hears(two, one)
    assert sim.reports_of(1)[-1].strangers > 50


def test_skipped_ticks_advance_timestamps_and_the_voice_goes_on(house: Houses) -> None:
    sim = house()
    one, two = sim.phone(1, room=1), sim.phone(2, room=1)
    sim.run(1.0)
    before = struct.unpack("!HI", one.packets()[-1][1][2:8])
    sim.plane.skip(5)
    sim.now += 0.1
    sim.run(0.02)
    after = struct.unpack("!HI", one.packets()[-1][1][2:8])
    assert (after[0] - before[0]) % 2**16 == 1
    assert (after[1] - before[1]) % 2**32 == 6 * 160
    sim.run(2.0)
    assert one.loudness(two.pitch, 1.0) == pytest.approx(4000 * 0.6, rel=0.05)
    assert sum(r.skipped_ticks for r in sim.of_kind(protocol.PlaneReport)) == 5


@pytest.mark.parametrize("seed", range(3))
def test_coming_and_going_at_random_disturbs_nobody_who_stays(house: Houses, seed: int) -> None:
    sim = house(seed)
    rng = sim.network.rng
    formats = [{}, {"encoding": "PCMA", "payload_type": 8},
               {"encoding": "L16", "clock_rate": 16000, "payload_type": 96}]  # fmt: skip
    stayers = [sim.phone(1, room=1), sim.phone(2, room=1, **formats[2])]
    for number in range(10, 60):
        guest = sim.phone(number, room=rng.choice([1, 2, 3, None]), amplitude=500.0, **rng.choice(formats))
        guest.pitch = 3300.0
        sim.run(0.04)
        if number > 15 and rng.random() < 0.9:
            leaver = rng.choice([n for n in sim.phones if n >= 10])
            sim.plane.send(protocol.CloseLeg(leaver))
            del sim.phones[leaver]
    for one, other in (stayers, stayers[::-1]):
        assert hears(one, other, 1.0) and not hears(one, one, 1.0), f"seed {seed}"
