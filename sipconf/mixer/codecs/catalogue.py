"""Which codecs the mixer has, by the names SDP uses. A new codec is one more line here and one more file beside
it."""

from typing import Protocol

from sipconf.errors import MisuseError
from sipconf.mixer.codecs.g711 import G711
from sipconf.mixer.codecs.l16 import L16
from sipconf.mixer.frame import RATES, Codes, Pcm

NAMES = (("PCMU", 8000), ("PCMA", 8000), *(("L16", rate) for rate in RATES))


class Codec(Protocol):
    """Frames of many legs between wire bytes and samples; silence is the byte that fills an empty frame."""

    encoding: str
    clock_rate: int
    samples: int
    frame_bytes: int
    silence: int

    def decode(self, codes: Codes, out: Pcm) -> None:
        """codes uint8 (n, frame_bytes) to out float32 (n, samples)."""

    def encode(self, pcm: Pcm, out: Codes) -> None:
        """pcm float32 (n, samples) to out uint8 (n, frame_bytes), through the soft limiter."""


def codec(encoding: str, clock_rate: int) -> Codec:
    """A codec of its own for one bank; MisuseError for a pair that is not in NAMES."""
    if (encoding, clock_rate) not in NAMES:
        raise MisuseError(f"no codec for {encoding}/{clock_rate}")
    return L16(clock_rate) if encoding == "L16" else G711(encoding)
