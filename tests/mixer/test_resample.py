"""Streams of frames and whole clips at other rates."""

import numpy as np
import pytest

from sipconf.errors import MisuseError
from sipconf.mixer.frame import RATES
from sipconf.mixer.resample import BLOCK_MS, TAPS, Resampler, convert, matrix, reach_samples

PAIRS = [(a, b) for a in RATES for b in RATES if a != b]


def stream(resampler, pcm, rate):
    size = rate // 50
    return np.concatenate([resampler.process(pcm[:, k : k + size]) for k in range(0, pcm.shape[1], size)], axis=1)


@pytest.mark.parametrize(("rate", "other"), PAIRS)
def test_a_stream_is_its_filter_written_as_a_loop(rate, other):
    pcm = np.random.default_rng(6).standard_normal((2, rate // 10)).astype(np.float32)
    resampler = Resampler(rate, other)
    resampler.keep(np.array([4, 9]))
    out = stream(resampler, pcm, rate)
    kernel, reach = matrix(rate, other, other * BLOCK_MS // 1000), reach_samples(rate, other)
    padded = np.concatenate([np.zeros(2 * reach), pcm[1]])
    for at in range(0, out.shape[1], 7):
        block, phase = divmod(at, kernel.shape[1])
        first = block * rate * BLOCK_MS // 1000
        twin = sum(padded[first + k] * kernel[k, phase] for k in range(len(kernel)))
        assert out[1, at] == pytest.approx(twin, abs=1e-4)


@pytest.mark.parametrize(("rate", "other"), PAIRS)
def test_tones_keep_their_level(rate, other):
    at = np.arange(rate) / rate
    for frequency in (100, 1000, 3000, 3400):
        out = convert((8000 * np.sin(2 * np.pi * frequency * at)).astype(np.float32), rate, other)
        twin = 8000 * np.sin(2 * np.pi * frequency * np.arange(other) / other)
        middle = slice(other // 4, other * 3 // 4)
        assert len(out) == other
        # The same samples, not only the same level: a clip is not moved in time.
        assert np.abs(out[middle] - twin[middle]).max() < (80 if frequency < 3400 else 500)


def streamed_tone(rate, other, frequency):
    """Half a second of a tone of amplitude 10000 at the other rate, without its begin."""
    resampler = Resampler(rate, other)
    resampler.keep(np.array([0]))
    pcm = 10000 * np.sin(2 * np.pi * frequency * np.arange(rate // 2) / rate)
    return stream(resampler, pcm[None].astype(np.float32), rate)[0, other // 10 :].astype(np.float64)


@pytest.mark.parametrize(("rate", "other"), PAIRS)
def test_a_stream_keeps_tones_clean_and_is_late_by_two_milliseconds_at_most(rate, other):
    late = 1000 * TAPS / 2 / min(rate, other)
    assert late <= 2
    sound = streamed_tone(rate, other, 1000)
    # Block by block it is as late as it has to be, to the sample: the tone's own phase says so.
    at = np.arange(other // 10, other // 10 + len(sound)) / other - late / 1000
    twin = 10000 * np.sin(2 * np.pi * 1000 * at)
    gain = (sound @ twin) / (twin @ twin)
    assert 20 * np.log10(np.abs(gain)) == pytest.approx(0, abs=0.05)
    rest = sound - gain * twin
    assert 10 * np.log10((twin @ twin) / (rest @ rest)) > 80
    kept = streamed_tone(rate, other, 3400)
    assert 20 * np.log10(np.sqrt(2 * (kept**2).mean()) / 10000) > -0.5


@pytest.mark.parametrize(("rate", "other"), [pair for pair in PAIRS if pair[1] < pair[0]])
def test_what_is_600_hz_above_what_the_lower_rate_can_carry_is_gone(rate, other):
    for above in (600, 650, 800, 1200, 2000, 5000, 14000):
        if other / 2 + above < rate / 2:
            residue = streamed_tone(rate, other, other / 2 + above)
            assert 20 * np.log10(np.sqrt(2 * (residue**2).mean()) / 10000) < -55, above


def test_owners_keep_their_history_when_rows_move():
    pcm = np.random.default_rng(7).standard_normal((1, 1600)).astype(np.float32) * 1000
    alone, moved = Resampler(8000, 16000), Resampler(8000, 16000)
    alone.keep(np.array([5]))
    expected = stream(alone, pcm, 8000)[0]
    for frame in range(10):
        owners = np.array([5]) if frame % 3 == 0 else np.array([2, 5, 8])
        moved.keep(owners)
        block = np.repeat(pcm[:, frame * 160 : (frame + 1) * 160], len(owners), axis=0)
        got = moved.process(block)[owners.tolist().index(5)]
        assert np.allclose(got, expected[frame * 320 : (frame + 1) * 320], atol=0.01)


def test_absurd_ratios_are_refused():
    with pytest.raises(MisuseError):
        convert(np.zeros(100, np.float32), 8001, 8000)
