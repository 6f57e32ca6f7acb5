"""Digits as tones in the voice: how many are lost, how many invented, and what listening for them costs.

Ten thousand digits of 40 ms with pauses of 40 ms, off by 1.5 %, at every twist and level that ITU-T Q.24 allows, in
noise of 15 dB, through either law of G.711; the same off by 3.5 %, or 23 ms long, which are to be rejected; then three
hours of speech and as many of music (benchmarks.speech). "In the prompt" somebody is being asked for digits, "in the
room" people talk. Cost is CPU time, its ratio against Goertzel's recursion for one leg after the other in plain Python.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import difflib
import math
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from benchmarks.speech import music, speech, voices
from sipconf.mixer.codecs.catalogue import codec
from sipconf.mixer.edge.wavfile import SOUNDS, read_wav
from sipconf.mixer.goertzel import HIGH_HZ, KEYS, LOW_HZ, RATE, WINDOW
from sipconf.mixer.inband import InbandDigits
from sipconf.mixer.resample import convert
from tests.mixer.keyed import line_of_keys

FRAME = RATE // 50
LAWS = ("PCMU", "PCMA")
STRICTNESS = {"in the prompt": False, "in the room": True}
DIGITS, DIGITS_A_LINE = 10_000, 50
SPEECH_HOURS, MUSIC_HOURS = 3.0, 3.0
PASSAGE_S = 140.0
COSTS = ((1000, 1000), (500, 500), (100, 100), (1, 1), (1000, 1), (1000, 0))
"""(legs of the bank, legs that need it)."""


def told(lines: Sequence[np.ndarray], law: str, strict: bool) -> list[str]:
    """The digits heard in each line, float32 (samples,), side by side as the rows of a bank."""
    frames = max(map(len, lines)) // FRAME + 4
    sound = np.zeros((len(lines), frames * FRAME), np.float32)
    for row, line in enumerate(lines):
        sound[row, : len(line)] = line
    coder, digits = codec(law, RATE), InbandDigits(RATE)
    codes, pcm = np.zeros((len(lines), FRAME), np.uint8), np.zeros((len(lines), FRAME), np.float32)
    filled = np.ones((len(lines), 2), np.uint8)
    for row in range(len(lines)):
        digits.listen(row, True, strict)
    heard = [""] * len(lines)
    for at in range(0, sound.shape[1], FRAME):
        coder.encode(sound[:, at : at + FRAME].copy(), codes)
        coder.decode(codes, pcm)
        for row, key in digits.hear(pcm, filled):
            heard[row] += key
    return heard


def judged(sent: Sequence[str], heard: Sequence[str]) -> dict[str, int]:
    """How many digits are missing from what was heard, and how many are too many."""
    common = 0
    for one, other in zip(sent, heard, strict=True):
        common += sum(b.size for b in difflib.SequenceMatcher(None, one, other, autojunk=False).get_matching_blocks())
    return {"missed": sum(map(len, sent)) - common, "invented": sum(map(len, heard)) - common}


def keyed_rows(count: int) -> Iterator[dict]:
    """One row per kind of digit, law and strictness."""
    kinds: dict[str, dict] = {"40 ms, 1.5 % off": {}, "3.5 % off": {"off": 0.035}, "23 ms": {"ms": 23}}
    for kind, how in kinds.items():
        for law in LAWS:
            for place, strict in STRICTNESS.items():
                rng = np.random.default_rng(40)
                sent = ["".join(rng.choice(list(KEYS), DIGITS_A_LINE)) for _ in range(count // DIGITS_A_LINE)]
                heard = told([line_of_keys(keys, rng, **how) for keys in sent], law, strict)
                yield {"name": f"digits {kind}, {law}, {place}", "sent": count, **judged(sent, heard)}


def passages(hours: float) -> Iterator[np.ndarray]:
    """Speech of all voices in turn, at levels 12 dB up and down."""
    rng, here, spoken, passage = np.random.default_rng(41), voices(), 0, 0
    while here and spoken < hours * 3600 * RATE:
        sound = speech(here[passage % len(here)], passage) * np.float32(10 ** (rng.uniform(-12, 6) / 20))
        spoken += len(sound)
        passage += 1
        yield sound


def pieces(hours: float) -> Iterator[np.ndarray]:
    """Our own music on hold and that of benchmarks.speech."""
    rng = np.random.default_rng(42)
    rate, hold = read_wav(SOUNDS / "music.wav")
    yield np.tile(convert(hold, rate, RATE), math.ceil(PASSAGE_S * rate / len(hold)))
    for _ in range(round(hours * 3600 / PASSAGE_S)):
        yield music(rng, PASSAGE_S)


def talk_off_rows(hours: dict[str, float]) -> Iterator[dict]:
    """One row per kind of sound, law and strictness."""
    for kind, made in (("speech", passages(hours["speech"])), ("music", pieces(hours["music"]))):
        sounds = list(made)
        seconds = round(sum(map(len, sounds)) / RATE)
        for law in LAWS:
            for place, strict in STRICTNESS.items():
                invented = sum(map(len, told(sounds, law, strict))) if sounds else None
                yield {"name": f"digits {kind}, {law}, {place}", "seconds": seconds, "invented": invented}


def plain_goertzel(window: Sequence[float]) -> list[float]:
    """Power of the eight tones in one window of one leg, sample by sample."""
    powers = []
    for hz in LOW_HZ + HIGH_HZ:
        turn = 2 * math.cos(2 * math.pi * hz / RATE)
        last = before = 0.0
        for sample in window:
            last, before = sample + turn * last - before, last
        powers.append(last * last + before * before - turn * last * before)
    return powers


def cpu_us(call: Callable[[int], object], rounds: int, calls: int) -> float:
    """Median over rounds of the CPU time of call(n), in microseconds."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        for n in range(calls):
            call(n)
        times.append((time.process_time() - start) / calls * 1e6)
    return float(np.median(times))


