"""The sockets of legs that have latched: connected, so that whole batches are read without addresses.

Reading asks every socket for one datagram, then only those again that may well hold a second one, for an empty read
costs a quarter of a full one. Not here: sockets still looking for their peer (ports), the system call itself (batch).
"""

import errno

import numpy as np
from numpy.typing import NDArray

from sipconf.rtp.edge.batch import READ, BatchCalls, Requests
from sipconf.rtp.packet import Drained

PASSES = 16
"""Datagrams that one leg may bring to one drain; the rest wait in its socket."""
ROTATION, EVERY = 32, 8
"""Every socket is asked for a second datagram at least once in so many drains, a group of them every few drains: the
packet more that a fast clock sends now and then."""
MOST_BEHIND, FORGET_EVERY = 12, 512
"""Each drain to which a leg brings nothing leaves it a datagram further behind, so many at the most; until it has
brought them all, it is asked for a second one at every drain. What stayed in its socket until a turn of the rotation
would have to be waited for like what the network itself holds up: 20 ms more for everything. Those that were lost are
forgotten, one in so many drains."""
LONG_SECONDS = 0.025
"""So long after a drain every socket may well hold a second datagram, and what is not read now has to wait for its
turn."""
ROWS_PER_SOCKET = 3
"""Rows that the block should have for each socket."""
_NONE = np.zeros(0, np.int64)
_NO_SOCKETS = np.zeros(0, np.intp)


