"""Lost halves: continued, faded to silence, re-entered without a step; rows that lost nothing are untouched."""

import math

import numpy as np
import pytest

from sipconf.mixer.codecs.catalogue import codec
from sipconf.mixer.conceal import Concealer
from sipconf.mixer.history import CodesHistory, SamplesHistory


def run(signals, lost, rate=8000, encoding="L16", history=CodesHistory):
    """signals (rows, samples); lost: set of (row, half number). Answers what came out, same shape."""
    line = codec(encoding, rate)
    concealer = Concealer(rate, history(line))
    for row in range(len(signals)):
        concealer.add(row)
    out = []
    for frame in range(signals.shape[1] // line.samples):
        part = signals[:, frame * line.samples : (frame + 1) * line.samples]
        codes = np.empty((len(signals), line.frame_bytes), np.uint8)
        line.encode(np.ascontiguousarray(part, np.float32), codes)
        filled = np.ones((len(signals), 2), np.uint8)
        for row in range(len(signals)):
            for half in (0, 1):
                if (row, 2 * frame + half) in lost:
                    filled[row, half] = 0
                    width = line.frame_bytes // 2
                    codes[row, half * width : (half + 1) * width] = line.silence
        pcm = np.empty((len(signals), line.samples), np.float32)
        line.decode(codes, pcm)
        concealer.fill(pcm, filled, codes)
        out.append(pcm)
    return np.concatenate(out, axis=1)


def sines(rate, frequencies, seconds=0.6):
    at = np.arange(int(seconds * rate)) / rate
    return np.stack([np.rint(8000 * np.sin(2 * np.pi * f * at + f)) for f in frequencies])


def voices(rate, pitches, seconds=0.6):
    """Pulses of a glottis through two formants: rich in harmonics, one burst to a period, as voices are."""
    samples = int(seconds * rate)
    rows = []
    for pitch in pitches:
        pulses = np.zeros(samples)
        pulses[np.rint(np.arange(0, int(seconds * pitch)) * rate / pitch).astype(int)] = 1
        at = np.arange(rate // 50) / rate
        ring = np.exp(-at * 300) * (np.sin(2 * np.pi * 600 * at) + 0.5 * np.sin(2 * np.pi * 1500 * at))
        rows.append(np.rint(6000 * np.convolve(pulses, ring)[:samples]))
    return np.stack(rows)


def halves(*numbers, rows=1):
    return {(row, number) for row in range(rows) for number in numbers}


def level(sound):
    return math.sqrt(float((np.asarray(sound, np.float64) ** 2).mean()))


# --- a plain-loop twin: one row, one sample at a time -----------------------------------------------------------------
def pitch_lag(past, factor):
    """The lag whose window correlates best with the last 6 ms, of 30 to 122 at 8 kHz."""
    coarse = [sum(past[i : i + factor]) / factor for i in range(len(past) - 170 * factor, len(past), factor)]
    best, lag = -math.inf, 0
    for candidate in range(122, 29, -1):
        window = coarse[122 - candidate : 170 - candidate]
        alike = sum(a * b for a, b in zip(window, coarse[122:], strict=True))
        score = alike / math.sqrt(sum(a * a for a in window) + 48)
        if score > best:
            best, lag = score, candidate
    return lag * factor


def repeated(past, at, period, count, frame):
    whole = count * period
    place = (at - (count - 1) * frame // period * period) % whole
    value = past[len(past) - whole + place]
    blend = 1 + (place - whole) / (0.25 * period)
    if blend > 0:
        value += (past[len(past) - 2 * whole + place] - value) * blend
    return value


class PlainRow:
    def __init__(self, rate):
        self.frame, self.per_ms, self.factor = rate // 50, rate // 1000, rate // 8000
        self.fade = 100 * self.per_ms
        self.history = [0.0] * 3 * self.frame
        self.gap, self.periods, self.past, self.period = self.fade, 1, self.history, 120 * self.factor
        self.next = [0.0] * 5 * self.per_ms

    def invented(self, at, begin, count):
        value = repeated(self.past, at, self.period, count, self.frame)
        if begin == 0:
            value += (self.past[-1] - self.past[-1 - self.period]) * math.exp(-at / (1.25 * self.per_ms))
        if count > self.periods:
            before = repeated(self.past, at, self.period, self.periods, self.frame)
            value = before + (value - before) * min((at - begin) / (0.25 * self.period), 1)
        return value * max(0.0, 1 - at / self.fade)

    def play(self, samples, came):
        """The samples of a frame and which halves came; what is played."""
        half = self.frame // 2
        out = []
        parts = [(0, self.frame)] if came[0] == came[1] else [(0, half), (half, self.frame)]
        for begin, end in parts:
            heard = list(samples[begin:end])
            if not came[begin // half]:
                heard = self.lose(end - begin, self.history[begin:] + out if begin else self.history)
            elif self.gap:
                overlap = min(self.per_ms + self.gap // 10, 5 * self.per_ms)
                for i in range(5 * self.per_ms):
                    heard[i] = self.next[i] + (heard[i] - self.next[i]) * min((i + 1) / overlap, 1)
                self.gap = 0
            out += heard
        self.history = self.history[self.frame :] + [float(np.rint(value)) for value in out]
        return out

    def lose(self, length, past):
        if self.gap == 0:
            self.past, self.periods = past, 1
            self.period = pitch_lag(past, self.factor)
        begin = self.gap
        count = min(1 + begin // self.frame, 3)
        sound = [self.invented(at, begin, count) for at in range(begin, begin + length + 5 * self.per_ms)]
        self.periods = max(count, self.periods)
        self.gap += length
        self.next = sound[length:]
        return sound[:length]


@pytest.mark.parametrize(("rate", "rows", "seconds"), [(8000, 4, 1.2), (16000, 1, 0.5), (48000, 1, 0.3)])
def test_it_does_what_a_plain_loop_does(rate, rows, seconds):
    random = np.random.default_rng(8)
    signals = voices(rate, [70, 90, 150, 210][-rows:], seconds)
    signals = np.rint(signals * (1 + np.sin(np.arange(signals.shape[1]) / rate * 20)) / 2)
    signals += np.rint(random.normal(0, 100, signals.shape))
    count = signals.shape[1] // (rate // 100)
    lost = {(row, k) for row in range(rows) for k in range(count) if random.random() < 0.15}
    lost |= {(row, k + d) for row in range(rows) for k in range(20 + row, count, 40) for d in range(6 + row)}
    out = run(signals, lost, rate)
    for row in range(rows):
        plain = PlainRow(rate)
        want = []
        for k, frame in enumerate(signals[row].reshape(-1, rate // 50)):
            want.append(plain.play(frame, [(row, 2 * k + half) not in lost for half in (0, 1)]))
        assert np.allclose(out[row], np.concatenate(want), atol=2), row


# --- by measure -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("rate", [8000, 16000, 48000])
@pytest.mark.parametrize("first", [20, 21])
def test_a_short_gap_is_bridged_without_a_step(rate, first):
    signals = sines(rate, [110, 200, 333])
    out = run(signals, halves(first, first + 1, rows=3), rate)
    half = rate // 100
    for row, frequency in enumerate((110, 200, 333)):
        gap = out[row, first * half : (first + 2) * half]
        assert 0.5 < level(gap) / (8000 / np.sqrt(2)) < 1.05
        assert np.abs(np.diff(out[row])).max() < 1.6 * 8000 * 2 * np.pi * frequency / rate + 60
        after = slice((first + 3) * half, None)
        assert np.array_equal(out[row, after], signals[row, after])
        before = slice(half // 2, first * half)  # a leg's very first samples fade in
        assert np.array_equal(out[row, before], signals[row, before])


@pytest.mark.parametrize("pitch", [66.7, 80, 100, 125, 160, 200, 250])
@pytest.mark.parametrize("encoding", ["PCMU", "PCMA"])
def test_a_voice_goes_on_in_its_pitch(encoding, pitch):
    """A lost frame of a steady voice is nearly the frame that was lost, from the deepest voice on."""
    voice = voices(8000, [pitch])
    for first in (20, 21, 24):
        out = run(voice, halves(first, first + 1), encoding=encoding)[0]
        gap = slice(first * 80, first * 80 + 160)
        want = voice[0, gap]
        fading = 1 - np.arange(160) / 800
        assert level(out[gap] - want * fading) < 0.35 * level(want), first


def test_the_level_goes_on_where_a_gap_begins_and_where_it_ends():
    """No 10 ms of a voice with one frame in ten lost is louder than the voice, or much softer."""
    voice = voices(8000, [110, 180], seconds=2)
    random = np.random.default_rng(4)
    for row in range(2):
        frames = 10 + 8 * np.arange(11) + random.integers(0, 6, 11)
        lost = {(0, 2 * int(frame) + half) for frame in frames for half in (0, 1)}
        out = run(voice[row : row + 1], lost, encoding="PCMU")[0]
        # Windows as long as two periods of the deeper voice, a period apart.
        levels = [level(out[k : k + 145]) / level(voice[row, k : k + 145]) for k in range(800, len(out) - 145, 72)]
        assert 0.6 < min(levels) and max(levels) < 1.25


@pytest.mark.parametrize("lost_frames", [1, 2, 3, 5, 8])
def test_no_click_at_any_join(lost_frames):
    """Nowhere around a gap does the sound jump further than the voice itself does."""
    voice = voices(8000, [75, 120, 190, 240], seconds=0.8)
    steepest = np.abs(np.diff(voice, axis=1)).max(axis=1)
    for first in range(20, 29):
        out = run(voice, halves(*range(first, first + 2 * lost_frames), rows=4))
        assert (np.abs(np.diff(out, axis=1)).max(axis=1) < 1.1 * steepest).all(), first


@pytest.mark.parametrize("growth", [20, -20])
@pytest.mark.parametrize("lost_halves", [2, 4, 6, 10])
def test_a_voice_that_swells_or_dies_away_does_not_click(growth, lost_halves):
    """Cut at a crest, where each period is a fifth louder or softer than the last: not at the cut, not where the period
    is repeated, not where more periods are, not at the return."""
    at = np.arange(4800) / 8000 - 0.2
    tone = np.rint(1500 * np.exp(at * growth).clip(0.05, 6) * np.cos(2 * np.pi * 100 * at))[None, :]
    out = run(tone, halves(*range(20, 20 + lost_halves)))[0]
    around = slice(1500, 1600 + 80 * lost_halves + 80)
    assert np.abs(np.diff(out[around])).max() < 1.3 * np.abs(np.diff(tone[0, around])).max()
    assert abs(out[1600]) > 1200


def test_a_long_gap_fades_to_silence_within_100_ms():
    out = run(sines(8000, [200]), halves(*range(20, 50)))
    loudest = np.abs(out[0].reshape(-1, 80)).max(axis=1)
    assert (loudest[20:25] > 1000).all()
    assert (np.diff(loudest[22:30]) < 0).all()
    assert not loudest[30:50].any()


def test_a_long_gap_in_noise_does_not_buzz():
    """From its third frame on a gap repeats three periods as one: what follows a period later is something else."""
    noise = np.rint(np.random.default_rng(3).normal(0, 2000, (40, 4800)))
    out = run(noise, halves(*range(20, 30), rows=40))
    buzzing = []
    for row in range(40):
        gap = out[row, 1600 + 360 : 1600 + 720] / np.linspace(0.55, 0.1, 360)
        alike = [np.corrcoef(gap[:-lag], gap[lag:])[0, 1] for lag in range(30, 121)]
        buzzing.append(max(alike))
    assert np.median(buzzing) < 0.75


def test_a_second_gap_continues_what_was_played_and_not_the_silence_between():
    """Between two gaps come only 10 ms, less than a period: the second one repeats what the first one played."""
    voice = voices(8000, [75])
    out = run(voice, halves(20, 21, 23, 24, 25))[0]
    assert level(out[23 * 80 : 26 * 80]) > 0.6 * level(voice[0, 23 * 80 : 26 * 80])


def test_return_overlaps_for_longer_after_a_longer_gap():
    voice = sines(8000, [200], seconds=1)
    altered = []
    for lost in (2, 4, 8):
        out = run(voice, halves(*range(20, 20 + lost)))[0]
        back = (20 + lost) * 80
        altered.append(int(np.flatnonzero(np.abs(out - voice[0])[back:] > 1)[-1]) + 1)
    assert altered[0] < altered[1] <= altered[2] <= 40
    assert altered[0] > 16


def test_rows_that_lost_nothing_are_untouched_and_a_new_leg_invents_nothing():
    signals = sines(8000, [200, 300])
    out = run(signals, {(0, k) for k in (0, 1, 2, 3, 4, 30)})
    assert np.array_equal(out[1, 40:], signals[1, 40:])
    assert not out[0, : 5 * 80].any()
    assert out[0, 30 * 80 : 31 * 80].any()


def test_rows_together_are_rows_alone():
    """The vectorised routine against itself one row at a time, with random losses."""
    random = np.random.default_rng(8)
    signals = np.rint(sines(8000, [90, 150, 210, 390]) + random.normal(0, 300, (4, 4800)))
    lost = {(row, k) for row in range(4) for k in range(60) if random.random() < 0.25}
    together = run(signals, lost)
    for row in range(4):
        alone = run(signals[row : row + 1], {(0, k) for r, k in lost if r == row})
        assert np.allclose(together[row], alone[0], atol=1)


@pytest.mark.parametrize("rate", [16000, 48000])
def test_a_history_of_samples_does_as_one_of_codes(rate):
    sound, lost = voices(rate, [110, 190]), halves(9, 10, 20, 21, 22, 23, 24, 41, rows=2)
    kept = run(sound, lost, rate, history=lambda line: SamplesHistory(line.samples))
    assert np.abs(kept - run(sound, lost, rate)).max() <= 1.5  # codes are whole samples
