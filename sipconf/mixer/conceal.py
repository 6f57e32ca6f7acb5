"""What a listener hears instead of lost audio: the voice's last periods again, fading, joined without a step.

After ITU-T G.711 Appendix I, but without its delay. The period is found in what was played last. One period is repeated
at first, then two as one, then three, so that a long gap does not buzz, and the gap fades to silence. Where sound comes
back, the invented goes on under it for a while, the longer the longer the gap was.

Works on decoded samples, and only on the rows that lost some or come back. Which halves of a frame (10 ms) are missing
is the jitter buffer's to say.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from sipconf.mixer.frame import Codes, Pcm, Rows, grown, samples_per_frame
from sipconf.mixer.history import HISTORY_FRAMES, History

FADE_MS = 100  # from the last good sample to silence
OVERLAP_MS, MAX_OVERLAP_MS = 1, 5  # of a return: at least, plus a tenth of the gap; at most
JOIN_MS = 1.25  # within which a step at the beginning of a gap dies away
SEARCH_RATE = 8000
LAGS = (30, 122)  # periods looked for at the search rate: 266 to 66 Hz; of a higher voice two or more are one
TEMPLATE = 48  # samples at the search rate that must look alike one period earlier
PERIODS = 3  # repeated as one at most: one more after each frame
BLEND = 0.25  # of a period: how much of the end of a repetition turns into what came before its beginning
BOTH = 0x0101  # two filled halves, seen as one number


class Concealer:
    """One row per leg of a bank. history: keeps what was played last."""

    def __init__(self, clock_rate: int, history: History) -> None:
        self._history = history
        self._samples = samples_per_frame(clock_rate)
        self._half = self._samples // 2
        self._factor = clock_rate // SEARCH_RATE
        per_ms = clock_rate // 1000
        self._fade = FADE_MS * per_ms
        self._overlap, self._max_overlap = OVERLAP_MS * per_ms, MAX_OVERLAP_MS * per_ms
        self._join = np.exp(-np.arange(self._samples + self._max_overlap) / (JOIN_MS * per_ms)).astype(np.float32)
        self._gap = np.zeros(0, np.int64)  # samples invented since the last good one
        self._troubled = False  # some row has such a gap
        self._past = np.zeros((0, HISTORY_FRAMES * self._samples), np.float32)  # what was played before the gap
        self._period = np.ones(0, np.int64)
        self._count = np.ones(0, np.int64)  # of them, repeated as one
        self._next = np.zeros((0, self._max_overlap), np.float32)  # what would go on behind the invented

    def add(self, row: int) -> None:
        """A new leg in this row: nothing was heard from it yet, so nothing is invented until it speaks."""
        self._history.add(row)
        for name in ("_gap", "_past", "_period", "_count", "_next"):
            setattr(self, name, grown(getattr(self, name), row + 1))
        self._gap[row] = self._fade
        self._troubled = True
        self._past[row] = self._next[row] = 0
        self._period[row] = LAGS[1] * self._factor
        self._count[row] = 1

    def fill(self, pcm: Pcm, filled: NDArray[np.uint8], codes: Codes | None = None) -> None:
        """pcm float32 (n, samples) gets its missing halves, in place. filled uint8 (n, 2), contiguous: 1 where that
        half came, else 0. codes: what it was decoded from, if the history wants to know."""
        mended = None
        if self._troubled or np.count_nonzero(filled) != filled.size:
            mended = self._concerned(filled)
            if len(mended):
                pcm[mended] = self._mend(mended, pcm[mended], filled[mended] != 0)
                self._troubled = np.count_nonzero(self._gap) != 0
        self._history.keep(pcm, codes, mended)

    def _concerned(self, filled: NDArray[np.uint8]) -> Rows:
        """Rows that miss something and are not silent yet, or that come back."""
        came, gap = filled.view(np.uint16)[:, 0], self._gap[: len(filled)]
        missing = (came != BOTH) & (gap < self._fade)
        return np.flatnonzero(missing | (came != 0) & (gap > 0))

    def _mend(self, rows: Rows, heard: Pcm, came: NDArray[np.bool_]) -> Pcm:
        """What rows play: heard (m, samples), in place, with the halves that did not come, came (m, 2), invented."""
        samples, half = self._samples, self._half
        alike = came[:, 0] == came[:, 1]
        whole, mixed = np.flatnonzero(alike), np.flatnonzero(~alike)
        for part, begin, end in ((whole, 0, samples), (mixed, 0, half), (mixed, half, samples)):
            if not len(part):
                continue
            here = came[part, begin // half]
            lost, back = part[~here], part[here]
            back = back[self._gap[rows[back]] > 0]
            if len(lost):
                fresh = lost[self._gap[rows[lost]] == 0]
                if len(fresh):
                    self._learn(rows[fresh], heard[fresh, :begin])
                heard[lost, begin:end] = self._invent(rows[lost], end - begin)
            if len(back):
                first = slice(begin, begin + self._max_overlap)
                heard[back, first] = self._return_to(rows[back], heard[back, first])
        return heard

    def _learn(self, rows: Rows, now: Pcm) -> None:
        """Keep what rows played before their gap, at last now (m, 0 or half), and find its period."""
        past = self._history.of(rows)
        if now.shape[1]:
            past = np.concatenate([past[:, now.shape[1] :], now], axis=1)
        self._past[rows] = past
        self._period[rows] = self._pitch_lags(past)
        self._count[rows] = 1

    def _pitch_lags(self, past: Pcm) -> NDArray[np.int64]:
        """The lag in samples, int64 (m,), at which each row's end looks most like what came before; loudness does not
        count."""
        reach = TEMPLATE + LAGS[1]
        coarse = past[:, -reach * self._factor :]
        if self._factor > 1:
            coarse = coarse.reshape(len(past), reach, self._factor).mean(axis=2)
        windows = sliding_window_view(coarse[:, : reach - LAGS[0]], TEMPLATE, axis=1)
        alike = np.einsum("rwt,rt->rw", windows, coarse[:, -TEMPLATE:])
        energy = np.einsum("rwt,rwt->rw", windows, windows)
        score = alike / np.sqrt(energy + TEMPLATE)
        return (LAGS[1] - score.argmax(axis=1)) * self._factor

    def _invent(self, rows: Rows, length: int) -> Pcm:
        """The next samples of rows that miss them, (m, length). What would follow is kept for the return."""
        gap, period, past = self._gap[rows], self._period[rows], self._past[rows]
        index = np.arange(length + self._max_overlap, dtype=np.float32)
        at = index + gap[:, None].astype(np.float32)
        count = np.minimum(1 + gap // self._samples, PERIODS)
        signal = self._repeated(past, at, period, count)
        starts = np.flatnonzero(gap == 0)
        if len(starts):
            step = past[starts, -1] - past[starts, -1 - period[starts]]
            signal[starts] += step[:, None] * self._join[: len(index)]
        longer = np.flatnonzero(count > self._count[rows])
        if len(longer):
            turn = np.minimum(index / (BLEND * period[longer, None]), 1).astype(np.float32)
            before = self._repeated(past[longer], at[longer], period[longer], self._count[rows[longer]])
            signal[longer] = before + (signal[longer] - before) * turn
            self._count[rows] = count
        signal *= np.maximum(0, 1 - at * np.float32(1 / self._fade))
        self._gap[rows] += length
        self._next[rows] = signal[:, length:]
        return signal[:, :length]

    def _repeated(self, past: Pcm, at: Pcm, period: NDArray[np.int64], count: NDArray[np.int64]) -> Pcm:
        """Samples at places in the gap, at (m, length), where the last count (m,) periods are repeated as one, whose
        end turns into what came before its beginning."""
        longest = int(BLEND * LAGS[1]) * self._factor
        width, whole = past.shape[1], count * period
        begin = (np.arange(len(past)) + 1) * width - whole  # in the flat past
        index = np.arange(-longest, 0)
        blend = np.maximum(0, 1 + index / (BLEND * period[:, None])).astype(np.float32)
        cycles = past.copy()
        cycles[:, width - longest :] += (past.take(begin[:, None] + index) - past[:, width - longest :]) * blend
        begun = (count - 1) * self._samples // period * period  # a whole number of periods, to keep the phase
        place = at - begun[:, None].astype(np.float32)
        turns = np.floor((place + np.float32(0.5)) / whole[:, None].astype(np.float32))
        place -= turns * whole[:, None].astype(np.float32)
        return cycles.take(begin[:, None] + place.astype(np.int64))

    def _return_to(self, rows: Rows, heard: Pcm) -> Pcm:
        """What came first after a gap, heard (m, longest overlap), blended with what was about to go on."""
        overlap = np.minimum(self._overlap + self._gap[rows] // 10, self._max_overlap)
        weight = np.minimum(np.arange(1, self._max_overlap + 1) / overlap[:, None], 1).astype(np.float32)
        self._gap[rows] = 0
        return self._next[rows] + (heard - self._next[rows]) * weight
