"""The media plane end to end: a real worker process, real sockets, N legs that all talk; beside it the floor.

Prints CPU per participant-second (the kernel's accounting of the worker process), packets per second per leg, late
ticks, added delay (a mark out to the same mark back), and the ratio to the floor measured in the same minutes.
`python -m benchmarks.bench_plane [--quick] [--anywhere]`: server and load stand on different cores unless --anywhere
is given.
"""

import asyncio
import json
import os
import subprocess
import sys
from asyncio.subprocess import PIPE
from typing import Any

from benchmarks.placement import cores, described
from sipconf.media import protocol
from sipconf.media.supervisor import MediaSupervisor, WorkerSettings, worker_environment

FIRST_PORT, LAST_PORT = 20_000, 30_000
WARM_SECONDS = 4.0
SECONDS = 10.0
QUICK_SECONDS = 4.0
SIZES = (100, 500, 1000, 2000, 2500)
SEARCH = (2500, 3000, 3500, 4000, 4500)
LEAST_RATE, MOST_LATE_PERCENT = 49.5, 0.1
"""Packets per second of every leg, and share of late ticks, with which a number of participants counts as held."""
TRIES = 2
QUICK_SIZES = (100, 500)
SMALL_ROOM = 5
SMALL_ROOM_LEGS = 1000
MARKED_PAIRS = 10
PCMU = protocol.RtpFormat("PCMU", 8000, 0)
OPEN_TIMEOUT = 30.0


