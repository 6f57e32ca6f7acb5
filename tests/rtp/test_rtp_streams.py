"""Which packets become a stream: probation, latching, strangers, jitter."""

import random

import numpy as np
import pytest

from sipconf.errors import MisuseError
from sipconf.rtp.latching import NAT_GRACE, PREFERENCE, SAME_HOST_GRACE, Verdict
from sipconf.rtp.packet import NO_LEVEL, ROW, Drained, parse
from sipconf.rtp.probation import PACKETS, SPAN
from sipconf.rtp.streams import Streams

HOME = ("192.0.2.1", 4000)


def packet(sequence, *, timestamp=None, ssrc=5, payload_type=0, marker=False, payload=bytes(160)):
    timestamp = 160 * sequence if timestamp is None else timestamp
    head = bytes((0x80, payload_type | (0x80 if marker else 0))) + (sequence % 65536).to_bytes(2)
    return head + (timestamp % 2**32).to_bytes(4) + ssrc.to_bytes(4) + payload


def receive(streams, packets, now):
    """packets: (slot, datagram)."""
    block = np.zeros((len(packets), ROW), np.uint8)
    for row, (_, datagram) in zip(block, packets, strict=True):
        row[: len(datagram)] = list(datagram)
    slots = np.array([slot for slot, _ in packets], np.intp)
    return streams.receive(slots, parse(block, np.array([len(one) for _, one in packets])), now)


def connected(*slots, capacity=2, **changes):
    streams = Streams(capacity)
    for slot in slots:
        streams.open(slot)
        connect(streams, slot, **changes)
    return streams


def connect(streams, slot, **changes):
    terms = dict(
        remote=HOME, signalling_host=HOME[0], clock_rate=8000, kinds={0: 0, 8: 1}, telephone_event=101,
        remote_rtcp=(HOME[0], HOME[1] + 1), now=0.0,
    )  # fmt: skip
    return streams.connect(slot, **(terms | changes))


def taken(received):
    """(slot, position) of the audio, in batches."""
    return [list(zip(b.slots.tolist(), b.index.tolist(), strict=True)) for b in received.batches]


def test_a_source_is_believed_from_its_fourth_packet():
    streams = connected(0)
    assert taken(receive(streams, [(0, packet(n)) for n in (1, 2, 3 + SPAN, 5 + SPAN, 7 + SPAN)], 0)) == []
    got = receive(streams, [(0, packet(8 + SPAN)), (0, packet(9 + SPAN))], 0.02)
    assert taken(got) == [[(0, 0)], [(0, 1)]]
    assert [b.fresh.tolist() for b in got.batches] == [[True], [False]]
    assert streams.received[0] == 2 and streams.lost(0) == 0 and streams.silent_since(0) == 0.02


def test_another_ssrc_must_prove_itself_while_the_old_one_goes_on():
    streams = connected(0)
    receive(streams, [(0, packet(n)) for n in range(6)], 0)
    mixed = [(0, packet(6)), *((0, packet(900 + n, ssrc=6)) for n in range(3)), (0, packet(7))]
    assert [one for batch in taken(receive(streams, mixed, 0.1)) for one in batch] == [(0, 0), (0, 4)]
    got = receive(streams, [(0, packet(903, ssrc=6)), (0, packet(8))], 0.2)
    assert taken(got) == [[(0, 0)]] and got.batches[0].fresh.all() and streams.ssrc[0] == 6


def extended(sequence, level, **more):
    """A packet with a level in element 3."""
    plain = packet(sequence, **more)
    return bytes([0x90]) + plain[1:12] + bytes((0xBE, 0xDE, 0, 1, 0x30, level, 0, 0)) + plain[12:]


