"""Fair turns: what has arrived is worked off one message of each peer at a time, and the loop looks around in between.

Without it one peer that sends a thousand messages in a breath would hold up everybody else's for as long.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

PORTION = 0.005  # seconds of work until the loop may see to everything else


class Worker(Protocol):
    """Somebody with a queue."""

    def work(self) -> bool:
        """Does one piece; True where more is waiting."""


class Turns:
    """Whoever has work, in the order in which they came."""

    def __init__(self, now: Callable[[], float], portion: float = PORTION) -> None:
        self._now = now
        self._portion = portion
        self._waiting: dict[Worker, None] = {}
        self._handle: asyncio.Handle | None = None

    def add(self, worker: Worker) -> None:
        """It has work; from inside its `work` the answer True says the same."""
        self._waiting.setdefault(worker)
        if self._handle is None:
            self._handle = asyncio.get_running_loop().call_soon(self._run)

    def stop(self) -> None:
        """Nothing more is worked on."""
        self._waiting.clear()
        if self._handle is not None:
            self._handle.cancel()

    def _run(self) -> None:
        self._handle = None
        end = self._now() + self._portion
        while self._waiting:
            worker = next(iter(self._waiting))
            del self._waiting[worker]
            if worker.work():
                self._waiting.setdefault(worker)
            if self._now() >= end:
                break
        if self._waiting and self._handle is None:
            self._handle = asyncio.get_running_loop().call_soon(self._run)
