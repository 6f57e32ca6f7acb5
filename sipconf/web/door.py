"""Who may come in: the administrator by password, from where each request really came, and how long a guesser waits.

The address of a request is `client_address`, for everything that is decided or logged by address.
"""

import hashlib
import hmac
import logging
import math
from functools import lru_cache

from aiohttp import web

from sipconf.clock import SYSTEM_CLOCK, Clock
from sipconf.config import is_example_secret, is_loopback
from sipconf.growing_waits import GrowingWaits, WaitLimits
from sipconf.sip.flow import Address, network_of
from sipconf.sip.trunk import normal_address
from sipconf.web.api import OPERATIONS
from sipconf.web.client_address import ClientAddress
from sipconf.web.problems import Handler, Problem

log = logging.getLogger(__name__)

LIMITS = WaitLimits(longest_wait=900.0, remembered=10_000)
"""Of wrong passwords, by address: an IPv4 address or the /64 of an IPv6 one."""

_believing = lru_cache(16)(ClientAddress)


class Door:
    """The wrong passwords of this server's visitors, and the clock they are counted by."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self.waits = GrowingWaits(LIMITS)
        self.now = clock.monotonic


DOOR: web.AppKey[Door] = web.AppKey("door", Door)


def client_address(request: web.Request) -> str:
    """Where a request came from: through proxies that [http] trusted_proxies names, else who holds the connection."""
    headers = request.headers
    return _proxies(request).of(
        request.remote or "", headers.getall("X-Forwarded-For", ()), headers.getall("Forwarded", ()))


def came_by_proxy(request: web.Request) -> bool:
    """Is who holds the connection somebody else than the client, as far as we know?"""
    remote = request.remote or ""
    return client_address(request) != (normal_address(remote) or remote)


def our_end(request: web.Request) -> Address:
    """Our end of the connection, as the client can reach it: behind a proxy that is not known, hence any address."""
    local = request.transport.get_extra_info("sockname") if request.transport is not None else None
    host, port = ("0.0.0.0", 0) if local is None else local[:2]
    return "0.0.0.0" if came_by_proxy(request) else normal_address(host) or host, port


def comes_from_this_machine(request: web.Request) -> bool:
    """Is the client on loopback itself? One that a proxy of which we know nothing forwards is not."""
    forwarded = "X-Forwarded-For" in request.headers or "Forwarded" in request.headers
    if forwarded and not _proxies(request).trusts(request.remote or ""):
        return False
    return is_loopback(client_address(request))


def comes_by_tls(request: web.Request) -> bool:
    """Did the client encrypt, as far as we know? A proxy of ours that took its TLS says so (X-Forwarded-Proto)."""
    if request.secure:
        return True
    said = ",".join(request.headers.getall("X-Forwarded-Proto", ())).rpartition(",")[2].strip().lower()
    return said in ("https", "wss") and _proxies(request).trusts(request.remote or "")


def _proxies(request: web.Request) -> ClientAddress:
    return _believing(request.app[OPERATIONS].config().http.trusted_proxies)


@web.middleware
async def administrators_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Everything under /api takes the administrator's password as a bearer token (RFC 6750 section 2.1)."""
    if not (request.path == "/api" or request.path.startswith("/api/")):
        return await handler(request)
    door, address = request.app[DOOR], client_address(request)
    now, guesser = door.now(), network_of(address)
    if (wait := door.waits.wait(guesser, now)) > 0:
        raise Problem(429, "Too many wrong passwords came from your address; try again later.",
                      headers={"Retry-After": str(math.ceil(wait))})
    password = request.app[OPERATIONS].admin_password()
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not same_secret(token.strip(), password):
        if token:  # who gave none guessed nothing
            log.warning("a wrong administrator's password from %s; %.0f s until it is heard again", address,
                        door.waits.wrong(guesser, now))
        detail = "The administrator's password is needed: Authorization: Bearer <admin_password>."
        raise Problem(401, detail, headers={"WWW-Authenticate": 'Bearer realm="sipconf"'})
    door.waits.right(guesser)
    if is_example_secret(password) and not comes_from_this_machine(request):
        raise Problem(
            403, "The shipped example's password works from this machine only; set another [http] admin_password."
        )
    return await handler(request)


def same_secret(one: str, other: str) -> bool:
    """Compares in a time that tells nothing, not even the length."""
    digests = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in (one, other)]
    return hmac.compare_digest(*digests)
