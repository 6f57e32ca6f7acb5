"""What a 20 ms frame of each encoding looks like on the wire: sample size, frame size, the octet of silence.

Not here: how codes become samples (the mixer's codecs) and which format a call chooses (the offer).
"""

from dataclasses import dataclass

from sipconf.errors import MisuseError

FRAME_MS = 20
"""Length of a frame and of the tick."""


@dataclass(frozen=True, slots=True)
class FrameFormat:
    """One encoding at one clock rate. silence: the octet that, repeated, decodes to quiet. audio_rate: of the decoded
    sound, where that is not the clock rate. most_bytes: of a frame whose length varies from one to the next; 0: they
    are all alike."""

    encoding: str
    clock_rate: int
    sample_bytes: int
    silence: int
    audio_rate: int | None = None
    most_bytes: int = 0

    @property
    def pcm_rate(self) -> int:
        """Samples of decoded sound in a second."""
        return self.audio_rate or self.clock_rate

    @property
    def varies(self) -> bool:
        """Whether frames are of different lengths, so that halves of one mean nothing."""
        return self.most_bytes > 0

    @property
    def samples(self) -> int:
        """Samples, and so RTP timestamp units, in a frame."""
        return self.clock_rate * FRAME_MS // 1000

    @property
    def frame_bytes(self) -> int:
        """Octets of a frame's payload, at most."""
        return self.most_bytes or self.samples * self.sample_bytes

    @property
    def half_samples(self) -> int:
        """Samples in half a frame (10 ms), the grain of the jitter buffer."""
        return self.samples // 2

    @property
    def half_bytes(self) -> int:
        """Octets of half a frame."""
        return self.frame_bytes // 2


FORMATS: dict[tuple[str, int], FrameFormat] = {
    (known.encoding.upper(), known.clock_rate): known
    for known in (
        FrameFormat("PCMU", 8000, 1, 0xFF),
        FrameFormat("PCMA", 8000, 1, 0xD5),
        FrameFormat("L16", 8000, 2, 0),
        FrameFormat("L16", 16000, 2, 0),
        FrameFormat("L16", 48000, 2, 0),
        # RFC 3551 section 4.5.2: its RTP clock is 8000 Hz, by a mistake that stays.
        FrameFormat("G722", 8000, 1, 0xFF, audio_rate=16000),
        FrameFormat("opus", 48000, 0, 0, most_bytes=1275),  # RFC 6716 section 3.4: the longest frame
    )
}


def lookup(encoding: str, clock_rate: int) -> FrameFormat:
    """The format of an encoding name (any case) at a clock rate in Hz; MisuseError for one we do not serve."""
    try:
        return FORMATS[encoding.upper(), clock_rate]
    except KeyError:
        raise MisuseError(f"no frame format for {encoding}/{clock_rate}") from None
