"""Taking packets whose header was expected gives what reading every header gives: the long way is the plain twin."""

import random

import numpy as np
import pytest

from sipconf.rtp import playout
from sipconf.rtp.formats import lookup
from sipconf.rtp.jitter import JitterBank
from sipconf.rtp.packet import ROW, Drained, parse
from sipconf.rtp.streams import Streams

LEGS = 12
HOLE = 5
"""A slot that nobody has: the columns have a gap there."""
FORMAT = lookup("PCMU", 8000)
TICK = 0.02


class House:
    """Streams and a jitter buffer. expecting: takes the short way where it may."""

    def __init__(self, expecting: bool) -> None:
        self.expecting = expecting
        self.streams, self.bank = Streams(4), JitterBank(FORMAT, 3)
        self.row_of = np.zeros(LEGS, np.intp)
        self.events: list[tuple[int, int]] = []
        self.short = 0
        for row, slot in enumerate(slot for slot in range(LEGS) if slot != HOLE):
            self.row_of[slot] = LEGS - 2 - row  # not in the order of the slots
            self.streams.open(slot)
            self.streams.connect(
                slot, remote=("192.0.2.1", 4000), signalling_host="192.0.2.1", clock_rate=8000,
                kinds={0: 0, 1: 0, 8: 1}, telephone_event=101, remote_rtcp=None, now=0.0, frame=(160, 160),
            )  # fmt: skip
            self.bank.open(int(self.row_of[slot]))

    def tick(self, drained: Drained, now: float) -> tuple[bytes, bytes]:
        slots, block, lengths, _ = drained.in_line()
        others = np.flatnonzero(lengths > 0)
        if self.expecting:
            left = []
            for frames, rest in self.streams.receive_expected(drained, now):
                left.append(rest)
                if frames is None:
                    continue
                self.short += len(frames.slots)
                rows = self.row_of[frames.slots]
                if not self.bank.put_next(rows, frames.lines, drained.block):
                    self.bank.put(rows, self.streams.as_batch(frames), drained.block)
            others = np.concatenate([others[:0], *left])
        slots, part, lengths = slots[others], block[others], lengths[others]
        if len(slots):
            received = self.streams.receive(slots, parse(part, lengths), now)
            for batch in received.batches:
                self.bank.put(self.row_of[batch.slots], batch, part)
            self.events += [(int(slots[index]), int(part[index, 3])) for index in received.events]
        taken = self.bank.take(LEGS - 1)
        return taken.codes.tobytes(), taken.filled.tobytes()


class Sender:
    """One leg's telephone: mostly the next packet of 20 ms, now and then something else."""

    def __init__(self, rng: random.Random, oddities: float) -> None:
        self.rng, self.oddities = rng, oddities
        self.sequence = rng.choice([0, 65_300, 65_530, rng.randrange(65_536)])
        self.timestamp = rng.choice([0, 2**32 - 50_000, 2**32 - 161, rng.randrange(2**32)])
        self.ssrc, self.payload_type = rng.getrandbits(32), 0
        self.held: list[bytes] = []

    def packet(self, *, samples: int = 160, marker: bool = False, payload_type: int | None = None) -> bytes:
        kind = self.payload_type if payload_type is None else payload_type
        head = bytes((0x80, kind | 0x80 * marker)) + self.sequence.to_bytes(2) + self.timestamp.to_bytes(4)
        made = head + self.ssrc.to_bytes(4) + self.rng.randbytes(samples)
        self.sequence = (self.sequence + 1) % 2**16
        if kind != 101:
            self.timestamp = (self.timestamp + samples) % 2**32
        return made

    def tick(self) -> list[bytes]:
        """What reaches us in one tick, in order."""
        came, self.held = self.held, []
        if self.rng.random() >= self.oddities:
            return [*came, self.packet()]
        match self.rng.randrange(12):
            case 0:
                self.packet()  # lost
            case 1:
                self.held = [self.packet()]  # late
            case 2:
                first, second = self.packet(), self.packet()
                came += [second, first]
            case 3:
                came += [self.packet()] * 2
            case 4:
                came += [self.packet(samples=80), self.packet(samples=80)]
            case 5:
                came.append(self.packet(samples=240))
            case 6:
                came += [self.packet(samples=4, payload_type=101) for _ in range(3)]
            case 7:
                self.timestamp = (self.timestamp + self.rng.choice([37, 480, 80_000])) % 2**32
                came.append(self.packet(marker=self.rng.random() < 0.5))
            case 8:
                self.payload_type = self.rng.choice([0, 1, 8])
                came.append(self.packet())
            case 9:
                self.ssrc, self.sequence = self.rng.getrandbits(32), self.rng.randrange(2**16)
                came.append(self.packet())
            case 10:
                came += [b"\x90" + self.packet()[1:], b"\x80\xc8\x00\x01" + bytes(4), self.packet()[:9]]
            case 11:
                came.append(self.packet(payload_type=13, samples=1))
        return came


def drained(rng: random.Random, senders: dict[int, Sender]) -> Drained:
    """A tick's datagrams as the sockets give them: a row for each leg, filled or not, then the further ones."""
    first: list[tuple[int, bytes]] = []
    further: list[tuple[int, bytes]] = []
    for slot, sender in senders.items():
        came = sender.tick()
        first.append((slot, came[0] if came else b""))
        further += [(slot, data) for data in came[1:]]
    rows = first + further
    block = np.frombuffer(rng.randbytes(len(rows) * ROW), np.uint8).reshape(-1, ROW).copy()
    for row, (_, data) in zip(block, rows, strict=True):
        row[: len(data)] = list(data)
    lengths = np.array([len(data) or -11 for _, data in rows])
    return Drained(np.array([slot for slot, _ in rows], np.intp), block, lengths)


