"""One Opus leg of a bank without the bank: what arrives, when, and what is heard of it."""

from dataclasses import dataclass, field

import numpy as np

from sipconf.media.packet_decoding import PacketDecoding
from sipconf.mixer.codecs.opus import Opus, OpusSettings
from sipconf.mixer.levels import Levels
from sipconf.rtp.batches import Batch
from sipconf.rtp.formats import lookup
from sipconf.rtp.packet import HEADER_BYTES, NO_LEVEL, ROW
from sipconf.rtp.packet_jitter import PacketJitter

SAMPLES = 960
NOBODY = np.zeros(0, np.intp)


def packets(sound: np.ndarray, settings: OpusSettings, loss_class: int = 0) -> list[bytes]:
    """A frame each."""
    codec = Opus(settings)
    encoder = codec.encoder(loss_class)
    out, lengths, made = np.zeros((1, codec.frame_bytes), np.uint8), np.zeros(1, np.int64), []
    for frame in sound.reshape(-1, SAMPLES):
        codec.encode([encoder], frame[None].astype(np.float32), out, lengths)
        made.append(out[0, : lengths[0]].tobytes())
    return made


def voice(seconds: float, pitch: float = 150.0, amplitude: float = 9000.0) -> np.ndarray:
    at = np.arange(int(seconds * 48000)) / 48000
    sound = sum(np.sin(2 * np.pi * k * pitch * at + k) / k for k in range(1, 12))
    return amplitude / 2 * sound * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * at))


def loudness(sound: np.ndarray) -> float:
    return float(np.sqrt((np.asarray(sound, np.float64) ** 2).mean()))


@dataclass
class Row:
    """One leg of a bank, its jitter buffer and its decoder; packets arrive just before they are due. skipped: frames
    that were not decoded."""

    jitter: PacketJitter = field(default_factory=lambda: PacketJitter(lookup("opus", 48000), 1))
    levels: Levels = field(default_factory=Levels)
    listened: np.ndarray = field(default_factory=lambda: NOBODY)
    timestamp: int = 48000
    fresh: bool = True
    skipped: int = 0

    def __post_init__(self) -> None:
        self.decoding = PacketDecoding(self.jitter)
        self.jitter.open(0)
        self.decoding.add(0)
        self.levels.add(0)

    def put(self, payload: bytes, level: int = NO_LEVEL, at: int | None = None) -> None:
        """at: timestamp, else the next."""
        block = np.zeros((1, ROW), np.uint8)
        block[0, HEADER_BYTES : HEADER_BYTES + len(payload)] = np.frombuffer(payload, np.uint8)
        one = np.zeros(1, np.intp)
        self.jitter.put(one, Batch(
            index=one, slots=one, kinds=np.zeros(1, np.uint8), offsets=np.array([HEADER_BYTES]),
            timestamps=np.array([self.timestamp if at is None else at]), sizes=np.array([len(payload)]),
            markers=np.array([self.fresh]), fresh=np.array([self.fresh]), levels=np.array([level], np.uint8),
        ), block)  # fmt: skip
        self.fresh = False

    def tick(self) -> np.ndarray:
        pcm = np.full((1, SAMPLES), np.nan, np.float32)
        self.decoding.take(pcm, self.levels, self.listened)
        self.skipped += self.decoding.told is not None
        assert np.isfinite(pcm).all() and np.abs(pcm).max() <= 32767
        self.levels.hear(pcm, self.decoding.told)
        self.timestamp += SAMPLES
        return pcm[0]

    def play(self, payloads: list[bytes | None], levels: list[int] | None = None) -> np.ndarray:
        """A packet a tick, None for none."""
        heard = []
        for number, payload in enumerate(payloads):
            if payload is not None:
                self.put(payload, NO_LEVEL if levels is None else levels[number])
            heard.append(self.tick())
        return np.concatenate(heard)
