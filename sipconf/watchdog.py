"""Watches the event loop: whoever holds it up for longer than a telephone should wait is counted and told of."""

import asyncio
import logging

from sipconf.clock import SYSTEM_CLOCK, Clock

log = logging.getLogger(__name__)

BEAT = 0.1           # seconds between two looks
LATE = 0.05          # of lag, from which on it counts
TELL_EVERY = 60.0


class Watchdog:
    """stalls: how often the loop came late; stalled: by how many seconds in all."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self.stalls = 0
        self.stalled = 0.0
        self._now = clock.monotonic
        self._told = float("-inf")
        self._untold = 0

    async def watch(self) -> None:
        """Beats until cancelled."""
        while True:
            due = self._now() + BEAT
            await asyncio.sleep(BEAT)
            self.note(due)

    def note(self, due: float) -> None:
        """A beat that was due at that time has its turn."""
        now = self._now()
        lag = now - due
        if lag <= LATE:
            return
        self.stalls += 1
        self.stalled += lag
        self._untold += 1
        if now - self._told >= TELL_EVERY:
            log.warning("signalling came %.0f ms late (%d times since the last such line): this machine is too busy, "
                        "or something here takes too long", lag * 1000, self._untold)
            self._told, self._untold = now, 0
