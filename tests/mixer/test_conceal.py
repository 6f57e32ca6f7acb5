"""Lost halves: continued, faded to silence, re-entered without a step; rows that lost nothing are untouched."""

import numpy as np
import pytest

from sipconf.mixer.codecs.catalogue import codec
from sipconf.mixer.conceal import Concealer


def run(signals, lost, rate=8000):
    """signals (rows, samples); lost: set of (row, half number). Answers what came out, same shape."""
    line = codec("L16", rate)
    concealer = Concealer(line)
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
        concealer.fill(pcm, codes, filled)
        out.append(pcm)
    return np.concatenate(out, axis=1)


def sines(rate, frequencies, seconds=0.6):
    at = np.arange(int(seconds * rate)) / rate
    return np.stack([np.rint(8000 * np.sin(2 * np.pi * f * at + f)) for f in frequencies])


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
@pytest.mark.parametrize("first", [20, 21])
def test_a_short_gap_is_bridged_without_a_step(rate, first):
    signals = sines(rate, [110, 200, 333])
    out = run(signals, {(row, first + k) for row in range(3) for k in (0, 1)}, rate)
    half = rate // 100
    for row, frequency in enumerate((110, 200, 333)):
        gap = out[row, first * half : (first + 2) * half]
        assert 0.5 < np.sqrt((gap**2).mean()) / (8000 / np.sqrt(2)) < 1.05
        assert np.abs(np.diff(out[row])).max() < 2.5 * 8000 * 2 * np.pi * frequency / rate + 60
        after = slice((first + 3) * half, None)
        assert np.array_equal(out[row, after], signals[row, after])
        before = slice(half // 2, first * half)  # a leg's very first samples fade in
        assert np.array_equal(out[row, before], signals[row, before])


def test_a_voice_that_swells_does_not_click_where_it_is_cut():
    at = np.arange(4800) / 8000
    swelling = np.rint(900 * np.exp(at * 12 - 1.5) * np.cos(2 * np.pi * 100 * (at - 0.2)))[None, :]
    out = run(swelling, {(0, 20), (0, 21)})[0]  # cut at 200 ms, at a crest
    assert abs(out[1600] - out[1599]) < 200
    assert abs(out[1600]) > 1500


def test_a_long_gap_fades_to_silence_within_100_ms():
    out = run(sines(8000, [200]), {(0, k) for k in range(20, 50)})
    halves = np.abs(out[0].reshape(-1, 80)).max(axis=1)
    assert (halves[20:25] > 1000).all()
    assert (np.diff(halves[22:30]) < 0).all()
    assert not halves[30:50].any()


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
