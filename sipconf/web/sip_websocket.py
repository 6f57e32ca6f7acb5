"""The handshake of SIP over WebSocket (RFC 6455 section 4.2, RFC 7118 section 4): on any path, by sub-protocol `sip`.

Administrators type `/ws`, nothing or something else into Odoo, so a request for an upgrade is answered here before
anybody looks at its path. What is said on the connection afterwards is sip/edge/websocket's.
"""

import asyncio
import base64
import hashlib
import logging
from collections.abc import Mapping
from typing import Protocol

from aiohttp import HttpVersion11, web

from sipconf.config import is_loopback
from sipconf.sip.flow import Address
from sipconf.web.api import OPERATIONS
from sipconf.web.door import client_address, comes_by_tls, comes_from_this_machine, our_end
from sipconf.web.problems import Handler, Problem

log = logging.getLogger(__name__)

SUBPROTOCOL = "sip"
VERSION = "13"
ACCEPT_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
KEY_OCTETS = 16


class Peer(Protocol):
    """A connection that was taken over: aiohttp feeds it as a parser. closed: done when it is over."""

    closed: asyncio.Future[None]

    def feed_data(self, data: bytes) -> tuple[bool, bytes]: ...
    def feed_eof(self) -> None: ...


class Carrier(Protocol):
    """Who takes connections over (sip/edge/websocket)."""

    def accept(self, transport: asyncio.Transport, remote: Address, local: Address) -> Peer | None: ...
    def count(self, metric: str) -> None: ...


Carriers = Mapping[str, Carrier]
"""By transport: "ws" and "wss"."""
CARRIERS: web.AppKey[Carriers] = web.AppKey("carriers", Carriers)  # type: ignore[type-abstract]


@web.middleware
async def sip_websocket(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Takes whatever asks for a WebSocket; anything else goes its way."""
    if request.method != "GET" or "websocket" not in _tokens(request, "Upgrade"):
        return await handler(request)
    transport_name = "wss" if comes_by_tls(request) else "ws"
    carrier = request.app[CARRIERS][transport_name]
    try:
        response = _answer(request)
    except Problem as problem:
        carrier.count("websocket_refused")
        log.info("a WebSocket refused to %s: %s", client_address(request), problem.detail)
        raise
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the client is gone")
    # Behind a proxy its port tells the clients of one network apart.
    remote = client_address(request), transport.get_extra_info("peername")[1]
    peer = carrier.accept(transport, remote, our_end(request))
    if peer is None:
        raise Problem(503, "Too many connections are open; try again later.", headers={"Retry-After": "10"})
    try:
        await response.prepare(request)
        request.protocol.set_parser(peer)
        await peer.closed
    finally:
        peer.feed_eof()
    return response


def _answer(request: web.Request) -> web.StreamResponse:
    """101, or raises Problem. Extensions, compression among them, are not taken up."""
    config = request.app[OPERATIONS].config()
    origins = config.http.origins
    origin = request.headers.get("Origin")
    # Browsers always say where their page is from. Where only some pages may come, nobody comes who does not say it.
    if origins and (origin is None or origin.lower() not in {each.lower().rstrip("/") for each in origins}):
        raise Problem(403, f"Pages from {origin or 'nowhere'} may not connect: see [http] origins in the file.")
    seems_local = is_loopback(client_address(request)) and not comes_from_this_machine(request)
    if seems_local and config.example_secret_holders():
        raise Problem(403, "The shipped example's passwords work from this machine only: set others, or name the proxy "
                           "in [http] trusted_proxies.")
    if "upgrade" not in _tokens(request, "Connection") or request.version < HttpVersion11:
        raise Problem(400, "A WebSocket needs HTTP/1.1 and Connection: Upgrade. Does a proxy in between pass them on?")
    if request.headers.get("Sec-WebSocket-Version", "").strip() != VERSION:
        raise Problem(426, "Only version 13 of the WebSocket protocol is spoken here.",
                      headers={"Sec-WebSocket-Version": VERSION})
    if SUBPROTOCOL not in _tokens(request, "Sec-WebSocket-Protocol"):
        raise Problem(400, "The only WebSocket sub-protocol here is: sip.")
    return web.StreamResponse(status=101, headers={
        "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": _accepted_key(request),
        "Sec-WebSocket-Protocol": SUBPROTOCOL,
    })


def _accepted_key(request: web.Request) -> str:
    key = request.headers.get("Sec-WebSocket-Key", "").strip()
    try:
        octets = len(base64.b64decode(key, validate=True))
    except ValueError:  # not even ASCII, perhaps
        octets = 0
    if octets != KEY_OCTETS:
        raise Problem(400, "A WebSocket needs a Sec-WebSocket-Key of 16 octets in base64.")
    return base64.b64encode(hashlib.sha1(key.encode() + ACCEPT_GUID, usedforsecurity=False).digest()).decode()


def _tokens(request: web.Request, name: str) -> set[str]:
    """The values of a list header, in lower case."""
    return {token.strip().lower() for value in request.headers.getall(name, ()) for token in value.split(",")}
