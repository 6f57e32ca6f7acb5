"""A load generator in a process of its own: started, told and heard by lines of JSON."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from typing import Any

from sipconf.media.supervisor import worker_environment

MOST_LINE = 1 << 24
END_TIMEOUT = 5.0


async def start(module: str, *words: str) -> Process:
    """Start `benchmarks.module`."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"benchmarks.{module}", *words, stdin=PIPE, stdout=PIPE, env=worker_environment(),
        limit=MOST_LINE,
    )  # fmt: skip


def tell(generator: Process, what: object) -> None:
    """One line to it."""
    assert generator.stdin
    generator.stdin.write(json.dumps(what).encode() + b"\n")


async def hear(generator: Process) -> Any:
    """Its next line."""
    assert generator.stdout
    line = await generator.stdout.readline()
    if not line:
        raise RuntimeError("the load generator failed; its own message is above")
    return json.loads(line)


async def end(generator: Process) -> None:
    """Close its standard input, which ends it."""
    if generator.stdin:
        generator.stdin.close()
    if generator.returncode is None:
        try:
            await asyncio.wait_for(generator.wait(), END_TIMEOUT)
        except TimeoutError:
            generator.kill()
            await generator.wait()
