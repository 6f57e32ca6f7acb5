"""The two clocks of the machine, and nothing else: the edges read them here so that a test can hand in its own."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clock:
    """monotonic: seconds since some moment, never steps, ends with the machine; wall: since 1970, may step."""

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time


SYSTEM_CLOCK = Clock()
