"""Whether a stretch of sound is a digit: against plain loops, and against the limits of ITU-T Q.24 Annex A."""

import cmath
import math

import numpy as np
import pytest

from sipconf.mixer.goertzel import KEYS, STRETCH, WINDOW, Screen, measure, tone_power
from tests.mixer import keyed

HOP = 80
PROMPT = {"purity": 0.85, "high_db": 7.0, "low_db": 11.0}
ROOM = {"purity": 0.90, "high_db": 6.5, "low_db": 9.5}


def weight(n: int) -> float:
    return math.sin(math.pi * (n + 0.5) / WINDOW) ** 2


def plain_tone(window: list[float], hz: float) -> complex:
    """Goertzel's recursion over the weighted window, turned from the first sample, its square the mean square."""
    turn = 2 * math.pi * hz / 8000
    last = before = 0.0
    for n, sample in enumerate(window):
        last, before = weight(n) * sample + 2 * math.cos(turn) * last - before, last
    at_the_end = last - before * cmath.exp(-1j * turn)
    total = sum(weight(n) for n in range(WINDOW))
    return at_the_end * cmath.exp(-1j * turn * (WINDOW - 1)) * math.sqrt(2) / total


def plain_likely(window: list[float]) -> bool:
    powers = [abs(plain_tone(window, hz)) ** 2 for hz in keyed.LOW_HZ + keyed.HIGH_HZ]
    low, high = max(powers[:4]), max(powers[4:])
    mean = sum(sample * sample for sample in window) / WINDOW
    least = keyed.amplitude(-29) ** 2 / 2
    return low + high > 0.62 * mean and min(low, high) > max(0.06 * mean, least / 2)


def plain_measure(sound: list[float], strict: bool) -> str:
    """The key, or nothing."""
    limit = ROOM if strict else PROMPT
    windows = [sound[:WINDOW], sound[HOP:]]
    shown, power = [], []
    for group in (keyed.LOW_HZ, keyed.HIGH_HZ):
        hz = max(group, key=lambda hz: sum(abs(plain_tone(window, hz)) ** 2 for window in windows))
        first, second = (plain_tone(window, hz) for window in windows)
        off = cmath.phase(second * first.conjugate() * cmath.exp(-2j * math.pi * hz * HOP / 8000)) * 50 / math.pi
        if abs(off) > 0.021 * hz:
            return ""
        bins = off * WINDOW / 8000
        loss = (math.sin(math.pi * bins) / (math.pi * bins) if bins else 1.0) / (1 - bins**2)
        shown.append((hz, off))
        power.append([abs(each) ** 2 / loss**2 for each in (first, second)])
    (low, low_off), (high, high_off) = shown
    if abs((high + high_off) / (low + low_off) - 2) <= 0.012:
        return ""
    total = sum(weight(n) for n in range(WINDOW))
    for window, lows, highs in zip(windows, *power, strict=True):
        mean = sum(weight(n) * sample**2 for n, sample in enumerate(window)) / total
        if lows + highs < limit["purity"] * mean or min(lows, highs) < keyed.amplitude(-29) ** 2 / 2:
            return ""
    twist_db = 10 * math.log10(sum(power[1]) / sum(power[0]))
    if not -limit["low_db"] <= twist_db <= limit["high_db"]:
        return ""
    pieces = [sum(sample**2 for sample in sound[at : at + 40]) for at in range(0, STRETCH, 40)]
    if min(pieces[0], pieces[-1]) < 0.6 * sum(pieces) / len(pieces):
        return ""
    return keyed.PAD[keyed.LOW_HZ.index(low)][keyed.HIGH_HZ.index(high)]


def keys_of(digits: np.ndarray) -> list[str]:
    return [KEYS[digit] if digit >= 0 else "" for digit in digits]


