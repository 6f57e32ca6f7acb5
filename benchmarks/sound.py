"""How it sounds: speech through a real media plane on bad networks, measured; writes docs/sound.md and its pictures.

`python -m benchmarks.sound [--processes N]`. Two tables: the concealment of lost packets beside the plain repetition of
the last frame and beside silence, both kept here and not in the product; and the matrix of loss, burst, jitter and
skew.
"""

import argparse
import itertools
import statistics
import time
import warnings
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from benchmarks import sound_pictures
from benchmarks.sound_line import FRAME, Conditions, Heard, call
from benchmarks.sound_measures import Worth, worth
from sipconf.mixer.conceal import Concealer
from sipconf.mixer.edge.wavfile import read_wav
from sipconf.mixer.frame import Codes, Pcm, samples_per_frame
from sipconf.mixer.history import History

SPEECH = Path(__file__).parent / "speech"
PAGE = Path(__file__).resolve().parents[1] / "docs" / "sound.md"
VOICES = ("man-american", "man-scottish", "woman-formants", "woman-hts")
MATRIX_VOICES = ("man-scottish", "woman-hts")
LOSSES, BURSTS = (0.0, 0.05, 0.1, 0.2), (1, 3)
MATRIX_LOSSES = (0.0, 0.01, 0.05, 0.1, 0.2)
JITTERS = (0.0, 0.02, 0.05, 0.1)
SKEWS = (0.0, 0.008, -0.008)
SEEDS = (11, 12)


class Repetition:
    """Plays the last frame again, as often as it takes."""

    def __init__(self, clock_rate: int, history: History) -> None:
        self._last = np.zeros((0, samples_per_frame(clock_rate)), np.float32)

    def add(self, row: int) -> None:
        self._last = np.zeros((max(row + 1, len(self._last)), self._last.shape[1]), np.float32)

    def fill(self, pcm: Pcm, filled: NDArray[np.uint8], codes: Codes) -> None:
        lost = ~filled.all(axis=1)
        pcm[lost] = self._last[: len(pcm)][lost]
        self._last[: len(pcm)] = pcm


class Silence:
    """Plays nothing for what was lost."""

    def __init__(self, clock_rate: int, history: History) -> None:
        pass

    def add(self, row: int) -> None:
        pass

    def fill(self, pcm: Pcm, filled: NDArray[np.uint8], codes: Codes) -> None:
        pass


CONCEALERS = {"sipconf": Concealer, "repetition": Repetition, "silence": Silence}
Job = tuple[str, str, Conditions, int]


