"""Listening sockets and the spelling of their peers' addresses. Knows no SIP."""

import contextlib
import errno
import os
import socket
import sys
from dataclasses import dataclass

from sipconf.errors import StartError
from sipconf.sip.flow import Address
from sipconf.sip.trunk import normal_address

UDP_RECEIVE_BUFFER = 4 << 20  # bytes asked for; a burst of requests waits here while one is worked on
SO_RCVBUFFORCE = 33           # Linux: more than net.core.rmem_max allows, for those with the right to it
BACKLOG = 1024            # connections that may wait to be taken; all of them are taken in one go


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """One entry of `[sip] listen`, taken apart."""

    transport: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.transport}://{host}:{self.port}"


def parse_listen(url: str) -> ListenAddress:
    """"tcp://[::]:5060" to its parts. Raises StartError."""
    transport, separator, rest = url.partition("://")
    host, colon, port = rest.rpartition(":")
    if not separator or not colon or not port.isdecimal() or int(port) > 65535:
        raise StartError(f"cannot listen on {url}: write it like udp://0.0.0.0:5060")
    if transport not in ("udp", "tcp", "tls"):
        raise StartError(f"cannot listen on {url}: {transport} is not available; use udp://, tcp:// or tls://")
    return ListenAddress(transport, host.removeprefix("[").removesuffix("]"), int(port))


def open_listener(address: ListenAddress, *, v6_only: bool) -> socket.socket:
    """A bound socket, listening where it is a stream's. Raises StartError with the reason in plain words."""
    kind = socket.SOCK_DGRAM if address.transport == "udp" else socket.SOCK_STREAM
    sock = None
    try:
        family, _, _, _, target = socket.getaddrinfo(address.host, address.port, type=kind, flags=socket.AI_PASSIVE)[0]
        sock = socket.socket(family, kind)
        sock.setblocking(False)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(v6_only))
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            _ask_for_room(sock)
        sock.bind(target)
        if kind == socket.SOCK_STREAM:
            sock.listen(BACKLOG)
    except OSError as error:
        if sock is not None:
            sock.close()
        raise StartError(f"cannot listen on {address}: {_why(error)}") from error
    return sock


def _ask_for_room(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UDP_RECEIVE_BUFFER)  # as much as everybody may have
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # without the right to more that is what it stays at
            sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, UDP_RECEIVE_BUFFER)


def plain_address(name: tuple) -> Address:
    """(host, port) of a socket's name: IPv4-mapped as IPv4, a link-local address with its zone."""
    host, port = name[0], name[1]
    if len(name) == 4 and name[3] and "%" not in host:
        return f"{host}%{name[3]}", port
    if host.lower().startswith("::ffff:"):
        return normal_address(host) or host, port
    return host, port


def native_address(address: Address, family: int) -> tuple:
    """What a socket of this family wants to hear for a plain address. Raises OSError for an unknown zone."""
    host, port = address
    if family == socket.AF_INET:
        return host, port
    if ":" not in host:
        return f"::ffff:{host}", port, 0, 0
    host, _, zone = host.partition("%")
    scope = 0
    if zone:
        scope = int(zone) if zone.isdecimal() else socket.if_nametoindex(zone)
    return host, port, 0, scope


def keep_alive(sock: socket.socket) -> None:
    """Lets the kernel find out about peers that vanished (in about two minutes), and sends small messages at once."""
    with contextlib.suppress(OSError):  # the peer may be gone already; then the loop reports it
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
            if hasattr(socket, option):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def _why(error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return "address already in use; stop the other program or choose another port"
        case errno.EACCES:
            return "permission denied; choose a port of 1024 or more or grant the right to bind it"
        case errno.EADDRNOTAVAIL:
            return "this machine has no such address; 0.0.0.0 and [::] mean all of its addresses"
    return (os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)).lower()
