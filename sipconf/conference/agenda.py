"""When which call needs attention: at most one deadline a call, the next one at hand. Reads no clock."""

import heapq


class Agenda:
    """Deadlines by call id, in the caller's monotonic seconds."""

    _STALE_ALLOWED = 64

    def __init__(self) -> None:
        self._when: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []

    def set(self, call: str, when: float | None) -> None:
        """Give a call its one deadline, in place of any it had; None takes it away."""
        if when is None:
            self._when.pop(call, None)
            return
        self._when[call] = when
        heapq.heappush(self._heap, (when, call))
        # Replaced deadlines stay in the heap until their time; a caller who keys fast must not make it grow.
        if len(self._heap) > 2 * len(self._when) + self._STALE_ALLOWED:
            self._heap = [(due, name) for name, due in self._when.items()]
            heapq.heapify(self._heap)

    def next(self) -> float | None:
        """The earliest deadline, or None."""
        while self._heap and self._when.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def take_due(self, now: float) -> str | None:
        """One call whose deadline has come, which is then gone; None when there is none."""
        due = self.next()
        if due is None or due > now:
            return None
        call = heapq.heappop(self._heap)[1]
        del self._when[call]
        return call
