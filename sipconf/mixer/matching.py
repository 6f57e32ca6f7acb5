"""Automatic level matching: a slow gain for each leg that brings every talker to the same loudness.

The active speech level is the mean power of the frames that hold speech: those above the leg's noise and not far below
the level itself (the margin of ITU-T P.56). A gain moves only while its leg talks, quickly in the first seconds, when
nobody has settled yet, and then too slowly to be heard moving. What is multiplied where: `legs`, `mix`.
"""

import numpy as np
from numpy.typing import NDArray

from sipconf.mixer.frame import FULL_SCALE, db_to_power, grown
from sipconf.mixer.levels import Levels

TARGET_DB = -20.0
"""dBFS of active speech: that of the prompts, so that people and prompts are equally loud."""
GAIN_DB = (-12.0, 18.0)
NOISE_DB = -42.0
"""dBFS that no leg's noise is raised above."""
PEAK_DB = -10.0
"""dBFS that no leg's loudest frames are raised above: their peaks then stay below the limiter's knee."""
SPEECH_MARGIN = 10**-1.6
FIRST_FRAMES = 20
"""Frames of speech before the first gain: 0.4 s."""
SETTLED_FRAMES = 150
"""Frames of speech after which a gain is slow."""
MEMORY_FRAMES = 200
QUICK_DB, SLOW_DB = 3.0, 0.2  # most that a gain moves in a block
STEP_DB = 1.0
"""A gain is set anew when it has moved so far: steady talkers cost nothing and a step is not heard."""


class LevelMatching:
    """One row per leg of a bank. gain: float32 (capacity,), what each leg's samples are multiplied by."""

    def __init__(self, levels: Levels) -> None:
        self._levels = levels
        self.gain = np.ones(0, np.float32)
        self._wanted = np.zeros(0, bool)
        self._energy = np.zeros(0, np.float32)  # of the speech frames remembered
        self._frames = np.zeros(0, np.float32)  # how many these are, older ones counting less
        self._heard = np.zeros(0, np.float32)  # frames of speech altogether
        self._loudest = np.zeros(0, np.float32)  # mean square of the loudest frames
        self._gain_db = np.zeros(0, np.float32)  # what gain is a step of
        self._set_db = np.zeros(0, np.float32)

    def add(self, row: int) -> None:
        """A new leg in this row: not matched, nothing known of its level."""
        for name in ("gain", "_wanted", "_energy", "_frames", "_heard", "_loudest", "_gain_db", "_set_db"):
            setattr(self, name, grown(getattr(self, name), row + 1))
            getattr(self, name)[row] = 0
        self.gain[row] = 1

    def match(self, row: int, wanted: bool) -> None:
        """Whether a leg's level is matched; not any more: its gain goes back to 1 at once."""
        self._wanted[row] = wanted
        if not wanted and self.gain[row] != 1:
            self.gain[row], self._gain_db[row], self._set_db[row] = 1, 0, 0

    def learn(self) -> bool:
        """Take in the block of frames that `Levels` has just filled. Answers whether any gain is another now."""
        size = self._levels.size
        track = self._levels.track[:, :size]
        energy, frames = self._energy[:size], self._frames[:size]
        level = energy / np.maximum(frames, 1)
        speech = track > np.maximum(self._levels.threshold[:size], level * np.float32(SPEECH_MARGIN))
        count = speech.sum(axis=0, dtype=np.float32)
        rows = np.flatnonzero(count)
        if not len(rows):
            return False
        count = count[rows]
        keep = 1 - count / np.float32(MEMORY_FRAMES)
        energy[rows] = energy[rows] * keep + (track * speech).sum(axis=0)[rows]
        frames[rows] = frames[rows] * keep + count
        self._heard[rows] += count
        self._loudest[rows] = np.maximum(track.max(axis=0)[rows], self._loudest[rows] * keep)
        rows = rows[self._wanted[rows] & (self._heard[rows] >= FIRST_FRAMES)]
        if not len(rows):
            return False
        step = np.where(self._heard[rows] < SETTLED_FRAMES, np.float32(QUICK_DB), np.float32(SLOW_DB))
        gain = self._gain_db[rows]
        gain += np.clip(self._goal_db(rows) - gain, -step, step)
        self._gain_db[rows] = gain
        moved = rows[np.abs(gain - self._set_db[rows]) >= STEP_DB]
        self._set_db[moved] = np.rint(self._gain_db[moved] / STEP_DB) * STEP_DB
        self.gain[moved] = 10 ** (self._set_db[moved] / 20)
        return len(moved) > 0

    def _goal_db(self, rows: NDArray[np.intp]) -> NDArray[np.floating]:
        level = _decibels(self._energy[rows] / self._frames[rows])
        goal = np.clip(TARGET_DB - level, *GAIN_DB)
        room = np.minimum(NOISE_DB - _decibels(self._levels.floor[rows]), PEAK_DB - _decibels(self._loudest[rows]))
        return np.minimum(goal, np.maximum(room, 0))


def _decibels(power: NDArray[np.float32]) -> NDArray[np.float32]:
    return 10 * np.log10(np.maximum(power, np.float32(db_to_power(-100))) / np.float32(FULL_SCALE**2))
