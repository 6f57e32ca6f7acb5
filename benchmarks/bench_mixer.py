"""What mixing costs: each stage and a whole tick, in microseconds of CPU per leg, beside copying the same samples.

Everyone talks: one room of all, and rooms of five; then three talk in one room of all, and the others share what they
hear. Ratios are against a plain copy of the bank's float samples,
made in the same run: the machine's speed cancels out.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import statistics
import time
from collections.abc import Callable

import numpy as np

from sipconf.mixer.codecs.catalogue import codec
from sipconf.mixer.conceal import Concealer
from sipconf.mixer.history import CodesHistory
from sipconf.mixer.legs import MixBank
from sipconf.mixer.levels import Levels
from sipconf.mixer.mix import Mixer

SIZES = (100, 500, 1000, 2000)
ROUNDS = 5
ROUND_S = 0.06
FEW = 3


def cost(call: Callable[[], object]) -> float:
    """Median CPU time of a call in microseconds."""
    for _ in range(3):
        call()
    rounds = []
    for _ in range(ROUNDS):
        calls, start = 0, time.process_time()
        while time.process_time() - start < ROUND_S:
            for _ in range(4):
                call()
            calls += 4
        rounds.append((time.process_time() - start) / calls * 1e6)
    return statistics.median(rounds)


def measure(legs: int, room_size: int, talking: int | None = None) -> dict[str, float]:
    """Stage -> microseconds a tick, for one bank of mu-law legs, of which so many talk (None: all)."""
    line, bank, levels = codec("PCMU", 8000), MixBank(8000), Levels()
    mixer, concealer = Mixer(), Concealer(8000, CodesHistory(line))
    mixer.add_bank(bank)
    for row in range(legs):
        bank.add(row)
        bank.place(row, row // room_size)
        levels.add(row)
        concealer.add(row)
    codes = np.random.default_rng(7).integers(0, 256, (legs, 160), dtype=np.uint8)
    codes[legs if talking is None else talking :] = line.silence
    nobody = np.zeros(0, np.intp)  # is played anything over the mix
    filled = np.ones((legs, 2), np.uint8)
    pcm, copy = np.empty((legs, 160), np.float32), np.empty((legs, 160), np.float32)
    payload = np.empty((legs, 172), np.uint8)[:, 12:]

    def encode(heard: np.ndarray) -> None:
        (share,) = mixer.shares
        line.encode(heard, payload) if share is None else share.encode(line, heard, payload)

    def tick() -> None:
        line.decode(codes, pcm)
        concealer.fill(pcm, filled, codes)
        levels.hear(pcm)
        bank.open_gates(levels.talking)
        encode(mixer.mix([pcm], [nobody])[0])

    tick()
    tick()
    heard = mixer.mix([pcm], [nobody])[0]
    return {
        "copy": cost(lambda: np.copyto(copy, pcm)),
        "decode": cost(lambda: line.decode(codes, pcm)),
        "conceal": cost(lambda: concealer.fill(pcm, filled, codes)),
        "levels": cost(lambda: levels.hear(pcm)),
        "mix": cost(lambda: mixer.mix([pcm], [nobody])),
        "encode": cost(lambda: encode(heard)),
        "tick": cost(tick),
    }


def run() -> list[dict]:
    """Rows of name, value, unit, ratio (to the copy)."""
    rows = []
    for legs in SIZES:
        for room_size, talking, rooms in ((legs, None, "one room"), (5, None, "rooms of 5"),
                                          (legs, FEW, f"one room, {FEW} talk")):  # fmt: skip
            stages = measure(legs, room_size, talking)
            for stage, us in stages.items():
                name = f"mixer {stage}, {legs} legs, {rooms}"
                ratio = us / stages["copy"]
                rows.append({"name": name, "value": us / legs, "unit": "us per leg per tick", "ratio": ratio})
    return rows


if __name__ == "__main__":
    for row in run():
        print(f"{row['name']:48s} {row['value']:8.3f} {row['unit']}  {row['ratio']:6.1f} x copy")
