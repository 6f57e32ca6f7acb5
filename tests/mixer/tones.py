"""Tones to test audio paths with, and the level of one tone in a mixture: who hears whom.

A test tone is amplitude-modulated: a steady one looks like noise to a gate.
"""

import numpy as np
from numpy.typing import NDArray

from sipconf.mixer.frame import FULL_SCALE, Pcm, db_to_power, power_to_db

MODULATION_HZ = 4.0
MODULATION_DEPTH = 0.6


def modulated_tone(
    frequency: float, rate: int, seconds: float, level_db: float = -20.0, first_sample: int = 0
) -> Pcm:
    """A tone of this frequency in Hz whose loudness swings four times a second; its mean power is level_db dBFS.
    first_sample: where in the endless tone to begin, so that frames made one by one join without a step."""
    at = (first_sample + np.arange(round(seconds * rate))) / rate
    swing = 1 + MODULATION_DEPTH * np.sin(2 * np.pi * MODULATION_HZ * at)
    amplitude = np.sqrt(2 * db_to_power(level_db) / (1 + MODULATION_DEPTH**2 / 2))
    return (amplitude * swing * np.sin(2 * np.pi * frequency * at)).astype(np.float32)


def tone_level_db(pcm: NDArray[np.floating], frequency: float, rate: int, width_hz: float = 10.0) -> float:
    """dBFS of what lies within width_hz of a frequency in pcm (samples,); the side bands of a test tone count."""
    window = np.blackman(len(pcm))
    spectrum = np.abs(np.fft.rfft(pcm * window)) ** 2
    centres = np.fft.rfftfreq(len(pcm), 1 / rate)
    near = np.abs(centres - frequency) <= width_hz + 3 * rate / len(pcm)
    power = 2 * spectrum[near].sum() / (len(pcm) * (window**2).sum())
    return power_to_db(min(power, FULL_SCALE**2))
