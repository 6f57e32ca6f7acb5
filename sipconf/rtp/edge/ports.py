"""A pair of UDP ports for each leg: RTP on an even one, RTCP on the next, read and written once per tick.

A leg that has not latched is read with its sources (singly), and every datagram judged by Streams. Once it has latched,
the kernel keeps strangers out: either the leg shares two sockets with all others, where the system permits that
(steered), or its own is connected, and read and written in batches (settled, writes). Nothing here blocks or raises for
what the network does: it counts. Not here: what is in a datagram (packet, rtcp), which sources are good (latching).
"""

import random
import select
import socket
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import call

import numpy as np

from sipconf.errors import MisuseError, SipconfError
from sipconf.rtp.edge.batch import BatchCalls
from sipconf.rtp.edge.binding import bind_pair, close_ears, disconnect, is_own, open_ears, reachable
from sipconf.rtp.edge.block import Block
from sipconf.rtp.edge.raw_sends import MOST_OCTETS
from sipconf.rtp.edge.settled import ROWS_PER_SOCKET, Settled
from sipconf.rtp.edge.singly import Singly
from sipconf.rtp.edge.steered import Steered
from sipconf.rtp.edge.writes import Writes
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


_NOTHING = Drained(np.zeros(0, np.intp), np.zeros((0, ROW), np.uint8), np.zeros(0, np.int64))


class PortsExhausted(SipconfError):
    """No pair of ports could be had for a leg."""


@dataclass(slots=True)
class _Pair:
    slot: int
    address: str
    port: int
    rtp: socket.socket
    rtcp: socket.socket
    remote: Address | None = None
    rtcp_to: Address | None = None
    mux: bool = False
    connected: bool = False
    steered: bool = False


