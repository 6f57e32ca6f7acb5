"""Outgoing packets against the same written out one by one, telephone events both ways, formats."""

import ctypes
import random

import numpy as np
import pytest

from sipconf.errors import MisuseError
from sipconf.rtp import telephone_event
from sipconf.rtp.formats import FORMATS, lookup
from sipconf.rtp.packet import ROW, parse
from sipconf.rtp.transmit import TRAILER_BYTES, Sender


def test_packets_are_those_that_a_plain_loop_would_write():
    rng = random.Random(8)
    sender = Sender(lookup("PCMA", 8000), 2)
    state = []
    for row in range(5):
        start = [rng.randrange(2**16), 2**32 - 400 + row, rng.randrange(2**32)]
        sender.open(row, payload_type=8, sequence=start[0], timestamp=start[1], ssrc=start[2])
        state.append([*start, True])
    for tick in range(50):
        payload = np.frombuffer(rng.randbytes(5 * 160), np.uint8).reshape(5, 160)
        sending = np.array([rng.random() < 0.8 for _ in range(5)])
        if tick == 20:
            sender.skip(3)
        sender.packetise(payload, sending)
        for row, one in enumerate(state):
            one[1] = (one[1] + (480 if tick == 20 else 0)) % 2**32
            if sending[row]:
                head = bytes((0x80, 8 | (0x80 if one[3] else 0))) + one[0].to_bytes(2) + one[1].to_bytes(4)
                packet = bytes(sender.packets_of(np.array([row]))[0])
                assert packet == head + one[2].to_bytes(4) + payload[row].tobytes()
                one[0] = (one[0] + 1) % 65536
            one[1] = (one[1] + 160) % 2**32
            one[3] = not sending[row]
    assert [sender.octets_of(row) for row in range(5)] == (sender.packets[:5] * 160).tolist()
    assert sender.packets[0] > 20
    sender.close(0)
    before = sender.packets[0]
    sender.packetise(payload, np.ones(5, bool))
    assert sender.packets[0] == before


@pytest.mark.parametrize("seed", range(3))
def test_packets_that_vary_are_those_that_a_plain_loop_would_write(seed):
    rng = random.Random(seed)
    sender = Sender(lookup("opus", 48000), 2)
    state = []
    for row in range(5):
        start = [rng.randrange(2**16), 2**32 - 4000 + row, rng.randrange(2**32)]
        sender.open(row, payload_type=111, sequence=start[0], timestamp=start[1], ssrc=start[2])
        state.append([*start, True, 0, 0])
    for _ in range(60):
        lengths = [rng.choice((0, 1, 2, 60, rng.randrange(1276))) for _ in range(5)]
        payloads = [rng.randbytes(length) for length in lengths]
        for row, payload in enumerate(payloads):
            sender.payload(5)[row, : len(payload)] = list(payload)
        sender.lengths[:5] = lengths
        may = [rng.random() < 0.8 for _ in range(5)]
        does = sender.stamp(np.array(may))
        assert does.tolist() == [may[row] and lengths[row] > 0 for row in range(5)]
        rows = np.flatnonzero(does)
        for row, view in zip(rows.tolist(), sender.packets_of(rows), strict=True):
            one = state[row]
            head = bytes((0x80, 111 | (0x80 if one[3] else 0))) + one[0].to_bytes(2) + one[1].to_bytes(4)
            assert bytes(view) == head + one[2].to_bytes(4) + payloads[row], f"seed {seed} row {row}"
            one[0], one[4], one[5] = (one[0] + 1) % 65536, one[4] + 1, one[5] + lengths[row]
        for row, one in enumerate(state):
            one[1], one[3] = (one[1] + 960) % 2**32, not does[row]
    assert sender.packets[:5].tolist() == [one[4] for one in state]
    assert [sender.octets_of(row) for row in range(5)] == [one[5] for one in state]


