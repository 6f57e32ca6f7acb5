"""G.722 (ITU-T G.722, RFC 3551 section 4.5.2) at 64 kbit/s: 16 kHz sound, one encoder or decoder per stream.

By the G722 package, whose states cannot be copied. Samples are float32 at int16 scale. Not here: what a lost half of a
frame means for a row (media).
"""

from collections.abc import Sequence

import numpy as np
from G722 import G722 as Stream
from numpy.typing import NDArray

from sipconf.mixer.codecs.limiter import limit
from sipconf.mixer.frame import Codes, Pcm, samples_per_frame

RATE = 16000
BIT_RATE = 64000
_SAMPLES = samples_per_frame(RATE)
SAMPLES_PER_OCTET = 2


class G722Encoder:
    """One stream to one or more receivers. Losses are no business of it."""

    loss_class = 0

    def __init__(self) -> None:
        self._stream = Stream(RATE, BIT_RATE)

    def guard(self, loss_class: int) -> None:
        """There is nothing to do against loss."""

    def encode(self, samples: NDArray[np.int16]) -> bytes:
        """A frame."""
        return self._stream.encode(samples)


class G722Decoder:
    """One stream from one sender."""

    def __init__(self) -> None:
        self._stream = Stream(RATE, BIT_RATE)

    def decode(self, codes: Codes, out: Pcm) -> None:
        """Octets, uint8 (k,), to two samples each, float32 (2k,)."""
        out[:] = self._stream.decode(codes.tobytes())


class G722:
    """The codec of a bank: makes its streams' encoders and decoders, and encodes many frames at once."""

    encoding, clock_rate, samples, frame_bytes = "G722", RATE, _SAMPLES, _SAMPLES // SAMPLES_PER_OCTET
    copies = guards = False

    def encoder(self, loss_class: int) -> G722Encoder:
        """A new stream."""
        return G722Encoder()

    def encode(
        self, encoders: Sequence[G722Encoder], pcm: Pcm, out: Codes, lengths: NDArray[np.int64]
    ) -> None:
        """pcm float32 (k, samples) of any loudness, used up, each by its encoder to out uint8 (k, frame_bytes), of
        which lengths (k,) count: all of them."""
        limit(pcm)
        whole = np.rint(pcm).astype(np.int16)
        for k, encoder in enumerate(encoders):
            out[k] = np.frombuffer(encoder.encode(whole[k]), np.uint8)
        lengths[: len(encoders)] = self.frame_bytes
