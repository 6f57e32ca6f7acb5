"""Which core the measured process and the load run on, and how they rank against the rest of the machine.

Measured process and load generator stand on different cores when there are two: on one core they take turns and warm
each other's sockets in its cache, which flatters whichever of floor and plane happens to share; telephones elsewhere
on the network never do. All of them ask for the same priority, so that what else runs here disturbs them alike.
"""

import contextlib
import os
from pathlib import Path

NICE = -10
AUTOGROUP = Path("/proc/self/autogroup")


def cores(apart: bool) -> tuple[int | None, int | None]:
    """Core of the measured process and of the generator; None: wherever the system likes."""
    usable = sorted(os.sched_getaffinity(0))
    return (usable[0], usable[1]) if apart and len(usable) > 1 else (None, None)


def described(apart: bool) -> str:
    """What the header of the results says about it."""
    server, load = cores(apart)
    if server is None:
        return "server and load generator: any core"
    return f"server on core {server}, load generator on core {load}"


def settle(core: int | None) -> None:
    """Put this process there, at the media worker's priority as far as the system permits."""
    if core is not None:
        os.sched_setaffinity(0, {core})
    with contextlib.suppress(OSError):  # no right to it: the worker has none either
        os.setpriority(os.PRIO_PROCESS, 0, NICE)
        AUTOGROUP.write_text(str(NICE))