def test_levels_are_read_of_legs_that_have_agreed_on_them():
    streams = connected(0, 1, capacity=1)
    slots = np.array([0, 1])
    assert streams.level_ids(slots) is None
    connect(streams, 1, audio_level=3)
    connect(streams, 1, audio_level=3)
    assert streams.level_ids(slots).tolist() == [0, 3]
    for n in range(6):
        block = np.zeros((2, ROW), np.uint8)
        for row in block:
            row[:180] = list(extended(n, 0x80 | 40 + n))
        parsed = parse(block, np.array([180, 180]), streams.level_ids(slots))
        got = streams.receive(slots, parsed, n / 50)
    (batch,) = got.batches
    assert batch.levels.tolist() == [NO_LEVEL, 45] and batch.sizes.tolist() == [160, 160]
    streams.close(1)
    assert streams.level_ids(slots) is None


def test_packets_that_vary_in_length_never_go_the_short_way():
    streams = connected(0, kinds={111: 0}, clock_rate=48000, frame=(0, 0))
    for n in range(20):
        block = np.zeros((1, ROW), np.uint8)
        payload = bytes(n % 3)  # none at all is no packet that could be expected
        block[0, : 12 + len(payload)] = list(packet(n, timestamp=960 * n, payload_type=111, payload=payload))
        lengths = np.array([12 + len(payload)])
        frames, rest = next(streams.receive_expected(Drained(np.array([0]), block, lengths), n / 50))
        assert frames is None and rest.tolist() == [0]
        got = streams.receive(np.array([0]), parse(block, lengths), n / 50)
        assert n < 4 or got.batches[0].sizes.tolist() == [len(payload)]


@pytest.mark.parametrize("seed", range(3))
def test_rounds_hold_every_slot_once_and_keep_the_order(seed):
    rng = random.Random(seed)
    streams = connected(*range(30))
    for slot in range(30):
        receive(streams, [(slot, packet(n)) for n in range(4)], 0)
    sent = sorted((rng.random(), slot, n) for slot in range(30) for n in range(4, 4 + rng.randrange(6)))
    order = {slot: iter(sorted(n for _, s, n in sent if s == slot)) for slot in range(30)}
    packets = [(slot, packet(next(order[slot]))) for _, slot, _ in sent]
    got = receive(streams, packets, 0.1)
    for batch in got.batches:
        assert len(set(batch.slots.tolist())) == len(batch.slots)
    by_slot = [(slot, index) for batch in taken(got) for slot, index in batch]
    assert sorted(index for _, index in by_slot) == list(range(len(packets)))
    for slot in range(30):
        assert [i for s, i in by_slot if s == slot] == [i for i, (s, _) in enumerate(packets) if s == slot]


def test_kinds_events_comfort_noise_rtcp_and_the_unknown_go_their_ways():
    streams = connected(1)
    receive(streams, [(1, packet(n)) for n in range(4)], 0)
    packets = [
        (1, packet(4, payload_type=8)),
        (1, packet(5, payload_type=101, timestamp=640, payload=bytes(4))),
        (1, packet(6, payload_type=101, timestamp=640, payload=bytes(4))),
        (1, packet(7, payload_type=13, payload=bytes(1))),
        (1, packet(8, payload_type=97)),
        (1, b"\x80\xc9\x00\x01\x00\x00\x00\x05"),
        (1, packet(8)),
        (1, packet(8)),
    ]
    got = receive(streams, packets, 0.1)
    assert taken(got) == [[(1, 0)], [(1, 6)]] and [b.kinds.tolist() for b in got.batches] == [[1], [0]]
    assert got.events.tolist() == [1, 2] and got.rtcp.tolist() == [5]
    assert streams.bad[1] == 1 and streams.duplicated[1] == 1 and streams.lost(1) == 0
    half = got.batches[0].where(np.array([False]))
    assert len(half.index) == 0


