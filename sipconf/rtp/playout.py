"""When each row plays: the map from a row's RTP timestamps to its halves (10 ms), and how that map moves.

A row's `play` is the half that the next tick takes, always an even one, and `timestamp` the RTP timestamp that belongs
to it; both advance by a frame every tick, so that only what they are ahead of the ticks is kept. A packet's slack is
the time between its arrival and its turn, in halves. Late packets move the row's playing point back (deeper), a
sustained surplus of slack moves it forward. Not here: the sound itself (jitter).
"""

import numpy as np
from numpy.typing import NDArray

START_DEPTH = 2
"""Halves of slack that the first packet of a source is given: one frame in hand."""
MAX_DEPTH = 20
"""Halves (200 ms): no row is played later than that behind its newest packet."""
FRAME = 2
"""Halves to a frame."""
FIRST_WINDOW, WINDOW = 25, 150
"""Ticks (0.5 s, 3 s) over which the least slack is watched before a row may become shallower."""
REGRET, CAUTION, MAX_CAUTION = 500, 400, 6400
"""Ticks: a late packet so soon after a row became shallower makes it keep one spare frame, at first for 8 s, each time
four times as long, up to 128 s. It is the row whose packets come just before or just behind the tick."""
PATIENCE, NEXT_PATIENCE = 50, 10
"""Ticks that a surplus frame waits for a quiet moment before it is left out amid sound; ticks from it to the next."""
ASTRAY_TICKS = 5
"""Ticks in which packets kept coming too late to play: then the peer's timestamps have moved, not the packets."""
JUMP_HALVES = 200
"""Halves (2 s) that no network delay explains: such a timestamp is a new reckoning at once."""

SAMPLED = 4
"""Ticks, of which one is entered into the mean slack while all is as expected."""

_WRAP, _HALF_WRAP = 0xFFFFFFFF, 0x80000000
_NEVER = -(1 << 40)
_PLENTY = 1 << 30
_CLEAN = {
    "active": False,
    "end": _NEVER,
    "least_slack": _PLENTY,
    "caution": CAUTION,
    "cautious_until": _NEVER,
    "shallower_at": _NEVER,
    "astray_at": _NEVER,
}


