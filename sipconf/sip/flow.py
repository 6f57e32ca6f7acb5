"""Where a SIP message came from and where its answer goes: one socket, one peer (RFC 3261 section 18, RFC 3581)."""

from dataclasses import dataclass

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Flow:
    """A path to one peer.

    transport: "udp", "tcp", "tls", "ws" or "wss"; remote: the peer's address as the kernel saw it;
    local: our address (for UDP the listener's); connection: the edge's number of a stream connection, None for UDP
    and for a stream that has yet to be opened.
    """

    transport: str
    remote: Address
    local: Address
    connection: int | None = None

    @property
    def reliable(self) -> bool:
        """True where the transport itself retransmits (RFC 3261 section 17.1.1.2)."""
        return self.transport != "udp"