def test_jitter_is_that_of_the_rfc_written_out():
    streams, rng = connected(0), random.Random(4)
    receive(streams, [(0, packet(n)) for n in range(4)], 0.0)
    jitter, last = 0.0, int(0.0) - 160 * 3
    for n in range(4, 200):
        now = round(0.02 * (n - 3) + rng.random() * 0.03, 3)
        receive(streams, [(0, packet(n))], now)
        transit = int(now * 8000) - 160 * n
        jitter += (abs(transit - last) - jitter) / 16
        last = transit
    assert streams.jitter.mean[0] == pytest.approx(jitter) and 2 < streams.jitter.milliseconds(0) < 20


# --- latching --------------------------------------------------------------------------------------------------------
def judge(streams, address, numbers, now, ssrc=5):
    return [streams.source_of(0, address, packet(n, ssrc=ssrc), now) for n in numbers]


def test_the_signalled_address_latches_on_its_fourth_packet_and_its_stream_starts_there():
    streams = connected(0)
    assert judge(streams, HOME, range(PACKETS), 0.0) == [Verdict.DROP] * 3 + [Verdict.LATCH]
    assert streams.latched(0) == HOME
    assert taken(receive(streams, [(0, packet(3))], 0.0)) == [[(0, 0)]]
    assert judge(streams, HOME, [9], 0.1) == [Verdict.ACCEPT]
    assert judge(streams, (HOME[0], 4002), range(8), 9.0) == [Verdict.DROP] * 8


def test_a_source_whose_packets_overtake_each_other_is_believed_soon():
    """A tenth is lost, 100 ms of jitter turn the order round: four in a row would take seconds."""
    for seed in range(50):
        rng = random.Random(seed)
        due = [(20 * n + rng.random() * 100, n) for n in range(40) if rng.random() >= 0.1]
        streams = connected(0)
        order = [n for _, n in sorted(due)]
        verdicts = judge(streams, HOME, order, 0.0)
        assert verdicts.index(Verdict.LATCH) == PACKETS - 1, f"seed {seed}"
        streams = connected(0)
        heard = [bool(taken(receive(streams, [(0, packet(n))], 0.02 * n))) for n in order]
        assert heard.index(True) == PACKETS - 1, f"seed {seed}"


@pytest.mark.parametrize("numbers", [[7] * 9, [1, 2, 3, 1, 2, 3], range(0, 4000, SPAN), range(0, 65536, 9000)])
def test_packets_that_do_not_belong_together_prove_nothing(numbers):
    streams = connected(0)
    assert Verdict.LATCH not in judge(streams, HOME, numbers, 0.0)
    assert taken(receive(streams, [(0, packet(n)) for n in numbers], 0.0)) == []
    for n in range(20):
        assert judge(streams, HOME, [n], 0.0, ssrc=n % 4) == [Verdict.DROP], "four sources with one address"


def test_a_stranger_never_latches_and_is_counted():
    streams = connected(0)
    for now in (0.0, 1.0, 60.0):
        assert Verdict.LATCH not in judge(streams, ("203.0.113.9", 4000), range(20), now)
    assert streams.strangers[0] == 60 and streams.latched(0) is None


def test_before_it_is_connected_and_after_it_is_closed_everyone_is_a_stranger():
    streams = Streams(1)
    streams.open(0)
    assert judge(streams, HOME, range(9), 0.0) == [Verdict.DROP] * 9
    connect(streams, 0)
    streams.close(0)
    assert judge(streams, HOME, range(9), 0.0) == [Verdict.DROP] * 9
    assert taken(receive(streams, [(0, packet(n)) for n in range(9)], 0)) == []


def test_behind_a_nat_the_host_of_the_signalling_may_latch_after_a_short_while():
    streams = connected(0, remote=("10.0.0.7", 4000), signalling_host="198.51.100.3")
    seen = ("198.51.100.3", 61000)
    assert Verdict.LATCH not in judge(streams, seen, range(8), NAT_GRACE / 2)
    assert judge(streams, seen, [8], NAT_GRACE + 0.01) == [Verdict.LATCH]


