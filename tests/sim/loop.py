"""An event loop as far as callbacks go, whose time stands still until it is moved."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Loop:
    """Time that stands still until it is moved."""

    now: float = 100.0
    due: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    def time(self) -> float:
        return self.now

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.call_later(0.0, callback)

    def call_later(self, delay: float, callback: Callable[[], None]) -> None:
        self.due.append((self.now + delay, callback))

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while self.due and min(self.due, key=lambda item: item[0])[0] <= until + 1e-9:
            item = min(self.due, key=lambda item: item[0])
            self.due.remove(item)
            self.now = max(self.now, item[0])
            item[1]()
        self.now = until
