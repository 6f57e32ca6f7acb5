"""What the plane tells of its legs, and to their peers by RTCP: digits, talking, silence, figures."""

import struct
from collections.abc import Callable
from typing import Any

from sipconf.media import protocol

Houses = Callable[..., Any]


def test_a_digit_is_reported_once(house: Houses) -> None:
    sim = house()
    phone = sim.phone(1)
    sim.run(0.5)
    for digit, code in (("4", 4), ("#", 11)):
        phone.timestamp += 800
        for number in range(6):
            end = 0x80 if number >= 3 else 0
            payload = struct.pack("!BBH", code, end | 10, min(160 * (number + 1), 640))
            phone.packet(101, payload, sim.now, marker=number == 0)
            sim.tick()
        assert sim.of_kind(protocol.DigitReceived)[-1] == protocol.DigitReceived(1, digit)
    assert len(sim.of_kind(protocol.DigitReceived)) == 2


def test_talking_begins_and_ends(house: Houses) -> None:
    sim = house()
    sim.phone(1, room=1)
    sim.run(1.0)
    (began,) = sim.of_kind(protocol.TalkingChanged)
    assert (began.leg, began.talking) == (1, True) and -40 < began.level_db < 0
    sim.run(2.0, silent=[1])
    (ended,) = sim.of_kind(protocol.TalkingChanged)
    assert (ended.leg, ended.talking) == (1, False)


def test_a_leg_that_sends_nothing_is_told_once_and_again_after_it_came_back(house: Houses) -> None:
    sim = house(silence_timeout=2.0)
    sim.phone(1)
    held = sim.phone(2)
    sim.run(1.0)
    sim.connect(held, "sendonly")
    sim.run(6.0, silent=[1, 2])
    assert sim.of_kind(protocol.LegSilent) == [protocol.LegSilent(1)]
    sim.run(1.0)
    sim.run(4.0, silent=[1])
    assert sim.of_kind(protocol.LegSilent) == [protocol.LegSilent(1)]


def test_a_leg_that_never_sent_anything_is_silent_too(house: Houses) -> None:
    sim = house(silence_timeout=2.0)
    sim.phone(1)
    sim.run(4.0, silent=[1])
    assert sim.of_kind(protocol.LegSilent) == [protocol.LegSilent(1)]


def test_legs_report_every_two_seconds_and_count(house: Houses) -> None:
    sim = house()
    for number in range(5):
        sim.phone(number, room=1)
    sim.run(1.0)
    sim.run(4.0)
    for number in range(5):
        reports = sim.reports_of(number)
        assert len(reports) == 2
        assert reports[1].packets_rx - reports[0].packets_rx == 100
        assert reports[1].packets_tx - reports[0].packets_tx == 100
        assert -45 < reports[1].level_db < -10 and 0 < reports[1].delay_ms < 60
    assert [r.ticks for r in sim.of_kind(protocol.PlaneReport)] == [50] * 4
    assert {r.legs for r in sim.of_kind(protocol.PlaneReport)} == {5}


def test_rtcp_goes_to_the_rtcp_port_or_with_mux_to_the_rtp_port(house: Houses) -> None:
    sim = house()
    apart, muxed = sim.phone(1), sim.phone(2)
    sim.connect(muxed, rtcp_mux=True)
    sim.run(16.0)
    reports = sim.network.outbox[(apart.address[0], 4001)]
    assert len(reports) >= 2 and all(data[1] in (200, 201) for _, data in reports)
    assert any(data[1] == 200 for _, data in muxed.packets())
    sender_report = next(data for _, data in reports if data[1] == 200)
    ssrc, ntp_seconds = struct.unpack("!II", sender_report[4:12])
    assert ssrc == struct.unpack("!I", apart.packets()[-1][1][8:12])[0]
    assert abs(ntp_seconds - 2_208_988_800 - (1.7e9 + sim.now)) < 20  # seconds since 1900


def test_a_digit_and_its_repeated_end_add_no_delay(house: Houses) -> None:
    """RFC 4733 section 2.5.1.4: the last packet is sent three times; sequence numbers go on and time does not."""
    sim = house()
    speaker, _ = sim.phone(1, room=1), sim.phone(2, room=1)
    sim.run(4.0)
    jitter = sim.plane._banks[0].jitter
    before, told = float(jitter.delay_ms(0)), []
    for key in range(10):
        for packet in range(5):  # 100 ms of a key instead of sound, then its end twice more
            end = packet == 4
            for _ in range(3 if end else 1):
                event = struct.pack("!BBH", key, 0x80 * end | 10, 160 * (packet + 1))
                stamp, speaker.timestamp = speaker.timestamp, speaker.timestamp - 160 * packet
                speaker.packet(101, event, sim.now, marker=packet == 0)
                speaker.timestamp = stamp
            speaker.timestamp += 160
            speaker.next_at += 0.02
            sim.run(0.02)
            told += [event.digit for event in sim.of_kind(protocol.DigitReceived)]
        sim.run(0.5)
        told += [event.digit for event in sim.of_kind(protocol.DigitReceived)]
    assert told == list("0123456789")
    assert float(jitter.delay_ms(0)) <= before + 1 and jitter.playout.grown[0] == 0 and jitter.playout.resynced[0] == 0
