"""What the plane asks of whatever carries its packets: real sockets in a worker, a simulated network in tests.

Encryption is the carrier's: what it drains is in the clear, and what it sends for a leg with keys is not.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

from sipconf.media.protocol import Address
from sipconf.rtp.packet import Drained


class Transport(Protocol):
    """A pair of ports (RTP, RTCP) per slot, or a place on the port that legs share: `rtp.edge.carrier` over sockets.

    It decides with Streams.source_of whether a datagram's sender is its leg's peer; what it drains has passed.
    """

    def open(self, slot: int, address: str) -> int:
        """Bind the ports of a slot; the RTP port. Raises SipconfError when none can be had."""

    def connect(
        self, slot: int, remote: Address | None, remote_rtcp: Address | None, rtcp_mux: bool, restart: bool
    ) -> None:
        """Send to this peer from now on. restart: who the peer is must be found out anew."""

    def open_checked(self, slot: int, ufrag: str, password: str, now: float) -> int:
        """Answer connectivity checks that name these credentials, on the shared port; its number. Raises SipconfError
        where there is none."""

    def choose(self, slot: int, ufrag: str, password: str, remote_ufrag: str, now: float) -> None:
        """The leg is this peer's, on the shared port alone, and from now on says and hears nothing in the clear."""

    def leave_shared(self, slot: int) -> None:
        """The leg is not reached on the shared port after all, if it ever was."""

    def secure(self, slot: int, profile: str, rx: bytes, tx: bytes) -> None:
        """Encrypt with these keys, protocol.SrtpKeys. Raises SipconfError for keys that cannot be used."""

    def take_pairs(self) -> list[tuple[int, Address]]:
        """(slot, its peer's address) of legs whose checked pair is new."""

    def take_handshakes(self) -> list[tuple[int, bytes]]:
        """(slot, DTLS datagram) that came from legs' checked pairs."""

    def take_lost(self, now: float) -> list[int]:
        """Slots whose peers check no more and are sent nothing."""

    def counts(self) -> dict[str, int]:
        """What went wrong since the beginning, by fields of protocol.PlaneReport."""

    def close(self, slot: int) -> None:
        """The slot's ports are free again."""

    def close_all(self) -> None:
        """Free everything."""

    def drain(self, now: float) -> Iterator[Drained]:
        """The datagrams that waited on RTP ports, in one block or some, each of which overwrites the last."""

    def drain_rtcp(self, now: float) -> list[tuple[int, bytes]]:
        """(slot, datagram) of what waited on RTCP ports."""

    def send(self, slots: Sequence[int], packets: Sequence[memoryview]) -> None:
        """One RTP packet from each slot to its peer. Never raises, never blocks."""

    def send_rtcp(self, slot: int, data: bytes) -> None:
        """One RTCP packet from a slot to its peer."""
