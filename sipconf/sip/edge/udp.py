"""SIP over UDP: one socket per listener, datagrams in and out (RFC 3261 section 18).

Datagrams are read a few at a time, and then the loop sees to everything else: what a flood has more to say waits in the
kernel, which drops it when its buffer is full.
"""

import asyncio
import logging
import socket
from collections.abc import Callable

from sipconf.sip.edge.sockets import native_address, plain_address
from sipconf.sip.edge.turns import PORTION
from sipconf.sip.flow import Flow

log = logging.getLogger(__name__)

LARGEST_DATAGRAM = 65536
DATAGRAMS_A_TURN = 64


class UdpListener:
    """Hands every datagram that is no mere keep-alive to `receive`, for at most PORTION seconds at a time by `now`."""

    def __init__(
        self, sock: socket.socket, receive: Callable[[bytes, Flow], None], now: Callable[[], float]
    ) -> None:
        self._socket = sock
        self._receive = receive
        self._now = now
        self._buffer = bytearray(LARGEST_DATAGRAM)
        self._view = memoryview(self._buffer)
        self._loop: asyncio.AbstractEventLoop | None = None
        self.family = sock.family
        self.local = plain_address(sock.getsockname())
        self.any_family = (
            sock.family == socket.AF_INET6 and not sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
        )

    def start(self) -> None:
        """Reads from now on."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self._read)

    def close(self) -> None:
        if self._loop is not None:
            self._loop.remove_reader(self._socket.fileno())
        self._socket.close()

    def reaches(self, host: str) -> bool:
        """Can this socket send to an address of that family?"""
        if ":" in host:
            return self.family == socket.AF_INET6
        return self.family == socket.AF_INET or self.any_family

    def send(self, flow: Flow, data: bytes) -> bool:
        """False where the kernel knows no way there. A full buffer drops the datagram: SIP sends it again."""
        try:
            self._socket.sendto(data, native_address(flow.remote, self.family))
        except BlockingIOError:
            log.warning("UDP send buffer of %s:%s is full: a datagram is dropped", *self.local)
        except OSError as error:
            log.info("cannot send to %s:%s: %s", *flow.remote, error)
            return False
        return True

    def _read(self) -> None:
        end = self._now() + PORTION
        for _ in range(DATAGRAMS_A_TURN):
            try:
                length, address = self._socket.recvfrom_into(self._buffer)
            except BlockingIOError:
                return
            except OSError as error:  # an earlier datagram of ours was refused
                if self._socket.fileno() < 0:  # closed by what the last datagram brought about
                    return
                log.info("UDP on %s:%s: %s", *self.local, error)
                continue
            data = bytes(self._view[:length])
            # Otherwise it only keeps a NAT open (RFC 5626 section 3.5 names CRLF for streams)
            if data.strip(b"\r\n\0 "):
                self._receive(data, Flow("udp", plain_address(address), self.local))
            if self._now() >= end:
                return