def scattered(rng: random.Random, came: Drained) -> Drained:
    """The same, of one socket for all: no row where nothing came, in any order of rows."""
    filled = np.flatnonzero(came.lengths > 0)
    lines = np.array(rng.sample(range(len(filled) + 3), len(filled)), np.intp)
    block = np.frombuffer(rng.randbytes((len(filled) + 3) * ROW), np.uint8).reshape(-1, ROW).copy()
    block[lines] = came.block[filled]
    return Drained(came.slots[filled], block, came.lengths[filled], lines)


def test_a_leg_that_comes_later_finds_room() -> None:
    """The columns grow while everyone is in step."""
    house, rng = House(expecting=True), random.Random(3)
    senders = {slot: Sender(rng, 0.0) for slot in range(LEGS) if slot != HOLE}
    for tick in range(20):
        if tick == 10:
            house.streams.open(200)
        house.tick(drained(rng, senders), TICK * tick)
    assert house.short >= 14 * (LEGS - 1) and house.streams.bad.sum() == 0


@pytest.mark.parametrize("seed", range(8))
def test_the_short_way_and_the_long_way_are_one(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # Who is late is counted in rounds, which the two ways divide a tick's packets into differently.
    monkeypatch.setattr(playout, "STALLED", LEGS + 1)
    rng = random.Random(seed)
    short, anywhere, long = House(expecting=True), House(expecting=True), House(expecting=False)
    senders = {slot: Sender(rng, 0.02 * (seed % 4)) for slot in range(LEGS) if slot != HOLE}
    for tick in range(1, 600):
        came = drained(rng, senders)
        now = TICK * tick + rng.random() * 0.002
        sound = [house.tick(came, now) for house in (short, long)] + [anywhere.tick(scattered(rng, came), now)]
        assert sound[0] == sound[1] == sound[2], f"seed {seed} tick {tick}"
        if tick % 97 == 0:
            for house in (short, anywhere, long):
                house.streams.connect(
                    3, remote=("192.0.2.1", 4000), signalling_host="192.0.2.1", clock_rate=8000,
                    kinds={0: 0, 1: 0, 8: 1}, telephone_event=101, remote_rtcp=None, now=now, frame=(160, 160),
                )  # fmt: skip
            assert [house.bank.skip(tick % 3) for house in (short, anywhere, long)] == 3 * [None]
    used = np.array(list(senders))
    for figures in ("received", "duplicated", "bad", "last_packet", "ssrc", "started"):
        both = [getattr(house.streams, figures)[used].tolist() for house in (short, anywhere, long)]
        assert both[0] == both[1] == both[2], figures
    assert short.streams.lost(used).tolist() == long.streams.lost(used).tolist()
    assert short.streams.jitter.mean[used] == pytest.approx(long.streams.jitter.mean[used], abs=1e-9)
    for figures in ("late", "resynced", "grown", "dropped", "end"):
        both = [getattr(house.bank.playout, figures)[: LEGS - 1].tolist() for house in (short, anywhere, long)]
        assert both[0] == both[1] == both[2], figures
    assert short.events == anywhere.events == long.events
    assert short.short == anywhere.short
    assert short.short > 0.6 * 600 * (LEGS - 1) and long.short == 0, "the short way was not taken"


def test_everyone_in_step_is_one_slice() -> None:
    """No leg missing, no hole: the whole drain is taken at once, and its rows are a slice of the block."""
    streams = Streams(8)
    for slot in range(8):
        streams.open(slot)
        streams.connect(
            slot, remote=None, signalling_host="192.0.2.1", clock_rate=8000, kinds={0: 0}, telephone_event=None,
            remote_rtcp=None, now=0.0, frame=(160, 160),
        )  # fmt: skip
    senders = {slot: Sender(random.Random(slot), 0.0) for slot in range(8)}
    for tick in range(20):
        came = drained(random.Random(tick), senders)
        slots, block, lengths, _ = came
        ((frames, others),) = streams.receive_expected(came, TICK * tick)
        if len(others):  # at first, and where a sequence number wraps
            streams.receive(slots[others], parse(block[others], lengths[others]), TICK * tick)
    assert frames is not None and not len(others) and frames.lines == slice(0, 8)


def test_a_length_that_does_not_fit_is_never_expected() -> None:
    """The same header on a shorter or longer datagram is read the long way."""
    rng = random.Random(1)
    sender = Sender(rng, 0.0)
    streams = Streams(1)
    streams.open(0)
    streams.connect(
        0, remote=None, signalling_host="192.0.2.1", clock_rate=8000, kinds={0: 0}, telephone_event=None,
        remote_rtcp=None, now=0.0, frame=(160, 160),
    )  # fmt: skip
    for tick in range(8):
        slots, block, lengths, _ = drained(rng, {0: sender})
        if tick == 7:
            lengths = lengths - 1
        ((frames, rest),) = streams.receive_expected(Drained(slots, block, lengths), TICK * tick)
        if frames is None:
            streams.receive(slots, parse(block, lengths), TICK * tick)
        assert (frames is not None) == (4 <= tick < 7), tick
    assert rest.tolist() == [0]
