"""Who guesses waits: ever longer after each wrong password, until that ends by itself. Computes only.

Who waits is not heard at all, not even with the right password, or guesses could be tried side by side; and what is
refused while one waits does not count, so that no wait is prolonged. By what guessers are told apart is the caller's
business, who also says what passwords and codes they may be. `now` is monotonic seconds.
"""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WaitLimits:
    """free: wrong passwords without a wait; first_wait seconds after the next, doubling up to longest_wait. After
    forget_after seconds without a wrong one all is forgiven. remembered: guessers; beyond them the one longest quiet
    is forgotten."""

    free: int = 5
    first_wait: float = 1.0
    longest_wait: float = 300.0
    forget_after: float = 3600.0
    remembered: int = 20_000


@dataclass(slots=True)
class _Record:
    wrong: int
    last: float
    until: float


class GrowingWaits:
    """The ledger of wrong passwords, by guesser."""

    def __init__(self, limits: WaitLimits) -> None:
        self._limits = limits
        self._records: OrderedDict[Hashable, _Record] = OrderedDict()  # the one longest quiet first

    def __len__(self) -> int:
        return len(self._records)

    def wait(self, guesser: Hashable, now: float) -> float:
        """Seconds until this guesser is heard again; 0.0 where it is heard now."""
        record = self._record(guesser, now)
        return 0.0 if record is None else max(0.0, record.until - now)

    def wrong(self, guesser: Hashable, now: float) -> float:
        """Count a wrong password; the wait that follows."""
        limits, record = self._limits, self._record(guesser, now)
        if record is None:
            if len(self._records) >= limits.remembered:
                self._records.popitem(last=False)
            record = self._records[guesser] = _Record(0, now, now)
        record.wrong += 1
        record.last = now
        over = min(record.wrong - limits.free, 32)  # bounded: a float doubled without end overflows
        wait = 0.0 if over <= 0 else min(limits.first_wait * 2.0 ** (over - 1), limits.longest_wait)
        record.until = now + wait
        self._records.move_to_end(guesser)
        return wait

    def right(self, guesser: Hashable) -> None:
        """It knows the password: all is forgiven."""
        self._records.pop(guesser, None)

    def _record(self, guesser: Hashable, now: float) -> _Record | None:
        record = self._records.get(guesser)
        if record is not None and now - record.last >= self._limits.forget_after:
            del self._records[guesser]
            return None
        return record
