"""How well talking is told from noise, and how evenly levels are matched: synthesised voices in noises of some kinds.

An onset is the first frame of speech within 15 dB of the talker's level after 0.3 s without one; it is cut when more
than 10 ms of such frames are lost before its gate is open. A noise frame is one more than 0.5 s away from any speech.
Run: python -m benchmarks.bench_levels [--passages N]
"""

import argparse

import numpy as np
from numpy.typing import NDArray

from benchmarks.speech import RATE, Voice, speech, voices
from sipconf.mixer.frame import FULL_SCALE, Pcm
from sipconf.mixer.levels import BLOCK, Levels
from sipconf.mixer.matching import TARGET_DB, LevelMatching

FRAME = RATE // 50
NEAR_DB = 15.0
NOISES = ("white", "pink", "car", "babble")
SNRS_DB = (40, 30, 25, 20, 15)
TALKER_DB = (-38.0, -32.0, -26.0, -20.0, -14.0, -9.0)
PAUSE_S = 3.0
PHRASE_S = 6.0


def noise(kind: str, samples: int, rng: np.random.Generator, voices_of: list[Pcm]) -> NDArray[np.float64]:
    """Noise of a kind, mean square 1."""
    if kind == "babble":
        starts = rng.integers(0, [len(voice) - samples for voice in voices_of])
        sound = sum(
            voice[first : first + samples].astype(np.float64)
            for voice, first in zip(voices_of, starts, strict=True)
        )
    else:
        slope = {"white": 0.0, "pink": 0.5, "car": 1.5}[kind]
        spectrum = np.fft.rfft(rng.standard_normal(samples))
        hertz = np.fft.rfftfreq(samples, 1 / RATE)
        spectrum *= np.where(hertz > 80, np.maximum(hertz, 80.0) ** -slope, 0)
        sound = np.fft.irfft(spectrum, samples)
    return sound / np.sqrt(np.mean(sound**2))


