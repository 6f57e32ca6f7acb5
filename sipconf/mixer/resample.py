"""Changing the clock rate, by windowed-sinc filters written out as one matrix: block of input times matrix is
output.

`Resampler` is for streams of frames (history carried, 20 ms in is 20 ms out, 1 to 2 ms late); `convert` is for
whole clips (not late at all). Rates are any two whole numbers whose ratio is not absurd.
"""

from functools import cache
from math import gcd

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from sipconf.errors import MisuseError
from sipconf.mixer.frame import FRAME_MS, Pcm

TAPS = 32  # of the lower rate, whole filter: the more, the later (half of them) and the steeper
CUTOFF = 0.94  # of the lower rate's half, where the filter is 6 dB down
BETA = 7.0  # Kaiser window: stop band about -70 dB
BLOCK_MS = 5  # a matrix over a whole frame would be mostly zeros
MAX_PHASES = 1000


def _kernel(at: NDArray[np.float64], rate_in: int, rate_out: int) -> NDArray[np.float64]:
    """The filter at times in input samples, any shape; zero outside its reach."""
    scale = min(1.0, rate_out / rate_in)
    reach = TAPS / 2 / scale
    inside = np.abs(at) < reach
    window = np.i0(BETA * np.sqrt(np.where(inside, 1 - (at / reach) ** 2, 0))) / np.i0(BETA)
    return np.where(inside, CUTOFF * scale * np.sinc(CUTOFF * scale * at) * window, 0)


def reach_samples(rate_in: int, rate_out: int) -> int:
    """Input samples that the filter needs on each side of an output sample."""
    return int(np.ceil(TAPS / 2 * max(1.0, rate_in / rate_out)))


@cache
def matrix(rate_in: int, rate_out: int, outputs: int) -> Pcm:
    """float32 (inputs, outputs): outputs made of a block of inputs that begins reach_samples before the first."""
    reach = reach_samples(rate_in, rate_out)
    inputs = outputs * rate_in // rate_out + 2 * reach
    position = np.arange(outputs) * rate_in / rate_out
    response = _kernel(position[None, :] - (np.arange(inputs)[:, None] - reach), rate_in, rate_out)
    return (response / response.sum(axis=0)).astype(np.float32)


class Resampler:
    """Streams from one rate to another, a row to a room, each with the history its filter needs."""

    def __init__(self, rate_in: int, rate_out: int) -> None:
        self._block_in = rate_in * BLOCK_MS // 1000
        self._block_out = rate_out * BLOCK_MS // 1000
        self._matrix = matrix(rate_in, rate_out, self._block_out)
        self._history = 2 * reach_samples(rate_in, rate_out)
        self._samples_in = rate_in * FRAME_MS // 1000
        self._samples_out = rate_out * FRAME_MS // 1000
        self._owners = np.zeros(0, np.int64)
        self._state = np.zeros((0, self._history + self._samples_in), np.float32)

    def keep(self, owners: NDArray[np.int64]) -> None:
        """From now on row k is the stream of owners[k]; who was there before keeps its history, others start
        silent."""
        if np.array_equal(owners, self._owners):
            return
        state = np.zeros((len(owners), self._state.shape[1]), np.float32)
        _, new, old = np.intersect1d(owners, self._owners, assume_unique=True, return_indices=True)
        state[new] = self._state[old]
        self._owners, self._state = owners.copy(), state

    def process(self, pcm: Pcm) -> Pcm:
        """A frame of every stream, float32 (owners, samples in), to a new array (owners, samples out)."""
        state = self._state
        state[:, : self._history] = state[:, -self._history :].copy()
        state[:, self._history :] = pcm
        out = np.empty((len(state), self._samples_out), np.float32)
        width = len(self._matrix)
        for block in range(FRAME_MS // BLOCK_MS):
            first = block * self._block_in
            target = out[:, block * self._block_out : (block + 1) * self._block_out]
            np.matmul(state[:, first : first + width], self._matrix, out=target)
        return out


def convert(pcm: Pcm, rate_in: int, rate_out: int) -> Pcm:
    """A whole clip, float32 (samples,), at another rate; not shifted in time. MisuseError for an absurd ratio."""
    if rate_in == rate_out:
        return pcm
    common = gcd(rate_in, rate_out)
    phases, step = rate_out // common, rate_in // common
    if phases > MAX_PHASES or step > MAX_PHASES:
        raise MisuseError(f"{rate_in} Hz cannot be made {rate_out} Hz")
    repeat = -(-64 // phases)  # outputs of a block: enough that the product is worth its call
    outputs, inputs = phases * repeat, step * repeat
    kernel = matrix(rate_in, rate_out, outputs)
    reach = reach_samples(rate_in, rate_out)
    length = -(-len(pcm) * phases // step)
    blocks = -(-length // outputs)
    padded = np.zeros(blocks * inputs + 2 * reach, np.float32)
    padded[reach : reach + len(pcm)] = pcm
    # Overlapping rows must be copied apart, or the product is made without BLAS.
    windows = np.ascontiguousarray(sliding_window_view(padded, len(kernel))[::inputs][:blocks])
    return (windows @ kernel).ravel()[:length]