class Settled:
    """Connected sockets by slot. receive_errors: what the network refused."""

    def __init__(self, calls: BatchCalls) -> None:
        self._calls = calls
        self._fds: dict[int, int] = {}
        self._stale = True
        self._slots = np.zeros(0, np.intp)
        self._descriptors = np.zeros(0, np.int64)
        # By socket: who is asked for more at the next drain, None for nobody; how many datagrams each is behind, and
        # whether any is.
        self._eager: NDArray[np.bool_] | None = None
        self._behind, self._some_behind = np.zeros(0, np.int64), False
        self._turns = np.zeros((ROTATION, 0), bool)  # by drain: who is asked for a second datagram in any case
        self._reads: Requests | None = None
        self._seconds: Requests | None = None
        self._rows_at = np.zeros(0, np.uint64)  # address of each row of the block
        self._block: NDArray[np.uint8] | None = None
        self._drains = 0
        self._read_at, self._long_ago = 0.0, False
        self._left = _NO_SOCKETS
        self.receive_errors = 0

    def __len__(self) -> int:
        return len(self._fds)

    def add(self, slot: int, fd: int) -> None:
        """A leg has latched."""
        self._fds[slot] = fd
        self._stale = True

    def remove(self, slot: int) -> None:
        """A leg is closed, or has to find its peer anew."""
        del self._fds[slot]
        self._stale = True

    # --- in ----------------------------------------------------------------------------------------------------------
    @property
    def unread(self) -> bool:
        """Whether the last call, after a stall, found no room for all that it would have asked for. At any other time
        it is a flood, which waits."""
        return self._long_ago and len(self._left) > 0

    def receive(self, block: NDArray[np.uint8], now: float) -> Drained:
        """Read into the first rows of block, uint8 (rows, ROW) with at least one row per socket.

        There is a row for each socket, in ascending order of slots, not filled where its length is not positive, and
        behind these come the further datagrams of some of them: of all where the last call was long ago."""
        slots, lengths = self._receive(block, now)
        return Drained(slots, block[: len(slots)], lengths)

    def _receive(self, block: NDArray[np.uint8], now: float) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
        self._prepare(block)
        self._left = _NO_SOCKETS
        self._long_ago, self._read_at = now - self._read_at > LONG_SECONDS, now
        if self._reads is None or self._seconds is None:
            return self._slots, _NONE
        self._drains += 1
        lengths = self._calls.carry_out(self._reads, len(self._slots))
        got = lengths > 0
        eager, self._eager = self._eager, None
        if np.count_nonzero(got) != len(got):
            self._count_errors(lengths)
            self._behind += ~got
            self._some_behind = True
        if self._long_ago:
            return self._read_again(block, np.flatnonzero(got), self._slots, lengths)
        if eager is None and not self._some_behind and self._drains % EVERY:
            return self._slots, lengths
        asked = self._turns[self._drains % ROTATION].copy()
        if eager is not None:
            asked |= eager
        if self._some_behind:
            np.minimum(self._behind, MOST_BEHIND, out=self._behind)
            asked |= self._behind > 0
            if self._drains % FORGET_EVERY == 0:
                self._behind -= self._behind > 0
                self._some_behind = bool(np.count_nonzero(self._behind))
        asked &= got
        return self._read_again(block, np.flatnonzero(asked), self._slots, lengths)

    def receive_more(self, block: NDArray[np.uint8]) -> Drained:
        """Go on where the last call found no room: the same again, of those sockets alone."""
        asked, self._left = self._left, _NO_SOCKETS
        if self._stale or block is not self._block:  # somebody has just latched: it is all asked for at the next drain
            return Drained(_NO_SOCKETS, block[:0], _NONE)
        slots, lengths = self._read_again(block, asked, _NO_SOCKETS, _NONE)
        return Drained(slots, block[: len(slots)], lengths)

    def _read_again(
        self, block: NDArray[np.uint8], asked: NDArray[np.intp], slots: NDArray[np.intp], lengths: NDArray[np.int64]
    ) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
        """Ask these sockets for more until they have none; what comes stands behind the rows that are filled."""
        assert self._seconds is not None
        for _ in range(PASSES - 1):
            room = len(block) - len(slots)
            if len(asked) > room:
                self._left = np.union1d(self._left, asked[room:])
                asked = asked[:room]
            count, begin = len(asked), len(slots)
            if not count:
                break
            self._seconds.fds[:count] = self._descriptors[asked]
            self._seconds.buffers[:count] = self._rows_at[begin : begin + count]
            outcome = self._calls.carry_out(self._seconds, count)
            self._count_errors(outcome)
            more = outcome > 0
            if not np.count_nonzero(more):
                break
            slots = np.concatenate([slots, self._slots[asked]])
            lengths = np.concatenate([lengths, outcome])
            asked = asked[more]
            self._behind[asked] -= self._behind[asked] > 0
            if self._eager is None:
                self._eager = np.zeros(len(self._slots), bool)
            self._eager[asked] = True
        return slots, lengths

    def _prepare(self, block: NDArray[np.uint8]) -> None:
        if not self._stale and self._block is block:
            return
        if self._stale:
            fds = dict(sorted(self._fds.items()))
            self._slots = np.fromiter(fds.keys(), np.intp, len(fds))
            self._descriptors = np.fromiter(fds.values(), np.int64, len(fds))
            self._eager = np.ones(len(fds), bool)
            self._behind, self._some_behind = np.zeros(len(fds), np.int64), False
            # Groups are numbered by the drain whose turn they have; the drains between have none.
            self._turns = np.arange(len(fds)) % (ROTATION // EVERY) * EVERY == np.arange(ROTATION)[:, None]
        count = len(self._slots)
        self._rows_at = block.ctypes.data + np.arange(len(block), dtype=np.uint64) * np.uint64(block.strides[0])
        self._reads = self._seconds = None
        if count:
            first_rows = self._rows_at[:count]
            self._reads = Requests(READ, self._descriptors, first_rows, block.shape[1])
            self._seconds = Requests(READ, self._descriptors, first_rows, block.shape[1])
        self._block = block
        self._stale = False

    def _count_errors(self, outcome: NDArray[np.int64]) -> None:
        self.receive_errors += int(np.count_nonzero((outcome < 0) & (outcome != -errno.EAGAIN)))
