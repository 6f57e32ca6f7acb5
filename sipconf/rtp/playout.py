"""When each row plays: the map from a row's RTP timestamps to its halves (10 ms), and how that map moves.

A row's `play` is the half that the next tick takes, always an even one, and `timestamp` the RTP timestamp that belongs
to it; both advance by a frame every tick, so that only what they are ahead of the ticks is kept. A packet's slack is
the time between its arrival and its turn, in halves. Late packets move the row's playing point back (deeper) at once.
Frames too many or too few (depth) are left out or waited for at once where nobody hears it. Amid sound the row slips:
whoever has the samples takes a frame too many out bit by bit, and the playing point moves by that frame before it
begins; or draws a frame too few out of what is there, and the playing point moves when it has a whole one. Not here:
the sound itself (jitter), how deep is right (depth), slips (whoever calls).
"""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from sipconf.rtp.columns import Columns
from sipconf.rtp.depth import FRAME, NEVER, PATIENCE, SAMPLED, DepthColumns

START_DEPTH = 2
"""Halves of slack that the first packet of a source is given: one frame in hand."""
MAX_DELAY_MS = 200
"""No row is played later than that behind its newest packet, unless the admin says otherwise."""
HALF_MS = 10
ASTRAY_TICKS = 5
"""Ticks in which packets kept coming too late to play: then the peer's timestamps have moved, not the packets."""
JUMP_HALVES = 200
"""Halves (2 s) that no network delay explains: such a timestamp is a new reckoning at once."""
PAUSE_HALVES = 10
"""Halves (100 ms) without a packet after which nothing is heard of a row any more, whatever was put in their place."""
ALIGNMENT = 128
"""Halves: every reckoning begins at a multiple of so many, so that all rows play the same place of their rings at one
tick."""
SLIPS_AT_ONCE = 32
"""Rows that may slip at one time, for after a stall of the machine all would: 0.6 ms of a tick. A frame takes some
dozen ticks, which cost a row half as much each among 32 as among 16."""

STALLED = 8
"""So many rows late at one tick, one of so many of all: this machine stood still, or what all calls come through."""
FORGIVEN_EVERY = 250
"""Ticks: a stall so soon after another makes rows deeper, as a packet late by itself does."""

_WRAP, _HALF_WRAP = 0xFFFFFFFF, 0x80000000