def cost_rows(spoken: np.ndarray, calls: int) -> Iterator[dict]:
    """Everybody talks; some need to be listened to."""
    rng = np.random.default_rng(43)
    window = spoken[RATE : RATE + WINDOW].tolist()
    plain = 2 * cpu_us(lambda n: plain_goertzel(window), 5, 40)  # two windows a frame
    yield {"name": "digits plain Goertzel, one leg", "us_per_leg": plain, "ratio": 1.0}
    for legs, needing in COSTS:
        first = rng.integers(0, len(spoken) - 21 * FRAME, legs)
        frames = [spoken[first[:, None] + n * FRAME + np.arange(FRAME)] for n in range(20)]
        digits, filled = InbandDigits(RATE), np.ones((legs, 2), np.uint8)
        for row in range(needing):
            digits.listen(row, True, True)

        def tick(n: int, digits: InbandDigits = digits, frames: list = frames, filled: np.ndarray = filled) -> None:
            if digits.rows.size:
                digits.hear(frames[n % 20], filled)

        cpu_us(tick, 1, 20)
        cost = cpu_us(tick, 5, calls)
        row = {"name": f"digits {needing} of {legs} legs", "us_per_tick": cost}
        yield row | ({"us_per_leg": cost / needing, "ratio": cost / needing / plain} if needing else {})


def run(quick: bool = False) -> list[dict]:
    """Rows of name and figures; quick: a fiftieth of everything."""
    part = 0.02 if quick else 1.0
    rows = list(keyed_rows(int(DIGITS * part)))
    rows += talk_off_rows({"speech": SPEECH_HOURS * part, "music": MUSIC_HOURS * part})
    spoken = next(passages(0.01), None)
    rows += cost_rows(next(pieces(0.01)) if spoken is None else spoken, 20 if quick else 100)
    return rows


if __name__ == "__main__":
    from benchmarks.harness import table

    print(table(run(), {}))
