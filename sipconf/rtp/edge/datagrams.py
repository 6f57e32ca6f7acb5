"""Many datagrams of one socket with one system call: recvmmsg and sendmmsg through ctypes on NumPy-laid-out headers.

An address is the socket's own: the octets of a sockaddr_in6, or of a sockaddr_in and zeros behind it, comparable as
they are. Not here: whose datagrams they are (shared_port).
"""

import ctypes
import ipaddress
import socket
import struct
import sys
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sipconf.rtp.packet import ROW
from sipconf.rtp.stun import Address

NAME_BYTES = 28
"""Octets of a sockaddr_in6, the longer of the two."""
_NAME = np.dtype(f"V{NAME_BYTES}")
_IPV4_NAME_BYTES = 16
_TRUNCATED = 0x20  # MSG_TRUNC: the datagram was longer than its row
_MAPPED = bytes(10) + b"\xff\xff"
_IP_RECVORIGDSTADDR, _IPV6_RECVORIGDSTADDR = 20, 74  # of Linux; the socket module does not name them
_CONTROL_HEADER_BYTES, _CONTROL_BYTES = 16, 48
"""Octets of a struct cmsghdr, and of one with a sockaddr_in6 behind it."""
_REMEMBERED = 4096
"""Addresses whose other form is kept: every leg's comes again with each of its checks, and taking addresses apart is
half of what a check costs."""

