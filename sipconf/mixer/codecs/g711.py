"""G.711: mu-law and A-law as tables (ITU-T G.711; payload types 0 and 8 of RFC 3551 section 4.5.14).

Samples are at int16 scale: mu-law's 14-bit values times 4, A-law's 13-bit values times 8. The soft limiter is part
of the encoding table.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from sipconf.errors import MisuseError
from sipconf.mixer.codecs.limiter import TableEncoder, decode_by_pairs, limited_table, pair_table
from sipconf.mixer.frame import Codes, Pcm, samples_per_frame

MU_BIAS = 132  # 33 at 14 bits
MU_CLIP = 32635  # 8159 - 1 at 14 bits: the loudest sample that the bias does not carry out of range
ALAW_TOGGLE = 0x55  # every even bit is inverted on the line
SILENCE = {"PCMU": 0xFF, "PCMA": 0xD5}


def mu_law_values() -> Pcm:
    """The sample of each mu-law code, float32 (256,)."""
    code = ~np.arange(256) & 0xFF
    magnitude = (((code & 15) * 8 + MU_BIAS) << (code >> 4 & 7)) - MU_BIAS
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.float32)


def a_law_values() -> Pcm:
    """The sample of each A-law code, float32 (256,)."""
    code = np.arange(256) ^ ALAW_TOGGLE
    segment = code >> 4 & 7
    step = (code & 15) * 16 + 8
    magnitude = np.where(segment == 0, step, (step + 256) << np.maximum(segment - 1, 0))
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.float32)


def mu_law_codes() -> Codes:
    """The mu-law code of every int16 sample, uint8 (65536,), indexed by sample + 32768."""
    sample = np.arange(-32768, 32768)
    magnitude = np.minimum(np.abs(sample), MU_CLIP) + MU_BIAS
    segment = np.floor(np.log2(magnitude)).astype(np.int64) - 7
    code = segment << 4 | magnitude >> segment + 3 & 15
    return (~np.where(sample < 0, code | 0x80, code) & 0xFF).astype(np.uint8)


def a_law_codes() -> Codes:
    """The A-law code of every int16 sample, uint8 (65536,), indexed by sample + 32768."""
    sample = np.arange(-32768, 32768)
    magnitude = np.where(sample < 0, ~sample, sample) >> 4  # 11 bits of magnitude, the sign apart
    segment = np.maximum(np.floor(np.log2(np.maximum(magnitude, 1))).astype(np.int64) - 3, 0)
    step = np.where(segment == 0, magnitude & 15, magnitude >> np.maximum(segment - 1, 0) & 15)
    code = segment << 4 | step
    return (np.where(sample < 0, code, code | 0x80) ^ ALAW_TOGGLE).astype(np.uint8)


FINEST_STEP = 4
"""Samples that both laws never tell apart: their decision values are multiples of it."""


@cache
def _tables(encoding: str) -> tuple[NDArray[np.int64], Codes]:
    """(decoding pairs, limited encoding table): 768 KB a law, made once."""
    if encoding == "PCMU":
        return pair_table(mu_law_values()), limited_table(mu_law_codes(), FINEST_STEP)
    return pair_table(a_law_values()), limited_table(a_law_codes(), FINEST_STEP)


class G711:
    """One law at 8000 Hz: decodes and encodes whole frames of many legs at once."""

    def __init__(self, encoding: str) -> None:
        if encoding not in SILENCE:
            raise MisuseError(f"G.711 has no encoding {encoding}")
        self.encoding = encoding
        self.clock_rate = 8000
        self.samples = samples_per_frame(self.clock_rate)
        self.frame_bytes = self.samples
        self.silence = SILENCE[encoding]
        self._pairs, table = _tables(encoding)
        self._encoder = TableEncoder(table, self.samples, nearest=False)

    def decode(self, codes: Codes, out: Pcm) -> None:
        """codes uint8 (n, 160), last axis contiguous, to out float32 (n, 160)."""
        decode_by_pairs(self._pairs, codes, out)

    def encode(self, pcm: Pcm, out: Codes) -> None:
        """pcm float32 (n, 160) of any loudness, limited, to out uint8 (n, 160)."""
        self._encoder.encode(pcm, out)
