"""`/` and `/join/{extension}`: the join page, its files, and its calls by one POST (as WHIP has it, RFC 9725).

    POST   /join/{extension}                an SDP offer; 201 with the answer, Location names the call
    GET    /join/{extension}/{call}/events  what becomes of it, as server-sent events; asking for it accepts the answer
    DELETE /join/{extension}/{call}         hang up

Here: what a request must look like and how refusals look. Who may have how many calls, and what is told: visitors.
"""

import hashlib
import unicodedata
from functools import cache
from importlib.resources import files
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from aiohttp import web

from sipconf.sip.flow import Flow
from sipconf.web.door import DOOR, came_by_proxy, client_address, comes_by_tls, our_end
from sipconf.web.events import follow
from sipconf.web.problems import Problem
from sipconf.web.visitors import Visit, Visitors

SDP = "application/sdp"
MAX_NAME_LENGTH = 64
MAX_EXTENSION_LENGTH = 32
NAMELESS = "Guest"
STATIC = "/static/join/"
TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".svg": "image/svg+xml"}
PROTECTION = {
    # Nothing is fetched from elsewhere, and nobody else's page may frame this one to have it press "Join".
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
                               "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
                               "require-trusted-types-for 'script'; trusted-types 'none'",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
VISITORS: web.AppKey[Visitors] = web.AppKey("visitors", Visitors)


class Page(NamedTuple):
    """One file of the page, kept in memory."""

    body: bytes
    content_type: str
    etag: str


def add_routes(app: web.Application) -> None:
    """Put the join page into an application that has its VISITORS."""
    call = "/join/{extension}/{call}"
    app.router.add_get("/", show_page)
    app.router.add_get("/join/{extension}", show_page)
    app.router.add_get(STATIC + "{name}", show_file)
    app.router.add_post("/join/{extension}", take_offer)
    app.router.add_get(f"{call}/events", follow_call)
    app.router.add_delete(call, hang_up)


@cache
def pages() -> dict[str, Page]:
    """Every file of the page by its name, read once."""
    found = {}
    for file in (files("sipconf.web") / "static" / "join").iterdir():
        suffix = file.name[file.name.rfind("."):]
        if suffix in TYPES:
            body = file.read_bytes()
            found[file.name] = Page(body, TYPES[suffix], hashlib.sha256(body).hexdigest()[:32])
    return found


async def show_page(request: web.Request) -> web.Response:
    """The same for every extension: the page reads it from its address, and whether there is such a conference is told
    to who offers a call, at the pace of `visitors`."""
    return _file(request, "index.html")


async def show_file(request: web.Request) -> web.Response:
    return _file(request, request.match_info["name"])


def _file(request: web.Request, name: str) -> web.Response:
    page = pages().get(name)
    if page is None:
        raise Problem(404, f"There is nothing at {request.path}.")
    # no-cache: asked for each time and answered 304, so that a page and its modules are always of one version.
    headers = {**PROTECTION, "Cache-Control": "no-cache", "ETag": f'"{page.etag}"'}
    if any(tag.value in (page.etag, "*") for tag in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    return web.Response(body=page.body, content_type=page.content_type, charset="utf-8", headers=headers)


async def take_offer(request: web.Request) -> web.Response:
    """An offer in, its answer out."""
    _same_origin(request)
    if request.content_type != SDP:
        raise Problem(415, f"An offer is expected, of type {SDP}.", headers={"Accept-Post": SDP})
    extension = request.match_info["extension"]
    if len(extension) > MAX_EXTENSION_LENGTH:
        raise Problem(404, "There is no conference with this number.")
    offer = await request.read()  # of the application's client_max_size at most
    if not offer.startswith(b"v=0"):
        raise Problem(400, "This is no session description.")
    name = clean_name(unquote(request.headers.get("Display-Name", "")[:MAX_NAME_LENGTH * 12]))
    visit = await request.app[VISITORS].offer(extension, name, offer, flow_of(request), request.app[DOOR].now())
    location = f"/join/{extension}/{visit.token}"
    return web.Response(status=201, body=visit.answer.result(), content_type=SDP,
                        headers={"Location": location, "Cache-Control": "no-store"})


async def follow_call(request: web.Request) -> web.StreamResponse:
    _same_origin(request)
    visitors, visit = request.app[VISITORS], _visit(request)
    listened = False

    def begun() -> bytes:
        nonlocal listened
        listened = True
        visitors.listening(visit)
        return visitors.greeting(visit)

    try:
        return await follow(request, visit.feed, begun=begun)
    finally:
        if listened:
            visitors.deaf(visit)


async def hang_up(request: web.Request) -> web.Response:
    _same_origin(request)
    request.app[VISITORS].leave(_visit(request))
    return web.Response(status=200)  # RFC 9725 section 4.2


def _visit(request: web.Request) -> Visit:
    return request.app[VISITORS].find(request.match_info["extension"], request.match_info["call"])


def _same_origin(request: web.Request) -> None:
    """Calls are made by our own page. A browser says from where it asks, in Sec-Fetch-Site on secure pages and in
    Origin; what sends neither is no browser, and nobody's page can have made it ask."""
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if site is not None:
        ours = site in ("same-origin", "none")
    else:
        ours = origin is None or urlsplit(origin).netloc.lower() == request.host.lower()
    if not ours:
        raise Problem(403, "Calls are made from this server's own page only.")


def flow_of(request: web.Request) -> Flow:
    """By which way a visitor came."""
    peer = request.transport.get_extra_info("peername") if request.transport is not None else None
    port = 0 if peer is None or came_by_proxy(request) else peer[1]
    transport = "https" if comes_by_tls(request) else "http"
    return Flow(transport, (client_address(request), port), our_end(request))


def clean_name(text: str) -> str:
    """What a visitor calls himself, in one line without anything that turns, hides or moves the text around it."""
    kept = (each if unicodedata.category(each)[0] != "C" else " " for each in unicodedata.normalize("NFC", text))
    return " ".join("".join(kept).split())[:MAX_NAME_LENGTH].rstrip() or NAMELESS
