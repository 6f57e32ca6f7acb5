"""The soft limiter, and the tables that hold it together with an encoder: one gather limits, saturates and
encodes.

A sum of voices may be many times full scale. Up to KNEE a sample passes untouched, beyond it bends towards full
scale. The knee is so high that every G.711 code, the loudest too, survives decoding, limiting and encoding
unchanged: one person alone is never altered. What the codes mean is in `g711` and `l16`.
"""

import numpy as np
from numpy.typing import NDArray

from sipconf.mixer.frame import Codes, Pcm

KNEE = 30000.0
CEILING = 32767.0
REACH = 131072  # table index 0 is sample -REACH; beyond the table a sample is at the ceiling anyway
BLOCK_ROWS = 128  # rows looked up at once: the index array then stays in the processor's second-level cache


def soft_limit(samples: NDArray[np.floating]) -> NDArray[np.float64]:
    """Samples at int16 scale, any shape, bent so that none is beyond the ceiling. Odd and never falling."""
    magnitude = np.abs(np.asarray(samples, np.float64))
    room = CEILING - KNEE
    bent = KNEE + room * np.tanh((magnitude - KNEE) / room)
    return np.copysign(np.where(magnitude > KNEE, bent, magnitude), samples)


def limit(pcm: Pcm) -> None:
    """The same for frames, float32 (k, samples), in place and at their own precision, which is several times as
    fast."""
    if not len(pcm) or max(pcm.max(), -pcm.min()) <= KNEE:
        return
    loud = np.flatnonzero(np.abs(pcm).max(axis=1) > KNEE)
    frames, room = pcm[loud], np.float32(CEILING - KNEE)
    over = np.abs(frames)
    bent = np.minimum(over, np.float32(KNEE))
    over -= bent
    over /= room
    np.tanh(over, out=over)
    over *= room
    bent += over
    pcm[loud] = np.copysign(bent, frames, out=bent)


def limited_table(codes_of_int16: NDArray, step: int = 1) -> NDArray:
    """A table of 2 * REACH codes, one for each whole sample, from one of 65536 codes indexed by sample + 32768.

    step: all from one multiple of it to below the next have the code of their middle, where an encoding tells no finer
    differences.
    """
    samples = np.arange(-REACH, REACH) // step * step + step // 2
    return codes_of_int16[np.rint(soft_limit(samples)).astype(np.int32) + 32768]


class TableEncoder:
    """Float samples to codes by a limited table. Owns the index scratch, so one encoder serves one thread."""

    def __init__(self, table: NDArray, samples: int, nearest: bool) -> None:
        """nearest: fractions belong to the nearest whole sample, otherwise to the one below, as where the table has
        steps."""
        self._table = table
        self._shift = np.float32(REACH + 0.5 * nearest)
        self._index = np.empty((BLOCK_ROWS, samples), np.intp)  # what take would turn any other integers into

    def encode(self, pcm: Pcm, out: NDArray) -> None:
        """pcm (n, samples) to out (n, samples) of the table's dtype."""
        for first in range(0, len(pcm), BLOCK_ROWS):
            block = pcm[first : first + BLOCK_ROWS]
            index = self._index[: len(block)]
            # The cast cuts off; that it rounds upwards below -REACH is no matter, for there the take clips.
            np.add(block, self._shift, out=index, casting="unsafe")
            self._table.take(index, out=out[first : first + BLOCK_ROWS], mode="clip")


def pair_table(values: Pcm) -> NDArray[np.int64]:
    """65536 pairs of float32 (each pair seen as one int64) indexed by two neighbouring codes seen as one
    uint16."""
    pairs = np.arange(65536, dtype=np.uint16).view(np.uint8).reshape(-1, 2)
    return np.ascontiguousarray(values[pairs]).view(np.int64).ravel()


def decode_by_pairs(table: NDArray[np.int64], codes: Codes, out: Pcm) -> None:
    """codes uint8 (n, samples) to out float32 (n, samples), samples even, two codes to a look-up."""
    index, pairs = codes.view(np.uint16), out.view(np.int64)
    for first in range(0, len(codes), BLOCK_ROWS):
        rows = slice(first, first + BLOCK_ROWS)
        table.take(index[rows], out=pairs[rows], mode="clip")
