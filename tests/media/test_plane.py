"""The plane on a simulated network: who hears whom, judged by a tone for each telephone."""

import struct
from collections.abc import Callable
from typing import Any

import pytest

from sipconf.errors import MisuseError
from sipconf.media import protocol

Houses = Callable[..., Any]

CLEAR = 800.0
"""A tone of a telephone that is heard is louder than this (they send 4000 * 0.6 on average)."""
NOTHING = 60.0
BEEP = 2500.0


def hears(listener: Any, speaker: Any, seconds: float = 1.0) -> bool:
    loudness = listener.loudness(speaker.pitch, seconds)
    assert loudness > CLEAR or loudness < NOTHING, f"{loudness} is neither there nor gone"
    return loudness > CLEAR


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


def test_nothing_is_sent_before_an_address_is_known(house: Houses) -> None:
    sim = house()
    phone = sim.phone(1, connect=False)
    sim.connect(phone, remote=None, remote_rtcp=None)
    sim.run(0.5, silent=[1])
    assert not phone.packets()
    sim.run(1.0)
    assert phone.packets()


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


def test_closing_says_bye_and_frees_the_port(house: Houses) -> None:
    sim = house()
    phone = sim.phone(1, room=1)
    sim.run(0.5)
    sim.plane.send(protocol.CloseLeg(1))
    sim.plane.send(protocol.MuteLeg(1, True))  # crossed the close: nobody minds
    sim.tick()
    (_, last) = sim.network.outbox[(phone.address[0], 4001)][-1]
    kinds, at = [], 0
    while at < len(last):
        kinds.append(last[at + 1])
        at += 4 + 4 * struct.unpack("!H", last[at + 2 : at + 4])[0]
    assert 203 in kinds
    count = len(phone.packets())
    sim.run(0.5)
    assert len(phone.packets()) == count and sim.plane.legs == 0
    assert sim.phone(2).port == phone.port


def test_no_port_is_a_failed_leg_and_no_exception(house: Houses) -> None:
    sim = house(pairs=2)
    sim.phone(1), sim.phone(2)
    sim.plane.send(protocol.OpenLeg(3, "0.0.0.0", "x"))
    sim.tick()
    (failed,) = sim.of_kind(protocol.LegFailed)
    assert failed.leg == 3 and "port" in failed.reason
    sim.plane.send(protocol.CloseLeg(1))
    sim.phone(4)


def test_a_leg_opened_twice_is_our_mistake(house: Houses) -> None:
    sim = house()
    sim.phone(1)
    sim.plane.send(protocol.OpenLeg(1, "0.0.0.0", "x"))
    with pytest.raises(MisuseError):
        sim.tick()


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


def test_a_closed_plane_has_no_ports_left(house: Houses) -> None:
    sim = house()
    sim.phone(1, room=1), sim.phone(2)
    sim.run(0.2)
    sim.plane.close()
    assert not sim.network.port_of_slot and sim.plane.legs == 0


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
