"""Whether a sound holds its notes: how music on hold differs from speech.

A note stays where it is in the spectrum for some tenths of a second, while the voice glides and changes its sounds; and
music has few gaps, while between syllables the voice falls by 15 dB all the time. Both are measured on half a dozen
seconds at 8 kHz, many sounds at a time. What follows from it: `guards`.
"""

import numpy as np
from numpy.typing import NDArray

from sipconf.mixer.frame import Pcm

STEP_FRAMES = 5
"""Frames from one spectrum to the next: 0.1 s."""
SPECTRUM_FRAMES = 3
_BINS = slice(12, 220)  # of a spectrum of 512 samples: 190 to 3400 Hz, what a telephone carries, without its hum
_POINTS = 512
HELD = 0.8
"""Two spectra that correlate so well hold the same notes."""
QUIET = 1e-3
"""Of the loudest spectrum's power: below it nothing is compared."""
DIP = 10**-1.5
SCORE = 0.15
"""Speech scores up to -0.05 in six seconds, music from 0.2."""


def spectra(sound: Pcm) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Of each row of sound, (n, SPECTRUM_FRAMES * 160): its spectrum (n, bins), compressed, of mean 0 and norm 1; and
    its power (n,)."""
    window = np.hanning(sound.shape[1]).astype(np.float32)
    power = np.abs(np.fft.rfft(sound * window, _POINTS, axis=1)[:, _BINS]) ** 2
    shape = np.sqrt(np.sqrt(power))
    shape -= shape.mean(axis=1, keepdims=True)
    shape /= np.sqrt((shape**2).sum(axis=1, keepdims=True)) + 1e-9
    return shape.astype(np.float32), power.sum(axis=1).astype(np.float32)


def score(alike: NDArray[np.float32], power: NDArray[np.float32], extremes: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much like music each of n sounds is; SCORE and more is music.

    alike, power: float32 (n, spectra), each spectrum's correlation with the one before and its power. extremes:
    float32 (n, blocks, 2), the quietest and the loudest frame of each 0.2 s.
    """
    loud = power > QUIET * power.max(axis=1, keepdims=True)
    held = ((alike > HELD) & loud).sum(axis=1) / np.maximum(loud.sum(axis=1), power.shape[1] / 2)
    usual = np.sort(extremes[:, :, 1], axis=1)[:, extremes.shape[1] * 4 // 5, None]
    dips = (extremes[:, :, 0] < usual * np.float32(DIP)).mean(axis=1)
    return held - 0.5 * dips
