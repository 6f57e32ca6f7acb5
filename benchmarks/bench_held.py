"""How many participants are held: by one worker on a core of its own, and by two workers on two cores.

Held: every leg gets and sends at least 49.5 packets a second, and of all ticks less than 0.1 % start late. With two
workers the generator has no core left. It is kept from counting so: CPU is the kernel's accounting of the worker
processes; it ranks below them; its lateness and its own CPU are told; and a tick's wait for a processor, which the
generator may cause, is no lateness of the worker (a telephone elsewhere would not cause it).
"""

import sys

from benchmarks.placement import described
from benchmarks.plane import Case, Row, held, measure

SECONDS, QUICK_SECONDS = 10.0, 3.0
SEARCH = {1: (2500, 3000, 3500, 4000, 4500), 2: (3000, 4000, 5000, 6000)}
QUICK_SEARCH = {1: (500,), 2: (600,)}
TRIES = 2
KEPT = ("rate_min", "late_ticks_percent", "generator_late_p99_ms", "generator_core", "core", "cpu_ms_per_participant_s",
        "kb_per_leg")  # fmt: skip


def most_held(workers: int, sizes: tuple[int, ...], seconds: float, apart: bool) -> Row:
    """A row: the greatest of the sizes that is held, and what the next one fell short by. A size has TRIES, as another
    process may take the core away for a moment."""
    row: Row = {"name": f"participants held, workers={workers}", "participants": 0}
    for legs in sizes:
        case = Case(legs, legs // workers, workers=workers, marks=False, seconds=seconds, apart=apart)
        tries: list[Row] = []
        while len(tries) < TRIES and not (tries and held(tries[-1])):
            tries.append(measure(case))
            print(f"workers={workers} N={legs}", tries[-1], file=sys.stderr, flush=True)
        figures = {name: tries[-1][name] for name in KEPT}
        if not held(tries[-1]):
            return row | {"beyond": legs, **{f"beyond_{name}": value for name, value in figures.items()}}
        row |= {"participants": legs, **figures}
    return row


def run(quick: bool = False, apart: bool = True) -> list[Row]:
    """A row for one worker, one for two."""
    print(described(apart), file=sys.stderr, flush=True)
    seconds, search = (QUICK_SECONDS, QUICK_SEARCH) if quick else (SECONDS, SEARCH)
    return [most_held(workers, sizes, seconds, apart) for workers, sizes in search.items()]


if __name__ == "__main__":
    print(run(quick="--quick" in sys.argv))
