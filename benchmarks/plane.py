"""Media workers under load: real worker processes, real sockets, N legs, and beside them the floor.

What is measured: CPU per participant-second (the kernel's accounting of the worker processes; the generator's own is
told apart and counts nowhere), packets per second of each leg, late ticks (less the worker's wait for a processor),
added delay (a mark out to the same mark back), memory per leg, and frames that the jitter buffer threw away. Not here:
which cases are run (bench_plane, bench_held, bench_delay).
"""

import asyncio
import os
from asyncio.subprocess import Process
from dataclasses import dataclass
from typing import Any

from benchmarks import generators
from benchmarks.placement import cores
from benchmarks.server import memory_mb
from sipconf.media import protocol
from sipconf.media.supervisor import MediaSupervisor, WorkerSettings

FIRST_PORT, LAST_PORT = 20_000, 31_999
WARM_SECONDS = 4.0
MARKED_PAIRS = 10
PHASES = 7
"""A step through the generator's 20 slots that meets every one of them."""
PCMU = protocol.RtpFormat("PCMU", 8000, 0)
OPEN_TIMEOUT = 30.0
PAUSE = 0.5
"""Seconds for the workers to settle after they have taken all commands."""
COMMANDS_PER_TICK, TICK_SECONDS = 100, 0.02
"""How fast a worker takes commands (media.worker)."""
LEAST_RATE, MOST_LATE_PERCENT = 49.5, 0.1
"""Packets per second of every leg, and share of late ticks, with which a number of participants counts as held."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Case:
    """legs in rooms of room_size (0: one room), of which `talking` talk (None: all), by way of `workers` workers and a
    network with this jitter. marks: whether delay is measured, which makes the generator look every millisecond.
    apart: worker and generator on a core each. priority: the workers', as [rtp] has it."""

    legs: int
    room_size: int = 0
    talking: int | None = None
    workers: int = 1
    jitter_ms: int = 0
    marks: bool = True
    seconds: float = 10.0
    apart: bool = True
    priority: str = "nice"

    @property
    def room(self) -> int:
        return self.room_size or self.legs

    def pairs(self) -> list[tuple[int, int]]:
        """(talker, listener) of each mark, which is a burst in the room: partners share one, and few enough are marked
        to tell the marks apart; at all phases of the 20 ms."""
        if not self.marks:
            return []
        if self.talking is not None:
            return [(talker, self.talking + talker) for talker in range(self.talking)]
        step = max(self.room if self.room < self.legs else 2, self.legs // MARKED_PAIRS)
        within = min(self.room, step) - 1
        talkers = (first + PHASES * number % within for number, first in enumerate(range(0, self.legs - 1, step)))
        return [(talker, talker + 1) for talker in talkers]


class Bench:
    """The workers of a case, and the generator that rings them."""

    def __init__(self, case: Case) -> None:
        self.case = case
        share = (LAST_PORT + 1 - FIRST_PORT) // case.workers & ~1
        self.events: list[list[protocol.Event]] = [[] for _ in range(case.workers)]
        self.arrived = asyncio.Event()
        self.workers = [
            MediaSupervisor(
                WorkerSettings(first, first + share - 1, priority=case.priority),
                lambda number=number: self._collect(number),
            )
            for number, first in enumerate(range(FIRST_PORT, FIRST_PORT + case.workers * share, share))
        ]

    def _collect(self, number: int) -> None:
        self.events[number] += self.workers[number].take_events()
        self.arrived.set()

    def _worker_of(self, leg: int) -> MediaSupervisor:
        return self.workers[leg // self.case.room % self.case.workers]

    async def _open_legs(self) -> list[int]:
        """Ports of all legs."""
        legs = range(self.case.legs)
        for leg in legs:
            self._worker_of(leg).send(protocol.OpenLeg(leg, "127.0.0.1", "bench"))
        ports: dict[int, int] = {}
        while len(ports) < len(legs):
            await asyncio.wait_for(self.arrived.wait(), OPEN_TIMEOUT)
            self.arrived.clear()
            for event in (event for events in self.events for event in events):
                if isinstance(event, protocol.LegFailed):
                    raise RuntimeError(f"leg {event.leg}: {event.reason}")
                if isinstance(event, protocol.LegOpened):
                    ports[event.leg] = event.port
            self._forget()
        return [ports[leg] for leg in legs]

    def _forget(self) -> None:
        for events in self.events:
            events.clear()

    def _connect(self, addresses: list[tuple[str, int]]) -> None:
        for leg, (host, port) in enumerate(addresses):
            self._connect_leg(leg, (host, port))

    def _connect_leg(self, leg: int, remote: tuple[str, int]) -> None:
        """To that telephone, and into its room."""
        media, (host, port) = self._worker_of(leg), remote
        media.send(protocol.ConnectLeg(leg, remote, (host, port + 1), host, (PCMU,), PCMU, 101, False, "sendrecv"))
        media.send(protocol.PlaceLeg(leg, leg // self.case.room))

    def _settle(self) -> int | None:
        """Put the workers on their cores; the generator's core, None where it has none to itself."""
        if len(self.workers) == 1:
            core, load_core = cores(self.case.apart)
            taken = [] if core is None else [core]
        else:
            load_core, taken = None, sorted(os.sched_getaffinity(0))[: len(self.workers)]
        for worker, core in zip(self.workers, taken, strict=False):
            assert worker.pid is not None
            os.sched_setaffinity(worker.pid, {core})
        return load_core

    async def run(self) -> Row:
        case = self.case
        await asyncio.gather(*(worker.start() for worker in self.workers))
        try:
            load_core = self._settle()
            pids = [worker.pid for worker in self.workers if worker.pid is not None]
            empty = sum(map(memory_mb, pids))
            ports = await self._open_legs()
            plan = {"legs": case.legs, "echo": False, "warm": WARM_SECONDS, "seconds": case.seconds, "core": load_core,
                    "talking": case.talking, "jitter_ms": case.jitter_ms,
                    "read_every": 1 if case.marks else 5, "ranks_below": case.workers > 1}  # fmt: skip
            generator, addresses = await start_generator(plan)
            self._connect(addresses)
            # Nobody talks to a leg that is not connected: thousands who did would be looked at one by one.
            await asyncio.sleep(PAUSE + 2 * case.legs / case.workers / COMMANDS_PER_TICK * TICK_SECONDS)
            self._forget()
            result = await finish_generator(generator, {"ports": ports, "pairs": case.pairs(), "pids": pids})
            full = sum(map(memory_mb, pids))
            for number, worker in enumerate(self.workers):
                self._collect(number)
                if worker.restarts:
                    raise RuntimeError("the worker died; its own message is above")
        finally:
            await asyncio.gather(*(worker.stop() for worker in self.workers))
        return {**result, **tick_figures(self.events, case.seconds), "kb_per_leg": (full - empty) * 1024 / case.legs,
                **buffer_figures(self.events)}  # fmt: skip


def tick_figures(events: list[list[protocol.Event]], seconds: float) -> Row:
    """Share of late ticks, skipped ticks and the tick's busy time over the measured seconds, of the worst worker."""
    worst: Row = {}
    for of_worker in events:
        reports = [event for event in of_worker if isinstance(event, protocol.PlaneReport)][-int(seconds) :]
        ticks = sum(report.ticks for report in reports)
        row = {
            "late_ticks_percent": 100 * sum(report.late_ticks for report in reports) / max(1, ticks),
            "skipped_ticks": sum(report.skipped_ticks for report in reports),
            "busy_ms": sum(report.busy_ms for report in reports) / max(1, len(reports)),
            "worst_late": max((report.late_ticks for report in reports), default=0),
        }
        worst = {key: max(value, worst.get(key, 0)) for key, value in row.items()}
    heard = {event.leg for each in events for event in each if isinstance(event, protocol.TalkingChanged)}
    return {**worst, "talking": len(heard)}


def buffer_figures(events: list[list[protocol.Event]]) -> Row:
    """What the jitter buffer threw away because it came too late for it, percent of what came, first seconds left
    out."""
    late = received = 0
    for of_worker in events:
        reports = [event for event in of_worker if isinstance(event, protocol.LegReports)]
        seen: dict[int, list[protocol.LegReport]] = {}
        for report in (each for event in reports for each in event.each()):
            seen.setdefault(report.leg, []).append(report)
        for history in seen.values():
            settled = history[len(history) // 2 - 1 if len(history) > 2 else 0]
            late += history[-1].late - settled.late
            received += history[-1].packets_rx - settled.packets_rx
    return {"buffer_loss_percent": 100 * late / max(1, received)}


async def start_generator(plan: Row) -> tuple[Process, list[tuple[str, int]]]:
    """A load generator for this plan, and the addresses that its legs send from."""
    generator = await generators.start("load_generator")
    generators.tell(generator, plan)
    return generator, [tuple(address) for address in await generators.hear(generator)]


async def finish_generator(generator: Process, target: Row) -> Row:
    """Tell it where to send; what it measured in the end."""
    try:
        generators.tell(generator, target)
        return await generators.hear(generator)
    finally:
        await generators.end(generator)


async def run_floor(legs: int, seconds: float, apart: bool, *words: str) -> Row:
    """The same packets, echoed by one process without a look at them. words: "--calls", on a port for each leg;
    "--srtp", encrypted and decrypted."""
    core, load_core = cores(apart)
    words = (*([] if core is None else [f"--core={core}"]), *words)
    floor = await generators.start("floor", *words)
    try:
        assert floor.pid is not None
        plan = {"legs": legs, "echo": True, "warm": 1.0, "seconds": seconds, "core": load_core}
        generator, addresses = await start_generator(plan)
        generators.tell(floor, addresses)
        ports = await generators.hear(floor)
        return await finish_generator(generator, {"ports": ports, "pairs": [], "pids": [floor.pid]})
    finally:
        await generators.end(floor)


def measure(case: Case) -> Row:
    """One run of a case."""
    return asyncio.run(Bench(case).run())


def held(row: Row) -> bool:
    """Whether every leg got its packets and the ticks were on time."""
    return row["rate_min"] >= LEAST_RATE and row["late_ticks_percent"] < MOST_LATE_PERCENT
