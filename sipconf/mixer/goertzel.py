"""Is this stretch of sound a digit keyed as two tones (DTMF)? Asked of many legs at once.

The tones are those of ITU-T Q.23, the limits those of ITU-T Q.24 Annex A. `Screen` puts Goertzel's question to
every leg in one matrix product, cheap and generous; `measure` looks closely at the few stretches that pass. Samples are
8 kHz. Not here: where one press ends and the next begins (inband).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sipconf.mixer.frame import FULL_SCALE, Pcm

RATE = 8000
HOP = 80
"""Samples: half a frame. Whole frames would miss short digits, for two of them need not lie inside 40 ms."""
WINDOW = 2 * HOP
STRETCH = WINDOW + HOP
"""Samples that are looked at closely: two windows, a hop apart. Wherever a tone of 40 ms begins, one lies inside it."""
LOW_HZ = (697, 770, 852, 941)
HIGH_HZ = (1209, 1336, 1477, 1633)
KEYS = "123A456B789C*0#D"
"""By number: 4 * row of the keypad (its low tone) + column (its high tone)."""

LEAST_POWER = FULL_SCALE**2 / 2 * 10 ** (-(29 + 3.17) / 10)
"""Mean square of a tone of -29 dBm0, 4 dB under the softest that must be heard; a full-scale sine has +3.17 dBm0."""
LIKELY, LIKELY_WEAKER = 0.62, 0.06
"""Share of a window's power in its strongest low and high tone, and in the weaker of them, from which it is worth a
closer look. A high tone off by 1.5 % shows 0.72 of itself."""
TOLERANCE = 0.021
"""Greatest deviation of a frequency: 1.5 % must be taken and 3.5 % refused, and the nearest notes of music but a few
are 2.5 % away or more."""
STEADY = 0.6
"""What the first and the last 5 ms must have of the mean power: a tone of 23 ms, no digit by Q.24, leaves one out."""
OCTAVE = 0.012
"""A high tone within this of twice the low one is its overtone, hence a note of music; no key comes so near (0.024)."""

_FREQUENCIES = np.array(LOW_HZ + HIGH_HZ, np.float64)
_WEIGHTS = np.sin(np.pi * (np.arange(WINDOW) + 0.5) / WINDOW) ** 2  # Hann: 268 Hz away nothing leaks
_TURNS = np.exp(-2j * np.pi * _FREQUENCIES[:, None] * np.arange(WINDOW) / RATE) * _WEIGHTS
_TURNS *= np.sqrt(2) / _WEIGHTS.sum()  # so that a power is the mean square of the tone
_MATRIX = np.concatenate([_TURNS.real, _TURNS.imag]).astype(np.float32)  # (16, WINDOW)
_ADVANCE = np.exp(-2j * np.pi * _FREQUENCIES * HOP / RATE)
_MEAN = (_WEIGHTS / _WEIGHTS.sum()).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Limits:
    """What is still a digit. purity: least share of the power in the two tones. high_db, low_db: how much louder the
    high, the low tone may be (reverse and normal twist; 4 dB and 8 dB must be taken, by the North American column)."""

    purity: float
    high_db: float
    low_db: float


IN_PROMPT = Limits(purity=0.85, high_db=7.0, low_db=11.0)
IN_ROOM = Limits(purity=0.90, high_db=6.5, low_db=9.5)


class Screen:
    """The cheap look at all legs. Keeps its arrays from call to call, for a tick has no time to make them."""

    def __init__(self) -> None:
        self._products = np.zeros((0, len(_MATRIX)), np.float32)
        self._squares = np.zeros((len(_MATRIX), 0), np.float32)

    def likely(self, windows: Pcm) -> NDArray[np.bool_]:
        """Which windows may hold a digit, bool (n,): most of their power is in one low and one high tone.
        windows: float32 (n, WINDOW) at int16 scale."""
        if len(self._products) != len(windows):
            self._products = np.zeros((len(windows), len(_MATRIX)), np.float32)
            self._squares = np.zeros((len(_MATRIX), len(windows)), np.float32)
        np.matmul(windows, _MATRIX.T, out=self._products)
        np.multiply(self._products.T, self._products.T, out=self._squares)
        tones = self._squares[:8]
        tones += self._squares[8:]
        low, high = tones[:4].max(axis=0), tones[4:].max(axis=0)
        least = np.vecdot(windows, windows)
        least *= np.float32(LIKELY / WINDOW)
        weaker = np.minimum(low, high)
        low += high
        likely = low > least
        least *= np.float32(LIKELY_WEAKER / LIKELY)
        likely &= weaker > np.maximum(least, np.float32(LEAST_POWER / 2), out=least)
        return likely


def tone_power(windows: Pcm, digits: NDArray[np.int64]) -> NDArray[np.float64]:
    """The mean square of a digit's two tones in each window, float64 (n,). windows: float32 (n, WINDOW); digits: int64
    (n,), places in KEYS."""
    every = np.arange(len(windows))
    tones = np.abs(_tones(windows)) ** 2
    return tones[every, digits // 4] + tones[every, 4 + digits % 4]


def _tones(windows: Pcm) -> NDArray[np.complex128]:
    """The eight tones of each window, (n, 8), turned from its first sample on; the square is the mean square."""
    products = (windows @ _MATRIX.T).astype(np.float64)
    return products[:, :8] + 1j * products[:, 8:]


def measure(sound: Pcm, strict: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The digit in each stretch, int64 (n,), a place in KEYS or -1, and the mean square of its tones, float64 (n,).

    sound: float32 (n, STRETCH) at int16 scale. strict: bool (n,), judge by IN_ROOM instead of IN_PROMPT.
    """
    every = np.arange(len(sound))
    tones = np.stack([_tones(sound[:, :WINDOW]), _tones(sound[:, HOP:])])  # (window, stretch, tone)
    mean = (np.abs(tones) ** 2).sum(axis=0)
    low, high = mean[:, :4].argmax(axis=1), 4 + mean[:, 4:].argmax(axis=1)
    limit = {name: np.where(strict, getattr(IN_ROOM, name), getattr(IN_PROMPT, name)) for name in Limits.__slots__}
    power, heard_hz, right = [], [], np.ones(len(sound), bool)
    for tone in (low, high):
        chosen = tones[:, every, tone]
        # Between two windows the phase goes on by what the frequency says: a fine reading of it (within 50 Hz).
        off_hz = np.angle(chosen[1] * chosen[0].conj() * _ADVANCE[tone]) * RATE / HOP / (2 * np.pi)
        right &= np.abs(off_hz) <= TOLERANCE * _FREQUENCIES[tone]
        heard_hz.append(_FREQUENCIES[tone] + off_hz)
        bins = np.clip(off_hz * WINDOW / RATE, -0.9, 0.9)
        power.append(np.abs(chosen) ** 2 / (np.sinc(bins) / (1 - bins**2)) ** 2)
    right &= np.abs(heard_hz[1] / heard_hz[0] - 2) > OCTAVE
    lows, highs = power
    squares = sound * sound
    total = np.stack([squares[:, :WINDOW] @ _MEAN, squares[:, HOP:] @ _MEAN])
    right &= (lows + highs >= limit["purity"] * total).all(axis=0)
    right &= np.minimum(lows, highs).min(axis=0) >= LEAST_POWER
    twist_db = 10 * np.log10(np.maximum(highs.sum(axis=0), 1e-9) / np.maximum(lows.sum(axis=0), 1e-9))
    right &= (twist_db <= limit["high_db"]) & (twist_db >= -limit["low_db"])
    pieces = squares.reshape(len(sound), -1, HOP // 2).mean(axis=2)
    right &= np.minimum(pieces[:, 0], pieces[:, -1]) >= STEADY * pieces.mean(axis=1)
    return np.where(right, 4 * low + high - 4, -1), (lows + highs).mean(axis=0)