class Ports:
    """The sockets of all legs of a plane.

    batched: read and write latched legs' sockets in batches where the system permits; otherwise, and for legs that
    have not latched, one by one. srtp: keys of encrypted legs, whose RTCP is drained in the clear. steered: of these
    ports, closed by close_all.
    """

    def __init__(
        self, first: int, last: int, rng: random.Random, streams: Streams, batched: bool = True,
        srtp: SrtpColumns | None = None, steered: Steered | None = None,
    ) -> None:  # fmt: skip
        self._free = list(range(first + first % 2, last, 2))
        if not self._free:
            raise MisuseError(f"no pair of ports in {first}-{last}")
        self._rng = rng
        self._streams = streams
        self._srtp = srtp
        self._pairs: dict[int, _Pair] = {}
        self._in_use: set[int] = set()  # the even ports of all pairs
        self._block = Block(_FIRST_ROWS)
        self._singly = Singly(self._block)
        self._rtcp_epoll = select.epoll()
        self._rtcp_slots: dict[int, int] = {}
        self._sends: list[Callable[[memoryview], int]] = []
        self._now = 0.0
        self._calls = _open_calls() if batched else None
        self._settled = Settled(self._calls) if self._calls else None
        self._writes = Writes(self._calls) if self._calls else None
        self._steered = steered
        self._ways = [way for way in (steered.sends if steered is not None else None, self._writes) if way is not None]
        self._receive_errors = 0
        self._send_errors = 0

    @property
    def free(self) -> int:
        """Pairs of ports not in use."""
        return len(self._free)

    @property
    def receive_errors(self) -> int:
        """Reads that the network answered with an error, most often because a peer's port has closed."""
        settled = 0 if self._settled is None else self._settled.receive_errors
        return self._receive_errors + self._singly.errors + settled

    @property
    def send_errors(self) -> int:
        """Writes that the network refused."""
        return self._send_errors + sum(way.errors for way in self._ways)

    def counts(self) -> dict[str, int]:
        """What went wrong since the beginning, as a plane tells it."""
        return {"send_errors": self.send_errors, "excess": 0 if self._steered is None else self._steered.excess}

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
                    pair = _Pair(slot, address, port, *bind_pair(address, port))
                except OSError:
                    taken.append(port)
                    continue
                self._enter(pair)
                return port
        finally:
            self._free += taken
        raise PortsExhausted(f"no pair of RTP ports free on {address}")

    def _enter(self, pair: _Pair) -> None:
        slot = pair.slot
        self._pairs[slot] = pair
        self._in_use.add(pair.port)
        self._sends += [_send_nowhere] * (slot + 1 - len(self._sends))
        self._singly.add(pair.rtp, slot, self._judging(pair))
        self._rtcp_slots[pair.rtcp.fileno()] = slot
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
            self._let_go(pair)
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
        if pair.connected:
            self._let_go(pair)
        self._singly.remove(pair.rtp)
        self._rtcp_epoll.unregister(pair.rtcp)
        del self._rtcp_slots[pair.rtcp.fileno()]
        self._sends[slot] = _send_nowhere
        pair.rtp.close()
        pair.rtcp.close()
        self._free.append(pair.port)

    def close_all(self) -> None:
        """Close everything, the epoll sets too."""
        for slot in list(self._pairs):
            self.close(slot)
        self._singly.close()
        self._rtcp_epoll.close()
        if self._calls is not None:
            self._calls.close()
        if self._steered is not None:
            self._steered.close()

    def _pair(self, slot: int) -> _Pair:
        try:
            return self._pairs[slot]
        except KeyError:
            raise MisuseError(f"slot {slot} has no ports") from None

    # --- in ----------------------------------------------------------------------------------------------------------
    def drain(self, now: float) -> Drained:
        """Read what has come."""
        self._now = now
        drained = _NOTHING
        if self._settled is not None and len(self._settled):
            self._block.reserve(ROWS_PER_SOCKET * len(self._settled))
            drained = self._settled.receive(self._block.octets, now)
        if self._steered is not None and len(self._steered):
            drained = self._block.extend(drained, self._steered.receive())
        return self._singly.drain(drained) if len(self._singly) else drained

    @property
    def unread(self) -> bool:
        """Whether the last drain left something for `drain_more`."""
        settled, steered = self._settled, self._steered
        return settled is not None and settled.unread or steered is not None and steered.unread

    def drain_more(self) -> Drained:
        """Read what the last drain had no room for."""
        drained = _NOTHING
        if self._settled is not None and self._settled.unread:
            drained = self._settled.receive_more(self._block.octets)
        if self._steered is not None and self._steered.unread:
            drained = self._block.extend(drained, self._steered.receive())
        return drained

    def hold(self, drained: Drained) -> Drained:
        """What was drained here in rows of our own, one after the other."""
        return self._block.hold(drained)

    def extend(self, drained: Drained, more: Drained) -> Drained:
        """What was drained here, and behind it more from elsewhere."""
        return self._block.extend(drained, more)

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
        """Take no other source any more; what came before, from whomever, is judged here, for the kernel no longer does
        it."""
        pair.steered = self._steer(pair, address)
        if not pair.steered:
            try:
                pair.rtp.connect(address)
            except OSError:
                self._receive_errors += 1
                return
        pair.connected = True
        if pair.steered or self._settled is not None:
            self._singly.remove(pair.rtp)
        else:
            self._singly.read_by(pair.rtp, pair.rtp.recv_into)
        if not pair.steered and self._settled is not None and self._writes is not None:
            self._settled.add(pair.slot, pair.rtp.fileno())
            self._writes.add(pair.slot, pair.rtp.fileno())
        self._sends[pair.slot] = _sender_to(pair.rtp, address) if pair.steered else pair.rtp.send
        if pair.remote is None or pair.remote[:2] != address[:2]:
            pair.rtcp_to = (address[0], address[1] + 1) if address[1] < 65535 else None
        self._judge_queued(pair)
        if pair.steered:
            close_ears(pair.rtp)

    def _steer(self, pair: _Pair, address: tuple) -> bool:
        """Let what comes from this source, and what goes there, pass by the sockets that all share, if that can be."""
        if self._steered is None or pair.rtp.family != socket.AF_INET or pair.address == "0.0.0.0":
            return False
        try:
            self._steered.add(pair.slot, (pair.address, pair.port), address)
        except OSError:
            return False
        return True

    def _judge_queued(self, pair: _Pair) -> None:
        for _ in range(MOST_QUEUED):
            try:
                datagram, source = pair.rtp.recvfrom(ROW)
            except BlockingIOError:
                return
            except OSError:
                self._receive_errors += 1
                continue
            if self._streams.source_of(pair.slot, source, datagram, self._now) is not Verdict.DROP:
                self._singly.put(pair.slot, datagram)

    def _let_go(self, pair: _Pair) -> None:
        """Take datagrams from anyone again."""
        pair.connected = False
        if pair.steered and self._steered is not None:
            self._steered.remove(pair.slot)
            open_ears(pair.rtp)
        else:
            disconnect(pair.rtp)
        if pair.steered or self._settled is not None:
            self._singly.add(pair.rtp, pair.slot, self._judging(pair))
        else:
            self._singly.read_by(pair.rtp, self._judging(pair))
        if not pair.steered and self._settled is not None and self._writes is not None:
            self._settled.remove(pair.slot)
            self._writes.remove(pair.slot)
        pair.steered = False

    def drain_rtcp(self, now: float) -> list[tuple[int, bytes]]:
        """What has come to the RTCP ports from the legs' own peers, as (slot, datagram); bounded, the rest waits."""
        self._now = now
        found = []
        for fd, _event in self._rtcp_epoll.poll(0, RTCP_LEGS):
            slot = self._rtcp_slots[fd]
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
        for way in self._ways:
            slots, packets = way.send(slots, packets)
            if not slots:
                return
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
            elif pair.rtcp_to is None:
                return
            elif pair.steered and self._steered is not None and len(datagram) <= MOST_OCTETS:
                self._steered.sends.send_one((pair.address, pair.port + 1), pair.rtcp_to, datagram)
            else:
                pair.rtcp.sendto(datagram, pair.rtcp_to)
        except OSError:
            self._send_errors += 1


def _open_calls() -> BatchCalls | None:
    """Batched reading and writing, or None where the system has no calls for it."""
    try:
        return BatchCalls()
    except OSError:
        return None


def _sender_to(rtp: socket.socket, address: Address) -> Callable[[memoryview], int]:
    sendto = rtp.sendto
    return lambda packet: sendto(packet, address)


def _send_nowhere(packet: memoryview) -> int:
    return 0
