"""What heard speech is worth beside what was said: PESQ, STOI, delay over time, the longest hole, in numbers.

PESQ aligns by itself; for the other measures the heard is cut into pieces that are aligned one by one, as a jitter
buffer and a clock of another speed move them against each other.
"""

from dataclasses import dataclass

import numpy as np
from pesq import pesq
from pystoi import stoi
from scipy.signal import correlate

from benchmarks.sound_line import RATE, Heard
from sipconf.mixer.frame import FULL_SCALE, Pcm

PIECE = 3200  # samples aligned on their own: 0.4 s
SEARCH = 4800  # samples around what would be no delay at all: 0.6 s
HOLE_DB, SPEECH_DB = -60.0, -40.0
WINDOW = RATE // 100


@dataclass(frozen=True, slots=True)
class Worth:
    """pesq: P.862.1 MOS-LQO, 1.0 to 4.5. stoi: 0 to 1. delay_ms: mean. hole_ms: the longest silence in speech."""

    pesq: float
    stoi: float
    delay_ms: float
    hole_ms: float


def levels_db(sound: Pcm) -> np.ndarray:
    """dBFS of each 10 ms."""
    windows = sound[: len(sound) // WINDOW * WINDOW].reshape(-1, WINDOW).astype(np.float64)
    return 10 * np.log10((windows**2).mean(axis=1) / FULL_SCALE**2 + 1e-12)


def best_lag(piece: Pcm, sound: Pcm, expected: int, reach: int) -> tuple[int, float]:
    """(where in sound the piece is found, within reach of where it is expected; how alike it is there, 0 to 1)."""
    begin = max(expected - reach, 0)
    around = sound[begin : expected + reach + len(piece)].astype(np.float64)
    if len(around) < len(piece):
        return expected, 0.0
    alike = correlate(around, piece.astype(np.float64), "valid")
    energy = np.convolve(around**2, np.ones(len(piece)), "valid") * float((piece.astype(np.float64) ** 2).sum())
    score = alike / np.sqrt(np.maximum(energy, 1.0))
    best = int(score.argmax())
    return begin + best, float(score[best])


def delays(said: Pcm, heard: Heard, skew: float) -> tuple[np.ndarray, np.ndarray]:
    """(seconds of the call, delay in seconds): from the sending of a packet to the sending of what the listener gets of
    it, wherever a piece of speech is found without doubt."""
    times, found = [], []
    for begin in range(0, len(said) - PIECE, PIECE // 4):
        piece = said[begin : begin + PIECE]
        if levels_db(piece).max() < SPEECH_DB + 10:
            continue
        spoken = begin / RATE / (1 + skew)
        expected = int((spoken - heard.begun) * RATE) + SEARCH // 2
        place, alike = best_lag(piece, heard.sound, expected, SEARCH // 2)
        if alike > 0.6:
            times.append(spoken)
            found.append(heard.begun + place / RATE - spoken)
    return np.array(times), np.array(found)


def aligned(said: Pcm, heard: Heard, skew: float) -> Pcm:
    """The heard, piece by piece where the said is, as long as it."""
    times, found = delays(said, heard, skew)
    out = np.zeros(len(said), np.float32)
    for begin in range(0, len(said), PIECE // 2):
        piece = said[begin : begin + PIECE // 2]
        spoken = begin / RATE / (1 + skew)
        delay = float(np.interp(spoken, times, found)) if len(times) else 0.0
        expected = max(int(round((spoken + delay - heard.begun) * RATE)), 0)
        place = expected
        if levels_db(piece).max(initial=-99) > SPEECH_DB:
            place, alike = best_lag(piece, heard.sound, expected, WINDOW * 2)
            place = place if alike > 0.5 else expected
        part = heard.sound[place : place + len(piece)]
        out[begin : begin + len(part)] = part
    return out


def longest_hole_ms(said: Pcm, heard: Pcm) -> float:
    """The longest run of windows below HOLE_DB amid speech."""
    hole = (levels_db(heard) < HOLE_DB) & (levels_db(said) > SPEECH_DB)
    longest = run = 0
    for silent in hole.tolist():
        run = run + 1 if silent else 0
        longest = max(longest, run)
    return 10.0 * longest


def worth(said: Pcm, heard: Heard, skew: float) -> Worth:
    """All measures of one voice."""
    level = aligned(said, heard, skew)
    _, found = delays(said, heard, skew)
    begin = max(int((float(np.median(found)) if len(found) else 0.1) * RATE - heard.begun * RATE), 0)
    raw = heard.sound[begin : begin + len(said)]
    score = pesq(RATE, said.astype(np.int16), np.clip(np.rint(raw), -32768, 32767).astype(np.int16), "nb")
    return Worth(
        pesq=float(score),
        stoi=float(stoi(said, level, RATE)),
        delay_ms=1000 * float(found.mean()) if len(found) else float("nan"),
        hole_ms=longest_hole_ms(said, level),
    )
