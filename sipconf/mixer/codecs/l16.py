"""L16: linear samples of 16 bits in network order (RFC 3551 section 4.5.11), mono, at 8, 16 or 48 kHz."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from sipconf.mixer.codecs.limiter import TableEncoder, limited_table
from sipconf.mixer.frame import Codes, Pcm, samples_per_frame


@cache
def _table() -> NDArray[np.int16]:
    """Limited samples with their bytes already in network order, so that the gather writes the wire form."""
    return limited_table(np.arange(-32768, 32768).astype(">i2")).view(np.int16)


class L16:
    """Linear PCM at one clock rate: decodes and encodes whole frames of many legs at once."""

    def __init__(self, clock_rate: int) -> None:
        self.encoding = "L16"
        self.clock_rate = clock_rate
        self.samples = samples_per_frame(clock_rate)
        self.frame_bytes = 2 * self.samples
        self.silence = 0
        self._encoder = TableEncoder(_table(), self.samples, nearest=True)

    def decode(self, codes: Codes, out: Pcm) -> None:
        """codes uint8 (n, 2 * samples), last axis contiguous, to out float32 (n, samples)."""
        np.copyto(out, codes.view(">i2"))

    def encode(self, pcm: Pcm, out: Codes) -> None:
        """pcm float32 (n, samples) of any loudness, limited, to out uint8 (n, 2 * samples)."""
        self._encoder.encode(pcm, out.view(np.int16))
