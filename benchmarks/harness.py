"""Runs the benchmarks, prints one table at the end, and keeps the results with the facts of the machine.

`python -m benchmarks.harness [--quick] [name ...]`; a benchmark is a module `benchmarks.bench_NAME` whose
run(quick) -> list of rows (dict with "name" and figures). Each figure is shown with its ratio to the last stored result
of a machine with the same facts: absolute times of different machines say nothing about each other.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as in the media worker; read when numpy is imported

import argparse
import datetime
import importlib
import inspect
import json
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results"
UNJUDGED = {"legs", "seconds", "marks_sent", "marks_found", "talking", "made", "tries", "tried", "sent", "failed",
            "answers", "beyond", "heard_rms", "forged", "refused", "asterisk_times_price", "janus_times_price",
            "freeswitch_times_price"}
"""Figures that describe a run; a ratio of them would say nothing."""

Row = dict[str, Any]


def machine() -> dict[str, Any]:
    """What a figure depends on."""
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "kernel": platform.release().split("-")[0],
    }


def available() -> list[str]:
    """Names of all benchmarks, those of the plane last: they take longest."""
    names = sorted(path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py"))
    return sorted(names, key=lambda name: name in ("plane", "held"))


def run(name: str, quick: bool) -> list[Row]:
    """All rows of one benchmark."""
    bench = importlib.import_module(f"benchmarks.bench_{name}").run
    return bench(quick=quick) if "quick" in inspect.signature(bench).parameters else bench()


def last_result(facts: dict[str, Any], quick: bool) -> dict[str, Row]:
    """Rows by name, the newest of each, from stored runs of a like machine and the same thoroughness."""
    rows: dict[str, Row] = {}
    for path in sorted(RESULTS.glob("*.json")):
        stored = json.loads(path.read_text())
        if stored["machine"] == facts and stored["quick"] == quick:
            rows.update({row["name"]: row for row in stored["rows"]})
    return rows


def store(facts: dict[str, Any], quick: bool, rows: list[Row]) -> Path:
    """Keep a run; the file is named by its time."""
    RESULTS.mkdir(exist_ok=True)
    when = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
    path = RESULTS / f"{when}.json"
    path.write_text(json.dumps({"machine": facts, "quick": quick, "rows": rows}, indent=1) + "\n")
    return path


def shown(value: Any) -> str:
    """A figure in four digits at most."""
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def table(rows: list[Row], before: dict[str, Row]) -> str:
    """One line per row: its figures, each followed by the ratio to the last result where there is one."""
    lines = []
    for row in rows:
        former = before.get(row["name"], {})
        figures = []
        for key, value in row.items():
            if key == "name":
                continue
            text = f"{key} {shown(value)}"
            old = former.get(key)
            judged = isinstance(value, int | float) and isinstance(old, int | float) and key not in UNJUDGED
            if judged and old:
                text += f" (x{value / old:.2f})"
            figures.append(text)
        lines.append(f"{row['name']:<28} " + "  ".join(figures))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Benchmarks of sipconf; the table comes at the end.")
    parser.add_argument("names", nargs="*", help=f"any of: {', '.join(available())}; all without")
    parser.add_argument("--quick", action="store_true", help="small sizes, short runs, to see that all works")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(available())
    if unknown:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    rows: list[Row] = []
    for name in arguments.names or available():
        print(f"benchmark {name} ...", file=sys.stderr, flush=True)
        rows += run(name, arguments.quick)
    facts = machine()
    before = last_result(facts, arguments.quick)
    path = store(facts, arguments.quick, rows)
    print("; ".join(f"{key} {value}" for key, value in facts.items()))
    print(table(rows, before))
    print(f"kept in {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path.name}")


if __name__ == "__main__":
    main()
