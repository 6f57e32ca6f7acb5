"""Two workers that are each other's telephones: what two cores hold when no load generator takes a part of them.

Each leg of the one worker is connected to a leg of the other, so that every packet is sent, received, decoded, mixed
and encoded as a telephone's is. A few callers of the load generator talk in both rooms; their sound goes round between
the rooms, louder each time, until the limiter holds it: everybody talks. Packets come at one phase of the 20 ms, that
of the other worker's tick, instead of at all; the cases of bench_held with a generator tell what that is worth.
"""

import asyncio
import time

from benchmarks.pace import processor_seconds
from benchmarks.plane import TICK_SECONDS, Bench, Case, Row, finish_generator, start_generator, tick_figures
from sipconf.media import protocol

CALLERS = 20
"""In each room."""
WARM_SECONDS = 12.0
HOST = "127.0.0.1"


class FacingBench(Bench):
    """A room on each of two workers."""

    def __init__(self, legs: int, seconds: float) -> None:
        super().__init__(Case(legs, legs // 2, workers=2, marks=False, seconds=seconds, priority="realtime"))

    def _face(self, ports: list[int]) -> list[int]:
        """Connect the legs to each other, and place them all; those that are left, a few of each room, for callers."""
        room = self.case.room
        facing = range(room - CALLERS)
        for leg in facing:
            for mine, other in ((leg, leg + room), (leg + room, leg)):
                self._connect_leg(mine, (HOST, ports[other]))
        return [leg + first for first in (0, room) for leg in range(len(facing), room)]

    async def run(self) -> Row:
        case = self.case
        await asyncio.gather(*(worker.start() for worker in self.workers))
        try:
            self._settle()
            pids = [worker.pid for worker in self.workers if worker.pid is not None]
            ports = await self._open_legs()
            callers = self._face(ports)
            plan = {"legs": len(callers), "echo": False, "warm": WARM_SECONDS, "seconds": case.seconds, "core": None,
                    "read_every": 5, "ranks_below": True}  # fmt: skip
            generator, addresses = await start_generator(plan)
            for leg, address in zip(callers, addresses, strict=True):
                self._connect_leg(leg, tuple(address))
            target = {"ports": [ports[leg] for leg in callers], "pairs": [], "pids": pids}
            talking = asyncio.create_task(finish_generator(generator, target))
            await asyncio.sleep(WARM_SECONDS)
            talkers = self._talkers()
            self._forget()
            began, used = time.monotonic(), sum(map(processor_seconds, pids))
            of_callers = await talking
            elapsed, used = time.monotonic() - began, sum(map(processor_seconds, pids)) - used
            if any(worker.restarts for worker in self.workers):
                raise RuntimeError("a worker died; its own message is above")
        finally:
            await asyncio.gather(*(worker.stop() for worker in self.workers))
        ticks = tick_figures(self.events, elapsed)
        rates = self._rates(ticks["skipped_ticks"])
        return {**ticks, "rate_min": min(rates) if len(rates) == case.legs else 0.0, "reporting": len(rates),
                "cpu_ms_per_participant_s": used / elapsed / case.legs * 1e3, "core": used / elapsed,
                "generator_core": of_callers["generator_core"], "callers_rate_min": of_callers["rate_min"],
                "talking": talkers}  # fmt: skip

    def _rates(self, skipped: int) -> list[float]:
        """Packets per second that each leg has got: between its first report and its last, by its own worker's ticks,
        each of which sent one packet. skipped: ticks that were left out; all are held against each leg."""
        first: dict[int, protocol.LegReport] = {}
        last: dict[int, protocol.LegReport] = {}
        for event in (event for events in self.events for event in events):
            for report in event.each() if isinstance(event, protocol.LegReports) else ():
                first.setdefault(report.leg, report)
                last[report.leg] = report
        return [
            (last[leg].packets_rx - one.packets_rx) / (last[leg].packets_tx - one.packets_tx + skipped) / TICK_SECONDS
            for leg, one in first.items() if last[leg].packets_tx > one.packets_tx
        ]  # fmt: skip

    def _talkers(self) -> int:
        """Legs that talk, by what the workers have told since the beginning."""
        talking: dict[int, bool] = {}
        for event in (event for events in self.events for event in events):
            if isinstance(event, protocol.TalkingChanged):
                talking[event.leg] = event.talking
        return sum(talking.values())


def measure_facing(legs: int, seconds: float) -> Row:
    """One run with so many legs, half of them on each worker. There is no core left for anything else that runs here,
    which therefore waits: the workers rank as "realtime" of [rtp] priority."""
    return asyncio.run(FacingBench(legs, seconds).run())
