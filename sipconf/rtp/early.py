"""Packets that came a tick before their turn, and may wait for it.

A leg whose packets come about when the sockets are read brings two at one tick and none at the next. If the second one
waits, everybody brings one packet to every tick, and all of them are worked on in one round; it is heard no later, for
the playing time allows for the tick in which there was none. Not so where packets come in disorder, or whole ticks too
late and too early: there waiting would add to what the network holds up. Columns by slot. Not here: whose packets
these are, and where they wait (edge/steered).
"""

import numpy as np
from numpy.typing import NDArray

LONGEST_WAIT = 16
"""Ticks for which a leg may be one packet behind without having needed it once: then it has come to be earlier for
good, or its clock is fast."""
UNSTEADY_TICKS = 512
"""For so long nothing waits of a leg that has brought three packets to one tick."""


class EarlyPackets:
    """What is known of every slot. tick: counts the drains."""

    def __init__(self, capacity: int) -> None:
        self._tick = 0
        self._unsteady_until = np.zeros(capacity, np.int64)
        self._behind_since, self._behind_at = np.zeros(capacity, np.int64), np.full(capacity, -1, np.int64)

    def forget(self, slot: int) -> None:
        """Another leg has it now."""
        self._unsteady_until[slot] = 0

    def pass_tick(self) -> None:
        """The sockets were read once more."""
        self._tick += 1

    def waiting(self, ascending: NDArray[np.integer], lengths: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which packets may wait for the next tick, bool (P,): of these slots, in ascending order and each slot's in
        the order in which they came, the second ones where there are two of one length."""
        again = ascending[1:] == ascending[:-1]
        third = again[1:] & again[:-1]
        if np.count_nonzero(third):
            self._unsteady_until[ascending[2:][third]] = self._tick + UNSTEADY_TICKS
        again &= lengths[1:] == lengths[:-1]
        second = again.nonzero()[0] + 1
        slots = ascending.take(second)
        since = self._behind_since.take(slots)
        since[self._behind_at.take(slots) != self._tick - 1] = self._tick
        wait = self._unsteady_until.take(slots) <= self._tick
        wait &= self._tick - since < LONGEST_WAIT
        self._behind_since[slots] = since
        self._behind_at[slots[wait]] = self._tick
        answer = np.zeros(len(ascending), bool)
        answer[second[wait]] = True
        return answer
