"""The jitter buffer of whole packets: against a plain loop over dictionaries, and by what a decoder would be given."""

import random
from collections import defaultdict

import numpy as np
import pytest

from sipconf.rtp.batches import Batch
from sipconf.rtp.formats import lookup
from sipconf.rtp.opus_packets import durations
from sipconf.rtp.packet import NO_LEVEL, ROW
from sipconf.rtp.packet_jitter import PacketJitter
from sipconf.rtp.playout import PlayoutColumns
from tests.rtp.rounds import rounds

OPUS = lookup("opus", 48000)
HALF = 480
TOC = {10: 0x00, 20: 0x08, 40: 0x10, 60: 0x18, 120: 0x19}
"""SILK frames of 10, 20, 40 and 60 ms; two of 60 ms in one packet."""


def packet(ms, timestamp, size=40):
    """A payload of so many octets (odd where it holds two frames) that names its timestamp."""
    size = size | 1 if ms == 120 else size
    return bytes([TOC[ms]]) + (bytes(4) + timestamp.to_bytes(8))[-(size - 1) :].ljust(size - 1, b"x")


def plain_duration(payload):
    """Halves of a payload, frame by frame; None where it is malformed or of no whole number of them."""
    if not payload:
        return None
    config, code = payload[0] >> 3, payload[0] & 3
    if config < 12:
        frame = (10, 20, 40, 60)[config % 4]
    elif config < 16:
        frame = (10, 20)[config % 2]
    else:
        frame = (2.5, 5, 10, 20)[config % 4]
    if code == 3 and len(payload) < 2 or code == 2 and len(payload) < 2:
        return None
    if code == 0 and len(payload) > 1276 or code == 1 and (len(payload) % 2 == 0 or len(payload) > 2551):
        return None
    ms = frame * (1, 2, 2, payload[1] & 63 if code == 3 else 0)[code]
    return int(ms // 10) if ms and ms <= 120 and ms % 10 == 0 else None


def batch_of(packets):
    """A round of (row, timestamp, payload, marker, fresh, level) as its rows, a batch and a block."""
    block = np.full((len(packets), ROW), 0xEE, np.uint8)
    offsets = [12 + 8 * (n % 2) for n in range(len(packets))]
    for line, offset, one in zip(block, offsets, packets, strict=True):
        line[offset : offset + len(one[2])] = list(one[2])
    rows, timestamps, _, markers, fresh, levels = (list(column) for column in zip(*packets, strict=True))
    batch = Batch(
        np.arange(len(packets)), np.array(rows), np.zeros(len(rows), np.uint8), np.array(timestamps) & 0xFFFFFFFF,
        np.array(offsets), np.array([len(one[2]) for one in packets]), np.array(markers), np.array(fresh),
        np.array(levels, np.uint8),
    )  # fmt: skip
    return np.array(rows), batch, block


class Plain:
    """The twin: a dictionary of packets by half for each row, one row after the other."""

    def __init__(self, rows):
        self.playout = PlayoutColumns(rows, HALF)
        self.held = [{} for _ in range(rows)]
        self.left, self.level, self.whole = [0] * rows, [NO_LEVEL] * rows, [False] * rows
        self.owed, self.malformed = [], 0

    def put(self, row, timestamp, payload, marker, fresh, level):
        halves = plain_duration(payload)
        if halves is None:
            self.malformed += 1
            return
        columns = [np.array([each]) for each in (row, timestamp & 0xFFFFFFFF, halves * HALF, marker, fresh)]
        places, _, keep = self.playout.place(*columns)
        if keep[0]:
            self.held[row][int(places[0])] = (payload, halves, level)
            self.left[row] = 0 if fresh else self.left[row]

    def take(self, rows, heard):
        moves = self._move(rows, heard) if self.playout.restless(rows) or self.owed else None
        play = self.playout.advance(rows).tolist()
        out = []
        for row in range(rows):
            if moves and row in moves["repeated"]:
                self.held[row] = {at: one for at, one in self.held[row].items() if not 0 <= at - play[row] < 2}
                out.append(([None, None], [0, 0], [1, 1], None, self._level_of(row, self.left[row])))
            else:
                out.append(self._frame(row, play[row]))
            self.whole[row] = out[-1][2] == [1, 1]
        return out, moves

    def _level_of(self, row, left):
        return self.level[row] if left else NO_LEVEL

    def _frame(self, row, play):
        held, begun, over, covered, levels = self.held[row], [None, None], [0, 0], [0, 0], []
        if play not in held and self.left[row] == 0 and self.playout.end[row] > play:
            earlier = [at for at in range(play - 1, play - 12, -1) if at in held and at + held[at][1] > play]
            if earlier:
                payload, halves, level = held.pop(earlier[0])
                over[0] = play - earlier[0]
                held[play] = (payload, halves - over[0], level)
        for half in (0, 1):
            if play + half in held and self.left[row] <= 2:
                begun[half], self.left[row], self.level[row] = held.pop(play + half)
            if self.left[row]:
                covered[half] = 1
                self.left[row] -= 1
                levels.append(self.level[row])
        following = None
        if covered != [1, 1] and play + 2 + covered[0] in held:
            following = held[play + 2 + covered[0]][0]
        level = NO_LEVEL if NO_LEVEL in levels or not levels else min(levels)
        return begun, over, covered, following, level

    def _move(self, rows, heard):
        lose, gain = self.playout.move_unheard(rows, heard)
        chosen, first = [], []
        left = max(0, self.playout.slips_left - len(gain))
        for row in lose.tolist():
            play, rest, good = self.playout.play_of(row), self.left[row], self.whole[row]
            for place in range(play, play + 4):
                rest = self.held[row][place][1] if place in self.held[row] and rest <= 2 else rest
                good = good and rest > 0
                rest -= 1
            if good and len(chosen) < left:
                chosen.append(row)
                first.append(self._frame(row, play)[0])
        for row in chosen:
            self.playout.leave_out(np.array([row]))
        self.playout.slipping[gain] = True
        repeated = [row for row in self.owed if self.whole[row] and self.playout.has_room(np.array([row]))[0]]
        self.owed = [row for row in self.owed if row not in repeated]
        for row in repeated:
            self.playout.wait_for(np.array([row]))
        return {"lose": chosen, "first": first, "gain": gain.tolist(), "repeated": repeated}


def payloads(data, begun, i):
    """What the decoder is given of row i: two payloads or None."""
    pairs = zip(begun.starts[i].tolist(), begun.lengths[i].tolist(), strict=True)
    return [data[start, :length].tobytes() if start >= 0 else None for start, length in pairs]


def compare(taken, frames, moves, what):
    for row, (begun, over, covered, following, level) in enumerate(frames):
        where = f"{what} row {row}"
        assert payloads(taken.data, taken.begun, row) == begun, where
        assert taken.begun.over[row].tolist() == over and taken.covered[row].tolist() == covered, where
        at, length = int(taken.following[row]), int(taken.following_lengths[row])
        assert (taken.data[at, :length].tobytes() if at >= 0 else None) == following, where
        assert taken.levels[row] == level, where
    if taken.moves is None:
        assert not moves or not any(moves.values()), what
        return
    got = taken.moves
    assert (got.lose.tolist(), got.gain.tolist(), got.repeated.tolist()) == (
        moves["lose"], moves["gain"], moves["repeated"],
    ), what  # fmt: skip
    assert [payloads(taken.data, got.first, k) for k in range(len(got.lose))] == moves["first"], what


def sender_script(rng, ticks):
    """Arrivals of one sender: tick -> [(timestamp, payload, marker, fresh, level)]. Loss, doubles, reordering, jitter,
    several lengths, DTX, jumps, a clock that is wrong, timestamps that wrap, sources that change."""
    arrivals = defaultdict(list)
    timestamp = rng.choice((0, 2**32 - 48000, rng.randrange(2**32)))
    clock = rng.choice((1.0, 1.0, 0.992, 1.008))
    now, ms, marker, fresh = rng.random(), 20, True, True
    jitter, loss = rng.choice((0.0, 1.0, 4.0)), rng.choice((0.0, 0.05, 0.3))
    talks = rng.choice((True, False))
    while now < ticks:
        if rng.random() < 0.02:
            ms = rng.choice((10, 20, 20, 40, 60, 120))
        if rng.random() < 0.004:
            timestamp += rng.choice((10**7, -(10**7), 100, 12345, 480))
        if rng.random() < 0.002:
            timestamp, fresh, marker = rng.randrange(2**32), True, True
        payload = packet(ms, timestamp % 2**32, rng.choice((1, 2, 40, 90, rng.randrange(2, 1270))))
        if rng.random() < 0.01:
            payload = rng.choice((b"", b"\x03", b"\x03\x00", b"\x1b\x3f", bytes([0x80]) + b"z" * 9, b"\x09abc"))
        level = rng.choice((0, 30, 127, 127, NO_LEVEL))
        if rng.random() >= loss or fresh:
            at = int(now + rng.random() * jitter + rng.choice((0, 0, 0, 0, 0, 3)) * (jitter > 0)) + 1
            for _ in range(rng.choice((1, 1, 1, 1, 2))):
                arrivals[at].append((timestamp, payload, marker, fresh, level))
                fresh = False
        marker = False
        gap = 1
        if rng.random() < (0.002 if talks else 0.2):
            gap, marker = 20 if not talks else rng.randrange(2, 60), talks
        now += gap * ms / 20 * clock
        timestamp += gap * ms * 48
    return arrivals


def steady_script(rng, ticks, clock):
    """The same of a sender whose clock is wrong and nothing else."""
    arrivals, phase = defaultdict(list), rng.random()
    for n in range(ticks):
        arrivals[int(n * clock + phase) + 1].append((960 * n, packet(20, 960 * n), False, n == 0, 9))
    return arrivals


@pytest.mark.parametrize("seed", range(4))
def test_what_is_taken_is_what_a_plain_loop_over_dictionaries_takes(seed):
    rng = random.Random(seed)
    rows, ticks = 10, 400
    bank, plain = PacketJitter(OPUS, 3), Plain(rows)
    for row in range(rows):
        bank.open(row)
    scripts = [steady_script(rng, ticks, 0.992), *(sender_script(rng, ticks) for _ in range(1, rows))]
    drawn, ended, seen = defaultdict(list), defaultdict(list), defaultdict(int)
    for tick in range(ticks):
        if rng.random() < 0.01:
            bank.skip(3)
            plain.playout.oversleep(3)
        came = [(row, *one) for row in range(rows) for one in scripts[row].get(tick, ())]
        for this in rounds(came):
            bank.put(*batch_of(this))
            for one in this:
                plain.put(*one)
        heard = np.array([row == 0 or rng.random() < 0.9 for row in range(rows)])
        taken, (frames, moves) = bank.take(rows, heard), plain.take(rows, heard)
        compare(taken, frames, moves, f"seed {seed} tick {tick}")
        if taken.moves is not None:
            ended[tick + 4] += [*taken.moves.lose.tolist(), *taken.moves.repeated.tolist()]
            drawn[tick + 8] += taken.moves.gain.tolist()
            for name in ("lose", "gain", "repeated"):
                seen[name] += len(getattr(taken.moves, name))
        bank.settle(np.array(ended[tick], int))
        plain.playout.slipping[ended[tick]] = False
        bank.repeat(np.array(drawn[tick], int))
        plain.owed += drawn[tick]
        seen["over"] += int(taken.begun.over.sum())
        seen["following"] += int((taken.following >= 0).sum())
    assert bank.malformed == plain.malformed > 5
    assert seen["following"] > 5 and seen["over"] > 0 and seen["lose"] + seen["gain"] > 0, dict(seen)


def test_durations_are_those_that_the_rfc_tells_frame_by_frame():
    rng = random.Random(1)
    counts = (0, 1, 5, 48, 0xC3)
    every = [bytes((toc, count)) + bytes(size) for toc in range(256) for count in counts for size in (0, 9)]
    every += [bytes([toc]) for toc in range(256)] + [bytes([toc]) + bytes(1276) for toc in range(256)] + [b""]
    every += [rng.randbytes(rng.randrange(40)) for _ in range(500)]
    first, second = (np.array([(one + b"\xff\xff")[k] for one in every], np.uint8) for k in (0, 1))
    samples = durations(first, second, np.array([len(one) for one in every]))
    for one, got in zip(every, samples.tolist(), strict=True):
        expected = plain_duration(one)
        assert (got // HALF if got and got % HALF == 0 else None) == expected, one[:4].hex()


def one_row(bank, script):
    """Per tick a list of (timestamp, ms[, marker]): what was covered, and the packets that began."""
    out = []
    for packets in script:
        for one in packets:
            put = (0, one[0], packet(one[1], one[0] % 2**32), len(one) > 2, False, NO_LEVEL)
            bank.put(*batch_of([put]))
        taken, begun = bank.take(1, np.array([True])), []
        if taken.moves is not None and len(taken.moves.lose):
            begun = payloads(taken.data, taken.moves.first, 0)
            bank.settle(np.array([0]))
        begun += payloads(taken.data, taken.begun, 0)
        out.append((int(taken.covered[0].sum()), [one for one in begun if one]))
    return out


def new_bank():
    bank = PacketJitter(OPUS, 1)
    bank.open(0)
    return bank


@pytest.mark.parametrize("ms", [10, 20, 40, 60, 120])
def test_every_packet_of_a_clean_line_is_decoded_once_and_nothing_is_missing(ms):
    bank, arrivals = new_bank(), defaultdict(list)
    for n in range(6000 // ms):
        arrivals[n * ms // 20].append((n * ms * 48, ms))
    out = one_row(bank, [arrivals[tick] for tick in range(300)])
    begun = [one for _, these in out for one in these]
    assert begun == [packet(ms, n * ms * 48) for n in range(len(begun))] and len(begun) >= 5800 // ms
    assert [covered for covered, _ in out[2:]] == [2] * 298


def test_a_browser_that_is_silent_sends_a_packet_in_400_ms_and_is_heard_at_once_when_it_speaks():
    bank, script = new_bank(), [[(960 * n, 20)] for n in range(50)]
    for n in range(50, 250):
        script.append([(960 * n, 20)] if n % 20 == 10 else [])
    script += [[(960 * 250, 20, True)], *([(960 * n, 20)] for n in range(251, 300))]
    out = one_row(bank, script)
    assert all(covered == 2 for covered, _ in out[2:51])
    assert sum(len(these) for _, these in out[51:250]) == 10  # each of them, and nothing in between
    assert [covered for covered, _ in out[252:]] == [2] * 48
    assert bank.late[0] == 0 and bank.playout.resynced[0] == 0 and float(bank.delay_ms(0)) <= 40


def test_the_end_packets_of_a_digit_add_no_delay():
    """They count in the sequence (streams) but never come here: the voice goes on at its own timestamps."""
    bank = new_bank()
    voice = [[(960 * n, 20)] for n in range(150)]
    out = one_row(bank, [*voice[:50], *([[]] * 7), *voice[57:]])
    assert [covered for covered, _ in out[59:]] == [2] * 91
    assert float(bank.delay_ms(0)) <= 31 and bank.playout.grown[0] == 0


def test_a_lost_packet_shows_the_one_that_may_tell_of_it():
    bank = new_bank()
    for n in range(5):
        for at in [n + 1] if n else [0, 1]:  # one more in hand than a clean line needs
            if at != 3:
                bank.put(*batch_of([(0, 960 * at, packet(20, 960 * at), False, False, 20)]))
        taken = bank.take(1)
    at, length = int(taken.following[0]), int(taken.following_lengths[0])
    assert not taken.covered.any() and taken.levels[0] == NO_LEVEL
    assert taken.data[at, :length].tobytes() == packet(20, 960 * 4)
    assert payloads(bank.data, bank.take(1).begun, 0) == [packet(20, 960 * 4), None]


@pytest.mark.parametrize("ms", [20, 40, 60, 120])
def test_packets_that_overlap_make_us_decode_at_most_twice_what_is_played(ms):
    bank, decoded = new_bank(), 0
    for n in range(500):
        for k in (0, 1):
            at = HALF * (2 * n + k)
            bank.put(*batch_of([(0, at, packet(ms, at), False, False, NO_LEVEL)]))
        taken = bank.take(1, np.array([False]))
        decoded += ms * sum(one is not None for one in payloads(taken.data, taken.begun, 0))
    assert 9000 < decoded <= 20000  # of ten seconds


def test_growing_keeps_what_is_in_hand_and_a_closed_row_is_silent():
    bank = PacketJitter(OPUS, 2)
    for row in range(2):
        bank.open(row)
        bank.put(*batch_of([(row, 0, packet(60, 7 + row), False, False, 5)]))
    bank.take(2)
    bank.reserve(500)
    bank.close(1)
    taken = bank.take(2)
    assert payloads(taken.data, taken.begun, 0) == [packet(60, 7), None] and taken.levels.tolist() == [5, NO_LEVEL]
    assert taken.covered.tolist() == [[1, 1], [0, 0]]
    assert [bank.take(2).covered[0].tolist() for _ in range(3)] == [[1, 1], [1, 1], [0, 0]]


def test_the_longest_payload_at_the_end_of_a_block_is_stored_whole():
    bank = new_bank()
    payload = b"\x08" + random.Random(1).randbytes(1275)
    _, batch, block = batch_of([(0, 0, payload, False, False, 1)])
    block = np.ascontiguousarray(block[:, :1288])
    bank.put(np.array([0]), batch, block)
    bank.take(1)
    taken = bank.take(1)
    assert payloads(taken.data, taken.begun, 0) == [payload, None]
