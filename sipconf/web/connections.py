"""The connections of the HTTP server: how many there may be, in all and from one source.

They are counted where they are made, so one that never asks for anything counts too. Where no more fit, those that are
not being answered make room; a request that is being answered, an event stream say, stays. Who takes a connection over
for SIP (sip/edge/websocket) counts it himself.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from aiohttp import web

from sipconf.sip.crowd import Crowd
from sipconf.sip.flow import network_of
from sipconf.sip.trunk import normal_address

log = logging.getLogger(__name__)

CONNECTIONS = 4096
CONNECTIONS_OF_ONE_SOURCE = 512
LINGER_SECONDS = 2.0  # for the rest of a request that was answered before it had all come

Trusts = Callable[[str], bool]
"""Is this address that of a reverse proxy of ours?"""


def crowd() -> Crowd:
    """Room for a web server's connections. Handshakes of TLS have a time (app) and are no connections yet."""
    return Crowd(CONNECTIONS, CONNECTIONS_OF_ONE_SOURCE, handshakes=0)


class Connection(web.RequestHandler):
    """One of them; a Guest of the crowd."""

    __slots__ = ("_crowd", "_trusts", "source")

    def __init__(self, server: web.Server, crowd: Crowd, trusts: Trusts, **settings: Any) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), lingering_time=LINGER_SECONDS, **settings)
        self._crowd = crowd
        self._trusts = trusts
        self.source = ""

    @property
    def is_used(self) -> bool:
        return self._request_in_progress

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        remote = transport.get_extra_info("peername") or ("", 0)
        host, port = normal_address(remote[0]) or remote[0], remote[1]
        # Behind a proxy of ours there are many clients, and each of its connections is another's
        self.source = f"{host}:{port}" if self._trusts(host) else network_of(host)
        if self._crowd.enter(self, shaking=False):
            super().connection_made(transport)
        else:
            log.info("no room for an HTTP connection of %s", host)
            transport.abort()

    def data_received(self, data: bytes) -> None:
        self._crowd.spoke(self)
        super().data_received(data)

    def set_parser(self, *args: Any, **how: Any) -> None:
        """Somebody takes the connection over."""
        self._crowd.leave(self)
        super().set_parser(*args, **how)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._crowd.leave(self)
        if self.transport is not None:  # else it was never let in
            super().connection_lost(exc)

    def abort(self, reason: str) -> None:
        """Closes at once."""
        log.info("dropping an HTTP connection of %s: %s", self.source, reason)
        if self.transport is not None:
            self.transport.abort()
