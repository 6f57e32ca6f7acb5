"""Binding a leg's two sockets, letting them go from a peer, and which addresses they can reach at all.

Not here: who has which ports (ports) and whom a leg believes (latching).
"""

import ctypes
import ipaddress
import socket

from sipconf.rtp.latching import Address


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
