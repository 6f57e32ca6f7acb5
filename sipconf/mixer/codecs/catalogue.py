"""Which codecs the mixer has, by the names SDP uses. A new codec is one more line here and one more file beside
it.

There are two kinds. Frames of a `Codec` stand by themselves: a bank's frames are decoded and encoded at once. Those of
a `StreamCodec` go on from each other: every stream has an encoder and a decoder of its own.
"""

from collections.abc import Sequence
from typing import Any, Protocol, Self

from numpy.typing import NDArray

from sipconf.errors import MisuseError
from sipconf.mixer.codecs.g711 import G711
from sipconf.mixer.codecs.g722 import G722
from sipconf.mixer.codecs.l16 import L16
from sipconf.mixer.codecs.opus import Opus, OpusSettings
from sipconf.mixer.frame import RATES, Codes, Pcm

NAMES = (("PCMU", 8000), ("PCMA", 8000), *(("L16", rate) for rate in RATES))
STREAM_NAMES = ("G722", "opus")


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


class StreamEncoder(Protocol):
    """One stream's, to one or more receivers."""

    def guard(self, loss_class: int) -> None:
        """Against how much loss, from the next frame on: a place in opus.LOSS_CLASSES."""

    def refresh(self) -> None:
        """Let the next frame lean on none before it; only where the codec `copies`."""

    def copy(self) -> Self:
        """Another that would go on just as this one; only where the codec `copies`."""


class StreamCodec(Protocol):
    """Makes encoders and lets them run. clock_rate: of the samples. frame_bytes: of a frame, at most. copies: whether
    encoders can be copied, state and all (`copy`); guards: whether they are told of loss."""

    encoding: str
    clock_rate: int
    samples: int
    frame_bytes: int
    copies: bool
    guards: bool

    def encoder(self, loss_class: int) -> Any:
        """A StreamEncoder of this codec, for a new stream."""

    def encode(self, encoders: Sequence[Any], pcm: Pcm, out: Codes, lengths: NDArray) -> None:
        """pcm float32 (k, samples) of any loudness, used up, each by its encoder to out uint8 (k, frame_bytes), of
        which lengths int64 (k,) count."""


def codec(encoding: str, clock_rate: int) -> Codec:
    """A codec of its own for one bank; MisuseError for a pair that is not in NAMES."""
    if (encoding, clock_rate) not in NAMES:
        raise MisuseError(f"no codec for {encoding}/{clock_rate}")
    return L16(clock_rate) if encoding == "L16" else G711(encoding)


def stream_codec(encoding: str, opus: OpusSettings) -> StreamCodec | None:
    """The same for a codec whose frames go on from each other; None for one that is not in STREAM_NAMES."""
    if encoding not in STREAM_NAMES:
        return None
    return Opus(opus) if encoding == "opus" else G722()
