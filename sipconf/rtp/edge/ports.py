"""A pair of UDP ports for each leg: RTP on an even one, RTCP on the next, read and written once per tick.

One epoll set tells which sockets have something; each is then read straight into a row of the block. A leg that has not
latched is read with its sources and every datagram judged by Streams; once latched, its socket is connected and the
kernel keeps strangers out. Nothing here blocks or raises for what the network does: it counts. Not here: what is in a
datagram (packet, rtcp), which sources are good (latching).
"""

import random
import select
import socket
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import call

import numpy as np
from numpy.typing import NDArray

from sipconf.errors import MisuseError, SipconfError
from sipconf.rtp.edge.batch import BatchCalls
from sipconf.rtp.edge.binding import bind_pair, disconnect, is_own, reachable
from sipconf.rtp.edge.settled import PASSES, ROWS_PER_SOCKET, Settled
from sipconf.rtp.latching import Address, Verdict
from sipconf.rtp.packet import ROW, Drained
from sipconf.rtp.srtp import SrtpColumns
from sipconf.rtp.streams import Streams

JUDGED = 64
"""Datagrams of strangers that are read away for one leg in one pass."""
MOST_QUEUED = 1024
"""Datagrams that may have queued up in a socket before it was connected."""
BIND_TRIES = 32
"""Ports that may turn out to be another process's before a leg is refused."""
RTCP_LEGS, RTCP_PASSES = 64, 4
"""RTCP sockets read in one drain, and datagrams of each."""

_FIRST_ROWS = 256


class PortsExhausted(SipconfError):
    """No pair of ports could be had for a leg."""


@dataclass(slots=True)
class _Pair:
    slot: int
    port: int
    rtp: socket.socket
    rtcp: socket.socket
    remote: Address | None = None
    rtcp_to: Address | None = None
    mux: bool = False
    connected: bool = False