class Bench:
    """A worker with `legs` legs in rooms of `room_size`, and the generator that rings them."""

    def __init__(self, legs: int, room_size: int, seconds: float, apart: bool) -> None:
        self.legs, self.room_size, self.seconds = legs, room_size, seconds
        self.core, self.load_core = cores(apart)
        self.events: list[protocol.Event] = []
        self.arrived = asyncio.Event()
        settings = WorkerSettings(FIRST_PORT, LAST_PORT)
        self.media = MediaSupervisor(settings, self._collect)

    def _collect(self) -> None:
        self.events += self.media.take_events()
        self.arrived.set()

    async def _open_legs(self) -> list[int]:
        """Ports of all legs."""
        for leg in range(self.legs):
            self.media.send(protocol.OpenLeg(leg, "127.0.0.1", "bench"))
        ports: dict[int, int] = {}
        while len(ports) < self.legs:
            await asyncio.wait_for(self.arrived.wait(), OPEN_TIMEOUT)
            self.arrived.clear()
            for event in self.events:
                if isinstance(event, protocol.LegFailed):
                    raise RuntimeError(f"leg {event.leg}: {event.reason}")
                if isinstance(event, protocol.LegOpened):
                    ports[event.leg] = event.port
            self.events.clear()
        return [ports[leg] for leg in range(self.legs)]

    def _connect(self, addresses: list[tuple[str, int]]) -> None:
        for leg, (host, port) in enumerate(addresses):
            rtcp = (host, port + 1)
            self.media.send(
                protocol.ConnectLeg(leg, (host, port), rtcp, host, (PCMU,), PCMU, 101, False, "sendrecv")
            )
            self.media.send(protocol.PlaceLeg(leg, leg // self.room_size))

    async def run(self) -> dict[str, Any]:
        await self.media.start()
        try:
            if self.core is not None and self.media.pid is not None:
                os.sched_setaffinity(self.media.pid, {self.core})
            ports = await self._open_legs()
            plan = {"legs": self.legs, "echo": False, "warm": WARM_SECONDS, "seconds": self.seconds,
                    "core": self.load_core}  # fmt: skip
            generator, addresses = await start_generator(plan)
            self._connect(addresses)
            # A mark is a burst in the room: partners are in the same room, and few enough to tell the marks apart.
            step = max(self.room_size if self.room_size < self.legs else 2, self.legs // MARKED_PAIRS)
            pairs = [(first, first + 1) for first in range(0, self.legs - 1, step)]
            self.events.clear()
            result = await finish_generator(generator, {"ports": ports, "pairs": pairs, "pid": self.media.pid})
            self._collect()
            if self.media.restarts:
                raise RuntimeError("the worker died; its own message is above")
        finally:
            await self.media.stop()
        return {**result, **tick_figures(self.events, self.seconds)}


def tick_figures(events: list[protocol.Event], seconds: float) -> dict[str, Any]:
    """Share of late ticks, skipped ticks and the tick's busy time over the measured seconds."""
    reports = [event for event in events if isinstance(event, protocol.PlaneReport)][-int(seconds) :]
    ticks = sum(report.ticks for report in reports)
    return {
        "late_ticks_percent": 100 * sum(report.late_ticks for report in reports) / max(1, ticks),
        "skipped_ticks": sum(report.skipped_ticks for report in reports),
        "busy_ms": sum(report.busy_ms for report in reports) / max(1, len(reports)),
        "worst_late": max((report.late_ticks for report in reports), default=0),
        "talking": len({event.leg for event in events if isinstance(event, protocol.TalkingChanged)}),
    }


async def start_generator(plan: dict[str, Any]) -> tuple[asyncio.subprocess.Process, list[tuple[str, int]]]:
    generator = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.load_generator",
        stdin=PIPE, stdout=PIPE, env=worker_environment(), limit=1 << 22,
    )  # fmt: skip
    assert generator.stdin and generator.stdout
    generator.stdin.write(json.dumps(plan).encode() + b"\n")
    return generator, [tuple(address) for address in json.loads(await generator.stdout.readline())]


async def finish_generator(generator: asyncio.subprocess.Process, target: dict[str, Any]) -> dict[str, Any]:
    assert generator.stdin and generator.stdout
    generator.stdin.write(json.dumps(target).encode() + b"\n")
    line = await generator.stdout.readline()
    if await generator.wait():
        raise RuntimeError("the load generator failed; its own message is above")
    return json.loads(line)


async def run_floor(legs: int, seconds: float, apart: bool) -> dict[str, Any]:
    """The same packets, echoed by one process without a look at them."""
    core, load_core = cores(apart)
    where = [] if core is None else [str(core)]
    floor = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.floor", *where], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env=worker_environment(),
    )  # fmt: skip
    try:
        assert floor.stdin and floor.stdout
        port = int(floor.stdout.readline())
        plan = {"legs": legs, "echo": True, "warm": 1.0, "seconds": seconds, "core": load_core}
        generator, _ = await start_generator(plan)
        return await finish_generator(generator, {"ports": [port] * legs, "pairs": [], "pid": floor.pid})
    finally:
        floor.communicate(timeout=5)


def compare(legs: int, room_size: int, seconds: float, apart: bool) -> dict[str, Any]:
    """A row: the plane, with the floor before and after it."""
    before = asyncio.run(run_floor(legs, seconds / 2, apart))["cpu_ms_per_participant_s"]
    row = asyncio.run(measure(legs, room_size, seconds, apart))
    after = asyncio.run(run_floor(legs, seconds / 2, apart))["cpu_ms_per_participant_s"]
    floor = (before + after) / 2
    kind = "one room" if room_size == legs else f"rooms of {room_size}"
    ratio = row["cpu_ms_per_participant_s"] / floor
    return {"name": f"plane N={legs} {kind}", **row, "floor_ms": floor, "ratio_to_floor": ratio}


def held(row: dict[str, Any]) -> bool:
    """Whether every leg got its packets and the ticks were on time."""
    return row["rate_min"] >= LEAST_RATE and row["late_ticks_percent"] < MOST_LATE_PERCENT


def most_held(seconds: float, apart: bool) -> dict[str, Any]:
    """A row: the greatest of SEARCH that is held, and what the next one fell short by. A size has TRIES, as another
    process may take the core away for a moment."""
    row = {"name": "participants held", "participants": 0}
    for legs in SEARCH:
        tries = []
        while len(tries) < TRIES and not (tries and held(tries[-1])):
            tries.append(asyncio.run(measure(legs, legs, seconds, apart)))
        last = tries[-1]
        print(f"N={legs}", last, file=sys.stderr, flush=True)
        figures = {name: last[name] for name in ("rate_min", "late_ticks_percent", "generator_late_p99_ms", "core")}
        if not held(last):
            row.update({"beyond": legs, **{f"beyond_{name}": value for name, value in figures.items()}})
            break
        row.update({"participants": legs, **figures})
    return row


def run(quick: bool = False, apart: bool = True) -> list[dict[str, Any]]:
    """One row per size: plane and floor, and their ratio; then how many participants one core holds."""
    seconds = QUICK_SECONDS if quick else SECONDS
    print(described(apart), file=sys.stderr, flush=True)
    rooms = [(legs, legs) for legs in (QUICK_SIZES if quick else SIZES)]
    rooms.append((QUICK_SIZES[-1] if quick else SMALL_ROOM_LEGS, SMALL_ROOM))
    rows = []
    for legs, room_size in rooms:
        rows.append({**compare(legs, room_size, seconds, apart), "placement": described(apart)})
        print(rows[-1], file=sys.stderr, flush=True)
    if not quick:
        rows.append(most_held(seconds, apart))
    return rows


async def measure(legs: int, room_size: int, seconds: float, apart: bool) -> dict[str, Any]:
    return await Bench(legs, room_size, seconds, apart).run()


if __name__ == "__main__":
    run(quick="--quick" in sys.argv, apart="--anywhere" not in sys.argv)
