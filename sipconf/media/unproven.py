"""How much is sent to an address that somebody merely named: a second's worth, until something comes back.

Whoever may call could name a third party's address and have us pour a voice on it. An address is proven when the
signalling came from its host, when it is a trunk's, or when it was heard from (RTP that latched, or RTCP). All others
share one small allowance per leg for its whole life, so that new offers bring no more. A telephone behind a NAT loses
nothing: what goes to the private address that it names reaches nobody, and its own packets latch the leg.
"""

import ipaddress

from sipconf.media.legs import Leg
from sipconf.media.protocol import Address
from sipconf.rtp.latching import plain

UNPROVEN_PACKETS = 50
"""Packets, RTP and RTCP together, that one leg sends to addresses that nothing has come from."""


def is_proven(leg: Leg) -> bool:
    """Whether the address that a connected leg's signalling names may be sent to without limit."""
    terms = leg.terms
    assert terms is not None and terms.remote is not None
    remote = plain(terms.remote)
    return terms.trusted or remote[0] == plain((terms.signalling_host, 0))[0] or remote in leg.heard_from


def usable(remote: Address | None, signalling_host: str) -> Address | None:
    """The named address, or None where it is this machine itself although the one who named it is elsewhere."""
    if remote is None or not _is_loopback(remote[0]) or _is_loopback(signalling_host):
        return remote
    return None


def _is_loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(plain((host, 0))[0])
    except ValueError:
        return host.lower() == "localhost"
    return address.is_loopback