class PlayoutColumns(Columns):
    """Playing points by row. late, resynced: packets; grown, dropped: frames. max_delay_ms: at least two frames."""

    CLEAN: ClassVar[dict[str, int]] = {"end": NEVER, "astray_at": NEVER}

    def __init__(self, capacity: int, half_samples: int, max_delay_ms: int = MAX_DELAY_MS) -> None:
        self.half_samples = half_samples
        self.max_depth = max_delay_ms // HALF_MS
        self.depth = DepthColumns(capacity)
        self.tick = 0
        self._start = np.zeros(capacity, np.int64)  # play less FRAME * tick
        self._origin = np.zeros(capacity, np.int64)  # timestamp less as many samples
        self.end = np.zeros(capacity, np.int64)
        self.unbroken = np.zeros(capacity, bool)  # the newest packet's last half is the one before `end`, on a frame
        self.active = np.zeros(capacity, bool)
        self.slipping = np.zeros(capacity, bool)
        self.astray = np.zeros(capacity, np.int64)
        self.astray_at = np.zeros(capacity, np.int64)
        self.late = np.zeros(capacity, np.int64)
        self.resynced = np.zeros(capacity, np.int64)
        self.grown = np.zeros(capacity, np.int64)
        self.dropped = np.zeros(capacity, np.int64)
        self._overslept = False  # it was we who came late: no reason to wait for any row from now on
        self._forgiving_at = 0
        self._strayed = False  # some row has; only then is astray of interest
        self.clear(slice(None))

    def grow(self, capacity: int) -> None:
        """Make room for more rows."""
        super().grow(capacity)
        self.depth.grow(capacity)

    def clear(self, row: int | slice) -> None:
        """Forget a row; it is not active until its first packet."""
        super().clear(row)
        self.depth.clear(row)

    def retire(self, row: int) -> None:
        """Not active any more; its counters stay."""
        self.active[row] = self.unbroken[row] = False
        self.end[row] = NEVER

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
        if np.count_nonzero(ahead.view(np.uint64) > self.max_depth):
            return None
        self.end[rows] += FRAME
        if not self._overslept:
            self.depth.observe(rows, ahead)
        if self.tick % SAMPLED == 0:
            self.depth.average(rows, ahead, SAMPLED / 16)
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
            or np.count_nonzero(ahead.view(np.uint64) > self.max_depth)
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
        # An unsigned ahead is great where it is negative.
        odd = (ahead.view(np.uint64) > self.max_depth) | fresh
        beyond = places > self.end.take(rows)
        if np.count_nonzero(beyond):  # inactive rows, too; a gap by itself moves nothing
            odd |= beyond & (~self.active.take(rows) | (self.depth.surplus.take(rows) > 0))
        if rest.any():
            odd |= rest != 0
        if not odd.any():
            self._observe(rows, self._end_after(rows, places, samples), ahead)
            return places, rest, ~odd
        keep = np.ones(len(rows), bool)
        known = self.active.take(rows) & ~fresh
        late = (ahead < 0) & (ahead >= -JUMP_HALVES) & known
        if self._overslept or self._is_stall(np.count_nonzero(late)):
            self._overslept = True
            keep[late] = (ahead + -(-(rest + samples) // self.half_samples) > 0)[late]
            self.late[rows] += ~keep
            odd &= ~late
        deep = (ahead > self.max_depth) & (ahead < JUMP_HALVES) & (places <= self.end.take(rows)) & known
        if np.count_nonzero(deep):  # no gap before them: what waited for us all that time
            self._drop(rows[deep], -(-(ahead[deep] - self.max_depth) // FRAME))
            odd &= ~deep
        for i in np.flatnonzero(odd).tolist():
            size = int(samples[i])
            keep[i] = self._settle(int(rows[i]), int(timestamps[i]), size, bool(markers[i]), bool(fresh[i]))
        places, ahead, rest = self._locate(rows, timestamps)
        ends = self._end_after(rows, places, rest + samples)
        self._observe(rows[keep], ends[keep], ahead[keep])
        return places, rest, keep

    def _is_stall(self, late: int) -> bool:
        """Whether so many rows have come late to this tick that it was not their own lines that kept them; not again
        so soon, for then it is a line that all of them share."""
        if late < STALLED or late * STALLED < np.count_nonzero(self.active) or self.tick < self._forgiving_at:
            return False
        self._forgiving_at = self.tick + FORGIVEN_EVERY
        return True

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
        if not self._overslept:  # what we were late for ourselves tells nothing of the line
            self.depth.observe(rows, ahead)
        self.depth.average(rows, ahead, 1 / 16)
        if self._strayed:
            self.astray[rows] = 0

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
            # Nothing is in hand: its first sample may as well fall on a half.
            if rest:
                self._shift(row, 0, rest)
            if self.depth.surplus[row] > 0 and play - end >= PAUSE_HALVES:  # spare frames are left out unheard
                self._drop(row, min(int(self.depth.surplus[row]), ahead // FRAME))
                ahead = self._ahead(row, timestamp)
        if ahead > self.max_depth:
            self._drop(row, -(-(ahead - self.max_depth) // FRAME))
        return True

    def _settle_late(self, row: int, timestamp: int, ahead: int, end_ahead: int, marker: bool) -> bool:
        """A packet whose first sample (at least) was due before now: wait longer from now on, or give it up."""
        if -ahead <= self.max_depth:
            frames = -(ahead // FRAME)
            # Never so deep that what is in hand already would have to wait beyond the bound.
            room = (self.max_depth - max(int(self.end[row]) - self.play_of(row) - FRAME, 0)) // FRAME
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
        # Beyond everything that the ring may still hold of the old reckoning.
        newest = max(int(self.end[row]), self.play_of(row)) - FRAME * self.tick
        self._start[row] = (newest // ALIGNMENT + 2) * ALIGNMENT
        play = self.play_of(row)
        self._origin[row] = (timestamp - START_DEPTH * self.half_samples - self._samples_gone()) & _WRAP
        self.end[row] = play + START_DEPTH
        self.active[row] = True
        self.astray[row] = 0
        self.depth.begun(row, START_DEPTH, self.tick)

    def _shift(self, rows: int | NDArray[np.intp], halves: int | NDArray[np.int64], samples: int = 0) -> None:
        """Move playing points by halves of the ring and halves plus samples of the peer's time. rows: each once."""
        self._start[rows] += halves
        self._origin[rows] = (self._origin[rows] + halves * self.half_samples + samples) & _WRAP

    def _drop(self, rows: int | NDArray[np.intp], frames: int | NDArray[np.int64]) -> None:
        """Become shallower at once: leave frames out."""
        self._shift(rows, FRAME * frames)
        self.dropped[rows] += frames
        self.depth.lost(rows, frames, self.tick)

    def _deepen(self, row: int, frames: int) -> None:
        """Become deeper: the next frames are waited for."""
        self._shift(row, -FRAME * frames)
        self.grown[row] += frames
        self.depth.ran_dry(row, frames, self.tick)

    # --- ticks -------------------------------------------------------------------------------------------------------
    def advance(self, n: int) -> NDArray[np.int64]:
        """The halves that rows 0..n-1 play now, int64 (n,); then time goes on by a frame."""
        play = self._start[:n] + FRAME * self.tick
        self.tick += 1
        self._overslept = False
        return play

    def oversleep(self, ticks: int) -> None:
        """Ticks were left out. Packets of that time are late by our own fault, until the next advance."""
        self.tick += ticks
        self._overslept = True

    def restless(self, n: int) -> bool:
        """Whether any of rows 0..n-1 has frames too many or too few: to be asked before every advance."""
        self.depth.watch(n, self.tick)
        return bool(np.count_nonzero(self.depth.surplus[:n]))

    def move_unheard(self, n: int, heard: NDArray[np.bool_] | None) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Move those of rows 0..n-1 by one frame that nobody hears. Returns the others: who may take a frame out amid
        sound now, who is to draw one out. heard: bool (n,); None: nobody can slip, all are moved in the end."""
        surplus = self.depth.surplus[:n]
        rows = np.flatnonzero((surplus != 0) & ~self.slipping[:n])
        many = surplus[rows] > 0
        due = ~many | (self.tick - self.depth.surplus_since[rows] >= PATIENCE)
        room = many | self.has_room(rows)
        self.depth.surplus[rows[~room]] = 0
        unheard = room & (due if heard is None else ~heard[rows])
        self._drop(rows[unheard & many], 1)
        self.wait_for(rows[unheard & ~many])
        due &= room & ~unheard
        return rows[due & many], rows[due & ~many][: self.slips_left]

    @property
    def slips_left(self) -> int:
        """How many more rows may begin to slip."""
        return max(0, SLIPS_AT_ONCE - int(np.count_nonzero(self.slipping)))

    def has_room(self, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Which rows may become a frame deeper and keep within the bound."""
        return self.end[rows] - self.play(rows) <= self.max_depth - FRAME

    def leave_out(self, rows: NDArray[np.intp]) -> None:
        """The rows slip: the frame that was due goes to whoever takes it out bit by bit."""
        self._drop(rows, 1)
        self.slipping[rows] = True

    def wait_for(self, rows: NDArray[np.intp]) -> None:
        """One frame is put between, by whoever has drawn it out or where nobody hears it."""
        self._shift(rows, -FRAME)
        self.grown[rows] += 1
        self.depth.gained(rows, self.tick)
