"""Keys as a telephone sends them: two tones together (ITU-T Q.23), with every fault that a line may add."""

import numpy as np

RATE = 8000
LOW_HZ, HIGH_HZ = (697, 770, 852, 941), (1209, 1336, 1477, 1633)
PAD = ("123A", "456B", "789C", "*0#D")
KEYS = "".join(PAD)
FULL_SCALE_DBM0 = 3.17


def pair_of(key: str) -> tuple[int, int]:
    """The low and the high tone of a key in Hz."""
    row = next(row for row, keys in enumerate(PAD) if key in keys)
    return LOW_HZ[row], HIGH_HZ[PAD[row].index(key)]


def amplitude(level_dbm0: float) -> float:
    """Of a tone at int16 scale."""
    return 32768 * 10 ** ((level_dbm0 - FULL_SCALE_DBM0) / 20)


def tone(
    key: str, ms: float, rng: np.random.Generator, *, off: tuple[float, float] = (0, 0), twist_db: float = 0,
    level_dbm0: float = -10, rate: int = RATE,
) -> np.ndarray:
    """A key, float64 (samples,), its phases by chance. off: of each frequency; twist_db: high over low; level_dbm0: of
    the louder tone."""
    at = 2 * np.pi * np.arange(round(ms * rate / 1000)) / rate
    levels = level_dbm0 + min(-twist_db, 0), level_dbm0 + min(twist_db, 0)
    tones = (amplitude(level) * np.sin(hz * (1 + by) * at + rng.uniform(0, 2 * np.pi))
             for hz, by, level in zip(pair_of(key), off, levels, strict=True))  # fmt: skip
    return sum(tones, np.zeros(len(at)))


def noise(like: np.ndarray, snr_db: float, rng: np.random.Generator) -> np.ndarray:
    """White noise so far below the mean power of a sound."""
    return rng.normal(0, np.sqrt(np.mean(like**2) / 10 ** (snr_db / 10)), len(like))


def line_of_keys(
    keys: str, rng: np.random.Generator, *, ms: float = 40, pause_ms: float = 40, off: float = 0.015,
    twists_db: tuple[float, float] = (-8, 4), snr_db: float = 15,
) -> np.ndarray:
    """Keys one after the other from some moment on, each with its own twist and deviation (+-off), in noise all along;
    float32 (samples,). The softer tone has at least -25 dBm0, the noise snr_db under the softest key."""
    level = rng.uniform(-25, 0)
    parts, powers = [np.zeros(int(rng.integers(160, 480)))], []
    for key in keys:
        twist = rng.uniform(*twists_db)
        sound = tone(key, ms, rng, off=tuple(rng.choice([-off, off], 2)), twist_db=twist,
                     level_dbm0=min(0, max(level, abs(twist) - 25)))  # fmt: skip
        powers.append(np.mean(sound**2))
        parts += [sound, np.zeros(round(pause_ms * RATE / 1000))]
    line = np.concatenate(parts)
    return (line + rng.normal(0, np.sqrt(min(powers) / 10 ** (snr_db / 10)), len(line))).astype(np.float32)
