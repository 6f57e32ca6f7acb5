"""Levels in dBFS and who is talking."""

import numpy as np
import pytest

from sipconf.mixer.frame import db_to_power
from sipconf.mixer.levels import (
    ABOVE_FLOOR_DB,
    ABOVE_NOISE_DB,
    BLOCK,
    BLOCKS,
    CLICK_MS,
    FLOOR_CAP_DB,
    FLOOR_LEAST_DB,
    HANG_OVER_MS,
    Levels,
)
from tests.mixer.tones import modulated_tone


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


def test_noise_of_any_loudness_is_let_in_at_the_very_first_only():
    levels = Levels()
    changes = listen(levels, *(noise(12.0, level, seed) for seed, level in enumerate((-60, -50, -42, -36))))
    assert all(frame < 80 for frame, _ in changes)
    assert not levels.talking.any()


def test_a_louder_noise_is_taken_for_noise_after_some_seconds():
    levels = Levels()
    changes = listen(levels, np.concatenate([noise(4.0, -60), noise(6.0, -40)]))
    assert [frame for frame, _ in changes][0] == 200 and 250 < changes[1][0] < 350 and len(changes) == 2


def test_lost_packets_do_not_make_a_noisy_line_talk():
    levels = Levels()
    hiss = noise(20.0, -42)
    for first in range(8000 * 5, len(hiss), 8000 * 3):
        hiss[first : first + 640] = 0
    assert [frame for frame, _ in listen(levels, hiss) if frame > 80] == []


def test_a_word_opens_in_the_frame_in_which_it_begins():
    levels = Levels()
    word = np.concatenate([noise(5.0, -50)[: 8000 * 5 - 80], modulated_tone(600, 8000, 0.4, -26)])
    assert listen(levels, word)[-1] == (249, 0)


def test_a_click_keeps_the_gate_open_for_a_moment_only():
    levels = Levels()
    click = np.zeros(8000)
    click[4000:4100] = 8000
    assert [frame for frame, _ in listen(levels, click)] == [25, 25 + CLICK_MS // 20]


def test_rows_are_those_of_a_plain_loop():
    random = np.random.default_rng(5)
    levels = Levels()
    rows, full = 40, 32768.0**2
    for row in range(rows):
        levels.add(row)
    infinity = float("inf")
    quietest = [[full * 1e-5] * 8 + [infinity] * 4 for _ in range(rows)]
    loudest = [[full * 1e-5] * 8 + [infinity] * 4 for _ in range(rows)]
    threshold = [full * 10**-4.4] * rows
    until, loud_before, block = [0] * rows, [False] * rows, [[] for _ in range(rows)]
    for frame in range(400):
        pcm = (random.standard_normal((rows, 160)) * 10 ** random.uniform(1.2, 3, (rows, 1))).astype(np.float32)
        levels.hear(pcm)
        for row in range(rows):
            power = sum(float(x) ** 2 for x in pcm[row]) / 160
            loud = power > threshold[row]
            if loud:
                until[row] = max(until[row], frame + 3)
            if loud and loud_before[row]:
                until[row] = frame + 15
            loud_before[row] = loud
            block[row].append(power)
            if len(block[row]) == 10:
                quietest[row] = [*quietest[row][1:], min(block[row])]
                loudest[row] = [*loudest[row][1:], max(block[row])]
                block[row] = []
                floor = min(max(sorted(quietest[row])[2], full * 10**-6.8), full * 10**-3.8)
                threshold[row] = min(max(sorted(loudest[row])[2] * 10**0.4, floor * 10**0.6), floor * 10**1.05)
        assert levels.talking.tolist() == [frame < each for each in until], frame


@pytest.mark.parametrize("seed", range(3))
def test_the_noise_is_the_third_quietest_of_the_last_blocks(seed):
    """Against sorting, row by row."""
    rng, levels = np.random.default_rng(seed), Levels()
    for row in range(5):
        levels.add(row)
    blocks = [[] for _ in range(5)]
    for _ in range(2 * BLOCKS):
        block = rng.uniform(2.0, 300.0, (BLOCK, 5)).astype(np.float32)
        for frame in block:
            levels.hear(frame[:, None] * np.ones(160, np.float32))
        power = block.astype(np.float64) ** 2
        for row in range(5):
            blocks[row].append((power[:, row].min(), power[:, row].max()))
    for row in range(5):
        last = blocks[row][-BLOCKS:]
        floor, loudest = (sorted(values)[2] for values in zip(*last, strict=True))
        floor = min(max(floor, db_to_power(FLOOR_LEAST_DB)), db_to_power(FLOOR_CAP_DB))
        least, most = (floor * 10 ** (margin / 10) for margin in ABOVE_FLOOR_DB)
        assert levels.floor[row] == pytest.approx(floor, rel=1e-5)
        threshold = min(max(loudest * 10 ** (ABOVE_NOISE_DB / 10), least), most)
        assert levels.threshold[row] == pytest.approx(threshold, rel=1e-5)
