"""The legs that have latched and share two sockets, although each has a port of its own: one in, one out.

One call reads what all of them have brought since the last tick, another sends them all their packets, instead of one
socket after the other being looked after. Not here: how the kernel is told (steering), and how it is told from which
port a packet comes (raw_sends).
"""

import numpy as np
from numpy.typing import NDArray

from sipconf.rtp.edge.datagrams import PortInbox
from sipconf.rtp.edge.raw_sends import RawSends
from sipconf.rtp.edge.steering import Steering
from sipconf.rtp.latching import Address
from sipconf.rtp.packet import ROW, Drained
from sipconf.rtp.rounds import turns

ROWS = 2048
"""Datagrams read with one call, at the least; and of each leg so many:"""
ROWS_PER_LEG = 2
MOST_OF_LEG = 64
"""Datagrams that one leg may bring to one call; more is a flood, from its own peer or in its name."""
_NOBODY, _TOO_LONG = 0xFFFF, -1
_NO_SLOTS = np.zeros(0, np.intp)
_NO_LENGTHS = np.zeros(0, np.int64)


class Steered:
    """Legs by slot. excess: datagrams over what one leg may bring, which are thrown away. unread: whether the last call
    found more than it had room for. first, last: their ports. Raises OSError where the system does not permit it."""

    def __init__(self, first: int, last: int) -> None:
        self.sends = RawSends()
        self._steering = Steering(first, last)
        self._ways: dict[int, tuple[Address, Address]] = {}
        self._slot_of = np.full(0x10000, _NOBODY, np.uint16)  # by port; 16 bits are sorted in one go
        # Everybody's slots in ascending order: the same array at each call, by which it is known to be so.
        self._everyone: NDArray[np.intp] | None = None
        self._inbox = PortInbox(ROWS)
        PortInbox.prepare(self._steering.socket)
        self.unread = False
        self.excess = 0

    def __len__(self) -> int:
        return len(self._ways)

    def add(self, slot: int, local: Address, peer: Address) -> None:
        """A leg has latched; IPv4 literals. Raises OSError where the system has no room for it."""
        self.sends.add(slot, local, peer)
        try:
            self._steering.add(local, peer)
        except OSError:
            self.sends.remove(slot)
            raise
        self._ways[slot] = local, peer
        self._slot_of[local[1]] = slot
        self._everyone = None
        if ROWS_PER_LEG * len(self._ways) > self._inbox.rows:
            self._inbox = PortInbox(2 * self._inbox.rows)

    def remove(self, slot: int) -> None:
        """A leg is closed, or has to find its peer anew. What it has brought and was not read is forgotten."""
        local, peer = self._ways.pop(slot)
        self._slot_of[local[1]] = _NOBODY
        self._everyone = None
        self._steering.remove(local, peer)
        self.sends.remove(slot)

    def close(self) -> None:
        """Packets go to their ports again."""
        self._steering.close()
        self.sends.close()

    def receive(self) -> Drained:
        """What has come, in rounds of ascending slots."""
        inbox = self._inbox
        count = inbox.receive(self._steering.socket.fileno())
        self.unread = count == inbox.rows
        if not count:
            return Drained(_NO_SLOTS, inbox.block[:0], _NO_LENGTHS)
        slots = self._slot_of.take(inbox.ports)
        order = np.argsort(slots, kind="stable")
        slots, lengths = slots.take(order), inbox.lengths.take(order)
        if self._everyone is None:
            self._everyone = np.array(sorted(self._ways), np.intp)
            self._everyone.flags.writeable = False
        if count == len(self._everyone) and not np.count_nonzero(slots != self._everyone):
            legs = self._everyone
        else:
            legs, order, lengths = self._sort(slots, order, lengths)
        if np.maximum.reduce(lengths, initial=0) >= ROW:  # longer than its row
            lengths[lengths >= ROW] = _TOO_LONG
        return Drained(legs, inbox.block, lengths, order)

    def _sort(
        self, slots: NDArray[np.uint16], order: NDArray[np.intp], lengths: NDArray[np.int64]
    ) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.int64]]:
        """Into rounds, from ascending slots: without what legs that are gone have left."""
        if slots[-1] == _NOBODY:
            known = slice(int(np.searchsorted(slots, _NOBODY)))
            slots, order, lengths = slots[known], order[known], lengths[known]
        if np.count_nonzero(slots[1:] == slots[:-1]):
            chosen = turns(slots, MOST_OF_LEG)
            self.excess += len(slots) - len(chosen)
            slots, order, lengths = slots.take(chosen), order.take(chosen), lengths.take(chosen)
        return slots.astype(np.intp), order, lengths
