"""What a 20 ms frame of each encoding looks like on the wire: sample size, frame size, the octet of silence.

Static payload types are those of RFC 3551 section 6 that this server serves. Not here: how codes become samples (the
mixer's codecs) and which format a call chooses (the offer).
"""

from dataclasses import dataclass

from sipconf.errors import MisuseError

FRAME_MS = 20
"""Length of a frame and of the tick."""


@dataclass(frozen=True, slots=True)
class FrameFormat:
    """One encoding at one clock rate. silence: the octet that, repeated, decodes to quiet."""

    encoding: str
    clock_rate: int
    sample_bytes: int
    silence: int

    @property
    def samples(self) -> int:
        """Samples, and so RTP timestamp units, in a frame."""
        return self.clock_rate * FRAME_MS // 1000

    @property
    def frame_bytes(self) -> int:
        """Octets of a frame's payload."""
        return self.samples * self.sample_bytes

    @property
    def half_samples(self) -> int:
        """Samples in half a frame (10 ms), the grain of the jitter buffer."""
        return self.samples // 2

    @property
    def half_bytes(self) -> int:
        """Octets of half a frame."""
        return self.frame_bytes // 2


FORMATS: dict[tuple[str, int], FrameFormat] = {
    (known.encoding, known.clock_rate): known
    for known in (
        FrameFormat("PCMU", 8000, 1, 0xFF),
        FrameFormat("PCMA", 8000, 1, 0xD5),
        FrameFormat("L16", 8000, 2, 0),
        FrameFormat("L16", 16000, 2, 0),
        FrameFormat("L16", 48000, 2, 0),
    )
}

STATIC_PAYLOAD_TYPES: dict[int, tuple[str, int]] = {0: ("PCMU", 8000), 8: ("PCMA", 8000)}


def lookup(encoding: str, clock_rate: int) -> FrameFormat:
    """The format of an encoding name (any case) at a clock rate in Hz; MisuseError for one we do not serve."""
    try:
        return FORMATS[encoding.upper(), clock_rate]
    except KeyError:
        raise MisuseError(f"no frame format for {encoding}/{clock_rate}") from None
