"""Where a SIP message came from and where its answer goes: one socket, one peer (RFC 3261 section 18, RFC 3581)."""

import ipaddress
from dataclasses import dataclass
from functools import lru_cache

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Flow:
    """A path to one peer.

    transport: "udp", "tcp", "tls", "ws" or "wss", and "http" or "https" of a visitor of the join page, who speaks no
    SIP; remote: the peer's address as the kernel, or a proxy of ours, saw it; local: our address (for UDP the
    listener's); connection: the edge's number of a stream connection, None for UDP and for a stream that has yet to be
    opened. server_name: over TLS, the name that a peer to whom we open a connection has to prove (RFC 5922), None for
    its address. called: over TLS, the name of ours that the peer asked for.
    """

    transport: str
    remote: Address
    local: Address
    connection: int | None = None
    server_name: str | None = None
    called: str | None = None

    @property
    def reliable(self) -> bool:
        """True where the transport itself retransmits (RFC 3261 section 17.1.1.2)."""
        return self.transport != "udp"

    @property
    def by_websocket(self) -> bool:
        """True where only the peer can open a connection."""
        return self.transport in ("ws", "wss")


@lru_cache(maxsize=4096)
def network_of(host: str) -> str:
    """What counts as one source: an IPv4 address, or the /64 of an IPv6 address, all of which one subscriber has."""
    if ":" not in host:
        return host
    try:
        address = ipaddress.IPv6Address(host.strip("[]").partition("%")[0])
    except ValueError:
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return address.packed[:8].hex(":", 2)
