"""One socket for what many ports get from the peers they have settled on: the kernel is told which packets these are.

A program at the kernel's socket lookup (BPF sk_lookup, Linux 5.9) asks a table for each packet's addresses. What is
found goes to the one socket, whatever socket the port has; everything else goes where it would have gone. Only who
may load such a program (CAP_BPF and CAP_NET_ADMIN) can have it; who may not is told by OSError. Not here: whom a leg
believes (latching), and whose the packets are (steered).
"""

import errno
import os
import socket
import struct
import sys

from sipconf.rtp.edge import bpf
from sipconf.rtp.edge.bpf import Label, Map
from sipconf.rtp.edge.datagrams import packed
from sipconf.rtp.latching import Address

BUFFER_BYTES = 32 << 20
"""Of the one socket: what thousands of legs bring while this process stands still for a quarter of a second."""
_SO_RCVBUFFORCE = 33  # of Linux; the socket module does not name it
_KEY = struct.Struct("=I2s2x16s16s")  # port here, port there in network order, host here, host there, both as IPv6
_MAPPED = int.from_bytes(b"\0\0\xff\xff", sys.byteorder, signed=True)  # before an IPv4 address in IPv6, behind zeros
_UDP = 17
_FAMILY, _PROTOCOL, _REMOTE_PORT, _LOCAL_PORT = 8, 12, 36, 60
_IP4, _IP6 = (40, 16), (44, 20)
"""Where struct bpf_sk_lookup has them; of each kind of address ours and theirs."""
_FIRST_ENTRY = bytes(4)


class Steering:
    """Steers packets to ports first to last of this network. socket: where they come out, non-blocking."""

    def __init__(self, first: int, last: int) -> None:
        self.socket = _unreachable_socket()
        opened: list[Map] = []
        try:
            self._peers = Map(bpf.HASH, _KEY.size, 4, last + 1 - first)
            opened.append(self._peers)
            one = Map(bpf.SOCKETS, 4, 8, 1)
            opened.append(one)
            one.put(_FIRST_ENTRY, struct.pack("=Q", self.socket.fileno()))
            self._link = bpf.attach_to_network(_program(first, last, self._peers, one), b"sipconf_rtp")
        except OSError:
            self.socket.close()
            for each in opened:
                each.close()
            raise
        one.close()

    def add(self, local: Address, peer: Address) -> None:
        """From now on what this peer sends to this address comes out of the one socket. Raises OSError."""
        self._peers.put(_key(local, peer), bytes(4))

    def remove(self, local: Address, peer: Address) -> None:
        """Not any more."""
        self._peers.remove(_key(local, peer))

    def close(self) -> None:
        """Everything goes again where it would go."""
        os.close(self._link)
        self._peers.close()
        self.socket.close()


def _unreachable_socket() -> socket.socket:
    """A socket for IPv4 and IPv6 where the system has both, on an address to which nobody elsewhere can send."""
    try:
        return _bound(socket.AF_INET6, "::ffff:127.0.0.1")
    except OSError as error:
        if error.errno == errno.EPERM:
            raise
        return _bound(socket.AF_INET, "127.0.0.1")  # a kernel without IPv6


def _bound(family: int, host: str) -> socket.socket:
    one = socket.socket(family, socket.SOCK_DGRAM)
    try:
        one.setblocking(False)
        one.bind((host, 0))
        one.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, BUFFER_BYTES)
    except OSError:
        one.close()
        raise
    return one


def _key(local: Address, peer: Address) -> bytes:
    here, there = (packed(address[:2], socket.AF_INET6) for address in (local, peer))
    return _KEY.pack(local[1], there[2:4], here[8:24], there[8:24])


def _program(first: int, last: int, peers: Map, one: Map) -> bytes:
    """Give a packet to the one socket if its addresses are in the table; registers as the kernel's calls have
    them: arguments in 1 to 5, of which nothing is left afterwards, the answer in 0, the stack below 10."""
    key, index, packet = -_KEY.size, -_KEY.size - 4, 6
    hosts = key + 8, key + 24
    ordinary, six, look = Label(), Label(), Label()
    return bpf.assemble([
        bpf.copy(packet, 1),
        bpf.load(2, packet, _PROTOCOL),
        bpf.jump_if(2, "!=", _UDP, ordinary),
        bpf.load(2, packet, _LOCAL_PORT),
        bpf.jump_if(2, "<", first, ordinary),
        bpf.jump_if(2, ">", last, ordinary),
        bpf.store(10, key, 2),
        bpf.load(2, packet, _REMOTE_PORT, 2),
        bpf.store(10, key + 4, 2),
        bpf.load(2, packet, _FAMILY),
        bpf.jump_if(2, "!=", socket.AF_INET, six),
        *(part for host, there in zip(hosts, _IP4, strict=True) for part in (
            bpf.store_value(10, host, 0),
            bpf.store_value(10, host + 4, 0),
            bpf.store_value(10, host + 8, _MAPPED),
            bpf.load(2, packet, there),
            bpf.store(10, host + 12, 2),
        )),
        bpf.jump(look),
        six,
        *(part for host, there in zip(hosts, _IP6, strict=True) for word in range(0, 16, 4)
          for part in (bpf.load(2, packet, there + word), bpf.store(10, host + word, 2))),
        look,
        bpf.load_map(1, peers.fd),
        bpf.copy(2, 10),
        bpf.add(2, key),
        bpf.call(bpf.MAP_LOOKUP),
        bpf.jump_if(0, "==", 0, ordinary),
        bpf.store_value(10, index, 0),
        bpf.load_map(1, one.fd),
        bpf.copy(2, 10),
        bpf.add(2, index),
        bpf.call(bpf.MAP_LOOKUP),
        bpf.jump_if(0, "==", 0, ordinary),
        bpf.copy(7, 0),
        bpf.copy(1, packet),
        bpf.copy(2, 7),
        bpf.put(3, 0),
        bpf.call(bpf.SK_ASSIGN),
        bpf.copy(1, 7),
        bpf.call(bpf.SK_RELEASE),
        ordinary,
        bpf.put(0, 1),  # SK_PASS
        bpf.leave(),
    ])  # fmt: skip
