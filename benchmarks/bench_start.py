"""Start of `sipconf serve` until the first 200 of /healthz, and beside it what Python and NumPy cost by themselves.

Wall time, the median of several runs: a person waits for it. Everything is on free ports of loopback, the store in a
fresh folder; modules are in the page cache and compiled, as at every start but the first.
"""

import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

RUNS = 5
POLL = 0.005
PATIENCE = 30.0
FLOOR = "import numpy"

CONFIGURATION = """
[sip]
listen = ["udp://127.0.0.1:{sip}", "tcp://127.0.0.1:{sip}"]
[rtp]
ports = "20000-20999"
[http]
listen = "127.0.0.1:{http}"
admin_password = "only for this benchmark"
[[users]]
extension = "101"
password = "only for this benchmark"
[[conferences]]
name = "Room"
extension = "2001"
"""


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def _healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1) as answer:
            return answer.status == 200
    except OSError:
        return False


def _start_seconds(folder: Path) -> float:
    """One start in a folder of its own; the server is ended afterwards."""
    http = _free_port()
    file = folder / "conferences.toml"
    file.write_text(CONFIGURATION.format(sip=_free_port(), http=http))
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "sipconf", "serve", "--config", str(file)],
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        while not _healthy(http):
            if process.poll() is not None or time.perf_counter() - began > PATIENCE:
                raise RuntimeError("the server did not start")
            time.sleep(POLL)
        return time.perf_counter() - began
    finally:
        process.terminate()
        _, said = process.communicate()
        if process.returncode > 0:  # it ended by itself
            print(said.decode(), file=sys.stderr)


def _floor_seconds() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", FLOOR], check=True)
    return time.perf_counter() - began


def run(quick: bool = False) -> list[dict]:
    """Rows of name, value, unit and ratio to the floor."""
    runs = 2 if quick else RUNS
    floors, starts = [], []
    for _ in range(runs):
        floors.append(_floor_seconds())
        with tempfile.TemporaryDirectory() as folder:
            starts.append(_start_seconds(Path(folder)))
    floor, start = statistics.median(floors), statistics.median(starts)
    return [
        {"name": "start_floor_import_numpy", "value": floor, "unit": "s", "ratio_to_floor": 1.0},
        {"name": "start_serve_to_healthz", "value": start, "unit": "s", "ratio_to_floor": start / floor},
    ]


if __name__ == "__main__":
    for row in run():
        print(f"{row['name']:26} {row['value']:6.2f} {row['unit']}  {row['ratio_to_floor']:5.1f} x floor")
