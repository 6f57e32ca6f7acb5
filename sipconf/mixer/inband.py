"""Digits keyed as tones inside the voice, for the legs of a bank that have no other way: each press is told once.

Works on decoded samples before anything is done to them, 10 ms at a time, and says nothing about what did not come: a
gap in the packets is neither tone nor pause. What is a digit is goertzel's to say.
"""

import numpy as np
from numpy.typing import NDArray

from sipconf.mixer.frame import Pcm
from sipconf.mixer.goertzel import HOP, KEYS, LEAST_POWER, LIKELY, MATRIX, RATE, STRETCH, WINDOW, measure, powers
from sipconf.mixer.resample import Resampler

NO_DIGIT = -1
OFF = 0.1
"""Less than this of a digit's power is not that digit any more."""
OFF_HOPS = 2
"""So often in a row: an interruption of 10 ms is bridged, a pause of 40 ms is found (Q.24 Annex A)."""
LOST_HOPS = 10
"""After so many hops without a packet nobody can tell whether the same digit goes on; it is taken as ended."""
ROOM_HITS = 2
"""Stretches in a row that must hold the digit when the leg is in a room, where people talk for hours; elsewhere one is
enough."""
CLEAN_END_HOPS = 3
"""In a room one stretch will do if silence follows within so many hops: a voice goes on where a short digit ends."""


