"""Where a tick's microseconds go: a plane with real sockets in this process, N legs talking from another.

`python -m benchmarks.profile [LEGS] [--talking N]` prints, for each part of the tick, the median and the mean of its
own time (what it calls not counted), and the share of the whole. A clock around each part costs some microseconds
itself; the sum is therefore a little more than what bench_plane finds.
"""

import argparse
import asyncio
import gc
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.placement import cores, settle
from benchmarks.plane import PCMU, finish_generator, start_generator
from sipconf.media import protocol, worker
from sipconf.media.plane import MediaPlane
from sipconf.media.supervisor import worker_environment
from sipconf.rtp.edge.batch import READ
from sipconf.rtp.edge.datagrams import RawBatch
from sipconf.rtp.udp import UdpHeaders

PORTS = "20000-31999"
WARM_TICKS, TICKS = 250, 500
HEADERS = "headers"
STAGES = (
    ("ports", "drain", "sockets: what to read, what came"),
    ("_streams", "_take_expected", "expected packets: one comparison of headers"),
    (None, "_store_frames", "into the jitter buffer"),
    (None, "_receive", "other packets: the long way"),
    ("_transport", "drain_rtcp", "RTCP in"),
    ("bank.jitter", "take", "out of the jitter buffer"),
    ("bank.codec", "decode", "decode"),
    ("bank.concealer", "fill", "conceal"),
    ("bank.slipper", "run", "slips"),
    (None, "_listen", "who talks: gates, level matching, guards"),
    ("_mixer", "mix", "mix minus one"),
    (None, "_play_over", "prompts"),
    (None, "_guard", "guards: what legs are sent"),
    ("bank.codec", "encode", "limit and encode"),
    ("bank.sender", "stamp", HEADERS),
    ("_transport", "send", "sockets: what to write"),
    (None, "_report", "reports and RTCP out"),
)
KERNEL = ("kernel: read", "kernel: write")
REST = "the tick itself"


class Stopwatch:
    """Own times of nested parts, in seconds, by part and tick."""

    def __init__(self) -> None:
        self.ticks: list[dict[str, float]] = []
        self._now: dict[str, float] = defaultdict(float)
        self._inner = [0.0]

    def around(self, call: Callable[..., Any], name: Callable[..., str]) -> Callable[..., Any]:
        """The same call, timed. name: of the part, told by the arguments."""
        def timed(*args: Any, **more: Any) -> Any:
            self._inner.append(0.0)
            began = time.perf_counter()
            answer = call(*args, **more)
            took = time.perf_counter() - began
            self._now[name(*args)] += took - self._inner.pop()
            self._inner[-1] += took
            return answer

        return timed

    def next_tick(self) -> None:
        """A tick is over."""
        self.ticks.append(dict(self._now))
        self._now.clear()


def watch(plane: MediaPlane, stopwatch: Stopwatch) -> None:
    """Put a stopwatch around every part of a plane whose legs are there."""
    (bank,) = plane._banks
    ports = plane._transport._ports  # type: ignore[attr-defined]
    owners = {"ports": ports, "bank": bank, "bank.jitter": bank.jitter, "bank.codec": bank.codec,
              "bank.concealer": bank.decoding.concealer, "bank.slipper": bank.slipper, "bank.sender": bank.sender,
              None: plane}
    for owner, method, title in STAGES:
        target = owners.get(owner) or getattr(plane, str(owner))
        setattr(target, method, stopwatch.around(getattr(target, method), lambda *_, title=title: title))
    calls, steered = ports._calls, ports._steered
    calls.carry_out = stopwatch.around(
        calls.carry_out, lambda requests, _: KERNEL[0 if requests._requests["opcode"][0] == READ else 1]
    )
    if steered is not None:
        steered._inbox.receive = stopwatch.around(steered._inbox.receive, lambda *_: KERNEL[0])
        RawBatch.send = stopwatch.around(RawBatch.send, lambda *_: KERNEL[1])  # type: ignore[method-assign]
        UdpHeaders.cover = stopwatch.around(UdpHeaders.cover, lambda *_: HEADERS)  # type: ignore[method-assign]
    plane.tick = stopwatch.around(plane.tick, lambda *_: REST)  # type: ignore[method-assign]


async def run(legs: int, talking: int | None) -> list[dict[str, float]]:
    """Own times of each part in TICKS ticks."""
    core, load_core = cores(apart=True)
    settle(core)
    plane = worker.build_plane(worker.read_arguments(["--fd=0", f"--ports={PORTS}"]))
    for leg in range(legs):
        plane.send(protocol.OpenLeg(leg, "127.0.0.1", "profile"))
    plane.tick(time.monotonic())
    ports = [event.port for event in plane.take_events() if isinstance(event, protocol.LegOpened)]
    seconds = (WARM_TICKS + TICKS) * 0.02
    plan = {"legs": legs, "echo": False, "warm": 1.0, "seconds": seconds + 2, "core": load_core, "talking": talking,
            "jitter_ms": 0, "read_every": 5, "ranks_below": False}  # fmt: skip
    generator, addresses = await start_generator(plan)
    for leg, (host, port) in enumerate(addresses):
        terms = protocol.ConnectLeg(leg, (host, port), (host, port + 1), host, (PCMU,), PCMU, 101, False, "sendrecv")
        plane.send(terms)
        plane.send(protocol.PlaceLeg(leg, 1))
    plane.tick(time.monotonic())
    load = asyncio.create_task(finish_generator(generator, {"ports": ports, "pairs": [], "pids": []}))
    await asyncio.sleep(0)  # it is told what to do; from here on ticks alone
    stopwatch = Stopwatch()
    gc.collect()
    gc.disable()
    clock = worker.TickClock()
    for tick in range(WARM_TICKS + TICKS):
        now, skipped, _ = clock.wait()
        if skipped:
            plane.skip(skipped)
        if tick == WARM_TICKS:
            watch(plane, stopwatch)
        plane.tick(now)
        plane.take_events()
        stopwatch.next_tick()
    await load
    plane.close()
    return stopwatch.ticks[WARM_TICKS:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("legs", type=int, nargs="?", default=500)
    parser.add_argument("--talking", type=int)
    arguments = parser.parse_args()
    if not worker_environment().items() <= os.environ.items():  # some of it is read when a process starts
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks.profile", *sys.argv[1:]], worker_environment())
    ticks = asyncio.run(run(arguments.legs, arguments.talking))
    titles = [KERNEL[0], *(title for _, _, title in STAGES), KERNEL[1], REST]
    table = {title: np.array([tick.get(title, 0.0) for tick in ticks]) * 1e6 for title in titles}
    whole = np.array([sum(tick.values()) for tick in ticks]) * 1e6
    print(f"{arguments.legs} legs, {len(ticks)} ticks; own time of each part in us a tick")
    print("| part | median | mean | share |\n|---|---|---|---|")
    for title, times in table.items():
        print(f"| {title} | {np.median(times):.0f} | {times.mean():.0f} | {100 * times.mean() / whole.mean():.0f} % |")
    print(f"| all | {np.median(whole):.0f} | {whole.mean():.0f} | {whole.mean() / arguments.legs:.2f} us a leg |")


if __name__ == "__main__":
    main()
