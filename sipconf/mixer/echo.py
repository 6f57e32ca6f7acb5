"""Whether a leg returns what it was sent: the delay of an echo, and how much of the leg's sound it explains.

The delay is where the phases of both sounds agree at all frequencies at once (generalised cross-correlation with phase
transform: C. Knapp, G. Carter, IEEE Trans. ASSP 24 (1976) 320), which two people who take turns never do. How much is
echo is the coherence of both sounds after that delay. What follows from it: `guards`.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sipconf.mixer.frame import Pcm

RATE = 4000
LAGS_MS = (20, 500)
BAND_HZ = (250, 1750)
_SEGMENT = 256  # samples of a spectrum for the coherence: 64 ms
_STEP = 128
_WINDOW = np.hanning(_SEGMENT).astype(np.float32)


class Echo(NamedTuple):
    """lag_ms: the likeliest delay. strength: how far its peak stands out, in standard deviations; without an echo about
    5. share: how much of the sound's power the delayed other one explains, 0 to 1."""

    lag_ms: float
    strength: float
    share: float


def find_echo(heard: Pcm, sent: Pcm) -> Echo:
    """heard (n,) and sent (n + LAGS_MS[1] * RATE / 1000,) at RATE, both ending now."""
    longest, shortest = (edge * RATE // 1000 for edge in reversed(LAGS_MS))
    points = 1 << (len(sent) - 1).bit_length()  # what wraps around is at lags that nobody looks at
    early = np.fft.rfft(sent, points)
    cross = np.fft.rfft(heard, points) * early.conj()
    magnitude = np.abs(cross)
    hertz = np.fft.rfftfreq(points, 1 / RATE)
    inside = (hertz > BAND_HZ[0]) & (hertz < BAND_HZ[1])
    # Where hardly anything is there, the phase is chance: less weight, but not none.
    weight = inside / (magnitude + 1e-2 * magnitude[inside].max() + 1e-9)
    agreement = np.fft.irfft(cross * weight, points)
    # heard[k] is sent[k + longest - lag]: the lag shows at lag - longest.
    places = (np.arange(shortest, longest + 1) - longest) % points
    curve = agreement[places]
    best = int(np.abs(curve).argmax())
    lag = shortest + best
    strength = float(np.abs(curve[best]) / (np.sqrt(np.mean(agreement**2)) + 1e-12))
    aligned = sent[longest - lag : longest - lag + len(heard)]
    return Echo(lag * 1000 / RATE, strength, _explained(heard, aligned))


def _explained(heard: Pcm, aligned: Pcm) -> float:
    both = np.fft.rfft(_segments(heard), axis=1), np.fft.rfft(_segments(aligned), axis=1)
    power = [(np.abs(each) ** 2).sum(axis=0) for each in both]
    cross = np.abs((both[0] * both[1].conj()).sum(axis=0)) ** 2
    return float((cross / (power[1] + 1e-9)).sum() / (power[0].sum() + 1e-9))


def _segments(sound: Pcm) -> NDArray[np.floating]:
    return np.lib.stride_tricks.sliding_window_view(sound, _SEGMENT)[::_STEP] * _WINDOW
