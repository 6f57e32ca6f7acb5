"""What a participant costs: one room in which all talk, rooms of five, and a room in which three of many talk.

Each case with its ratio to the floor (the same packets echoed by the kernel alone, on one port, and on a port for each
call) and to the packet price (a), measured in the same minutes, and beside the latter what the best bridges cost.
`python -m benchmarks.bench_plane [--quick] [--anywhere]`: worker and load stand on different cores unless --anywhere is
given.
"""

import asyncio
import sys
from statistics import median

from benchmarks.placement import described
from benchmarks.plane import Case, Row, measure, run_floor
from benchmarks.price import PEERS, in_prices, packet_price
from benchmarks.rounds import CPU, in_turns

SECONDS, QUICK_SECONDS = 6.0, 3.0
ROUNDS, QUICK_ROUNDS = 3, 1
SIZES, QUICK_SIZES = (100, 500, 1000, 2000), (100, 500)
SMALL_ROOM, SMALL_ROOM_LEGS = 5, 500
FEW, FEW_LEGS, QUICK_FEW_LEGS = 3, 2000, 500


def compare(case: Case, kind: str, rounds: int) -> Row:
    """A row: the plane, in turns with floor and packet price."""
    prices, on_ports = [], []

    def floor(*words: str) -> float:
        return asyncio.run(run_floor(case.legs, case.seconds / 2, case.apart, *words))[CPU]

    def floors() -> float:
        prices.append(packet_price())
        on_ports.append(floor("--calls"))
        return floor()

    row = in_turns(lambda: measure(case), floors, rounds)
    price, with_ports = median(prices), median(on_ports)
    peers = PEERS["rooms of 5" if case.room_size else "one room"]
    return {"name": f"plane N={case.legs} {kind}", **row,
            "floor_with_ports_ms": with_ports, "ports_to_floor": with_ports / row["floor_ms"],
            "ratio_to_floor_with_ports": row[CPU] / with_ports,
            "packet_price_us": price, "times_price": in_prices(row[CPU], price),
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
        rows.append(compare(case, kind, QUICK_ROUNDS if quick else ROUNDS))
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


if __name__ == "__main__":
    run(quick="--quick" in sys.argv, apart="--anywhere" not in sys.argv)
