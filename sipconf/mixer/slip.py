"""Time-scale slips: a row's sound becomes shorter or longer by a frame, some milliseconds at a time, unheard.

Works on decoded samples. Where 5 ms of a row's frame look like the 5 ms that come a lag of 2 to 5 ms later (their
correlation, normalised, is high: waveform similarity as in WSOLA, Verhelst and Roelands, ICASSP 1993), the lag is
left out or played twice, cross-faded. A row that slips is a delay line of `held` samples, 0 to a frame:

* to lose a frame it is given one more than it plays and begins with all of that held; when nothing is held it is done;
* to gain one it begins with nothing held; when a whole frame is held it is owed a tick in which what is held is played
  and no other frame comes (`give`); then it is done.

So whoever feeds the rows (the jitter buffer, through media) moves by whole frames only, and rows that do not slip
cost nothing. Sound that nobody hears need not slip: such a row lets go of what it holds. Lags are found at 8 kHz,
whatever the clock rate.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from sipconf.mixer.frame import Pcm, Rows, grown, samples_per_frame

SEARCH_RATE = 8000
SHORTEST, LONGEST = 16, 40
"""Lags at the search rate: 2 ms to 5 ms. A slip never leaves less than the shortest to do."""
FADE = 40
"""Samples at the search rate (5 ms) that are compared and cross-faded."""
PLACES = np.arange(0, 81, 20)
"""Where in a frame, at the search rate, a slip may begin, so that lag and fade find room in it."""
ALIKE = 0.95
YIELDING = 0.1
"""How like each other the two must be (1: the same but for loudness), and by how much less with every tick that a row
has waited: after some 0.2 s the best place will do, or a clock that is 0.8 % wrong would win the race."""
HASTE = 0.1
"""Likeness that the longest lag is worth more than one of no length: fewer slips are heard less than many."""
FAINT = 20.0
"""Samples at int16 scale: what is fainter looks like anything."""

IDLE, LOSING, GAINING, GIVING = range(4)
_LAGS = np.arange(SHORTEST, LONGEST + 1)


class Slipper:
    """One row per leg of a bank. busy: some row slips."""

    def __init__(self, clock_rate: int) -> None:
        self._samples = samples_per_frame(clock_rate)
        self._factor = clock_rate // SEARCH_RATE
        self._place = np.arange(2 * self._samples)
        fade = FADE * self._factor
        self._fade = (0.5 - 0.5 * np.cos(np.pi * np.arange(fade + 1) / fade)).astype(np.float32)
        self._way = np.zeros(0, np.int8)
        self._held = np.zeros(0, np.int64)
        self._waited = np.zeros(0, np.int64)  # ticks since the last slip
        self._store = np.zeros((0, self._samples), np.float32)  # the first _held of them count
        self.busy = False

    def clear(self, row: int) -> None:
        """The row slips no more; nothing is held of it."""
        for name in ("_way", "_held", "_waited", "_store"):
            setattr(self, name, grown(getattr(self, name), row + 1))
        self._way[row] = self._held[row] = 0

    def lose(self, rows: Rows, first: Pcm) -> None:
        """Begin to take a frame out of rows that do not slip. first: float32 (k, samples), the one before this
        tick's."""
        self._begin(rows, LOSING)
        self._store[rows] = first
        self._held[rows] = self._samples

    def gain(self, rows: Rows) -> None:
        """Begin to draw a frame out of rows that do not slip."""
        self._begin(rows, GAINING)
        self._held[rows] = 0

    def give(self, rows: Rows) -> None:
        """What was drawn out of these rows is to be played in this tick, in the place of what comes."""
        self._way[rows] = GIVING

    def _begin(self, rows: Rows, way: int) -> None:
        self._way[rows] = way
        self._waited[rows] = 0
        self.busy |= len(rows) > 0

    def run(self, pcm: Pcm, heard: NDArray[np.bool_]) -> tuple[Rows, Rows]:
        """A frame of the first n rows, float32 (n, samples): of those that slip it is replaced by what is played.
        heard: bool (n,). Answers the rows that are done, and those that are owed a frame since this tick."""
        n = len(pcm)
        rows = np.flatnonzero(self._way[:n])
        way, held = self._way[rows], self._held[rows]
        whole = (way == GAINING) & (held == self._samples)
        given = way == GIVING
        pcm[rows[given]] = self._store[rows[given]]
        slipping = ~given & (heard[rows] | whole)
        done = rows[~slipping]
        self._way[done] = self._held[done] = 0
        rows, way, whole = rows[slipping], way[slipping], whole[slipping]
        if len(rows):
            self._slip(pcm, rows, np.where(way == LOSING, 1, -1))
            lost = rows[(way == LOSING) & (self._held[rows] == 0)]
            self._way[lost] = IDLE
            done = np.concatenate([done, lost])
        owed = rows[(way == GAINING) & ~whole & (self._held[rows] == self._samples)]
        self.busy = bool(np.count_nonzero(self._way[:n]))
        return done, owed

    def _slip(self, pcm: Pcm, rows: Rows, sign: NDArray[np.int64]) -> None:
        """One tick of rows that lose (sign 1) or gain (-1)."""
        length, factor = self._samples, self._factor
        held = self._held[rows]
        # Each row's delay line: what is held, then the frame that has come. Looked up flat, which is ten times faster.
        line = np.concatenate([self._store[rows], pcm[rows]], axis=1).reshape(-1)
        start = np.arange(len(rows))[:, None] * (2 * length)
        gap = (length - held)[:, None]
        behind = start + self._place + gap * (self._place >= held[:, None])
        stream = line.take(np.minimum(behind, start + 2 * length - 1), mode="clip")
        begin, lag = self._find(stream[:, :length], rows, np.where(sign > 0, held, length - held) // factor)
        shift = sign * lag * factor
        pcm[rows] = stream[:, :length]
        moved = np.flatnonzero(lag)
        if len(moved):
            # Left out is what lies between a place and its like; played twice is the same, from the later one on.
            later = np.where(sign[moved] > 0, 0, lag[moved])
            pcm[rows[moved]] = self._faded(stream[moved], (begin[moved] + later) * factor, shift[moved])
        rest = np.minimum(length + shift[:, None] + self._place[:length], 2 * length - 1)
        self._store[rows] = stream.reshape(-1).take(start + rest, mode="clip")
        self._held[rows] = held - shift
        self._waited[rows] = np.where(lag > 0, 0, self._waited[rows] + 1)

    def _faded(self, stream: Pcm, begin: NDArray[np.int64], shift: NDArray[np.int64]) -> Pcm:
        """A frame of each stream, float32 (k, 2 * samples), that fades from `begin` on, int64 (k,), into what lies
        `shift` samples later."""
        length = self._samples
        place = self._place[:length]
        weight = self._fade.take(np.maximum(place - begin[:, None] + 1, 0), mode="clip")
        start = np.arange(len(stream))[:, None] * (2 * length)
        there = stream.reshape(-1).take(start + np.maximum(place + shift[:, None], 0), mode="clip")
        here = stream[:, :length]
        return here + weight * (there - here)

    def _find(self, frame: Pcm, rows: Rows, left: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where in each row's frame to slip, and by which lag, 0 for not now; all at the search rate, int64 (k,).
        left: what there is still to slip."""
        begin, lag = np.zeros((2, len(rows)), np.int64)
        searched = np.flatnonzero(left)
        if not len(searched):
            return begin, lag
        coarse = frame[searched].reshape(len(searched), -1, self._factor).mean(axis=2)
        score = likeness(coarse) + HASTE * (_LAGS / LONGEST - 1)
        rest = left[searched, None] - _LAGS
        score[np.broadcast_to(((rest != 0) & (rest < SHORTEST))[:, None, :], score.shape)] = -np.inf
        score = score.reshape(len(searched), -1)
        best = score.argmax(axis=1)
        enough = score[np.arange(len(best)), best] >= ALIKE - YIELDING * self._waited[rows[searched]]
        begin[searched] = np.where(enough, PLACES[best // len(_LAGS)], 0)
        lag[searched] = np.where(enough, _LAGS[best % len(_LAGS)], 0)
        return begin, lag


_LATER = PLACES[:, None] + _LAGS


def likeness(frames: Pcm) -> NDArray[np.float64]:
    """How much FADE samples from each of PLACES look like those each lag later: (k, places, lags), at most 1; sound
    that is FAINT counts as all alike. frames: float (k, 160) at the search rate."""
    windows = sliding_window_view(frames.astype(np.float64), FADE, axis=1)
    energy = np.einsum("rsw,rsw->rs", windows, windows)
    faint = FADE * FAINT**2
    # Copied apart, or the product is made without BLAS.
    together = np.matmul(windows[:, _LATER], windows[:, PLACES, :, None])[..., 0] + faint
    return together / np.sqrt((energy[:, PLACES, None] + faint) * (energy[:, _LATER] + faint))
