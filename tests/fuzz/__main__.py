"""`make fuzz`: long runs over all cores. Prints a table, keeps every input that broke something, exits 1 if one did.

    make fuzz FUZZ="--seconds 600"                          every target for ten minutes in all
    make fuzz FUZZ="--inputs 1000000 --seed 7 parser sdp"   so many inputs of each of these
    make fuzz FUZZ="--replay 7 4711 parser"                 one input again, by seed and number

Where no target is named, the CPU time of hostile inputs at n, 2n and 4n octets is measured too.
"""

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from tests.fuzz.cost import measure
from tests.fuzz.driver import BATCH, Fault, Target, keep, replay, run_batch
from tests.fuzz.seeds import CORPORA
from tests.fuzz.targets import TARGETS

CHUNK = 8
"""Batches that a core does between two looks at the clock."""
MOST_KEPT = 20
"""Files kept of one place in the code; the rest say nothing new."""
REGRESS = Path(__file__).resolve().parents[1] / "regress"

_made: dict[str, Target] = {}


@dataclass(slots=True)
class Row:
    """What a target did. cpu: seconds of all cores."""

    inputs: int = 0
    cpu: float = 0.0
    faults: int = 0


def work(order: tuple[str, int, int]) -> tuple[str, int, float, list[Fault]]:
    """One chunk: target's name, seed, number of its first batch. In a process of the pool."""
    name, seed, first = order
    target = _made.get(name) or _made.setdefault(name, TARGETS[name]())
    began = time.process_time()
    faults = [fault for batch in range(first, first + CHUNK) for fault in run_batch(target, seed, batch)]
    return name, CHUNK * BATCH, time.process_time() - began, faults


def orders(names: list[str], seed: int, inputs: int, seconds: float) -> Iterator[tuple[str, int, int]]:
    """Chunks of each target in turn, until it has had its inputs or the time is over."""
    began = time.monotonic()
    chunk = 0
    while seconds == 0 and chunk * CHUNK * BATCH < inputs or seconds and time.monotonic() - began < seconds:
        yield from ((name, seed, chunk * CHUNK) for name in names)
        chunk += 1


def table(rows: dict[str, Row]) -> str:
    lines = [f"{'target':<10}{'inputs':>12}{'inputs/s':>10}{'faults':>8}"]
    for name, row in rows.items():
        lines.append(f"{name:<10}{row.inputs:>12}{row.inputs / max(row.cpu, 1e-9):>10.0f}{row.faults:>8}")
    total = sum(row.inputs for row in rows.values())
    lines.append(f"{'sum':<10}{total:>12}{'':>10}{sum(row.faults for row in rows.values()):>8}")
    return "\n".join(lines)


def fuzz(names: list[str], seed: int, inputs: int, seconds: float, jobs: int) -> int:
    rows = {name: Row() for name in names}
    kept: dict[str, int] = {}
    # `imap` would take every order at once; one in hand for each core is enough, and the clock is looked at again.
    with multiprocessing.Pool(jobs) as pool:
        waiting = orders(names, seed, inputs, seconds)
        running = [pool.apply_async(work, (order,)) for order in islice(waiting, 2 * jobs)]
        while running:
            name, count, cpu, faults = running.pop(0).get()
            row = rows[name]
            row.inputs, row.cpu, row.faults = row.inputs + count, row.cpu + cpu, row.faults + len(faults)
            for fault in faults:
                kept[fault.where] = kept.get(fault.where, 0) + 1
                if kept[fault.where] <= MOST_KEPT:
                    print(f"{fault}\n  kept as {keep(fault, REGRESS)}", flush=True)
            running += [pool.apply_async(work, (order,)) for order in islice(waiting, 1)]
    print(f"seed {seed}; corpora {'read' if CORPORA.is_dir() else 'absent'}; inputs/s of CPU")
    print(table(rows))
    return 1 if any(row.faults for row in rows.values()) else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz", description="Fuzzes in-process; see the module's text.")
    parser.add_argument("targets", nargs="*", help=f"any of: {', '.join(TARGETS)}; all without")
    parser.add_argument("--seed", type=int, default=1, help="another seed, other inputs")
    parser.add_argument("--inputs", type=int, default=20 * CHUNK * BATCH, help="of each target")
    parser.add_argument("--seconds", type=float, default=0, help="in all, in place of a number of inputs")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--replay", type=int, nargs=2, metavar=("SEED", "NUMBER"), help="one input of one target again")
    given = parser.parse_args()
    if unknown := set(given.targets) - set(TARGETS):
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    if given.replay:
        if len(given.targets) != 1:
            parser.error("--replay needs one target")
        data, fault = replay(TARGETS[given.targets[0]](), *given.replay)
        print(data, fault or "breaks nothing", sep="\n")
        return 1 if fault else 0
    broken = fuzz(given.targets or list(TARGETS), given.seed, given.inputs, given.seconds, given.jobs)
    return broken if given.targets else max(broken, measure())


if __name__ == "__main__":
    sys.exit(main())
