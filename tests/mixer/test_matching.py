"""Every talker at the same loudness: how soon, how evenly, how slowly, and never the noise."""

import numpy as np
import pytest

from sipconf.mixer.edge.wavfile import load_sounds
from sipconf.mixer.frame import FULL_SCALE
from sipconf.mixer.levels import Levels
from sipconf.mixer.matching import GAIN_DB, NOISE_DB, TARGET_DB, LevelMatching
from sipconf.mixer.resample import convert

FRAME = 160


@pytest.fixture(scope="module")
def speech():
    """The spoken prompts at 8 kHz, half a minute of them, with pauses as between sentences."""
    parts = []
    for name, (rate, pcm) in load_sounds().clips.items():
        if "tone" not in name and name != "music":
            parts += [convert(pcm, rate, 8000), np.zeros(3200, np.float32)]
    return np.concatenate(parts)[: 30 * 8000]


def powers(sound):
    return (sound[: len(sound) // FRAME * FRAME].reshape(-1, FRAME).astype(np.float64) ** 2).mean(axis=1)


def active_db(sound):
    """The mean level of the frames within 16 dB of it, as ITU-T P.56 has it."""
    power = powers(sound)
    level = power.mean()
    for _ in range(20):
        level = power[power > level / 40].mean()
    return 10 * np.log10(level / FULL_SCALE**2)


def matched(sounds, wanted=True):
    """What is made of sounds (rows, samples): the same matched, and the gains in dB (frames, rows)."""
    levels = Levels()
    matching = LevelMatching(levels)
    for row in range(len(sounds)):
        levels.add(row)
        matching.add(row)
        matching.match(row, wanted)
    out, gains = sounds.astype(np.float32), []
    for first in range(0, sounds.shape[1] - FRAME + 1, FRAME):
        frame = np.ascontiguousarray(out[:, first : first + FRAME])
        levels.hear(frame)
        if levels.block_is_full:
            matching.learn()
        out[:, first : first + FRAME] = frame * matching.gain[: len(sounds), None]
        gains.append(20 * np.log10(matching.gain[: len(sounds)]))
    return out, np.array(gains)


def talkers(speech, *levels_db):
    own = active_db(speech)
    return np.stack([speech * 10 ** ((level - own) / 20) for level in levels_db])


def two_seconds_of(speech):
    """The frame after two seconds of speech, pauses not counted."""
    power = powers(speech)
    return int(np.flatnonzero(np.cumsum(power > power.max() / 1000) >= 100)[0])


def test_after_two_seconds_of_speech_every_talker_is_within_3_db(speech):
    out, _ = matched(talkers(speech, -38, -30, -20, -12))
    begin = two_seconds_of(speech) * FRAME
    for row in out:
        for first in range(begin, len(row) - 5 * 8000, 5 * 8000):
            assert abs(active_db(row[first : first + 5 * 8000]) - TARGET_DB) <= 3


def test_a_steady_talker_is_hardly_ever_moved_and_never_far(speech):
    _, gains = matched(talkers(speech, -35, -20))
    later = gains[two_seconds_of(speech) + 50 :]
    assert np.ptp(later, axis=0).max() <= 3
    assert np.count_nonzero(np.diff(later, axis=0)) <= 8


def test_gains_are_bounded_and_frozen_in_pauses(speech):
    _, gains = matched(talkers(speech, -60, -2))
    assert gains.max() <= GAIN_DB[1] and gains.min() >= GAIN_DB[0] - 1e-4
    pause = np.concatenate([speech[: 8000 * 10], np.zeros(8000 * 20, np.float32)])
    _, gains = matched(talkers(pause, -30))
    assert np.ptp(gains[520:]) == 0


def test_no_gain_is_applied_to_noise_alone_and_little_to_a_noisy_line(speech):
    hiss = np.random.default_rng(3).standard_normal(len(speech)) * FULL_SCALE
    _, gains = matched(np.stack([hiss * 10**-2.4, hiss * 10**-3]))
    assert not gains.any()
    _, gains = matched(talkers(speech, -38) + hiss * 10 ** (-50 / 20))
    assert 0 < gains.max() <= NOISE_DB + 50 + 2


def test_where_levels_are_not_matched_the_gain_is_one(speech):
    levels = talkers(speech, -35)
    assert not matched(levels, wanted=False)[1].any()


def test_a_new_leg_in_the_row_begins_anew(speech):
    levels = Levels()
    matching = LevelMatching(levels)
    levels.add(0)
    matching.add(0)
    matching.match(0, True)
    for first in range(0, 8000 * 6, FRAME):
        levels.hear(speech[None, first : first + FRAME] * np.float32(0.1))
        if levels.block_is_full:
            matching.learn()
    assert matching.gain[0] > 2
    matching.match(0, False)
    assert matching.gain[0] == 1
    matching.add(0)
    assert matching.gain[0] == 1 and not matching.learn()
