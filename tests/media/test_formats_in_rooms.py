"""Encodings, rates and packet lengths that meet in a room or change during a call."""

import struct
from collections.abc import Callable
from typing import Any

import pytest

from sipconf.media import protocol
from tests.media.conftest import hears

Houses = Callable[..., Any]


@pytest.mark.parametrize("traits", [
    {"encoding": "PCMA", "payload_type": 8},
    {"encoding": "L16", "clock_rate": 8000, "payload_type": 95},
    {"encoding": "L16", "clock_rate": 16000, "payload_type": 96},
    {"encoding": "L16", "clock_rate": 48000, "payload_type": 97, "packet_ms": 10},
], ids=str)  # fmt: skip
def test_formats_and_rates_meet_in_one_room(house: Houses, traits: dict[str, Any]) -> None:
    sim = house()
    plain, other, like = sim.phone(1, room=1), sim.phone(2, room=1, **traits), sim.phone(3, room=1, **traits)
    sim.run(2.5)
    for listener in (plain, other, like):
        for speaker in (plain, other, like):
            assert hears(listener, speaker) == (listener is not speaker), (listener.number, speaker.number)


@pytest.mark.parametrize("packet_ms", [10, 30, 40, 60])
def test_packets_of_other_lengths_are_heard_whole(house: Houses, packet_ms: int) -> None:
    sim = house()
    one, two = sim.phone(1, room=1), sim.phone(2, room=1, packet_ms=packet_ms)
    sim.run(4.0)
    assert one.loudness(two.pitch, 1.0) == pytest.approx(4000 * 0.6, rel=0.05)


def test_a_new_format_moves_the_leg_to_another_bank_and_it_goes_on_talking(house: Houses) -> None:
    sim = house()
    one, two = sim.phone(1, room=1), sim.phone(2, room=1)
    sim.run(2.0)
    first_ssrc = struct.unpack("!I", two.packets()[-1][1][8:12])[0]
    two.encoding, two.clock_rate, two.payload_type = "L16", 16000, 96
    two.packets().clear()
    sim.connect(two)
    sim.run(2.0)
    assert hears(one, two) and hears(two, one)
    assert {data[1] & 0x7F for _, data in two.packets()} == {96}
    assert {struct.unpack("!I", data[8:12])[0] for _, data in two.packets()} != {first_ssrc}
    two.encoding, two.clock_rate, two.payload_type = "PCMA", 8000, 8
    two.packets().clear()
    sim.connect(two)
    sim.run(2.0)
    assert hears(one, two) and hears(two, one)


def test_the_same_clock_rate_keeps_the_stream_across_banks(house: Houses) -> None:
    sim = house()
    phone = sim.phone(1, room=1)
    sim.run(1.0)
    phone.encoding, phone.payload_type = "PCMA", 8
    sim.connect(phone)
    sim.run(1.0)
    heads = [struct.unpack("!BBHII", data[:12]) for _, data in phone.packets()]
    assert len({head[4] for head in heads}) == 1
    assert {(b[2] - a[2]) % 2**16 for a, b in zip(heads, heads[1:], strict=False)} == {1}
    assert {(b[3] - a[3]) % 2**32 for a, b in zip(heads, heads[1:], strict=False)} == {160}


def test_a_peer_may_send_either_law(house: Houses) -> None:
    sim = house()
    one, two = sim.phone(1, room=1), sim.phone(2, room=1)
    pcma = protocol.RtpFormat("PCMA", 8000, 8)
    pcmu = protocol.RtpFormat("PCMU", 8000, 0)
    sim.connect(two, rx_formats=(pcmu, pcma))
    sim.run(1.5)
    assert hears(one, two)
    two.encoding, two.payload_type = "PCMA", 8
    sim.run(1.5)
    assert one.loudness(two.pitch, 1.0) == pytest.approx(4000 * 0.6, rel=0.05)
