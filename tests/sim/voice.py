"""Sound of the simulated telephones, written with plain loops: G.711 after its tables, tones, and how they are judged.

Every pitch is a multiple of 50 Hz, so that tones are told apart even within one frame of 20 ms.
"""

import math
from functools import lru_cache

import numpy as np

AMPLITUDE = 4000.0
"""Of a telephone's tone; it swings between 0.2 and 1.0 of it four times a second."""
HEARD = 800.0
"""A tone louder than this is there (a clear one has 0.6 * AMPLITUDE on average)."""
NOTHING = 80.0
"""A tone weaker than this is not there."""
GAP = 200.0
"""A frame whose tone is weaker than this is a gap: the softest moment of a tone has 0.2 * AMPLITUDE."""


def mulaw_code(sample: int) -> int:
    """One sample of 16 bits as mu-law (G.711)."""
    magnitude = min(abs(sample), 32635) + 132
    exponent = magnitude.bit_length() - 8
    mantissa = magnitude >> (exponent + 3) & 0x0F
    return ~((0x80 if sample < 0 else 0) | exponent << 4 | mantissa) & 0xFF


def mulaw_sample(code: int) -> int:
    code = ~code & 0xFF
    magnitude = (((code & 0x0F) << 3) + 132 << (code >> 4 & 7)) - 132
    return -magnitude if code & 0x80 else magnitude


def alaw_code(sample: int) -> int:
    """One sample of 16 bits as A-law (G.711)."""
    magnitude = min(abs(sample), 32767) >> 3
    exponent = max(0, magnitude.bit_length() - 5)
    mantissa = magnitude >> max(1, exponent) & 0x0F
    return ((0x80 if sample >= 0 else 0) | exponent << 4 | mantissa) ^ 0x55


def alaw_sample(code: int) -> int:
    code ^= 0x55
    exponent, mantissa = code >> 4 & 7, code & 0x0F
    magnitude = (mantissa << 4) + 8 if exponent == 0 else ((mantissa << 4) + 0x108) << (exponent - 1)
    return magnitude if code & 0x80 else -magnitude


_DECODE = {
    "PCMU": np.array([mulaw_sample(code) for code in range(256)], np.float64),
    "PCMA": np.array([alaw_sample(code) for code in range(256)], np.float64),
}


@lru_cache(maxsize=64)
def endless_tone(pitch: int, encoding: str, rate: int) -> bytes:
    """One second of an amplitude-modulated tone, encoded; it joins its own beginning without a step."""
    encoded = bytearray()
    for index in range(rate):
        at = index / rate
        swing = 0.6 + 0.4 * math.sin(2 * math.pi * 4 * at)
        sample = round(AMPLITUDE * swing * math.sin(2 * math.pi * pitch * at))
        if encoding == "L16":
            encoded += sample.to_bytes(2, "big", signed=True)
        else:
            encoded.append((mulaw_code if encoding == "PCMU" else alaw_code)(sample))
    return bytes(encoded)


@lru_cache(maxsize=64)
def key_tone(low: int, high: int, encoding: str, rate: int) -> bytes:
    """A tenth of a second of two tones together, as a key of a telephone sounds, encoded."""
    encoded = bytearray()
    for index in range(rate // 10):
        at = 2 * math.pi * index / rate
        sample = round(AMPLITUDE * (math.sin(low * at) + math.sin(high * at)))
        if encoding == "L16":
            encoded += sample.to_bytes(2, "big", signed=True)
        else:
            encoded.append((mulaw_code if encoding == "PCMU" else alaw_code)(sample))
    return bytes(encoded)


def decode(payload: bytes, encoding: str) -> np.ndarray:
    """Samples, float64."""
    if encoding == "L16":
        return np.frombuffer(payload, ">i2").astype(np.float64)
    return _DECODE[encoding][np.frombuffer(payload, np.uint8)]


def loudness(sound: np.ndarray, pitch: float, rate: int) -> float:
    """Mean amplitude of a tone in a stretch of sound: its projection on the pitch, windowed, in pieces of 200 ms, for a
    slip of a few milliseconds turns the phase of a pure tone."""
    if not len(sound):
        return 0.0
    piece = min(rate // 5, len(sound))
    window = np.hanning(piece)
    turn = window * np.exp(-2j * np.pi * pitch * np.arange(piece) / rate)
    pieces = np.lib.stride_tricks.sliding_window_view(sound, piece)[:: max(1, piece // 2)]
    return float(2 * np.abs(pieces @ turn).mean() / window.sum())


def frame_loudness(sound: np.ndarray, pitch: float, rate: int) -> np.ndarray:
    """The same for every frame of 20 ms, unwindowed: tones of multiples of 50 Hz do not leak into each other."""
    size = rate // 50
    frames = sound[: len(sound) // size * size].reshape(-1, size)
    turn = np.exp(-2j * np.pi * pitch * np.arange(size) / rate)
    return 2 * np.abs(frames @ turn) / size
