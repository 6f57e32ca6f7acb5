"""The steps of a load generator, one a millisecond, and what the server used meanwhile: CPU, packets that came back.

Not here: what is sent and heard in a step (load_generator, webrtc_generator).
"""

import gc
import os
import time

import numpy as np

STEP_SECONDS = 1e-3
LEAD_SECONDS = 0.05
"""From the making of a Pace to its first step."""


def processor_seconds(pid: int) -> float:
    """CPU time of a process so far, all its threads, by the scheduler's accounting."""
    tasks = f"/proc/{pid}/task"
    return sum(int(_read(f"{tasks}/{task}/schedstat").split()[0]) for task in os.listdir(tasks)) * 1e-9


def _read(path: str) -> bytes:
    file = os.open(path, os.O_RDONLY)
    try:
        return os.read(file, 4096)
    finally:
        os.close(file)


class Pace:
    """Waits for steps, and measures from `begin` to `figures`."""

    def __init__(self, pids: list[int], counts: np.ndarray, wait_every: int) -> None:
        """pids: the server processes to account. counts: packets that each leg has got, int64 (legs,), which the
        generator goes on counting. wait_every: steps between two pauses; those between follow without one."""
        self._pids, self._counts, self._wait_every = pids, counts, wait_every
        self._lateness: list[float] = []
        self._used = self._own = self._began = 0.0
        self._counted = counts
        # What is done for the first time takes long, and a generator that stands still when it begins to measure is to
        # the server a line that falls silent: it makes every leg wait a frame longer for the next ten seconds.
        gc.collect()
        gc.disable()
        self._server_seconds()
        self._start = time.monotonic() + LEAD_SECONDS

    def wait(self, step: int) -> None:
        """Until a step may begin."""
        due = self._start + step * STEP_SECONDS
        pause = due - time.monotonic()
        if pause > 0 and step % self._wait_every == 0:
            time.sleep(pause)
        self._lateness.append(time.monotonic() - due)

    def begin(self) -> None:
        """What was until now was to get warm; the step that has just been waited for is the first that counts."""
        del self._lateness[:-1]
        self._used = self._server_seconds()
        self._began, self._counted, self._own = time.monotonic(), self._counts.copy(), time.process_time()

    @property
    def began(self) -> float:
        """When the measuring began, seconds of the monotonic clock."""
        return self._began

    def figures(self) -> dict[str, float]:
        """Of the time since `begin`: what the server used, what came back, how busy and how late we ourselves were."""
        used, elapsed = self._server_seconds() - self._used, time.monotonic() - self._began
        own = time.process_time() - self._own
        rates = (self._counts - self._counted) / elapsed
        return {
            "cpu_ms_per_participant_s": used / elapsed / len(rates) * 1e3,
            "core": used / elapsed,
            "rate_mean": float(rates.mean()),
            "rate_min": float(rates.min()),
            "generator_core": own / elapsed,
            "generator_late_p99_ms": float(np.percentile(self._lateness, 99) * 1e3),
            "seconds": elapsed,
        }

    def _server_seconds(self) -> float:
        return sum(map(processor_seconds, self._pids))
