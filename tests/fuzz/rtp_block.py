"""Target: RTP, many datagrams at a time. Nothing escapes; the headers read are those that a plain loop reads; streams,
batches and digits keep their rules whatever comes."""

import random
from collections.abc import Iterator

import numpy as np

from sipconf.rtp.batches import Received
from sipconf.rtp.packet import NO_LEVEL, ROW, parse
from sipconf.rtp.streams import Streams
from sipconf.rtp.telephone_event import DIGITS, EventReceiver
from tests.fuzz.driver import Target, expect
from tests.fuzz.mutation import mutate
from tests.fuzz.seeds import RTP, corpus

BLOCK = 64
SLOTS = 4
EVENT = 101
PEER = ("192.0.2.1", 4000)


class RtpBlock(Target):
    """An input is one datagram behind its length (RFC 4571), so that a file may hold many. BLOCK of them are judged
    together, each for the leg that its place says."""

    name = "rtp"
    ending = "block"

    def __init__(self) -> None:
        self._seeds = RTP + corpus("rtp/rtp*.bin", "fuzz_seeds/janus/rtp_fuzzer/*/*")
        self._zeros = np.zeros((BLOCK, ROW), np.uint8)

    def begin(self, rng: random.Random) -> None:
        self._now, self._fed = 100.0, 0
        self._pending: list[bytes] = []
        self._last: list[bytes] = []
        self._sequence = 0
        self._digits = EventReceiver()
        self._streams = Streams(SLOTS)
        for slot in range(SLOTS):
            self._streams.open(slot)
            self._streams.connect(
                slot, remote=PEER, signalling_host=PEER[0], clock_rate=(8000, 48000)[slot % 2],
                kinds={0: 0, 8: 1, 96: 2}, telephone_event=EVENT, remote_rtcp=None, now=self._now,
                audio_level=slot,
            )  # fmt: skip

    def make(self, rng: random.Random) -> bytes:
        return framed([self._packet(rng)])

    def _packet(self, rng: random.Random) -> bytes:
        """A third goes on in sequence, so that sources are believed between the others."""
        if rng.random() < 0.35:
            self._sequence += rng.choice((1, 1, 1, 1, 1, 0, 2, 2999, 3001, -1, -100, -101, 32768))
            number, kind = self._sequence & 0xFFFF, rng.choice((0, 0, 0, 0, 8, 96, EVENT, 13))
            clock = (160 * self._sequence & 0xFFFFFFFF).to_bytes(4)
            payload = rng.randbytes(rng.choice((0, 3, 4, 160)))
            return bytes((0x80, kind)) + number.to_bytes(2) + clock + b"\0\0\0\5" + payload
        if rng.random() < 0.1:
            return rng.randbytes(int(rng.random() * 200))
        return mutate(rng, rng.choice(self._seeds), self._seeds)[:ROW]

    def judge(self, data: bytes) -> None:
        for datagram in datagrams(data):
            self._pending.append(datagram[:ROW])
            if len(self._pending) == BLOCK:
                self._feed()

    def evidence(self, data: bytes) -> bytes:
        return framed(self._last)

    def end(self) -> None:
        """The rest of a block, and a stream that is whole is believed after all that."""
        self._feed()
        for number in range(40000, 40008, 2):
            heads = (b"\x80\x00" + each.to_bytes(2) + bytes(4) + b"\0\0\0\7" for each in (number, number + 1))
            self._pending = [head + bytes(160) for head in heads] * SLOTS
            self._feed()
        believed = set(self._streams.ssrc[self._streams.started].tolist())
        expect(bool(self._streams.started.all()) and believed == {7}, "a good source is not believed")

    def _feed(self) -> None:
        packets, self._pending = self._pending, []
        self._last = packets
        if not packets:
            return
        self._now += 0.02
        block = self._zeros[: len(packets)].copy()
        for row, packet in zip(block, packets, strict=True):
            row[: len(packet)] = np.frombuffer(packet, np.uint8)
        lengths = np.array([len(packet) for packet in packets])
        slots = np.arange(len(packets), dtype=np.intp) // 2 % SLOTS
        parsed = parse(block, lengths, self._streams.level_ids(slots))
        for i, packet in enumerate(packets):
            expect(bool(parsed.valid[i]) == (_payload(packet) is not None), f"packet {i}: valid or not")
            if parsed.valid[i]:
                _judge_header(packet, i, parsed)
        sensible = (parsed.levels <= 127) | (parsed.levels == NO_LEVEL)
        expect(bool(sensible.all()), "a level beyond its seven bits")
        received = self._streams.receive(slots, parsed, self._now)
        self._fed += len(packets)
        self._judge_received(received, slots, len(packets))
        digits = self._digits.receive(slots, received.events, parsed, block, self._now)
        expect(len(digits) <= len(received.events), "more digits than packets")
        expect(all(digit in DIGITS and 0 <= slot < SLOTS for slot, digit in digits), "a digit of nobody")

    def _judge_received(self, received: Received, slots: np.ndarray, count: int) -> None:
        taken = [np.asarray(batch.index) for batch in received.batches] + [received.events, received.rtcp]
        places = np.concatenate(taken)
        expect(len(set(places.tolist())) == len(places) <= count, "a packet that went two ways")
        for batch in received.batches:
            expect(len(set(batch.slots.tolist())) == len(batch.slots), "a leg twice in a round")
            expect(bool((batch.slots == slots[batch.index]).all()), "a packet of another leg")
            inside = (batch.sizes >= 0).all() and (batch.offsets + batch.sizes <= ROW).all()
            expect(bool(inside), "a payload beyond its row")
        streams = self._streams
        expect(bool(np.isfinite(streams.jitter.mean).all() and (streams.jitter.mean >= 0).all()), "jitter out of sense")
        expect(int(streams.received.sum()) <= self._fed, "more packets than came")


def framed(packets: list[bytes]) -> bytes:
    """Datagrams one after the other, each behind its length in two octets (RFC 4571)."""
    return b"".join(len(packet).to_bytes(2) + packet for packet in packets)


def datagrams(data: bytes) -> Iterator[bytes]:
    """Back again; the last one may be cut short."""
    at = 0
    while at + 2 <= len(data):
        length = int.from_bytes(data[at : at + 2])
        yield data[at + 2 : at + 2 + length]
        at += 2 + length


def _payload(packet: bytes) -> tuple[int, int] | None:
    """Offset and size of the payload, read as RFC 3550 section 5.1 is written; None for what is no RTP."""
    if len(packet) < 12 or packet[0] >> 6 != 2 or 192 <= packet[1] < 224:
        return None
    offset = 12 + 4 * (packet[0] & 15)
    if packet[0] & 0x10:
        if len(packet) < offset + 4:
            return None
        offset += 4 + 4 * int.from_bytes(packet[offset + 2 : offset + 4])
    padding = packet[-1] if packet[0] & 0x20 else 0
    if packet[0] & 0x20 and padding == 0 or offset + padding > len(packet):
        return None
    return offset, len(packet) - offset - padding


def _judge_header(packet: bytes, i: int, parsed: object) -> None:
    whole = (
        packet[1] & 0x7F, packet[1] >= 0x80, int.from_bytes(packet[2:4]), int.from_bytes(packet[4:8]),
        int.from_bytes(packet[8:12]), *(_payload(packet) or ()),
    )
    names = ("payload_type", "marker", "sequence", "timestamp", "ssrc", "offset", "size")
    expect(tuple(getattr(parsed, name)[i] for name in names) == whole, f"packet {i}: another header")