def test_a_neighbour_on_the_same_host_cannot_outrun_the_signalled_port():
    """Many telephones on one address: what floods first must not win."""
    streams = connected(0)
    neighbour = (HOME[0], 5555)
    assert Verdict.LATCH not in judge(streams, neighbour, range(50), SAME_HOST_GRACE - 0.1)
    assert Verdict.LATCH not in judge(streams, HOME, [1, 2], SAME_HOST_GRACE)
    assert Verdict.LATCH not in judge(streams, neighbour, range(50, 90), SAME_HOST_GRACE + PREFERENCE - 0.1)
    assert judge(streams, HOME, [3, 4], 2.0) == [Verdict.DROP, Verdict.LATCH]


def test_a_flood_of_ports_leaves_room_for_the_signalled_one():
    streams = connected(0)
    for port in range(100):
        judge(streams, (HOME[0], 10000 + port), [1], 0.1)
    assert judge(streams, HOME, range(4), 0.1)[-1] is Verdict.LATCH


def test_packets_of_no_known_type_prove_nothing():
    streams = connected(0)
    verdicts = [streams.source_of(0, HOME, packet(n, payload_type=97), 0.0) for n in range(9)]
    verdicts += [streams.source_of(0, HOME, data, 0.0) for data in (b"", b"\0" * 20, b"\x80\0")]
    assert set(verdicts) == {Verdict.DROP} and streams.bad[0] == 12


def test_new_signalling_opens_the_question_only_for_another_or_a_silent_peer():
    streams = connected(0)
    judge(streams, HOME, range(4), 0.0)
    receive(streams, [(0, packet(3))], 0.0)
    assert not connect(streams, 0, now=0.5) and streams.latched(0) == HOME
    assert connect(streams, 0, now=30.0) and streams.latched(0) is None
    judge(streams, HOME, range(4), 30.0)
    receive(streams, [(0, packet(3))], 30.0)
    assert connect(streams, 0, now=30.1, remote=(HOME[0], 4444)) and streams.latched(0) is None
    assert Verdict.LATCH not in judge(streams, HOME, range(4, 20), 30.2)


def test_mapped_addresses_are_the_same_as_plain_ones():
    streams = connected(0)
    assert judge(streams, ("::ffff:192.0.2.1", 4000, 0, 0), range(4), 0.0)[-1] is Verdict.LATCH


def test_rtcp_is_taken_from_the_peer_only():
    streams = connected(0, remote_rtcp=None)
    report = bytes.fromhex("80c9000100000005")
    assert not streams.rtcp_source_of(0, (HOME[0], 4001), report)
    judge(streams, HOME, range(4), 0.0)
    receive(streams, [(0, packet(3))], 0.0)
    assert streams.rtcp_source_of(0, (HOME[0], 4001), report)
    assert not streams.rtcp_source_of(0, (HOME[0], 9999), report)
    assert not streams.rtcp_source_of(0, ("203.0.113.9", 4001), report)


def test_behind_a_nat_rtcp_comes_from_the_first_port_that_knows_the_stream():
    streams = connected(0, remote=("192.168.1.5", 4000), remote_rtcp=("192.168.1.5", 4001))
    report = bytes.fromhex("80c9000100000005")
    judge(streams, HOME, range(4), 1.0)
    receive(streams, [(0, packet(3))], 1.0)
    assert not streams.rtcp_source_of(0, (HOME[0], 9999), report[:-1] + b"\x06")
    assert streams.rtcp_source_of(0, (HOME[0], 9999), report)
    assert not streams.rtcp_source_of(0, (HOME[0], 9998), report)
    assert streams.rtcp_source_of(0, (HOME[0], 4001), report)  # where it is to be expected
    assert not streams.rtcp_source_of(0, (HOME[0], 9999), report)


def test_kinds_are_small_numbers():
    with pytest.raises(MisuseError):
        connected(0, kinds={0: 16})
