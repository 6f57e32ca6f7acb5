"""Digits keyed as tones inside the voice, for the legs of a bank that have no other way: each press is told once.

Works on decoded samples before anything is done to them, 10 ms at a time, and says nothing about what did not come: a
gap in the packets is neither tone nor pause. What is a digit is goertzel's to say.
"""

import numpy as np
from numpy.typing import NDArray

from sipconf.mixer.frame import Pcm, Rows
from sipconf.mixer.goertzel import HOP, KEYS, RATE, STRETCH, WINDOW, Screen, measure, tone_power
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

_COLUMNS = ("_strict", "_came", "_digit", "_told", "_power", "_off", "_lost", "_last", "_hits", "_since")


class InbandDigits:
    """Some rows of a bank. Columns are as long as there are such rows, not as the bank is; a place in them is a
    position."""

    def __init__(self, clock_rate: int) -> None:
        self.rows = np.zeros(0, np.int64)
        self._strict = np.zeros(0, bool)
        self._sound = [np.zeros((0, STRETCH), np.float32) for _ in range(2)]  # now and a frame ago, taking turns
        self._came = np.zeros((0, 4), bool)  # which of the last four halves are whole
        self._whole = False  # all of them are, of every row
        self._digit = np.zeros(0, np.int64)  # being keyed, or NO_DIGIT
        self._told = np.zeros(0, bool)
        self._power = np.zeros(0, np.float64)
        self._off = np.zeros(0, np.int64)  # hops in a row without the digit
        self._lost = np.zeros(0, np.int64)  # hops in a row without a packet
        self._last = np.zeros(0, np.int64)  # found in the last stretch
        self._hits = np.zeros(0, np.int64)  # and in how many in a row
        self._since = np.zeros(0, np.int64)  # hops since it was last found
        self._keying = False  # some row has a digit, or had one in its last stretch
        self._screen = Screen()
        self._resampler = None if clock_rate == RATE else Resampler(clock_rate, RATE)

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
            self._whole = False
        elif there and not wanted:
            self.rows = np.delete(self.rows, at)
            for name in _COLUMNS:
                setattr(self, name, np.delete(getattr(self, name), at, axis=0))
            self._sound = [np.delete(sound, at, axis=0) for sound in self._sound]
        if wanted:
            self._strict[at] = strict
        if wanted != there and self._resampler is not None:
            self._resampler.keep(self.rows)

    def hear(self, pcm: Pcm, filled: NDArray[np.uint8]) -> list[tuple[int, str]]:
        """A frame of every row of the bank, float32 (n, samples) as decoded, and filled uint8 (n, 2), not 0 where that
        half came. Answers the digits (row, key) that begin in it."""
        self._take(pcm, filled)
        # Of two windows a hop apart one lies across the border of frames: only those need be looked at.
        likely = self._screen.likely(self._sound[0][:, :WINDOW])
        if not self._keying and not np.count_nonzero(likely):
            return []
        found, power = self._search(np.flatnonzero(likely))
        told = self._follow(0, found[0], power[0]) + self._follow(1, found[1], power[1])
        self._keying = bool((self._digit != NO_DIGIT).any() or self._hits.any())
        return told

    def _take(self, pcm: Pcm, filled: NDArray[np.uint8]) -> None:
        """Move on by a frame."""
        self._sound.reverse()
        sound, before = self._sound
        sound[:, :HOP] = before[:, WINDOW:]
        everyone = len(self.rows) == len(pcm)
        frame = pcm if everyone else pcm[self.rows]
        if self._resampler is not None:
            frame = self._resampler.process(frame)
        sound[:, HOP:] = frame
        complete = np.count_nonzero(filled) == filled.size
        if complete and self._whole:
            return
        self._came[:, :2] = self._came[:, 2:]
        self._came[:, 2:] = filled[self.rows] != 0
        if self._resampler is not None:
            # The filter's delay moves the end of each half into the next: that one must have come too.
            self._came[:, 2:] &= self._came[:, 1:3].copy()
        self._whole = complete and bool(self._came.all())

    def _search(self, likely: Rows) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """A closer look at these positions: the digit found, int64 (2, rows), and its power, in the stretch that ends
        with each half of the frame."""
        found = np.full((2, len(self.rows)), NO_DIGIT)
        power = np.zeros((2, len(self.rows)))
        if len(likely):
            now, before = (sound[likely] for sound in self._sound)
            earlier = np.concatenate([before[:, HOP:WINDOW], now[:, :WINDOW]], axis=1)
            strict = self._strict[likely]
            digits, powers = measure(np.concatenate([earlier, now]), np.concatenate([strict, strict]))
            found[:, likely], power[:, likely] = digits.reshape(2, -1), powers.reshape(2, -1)
        return found, power

    def _follow(self, half: int, found: NDArray[np.int64], power: NDArray[np.float64]) -> list[tuple[int, str]]:
        """One hop, whose stretch ends with this half of the frame."""
        judged = self._came[:, half : half + 3].all(axis=1)
        found[~judged] = NO_DIGIT
        told = self._end(half, found)
        here = found != NO_DIGIT
        fresh = here & (found != self._digit)
        self._digit[fresh], self._power[fresh], self._told[fresh] = found[fresh], power[fresh], False
        self._hits = np.where(judged, np.where(here, np.where(found == self._last, self._hits + 1, 1), 0), self._hits)
        self._last = np.where(judged, found, self._last)
        self._off[here] = self._since[here] = self._lost[here] = 0
        sure = np.flatnonzero(here & ~self._told & (self._hits >= np.where(self._strict, ROOM_HITS, 1)))
        return told + self._tell(sure)

    def _end(self, half: int, found: NDArray[np.int64]) -> list[tuple[int, str]]:
        """Notice which presses are over. Answers those that only their clean end makes sure of."""
        at = np.flatnonzero((self._digit != NO_DIGIT) & (self._digit != found))
        if not len(at):
            return []
        came, whole = self._came[at, half + 2], self._came[at, half + 1 : half + 3].all(axis=1)
        window = self._sound[0][at, half * HOP : half * HOP + WINDOW]
        least = OFF * self._power[at]
        quiet = np.vecdot(window[:, HOP:], window[:, HOP:]) < HOP * least
        gone = self._told[at] & whole & (tone_power(window, self._digit[at]) < least)
        self._off[at] = np.where(came, np.where(quiet | gone, self._off[at] + 1, 0), self._off[at])
        self._lost[at] = np.where(came, 0, self._lost[at] + 1)
        self._since[at] += 1
        ended = self._off[at] >= OFF_HOPS
        late = at[ended & ~self._told[at]]
        told = self._tell(late)
        ended |= self._lost[at] >= LOST_HOPS
        ended |= ~self._told[at] & (self._since[at] >= CLEAN_END_HOPS)
        self._digit[at[ended]] = NO_DIGIT
        return told

    def _tell(self, positions: Rows) -> list[tuple[int, str]]:
        self._told[positions] = True
        return [(int(self.rows[at]), KEYS[self._digit[at]]) for at in positions.tolist()]
