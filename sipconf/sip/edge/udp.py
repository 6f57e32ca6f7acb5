"""SIP over UDP: one socket per listener, datagrams in and out (RFC 3261 section 18)."""

import asyncio
import logging
import socket
from collections.abc import Callable

from sipconf.sip.edge.sockets import native_address, plain_address
from sipconf.sip.flow import Flow

log = logging.getLogger(__name__)


class UdpListener(asyncio.DatagramProtocol):
    """Hands every datagram that is no mere keep-alive to `receive`."""

    def __init__(self, sock: socket.socket, receive: Callable[[bytes, Flow], None]) -> None:
        self._socket = sock
        self._receive = receive
        self._transport: asyncio.BaseTransport | None = None
        self.family = sock.family
        self.local = plain_address(sock.getsockname())
        self.any_family = (
            sock.family == socket.AF_INET6 and not sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
        )

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self, sock=self._socket)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
        else:
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

    # --- asyncio's side --------------------------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple) -> None:
        if data.strip(b"\r\n\0 "):  # otherwise it only keeps a NAT open (RFC 5626 section 3.5 names CRLF for streams)
            self._receive(data, Flow("udp", plain_address(addr), self.local))

    def error_received(self, exc: Exception) -> None:
        log.info("UDP on %s:%s: %s", *self.local, exc)
