"""Sockets that are read one by one: those of legs that have not latched, and where the system permits nothing better.

One epoll set tells which of them have something; each is then read straight into a row of the block. Not here: whom a
leg believes (ports, which gives each socket its own way of being read).
"""

import select
import socket
from collections.abc import Callable

import numpy as np

from sipconf.rtp.edge.block import Block
from sipconf.rtp.edge.settled import PASSES
from sipconf.rtp.packet import Drained

Receive = Callable[[memoryview], int]
"""Reads a datagram into a row: its octets, or -1 where there is none that counts."""


class Singly:
    """Sockets, each of a slot. errors: reads that the network answered with an error."""

    def __init__(self, block: Block) -> None:
        self._block = block
        self._epoll = select.epoll()
        self._receives: dict[int, Receive] = {}
        self._slots: dict[int, int] = {}
        self._backlog: list[tuple[int, bytes]] = []
        self.errors = 0

    def __len__(self) -> int:
        return len(self._slots)

    def add(self, one: socket.socket, slot: int, receive: Receive) -> None:
        """Read this socket, too."""
        fd = one.fileno()
        self._receives[fd], self._slots[fd] = receive, slot
        self._epoll.register(fd, select.EPOLLIN)

    def read_by(self, one: socket.socket, receive: Receive) -> None:
        """Read it in this way from now on."""
        self._receives[one.fileno()] = receive

    def remove(self, one: socket.socket) -> None:
        """Not any more."""
        fd = one.fileno()
        self._epoll.unregister(fd)
        del self._receives[fd], self._slots[fd]

    def put(self, slot: int, datagram: bytes) -> None:
        """This has come as well."""
        self._backlog.append((slot, datagram))

    def close(self) -> None:
        """Close the epoll set; the sockets are others'."""
        self._epoll.close()

    def drain(self, drained: Drained) -> Drained:
        """What has been drained elsewhere, and behind it what these sockets have."""
        slots: list[int] = []
        lengths: list[int] = []
        block, count = self._block, len(drained.slots)
        for _ in range(PASSES):
            ready = self._epoll.poll(0, len(self._slots) or 1)
            if not ready:
                break
            if not slots:
                drained = block.hold(drained)
            block.reserve(count + len(ready))
            for fd, _event in ready:
                slot = self._slots[fd]
                try:
                    size = self._receives[fd](block.views[count])
                except OSError:  # most often ECONNREFUSED: the peer's port has closed
                    self.errors += 1
                    continue
                if size < 0:
                    continue
                slots.append(slot)
                lengths.append(size)
                count += 1
            block.reserve(count + len(self._backlog))
            for slot, datagram in self._backlog:
                block.views[count][: len(datagram)] = datagram
                slots.append(slot)
                lengths.append(len(datagram))
                count += 1
            self._backlog.clear()
        if not slots:
            return drained
        return Drained(np.concatenate([drained.slots, np.array(slots, np.intp)]), block.octets[:count],
                       np.concatenate([drained.lengths, np.array(lengths, np.int64)]))
