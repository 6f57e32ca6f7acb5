"""Opus (RFC 6716, RFC 7587) at 48 kHz, mono: one encoder or decoder per stream, for their state is the stream's.

A state is one block of memory of ours, so that it is copied by copying and freed like any array. Samples are float32 at
int16 scale. Not here: the library (libopus), what a lost packet or a long one means for a row (media).
"""

from collections.abc import Sequence
from ctypes import c_int32
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sipconf.errors import MisuseError
from sipconf.mixer.codecs.libopus import library
from sipconf.mixer.codecs.limiter import CEILING, limit
from sipconf.mixer.frame import FULL_SCALE, Codes, Pcm, samples_per_frame

RATE = 48000
MOST_BYTES = 1275  # RFC 6716 section 3.4
LONGEST_SAMPLES = RATE * 120 // 1000
"""Of one packet (RFC 6716 section 3.2.5)."""
DTX_OCTETS = 2
"""A packet of no more stands for sound that is not sent (RFC 7587 section 3.1.3)."""
LOSS_CLASSES = (0, 5, 15)
"""Percent of loss that an encoder guards against, by class."""
_VOIP = 2048
_SET_BITRATE, _SET_COMPLEXITY, _SET_INBAND_FEC, _SET_PACKET_LOSS, _SET_DTX = 4002, 4010, 4012, 4014, 4016
_SET_PREDICTION_DISABLED = 4042
_TOO_SMALL = -2


@dataclass(frozen=True, slots=True)
class OpusSettings:
    """How we encode. bit_rate: bit/s. complexity: 0 to 10, processor time against quality. forward_error_correction:
    whether packets carry their predecessor once more for receivers that lose some. dtx: whether silence is not sent."""

    bit_rate: int = 32000
    complexity: int = 5
    forward_error_correction: bool = True
    dtx: bool = False


class OpusEncoder:
    """One stream to one or more receivers. loss_class: place in LOSS_CLASSES."""

    def __init__(self, settings: OpusSettings, loss_class: int = 0) -> None:
        self._library, self._settings = library(), settings
        self._state = np.zeros(self._library.opus_encoder_get_size(1), np.uint8)
        self._at = self._state.ctypes.data
        if self._library.opus_encoder_init(self._at, RATE, 1, _VOIP):
            raise MisuseError("Opus takes no such stream")
        self._set(_SET_BITRATE, settings.bit_rate)
        self._set(_SET_COMPLEXITY, settings.complexity)
        self._set(_SET_DTX, int(settings.dtx))
        self.loss_class = -1
        self._refreshing = False
        self.guard(loss_class)

    def _set(self, request: int, value: int) -> None:
        if self._library.opus_encoder_ctl(self._at, request, c_int32(value)):
            raise MisuseError(f"Opus takes no {value} for {request}")

    def guard(self, loss_class: int) -> None:
        """Against so much loss from the next frame on."""
        if loss_class == self.loss_class:
            return
        percent = LOSS_CLASSES[loss_class] if self._settings.forward_error_correction else 0
        self._set(_SET_INBAND_FEC, int(percent > 0))
        self._set(_SET_PACKET_LOSS, percent)
        self.loss_class = loss_class

    def copy(self) -> "OpusEncoder":
        """Another that would go on just as this one: whoever listened to this does not notice."""
        other = OpusEncoder.__new__(OpusEncoder)
        other._library, other._settings = self._library, self._settings
        other._state = self._state.copy()
        other._at = other._state.ctypes.data
        other.loss_class, other._refreshing = self.loss_class, self._refreshing
        return other

    def refresh(self) -> None:
        """The next frame shall lean on none before it: who has listened to another encoder may change over to this."""
        self._set(_SET_PREDICTION_DISABLED, 1)
        self._refreshing = True

    def encode(self, samples_at: int, packet_at: int) -> int:
        """20 ms of float32 at full scale 1 to a packet of at most MOST_BYTES, both by their addresses; its length."""
        length = self._library.opus_encode_float(self._at, samples_at, _SAMPLES, packet_at, MOST_BYTES)
        if length < 0:
            raise MisuseError(f"Opus does not encode: {length}")
        if self._refreshing and length > DTX_OCTETS:  # what is not sent refreshes nobody
            self._set(_SET_PREDICTION_DISABLED, 0)
            self._refreshing = False
        return length


class OpusDecoder:
    """One stream from one sender. Addresses are of float32 samples at full scale 1."""

    def __init__(self) -> None:
        self._library = library()
        self._decode = self._library.opus_decode_float
        self._state = np.zeros(self._library.opus_decoder_get_size(1), np.uint8)
        self._at = self._state.ctypes.data
        self.reset()

    def reset(self) -> None:
        """Another stream begins."""
        if self._library.opus_decoder_init(self._at, RATE, 1):
            raise MisuseError("Opus takes no such stream")

    def decode(self, packet_at: int, length: int, out_at: int, room: int) -> int:
        """A packet of any octets to out, room for so many samples; how many it had. 0: it has more than there is room
        for, and nothing has happened yet; -1: it is no packet of Opus."""
        samples = self._decode(self._at, packet_at, length, out_at, room, 0)
        return samples if samples > 0 else 0 if samples == _TOO_SMALL else -1

    def conceal(self, out_at: int, samples: int) -> None:
        """What the sound so far suggests in the place of so many samples, whole multiples of 2.5 ms."""
        self._decode(self._at, None, 0, out_at, samples, 0)

    def recover(self, packet_at: int, length: int, out_at: int, samples: int) -> None:
        """The same, by what the packet behind the gap says of it, if it does (in-band FEC)."""
        if self._decode(self._at, packet_at, length, out_at, samples, 1) < 0:
            self.conceal(out_at, samples)


_SAMPLES = samples_per_frame(RATE)


class Opus:
    """The codec of a bank: makes its streams' encoders and decoders, and encodes many frames at once."""

    encoding, clock_rate, samples, frame_bytes = "opus", RATE, _SAMPLES, MOST_BYTES
    copies = guards = True

    def __init__(self, settings: OpusSettings) -> None:
        self._settings = settings

    def encoder(self, loss_class: int) -> OpusEncoder:
        """A new stream to receivers that lose so much."""
        return OpusEncoder(self._settings, loss_class)

    def encode(
        self, encoders: Sequence[OpusEncoder], pcm: Pcm, out: Codes, lengths: NDArray[np.int64]
    ) -> None:
        """pcm float32 (k, samples) of any loudness, used up, each by its encoder to out uint8 (k, frame_bytes), of
        which lengths (k,) count, 0 where nothing is to be sent (DTX)."""
        limit(pcm)
        pcm *= np.float32(1 / FULL_SCALE)
        frames, packets = pcm.ctypes.data, out.ctypes.data
        for k, encoder in enumerate(encoders):
            length = encoder.encode(frames + k * pcm.strides[0], packets + k * out.strides[0])
            lengths[k] = length if length > DTX_OCTETS else 0


def to_int16_scale(pcm: Pcm) -> None:
    """Decoded frames from full scale 1, in place; nothing is beyond the ceiling."""
    pcm *= np.float32(FULL_SCALE)
    np.clip(pcm, -CEILING, CEILING, out=pcm)