class PlayoutColumns:
    """Playing points by row. late, resynced: packets; grown, dropped: frames; mean_slack: halves, smoothed."""

    def __init__(self, capacity: int, half_samples: int) -> None:
        self.half_samples = half_samples
        self.tick = 0
        self._start = np.zeros(capacity, np.int64)  # play less FRAME * tick
        self._origin = np.zeros(capacity, np.int64)  # timestamp less as many samples
        self.end = np.zeros(capacity, np.int64)
        self.unbroken = np.zeros(capacity, bool)  # the newest packet's last half is the one before `end`, on a frame
        self.active = np.zeros(capacity, bool)
        self.mean_slack = np.zeros(capacity)
        self.least_slack = np.zeros(capacity, np.int64)
        self.caution = np.zeros(capacity, np.int64)
        self.cautious_until = np.zeros(capacity, np.int64)
        self.window_end = np.zeros(capacity, np.int64)
        self.surplus = np.zeros(capacity, np.int64)
        self.surplus_since = np.zeros(capacity, np.int64)
        self.shallower_at = np.zeros(capacity, np.int64)
        self.astray = np.zeros(capacity, np.int64)
        self.astray_at = np.zeros(capacity, np.int64)
        self.late = np.zeros(capacity, np.int64)
        self.resynced = np.zeros(capacity, np.int64)
        self.grown = np.zeros(capacity, np.int64)
        self.dropped = np.zeros(capacity, np.int64)
        self._overslept = False
        self._strayed = False  # some row has; only then is astray of interest
        self.clear(slice(None))

    def _columns(self) -> list[str]:
        return [name for name, value in self.__dict__.items() if isinstance(value, np.ndarray)]

    def grow(self, capacity: int) -> None:
        """Make room for more rows."""
        wider = PlayoutColumns(capacity, self.half_samples)
        for name in self._columns():
            column = getattr(wider, name)
            column[: len(getattr(self, name))] = getattr(self, name)
            setattr(self, name, column)

    def clear(self, row: int | slice) -> None:
        """Forget a row; it is not active until its first packet."""
        for name in self._columns():
            getattr(self, name)[row] = _CLEAN.get(name, 0)

    def retire(self, row: int) -> None:
        """Not active any more; its counters stay."""
        self.active[row] = self.unbroken[row] = False
        self.end[row] = _NEVER

    def play(self, rows: NDArray[np.intp]) -> NDArray[np.int64]:
        """The halves that the next tick takes."""
        return self._start.take(rows) + FRAME * self.tick

    def play_of(self, row: int) -> int:
        """The same of one row."""
        return int(self._start[row]) + FRAME * self.tick

    def timestamps(self, rows: slice | NDArray[np.intp] | int) -> NDArray[np.int64]:
        """The RTP timestamps that belong to the playing points, not yet wrapped."""
        return self._origin[rows] + self._samples_gone()

    def _samples_gone(self) -> int:
        return FRAME * self.half_samples * self.tick

    # --- packets -----------------------------------------------------------------------------------------------------
    def place_next(self, rows: slice | NDArray[np.intp], count: int) -> NDArray[np.int64] | None:
        """The halves, int64 (count,), where a round of packets of one frame each belongs, each the successor of its
        row's newest. None, and nothing is changed, where a row's newest packet does not tell, or one is not in time.

        rows: each once, as a slice where they follow each other."""
        if np.count_nonzero(self.unbroken[rows]) != count:
            return None
        places = self.end[rows].copy()
        ahead = places - self._start[rows]
        ahead -= FRAME * self.tick
        if np.count_nonzero(ahead.view(np.uint64) > MAX_DEPTH):
            return None
        self.end[rows] += FRAME
        less = ahead < self.least_slack[rows]
        if np.count_nonzero(less):
            self.least_slack[rows] = np.minimum(self.least_slack[rows], ahead)
        if self.tick % SAMPLED == 0:
            self._average(rows, ahead, SAMPLED / 16)
        if self._strayed:
            self.astray[rows] = 0
        return places

    def place_usual(
        self,
        rows: NDArray[np.intp],
        timestamps: NDArray[np.int64],
        halves: int,
        markers: NDArray[np.bool_],
        fresh: NDArray[np.bool_],
    ) -> NDArray[np.int64] | None:
        """The halves, int64 (Q,), where a round of packets of so many halves each belongs, when nothing about any of
        them is odd: on a half, in time, no gap before it. None, and nothing is changed, otherwise."""
        places, ahead, rest = self._locate(rows, timestamps)
        end = self.end.take(rows)
        if (
            np.count_nonzero(rest)
            or np.count_nonzero(ahead.view(np.uint64) > MAX_DEPTH)
            or np.count_nonzero(places > end)
            or np.count_nonzero(fresh)
            or np.count_nonzero(markers)
        ):
            return None
        after = places + halves
        self.unbroken[rows] = (after >= end) & (halves == FRAME) & (places & 1 == 0)
        self._observe(rows, np.maximum(end, after, out=end), ahead)
        return places

    def place(
        self,
        rows: NDArray[np.intp],
        timestamps: NDArray[np.int64],
        samples: NDArray[np.int64],
        markers: NDArray[np.bool_],
        fresh: NDArray[np.bool_],
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """Where one round of packets belongs: (half, samples behind its begin, whether to keep the packet).

        All int64 or bool (Q,); rows at most once each. Moves the playing points of rows that need it.
        """
        places, ahead, rest = self._locate(rows, timestamps)
        self.unbroken[rows] = False
        # Beyond the end is where every inactive row is, too. An unsigned ahead is great where it is negative.
        odd = (ahead.view(np.uint64) > MAX_DEPTH) | (places > self.end.take(rows)) | fresh | markers
        if rest.any():
            odd |= rest != 0
        if not odd.any():
            self._observe(rows, self._end_after(rows, places, samples), ahead)
            return places, rest, ~odd
        keep = np.ones(len(rows), bool)
        for i in np.flatnonzero(odd).tolist():
            size = int(samples[i])
            keep[i] = self._settle(int(rows[i]), int(timestamps[i]), size, bool(markers[i]), bool(fresh[i]))
        places, ahead, rest = self._locate(rows, timestamps)
        ends = self._end_after(rows, places, rest + samples)
        self._observe(rows[keep], ends[keep], ahead[keep])
        return places, rest, keep

    def _locate(
        self, rows: NDArray[np.intp], timestamps: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """(half in the ring's time, halves ahead of the playing point, samples behind the half) of timestamps."""
        # The difference wraps as timestamps do.
        delta = (timestamps - self.timestamps(rows)).astype(np.int32).astype(np.int64)
        ahead = delta // self.half_samples
        delta -= ahead * self.half_samples
        return self.play(rows) + ahead, ahead, delta

    def _end_after(
        self, rows: NDArray[np.intp], places: NDArray[np.int64], samples: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Where each row ends once it has packets of so many samples from these halves on."""
        return np.maximum(self.end.take(rows), places + samples // self.half_samples)

    def _observe(self, rows: NDArray[np.intp], ends: NDArray[np.int64], ahead: NDArray[np.int64]) -> None:
        """Enter the new ends of rows and the slack of the packets that are kept."""
        self.end[rows] = ends
        less = ahead < self.least_slack.take(rows)
        if np.count_nonzero(less):  # seldom: the least of some seconds
            self.least_slack[rows[less]] = ahead[less]
        self._average(rows, ahead, 1 / 16)
        if self._strayed:
            self.astray[rows] = 0

    def _average(self, rows: slice | NDArray[np.intp], ahead: NDArray[np.int64], weight: float) -> None:
        mean = self.mean_slack[rows]
        step = ahead - mean
        step *= weight
        step += mean
        self.mean_slack[rows] = step

    def _settle(self, row: int, timestamp: int, samples: int, marker: bool, fresh: bool) -> bool:
        """Make one unusual packet fit by moving its row's playing point; False when it comes too late to be played."""
        half = self.half_samples
        delta = self._samples_ahead(row, timestamp)
        if fresh or not self.active[row] or abs(delta) > JUMP_HALVES * half:
            self._begin(row, timestamp)
            return True
        play, end = self.play_of(row), int(self.end[row])
        ahead, rest = divmod(delta, half)
        if ahead < 0:
            return self._settle_late(row, timestamp, ahead, -(-(delta + samples) // half), marker)
        if end <= play:
            # Nothing is in hand: its first sample may as well fall on a half, and spare frames be left out unheard.
            if rest:
                self._shift(row, 0, rest)
            if self.surplus[row] > 0:
                self._drop(row, min(int(self.surplus[row]), ahead // FRAME))
                ahead = self._ahead(row, timestamp)
        if ahead > MAX_DEPTH:
            self._drop(row, -(-(ahead - MAX_DEPTH) // FRAME))
        return True

    def _settle_late(self, row: int, timestamp: int, ahead: int, end_ahead: int, marker: bool) -> bool:
        """A packet whose first sample (at least) was due before now: wait longer from now on, or give it up."""
        if self._overslept:  # it was we who came late: no reason to wait for this row from now on
            self.late[row] += end_ahead <= 0
            return end_ahead > 0
        if -ahead <= MAX_DEPTH:
            frames = -(ahead // FRAME)
            # Never so deep that what is in hand already would have to wait beyond the bound.
            room = (MAX_DEPTH - max(int(self.end[row]) - self.play_of(row) - FRAME, 0)) // FRAME
            if frames <= room:
                self._deepen(row, frames)
                return True
        if self.astray_at[row] != self.tick:
            self.astray_at[row] = self.tick
            self.astray[row] += 1
            self._strayed = True
        if marker or self.astray[row] >= ASTRAY_TICKS:
            self._begin(row, timestamp)
            return True
        if end_ahead <= 0:
            self.late[row] += 1
            return False
        return True

    def _samples_ahead(self, row: int, timestamp: int) -> int:
        """Of the playing point; the difference wraps as timestamps do."""
        return ((timestamp - int(self.timestamps(row)) + _HALF_WRAP) & _WRAP) - _HALF_WRAP

    def _ahead(self, row: int, timestamp: int) -> int:
        return self._samples_ahead(row, timestamp) // self.half_samples

    def _begin(self, row: int, timestamp: int) -> None:
        """Take the packet for the beginning of time: its turn is START_DEPTH from now."""
        if self.active[row]:
            self.resynced[row] += 1
        # Beyond everything that the ring may still hold of the old reckoning, and by so many halves that all rows play
        # the same place of their rings at one tick.
        tick = FRAME * self.tick
        self._start[row] = ((max(int(self.end[row]), self.play_of(row)) - tick) // 64 + 2) * 64
        play = self.play_of(row)
        self._origin[row] = (timestamp - START_DEPTH * self.half_samples - self._samples_gone()) & _WRAP
        self.end[row] = play + START_DEPTH
        self.active[row] = True
        self.mean_slack[row] = START_DEPTH
        self.least_slack[row] = _PLENTY
        self.surplus[row] = self.astray[row] = 0
        self.window_end[row] = self.tick + FIRST_WINDOW

    def _shift(self, row: int, halves: int, samples: int = 0) -> None:
        """Move the playing point by halves of the ring and halves plus samples of the peer's time."""
        self._start[row] += halves
        self._origin[row] = (int(self._origin[row]) + halves * self.half_samples + samples) & _WRAP

    def _drop(self, row: int, frames: int) -> None:
        """Become shallower at once: leave frames out."""
        self._shift(row, FRAME * frames)
        self.dropped[row] += frames
        self.surplus[row] = max(int(self.surplus[row]) - frames, 0)
        self.shallower_at[row] = self.tick

    def _deepen(self, row: int, frames: int) -> None:
        """Become deeper: the next frames are waited for."""
        self._shift(row, -FRAME * frames)
        self.grown[row] += frames
        caution = int(self.caution[row])
        if self.tick - self.shallower_at[row] < max(REGRET, 2 * caution):
            self.cautious_until[row] = self.tick + caution
            self.caution[row] = min(4 * caution, MAX_CAUTION)
        else:
            self.caution[row] = CAUTION
        self.window_end[row] = self.tick + WINDOW
        self.least_slack[row] = _PLENTY
        self.surplus[row] = 0

    # --- ticks -------------------------------------------------------------------------------------------------------
    def advance(self, n: int, quiet: NDArray[np.bool_] | None) -> NDArray[np.int64]:
        """The halves that rows 0..n-1 play now, int64 (n,); then time goes on by a frame."""
        self._watch(n)
        surplus = self.surplus[:n]
        if np.count_nonzero(surplus):
            ready = surplus > 0
            waited = self.tick - self.surplus_since[:n] >= PATIENCE
            ready &= waited if quiet is None else (waited | quiet[:n])
            for row in np.flatnonzero(ready).tolist():
                self._drop(row, 1)
                self.surplus_since[row] = self.tick - PATIENCE + NEXT_PATIENCE
        play = self._start[:n] + FRAME * self.tick
        self.tick += 1
        self._overslept = False
        return play

    def oversleep(self, ticks: int) -> None:
        """Ticks were left out. Packets of that time are late by our own fault, until the next advance."""
        self.tick += ticks
        self._overslept = True

    def _watch(self, n: int) -> None:
        """Close the windows that end at this tick: the frames that even the latest packet had to spare are surplus."""
        ending = self.window_end[:n] <= self.tick
        if not np.count_nonzero(ending):
            return
        ended = np.flatnonzero(ending)
        least = self.least_slack[ended]
        spare = np.where(least < _PLENTY, np.maximum(least, 0) // FRAME, 0)
        spare -= (spare > 0) & (self.cautious_until[ended] > self.tick)
        self.surplus_since[ended] = np.where(self.surplus[ended] > 0, self.surplus_since[ended], self.tick)
        self.surplus[ended] = spare
        self.least_slack[ended] = _PLENTY
        self.window_end[ended] = self.tick + WINDOW