def stretches(rng: np.random.Generator, count: int) -> np.ndarray:
    """Keys, good and bad by chance: too soft, off, twisted, in noise, or cut off."""
    sounds = []
    for key in rng.choice(list(keyed.KEYS), count):
        sound = keyed.tone(key, 30, rng, off=tuple(rng.uniform(-0.03, 0.03, 2)), twist_db=rng.uniform(-13, 9),
                           level_dbm0=rng.uniform(-30, 0))  # fmt: skip
        sound += keyed.noise(sound, rng.uniform(4, 40), rng)
        cut = int(rng.choice([0, 0, 0, 20, 60, 120]))
        sounds.append(np.concatenate([np.zeros(cut), sound[cut:]]))
    return np.array(sounds, np.float32)


def test_keys_are_those_of_the_keypad() -> None:
    assert KEYS == keyed.KEYS


def test_agrees_with_plain_loops() -> None:
    rng = np.random.default_rng(1)
    sounds = stretches(rng, 250)
    expected = [plain_likely(list(map(float, sound[:WINDOW]))) for sound in sounds]
    assert list(Screen().likely(sounds[:, :WINDOW])) == expected
    assert 50 < sum(expected) < 245, "of both kinds"
    for strict in (False, True):
        digits, power = measure(sounds, np.full(len(sounds), strict))
        expected = [plain_measure(list(map(float, sound)), strict) for sound in sounds]
        assert keys_of(digits) == expected
        assert 25 < sum(map(bool, expected)) < 225, "of both kinds"
    low, high = keyed.pair_of("5")
    window = sounds[0, :WINDOW]
    plain = sum(abs(plain_tone(list(map(float, window)), hz)) ** 2 for hz in (low, high))
    assert tone_power(window[None], np.array([KEYS.index("5")]))[0] == pytest.approx(plain, rel=1e-3)


def test_silence_is_no_digit() -> None:
    silence = np.zeros((3, STRETCH), np.float32)
    assert not Screen().likely(silence[:, :WINDOW]).any()
    assert keys_of(measure(silence, np.zeros(3, bool))[0]) == ["", "", ""]


def share_found(strict: bool, **how: float | tuple[float, float]) -> float:
    """Of 320 keys made so, each in its own phase; what passes the close look must have passed the first one."""
    rng = np.random.default_rng(2)
    keys = list(keyed.KEYS) * 20
    sounds = np.array([keyed.tone(key, 30, rng, **how) for key in keys], np.float32)
    right = [found == key for found, key in zip(keys_of(measure(sounds, np.full(320, strict))[0]), keys, strict=True)]
    likely = Screen().likely(sounds[:, :WINDOW])
    assert not (np.array(right) & ~likely).any()
    return float(np.mean(right))


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("how", [
    {"off": (0.015, -0.015)}, {"off": (-0.015, 0.015)}, {"off": (0.015, 0.015)}, {"off": (-0.015, -0.015)},
    {"twist_db": 4}, {"twist_db": -8}, {"level_dbm0": -25}, {"level_dbm0": 0},
])  # fmt: skip
def test_what_q24_accepts(strict: bool, how: dict) -> None:
    assert share_found(strict, **how) == 1.0


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("how", [
    {"off": (0.035, 0)}, {"off": (0, 0.035)}, {"off": (-0.035, 0)}, {"off": (0, -0.035)}, {"off": (0.035, 0.035)},
    {"off": (-0.035, -0.035)}, {"off": (0, 0.042)}, {"twist_db": 12}, {"twist_db": -13}, {"level_dbm0": -31},
])  # fmt: skip
def test_what_q24_rejects(strict: bool, how: dict) -> None:
    assert share_found(strict, **how) == 0.0


def test_a_note_and_its_overtone_are_no_digit() -> None:
    at = 2 * np.pi * np.arange(STRETCH) / 8000
    notes = np.array([4000 * np.sin(834.5 * at) + 2500 * np.sin(2 * 834.5 * at)], np.float32)
    assert Screen().likely(notes[:, :WINDOW]).all()
    assert keys_of(measure(notes, np.zeros(1, bool))[0]) == [""]
