"""How a media worker ranks against other programs: a nice value or a real-time policy, as far as the system permits.

The worker asks for itself once it is built; who starts it lends it the nice value from its first instruction on, or a
start on a busy machine would take many times as long. Why the scheduling group: docs/adr/0004.
"""

import contextlib
import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)

NICE = -10
REALTIME_PRIORITY = 10
PROCESSES = Path("/proc")


def take_priority(priority: str) -> None:
    """Ask the kernel to run us before others: "normal" (not at all), "nice" or "realtime". Without the right to it we
    say so and run as we are."""
    try:
        if priority == "realtime":
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(REALTIME_PRIORITY))
        elif priority == "nice":
            _rank(0)
    except PermissionError:
        log.info("no permission for priority %s: running at normal priority", priority)


def lend_priority(priority: str, process: int) -> None:
    """Give a worker that was just started a nice value, whatever it will ask for later. Without the right to it, or
    when it has ended already, nothing: the worker says so itself."""
    if priority != "normal":
        with contextlib.suppress(PermissionError, ProcessLookupError):
            _rank(process)


def _rank(process: int) -> None:
    """process: its id, 0 for our own. Raises PermissionError, ProcessLookupError."""
    os.setpriority(os.PRIO_PROCESS, process, NICE)
    group = PROCESSES / (str(process) if process else "self") / "autogroup"
    if group.exists():
        # Where sessions are scheduled as groups, a nice value counts only inside our own: the group needs it too.
        try:
            group.write_text(str(NICE))
        except OSError as error:  # EINVAL: our group is the root group, which has no rank and needs none
            log.debug("the scheduling group keeps its priority: %s", error.strerror)