_PIECE = np.dtype([("base", "u8"), ("len", "u8")])  # struct iovec
_HEADER = np.dtype(
    [
        ("name", "u8"), ("name_len", "u4"), ("", "u4"), ("pieces", "u8"), ("piece_count", "u8"), ("control", "u8"),
        ("control_len", "u8"), ("flags", "i4"), ("_", "u4"), ("len", "u4"), ("__", "u4"),
    ]
)  # fmt: skip
"""struct mmsghdr of 64-bit Linux."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.recvmmsg.restype = _libc.sendmmsg.restype = ctypes.c_int
_libc.sendto.restype = ctypes.c_ssize_t
_libc.recvmmsg.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p]
_libc.sendmmsg.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int]
_libc.sendto.argtypes = [
    ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint,
]  # fmt: skip


class _Headers:
    """One header and one piece, or several, for each of so many datagrams."""

    def __init__(self, count: int, pieces_each: int = 1) -> None:
        self._pieces = np.zeros(count * pieces_each, _PIECE)
        self._headers = np.zeros(count, _HEADER)
        step = np.uint64(_PIECE.itemsize * pieces_each)
        self._headers["pieces"] = self._pieces.ctypes.data + np.arange(count, dtype=np.uint64) * step
        self._headers["piece_count"] = pieces_each
        self._place = self._headers.ctypes.data

    def _send(self, fd: int, count: int) -> int:
        """Send the first count; how many the network refused."""
        done = refused = 0
        while done < count:
            sent = _libc.sendmmsg(fd, self._place + done * _HEADER.itemsize, count - done, 0)
            if sent <= 0:  # the first of these cannot be sent; the others may
                refused += 1
                sent = 1
            done += sent
        return refused


class Inbox(_Headers):
    """Room for so many datagrams. block: uint8 (rows, ROW); lengths: of what came, -1 of what was too long."""

    def __init__(self, rows: int) -> None:
        super().__init__(rows)
        self._rows = rows
        self.block = np.zeros((rows, ROW), np.uint8)
        self._names = np.zeros((rows, NAME_BYTES), np.uint8)
        places = np.arange(rows, dtype=np.uint64)
        self._pieces["base"] = self.block.ctypes.data + places * ROW
        self._pieces["len"] = ROW
        self._headers["name"] = self._names.ctypes.data + places * NAME_BYTES
        self._keys = self._names.view(_NAME)[:, 0]
        self.lengths = np.zeros(0, np.int64)

    def receive(self, fd: int) -> int:
        """Read what waits in a non-blocking socket; how many datagrams."""
        self._headers["name_len"] = NAME_BYTES
        count = _libc.recvmmsg(fd, self._place, self._rows, socket.MSG_DONTWAIT, None)
        if count <= 0:  # nothing, or an error of an earlier send, which its caller has not waited for
            return 0
        self.lengths = self._headers["len"][:count].astype(np.int64)
        truncated = self._headers["flags"][:count] & _TRUNCATED
        if np.count_nonzero(truncated):
            self.lengths[truncated != 0] = -1
        return count

    def sources(self, count: int) -> list[bytes]:
        """Where the first count datagrams came from."""
        return self._keys[:count].tolist()


class PortInbox(_Headers):
    """Room for so many datagrams of a socket that gets what was sent to many ports, from sources that are known to be
    good. block: uint8 (rows, ROW); of what came, lengths: of that much, ROW also of what was longer; ports: where it
    was sent to."""

    def __init__(self, rows: int) -> None:
        super().__init__(rows)
        self.rows = rows
        self.block = np.zeros((rows, ROW), np.uint8)
        control = np.zeros((rows, _CONTROL_BYTES), np.uint8)
        places = np.arange(rows, dtype=np.uint64)
        self._pieces["base"] = self.block.ctypes.data + places * ROW
        self._pieces["len"] = ROW
        self._headers["control"] = control.ctypes.data + places * _CONTROL_BYTES
        self._room = self._headers["control_len"]
        self._room[:] = _CONTROL_BYTES
        # Of both families' addresses the port stands at the same place.
        self._all_ports = np.ndarray(rows, ">u2", control, _CONTROL_HEADER_BYTES + 2, (_CONTROL_BYTES,))
        self._all_lengths = self._headers["len"]
        self.ports, self.lengths = self._all_ports[:0], np.zeros(0, np.int64)

    @staticmethod
    def prepare(one: socket.socket) -> None:
        """Let this socket tell where each of its datagrams was sent to."""
        one.setsockopt(socket.IPPROTO_IP, _IP_RECVORIGDSTADDR, 1)
        if one.family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVORIGDSTADDR, 1)

    def receive(self, fd: int) -> int:
        """Read what waits in a non-blocking socket; how many datagrams."""
        count = max(0, _libc.recvmmsg(fd, self._place, self.rows, socket.MSG_DONTWAIT, None))
        self._room[:count] = _CONTROL_BYTES  # the kernel has written how much it needed
        self.ports, self.lengths = self._all_ports[:count], self._all_lengths[:count].astype(np.int64)
        return count


class Outbox(_Headers):
    """Sends to addresses kept by slot. errors: what the network refused."""

    def __init__(self, family: int, capacity: int = 64) -> None:
        super().__init__(capacity)
        self._capacity = capacity
        self._name_bytes = NAME_BYTES if family == socket.AF_INET6 else _IPV4_NAME_BYTES
        self._names = np.zeros((capacity, NAME_BYTES), np.uint8)
        self.errors = 0

    def aim(self, slot: int, name: bytes) -> None:
        """What is sent for this slot goes there."""
        if slot >= len(self._names):
            self._names = np.concatenate([self._names, np.zeros((slot + 1, NAME_BYTES), np.uint8)])
        self._names[slot] = np.frombuffer(name, np.uint8)

    def send(self, fd: int, slots: NDArray[np.intp], places: NDArray[np.uint64], lengths: NDArray[np.integer]) -> None:
        """One datagram for each of the slots, all aimed: places, lengths of their octets in memory."""
        count = len(slots)
        if count > self._capacity:
            self._capacity = 2 * count
            super().__init__(self._capacity)
        headers = self._headers[:count]
        headers["name"] = self._names.ctypes.data + slots.astype(np.uint64) * np.uint64(NAME_BYTES)
        headers["name_len"] = self._name_bytes
        self._pieces["base"][:count] = places
        self._pieces["len"][:count] = lengths
        self.errors += self._send(fd, count)

    def send_one(self, fd: int, name: bytes, data: bytes) -> None:
        """One datagram to an address."""
        if _libc.sendto(fd, data, len(data), 0, name, self._name_bytes) < 0:
            self.errors += 1


class RawBatch(_Headers):
    """Prepared sends of whole IPv4 packets, each a header and a payload that stand in different places.

    names: uint8 (N, NAME_BYTES), `packed` hosts that they go to; heads: uint8 (N, octets); both are kept. payloads:
    addresses of the octets behind them."""

    def __init__(self, names: NDArray[np.uint8], heads: NDArray[np.uint8], payloads: NDArray[np.uint64]) -> None:
        count = len(names)
        super().__init__(count, 2)
        self._count, self._heads, self._names = count, heads, names
        places = np.arange(count, dtype=np.uint64)
        self._headers["name"] = self._names.ctypes.data + places * NAME_BYTES
        self._headers["name_len"] = _IPV4_NAME_BYTES
        self._pieces["base"][::2] = heads.ctypes.data + places * heads.strides[0]
        self._pieces["len"][::2] = heads.shape[1]
        self._pieces["base"][1::2] = payloads
        self.sizes = self._pieces["len"][1::2]

    def send(self, fd: int) -> int:
        """Send them all, of every payload as many octets as sizes says; how many the network refused."""
        return self._send(fd, self._count)


@lru_cache(_REMEMBERED)
def packed(address: Address, family: int) -> bytes:
    """An address (IPv4 or IPv6 literal, port) as a socket of the family has it. Raises ValueError for any other."""
    literal, _, scope = address[0].partition("%")
    host = ipaddress.ip_address(literal)
    if family == socket.AF_INET:
        if host.version != 4:
            raise ValueError(f"{host} cannot be reached from an IPv4 socket")
        return (struct.pack("=H", family) + struct.pack("!H", address[1]) + host.packed).ljust(NAME_BYTES, b"\0")
    octets = _MAPPED + host.packed if host.version == 4 else host.packed
    number = int(scope) if scope.isdigit() else 0
    return struct.pack("=H", family) + struct.pack("!HI", address[1], 0) + octets + struct.pack("=I", number)


@lru_cache(_REMEMBERED)
def unpacked(name: bytes, family: int) -> Address:
    """The address (host, port) of those octets; an IPv4-mapped host as IPv4."""
    port = int.from_bytes(name[2:4])
    if family == socket.AF_INET:
        return str(ipaddress.IPv4Address(name[4:8])), port
    octets, scope = name[8:24], int.from_bytes(name[24:28], sys.byteorder)
    if octets[:12] == _MAPPED:
        return str(ipaddress.IPv4Address(octets[12:])), port
    return str(ipaddress.IPv6Address(octets)) + (f"%{scope}" if scope else ""), port
