"""Endurance: after all the calls, is everything exactly as it was before? Tasks, descriptors, transactions, dialogs,
and memory.

`python -m benchmarks.soak` runs a server for 20 minutes with 50 calls that talk, come and go, registrations among
them. `python -m benchmarks.soak --calls 10000` makes calls without sound, as fast as they go, to a server in this
process with T1 = 20 ms instead of 500. Both read what is left when every timer has run out: RFC 3261 keeps an ended
transaction for 64*T1 on purpose. Exit status 1 where something was not flat.
"""

import argparse
import asyncio
import functools
import gc
import json
import math
import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import uvloop

from benchmarks.server import ROOMS, TALKS_IN, Server, descriptors, memory_mb, own_host, running
from benchmarks.talkers import Talker, Talkers
from benchmarks.telephones import Refused, Telephone
from sipconf import app
from sipconf.config import load
from sipconf.sip.digest import Authenticator
from sipconf.sip.settings import AgentSettings

LEGS = 50
MINUTES = 20.0
SETTLE = 40.0
"""Seconds after the last word until what is left is read: 64*T1 = 32 s and a margin."""
REPORT_EVERY = 60.0
CALL_SECONDS = (5.0, 120.0)
"""How long a call of the soak lasts; most of them shorter than the mean."""
SHORT_CALLS = 0.2
"""Share of calls that are given up at once."""
REGISTER_EVERY = 15.0
MOST_MEMORY_MB = 16.0
"""Growth by which memory still counts as flat after calls with sound: the allocator keeps some pages."""
MOST_BLOCKS = 1000
"""More objects after WARM_CALLS, when all caches are full, would be a leak: one for every tenth call."""
MOST_MEMORY_MB_WARM = 2.0
"""The same for calls without sound after WARM_CALLS: two arenas of Python's allocator; 200 octets a call would show."""
QUICK_T1, QUICK_T2, QUICK_T4 = 0.02, 0.16, 0.2
QUICK_NONCE_LIFE = 2.0
"""Right answers to the digest's nonces are remembered for as long as a nonce lives, so that none is good twice."""
QUICK_SETTLE = 64 * QUICK_T1 + 0.5
AT_ONCE = 20
WARM_CALLS = 2000
QUIET = 0.5
NOW = ("tasks", "transactions", "dialogs")


@dataclass(frozen=True, slots=True)
class Reading:
    """What a server holds. memory in MB; that of the media worker last."""

    tasks: int
    descriptors: int
    transactions: int
    dialogs: int
    memory: float
    worker_descriptors: int
    worker_memory: float
    blocks: int = 0
    """Of memory that Python objects have, where the server is in this process: told exactly, unlike pages."""

    def faults(
        self, before: "Reading", most_memory_mb: float = MOST_MEMORY_MB, most_blocks: float = math.inf
    ) -> list[str]:
        """What is not as it was; memory may have grown by so much, and by so many objects."""
        counts = ("tasks", "descriptors", "transactions", "dialogs", "worker_descriptors")
        sizes = ("memory", "worker_memory")
        most = {**dict.fromkeys(counts, 0), **dict.fromkeys(sizes, most_memory_mb), "blocks": most_blocks}
        grown = [(name, getattr(before, name), getattr(self, name)) for name in most]
        return [f"{name}: {old:g} before, {new:g} after" for name, old, new in grown
                if (new - old > most[name] if most[name] else new != old)]  # fmt: skip


# --- in real time: a server of its own, calls with sound -------------------------------------------------------------
def read(server: Server) -> Reading:
    """From /proc and /metrics."""
    figures = server.metrics()
    time.sleep(QUIET)  # its own connection is to be gone
    tasks, transactions, dialogs = (int(figures[f"sipconf_{name}_now"]) for name in NOW)
    return Reading(tasks, descriptors(server.pid), transactions, dialogs, memory_mb(server.pid),
                   descriptors(server.worker), memory_mb(server.worker))  # fmt: skip


