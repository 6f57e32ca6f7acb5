"""Interarrival jitter, leg by leg, as receiver reports tell it (RFC 3550 sections 6.4.1 and A.8).

Columns by slot. A packet's arrival is the reading of its block, so the grain is the tick. Not here: what is done about
jitter (playout).
"""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sipconf.rtp.columns import Columns

WEIGHT = 1 / 16
"""Of the newest packet in the running mean."""


class InterarrivalJitter(Columns):
    """mean: in timestamp units, by slot."""

    CLEAN: ClassVar[dict[str, int]] = {"_clock_rate": 8000}

    def __init__(self, capacity: int) -> None:
        self.mean = np.zeros(capacity)
        self._clock_rate = np.full(capacity, 8000, np.int64)
        self._transit = np.zeros(capacity, np.int64)
        self._rates: set[int] = set()  # every clock rate that a leg has had
        self._only_rate: int | None = None  # while there is but one

    def rate_is(self, slot: int, clock_rate: int) -> None:
        """The clock of a slot's timestamps, in Hz."""
        self._clock_rate[slot] = clock_rate
        self._rates.add(clock_rate)
        self._only_rate = clock_rate if len(self._rates) == 1 else None

    def measure(
        self, slots: NDArray[np.intp], timestamps: NDArray[np.int64], fresh: NDArray[np.bool_], now: float
    ) -> None:
        """Enter one packet for each of the slots, which came at now (s). fresh: begins a new reckoning."""
        rate = self._common_rate(slots)
        transit = self._arrival(now, rate) - timestamps
        # The difference wraps as timestamps do.
        moved = np.fabs((transit - self._transit.take(slots)).astype(np.int32))
        self._transit[slots] = transit
        # A whole second apart is a new reckoning of the peer's, not jitter of the path.
        reset = moved > rate
        reset |= fresh
        if np.count_nonzero(reset):
            moved[reset] = 0
        mean = self.mean.take(slots)
        moved -= mean
        moved *= WEIGHT
        moved += mean
        self.mean[slots] = moved

    def measure_expected(
        self, timestamps: NDArray[np.int64], came: NDArray[np.bool_], everyone: bool, now: float
    ) -> None:
        """The same for the slots 0..n-1 where came, bool (n,), says so. timestamps: of all of them, (n,)."""
        known, mean = self._transit[: len(came)], self.mean[: len(came)]
        rate = self._common_rate(slice(len(came)))
        transit = self._arrival(now, rate) - timestamps
        moved = np.fabs((transit - known).astype(np.int32))
        far = moved > rate
        if np.count_nonzero(far):
            moved[far] = 0
        moved -= mean
        moved *= WEIGHT
        if everyone:
            known[:] = transit
        else:
            np.copyto(known, transit, where=came)
            moved *= came
        mean += moved

    def _common_rate(self, slots: NDArray[np.intp] | slice) -> Any:
        """The clock rate of these slots: a number while there is but one, else int64 (n,)."""
        return self._clock_rate[slots] if self._only_rate is None else self._only_rate

    def _arrival(self, now: float, rate: Any) -> Any:
        return (now * rate).astype(np.int64) if self._only_rate is None else int(now * rate)

    def milliseconds(self, slots: NDArray[np.intp] | int) -> NDArray[np.float64]:
        """The mean of some slots."""
        return self.mean[slots] * 1000.0 / self._clock_rate[slots]
