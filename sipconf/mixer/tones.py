"""Tones made by calculation: the two-note signals of joining and leaving, and tones to test audio paths with.

A test tone is amplitude-modulated: a steady tone looks like noise to a gate. `tone_level_db` measures one tone in
a mixture, so that whoever hears whom can be read off a recording.
"""

import numpy as np
from numpy.typing import NDArray

from sipconf.mixer.frame import FULL_SCALE, Pcm, db_to_power, power_to_db

NOTE_S = 0.15
NOTE_DB = -26.0
JOIN_HZ = (523.25, 783.99)  # C5 then G5
LEAVE_HZ = (783.99, 523.25)
MODULATION_HZ = 4.0
MODULATION_DEPTH = 0.6


def notes(frequencies: tuple[float, ...], rate: int) -> Pcm:
    """Soft notes one after the other, float32 (samples,), each with a quick rise and a round fall to silence."""
    at = np.arange(int(NOTE_S * rate)) / rate
    shape = np.sin(np.pi * np.minimum(at / 0.02, 1) / 2) ** 2 * np.cos(np.pi * at / (2 * NOTE_S)) ** 2
    amplitude = np.sqrt(2 * db_to_power(NOTE_DB))
    voice = [np.sin(2 * np.pi * f * at) + 0.15 * np.sin(4 * np.pi * f * at) for f in frequencies]
    return np.concatenate([amplitude * 1.8 * shape * v for v in voice]).astype(np.float32)


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
