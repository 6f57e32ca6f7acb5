"""How deep each row should be: from what its packets had to spare, how many frames it is to lose or to gain.

A packet's slack is the time between its arrival and its turn, in halves (10 ms). The spread of the slacks is the
row's jitter; the target is that its latest packets are played at the next tick, so that over a window of seconds the
least slack is less than a frame. What is more is surplus. A row that runs dry again and again without having become
shallower has a sender that is slow: it keeps a frame in hand, and is short of one as soon as it has not; one that runs
dry soon after it became shallower keeps a frame that it has. Not here: what a row does about it (playout).
"""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from sipconf.rtp.columns import Columns

FRAME = 2
"""Halves to a frame."""
FIRST_WINDOW, NEXT_WINDOW, WINDOW = 25, 50, 150
"""Ticks over which the least slack is watched before a row may become shallower: 0.5 s at the beginning, 3 s; 1 s where
it just did."""
REGRET, CAUTION, MAX_CAUTION = 500, 400, 6400
"""Ticks: a late packet so soon after a row became shallower makes it keep one spare frame, at first for 8 s, each time
four times as long, up to 128 s. It is the row whose packets come just before or just behind the tick."""
PATIENCE, NEXT_PATIENCE, FAST = 50, 10, 250
"""Ticks that a surplus frame waits for a quiet moment before it is taken out amid sound; ticks from it to the next;
ticks after it in which the sender is taken for a fast one: its surplus is looked for in short windows, and is not made
to wait."""
ONSET, LEAN, SLOW = 50, 1100, 1500
"""Ticks: a row that gets one frame deeper twice, 1 s to 22 s apart, has a slow sender (by 0.1 % or more); faster than
that it is jitter that begins. It is believed for 30 s, anew with each frame that the row is short of."""
WATCHED = 5
"""Ticks, of which one looks for windows that end and for rows that are short."""
SAMPLED = 4
"""Ticks, of which one is entered into the mean slack while all is as expected."""

NEVER = -(1 << 40)
_PLENTY = 1 << 30


class DepthColumns(Columns):
    """surplus: frames to lose, or -1: one to gain. mean_slack: halves, smoothed; least_slack: halves, of a window."""

    CLEAN: ClassVar[dict[str, int]] = {
        "least_slack": _PLENTY, "caution": CAUTION, "cautious_until": NEVER, "slow_until": NEVER,
        "shallower_at": NEVER, "deeper_at": NEVER,
    }  # fmt: skip

    def __init__(self, capacity: int) -> None:
        self.mean_slack = np.zeros(capacity)
        self.least_slack = np.zeros(capacity, np.int64)
        self.window_end = np.zeros(capacity, np.int64)
        self.surplus = np.zeros(capacity, np.int64)
        self.surplus_since = np.zeros(capacity, np.int64)
        self.caution = np.zeros(capacity, np.int64)
        self.cautious_until = np.zeros(capacity, np.int64)
        self.slow_until = np.zeros(capacity, np.int64)
        self.shallower_at = np.zeros(capacity, np.int64)
        self.deeper_at = np.zeros(capacity, np.int64)
        self._some_slow = False
        self.clear(slice(None))

    # --- packets -----------------------------------------------------------------------------------------------------
    def observe(self, rows: slice | NDArray[np.intp], ahead: NDArray[np.int64]) -> None:
        """Enter the slack of a packet of each of these rows, int64 (Q,)."""
        least = self.least_slack[rows]
        less = ahead < least
        if np.count_nonzero(less):  # seldom: the least of some seconds
            self.least_slack[rows] = np.minimum(least, ahead)

    def average(self, rows: slice | NDArray[np.intp], ahead: NDArray[np.int64], weight: float) -> None:
        """Enter the same into the mean."""
        mean = self.mean_slack[rows]
        step = ahead - mean
        step *= weight
        step += mean
        self.mean_slack[rows] = step

    # --- what rows did -----------------------------------------------------------------------------------------------
    def begun(self, row: int, slack: int, tick: int) -> None:
        """The row has a new reckoning of time."""
        self.mean_slack[row] = slack
        self.least_slack[row] = _PLENTY
        self.surplus[row] = 0
        self.window_end[row] = tick + FIRST_WINDOW

    def lost(self, rows: int | NDArray[np.intp], frames: int | NDArray[np.int64], tick: int) -> None:
        """Rows became shallower."""
        surplus = self.surplus[rows]
        self.surplus[rows] = np.maximum(surplus - frames, np.minimum(surplus, 0))
        self.shallower_at[rows] = tick
        self.window_end[rows] = tick + NEXT_WINDOW
        self.least_slack[rows] = _PLENTY
        self.surplus_since[rows] = tick - PATIENCE + NEXT_PATIENCE

    def gained(self, rows: NDArray[np.intp], tick: int) -> None:
        """Rows became deeper because they were short, before they ran dry."""
        self.slow_until[rows[self.slow_until[rows] > tick]] = tick + SLOW
        self._deeper(rows, tick)

    def ran_dry(self, row: int, frames: int, tick: int) -> None:
        """The row became deeper because a packet was late by so many frames."""
        caution = int(self.caution[row])
        shallower, deeper = tick - int(self.shallower_at[row]), tick - int(self.deeper_at[row])
        if shallower < max(REGRET, 2 * caution):
            self.cautious_until[row] = tick + caution
            self.caution[row] = min(4 * caution, MAX_CAUTION)
        else:
            self.caution[row] = CAUTION
        if frames == 1 and ONSET <= deeper < min(LEAN, shallower):
            self.slow_until[row] = tick + SLOW
            self._some_slow = True
        self._deeper(row, tick)

    def _deeper(self, rows: int | NDArray[np.intp], tick: int) -> None:
        self.deeper_at[rows] = tick
        self.window_end[rows] = tick + WINDOW
        self.least_slack[rows] = _PLENTY
        self.surplus[rows] = 0

    # --- ticks -------------------------------------------------------------------------------------------------------
    def watch(self, n: int, tick: int) -> None:
        """Find which of rows 0..n-1 have frames too many or too few."""
        if tick % WATCHED:
            return
        ending = self.window_end[:n] <= tick
        if np.count_nonzero(ending):
            self._close_windows(np.flatnonzero(ending), tick)
        if self._some_slow:
            slow = self.slow_until[:n] > tick
            self._some_slow = bool(np.count_nonzero(slow))
            self.surplus[:n][slow & (self.least_slack[:n] < FRAME) & (self.surplus[:n] == 0)] = -1

    def _close_windows(self, rows: NDArray[np.intp], tick: int) -> None:
        """The frames that even the latest packet of a window had to spare are surplus."""
        least, had = self.least_slack[rows], self.surplus[rows]
        spare = np.where(least < _PLENTY, np.maximum(least, 0) // FRAME, 0)
        spare -= (spare > 0) & (np.maximum(self.cautious_until[rows], self.slow_until[rows]) > tick)
        fast = tick - self.shallower_at[rows] < FAST
        self.surplus_since[rows] = np.where(had > 0, self.surplus_since[rows], np.where(fast, tick - PATIENCE, tick))
        self.surplus[rows] = np.where(had < 0, had, spare)
        self.least_slack[rows] = _PLENTY
        self.window_end[rows] = tick + np.where(fast, NEXT_WINDOW, WINDOW)
