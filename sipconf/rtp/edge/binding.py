"""Binding a leg's two sockets, or the one that many legs share, letting them go from a peer, and which addresses they
can reach at all.

Not here: who has which ports (ports) and whom a leg believes (latching).
"""

import contextlib
import ctypes
import errno
import ipaddress
import socket
import struct

from sipconf.rtp.latching import Address

RECEIVE_BUFFER, SMALL_BUFFER = 8 << 20, 1 << 20
"""Octets asked for the receive buffer of a shared socket, and those below which a burst of a few hundred legs' packets
does not fit: the kernel counts some 800 octets for each."""
_SO_ATTACH_FILTER, _SO_DETACH_FILTER, _SO_RCVBUFFORCE = 26, 27, 33  # of Linux; the socket module does not name them
_GET_NOTHING = struct.pack("=HBBI", 6, 0, 0, 0)
"""A filter of one instruction: keep 0 octets of every packet."""


def bind_pair(address: str, port: int) -> tuple[socket.socket, socket.socket]:
    """RTP on an even port and RTCP on the next, non-blocking; or OSError and neither."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    bound: list[socket.socket] = []
    try:
        for number in (port, port + 1):
            one = socket.socket(family, socket.SOCK_DGRAM)
            bound.append(one)
            one.setblocking(False)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            one.bind((address, number))
    except OSError:
        for one in bound:
            one.close()
        raise
    return bound[0], bound[1]


def bind_shared(port: int) -> socket.socket:
    """A non-blocking socket on this port of all addresses, IPv4 and IPv6 where the system has both. Raises OSError."""
    try:
        one = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    except OSError:  # a kernel without IPv6
        return _bind_all(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), "0.0.0.0", port)
    try:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        return _bind_all(one, "::", port)
    except OSError as error:
        one.close()
        if error.errno == errno.EADDRINUSE:
            raise
    return _bind_all(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), "0.0.0.0", port)  # IPv6 is switched off


def _bind_all(one: socket.socket, host: str, port: int) -> socket.socket:
    try:
        one.setblocking(False)
        one.bind((host, port))
    except OSError:
        one.close()
        raise
    return one


def enlarge_buffer(one: socket.socket) -> int:
    """Ask for a receive buffer that holds some ticks of all legs; octets that it has now, as the kernel counts them."""
    for option in (_SO_RCVBUFFORCE, socket.SO_RCVBUF):
        with contextlib.suppress(OSError):  # the first needs privilege and goes over the system's limit
            one.setsockopt(socket.SOL_SOCKET, option, RECEIVE_BUFFER)
            break
    return one.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)


def reachable(address: Address | None, family: int) -> Address | None:
    """The address as a socket of the family sends to it; None for a name (looking it up would stop the tick), for a
    group (one packet, many receivers) and for another family."""
    if address is None or not 0 < address[1] < 65536:
        return None
    try:
        host = ipaddress.ip_address(address[0].partition("%")[0])
    except ValueError:
        return None
    if host.is_multicast or host.is_unspecified or str(host) == "255.255.255.255":
        return None
    if family == socket.AF_INET:
        return address if host.version == 4 else None
    return (f"::ffff:{host}", address[1]) if host.version == 4 else address


def close_ears(one: socket.socket) -> None:
    """Let a socket keep its port and get nothing."""
    program = ctypes.create_string_buffer(_GET_NOTHING)
    one.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", 1, ctypes.addressof(program)))


def open_ears(one: socket.socket) -> None:
    """Let it get what is sent to it."""
    one.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)


def is_own(host: str) -> bool:
    """Whether an address literal is one of this machine's: only those can be bound."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as one:
        try:
            one.bind((host, 0))
        except (OSError, UnicodeError):
            return False
        return True


def disconnect(rtp: socket.socket) -> None:
    """Take datagrams from anyone again, on the same port: connect(2) to AF_UNSPEC, which Python has no word for."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.connect(rtp.fileno(), bytes(16), 16)
