"""How long the sound in an Opus packet is, told from its first two octets (RFC 6716 section 3).

Not here: decoding (the mixer's codecs), which also finds what is wrong further inside.
"""

import numpy as np
from numpy.typing import NDArray

CLOCK_RATE = 48000
"""Of Opus timestamps, whatever the sound is (RFC 7587 section 4.1)."""
LONGEST_MS = 120
"""Of a packet (RFC 6716 section 3.4, R5)."""
LONGEST_FRAME = 1275
"""Octets of a frame (R2)."""

_SILK_MS, _HYBRID_MS, _CELT_MS = (10, 20, 40, 60), (10, 20), (2.5, 5, 10, 20)
_FRAME_MS = (*3 * _SILK_MS, *2 * _HYBRID_MS, *4 * _CELT_MS)
"""By configuration number (RFC 6716 table 2)."""
_ONE, _TWO_ALIKE, _TWO, _ANY = range(4)
_COUNTED = 0x3F


def _durations() -> NDArray[np.int64]:
    """Samples by the first two octets, int64 (65536,), 0 where they cannot be those of a packet."""
    lead = np.arange(65536)
    toc, count = lead >> 8, lead & _COUNTED
    frame = (np.array(_FRAME_MS) * CLOCK_RATE / 1000).astype(np.int64)[toc >> 3]
    frames = np.choose(toc & 3, (1, 2, 2, count))
    samples = frame * frames
    samples[samples > LONGEST_MS * CLOCK_RATE // 1000] = 0
    return samples


_DURATION = _durations()


def durations(first: NDArray[np.uint8], second: NDArray[np.uint8], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Samples at CLOCK_RATE in packets of so many octets, int64 (Q,), 0 for one that is malformed. first, second:
    uint8 (Q,), their first two octets, where they have them.

    A packet of one octet is a frame that the encoder did not care to send (DTX); so is one of two.
    """
    # A second octet that is not there counts no frames.
    lead = first.astype(np.int64) << 8 | second * (sizes > 1)
    samples = _DURATION.take(lead, mode="clip")
    code, body = lead >> 8 & 3, sizes - 1
    wrong = sizes < 1
    wrong |= (code == _ONE) & (body > LONGEST_FRAME)
    wrong |= (code == _TWO_ALIKE) & ((body & 1 == 1) | (body > 2 * LONGEST_FRAME))  # R3
    wrong |= (code == _TWO) & (body < 1)  # R4: the first one's length is told
    samples[wrong] = 0
    return samples
