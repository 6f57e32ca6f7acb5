"""What the jitter buffers of all formats have in common: rows that open and close, and how they move by whole frames.

Time moves by whole frames here. A row that is to move amid sound slips, which is done on decoded samples and so
elsewhere; this is the seam. To become shallower a row gives two frames at one tick, and the one who slips keeps a
frame's samples back and takes them out one period after the other. To become deeper it goes on as before while periods
are played twice and samples pile up behind them; when they are a whole frame, `repeat` lets the row give the frame that
it gave last once more, which nobody hears, in the place of which the piled up samples are played. Either way `settle`
tells that the row may move again. Not here: what is kept of a row and where (jitter, packet_jitter), when a row should
move (playout).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from sipconf.rtp.formats import FrameFormat
from sipconf.rtp.playout import ALIGNMENT, PlayoutColumns

MAX_PACKET = 12
"""Halves of the longest packet that is taken (120 ms); the rest of a longer one is dropped."""

Early = TypeVar("Early")


def ring_halves(max_depth: int) -> int:
    """Halves in a row's ring: the greatest depth and the longest packet, and a power of two (320 ms for 200 ms)."""
    return 1 << (max_depth + MAX_PACKET - 1).bit_length()


@dataclass(frozen=True, slots=True)
class Moves(Generic[Early]):
    """Rows that slip, each kind int (k,). lose: rows that gave a frame more, first: the one before that of this tick,
    of all of them; gain: rows that are to draw one out; repeated: rows whose frame is the last tick's again, to be
    played is what was drawn out."""

    lose: NDArray[np.intp]
    first: Early
    gain: NDArray[np.intp]
    repeated: NDArray[np.intp]


class JitterRing(ABC, Generic[Early]):
    """The rows of one format. playout: when each plays."""

    def __init__(self, format: FrameFormat, capacity: int, max_delay_ms: int) -> None:
        self.format = format
        self.playout = PlayoutColumns(capacity, format.half_samples, max_delay_ms)
        self._halves_each = ring_halves(self.playout.max_depth)
        assert self._halves_each <= ALIGNMENT
        self._owed = np.zeros(0, np.intp)  # rows that wait to give their last frame again
        self._allocate(capacity)

    # --- rows --------------------------------------------------------------------------------------------------------
    def _allocate(self, capacity: int) -> None:
        """Make everything that is kept by row, empty."""
        self._capacity = capacity
        self._rows = np.arange(capacity)

    @abstractmethod
    def _by_row(self) -> list[NDArray]:
        """Everything that is kept, each as a view (any, rows, ...)."""

    @abstractmethod
    def _empty(self, row: int) -> None:
        """Nothing is in hand of a row."""

    def reserve(self, row: int) -> None:
        """Make sure that a row exists; buffers handed out before belong to the past."""
        old = self._capacity
        if row < old:
            return
        former = self._by_row()
        self._allocate(max(row + 1, 2 * old))
        for wider, kept in zip(self._by_row(), former, strict=True):
            wider[:, :old] = kept
        self.playout.grow(self._capacity)

    def open(self, row: int) -> None:
        """Begin with an empty row: its first packet sets the time."""
        self.reserve(row)
        self.playout.clear(row)
        self._forget(row)

    def close(self, row: int) -> None:
        """The row gives silence from now on; its counters stay readable until it is opened again."""
        self.playout.retire(row)
        self._forget(row)

    def _forget(self, row: int) -> None:
        self._owed = self._owed[self._owed != row]
        self._empty(row)

    # --- moves -------------------------------------------------------------------------------------------------------
    @abstractmethod
    def _in_hand(self, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Which of these rows have the next two frames whole."""

    @abstractmethod
    def _give_early(self, rows: NDArray[np.intp]) -> Early:
        """The next frame of these rows, which is then out of hand."""

    def _move(self, n: int, heard: NDArray[np.bool_] | None, whole: NDArray[np.bool_]) -> Moves[Early] | None:
        """Let the rows of which there are frames too many or too few move by one, where it may be now. whole: bool
        (capacity,), of the last frame: what follows it must need no concealment."""
        playout = self.playout
        lose, gain = playout.move_unheard(n, heard)
        lose = lose[whole[lose]]
        left = max(0, playout.slips_left - len(gain))
        lose = lose[self._in_hand(lose)][:left]
        first = self._give_early(lose)
        playout.leave_out(lose)
        playout.slipping[gain] = True
        ready = (self._owed < n) & whole[self._owed] & playout.has_room(self._owed)
        repeated, self._owed = self._owed[ready], self._owed[~ready]
        playout.wait_for(repeated)
        if len(lose) or len(gain) or len(repeated):
            return Moves(lose, first, gain, repeated)
        return None

    def _restless(self, n: int) -> bool:
        """Whether any of rows 0..n-1 may move: to be asked before every tick."""
        return self.playout.restless(n) or len(self._owed) > 0

    def repeat(self, rows: NDArray[np.intp]) -> None:
        """A frame has been drawn out of each of these rows, int (k,): as soon as their last frame came whole, they give
        it again (`Moves.repeated`)."""
        if len(rows):
            self._owed = np.concatenate([self._owed, rows])

    def settle(self, rows: NDArray[np.intp]) -> None:
        """These rows, int (k,), slip no more."""
        self.playout.slipping[rows] = False

    def skip(self, ticks: int) -> None:
        """Time went on for so many ticks in which nothing was taken: the frames of that time are left out. To be called
        before the packets that waited meanwhile are put."""
        self.playout.oversleep(ticks)

    # --- figures -----------------------------------------------------------------------------------------------------
    @property
    def late(self) -> NDArray[np.int64]:
        """Packets that came after their last sample was due, by row."""
        return self.playout.late

    def delay_ms(self, rows: NDArray[np.intp] | int) -> NDArray[np.float64]:
        """Mean time from a packet's arrival to the playing of its first sample, half a tick of waiting included."""
        return 10.0 + 10.0 * self.playout.depth.mean_slack[rows]
