"""Telephones with wideband codecs, PyAV's and none of ours, and what is measured of the tones they hear."""

import fractions
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import av
import numpy as np

from tests.media.conftest import Telephone

SWING_HZ = 4.0
"""How fast a telephone's tone swings (conftest)."""


@dataclass
class WideTelephone(Telephone):
    """G.722 or Opus, in frames of 20 ms by its own clock, packet_ms by ours. sound_rate: of its samples."""

    encoding: str = "opus"
    clock_rate: int = 48000
    payload_type: int = 111
    sound_rate: int = 48000
    library: str = "libopus"
    bit_rate: int = 64000

    def __post_init__(self) -> None:
        super().__post_init__()
        self.encoder, self.decoder = self.context("w"), self.context("r")
        self.frames: list[np.ndarray] = []
        self.heard_until = 0
        self.encoder.time_base = fractions.Fraction(1, self.sound_rate)

    def context(self, way: str) -> av.CodecContext:
        context = av.CodecContext.create(self.library, way)
        if self.library == "libopus" and way == "w":
            context.options = {"application": "voip"}
        context.sample_rate, context.layout, context.format = self.sound_rate, "mono", "s16"
        if way == "w":
            context.bit_rate = self.bit_rate
        return context

    def sound(self, samples: int) -> np.ndarray:
        at = (self.sent_samples + np.arange(samples)) / self.sound_rate
        self.sent_samples += samples
        return self.amplitude * (0.6 + 0.4 * np.sin(2 * np.pi * SWING_HZ * at)) * np.sin(2 * np.pi * self.pitch * at)

    def payload(self, sound: np.ndarray) -> bytes:
        frame = av.AudioFrame.from_ndarray(np.rint(sound).astype(np.int16)[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts = self.sound_rate, self.sent_samples
        (packet,) = self.encoder.encode(frame)
        return bytes(packet)

    def speak(self, now: float) -> None:
        self.packet(self.payload_type, self.payload(self.sound(self.sound_rate // 50)), now)
        self.timestamp += self.clock_rate // 50

    def heard(self) -> np.ndarray:
        """Everything received so far; no packet may be missing."""
        for _, data in self.packets()[len(self.frames) :]:
            timestamp = struct.unpack("!I", data[4:8])[0]
            assert not self.frames or (timestamp - self.heard_until) % 2**32 == self.clock_rate // 50
            self.heard_until = timestamp
            self.frames.append(self.sound_of(data[12:]))
        return np.concatenate(self.frames)

    def sound_of(self, payload: bytes) -> np.ndarray:
        return np.concatenate([frame.to_ndarray().reshape(-1) for frame in self.decoder.decode(av.Packet(payload))])


def g722(**more: object) -> dict[str, object]:
    """Traits of a telephone with G.722."""
    return {"kind": WideTelephone, "encoding": "G722", "clock_rate": 8000, "payload_type": 9, "sound_rate": 16000,
            "library": "g722", **more}  # fmt: skip


def opus(**more: object) -> dict[str, object]:
    """Traits of one with Opus."""
    return {"kind": WideTelephone, **more}


def rate_of(phone: Telephone) -> int:
    """Of what it hears."""
    return phone.sound_rate if isinstance(phone, WideTelephone) else phone.clock_rate


def fitted(sound: np.ndarray, rate: int, pitches: Sequence[float]) -> tuple[np.ndarray, float]:
    """The amplitude of each swinging tone in sound (samples,), by least squares, and the decibels by which all of them
    together are louder than the rest."""
    at = np.arange(len(sound)) / rate
    columns = []
    for pitch in pitches:
        for side in (-SWING_HZ, 0.0, SWING_HZ):
            columns += [np.cos(2 * np.pi * (pitch + side) * at), np.sin(2 * np.pi * (pitch + side) * at)]
    basis = np.stack(columns, axis=1)
    weights = np.linalg.solve(basis.T @ basis, basis.T @ sound)
    rest = sound - basis @ weights
    power = (weights.reshape(len(pitches), -1) ** 2).sum(axis=1)
    return np.sqrt(power), 10 * float(np.log10(((sound - rest) ** 2).sum() / max(1e-9, (rest**2).sum())))
