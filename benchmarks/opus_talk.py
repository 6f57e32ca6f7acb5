"""What a leg of the load generator says in Opus, packets to repeat, and what it hears; by PyAV's libopus."""

from functools import cache

import av
import numpy as np

RATE, SAMPLES, PACKETS = 48_000, 960, 50
BIT_RATE = 32_000


@cache
def opus_loop(voice: int | None) -> list[bytes]:
    """A second of a swelling sound, a pitch for each voice; None: the noise of a quiet room, some -70 dBFS."""
    rng = np.random.default_rng(0 if voice is None else voice)
    time_s = np.arange(2 * PACKETS * SAMPLES) / RATE
    if voice is None:
        sound = rng.normal(0, 10.0, len(time_s))
    else:
        pitch = 120.0 + 20 * voice
        harmonics = sum(np.sin(2 * np.pi * pitch * number * time_s) / number for number in range(1, 30))
        sound = 3000 * (0.6 + 0.4 * np.sin(2 * np.pi * 5 * time_s)) * harmonics
    context = av.CodecContext.create("libopus", "w")
    context.sample_rate, context.layout, context.format, context.bit_rate = RATE, "mono", "s16", BIT_RATE
    context.options = {"application": "voip", "frame_duration": "20"}
    packets = []
    for first in range(0, len(sound), SAMPLES):
        frame = av.AudioFrame.from_ndarray(sound[None, first : first + SAMPLES].astype(np.int16), "s16", "mono")
        frame.sample_rate, frame.pts = RATE, first
        packets += [bytes(packet) for packet in context.encode(frame)]
    return packets[-PACKETS:]  # the encoder has settled


class Decoder:
    """Of one stream, at 48 kHz."""

    def __init__(self) -> None:
        self._context = av.CodecContext.create("libopus", "r")
        self._context.sample_rate, self._context.layout = RATE, "mono"

    def decode(self, payload: bytes) -> np.ndarray:
        """Float samples at int16 scale."""
        frames = self._context.decode(av.Packet(payload))
        sound = np.concatenate([frame.to_ndarray().ravel() for frame in frames]) if frames else np.zeros(1)
        return sound.astype(np.float32) * (32768 if sound.dtype.kind == "f" else 1)
