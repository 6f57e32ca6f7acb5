"""How many participants are held: by one worker on a core of its own, and by two workers on two cores.

Held: every leg gets at least 49.5 packets a second, and of all ticks less than 0.1 % start late. With two workers the
load generator has no core left, and what it takes is missing to the workers. It is kept from counting in two ways. In
one it sends to all legs, ranks below the workers, and its CPU and lateness are told. In the other (facing) it is a few
callers, and the workers are each other's telephones. A tick's wait for a processor is no lateness of the worker.
"""

import sys
from collections.abc import Callable

from benchmarks.facing import measure_facing
from benchmarks.placement import described
from benchmarks.plane import Case, Row, held, measure

SECONDS, QUICK_SECONDS = 10.0, 3.0
ONE, TWO, FACING = "workers=1", "workers=2", "workers=2 facing"
SEARCH = {ONE: (2500, 3000, 3500, 4000, 4500), TWO: (3000, 4000, 5000), FACING: (4000, 5000)}
QUICK_SEARCH = {ONE: (500,), TWO: (600,), FACING: (600,)}
TRIES = 2
KEPT = ("rate_min", "late_ticks_percent", "busy_ms", "generator_late_p99_ms", "generator_core", "core",
        "cpu_ms_per_participant_s", "kb_per_leg", "talking")  # fmt: skip


def most_held(name: str, sizes: tuple[int, ...], measured: Callable[[int], Row]) -> Row:
    """A row: the greatest of the sizes that is held, and what the next one fell short by. A size has TRIES, as another
    process may take the core away for a moment."""
    row: Row = {"name": f"participants held, {name}", "participants": 0}
    for legs in sizes:
        tries: list[Row] = []
        while len(tries) < TRIES and not (tries and held(tries[-1])):
            tries.append(measured(legs))
            print(f"{name} N={legs}", tries[-1], file=sys.stderr, flush=True)
        figures = {key: tries[-1][key] for key in KEPT if key in tries[-1]}
        if not held(tries[-1]):
            return row | {"beyond": legs, **{f"beyond_{key}": value for key, value in figures.items()}}
        row |= {"participants": legs, **figures}
    return row


def run(quick: bool = False, apart: bool = True, names: tuple[str, ...] = (ONE, TWO, FACING)) -> list[Row]:
    """A row for one worker, two for two."""
    print(described(apart), file=sys.stderr, flush=True)
    seconds, search = (QUICK_SECONDS, QUICK_SEARCH) if quick else (SECONDS, SEARCH)

    def with_generator(workers: int) -> Callable[[int], Row]:
        common = {"workers": workers, "marks": False, "seconds": seconds, "apart": apart}
        return lambda legs: measure(Case(legs, legs // workers, **common))

    ways = {ONE: with_generator(1), TWO: with_generator(2), FACING: lambda legs: measure_facing(legs, 2 * seconds)}
    return [most_held(name, search[name], ways[name]) for name in names]


if __name__ == "__main__":
    print(run(quick="--quick" in sys.argv, names=(FACING,) if "--facing" in sys.argv else (ONE, TWO, FACING)))