async def come_and_go(telephone: Telephone, talker: Talker, rng: random.Random, until: float) -> tuple[int, int]:
    """Calls one after the other until it is time; (calls made, calls refused or cut off)."""
    made = failed = 0
    mean = sum(CALL_SECONDS) / 4
    while (left := until - time.monotonic()) > 0:
        room = str(int(TALKS_IN) + rng.randrange(ROOMS // 2))
        lasts = 0.1 if rng.random() < SHORT_CALLS else CALL_SECONDS[0] + rng.expovariate(1 / mean)
        made += 1
        try:
            call = await telephone.call(room, talker.port, talker.host)
        except Refused as error:
            print(f"{telephone.user}: {error}", file=sys.stderr, flush=True)
            failed += 1
            await asyncio.sleep(1.0)
            continue
        talker.aim(call.media)
        try:
            await asyncio.wait_for(call.ended.wait(), min(lasts, CALL_SECONDS[1], left))
            failed += 1
        except TimeoutError:
            pass
        talker.hush()
        await telephone.hang_up(call)
        await asyncio.sleep(rng.uniform(0.1, 2.0))
    return made, failed


async def keep_registering(telephone: Telephone, until: float) -> int:
    """Registrations one after the other; how many."""
    made = 0
    while time.monotonic() < until:
        if made % 3 == 0:
            telephone.forget_challenge()
        await telephone.register()
        made += 1
        await asyncio.sleep(min(REGISTER_EVERY, max(0.0, until - time.monotonic())))
    return made


async def report(server: Server, until: float, every: float) -> None:
    """A line now and then, for whoever waits."""
    began = time.monotonic()
    while time.monotonic() + every < until:
        await asyncio.sleep(every)
        say(f"{(time.monotonic() - began) / 60:.0f} min", await asyncio.to_thread(read, server))


async def days_work(server: Server, legs: int, seconds: float, every: float) -> list[str]:
    """Calls and registrations for so long; what is not flat afterwards."""
    talkers = await Talkers([Talker(f"127.8.0.{leg + 1}", leg) for leg in range(legs)]).open()
    phones = [await server.telephone(leg, own_host(leg)).open() for leg in range(legs)]
    for phone in phones:  # everyone has a binding before the first reading, as after the last call
        await phone.register()
    warm = time.monotonic() + min(30.0, seconds / 4)
    await asyncio.gather(*(come_and_go(phone, talker, random.Random(leg), warm)
                           for leg, (phone, talker) in enumerate(zip(phones, talkers.all, strict=True))))  # fmt: skip
    await asyncio.sleep(SETTLE)
    before = await asyncio.to_thread(read, server)
    say("before", before)
    until = time.monotonic() + seconds
    rings = [come_and_go(phone, talker, random.Random(leg + 1000), until)
             for leg, (phone, talker) in enumerate(zip(phones, talkers.all, strict=True))]  # fmt: skip
    watcher = asyncio.create_task(report(server, until, every))
    counts, registered = await asyncio.gather(
        asyncio.gather(*rings), asyncio.gather(*(keep_registering(phone, until) for phone in phones))
    )
    await watcher
    made, failed = (sum(column) for column in zip(*counts, strict=True))
    print(f"{made} calls, {failed} of them failed, {sum(registered)} registrations, "
          f"{sum(phone.repeats for phone in phones)} requests said again; waiting {SETTLE:g} s", flush=True)
    await asyncio.sleep(SETTLE)
    after = await asyncio.to_thread(read, server)
    say("after", after)
    figures = await asyncio.to_thread(server.metrics)
    late = figures["sipconf_media_late_ticks_total"] / max(1.0, figures["sipconf_media_ticks_total"])
    faults = sum(value for name, value in figures.items() if name.startswith("sipconf_faults_total"))
    print(f"late ticks {100 * late:.3f} %, faults of the server {faults:g}", flush=True)
    await talkers.close()
    for phone in phones:
        phone.close()
    unhappy = after.faults(before) + ([f"{failed} calls failed"] if failed else [])
    return unhappy + ([f"{faults:g} faults of the server"] if faults else [])


# --- with short timers: a server in this process, calls without sound ------------------------------------------------
@contextmanager
def quick_timers() -> Iterator[None]:
    """A server built in this block has timers of a 25th of RFC 3261's, and nonces that soon die."""
    timers = functools.partial(AgentSettings, t1=QUICK_T1, t2=QUICK_T2, t4=QUICK_T4)
    nonces = functools.partial(Authenticator, nonce_life=QUICK_NONCE_LIFE)
    with mock.patch.object(app, "AgentSettings", timers), mock.patch.object(app, "Authenticator", nonces):
        yield


async def many_calls(folder: Path, calls: int, at_once: int = AT_ONCE) -> tuple[Reading, Reading, int]:
    """`calls` whole calls to a server in this process: what it held before and holds after; how many failed."""
    server = Server(folder, users=at_once)
    with quick_timers():
        house = app.House(load(server.file), server.file)
    try:
        await house.start()
        server.adopt()
        phones = [await server.telephone(number, own_host(number), QUICK_T1).open() for number in range(at_once)]

        async def one_after_the_other(phone: Telephone, count: int) -> int:
            failed = 0
            for number in range(count):
                try:
                    if number % 10 == 0:
                        await phone.register()
                    call = await phone.call(str(int(TALKS_IN) + number % ROOMS))
                    await phone.hang_up(call)
                except Refused as error:
                    print(f"{phone.user}: {error}", file=sys.stderr, flush=True)
                    failed += 1
            return failed

        async def round_of(count: int) -> tuple[Reading, int]:
            failed = await asyncio.gather(*(one_after_the_other(phone, count) for phone in phones))
            await asyncio.sleep(2 * QUICK_NONCE_LIFE)
            for phone in phones:  # whoever is heard after that has the dead nonces forgotten
                await phone.register()
            await asyncio.sleep(QUICK_SETTLE)
            gc.collect()
            blocks = sys.getallocatedblocks()
            return replace(await asyncio.to_thread(read, server), blocks=blocks), sum(failed)

        before, failed_first = await round_of(math.ceil(min(WARM_CALLS, calls) / at_once))
        after, failed = await round_of(math.ceil(calls / at_once))
        for phone in phones:
            phone.close()
    finally:
        await house.stop("the calls are over")
    return before, after, failed_first + failed


def say(when: str, reading: Reading) -> None:
    print(f"{when:<8}", json.dumps({name: round(value, 1) for name, value in asdict(reading).items()}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Endurance: is everything as it was after all the calls?")
    parser.add_argument("--calls", type=int, help="so many calls without sound at T1 = 20 ms, instead of the soak")
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--legs", type=int, default=LEGS)
    arguments = parser.parse_args()
    if arguments.calls:
        with TemporaryDirectory() as folder:
            began = time.monotonic()
            before, after, failed = uvloop.run(many_calls(Path(folder), arguments.calls))
            took = time.monotonic() - began
        say("before", before)
        say("after", after)
        print(f"{arguments.calls} calls in {took:.0f} s, {failed} failed")
        unhappy = after.faults(before, MOST_MEMORY_MB_WARM, MOST_BLOCKS)
        unhappy += [f"{failed} calls failed"] if failed else []
    else:
        seconds = 60 * arguments.minutes
        with running(arguments.legs) as server:
            unhappy = uvloop.run(days_work(server, arguments.legs, seconds, min(REPORT_EVERY, seconds / 4)))
    print("flat" if not unhappy else "NOT FLAT: " + "; ".join(unhappy))
    sys.exit(bool(unhappy))


if __name__ == "__main__":
    main()