def speech(voice: str) -> Pcm:
    """Whole frames of a voice, float32 at 8 kHz."""
    _, pcm = read_wav(SPEECH / f"{voice}.wav")
    return pcm[: len(pcm) // FRAME * FRAME]


def hear(job: Job) -> Heard:
    """What the listener hears: (concealer, voice, conditions, seed)."""
    concealer, voice, conditions, seed = job
    with mock.patch("sipconf.media.decoding.Concealer", CONCEALERS[concealer]):
        return call(speech(voice), conditions, seed)


def judge(job: Job) -> Worth:
    """What it is worth."""
    warnings.simplefilter("ignore")  # the libraries', about themselves
    return worth(speech(job[1]), hear(job), job[2].skew)


def mean(results: Iterable[Worth]) -> Worth:
    """Of several voices and seeds; of holes the longest."""
    all_of = list(results)
    average = {name: statistics.fmean(getattr(one, name) for one in all_of) for name in ("pesq", "stoi", "delay_ms")}
    return Worth(**average, hole_ms=max(one.hole_ms for one in all_of))


def measure(cells: dict[tuple, list[Job]], pool: ProcessPoolExecutor) -> dict[tuple, Worth]:
    """The mean worth of each cell's jobs."""
    flat = [job for jobs in cells.values() for job in jobs]
    results = iter(list(pool.map(judge, flat, chunksize=4)))
    return {cell: mean(next(results) for _ in jobs) for cell, jobs in cells.items()}


def concealment_cells() -> dict[tuple, list[Job]]:
    """(concealer, loss, burst) -> jobs, without jitter and skew."""
    cells = {}
    for concealer, loss, burst in itertools.product(CONCEALERS, LOSSES, BURSTS):
        if loss or (concealer == "sipconf" and burst == 1):
            conditions = Conditions(loss, burst)
            cells[concealer, loss, burst] = [(concealer, voice, conditions, seed) for voice in VOICES for seed in SEEDS]
    return cells


def matrix_cells() -> dict[tuple, list[Job]]:
    """(loss, burst, jitter, skew) -> jobs."""
    cells = {}
    for loss, burst, jitter, skew in itertools.product(MATRIX_LOSSES, BURSTS, JITTERS, SKEWS):
        if loss or burst == 1:
            conditions = Conditions(loss, burst, jitter, skew)
            cells[loss, burst, jitter, skew] = [("sipconf", voice, conditions, SEEDS[0]) for voice in MATRIX_VOICES]
    return cells


def concealment_table(found: dict[tuple, Worth]) -> str:
    """PESQ and STOI of each concealer, and how much PESQ is lost."""
    clean = found["sipconf", 0.0, 1]
    lines = [
        "| loss | in runs of | sipconf: PESQ (drop) / STOI | repetition | silence |", "|---|---|---|---|---|",
        f"| none | | {clean.pesq:.2f} / {clean.stoi:.3f} | | |",
    ]  # fmt: skip
    for loss, burst in itertools.product(LOSSES[1:], BURSTS):
        cells = []
        for name in CONCEALERS:
            one = found[name, loss, burst]
            cells.append(f"{one.pesq:.2f} ({one.pesq - clean.pesq:+.2f}) / {one.stoi:.3f}")
        lines.append(f"| {loss:.0%} | {burst} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def matrix_table(found: dict[tuple, Worth], skew: float) -> str:
    """A table of one skew: PESQ / STOI / mean delay / longest hole."""
    lines = ["| loss | in runs of | " + " | ".join(f"jitter {1000 * jitter:.0f} ms" for jitter in JITTERS) + " |",
             "|---|---|" + "---|" * len(JITTERS)]  # fmt: skip
    for loss, burst in itertools.product(MATRIX_LOSSES, BURSTS):
        if loss == 0 and burst != 1:
            continue
        cells = []
        for jitter in JITTERS:
            one = found[loss, burst, jitter, skew]
            cells.append(f"{one.pesq:.2f} / {one.stoi:.2f} / {one.delay_ms:.0f} / {one.hole_ms:.0f}")
        lines.append(f"| {loss:.0%} | {burst if loss else ''} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def page(concealment: dict[tuple, Worth], matrix: dict[tuple, Worth]) -> str:
    """docs/sound.md."""
    tables = {f"skew {skew}": matrix_table(matrix, skew) for skew in SKEWS}
    return (Path(__file__).parent / "sound.template.md").read_text().format(
        concealment=concealment_table(concealment),
        drop=concealment["sipconf", 0.0, 1].pesq - concealment["sipconf", 0.05, 1].pesq,
        level=tables["skew 0.0"], fast=tables["skew 0.008"], slow=tables["skew -0.008"],
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    begun = time.monotonic()
    with ProcessPoolExecutor(arguments.processes) as pool:
        concealment = measure(concealment_cells(), pool)
        print(concealment_table(concealment), flush=True)
        matrix = measure(matrix_cells(), pool)
    PAGE.write_text(page(concealment, matrix))
    pictures = PAGE.parent / "sound"
    pictures.mkdir(exist_ok=True)
    sound_pictures.quality(pictures / "quality.png", concealment, tuple(CONCEALERS), LOSSES)
    conditions = Conditions(loss=0.05, burst=3)
    said = speech("man-scottish")
    calls = {name: hear((name, "man-scottish", conditions, SEEDS[0])) for name in CONCEALERS}
    sound_pictures.waveforms(pictures / "losses.png", said, calls)
    long = np.concatenate([speech(voice) for voice in VOICES])
    lines = {
        "clean": Conditions(), "jitter 50 ms": Conditions(jitter=0.05), "skew +0.8 %": Conditions(skew=0.008),
        "jitter 20 ms, skew -0.8 %, 5 % loss": Conditions(0.05, 1, 0.02, -0.008),
    }  # fmt: skip
    sound_pictures.delay(pictures / "delay.png", long, {name: (call(long, line, SEEDS[0]), line.skew)
                                                        for name, line in lines.items()})  # fmt: skip
    print(f"wrote {PAGE} in {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
