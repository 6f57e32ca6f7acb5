"""Wrong passwords, counted by source and account (growing_waits); and a rate of them by source.

A source is a network (an IPv6 /64), or of it what tries the account of somebody who has registered there before, or the
very address and port where this user has proven to live: so a guesser behind the same NAT locks out nobody else whose
page is loaded anew, and nobody at all who is registered. Names that are nobody's count like anybody's. `now` is
monotonic seconds.
"""

from collections.abc import Hashable
from dataclasses import dataclass

from sipconf.growing_waits import GrowingWaits, WaitLimits
from sipconf.sip.sources import Buckets, Rate


@dataclass(frozen=True, slots=True)
class GuessLimits(WaitLimits):
    """Those of one source and account; and per_source: wrong passwords of one source for whatever account, so slow
    that a few telephones with an old password do not use it up. remembered: records kept of each kind."""

    per_source: Rate = Rate(1.0 / 60.0, 15)


class Guesses:
    """The ledger of wrong passwords. source: a network, or where the user has proven to live."""

    def __init__(self, limits: GuessLimits) -> None:
        self._by_account = GrowingWaits(limits)
        self._by_source = Buckets(limits.per_source, limits.remembered)

    def __len__(self) -> int:
        return len(self._by_account) + len(self._by_source)

    def wait(self, source: Hashable, account: str, now: float) -> float:
        """Seconds until this source may try this account again; 0.0 when it may now."""
        return max(self._by_account.wait((source, account), now), self._by_source.wait(source, now))

    def wrong(self, source: Hashable, account: str, now: float) -> None:
        """Count a wrong password."""
        self._by_source.take(source, now)
        self._by_account.wrong((source, account), now)

    def right(self, source: Hashable, account: str) -> None:
        """A right password forgives this source's tries at this account, not those at others."""
        self._by_account.right((source, account))