class Ports:
    """The sockets of all legs of a plane.

    batched: read and write latched legs' sockets in batches where the system permits; otherwise, and for legs that
    have not latched, one by one. srtp: keys of encrypted legs, whose RTCP is drained in the clear.
    """

    def __init__(
        self, first: int, last: int, rng: random.Random, streams: Streams, batched: bool = True,
        srtp: SrtpColumns | None = None,
    ) -> None:  # fmt: skip
        self._free = list(range(first + first % 2, last, 2))
        if not self._free:
            raise MisuseError(f"no pair of ports in {first}-{last}")
        self._rng = rng
        self._streams = streams
        self._srtp = srtp
        self._pairs: dict[int, _Pair] = {}
        self._in_use: set[int] = set()  # the even ports of all pairs
        self._epoll = select.epoll()
        self._rtcp_epoll = select.epoll()
        self._receivers: list[Callable[[memoryview], int] | None] = []
        self._slot_of = np.zeros(0, np.intp)
        self._sends: list[Callable[[memoryview], int]] = []
        self._backlog: list[tuple[int, bytes]] = []
        self._now = 0.0
        self._rows = 0
        self._allocate(_FIRST_ROWS)
        self._settled = _open_settled() if batched else None
        self._receive_errors = 0
        self._send_errors = 0

    @property
    def free(self) -> int:
        """Pairs of ports not in use."""
        return len(self._free)

    @property
    def receive_errors(self) -> int:
        """Reads that the network answered with an error, most often because a peer's port has closed."""
        return self._receive_errors + (self._settled.receive_errors if self._settled else 0)

    @property
    def send_errors(self) -> int:
        """Writes that the network refused."""
        return self._send_errors + (self._settled.send_errors if self._settled else 0)

    def counts(self) -> dict[str, int]:
        """What went wrong since the beginning, as a plane tells it."""
        return {"send_errors": self.send_errors}

    # --- legs --------------------------------------------------------------------------------------------------------
    def open(self, slot: int, address: str) -> int:
        """Bind a random pair of ports on a local address; the RTP port. PortsExhausted when there is none."""
        if slot in self._pairs:
            raise MisuseError(f"slot {slot} has its ports already")
        taken: list[int] = []
        try:
            for _ in range(BIND_TRIES):
                if not self._free:
                    break
                # Random, so that the port of the next call cannot be guessed from the last one's.
                pick = self._rng.randrange(len(self._free))
                self._free[pick], self._free[-1] = self._free[-1], self._free[pick]
                port = self._free.pop()
                try:
                    pair = _Pair(slot, port, *bind_pair(address, port))
                except OSError:
                    taken.append(port)
                    continue
                self._enter(pair)
                return port
        finally:
            self._free += taken
        raise PortsExhausted(f"no pair of RTP ports free on {address}")

    def _enter(self, pair: _Pair) -> None:
        slot, fd = pair.slot, pair.rtp.fileno()
        self._pairs[slot] = pair
        self._in_use.add(pair.port)
        highest = max(fd, pair.rtcp.fileno())
        if highest >= len(self._receivers):
            more = 2 * highest + 1 - len(self._receivers)
            self._receivers += [None] * more
            self._slot_of = np.concatenate([self._slot_of, np.zeros(more, np.intp)])
        self._sends += [_send_nowhere] * (slot + 1 - len(self._sends))
        self._slot_of[fd] = self._slot_of[pair.rtcp.fileno()] = slot
        self._receivers[fd] = self._judging(pair)
        self._epoll.register(fd, select.EPOLLIN)
        self._rtcp_epoll.register(pair.rtcp.fileno(), select.EPOLLIN)

    def connect(
        self, slot: int, remote: Address | None, remote_rtcp: Address | None, rtcp_mux: bool, restart: bool
    ) -> None:
        """Send to the signalled address; restart, as Streams.connect returned it: sources prove themselves anew.

        Nothing is sent to a port of a leg of ours: two such legs would feed each other for ever.
        """
        pair = self._pair(slot)
        remote, remote_rtcp = self._not_ours(remote), self._not_ours(remote_rtcp)
        pair.remote = reachable(remote, pair.rtp.family)
        pair.mux = rtcp_mux
        if restart or pair.rtcp_to is None:
            pair.rtcp_to = reachable(remote_rtcp, pair.rtp.family)
        if not restart and pair.connected:
            return
        if pair.connected:
            disconnect(pair.rtp)
            pair.connected = False
            if self._settled is not None:
                self._settled.remove(slot)
                self._epoll.register(pair.rtp.fileno(), select.EPOLLIN)
            self._receivers[pair.rtp.fileno()] = self._judging(pair)
        self._sends[slot] = _sender_to(pair.rtp, pair.remote) if pair.remote else _send_nowhere

    def _not_ours(self, address: Address | None) -> Address | None:
        if address is None or address[1] & ~1 not in self._in_use or not is_own(address[0]):
            return address
        return None

    def close(self, slot: int) -> None:
        """Close a leg's sockets; its ports may be given to another."""
        pair = self._pair(slot)
        del self._pairs[slot]
        self._in_use.discard(pair.port)
        if pair.connected and self._settled is not None:
            self._settled.remove(slot)
        else:
            self._epoll.unregister(pair.rtp)
        self._rtcp_epoll.unregister(pair.rtcp)
        self._receivers[pair.rtp.fileno()] = None
        self._sends[slot] = _send_nowhere
        pair.rtp.close()
        pair.rtcp.close()
        self._free.append(pair.port)

    def close_all(self) -> None:
        """Close everything, the epoll sets too."""
        for slot in list(self._pairs):
            self.close(slot)
        self._epoll.close()
        self._rtcp_epoll.close()
        if self._settled is not None:
            self._settled.close()

    def _pair(self, slot: int) -> _Pair:
        try:
            return self._pairs[slot]
        except KeyError:
            raise MisuseError(f"slot {slot} has no ports") from None

    # --- in ----------------------------------------------------------------------------------------------------------
    def drain(self, now: float) -> Drained:
        """Read what has come."""
        self._now = now
        if self._settled is None:
            return self._drain_singly(0)
        wanted = ROWS_PER_SOCKET * len(self._settled)
        if wanted > self._rows:
            self._allocate(wanted)
        settled_slots, settled_lengths = self._settled.receive(self._block, now)
        if len(self._settled) == len(self._pairs):
            return settled_slots, self._block[: len(settled_slots)], settled_lengths
        slots, block, lengths = self._drain_singly(len(settled_slots))
        if not len(slots):
            return settled_slots, block, settled_lengths
        return np.concatenate([settled_slots, slots]), block, np.concatenate([settled_lengths, lengths])

    @property
    def unread(self) -> bool:
        """Whether the last drain left something for `drain_more`."""
        return self._settled is not None and self._settled.unread

    def drain_more(self) -> Drained:
        """Read what the last drain had no room for."""
        assert self._settled is not None
        slots, lengths = self._settled.receive_more(self._block)
        return slots, self._block[: len(slots)], lengths

    def _drain_singly(self, count: int) -> Drained:
        """Read what epoll knows of into the block behind its first count rows; slots and lengths of these alone."""
        receivers, poll = self._receivers, self._epoll.poll
        fds: list[int] = []
        lengths: list[int] = []
        for _ in range(PASSES):
            ready = poll(0, len(self._pairs) or 1)
            if not ready:
                break
            if count + len(ready) > self._rows:
                self._allocate(count + len(ready))
            views = self._views
            for fd, _event in ready:
                try:
                    size = receivers[fd](views[count])
                except OSError:  # most often ECONNREFUSED: the peer's port has closed
                    self._receive_errors += 1
                    continue
                if size < 0:
                    continue
                fds.append(fd)
                lengths.append(size)
                count += 1
            if self._backlog:
                count = self._take_backlog(count, fds, lengths)
        return self._slot_of[np.array(fds, np.intp)], self._block[:count], np.array(lengths, np.int64)

    def _take_backlog(self, count: int, fds: list[int], lengths: list[int]) -> int:
        if count + len(self._backlog) > self._rows:
            self._allocate(count + len(self._backlog))
        for fd, datagram in self._backlog:
            self._views[count][: len(datagram)] = datagram
            fds.append(fd)
            lengths.append(len(datagram))
            count += 1
        self._backlog.clear()
        return count

    def _allocate(self, rows: int) -> None:
        block = np.zeros((max(rows, 2 * self._rows), ROW), np.uint8)
        if self._rows:
            block[: self._rows] = self._block
        self._rows, self._block = len(block), block
        self._views = [memoryview(row) for row in block]

    def extend(self, count: int, block: NDArray[np.uint8], lengths: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Put further rows behind the count rows that the last drain has brought: block uint8 (P, ROW), lengths (P,).
        All of them, uint8 (count + P, ROW)."""
        end = count + len(lengths)
        if end > self._rows:
            self._allocate(end)
        width = int(lengths.max(initial=0))
        self._block[count:end, :width] = block[: len(lengths), :width]
        return self._block[:end]

    def _judging(self, pair: _Pair) -> Callable[[memoryview], int]:
        """A receiver for a socket that is not connected: reads strangers away, -1 when nothing acceptable is left."""
        recvfrom_into, judge, slot = pair.rtp.recvfrom_into, self._streams.source_of, pair.slot

        def receive(view: memoryview) -> int:
            for _ in range(JUDGED):
                try:
                    size, address = recvfrom_into(view)
                except BlockingIOError:
                    return -1
                verdict = judge(slot, address, view[:size], self._now)
                if verdict is Verdict.LATCH:
                    self._latch(pair, address)
                if verdict is not Verdict.DROP:
                    return size
            return -1

        return receive

    def _latch(self, pair: _Pair, address: tuple) -> None:
        """Connect to the source; what came before, from whomever, is judged here, for the kernel no longer does it."""
        try:
            pair.rtp.connect(address)
        except OSError:
            self._receive_errors += 1
            return
        pair.connected = True
        fd = pair.rtp.fileno()
        if self._settled is not None:
            self._epoll.unregister(fd)
            self._settled.add(pair.slot, fd)
        self._receivers[fd] = pair.rtp.recv_into
        self._sends[pair.slot] = pair.rtp.send
        if pair.remote is None or pair.remote[:2] != address[:2]:
            pair.rtcp_to = (address[0], address[1] + 1) if address[1] < 65535 else None
        for _ in range(MOST_QUEUED):
            try:
                datagram, source = pair.rtp.recvfrom(ROW)
            except BlockingIOError:
                return
            except OSError:
                self._receive_errors += 1
                continue
            if self._streams.source_of(pair.slot, source, datagram, self._now) is not Verdict.DROP:
                self._backlog.append((fd, datagram))

    def drain_rtcp(self, now: float) -> list[tuple[int, bytes]]:
        """What has come to the RTCP ports from the legs' own peers, as (slot, datagram); bounded, the rest waits."""
        self._now = now
        found = []
        for fd, _event in self._rtcp_epoll.poll(0, RTCP_LEGS):
            slot = int(self._slot_of[fd])
            pair = self._pairs[slot]
            for _ in range(RTCP_PASSES):
                try:
                    datagram, address = pair.rtcp.recvfrom(ROW)
                except BlockingIOError:
                    break
                except OSError:
                    self._receive_errors += 1
                    break
                clear = datagram if self._srtp is None else self._srtp.unprotect_rtcp(slot, datagram)
                if clear is not None and self._streams.rtcp_source_of(slot, address, clear):
                    pair.rtcp_to = address[:2]
                    found.append((slot, clear))
        return found

    # --- out ---------------------------------------------------------------------------------------------------------
    def send(self, slots: Sequence[int], packets: Sequence[memoryview]) -> None:
        """Send one packet for each of the slots, as far as the leg has somewhere to send to."""
        if self._settled is not None:
            rest = self._settled.send(slots, packets)
            if not rest:
                return
            slots, packets = [slot for slot, _ in rest], [packet for _, packet in rest]
        sending = map(call, map(self._sends.__getitem__, slots), packets)
        while True:
            try:
                deque(sending, maxlen=0)
                return
            except OSError:  # the iterator goes on behind the packet that failed
                self._send_errors += 1

    def send_rtcp(self, slot: int, datagram: bytes) -> None:
        """Send RTCP to the leg's peer, on the RTP port where they are multiplexed."""
        pair = self._pair(slot)
        try:
            if pair.mux:
                self._sends[slot](datagram)
            elif pair.rtcp_to is not None:
                pair.rtcp.sendto(datagram, pair.rtcp_to)
        except OSError:
            self._send_errors += 1


def _open_settled() -> Settled | None:
    """Batched reading and writing, or None where the system has no calls for it."""
    try:
        return Settled(BatchCalls())
    except OSError:
        return None


def _sender_to(rtp: socket.socket, address: Address) -> Callable[[memoryview], int]:
    sendto = rtp.sendto
    return lambda packet: sendto(packet, address)


def _send_nowhere(packet: memoryview) -> int:
    return 0
