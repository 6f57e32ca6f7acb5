"""Delay that a conference adds, on a clean line and on one with jitter, and the frames its buffer throws away.

From the moment at which a telephone has a mark's packet to send to the moment at which another gets it back: on the
line with jitter the network's own hold-up, up to 40 ms for each packet by itself, is part of it. Packets overtake each
other there, as they are 20 ms apart.
"""

import sys

from benchmarks.placement import described
from benchmarks.plane import Case, Row, measure

LEGS = 100
SECONDS, QUICK_SECONDS = 30.0, 4.0
JITTER_MS = 40
KEPT = ("delay_p50_ms", "delay_p95_ms", "buffer_loss_percent", "marks_sent", "marks_found", "rate_min",
        "late_ticks_percent", "generator_late_p99_ms")  # fmt: skip


def run(quick: bool = False, apart: bool = True) -> list[Row]:
    """A row for each line."""
    print(described(apart), file=sys.stderr, flush=True)
    rows = []
    for jitter_ms, line in ((0, "clean line"), (JITTER_MS, f"{JITTER_MS} ms jitter")):
        row = measure(Case(LEGS, jitter_ms=jitter_ms, seconds=QUICK_SECONDS if quick else SECONDS, apart=apart))
        rows.append({"name": f"delay N={LEGS} {line}", **{name: row[name] for name in KEPT}})
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


if __name__ == "__main__":
    run(quick="--quick" in sys.argv)