@pytest.mark.parametrize("format", FORMATS.values(), ids=str)
def test_behind_every_packet_is_room_and_rows_do_not_fall_into_the_same_sets_of_a_cache(format):
    sender = Sender(format, 3)
    sender.open(9, payload_type=0, sequence=0, timestamp=0, ssrc=0)
    stride = sender.buffer.strides[0]
    assert stride >= 12 + format.frame_bytes + TRAILER_BYTES and stride % 64 and stride % 4 == 0
    assert len(sender.addresses) == len(sender.buffer) == len(sender.lengths) >= 10
    sender.payload(10)[9, 0] = 77
    assert ctypes.string_at(int(sender.addresses[9]) + 12, 1) == b"M"


def test_formats_are_20_ms_each():
    for (encoding, rate), one in FORMATS.items():
        assert lookup(encoding.lower(), rate) is one and one.samples * 50 == rate
        assert one.varies or one.frame_bytes == 2 * one.half_bytes == one.samples * one.sample_bytes
    with pytest.raises(MisuseError):
        lookup("GSM", 8000)
    with pytest.raises(MisuseError):
        Sender(lookup("PCMU", 8000)).open(0, payload_type=128, sequence=0, timestamp=0, ssrc=0)


def digits_of(receiver, datagrams):
    block = np.zeros((len(datagrams), ROW), np.uint8)
    for row, one in zip(block, datagrams, strict=True):
        row[: len(one)] = list(one)
    parsed = parse(block, np.array([len(one) for one in datagrams]))
    slots = np.full(len(datagrams), 3)
    return [d for _, d in receiver.receive(slots, np.arange(len(datagrams)), parsed, block, 0.0)]


def press(digit, sequence, timestamp, **more):
    terms = dict(payload_type=101, sequence=sequence, timestamp=timestamp, ssrc=9)
    return list(telephone_event.digit_packets(digit, **terms, **more))


def test_a_digit_is_built_as_the_rfc_draws_it():
    packets = press("#", 65535, 1000)
    assert len(packets) == 7
    assert packets[0].hex() == "80e5ffff000003e8000000090b0a00a0"
    assert [one[13] >> 7 for one in packets] == [0, 0, 0, 0, 1, 1, 1]
    assert packets[-1].hex() == "80650005000003e8000000090b8a0320"
    for wrong in ("X", "", "12"):
        with pytest.raises(MisuseError):
            telephone_event.build(wrong, 1, False)


def test_a_digit_is_reported_once_whatever_is_lost_doubled_or_late():
    for seed in range(40):
        rng = random.Random(seed)
        receiver = telephone_event.EventReceiver()
        heard, late = [], []
        for n, digit in enumerate("4711*#D"):
            whole = press(digit, 10 * n, 2400 * n)
            packets = [p for p in whole if rng.random() < 0.6] or whole[-1:]
            packets = [p for p in packets for _ in range(rng.choice((1, 1, 2)))]
            keep = [p for p in packets if rng.random() < 0.8] or packets
            heard += digits_of(receiver, late + keep)
            late = keep[-1:]
        assert "".join(heard) == "4711*#D", f"seed {seed}"


def test_a_timestamp_that_moves_within_a_digit_is_still_one_digit():
    receiver = telephone_event.EventReceiver()
    head = b"\x80\x65\0\1"
    moving = [
        head + (5000 + 160 * n).to_bytes(4) + bytes(4) + telephone_event.build("5", 160 * (n + 1), n == 9)
        for n in range(10)
    ]
    assert digits_of(receiver, moving) == ["5"]
    held = [head + (9000 + 65535 * n).to_bytes(4) + bytes(4) + telephone_event.build("6", 160, False) for n in range(3)]
    assert digits_of(receiver, held) == ["6"]
    receiver.close(3)
    assert digits_of(receiver, held[:1]) == ["6"]


def test_events_that_are_no_digits_or_cut_off_are_passed_over():
    receiver = telephone_event.EventReceiver()
    head = b"\x80\x65\0\1" + bytes(8)
    assert digits_of(receiver, [head + b"\x10\x0a\0\xa0", head + b"\x05\x0a\0", head]) == []
