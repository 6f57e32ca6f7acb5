"""Where a SIP message came from and where its answer goes: one socket, one peer (RFC 3261 section 18, RFC 3581)."""

import ipaddress
from dataclasses import dataclass

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Flow:
    """A path to one peer.

    transport: "udp", "tcp", "tls", "ws" or "wss"; remote: the peer's address as the kernel saw it;
    local: our address (for UDP the listener's); connection: the edge's number of a stream connection, None for UDP
    and for a stream that has yet to be opened. server_name: over TLS, the name that a peer to whom we open a connection
    has to prove (RFC 5922), None for its address. called: over TLS, the name of ours that the peer asked for.
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


def source_of(host: str) -> str:
    """What counts as one source: an IPv4 address, or the /64 that one IPv6 customer has."""
    if ":" not in host:
        return host
    return str(ipaddress.ip_network((host.partition("%")[0], 64), strict=False))
