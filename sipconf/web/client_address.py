"""Where a request came from, also behind a reverse proxy (RFC 7239 Forwarded, X-Forwarded-For). Computes only.

A proxy appends the address that it saw, so the word of the last one that we trust counts and nothing before it: what
stands further left was written by whoever sent the request.
"""

import ipaddress
import re
from collections.abc import Sequence

from sipconf.sip.trunk import normal_address

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
MAX_HOPS = 16
_FOR = re.compile(r'(?:^|;)\s*for\s*=\s*("(?:[^"\\]|\\.)*"|[^;\s]*)\s*(?:;|$)', re.IGNORECASE)
_PORT = re.compile(r":[0-9]{1,5}$")


class ClientAddress:
    """trusted: addresses and networks of the reverse proxies that are believed."""

    def __init__(self, trusted: Sequence[str]) -> None:
        self._trusted: tuple[Network, ...] = tuple(ipaddress.ip_network(text, strict=False) for text in trusted)

    def of(self, remote: str, forwarded_for: Sequence[str], forwarded: Sequence[str]) -> str:
        """The client's address. remote: who holds the connection; the others: every field of X-Forwarded-For and of
        Forwarded.

        A proxy writes one of the two. Where a request has both and they differ, one was made up by its sender, and the
        answer is the proxy's own address.
        """
        here = normal_address(remote) or remote
        if not self.trusts(here):
            return here
        found = {self._walk(here, hops) for hops in (_plain(forwarded_for), _described(forwarded)) if hops}
        return found.pop() if len(found) == 1 else here

    def trusts(self, host: str) -> bool:
        """Is this one of the proxies?"""
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return any(address in network for network in self._trusted)

    def _walk(self, here: str, hops: Sequence[str]) -> str:
        """From the right: whom each trusted proxy saw, up to the first that is none or cannot be read."""
        for hop in reversed(hops[-MAX_HOPS:]):
            address = normal_address(hop)
            if address is None:
                return here
            here = address
            if not self.trusts(here):
                return here
        return here


def _plain(fields: Sequence[str]) -> list[str]:
    """The hops of X-Forwarded-For, left to right."""
    return [_host(hop) for field in fields for hop in field.split(",")]


def _described(fields: Sequence[str]) -> list[str]:
    """The hops of Forwarded; one without a `for` counts as unreadable."""
    hops = [hop for field in fields for hop in field.split(",")]
    return [_host(match[1].strip('"')) if (match := _FOR.search(hop)) else "" for hop in hops]


def _host(text: str) -> str:
    """Without port and brackets: 192.0.2.1:4711, [2001:db8::1]:4711, 2001:db8::1."""
    text = text.strip()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return _PORT.sub("", text) if text.count(":") == 1 else text
