"""A crowd that comes at once: 1000 people dial one conference, 100 a second, each talking from then on.

Every call is real signalling: INVITE, challenge, INVITE with digest, 200, ACK; the sound of those who are in goes on
meanwhile. Calls completed, how long an answer took, late ticks while they came, CPU of both processes, and whether in
the end every leg has its 50 packets a second. `python -m benchmarks.bench_setup [--quick]`.
"""

import json
import subprocess
import sys
import time
from typing import Any

from benchmarks.bench_signalling import accounted, bench
from benchmarks.placement import cores, described, settle
from benchmarks.server import memory_mb
from sipconf.media.supervisor import worker_environment

LEGS, QUICK_LEGS = 1000, 200
RATE = 100
AFTER, SLACK = 4.0, 2.0
"""Seconds measured when all are in, and those before the measuring begins."""

Row = dict[str, Any]


def run(quick: bool = False) -> list[Row]:
    """One row."""
    settle(None)
    legs = QUICK_LEGS if quick else LEGS
    _, load_core = cores(apart=True)
    print(described(True), file=sys.stderr, flush=True)
    with bench() as (server, load):
        talking = subprocess.Popen([sys.executable, "-m", "benchmarks.load_generator"], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True, env=worker_environment())  # fmt: skip
        try:
            assert talking.stdin and talking.stdout

            def tell(message: Row) -> None:
                assert talking.stdin
                talking.stdin.write(json.dumps(message) + "\n")
                talking.stdin.flush()

            tell({"legs": legs, "echo": False, "warm": SLACK, "seconds": AFTER, "core": load_core})
            addresses = json.loads(talking.stdout.readline())
            tell({"ports": [], "pairs": [], "pids": [server.worker]})
            before = memory_mb(server.worker), memory_mb(server.pid)
            steps = []
            began = time.monotonic()
            for first in range(0, legs, RATE):
                steps.append(_second(server, load, addresses[first : first + RATE]))
                tell({"ports": steps[-1].pop("ports")})
            took = time.monotonic() - began
            after = json.loads(talking.stdout.readline())
            grown = memory_mb(server.worker) - before[0], memory_mb(server.pid) - before[1]
        finally:
            talking.kill()
            talking.communicate()
    rows = [{"name": f"set-up of {legs} legs, {RATE}/s", **_together(steps), "seconds": took,
             "rate_min": after["rate_min"], "worker_kb_per_leg": grown[0] * 1024 / legs,
             "front_kb_per_call": grown[1] * 1024 / legs}]  # fmt: skip
    print(rows[0], file=sys.stderr, flush=True)
    return rows


def _second(server: Any, load: Any, addresses: list[Any]) -> Row:
    """RATE calls in one second, and what they cost."""
    return accounted(server, load, "gather", pause=0.0, legs=addresses, rate=RATE)


def _together(steps: list[Row]) -> Row:
    """One row of all seconds: sums, means of shares, and the worst of the delays."""
    made = sum(step["made"] for step in steps)
    return {
        "made": made,
        "failed": sum(step["failed"] for step in steps),
        "why": sorted({why for step in steps for why in step["why"]})[:3],
        "repeats": sum(step["repeats"] for step in steps),
        "answer_p50_ms": max(step["answer_p50_ms"] for step in steps),
        "answer_p99_ms": max(step["answer_p99_ms"] for step in steps),
        "front_cpu_ms": sum(step["front_cpu_ms"] * step["made"] for step in steps) / made,
        "front_core": max(step["front_core"] for step in steps),
        "worker_core": max(step["worker_core"] for step in steps),
        "late_ticks": sum(step["late_ticks"] for step in steps),
        "skipped_ticks": sum(step["skipped_ticks"] for step in steps),
    }


if __name__ == "__main__":
    run(quick="--quick" in sys.argv)
