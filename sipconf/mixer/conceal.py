"""What a listener hears instead of lost audio: the last period of the voice again, fading, cross-faded on return.

Works on decoded samples, a 10 ms half of a frame at a time, and only on the rows that lost one. Which halves are
missing is the jitter buffer's to say.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from sipconf.mixer.codecs.catalogue import Codec
from sipconf.mixer.frame import Codes, Pcm, Rows, grown

FADE_MS = 100  # from the last good sample to silence
RETURN_MS = 5  # of cross-fade into the first good samples
JOIN_MS = 1.25  # within which a step at the seam dies away
SEARCH_RATE = 8000
LAGS = (20, 100)  # periods looked for at the search rate: 400 to 80 Hz
TEMPLATE = 60  # samples at the search rate that must look alike one period earlier


class Concealer:
    """One row per leg of a bank. Keeps last frame's codes, not its samples: that copy is four times smaller."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._half = codec.samples // 2
        self._factor = codec.clock_rate // SEARCH_RATE
        self._codes = np.zeros((0, codec.frame_bytes), np.uint8)
        self._whole = np.zeros(0, bool)  # the last frame came complete
        self._gap = np.zeros(0, np.int64)  # samples invented since the last good one
        self._troubled = False  # some row has such a gap
        self._cycle = np.zeros((0, LAGS[1] * self._factor), np.float32)
        self._period = np.ones(0, np.int64)
        self._step = np.zeros(0, np.float32)  # the last good sample less what the cycle would have had there
        per_ms = codec.clock_rate // 1000
        self._fade_samples = FADE_MS * per_ms
        self._join = np.exp(-np.arange(self._half) / (JOIN_MS * per_ms))
        self._return = ((np.arange(RETURN_MS * per_ms) + 1) / (RETURN_MS * per_ms)).astype(np.float32)

    def add(self, row: int) -> None:
        """A new leg in this row: nothing was heard from it yet, so nothing is invented until it speaks."""
        for name in ("_codes", "_whole", "_gap", "_cycle", "_period", "_step"):
            setattr(self, name, grown(getattr(self, name), row + 1))
        self._codes[row] = self._codec.silence
        self._whole[row] = False
        self._gap[row] = self._fade_samples
        self._troubled = True
        self._cycle[row] = 0
        self._period[row] = LAGS[0] * self._factor
        self._step[row] = 0

    def fill(self, pcm: Pcm, codes: Codes, filled: NDArray[np.uint8]) -> None:
        """pcm float32 (n, samples), decoded from codes uint8 (n, frame_bytes), gets its missing halves, in place.
        filled uint8 (n, 2): not 0 where that half came."""
        rows = len(pcm)
        complete = np.count_nonzero(filled) == filled.size
        if not complete or self._troubled:
            gap = self._gap[:rows]
            for half in (0, 1):
                came = filled[:, half] != 0
                lost = np.flatnonzero(~came & (gap < self._fade_samples))
                if len(lost):
                    self._conceal(pcm, lost, half)
                back = np.flatnonzero(came & (gap > 0))
                if len(back):
                    self._return_to(pcm, back, half)
            self._troubled = bool(gap.any())
        self._codes[:rows] = codes
        if complete:
            self._whole[:rows] = True
        else:
            np.all(filled, axis=1, out=self._whole[:rows])

    def _conceal(self, pcm: Pcm, rows: Rows, half: int) -> None:
        fresh = rows[(self._gap[rows] == 0) & self._whole[rows]]
        if len(fresh):
            self._learn(pcm, fresh, half)
        pcm[rows, half * self._half : (half + 1) * self._half] = self._invent(rows, self._half)
        self._gap[rows] += self._half

    def _return_to(self, pcm: Pcm, rows: Rows, half: int) -> None:
        first, length = half * self._half, len(self._return)
        invented = self._invent(rows, length)
        part = pcm[rows, first : first + length]
        pcm[rows, first : first + length] = invented + (part - invented) * self._return
        self._gap[rows] = 0

    def _invent(self, rows: Rows, length: int) -> Pcm:
        """The next samples of each row's cycle, (rows, length), fading by how long the gap already is."""
        at = self._gap[rows, None] + np.arange(length)
        signal = self._cycle[rows[:, None], at % self._period[rows, None]]
        starts = self._gap[rows] == 0
        if starts.any():
            signal[starts] += self._step[rows[starts], None] * self._join[:length]
        return signal * np.maximum(0, 1 - at / self._fade_samples).astype(np.float32)

    def _learn(self, pcm: Pcm, rows: Rows, half: int) -> None:
        """Find each row's period in its last 20 ms and keep its last cycle, end blended so that it repeats
        smoothly."""
        past = np.empty((len(rows), self._codec.samples), np.float32)
        self._codec.decode(self._codes[rows], past)
        if half:
            past = np.concatenate([past[:, self._half :], pcm[rows, : self._half]], axis=1)
        lags = self._periods(past)
        longest = self._cycle.shape[1]
        place = np.arange(longest)
        start = past.shape[1] - lags[:, None]
        cycle = np.take_along_axis(past, np.minimum(start + place, past.shape[1] - 1), axis=1)
        before = np.clip(start + place - lags[:, None], 0, past.shape[1] - 1)
        earlier = np.take_along_axis(past, before, axis=1)
        blend = np.clip((place - 0.75 * lags[:, None]) / (0.25 * lags[:, None]), 0, 1)
        blend[start[:, 0] < lags] = 0  # no whole earlier period to blend towards
        self._cycle[rows] = cycle + (earlier - cycle) * blend
        self._period[rows] = lags
        self._step[rows] = past[:, -1] - np.take_along_axis(past, start - 1, axis=1)[:, 0]

    def _periods(self, past: Pcm) -> NDArray[np.int64]:
        """The lag in samples at which each row's end looks most like what came before; its loudness does not
        count."""
        coarse = past.reshape(len(past), -1, self._factor).mean(axis=2)
        template = coarse[:, -TEMPLATE:]
        first = coarse.shape[1] - TEMPLATE - LAGS[1]
        windows = sliding_window_view(coarse[:, first : coarse.shape[1] - LAGS[0]], TEMPLATE, axis=1)
        alike = np.einsum("rwt,rt->rw", windows, template)
        energy = np.einsum("rwt,rwt->rw", windows, windows)
        score = alike / np.sqrt(energy + TEMPLATE)
        return (LAGS[1] - score.argmax(axis=1)) * self._factor