def powers(sound: NDArray) -> NDArray[np.float64]:
    frames = sound[: len(sound) // FRAME * FRAME].reshape(-1, FRAME).astype(np.float64)
    return (frames**2).mean(axis=1)


def active_db(sound: NDArray) -> float:
    """The level of the frames within 16 dB of it, as in ITU-T P.56."""
    power = powers(sound)
    level = power.mean()
    for _ in range(20):
        level = power[power > level * 10**-1.6].mean()
    return 10 * float(np.log10(level / FULL_SCALE**2))


def phrases(sound: Pcm) -> Pcm:
    """The speech in phrases of some seconds with pauses between them, as in a conversation, and before the first."""
    piece, pause = int(PHRASE_S * RATE), np.zeros(int(PAUSE_S * RATE), np.float32)
    parts = [pause]
    for first in range(0, len(sound) - piece, piece):
        parts += [sound[first : first + piece], pause]
    return np.concatenate(parts)


def gates(sounds: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Who talks in which frame: bool (frames, rows) for sounds (rows, samples)."""
    levels = Levels()
    for row in range(len(sounds)):
        levels.add(row)
    talking = []
    for first in range(0, sounds.shape[1] - FRAME + 1, FRAME):
        levels.hear(np.ascontiguousarray(sounds[:, first : first + FRAME], np.float32))
        talking.append(levels.talking.copy())
    return np.array(talking)


def judge(clean: Pcm, talking: NDArray[np.bool_], level_db: float) -> tuple[int, int, int, int]:
    """(onsets, those cut, noise frames, those let through) of one voice."""
    power = 10 * np.log10(powers(clean) / FULL_SCALE**2 + 1e-12)
    near, audible = power > level_db - NEAR_DB, power > level_db - 40
    onsets = cut = 0
    for frame in np.flatnonzero(near):
        if near[max(0, frame - 15) : frame].any():
            continue
        onsets += 1
        opened = np.argmax(talking[frame:]) if talking[frame:].any() else 15
        cut += bool(near[frame : frame + opened].sum() > 0)
    far = ~np.convolve(audible, np.ones(51), "same").astype(bool)
    far[:150] = False
    return onsets, cut, int(far.sum()), int(talking[far].sum())


def measure_gates(spoken: dict[str, Pcm]) -> None:
    rng = np.random.default_rng(4)
    length = min(map(len, spoken.values()))
    clean = np.stack([phrases(sound[:length]) for sound in spoken.values()])
    level = np.array([active_db(sound) for sound in clean])
    print(f"{'noise':8} {'SNR dB':>6} {'onsets':>7} {'cut %':>7} {'noise frames':>13} {'let through %':>14}")
    for kind in NOISES:
        hiss = np.stack([
            np.resize(noise(kind, length - 1, rng, [s for s in spoken.values() if s is not own]), clean.shape[1])
            for own in spoken.values()
        ])  # fmt: skip
        for snr in SNRS_DB:
            talking = gates(clean + hiss * (FULL_SCALE * 10 ** ((level - snr) / 20))[:, None])
            total = np.zeros(4, int)
            for row, sound in enumerate(clean):
                total += judge(sound, talking[:, row], level[row])
            onsets, cut, quiet, through = total
            print(f"{kind:8} {snr:6} {onsets:7} {100 * cut / onsets:7.2f} {quiet:13} {100 * through / quiet:14.3f}")


def matched(sound: Pcm) -> tuple[Pcm, NDArray[np.float32]]:
    """What level matching makes of a voice, and the gain in each frame in dB."""
    levels = Levels()
    matching = LevelMatching(levels)
    levels.add(0)
    matching.add(0)
    matching.match(0, True)
    out, gains = sound[: len(sound) // FRAME * FRAME].copy(), []
    for first in range(0, len(out), FRAME):
        frame = out[first : first + FRAME]
        levels.hear(frame[None])
        if levels.at == BLOCK - 1:
            matching.learn()
        frame *= matching.gain[0]
        gains.append(20 * np.log10(matching.gain[0]))
    return out, np.array(gains)


def measure_matching(spoken: dict[str, Pcm]) -> None:
    rng = np.random.default_rng(5)
    heads = ("talker dBFS", "within 3 dB", "worst dB", "gain dB", "moves a minute", "largest")
    print("\n{:>11} {:>12} {:>9} {:>8} {:>15} {:>8}".format(*heads))
    for talker in TALKER_DB:
        off, gain_db, moves, largest, seconds = [], [], 0, 0.0, 0.0
        for sound in spoken.values():
            clean = sound * np.float32(10 ** ((talker - active_db(sound)) / 20))
            hiss = noise("pink", len(clean), rng, []) * FULL_SCALE * 10 ** ((talker - 40) / 20)
            both = np.clip(np.rint(clean + hiss), -32768, 32767).astype(np.float32)
            out, gains = matched(both)
            # From two seconds of speech on, in stretches of ten seconds.
            begin = int(np.flatnonzero(np.cumsum(powers(clean) > powers(clean).max() / 1e3) >= 100)[0]) * FRAME
            for first in range(begin, len(out) - 10 * RATE, 10 * RATE):
                off.append(active_db(out[first : first + 10 * RATE]) - TARGET_DB)
            later = gains[begin // FRAME + 150 :]
            steps = np.abs(np.diff(later))
            moves += int((steps > 0).sum())
            largest = max(largest, float(np.ptp(later)))
            seconds += len(later) / 50
            gain_db.append(float(np.median(gains)))
        off = np.array(off)
        print(
            f"{talker:11.0f} {100 * np.mean(np.abs(off) <= 3):11.1f}% {off[np.abs(off).argmax()]:9.1f}"
            f" {np.median(gain_db):8.1f} {60 * moves / seconds:15.1f} {largest:8.1f}"
        )


def spoken_by(available: list[Voice], passages: int) -> dict[str, Pcm]:
    """Voice and passage to its speech."""
    return {f"{voice.name} {k}": speech(voice, k) for k in range(passages) for voice in available}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=1, help="of two minutes, for each voice")
    spoken = spoken_by(voices(), parser.parse_args().passages)
    print(f"{len(spoken)} passages, {sum(map(len, spoken.values())) / RATE / 60:.0f} minutes of speech")
    measure_gates(spoken)
    measure_matching(spoken)


if __name__ == "__main__":
    main()
