"""A source is believed when it has sent a few packets that belong together (after RFC 3550 appendix A.1).

They need not come in order, nor without a gap: on a line that loses a tenth and turns the order round, four in a row
are seconds away, and the call would be mute so long. Not here: who may be believed at all (latching).
"""

PACKETS = 4
"""Different packets of one SSRC that a source must send."""
SPAN = 16
"""Sequence numbers within which they must lie."""


class Probation:
    """One source's. An SSRC that changes, or a sequence number far away, begins it anew."""

    __slots__ = ("_newest", "_seen", "_ssrc")

    def __init__(self) -> None:
        self._ssrc = self._newest = -1
        self._seen = 0  # bit n: the packet n before the newest came

    def hear(self, ssrc: int, sequence: int) -> bool:
        """Count a packet; True where it is over, from its last packet on."""
        ahead = ((sequence - self._newest + 0x8000) & 0xFFFF) - 0x8000
        if ssrc != self._ssrc or abs(ahead) >= SPAN:
            self._seen = 0
            ahead = 1
        if ahead > 0:
            self._seen = (self._seen << ahead | 1) & (1 << SPAN) - 1
            self._ssrc, self._newest = ssrc, sequence
        else:
            self._seen |= 1 << -ahead
        return self._seen.bit_count() >= PACKETS
