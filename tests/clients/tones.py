"""Test voices: a tone per person, made so that no noise gate, echo canceller or silence detector takes it for noise,
and the judge that says who is heard in a recording, how loud, and with which gaps.

Independent of the product on purpose: plain NumPy, no code of sipconf.
"""

import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np

RATE = 8000
MODULATION_HZ = 5.0
"""The amplitude swings like syllables, between a quarter and all of it, never to nothing: a gap stays a gap."""
WINDOW = 400
"""50 ms at 8 kHz: the resolution of the judge, 20 Hz and 50 ms."""

HOP_MS = 25.0

VOICES = {"first": 440.0, "second": 700.0, "third": 1000.0, "fourth": 1320.0, "fifth": 1700.0}
"""Tones that are no harmonics of each other and far enough apart for the window."""


def voice(frequency: float, seconds: float, rate: int = RATE, level_db: float = -14.0) -> np.ndarray:
    """A modulated tone, float, shape (samples,), full scale 1.0; level_db is its mean level in dBFS."""
    at = np.arange(int(seconds * rate)) / rate
    envelope = (5 + 3 * np.cos(2 * np.pi * MODULATION_HZ * at)) / 8
    tone = np.sin(2 * np.pi * frequency * at) * envelope
    return tone * (10 ** (level_db / 20) / np.sqrt(np.mean(tone**2)))


def write_wav(path: Path, samples: np.ndarray, rate: int = RATE) -> Path:
    """Write float samples (full scale 1.0) as 16-bit mono."""
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return path


def read_wav(path: Path) -> tuple[np.ndarray, int]:
    """Read 16-bit PCM; a second channel is dropped. A header that was never completed (a recorder that was killed)
    is forgiven: what follows the data chunk's start is taken as samples."""
    raw = path.read_bytes()
    start = raw.index(b"data") + 8
    channels = int.from_bytes(raw[22:24], "little") or 1
    rate = int.from_bytes(raw[24:28], "little")
    usable = (len(raw) - start) // (2 * channels) * 2 * channels
    samples = np.frombuffer(raw, "<i2", usable // 2, start).astype(float) / 32768
    return samples[::channels], rate


def envelope(samples: np.ndarray, frequency: float, rate: int) -> np.ndarray:
    """The amplitude of one frequency over time in dBFS (of a sine's RMS), one value per 50 ms, hops of 25 ms."""
    size = WINDOW * rate // RATE
    hop = size // 2
    if len(samples) < size:
        return np.full(0, -120.0)
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[::hop]
    shape = np.hanning(size)
    probe = np.exp(-2j * np.pi * frequency * np.arange(size) / rate) * shape / shape.sum()
    return 20 * np.log10(np.maximum(np.abs(frames @ probe) * np.sqrt(2), 1e-6))


@dataclass(frozen=True)
class Hearing:
    """How one voice is heard in a stretch of recording: median level in dBFS, the longest silence in ms inside the
    stretch, and the share of time it was there."""

    level_db: float
    longest_gap_ms: float
    present: float


def judge(samples: np.ndarray, rate: int, frequency: float, floor_db: float = -45.0) -> Hearing:
    """Judge one voice in samples; floor_db is what counts as silence (the voice's own dips are 12 dB)."""
    return _judge_levels(envelope(samples, frequency, rate), floor_db)


def judge_best(samples: np.ndarray, rate: int, frequency: float, seconds: float, floor_db: float = -45.0) -> Hearing:
    """The same of the stretch of so many seconds in which the voice is heard best, wherever it is: on a busy machine
    nobody knows when a telephone began or ceased to record."""
    levels = envelope(samples, frequency, rate)
    size = round(seconds * 1000 / HOP_MS)
    pieces = [levels[at: at + size] for at in range(0, max(len(levels) - size, 0) + 1, 4)]
    hearings = [_judge_levels(piece, floor_db) for piece in pieces if len(piece) == size]
    return min(hearings, key=lambda one: (one.longest_gap_ms, -one.level_db), default=Hearing(-120.0, 0.0, 0.0))


def _judge_levels(levels: np.ndarray, floor_db: float) -> Hearing:
    if not len(levels):
        return Hearing(-120.0, 0.0, 0.0)
    there = levels > floor_db
    longest = current = 0
    for each in there:
        current = 0 if each else current + 1
        longest = max(longest, current)
    return Hearing(float(np.median(levels)), longest * HOP_MS, float(there.mean()))
