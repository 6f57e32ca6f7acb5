"""Extended sequence numbers, duplicates and losses of many streams at once (RFC 3550 appendix A.1 and A.3).

Columns by slot. Not here: whose packets these are and the probation of a new source (streams), and time (jitter).
"""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from sipconf.rtp.columns import Columns

MAX_DROPOUT = 3000
"""A packet may be this far ahead of the last (RFC 3550 A.1)."""
MAX_MISORDER = 100
"""And this far behind it."""
HISTORY = 64
"""Packets behind the highest whose arrival is remembered, to know a duplicate."""

_NOWHERE = -1
_ONE = np.uint64(1)


class SequenceColumns(Columns):
    """Per slot: highest extended sequence number, the first one, what came twice.

    What arrived is not counted but what did not: of a stream in order only the highest number changes.
    """

    CLEAN: ClassVar[dict[str, int]] = {"_missing": 1, "_elsewhere": _NOWHERE}

    def __init__(self, capacity: int) -> None:
        self.highest = np.zeros(capacity, np.int64)
        self.first = np.zeros(capacity, np.int64)
        self.duplicated = np.zeros(capacity, np.int64)
        self._history = np.zeros(capacity, np.uint64)
        self._missing = np.ones(capacity, np.int64)  # packets from first to highest, less those that came
        self._elsewhere = np.full(capacity, _NOWHERE, np.int64)
        self._arrived_before = np.zeros(capacity, np.int64)
        self._lost_before = np.zeros(capacity, np.int64)
        self._doubled_before = np.zeros(capacity, np.int64)
        self._jumped = False  # some stream has; only then is _elsewhere of interest

    def begin(self, slots: NDArray[np.intp] | int, sequence: NDArray[np.int64] | int) -> None:
        """Start counting anew at these sequence numbers, not yet received (init_seq of RFC 3550 A.1).

        The losses until now stay in `lost`, which is of the leg; `expected` and `received` are of the source.
        """
        self._lost_before[slots] = self.lost(slots)
        self._doubled_before[slots] = self.duplicated[slots]
        self._arrived_before[slots] += self.received_of(slots)
        self.first[slots] = self.highest[slots] = sequence
        self._missing[slots] = 1
        self._history[slots] = 0
        self._elsewhere[slots] = _NOWHERE

    def advance(
        self, slots: NDArray[np.intp], sequence: NDArray[np.int64]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Count one packet for each of the slots, every slot at most once; sequence: 16-bit numbers, int64.

        Returns (taken, restarted): taken is False for a duplicate and for the first packet of a wild jump; restarted is
        True where the second one in a row proves that the peer counts from elsewhere now.
        """
        highest = self.highest.take(slots)
        ahead = (sequence - highest).astype(np.int16).astype(np.int64)  # wraps as sequence numbers do
        if not ((ahead > -MAX_MISORDER) & (ahead < MAX_DROPOUT)).all():
            return self._advance_wildly(slots, sequence, ahead)
        history = self._history[slots]
        taken = self._count(slots, highest, ahead, history)
        return taken, np.zeros(len(slots), bool)

    def advance_in_order(self, slots: NDArray[np.intp], sequence: NDArray[np.int64]) -> bool:
        """The same where each packet is the next of its stream, as nearly all are; False, and nothing is counted,
        where one is not."""
        following = self.highest.take(slots)
        following += 1
        if np.count_nonzero((sequence ^ following) & 0xFFFF):
            return False
        self.highest[slots] = following
        history = self._history.take(slots)
        history <<= _ONE
        history |= _ONE
        self._history[slots] = history
        if self._jumped:
            self._elsewhere[slots] = _NOWHERE
        return True

    def advance_expected(self, came: NDArray[np.bool_]) -> None:
        """The same for the packets of slots 0..n-1 where came, bool (n,), says so; each is known to be the next."""
        top = len(came)
        self.highest[:top] += came
        history = self._history[:top]
        history <<= came.view(np.uint8)
        history |= came
        if self._jumped:
            self._elsewhere[:top][came] = _NOWHERE

    def _advance_wildly(
        self, slots: NDArray[np.intp], sequence: NDArray[np.int64], ahead: NDArray[np.int64]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """The same where some packet is out of bounds: believe a jump only when its successor comes too."""
        wild = (ahead <= -MAX_MISORDER) | (ahead >= MAX_DROPOUT)
        restarted = wild & (sequence == self._elsewhere[slots])
        waiting = wild & ~restarted
        self._elsewhere[slots[waiting]] = (sequence[waiting] + 1) & 0xFFFF
        self._arrived_before[slots[waiting]] += 1
        self._jumped = True
        self.begin(slots[restarted], sequence[restarted])
        counted = np.flatnonzero(~waiting)
        chosen = slots[counted]
        taken = np.zeros(len(slots), bool)
        ahead = np.where(restarted, 0, ahead)[counted]
        taken[counted] = self._count(chosen, self.highest[chosen], ahead, self._history[chosen])
        return taken, restarted

    def _count(
        self,
        slots: NDArray[np.intp],
        highest: NDArray[np.int64],
        ahead: NDArray[np.int64],
        history: NDArray[np.uint64],
    ) -> NDArray[np.bool_]:
        """Enter packets that are in bounds into the columns; True where it was not a duplicate."""
        advanced = np.maximum(ahead, 0)
        self._missing[slots] += advanced - 1
        self._elsewhere[slots] = _NOWHERE
        forward = np.clip(ahead, 0, HISTORY - 1).astype(np.uint64)
        history = np.where(ahead >= HISTORY, np.uint64(0), history << forward)
        back = np.maximum(-ahead, 0)
        bit = np.where(back < HISTORY, _ONE << np.minimum(back, HISTORY - 1).astype(np.uint64), np.uint64(0))
        doubled = (history & bit) != 0
        self._history[slots] = history | bit
        self.highest[slots] = highest + advanced
        self.duplicated[slots] += doubled
        return ~doubled

    @property
    def received(self) -> NDArray[np.int64]:
        """Packets of the present source that came, duplicates too."""
        return self.highest - self.first + 1 - self._missing

    def received_of(self, slots: NDArray[np.intp] | int) -> NDArray[np.int64]:
        """The same of some slots."""
        return self.highest[slots] - self.first[slots] + 1 - self._missing[slots]

    def figures(self, slots: NDArray[np.intp]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """What reports say of some slots: highest extended number, packets expected, packets received."""
        highest = self.highest[slots]
        span = highest - self.first[slots] + 1
        received = span - self._missing[slots]
        return highest, span * (received != 0), received

    @property
    def arrived(self) -> NDArray[np.int64]:
        """Packets that came, whatever became of them, of all the sources of a slot."""
        return self._arrived_before + self.received

    def expected(self, slots: NDArray[np.intp] | int) -> NDArray[np.int64]:
        """Packets the present source has sent as far as we know (RFC 3550 A.3); 0 before the first."""
        span = self.highest[slots] - self.first[slots] + 1
        return np.where(self.received_of(slots) > 0, span, 0)

    def lost(self, slots: NDArray[np.intp] | int) -> NDArray[np.int64]:
        """Packets of the leg that never came, all its sources together. A late one is not lost, a duplicate does not
        make up for another."""
        unique = self.received_of(slots) - (self.duplicated[slots] - self._doubled_before[slots])
        return self._lost_before[slots] + np.maximum(self.expected(slots) - unique, 0)
