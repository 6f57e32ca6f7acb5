"""What legs are sent through one raw socket, each packet from the leg's own port: one call for all of them.

A socket for each call has to be looked after by the kernel even if it only sends. Who may open raw sockets
(CAP_NET_RAW) writes the headers itself; who may not is told by OSError. IPv4 alone. Not here: which legs (steered),
what headers are (udp).
"""

import socket
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sipconf.rtp.edge.datagrams import NAME_BYTES, RawBatch, packed
from sipconf.rtp.edge.plans import Plans, some_of
from sipconf.rtp.edge.writes import places_of
from sipconf.rtp.latching import Address
from sipconf.rtp.transmit import Packets
from sipconf.rtp.udp import HEADERS_BYTES, UdpHeaders, datagram, headers, padded

MOST_OCTETS = 1500 - HEADERS_BYTES
"""Of a packet that fits an Ethernet frame; a longer one would need fragments, which a raw socket does not make."""
BUFFER_BYTES, SMALLEST_BYTES = 8 << 20, 1
_SO_SNDBUFFORCE = 32  # of Linux; the socket module does not name it
_NONE = -1


@dataclass(slots=True, eq=False)
class _Group:
    """What leaves from one address of ours. octets: of the packets, in rows of whole words, where these are always the
    same rows."""

    fd: int
    packets: Sequence[memoryview]
    headers: UdpHeaders
    batch: RawBatch
    sizes: NDArray[np.int64]
    octets: NDArray[np.uint8] | None = None

    def set_sizes(self, sizes: NDArray[np.int64]) -> None:
        """The packets have so many octets, (N,)."""
        self.sizes = self.batch.sizes[:] = sizes
        self.headers.set_sizes(sizes)

    def send(self) -> int:
        """Send them; how many the network refused."""
        octets = self.octets
        if octets is None:
            if isinstance(self.packets, Packets) and self.packets.varies:
                self.set_sizes(self.packets.sizes)
            octets = padded(_octets_of(self.packets), self.sizes)
        self.headers.cover(octets)
        return self.batch.send(self.fd)


@dataclass(slots=True, eq=False)
class _Prepared:
    groups: list[_Group]
    rest: tuple[Sequence[int], Sequence[memoryview]]


class RawSends:
    """Legs by slot. errors: what the network refused."""

    def __init__(self) -> None:
        # One for each address of ours: the kernel then looks for the way from there. It needs privilege now, not with
        # the first call.
        self._sockets: dict[str, socket.socket] = {}
        _open("127.0.0.1").close()
        # By slot: whose socket it is, _NONE where a leg is not sent to from here; headers; where they go.
        self._fds = np.zeros(0, np.int64)
        self._heads = np.zeros((0, HEADERS_BYTES), np.uint8)
        self._names = np.zeros((0, NAME_BYTES), np.uint8)
        self._plans: Plans[_Prepared] = Plans()
        self.errors = 0

    def add(self, slot: int, local: Address, peer: Address) -> None:
        """Send the leg's packets from here to there. Raises OSError."""
        if local[0] not in self._sockets:
            self._sockets[local[0]] = _open(local[0])
        if slot >= len(self._fds):
            self._grow(2 * slot + 1)
        self._fds[slot] = self._sockets[local[0]].fileno()
        self._heads[slot] = np.frombuffer(headers(local, peer), np.uint8)
        self._names[slot] = np.frombuffer(packed((peer[0], 0), socket.AF_INET), np.uint8)
        self._plans.clear()

    def _grow(self, slots: int) -> None:
        old = len(self._fds)
        fds, self._fds = self._fds, np.full(slots, _NONE)
        self._fds[:old] = fds
        for name in ("_heads", "_names"):
            narrow = getattr(self, name)
            setattr(self, name, np.zeros((slots, narrow.shape[1]), np.uint8))
            getattr(self, name)[:old] = narrow

    def remove(self, slot: int) -> None:
        """Not any more."""
        self._fds[slot] = _NONE
        self._plans.clear()

    def close(self) -> None:
        """Nothing more is sent."""
        for one in self._sockets.values():
            one.close()

    def send(
        self, slots: Sequence[int], packets: Sequence[memoryview]
    ) -> tuple[Sequence[int], Sequence[memoryview]]:
        """Send what belongs to these legs; the rest is handed back. Both as `Writes.send` does."""
        known = self._plans.find(slots, packets, lambda: self._prepare(slots, packets))
        for group in known.groups:
            self.errors += group.send()
        return known.rest

    def send_one(self, local: Address, peer: Address, data: bytes) -> None:
        """A single datagram, from any port of an address that legs are sent to from. Raises OSError."""
        self._sockets[local[0]].sendto(datagram(local, peer, data), (peer[0], 0))

    def _prepare(self, slots: Sequence[int], packets: Sequence[memoryview]) -> _Prepared:
        legs = np.array(slots, np.intp)
        fds = np.full(len(legs), _NONE)
        known = legs < len(self._fds)
        fds[known] = self._fds[legs[known]]
        longest = packets.longest if isinstance(packets, Packets) else max(map(len, packets), default=0)
        if longest > MOST_OCTETS:
            fds[:] = _NONE
        groups = []
        for fd in np.unique(fds[fds != _NONE]).tolist():
            mine = np.flatnonzero(fds == fd)
            groups.append(self._group(fd, legs[mine], some_of(packets, mine.tolist())))
        others = np.flatnonzero(fds == _NONE).tolist()
        return _Prepared(groups, ([slots[place] for place in others], some_of(packets, others)))

    def _group(self, fd: int, legs: NDArray[np.intp], packets: Sequence[memoryview]) -> _Group:
        heads, (places, sizes) = UdpHeaders(self._heads[legs]), places_of(packets)
        group = _Group(fd, packets, heads, RawBatch(self._names[legs], heads.octets, places), sizes)
        group.set_sizes(sizes)
        if isinstance(packets, Packets) and packets.in_place and not packets.varies:
            rows = packets.octets()
            words = padded(rows, sizes)
            group.octets = words if np.may_share_memory(words, rows) else None
        return group


def _octets_of(packets: Sequence[memoryview]) -> NDArray[np.uint8]:
    """Packets in rows of whole words."""
    if isinstance(packets, Packets):
        return packets.octets()
    rows = np.zeros((len(packets), -(-max(map(len, packets)) // 4) * 4), np.uint8)
    for row, packet in zip(rows, packets, strict=True):
        row[: len(packet)] = np.frombuffer(packet, np.uint8)
    return rows


def _open(host: str) -> socket.socket:
    """A raw socket that gets nothing: of a protocol that nobody speaks."""
    one = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    try:
        one.setblocking(False)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALLEST_BYTES)
        one.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, BUFFER_BYTES)
        one.bind((host, 0))
    except OSError:
        one.close()
        raise
    return one
