"""Whether a voice says the very same again: how a recorded announcement in a loop differs from a person.

What is compared is the course of the level, fifty values a second: nobody speaks a sentence twice with the same moment
for every syllable. What follows from it: `guards`.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FRAMES_PER_S = 50
COURSE_S = 60
"""How far back it is looked: two announcements of half a minute."""
SAMPLE_S = 10
"""What must come again."""
LEAST_S = 5
"""Shorter loops are not looked for: they are tones and music."""
QUIET_DB = -55.0
SPOKEN_DB = QUIET_DB + 12
SPOKEN_SHARE = 0.4
"""Of the sample: one "yes" among silence is like another."""
LIVELY_DB = 5.0
"""Standard deviation of a level course with words and gaps in it."""


class Repetition(NamedTuple):
    """lag: frames since the last 10 s were said before. alike: how well both courses correlate, up to 1."""

    lag: int
    alike: float


NOTHING = Repetition(0, 0.0)


def find_repetition(course: NDArray[np.float32], known: int) -> Repetition:
    """course: float32 (COURSE_S * FRAMES_PER_S,), levels in dB, the latest last; known: how many of them there are."""
    sample_frames, least = SAMPLE_S * FRAMES_PER_S, LEAST_S * FRAMES_PER_S
    if (course[-sample_frames:] > SPOKEN_DB).mean() < SPOKEN_SHARE:
        return NOTHING
    past = course[len(course) - min(known, len(course)) : len(course) - least]
    if len(past) < sample_frames:
        return NOTHING
    sample = course[-sample_frames:] - course[-sample_frames:].mean()
    strength = float(np.sqrt(np.mean(sample**2)))
    if strength < LIVELY_DB:
        return NOTHING
    points = 1 << (len(past) - 1).bit_length()
    centred = past - past.mean()
    product = np.fft.irfft(np.fft.rfft(centred, points) * np.fft.rfft(sample, points).conj(), points)
    count = len(past) - sample_frames + 1
    sums = np.cumsum(np.concatenate([[0.0], centred]))
    squares = np.cumsum(np.concatenate([[0.0], centred.astype(np.float64) ** 2]))
    mean = (sums[sample_frames:] - sums[:-sample_frames]) / sample_frames
    spread = np.sqrt(np.maximum((squares[sample_frames:] - squares[:-sample_frames]) / sample_frames - mean**2, 1.0))
    alike = product[:count] / (sample_frames * strength * spread)
    best = int(alike.argmax())
    return Repetition(len(past) + least - sample_frames - best, float(alike[best]))
