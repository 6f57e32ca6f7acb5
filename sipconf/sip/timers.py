"""SIP's clocks: how long each timer runs (RFC 3261 table 4, RFC 6026), and a queue of deadlines by key.

Nothing here reads a clock; what happens when a timer fires stands in the tables of client_tx, server_tx and session.
"""

import heapq
import itertools
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Timers:
    """T1 (round trip), T2 (longest gap between retransmissions) and T4 (life of a message in the network), seconds."""

    t1: float = 0.5
    t2: float = 4.0
    t4: float = 5.0

    @property
    def patience(self) -> float:
        """64*T1: timers B, F, H, J, L and M, and the wait for an ACK."""
        return 64 * self.t1

    @property
    def linger(self) -> float:
        """Timer D over UDP: more than 32 s, and never less than the peer's timer H (RFC 3261 section 17.1.1.2)."""
        return max(32.0, self.patience)


class Running(dict[K, float]):
    """The timers of one state machine that run at present: by their input, when each fires."""

    __slots__ = ()

    def only(self, timers: Mapping[K, float]) -> None:
        """Let these run and no others."""
        self.clear()
        self.update(timers)

    def next(self) -> float | None:
        """When the earliest fires."""
        return min(self.values(), default=None)

    def fire(self, now: float, step: Callable[[K], None]) -> None:
        """Take every step whose time has come, earliest first; a step may start and stop others."""
        while self:
            what = min(self, key=self.__getitem__)
            if self[what] > now:
                return
            del self[what]
            step(what)


class Deadlines(Generic[K]):
    """One deadline per key; stale heap entries are skipped and swept, so memory follows the number of keys."""

    def __init__(self) -> None:
        self._when: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._order = itertools.count()

    def __len__(self) -> int:
        return len(self._when)

    def set(self, key: K, when: float | None) -> None:
        """Move a key's deadline, or with None forget it."""
        if when is None:
            self._when.pop(key, None)
        elif self._when.get(key) != when:
            self._when[key] = when
            heapq.heappush(self._heap, (when, next(self._order), key))
        if len(self._heap) > 2 * len(self._when) + 64:
            self._heap = [entry for entry in self._heap if self._when.get(entry[2]) == entry[0]]
            heapq.heapify(self._heap)

    def next(self) -> float | None:
        """The earliest deadline."""
        while self._heap and self._when.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now: float) -> list[K]:
        """Keys whose deadline has come, earliest first; each is forgotten until it is set again."""
        due: list[K] = []
        while (when := self.next()) is not None and when <= now:
            key = heapq.heappop(self._heap)[2]
            del self._when[key]
            due.append(key)
        return due
