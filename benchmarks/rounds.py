"""A case and its floor in turns, for what is measured on a machine that others use too.

What disturbs a run only adds to its cost, and comes and goes within minutes. So each run of a case stands between two
of the floor, there are some of them, and what is told is the run of median cost beside the least of all.
"""

from collections.abc import Callable
from statistics import median

from benchmarks.plane import Row

CPU = "cpu_ms_per_participant_s"


def in_turns(measure: Callable[[], Row], floor: Callable[[], float], rounds: int) -> Row:
    """The row of median cost, of so many; floor: ms of CPU per participant-second, measured before and after each.

    ratio_to_floor: the median of what each run is to the floors around it. least_ms, least_floor_ms, least_ratio: the
    best of either. rate_min and late_ticks_percent are the worst that any run had."""
    floors, rows = [floor()], []
    for _ in range(rounds):
        rows.append(measure())
        floors.append(floor())
    costs = [row[CPU] for row in rows]
    ratios = [2 * cost / (before + after) for cost, before, after in zip(costs, floors, floors[1:], strict=False)]
    row = sorted(rows, key=lambda row: row[CPU])[rounds // 2]
    return {
        **row,
        "rate_min": min(row["rate_min"] for row in rows),
        "late_ticks_percent": max(row["late_ticks_percent"] for row in rows),
        "floor_ms": median(floors), "ratio_to_floor": median(ratios),
        "least_ms": min(costs), "least_floor_ms": min(floors), "least_ratio": min(costs) / min(floors),
    }  # fmt: skip
