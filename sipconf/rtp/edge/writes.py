"""What legs that have latched are sent: one datagram into each of their connected sockets, with one call for all.

Not here: sockets of legs whose peer has not spoken yet (ports), the system call itself (batch).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sipconf.rtp.edge.batch import WRITE, BatchCalls, Requests
from sipconf.rtp.edge.plans import Plans, some_of
from sipconf.rtp.transmit import Packets


@dataclass(slots=True, eq=False)
class _Prepared:
    """places: those of the packets that the requests are for; rest: slots and packets that they are not for."""

    requests: Requests
    places: NDArray[np.intp]
    rest: tuple[Sequence[int], Sequence[memoryview]]


class Writes:
    """Connected sockets by slot. errors: what the network refused."""

    def __init__(self, calls: BatchCalls) -> None:
        self._calls = calls
        self._fds: dict[int, int] = {}
        self._plans: Plans[_Prepared] = Plans()
        self.errors = 0

    def add(self, slot: int, fd: int) -> None:
        """A leg has latched."""
        self._fds[slot] = fd
        self._plans.clear()

    def remove(self, slot: int) -> None:
        """A leg is closed, or has to find its peer anew."""
        del self._fds[slot]
        self._plans.clear()

    def send(
        self, slots: Sequence[int], packets: Sequence[memoryview]
    ) -> tuple[Sequence[int], Sequence[memoryview]]:
        """Send what belongs to latched legs; the rest is handed back. What has been prepared is kept while the caller
        passes the same two objects, whose buffers it may have filled anew (`Packets` with other lengths), and nobody
        has come or gone; what is handed back is then the same, too."""
        known = self._plans.find(slots, packets, lambda: self._prepare(slots, packets))
        if len(known.requests):
            if isinstance(packets, Packets) and packets.varies:
                known.requests.sizes[:] = packets.sizes[known.places]
            outcome = self._calls.carry_out(known.requests, len(known.requests))
            self.errors += int(np.count_nonzero(outcome < 0))
        return known.rest

    def _prepare(self, slots: Sequence[int], packets: Sequence[memoryview]) -> _Prepared:
        mine = [place for place, slot in enumerate(slots) if slot in self._fds]
        others = [place for place, slot in enumerate(slots) if slot not in self._fds]
        fds = np.array([self._fds[slots[place]] for place in mine], np.int64)
        addresses, sizes = places_of(some_of(packets, mine))
        rest = [slots[place] for place in others], some_of(packets, others)
        return _Prepared(Requests(WRITE, fds, addresses, sizes), np.array(mine, np.intp), rest)


def places_of(packets: Sequence[memoryview]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Where these packets stand in memory, and their octets."""
    if isinstance(packets, Packets):
        return packets.addresses, packets.sizes
    views = [np.frombuffer(packet, np.uint8) for packet in packets]
    return np.array([each.ctypes.data for each in views], np.uint64), np.array([each.size for each in views], np.int64)
