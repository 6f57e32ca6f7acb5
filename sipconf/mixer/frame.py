"""The frame every mixer part agrees on: 20 ms of float32 samples at int16 scale, and what decibels mean here.

No signal processing lives here. Decibels are dBFS: the root mean square against 32768, so a full-scale sine is -3.
"""

import numpy as np
from numpy.typing import NDArray

from sipconf.errors import MisuseError

FRAME_MS = 20
FULL_SCALE = 32768.0
RATES = (8000, 16000, 48000)
SILENT_DB = -100.0  # what digital silence is reported as

Pcm = NDArray[np.float32]
Codes = NDArray[np.uint8]
Rows = NDArray[np.intp]


def samples_per_frame(clock_rate: int) -> int:
    """Samples in 20 ms at a clock rate the mixer knows; MisuseError at any other."""
    if clock_rate not in RATES:
        raise MisuseError(f"the mixer has no clock rate {clock_rate}")
    return clock_rate * FRAME_MS // 1000


def ramp(samples: int) -> Pcm:
    """From just above 0 to exactly 1 across a frame, float32 (samples,): the way every weight moves."""
    return (np.arange(1, samples + 1) / samples).astype(np.float32)


def power_to_db(mean_square: float) -> float:
    """dBFS of a mean square at int16 scale, never below SILENT_DB."""
    if mean_square <= 0:
        return SILENT_DB
    return max(SILENT_DB, 10.0 * float(np.log10(mean_square / FULL_SCALE**2)))


def db_to_power(level_db: float) -> float:
    """The mean square at int16 scale of a level in dBFS."""
    return FULL_SCALE**2 * 10.0 ** (level_db / 10.0)


def grown(column: NDArray, rows: int) -> NDArray:
    """The column itself if it has that many rows, else a copy of at least twice the size, zero beyond."""
    if len(column) >= rows:
        return column
    larger = np.zeros((max(rows, 2 * len(column), 8), *column.shape[1:]), column.dtype)
    larger[: len(column)] = column
    return larger