class InbandDigits:
    """Some rows of a bank. Columns are as long as there are such rows, not as the bank is."""

    def __init__(self, clock_rate: int) -> None:
        self.rows = np.zeros(0, np.int64)
        self._strict = np.zeros(0, bool)
        self._sound = [np.zeros((0, STRETCH), np.float32) for _ in range(2)]  # now and a frame ago, taking turns
        self._came = np.zeros((0, 4), bool)  # which of the last four halves are whole
        self._likely = np.zeros((0, 3), bool)  # of the last three windows
        self._digit = np.zeros(0, np.int64)  # being keyed, or NO_DIGIT
        self._told = np.zeros(0, bool)
        self._power = np.zeros(0, np.float64)
        self._off = np.zeros(0, np.int64)  # hops in a row without the digit
        self._lost = np.zeros(0, np.int64)  # hops in a row without a packet
        self._last = np.zeros(0, np.int64)  # found in the last stretch
        self._hits = np.zeros(0, np.int64)  # and in how many in a row
        self._since = np.zeros(0, np.int64)  # hops since it was last found
        self._keying = False  # some row has a digit, or perhaps the beginning of one
        self._resampler = None if clock_rate == RATE else Resampler(clock_rate, RATE)
        self._products = np.zeros((2, len(MATRIX), 0), np.float32)

    def listen(self, row: int, wanted: bool, strict: bool = False) -> None:
        """Whether a row's sound is searched for digits, and whether as strictly as in a room."""
        at = int(np.searchsorted(self.rows, row))
        there = at < len(self.rows) and self.rows[at] == row
        if wanted and not there:
            self.rows = np.insert(self.rows, at, row)
            fresh = {"_digit": NO_DIGIT, "_last": NO_DIGIT}
            for name in _COLUMNS:
                setattr(self, name, np.insert(getattr(self, name), at, fresh.get(name, 0), axis=0))
            self._sound = [np.insert(sound, at, 0, axis=0) for sound in self._sound]
        elif there and not wanted:
            self.rows = np.delete(self.rows, at)
            for name in _COLUMNS:
                setattr(self, name, np.delete(getattr(self, name), at, axis=0))
            self._sound = [np.delete(sound, at, axis=0) for sound in self._sound]
        if wanted:
            self._strict[at] = strict
        if wanted != there:
            self._products = np.zeros((2, len(MATRIX), len(self.rows)), np.float32)
            if self._resampler is not None:
                self._resampler.keep(self.rows)

    def hear(self, pcm: Pcm, filled: NDArray[np.uint8]) -> list[tuple[int, str]]:
        """A frame of every row of the bank, float32 (n, samples) as decoded, and filled uint8 (n, 2), not 0 where that
        half came. Answers the digits (row, key) that begin in it."""
        self._take(pcm, filled)
        sound = self._sound[0]
        for window, product in enumerate(self._products):
            np.matmul(MATRIX, sound[:, window * HOP : window * HOP + WINDOW].T, out=product)
        tones = powers(self._products)
        halves = sound.reshape(-1, HOP)
        energy = np.vecdot(halves, halves).reshape(-1, 3).T
        low, high = tones[:, :4].max(axis=1), tones[:, 4:].max(axis=1)
        both = low + high
        likely = both > LIKELY / WINDOW * (energy[:-1] + energy[1:])
        likely &= np.minimum(low, high) > LEAST_POWER / 2
        self._likely[:, 0] = self._likely[:, 2]
        self._likely[:, 1:] = likely.T
        pairs = self._likely[:, :-1] & self._likely[:, 1:]
        if not self._keying and not np.count_nonzero(pairs):
            return []
        pressed = []
        for half in (0, 1):
            hits = np.flatnonzero(pairs[:, half] & self._came[:, half : half + 3].all(axis=1))
            pressed += self._follow(half, hits, tones[half], energy[half + 1])
        self._keying = bool((self._digit != NO_DIGIT).any() or self._hits.any())
        return pressed

    def _take(self, pcm: Pcm, filled: NDArray[np.uint8]) -> None:
        """Move on by a frame."""
        self._sound.reverse()
        sound, before = self._sound
        sound[:, :HOP] = before[:, WINDOW:]
        everyone = len(self.rows) == len(pcm)
        frame = pcm if everyone else pcm[self.rows]
        came = filled if everyone else filled[self.rows]
        self._came[:, :2] = self._came[:, 2:]
        np.not_equal(came, 0, out=self._came[:, 2:])
        if self._resampler is not None:
            frame = self._resampler.process(frame)
            # The filter's delay moves the end of each half into the next: that one must have come too.
            self._came[:, 2:] &= self._came[:, 1:3].copy()
        sound[:, HOP:] = frame

    def _follow(
        self, half: int, hits: NDArray[np.intp], tones: NDArray[np.float32], energy: NDArray[np.float32]
    ) -> list[tuple[int, str]]:
        """One hop of every press. hits: positions whose last stretch, which ends with this half of the frame, is worth
        a closer look; tones (8, rows): powers of the last window; energy (rows,): of the half."""
        judged = self._came[:, half : half + 3].all(axis=1)
        found = np.full(len(self.rows), NO_DIGIT)
        if len(hits):
            found[hits], power = measure(self._stretch(half, hits), self._strict[hits])
        told = self._end(half, found, tones, energy)
        here = found != NO_DIGIT
        fresh = np.flatnonzero(here & (found != self._digit))
        if len(fresh):
            self._digit[fresh] = found[fresh]
            self._power[fresh] = power[np.searchsorted(hits, fresh)]
            self._told[fresh] = False
        self._hits = np.where(judged, np.where(here, np.where(found == self._last, self._hits + 1, 1), 0), self._hits)
        self._last = np.where(judged, found, self._last)
        self._off[here] = self._since[here] = 0
        sure = np.flatnonzero(here & ~self._told & (self._hits >= np.where(self._strict, ROOM_HITS, 1)))
        self._told[sure] = True
        return told + [(int(self.rows[at]), KEYS[self._digit[at]]) for at in sure.tolist()]

    def _end(
        self, half: int, found: NDArray[np.int64], tones: NDArray[np.float32], energy: NDArray[np.float32]
    ) -> list[tuple[int, str]]:
        """Notice which presses are over. Answers those that only their clean end makes sure of."""
        came, whole = self._came[:, half + 2], self._came[:, half + 1 : half + 3].all(axis=1)
        every, digit = np.arange(len(self.rows)), np.maximum(self._digit, 0)
        left = tones[digit // 4, every] + tones[4 + digit % 4, every]
        least = OFF * self._power
        quiet = energy < HOP * least
        off = quiet | (self._told & whole & (left < least))
        self._off = np.where(came, np.where(off, self._off + 1, 0), self._off)
        self._lost = np.where(came, 0, self._lost + 1)
        self._since += 1
        pressing = self._digit != NO_DIGIT
        over = pressing & (found != self._digit) & (self._off >= OFF_HOPS)
        late = np.flatnonzero(over & ~self._told)
        told = [(int(self.rows[at]), KEYS[self._digit[at]]) for at in late.tolist()]
        over |= (self._lost >= LOST_HOPS) | (pressing & ~self._told & (self._since >= CLEAN_END_HOPS))
        self._digit[over] = NO_DIGIT
        return told

    def _stretch(self, half: int, positions: NDArray[np.intp]) -> Pcm:
        """The last three halves of these rows up to and with this one of the frame, float32 (n, STRETCH)."""
        now, before = self._sound
        if half:
            return now[positions]
        return np.concatenate([before[positions, HOP:WINDOW], now[positions, :WINDOW]], axis=1)


_COLUMNS = (
    "_strict", "_came", "_likely", "_digit", "_told", "_power", "_off", "_lost", "_last", "_hits", "_since",
)  # fmt: skip
