"""Levels in dBFS and who is talking."""

import numpy as np
import pytest

from sipconf.mixer.levels import FLOOR_CAP_DB, HANG_OVER_MS, Levels
from sipconf.mixer.tones import modulated_tone


def listen(levels, *signals):
    """Frames of every signal through one Levels; answers (frame, row) of each change."""
    changes = []
    for row in range(len(signals)):
        levels.add(row)
    for frame in range(min(map(len, signals)) // 160):
        pcm = np.stack([signal[frame * 160 : frame * 160 + 160] for signal in signals]).astype(np.float32)
        changes += [(frame, int(row)) for row in levels.hear(pcm)]
    return changes


def noise(seconds, level_db, seed=3):
    return np.random.default_rng(seed).standard_normal(int(seconds * 8000)) * 32768 * 10 ** (level_db / 20)


def test_levels_are_decibels_of_full_scale():
    levels = Levels()
    full = 32767 * np.sin(2 * np.pi * 1000 * np.arange(160) / 8000)
    listen(levels, full, full / 10, full * 0)
    assert levels.level_db(0) == pytest.approx(-3.01, abs=0.01)
    assert levels.level_db(1) == pytest.approx(-23.01, abs=0.01)
    assert levels.level_db(2) == -100
    assert levels.levels_db(np.arange(3)).tolist() == pytest.approx([levels.level_db(row) for row in range(3)])


def test_a_voice_talks_and_hangs_over():
    levels = Levels()
    voice = np.concatenate([np.zeros(1600), modulated_tone(500, 8000, 1.0, -25), np.zeros(8000)])
    changes = listen(levels, voice)
    assert changes[0] == (10, 0)
    assert len(changes) == 2
    assert changes[1][0] - 60 == pytest.approx(HANG_OVER_MS // 20, abs=1)


def test_a_modulated_tone_talks_for_ever_and_noise_stops():
    levels = Levels()
    changes = listen(levels, modulated_tone(700, 8000, 12.0, -30), noise(12.0, -52))
    assert [frame for frame, row in changes if row == 0] == [0]
    assert not levels.talking[1]


def test_a_steady_loud_sound_does_not_gate_itself():
    levels = Levels()
    tone = 32768 * 10 ** ((FLOOR_CAP_DB + 15) / 20) * np.sin(2 * np.pi * 400 * np.arange(8000 * 20) / 8000)
    listen(levels, tone)
    assert levels.talking[0]


def test_rows_are_those_of_a_plain_loop():
    random = np.random.default_rng(5)
    levels = Levels()
    for row in range(40):
        levels.add(row)
    floor, hang = [32768**2 * 10**-6.8] * 40, [0] * 40
    for _ in range(80):
        pcm = (random.standard_normal((40, 160)) * 10 ** random.uniform(0, 4, (40, 1))).astype(np.float32)
        levels.hear(pcm)
        for row in range(40):
            power = sum(float(x) ** 2 for x in pcm[row]) / 160
            hang[row] = 15 if power > floor[row] * 10**0.9 else max(0, hang[row] - 1)
            floor[row] = floor[row] + 0.25 * (power - floor[row]) if power < floor[row] else floor[row] * 10**0.006
            floor[row] = min(max(floor[row], 32768**2 * 10**-6.8), 32768**2 * 10**-5.0)
        assert levels.talking.tolist() == [h > 0 for h in hang]
