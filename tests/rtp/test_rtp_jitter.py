"""The jitter buffer on a simulated line: against a plain loop, and by what a listener would hear."""

import random
from collections import defaultdict

import numpy as np
import pytest

from sipconf.rtp.batches import Batch
from sipconf.rtp.formats import lookup
from sipconf.rtp.jitter import JitterBank
from sipconf.rtp.packet import ROW
from sipconf.rtp.ring import ring_halves
from tests.rtp.rounds import rounds

PCMU = lookup("PCMU", 8000)
TICK = 0.02


def sound(start, samples, sample_bytes=1):
    """Octets that name the sample they belong to: never the octet of silence."""
    numbers = (np.arange(start, start + samples) // 5) % 250
    return np.repeat(numbers, sample_bytes).astype(np.uint8)


class Line:
    """Feeds one bank with packets as (row, timestamp, samples, marker, fresh), a round per row's n-th packet."""

    def __init__(self, rows, format=PCMU):
        self.bank, self.format, self.rows = JitterBank(format, max(rows // 2, 1)), format, rows
        for row in range(rows):
            self.bank.open(row)

    def tick(self, packets, heard=None):
        for one_each in rounds(packets):
            self._put(one_each)
        taken = self.bank.take(self.rows, heard)
        return taken.codes.copy(), taken.filled.copy()

    def _put(self, packets):
        block = np.zeros((len(packets), ROW), np.uint8)
        for row, (_, timestamp, samples, _, _) in zip(block, packets, strict=True):
            row[12 : 12 + samples * self.format.sample_bytes] = sound(timestamp, samples, self.format.sample_bytes)
        rows, timestamps, samples, markers, fresh = (np.array(column) for column in zip(*packets, strict=True))
        batch = Batch(
            np.arange(len(packets)), rows, np.zeros(len(rows), np.uint8), timestamps & 0xFFFFFFFF,
            np.full(len(rows), 12), samples * self.format.sample_bytes, markers, fresh,
            np.full(len(rows), 255, np.uint8),
        )  # fmt: skip
        self.bank.put(rows, batch, block)


def simulate(line, seconds, *, rng, ptimes, jitter=0.0, loss=0.0, phases=None, first=None):
    """Run all rows' senders over the line. Returns per row the list of (codes, filled) and each packet's delay."""
    rate, arrivals = line.format.clock_rate, defaultdict(list)
    for row in range(line.rows):
        ptime, phase = ptimes[row % len(ptimes)], phases[row] if phases else rng.random() * TICK
        samples, last = rate * ptime // 1000, 0.0
        begin = first[row] if first else 0
        for n in range(int(seconds * 1000) // ptime):
            arrival = phase + n * ptime / 1000 + rng.random() * jitter
            last = max(last, arrival)  # a queue delays, it does not reorder
            if rng.random() >= loss or n == 0:
                tick = int(last / TICK) + 1
                arrivals[tick].append((row, begin + n * samples, samples, False, False, last))
    heard, sent_at = [[] for _ in range(line.rows)], [{} for _ in range(line.rows)]
    for tick in range(1, int(seconds / TICK) + 1):
        for one in arrivals[tick]:
            sent_at[one[0]][one[1] & 0xFFFFFFFF] = one[5]
        codes, filled = line.tick([one[:5] for one in arrivals[tick]])
        stamps = (line.bank.playout.timestamps(slice(line.rows)) - line.format.samples) & 0xFFFFFFFF
        for row in range(line.rows):
            heard[row].append((codes[row], filled[row], int(stamps[row]), tick * TICK))
    return heard, sent_at


def delays(heard, sent_at, after):
    """Seconds from arrival to playing, of all packets whose first sample began a frame or its second half."""
    found = []
    for frames, sent in zip(heard, sent_at, strict=True):
        for _, filled, stamp, at in frames:
            for half in (0, 1):
                begin = stamp + 80 * half
                if at >= after and filled[half] and begin in sent:
                    found.append(at + 0.01 * half - sent[begin])
    return np.array(found)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("format", [PCMU, lookup("L16", 16000)], ids=["PCMU", "L16"])
def test_what_is_played_is_what_was_sent_at_that_time(seed, format):
    """The plain twin: a dictionary of samples. Loss, jitter, mixed packet lengths, timestamps that wrap."""
    rng = random.Random(seed)
    line = Line(40, format)
    first = [rng.choice((0, 2**32 - 250 * 20 * 1600)) for _ in range(40)]
    ptimes = [10, 20, 30, 40, 20, 25, 60 if format is PCMU else 35]
    heard, sent_at = simulate(line, 6, rng=rng, ptimes=ptimes, jitter=0.03, loss=0.02, first=first)
    for row, frames in enumerate(heard):
        samples = format.clock_rate * ptimes[row % len(ptimes)] // 1000
        known = {}
        for timestamp in sent_at[row]:
            known.update(zip(range(timestamp, timestamp + samples), sound(timestamp, samples), strict=True))
        played = 0
        for codes, filled, stamp, _ in frames[10:]:
            for half in (0, 1):
                here = codes.reshape(2, format.half_samples, -1)[half]
                for k in range(0, format.half_samples, 13):
                    at = stamp + half * format.half_samples + k
                    expected = known.get(at, format.silence) if filled[half] else format.silence
                    if here[k, 0] != expected and here[k, 0] != format.silence:
                        pytest.fail(f"seed {seed} row {row} timestamp {at}: {here[k, 0]}, not {expected}")
                    played += bool(here[k, 0] == expected and filled[half])
        assert played > 0.85 * len(frames) * 2 * len(range(0, format.half_samples, 13)), f"seed {seed} row {row}"


def test_a_clean_line_adds_little_delay_and_loses_nothing():
    rng = random.Random(1)
    line = Line(60)
    phases = [TICK * (row + 0.5) / 60 for row in range(60)]
    heard, sent_at = simulate(line, 6, rng=rng, ptimes=[20], phases=phases)
    start, later = delays(heard, sent_at, 0.1)[:3000], delays(heard, sent_at, 2.0)
    assert np.percentile(start, 50) <= 0.032
    assert np.percentile(later, 50) <= 0.015 and later.max() <= 0.025
    assert line.bank.late.sum() == 0 and all(filled.all() for row in heard for _, filled, _, _ in row[5:])
    assert line.bank.delay_ms(np.arange(60)).max() <= 15


@pytest.mark.parametrize("ptime", [10, 30, 40, 60])
def test_other_packet_lengths_play_without_holes(ptime):
    line = Line(20)
    heard, _ = simulate(line, 6, rng=random.Random(ptime), ptimes=[ptime])
    holes = sum(int((1 - filled).sum()) for row in heard for _, filled, _, _ in row[150:])
    assert holes <= 20 and line.bank.late.sum() <= 5


def test_depth_grows_under_jitter_and_shrinks_again():
    rng = random.Random(2)
    line = Line(30)
    frames, _ = simulate(line, 8, rng=rng, ptimes=[20], jitter=0.07)
    rough = line.bank.delay_ms(np.arange(30)).mean()
    holes = sum(int((1 - filled).sum()) for row in frames for _, filled, _, _ in row[300:])
    assert holes < 0.02 * 30 * 100 * 2
    assert 25 < rough <= 110
    for n in range(500):
        line.tick([(row, 64000 + 160 * n + 480, 160, False, False) for row in range(30)])
    assert line.bank.delay_ms(np.arange(30)).mean() < rough - 15
    assert line.bank.delay_ms(np.arange(30)).max() <= 31


def one_row(line, script):
    """Per tick a list of (timestamp, samples[, marker]); returns (filled count, first code) by tick."""
    out = []
    for packets in script:
        codes, filled = line.tick([(0, one[0], one[1], len(one) > 2, False) for one in packets])
        out.append((int(filled[0].sum()), codes[0].copy()))
    return out


def steady(n, start=0):
    return [[(start + 160 * k, 160)] for k in range(n)]


def test_a_gap_of_silence_is_a_gap_and_then_goes_on():
    line = Line(1)
    out = one_row(line, [*steady(10), *([[]] * 30), *steady(10, 40 * 160)])
    assert [count for count, _ in out[15:35]] == [0] * 20
    assert all((codes == 0xFF).all() for _, codes in out[15:35])
    assert [count for count, _ in out[42:]] == [2] * 8
    assert line.bank.playout.resynced[0] == 0 and line.bank.late[0] == 0


def test_an_odd_gap_is_realigned_so_that_packets_fall_on_halves():
    line = Line(1)
    one_row(line, [*steady(5), *([[]] * 5)])
    out = one_row(line, [[(10 * 160 + 37 + 160 * k, 160, *([True] if k == 0 else []))] for k in range(10)])
    assert [count for count, _ in out[3:]] == [2] * 7
    assert ((int(line.bank.playout.timestamps(0)) & 0xFFFFFFFF) - 37) % 80 == 0


@pytest.mark.parametrize("jump", [10_000_000, -9_000_000, 2**31 - 5])
def test_timestamps_that_jump_are_followed_at_once(jump):
    line = Line(1)
    out = one_row(line, [*steady(20), *steady(20, 20 * 160 + jump)])
    assert [count for count, _ in out[23:]] == [2] * 17
    assert line.bank.playout.resynced[0] == 1


def test_timestamps_that_stood_still_in_a_pause_are_followed_soon():
    line = Line(1)
    out = one_row(line, [*steady(20), *([[]] * 40), *steady(30, 20 * 160)])
    assert [count for count, _ in out[70:]] == [2] * 20
    assert line.bank.late[0] <= 5 and line.bank.playout.resynced[0] == 1


def test_a_stalled_line_is_bounded_in_delay():
    line = Line(1)
    one_row(line, steady(20))
    burst = [(20 * 160 + 160 * k, 160) for k in range(60)]
    one_row(line, [*([[]] * 59), burst])
    one_row(line, steady(40, 80 * 160))
    assert line.bank.delay_ms(0) <= 220
    assert line.bank.late[0] >= 40


def test_what_waited_in_the_socket_of_a_new_call_is_bounded_in_delay():
    line = Line(3)
    line.tick([(row, 160 * n, 160, False, n == 0) for n in range(30) for row in range(3)])
    playout = line.bank.playout
    assert (playout.end[:3] - playout.play(np.arange(3)) <= playout.max_depth).all()
    assert (playout.dropped[:3] == 20).all() and not playout.resynced[:3].any()


def test_a_surplus_is_left_out_in_a_pause():
    line = Line(1)
    one_row(line, steady(10))
    depth = line.bank.playout.depth
    depth.surplus[0], depth.surplus_since[0] = 1, line.bank.playout.tick
    one_row(line, [*([[]] * 4), [(160 * 14, 160)]])
    assert line.bank.playout.dropped[0] == 0, "too short a pause: somebody would hear it"
    one_row(line, [*([[]] * 8), [(160 * 23, 160)]])
    assert line.bank.playout.dropped[0] == 1 and depth.surplus[0] == 0


def test_ticks_that_were_skipped_do_not_deepen_anything():
    line = Line(1)
    one_row(line, steady(120))
    depth = line.bank.delay_ms(0)
    line.bank.skip(4)
    out = one_row(line, [[(160 * (120 + k), 160) for k in range(5)], *steady(40, 160 * 125)])
    assert line.bank.delay_ms(0) <= depth + 1 and line.bank.playout.grown[0] == 0
    assert [count for count, _ in out[1:]] == [2] * 40


def test_ticks_that_were_skipped_do_not_hide_a_surplus():
    """What was late by our own fault is no reason to keep a frame in hand for seconds more."""
    line, quiet = Line(1), np.zeros(1, bool)
    for tick in range(40):
        if tick == 10:
            line.bank.skip(2)
        if tick not in (8, 9):
            waited = [8, 9, 10] if tick == 10 else [tick]
            line.tick([(0, 160 * n, 160, False, False) for n in waited], quiet)
    assert line.bank.playout.dropped[0] == 1 and line.bank.late[0] == 1


def stalled(rows, *at):
    """For 300 ticks a packet of everybody in each, but what is sent in the ticks `at` comes in the ones behind them.
    How often each row became deeper until tick 150 and in all, and the halves that nobody had."""
    line, quiet, empty, deeper = Line(rows), np.zeros(rows, bool), 0, []
    for tick in range(300):
        sent = [] if tick in at else [tick - 1, tick] if tick - 1 in at else [tick]
        _, filled = line.tick([(row, 160 * n, 160, False, False) for n in sent for row in range(rows)], quiet)
        empty += int((filled == 0).sum()) if tick > 50 else 0  # everybody has found his depth by then
        deeper.append(line.bank.playout.grown[:rows].copy())
    return deeper[150], deeper[-1], empty


def test_a_stall_of_the_machine_makes_nobody_deeper():
    _, deeper, empty = stalled(40, 100)
    assert not deeper.any()
    assert empty == 2 * 40, "a frame of each"


def test_stalls_that_come_again_make_everybody_deeper():
    before, deeper, _ = stalled(40, 100, 160)
    assert not before.any() and (deeper == 1).all()


def test_a_stall_of_few_rows_may_be_their_lines():
    _, deeper, _ = stalled(7, 100)
    assert (deeper == 1).all()


def test_a_quiet_row_gives_up_its_surplus_before_a_loud_one():
    line = Line(2)
    when = [None, None]
    for n in range(120):
        line.tick([(row, 160 * n, 160, False, False) for row in (0, 1)], np.array([False, True]))
        for row in (0, 1):
            if when[row] is None and line.bank.playout.dropped[row]:
                when[row] = n
    assert when[0] is not None and when[1] is not None and when[1] - when[0] >= 40


def test_a_closed_row_is_silent_and_growing_keeps_the_others():
    line = Line(3)
    for n in range(5):
        line.tick([(row, 160 * n, 160, False, False) for row in range(3)])
    line.bank.close(1)
    line.bank.reserve(500)
    codes, filled = line.tick([(row, 800, 160, False, False) for row in (0, 2)])
    assert filled.tolist() == [[1, 1], [0, 0], [1, 1]] and (codes[1] == 0xFF).all()
    assert (codes[0] == sound(640, 160)).all()


def test_a_packet_longer_than_anything_sensible_stays_inside_its_ring():
    line = Line(3)
    one_row_of_two = [(1, 0, 1400, False, False), (0, 0, 160, False, False), (2, 0, 160, False, False)]
    line.tick(one_row_of_two)
    line.tick([(1, 1400 * 3, 1400, False, False), (2, 160, 160, False, False)])
    codes, _ = line.tick([])
    assert (codes[2] == sound(160, 160)).all()
    assert ring_halves(line.bank.playout.max_depth) * 80 > 1400


def test_what_has_been_played_is_not_played_again_when_a_straggler_makes_the_row_deeper():
    line = Line(1)
    out = one_row(line, [*steady(5), [], [(6 * 160, 160)], [(7 * 160, 160)], [(5 * 160, 160)], [(8 * 160, 160)], []])
    heard = [int(codes[0]) for count, codes in out if count == 2]
    assert heard == [int(sound(160 * n, 1)[0]) for n in (0, 1, 2, 3, 4, 6, 5, 7)]


def test_packets_may_change_their_length_in_mid_call():
    line, at, script = Line(1), 0, []
    for ptime in (20, 10, 60, 30, 40, 10, 20):
        samples = 8 * ptime
        for _ in range(60 // ptime * 10):  # 600 ms of each
            script.append((at, samples))
            at += samples
    arrivals = defaultdict(list)
    for timestamp, samples in script:
        arrivals[(timestamp + samples) // 160].append((timestamp, samples))  # sent when its last sample is there
    out = one_row(line, [arrivals[tick] for tick in range(at // 160)])
    holes = [n for n, (count, _) in enumerate(out) if count < 2 and n > 5]
    assert len(holes) <= 4, holes  # longer packets leave later: each time that is longer than ever, one tick is empty
    played = np.concatenate([codes for count, codes in out if count == 2])
    order = np.flatnonzero(np.diff(played.astype(int)) % 250 > 1)
    assert len(order) <= len(holes) + int(line.bank.playout.dropped[0]) + 2


def test_a_new_source_begins_at_once():
    line = Line(1)
    one_row(line, steady(10))
    started = [(0, 5_000_000, 160, False, True)]
    line.tick(started)
    out = one_row(line, steady(10, 5_000_160))
    assert [count for count, _ in out] == [2] * 10
    assert (out[0][1] == sound(5_000_000, 160)).all()


def test_a_surplus_amid_sound_comes_as_two_frames_at_one_tick():
    line, heard, moved = Line(1), [], []
    line.bank.open(0)
    for n in range(100):
        for k in range(3) if n == 0 else [n + 2]:
            line._put([(0, 160 * k, 160, False, False)])
        taken = line.bank.take(1, np.array([True]))
        if taken.moves is not None and len(taken.moves.lose):
            heard.append(taken.moves.first[0].copy())
            moved.append(n)
        if taken.filled.all():
            heard.append(taken.codes[0].copy())
    assert len(moved) == 1 and moved[0] >= 50 and line.bank.playout.slipping[0]  # until it is settled, no other
    whole = np.concatenate(heard)
    assert (whole == sound(0, len(whole))).all()


def test_a_slow_sender_is_waited_for_before_it_is_late():
    """A clock that is 0.8 % slow: dry twice, then a frame is drawn out amid sound whenever none is in hand."""
    line, empty, gains = Line(1), [], 0
    line.bank.open(0)
    sent = drawn = 0
    for n in range(1500):
        if sent * TICK * 1.008 + 0.005 <= n * TICK:
            line._put([(0, 160 * sent, 160, False, False)])
            sent += 1
        taken = line.bank.take(1, np.array([True]))
        empty += [n] if not taken.filled.all() else []
        if taken.moves is not None and len(taken.moves.gain):
            gains, drawn = gains + 1, n + 8  # as long as a slip takes
        if taken.moves is not None:
            line.bank.settle(np.concatenate([taken.moves.lose, taken.moves.repeated]))
        if n == drawn:
            line.bank.repeat(np.array([0]))
    assert gains >= 8
    assert not [n for n in empty if n > 400], empty
    assert line.bank.playout.late[0] == 0 and line.bank.playout.dropped[0] <= 2


def test_the_ring_is_as_long_as_the_bound_wants():
    for bound in (40, 200, 1000):
        bank = JitterBank(PCMU, 1, max_delay_ms=bound)
        assert bank._halves_each >= bound // 10 + 12 and bank._halves_each & bank._halves_each - 1 == 0
    assert ring_halves(20) == 32
