"""Wrong passwords, counted by source and account: growing waits that end by themselves; and a rate of them by source.

What is refused while one waits is not looked at and does not count, so that no wait is prolonged. A source is a network
(an IPv6 /64), or the very address and port where this user has proven to live: so a guesser behind the same NAT locks
out nobody who is registered. Names that are nobody's count like anybody's. `now` is monotonic seconds.
"""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

from sipconf.sip.sources import Buckets, Rate


@dataclass(frozen=True, slots=True)
class GuessLimits:
    """free: wrong passwords of one source for one account that cost nothing; each one more doubles the wait from
    first_wait to longest_wait seconds. forget_after: this long without one forgives. per_source: wrong passwords of
    one source for whatever account, so slow that a few telephones with an old password do not use it up. remembered:
    records kept of each kind."""

    free: int = 5
    first_wait: float = 1.0
    longest_wait: float = 300.0
    forget_after: float = 3600.0
    per_source: Rate = Rate(1.0 / 60.0, 15)
    remembered: int = 20_000


@dataclass(slots=True)
class _Record:
    wrong: int
    last: float
    until: float


class Guesses:
    """The ledger of wrong passwords. source: a network, or where the user has proven to live."""

    def __init__(self, limits: GuessLimits) -> None:
        self._limits = limits
        self._records: OrderedDict[tuple[Hashable, str], _Record] = OrderedDict()
        self._by_source = Buckets(limits.per_source, limits.remembered)

    def __len__(self) -> int:
        return len(self._records) + len(self._by_source)

    def wait(self, source: Hashable, account: str, now: float) -> float:
        """Seconds until this source may try this account again; 0.0 when it may now."""
        record = self._records.get((source, account))
        if record is not None and now - record.last >= self._limits.forget_after:
            del self._records[source, account]
            record = None
        of_account = 0.0 if record is None else record.until - now
        return max(0.0, of_account, self._by_source.wait(source, now))

    def wrong(self, source: Hashable, account: str, now: float) -> None:
        """Count a wrong password."""
        self._by_source.take(source, now)
        record = self._records.get((source, account))
        if record is None:
            if len(self._records) >= self._limits.remembered:
                self._records.popitem(last=False)  # the longest quiet
            record = self._records[source, account] = _Record(0, now, now)
        record.wrong += 1
        record.last = now
        over = min(record.wrong - self._limits.free, 32)  # bounded: a float doubled without end overflows
        if over >= 0:
            record.until = now + min(self._limits.first_wait * 2.0**over, self._limits.longest_wait)
        self._records.move_to_end((source, account))

    def right(self, source: Hashable, account: str) -> None:
        """A right password forgives this source's tries at this account, not those at others."""
        self._records.pop((source, account), None)
