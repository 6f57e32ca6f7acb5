"""What a participant costs: one room in which all talk, rooms of five, and a room in which three of many talk.

Each case with its ratio to the floor (the same packets echoed by the kernel alone) and to the packet price (a), both
measured in the same minutes, and beside the latter what the best bridges cost. `python -m benchmarks.bench_plane
[--quick] [--anywhere]`: worker and load stand on different cores unless --anywhere is given.
"""

import asyncio
import sys

from benchmarks.placement import described
from benchmarks.plane import Case, Row, measure, run_floor
from benchmarks.price import PEERS, in_prices, packet_price

SECONDS, QUICK_SECONDS = 10.0, 3.0
SIZES, QUICK_SIZES = (100, 500, 1000, 2000), (100, 500)
SMALL_ROOM, SMALL_ROOM_LEGS = 5, 500
FEW, FEW_LEGS, QUICK_FEW_LEGS = 3, 2000, 500


def compare(case: Case, kind: str) -> Row:
    """A row: the plane, with floor and packet price before and after it."""
    floors, prices = [], []
    row: Row = {}
    for last in (False, True):
        prices.append(packet_price())
        floors.append(asyncio.run(run_floor(case.legs, case.seconds / 2, case.apart))["cpu_ms_per_participant_s"])
        if not last:
            row = measure(case)
    floor, price = sum(floors) / 2, sum(prices) / 2
    cost = row["cpu_ms_per_participant_s"]
    peers = PEERS["rooms of 5" if case.room_size else "one room"]
    return {"name": f"plane N={case.legs} {kind}", **row, "floor_ms": floor, "ratio_to_floor": cost / floor,
            "packet_price_us": price, "times_price": in_prices(cost, price),
            **{f"{peer}_times_price": times for peer, times in peers.items()},
            "placement": described(case.apart)}  # fmt: skip


def cases(quick: bool, apart: bool) -> list[tuple[Case, str]]:
    """What is measured, and what it is called."""
    seconds = QUICK_SECONDS if quick else SECONDS
    sizes, few = (QUICK_SIZES, QUICK_FEW_LEGS) if quick else (SIZES, FEW_LEGS)
    return [
        *((Case(legs, seconds=seconds, apart=apart), "one room") for legs in sizes),
        (Case(SMALL_ROOM_LEGS, SMALL_ROOM, seconds=seconds, apart=apart), f"rooms of {SMALL_ROOM}"),
        (Case(few, talking=FEW, seconds=seconds, apart=apart), f"one room, {FEW} talk"),
    ]


def run(quick: bool = False, apart: bool = True) -> list[Row]:
    """One row per case."""
    print(described(apart), file=sys.stderr, flush=True)
    rows = []
    for case, kind in cases(quick, apart):
        rows.append(compare(case, kind))
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


if __name__ == "__main__":
    run(quick="--quick" in sys.argv, apart="--anywhere" not in sys.argv)
