"""How much of a table one source, one trunk and all of them together may hold (transactions, calls).

Whose a request is, is for others to say; what is held here is only counted.
"""

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass

from sipconf.errors import MisuseError, PeerError


class TooMuch(PeerError):
    """Refused for its amount: answered so many times a second, and then with silence."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds something: a trunk by its name, anybody else by the network that his messages come from."""

    name: str
    is_trunk: bool = False


@dataclass(frozen=True, slots=True)
class Cap:
    """At most so many things, and of them at most so many of one source's or one trunk's."""

    total: int
    per_source: int
    per_trunk: int


class Held:
    """Things that are held, by whom."""

    def __init__(self, cap: Cap, reason: str, metric: str) -> None:
        """reason: for the person who is refused."""
        self._cap = cap
        self._reason = reason
        self._metric = metric
        self._holders: dict[Hashable, Holder] = {}
        self._counts: Counter[Holder] = Counter()

    def __len__(self) -> int:
        return len(self._holders)

    def check(self, holder: Holder) -> None:
        """Raises TooMuch (503) where he may hold no more."""
        own = self._cap.per_trunk if holder.is_trunk else self._cap.per_source
        if len(self._holders) >= self._cap.total or self._counts[holder] >= own:
            raise TooMuch(self._reason, status=503, metric=self._metric)

    def take(self, thing: Hashable, holder: Holder) -> None:
        """He holds it from now on, whoever did before."""
        self.give_back(thing)
        self._holders[thing] = holder
        self._counts[holder] += 1

    def holder_of(self, thing: Hashable) -> Holder:
        """Who holds it; MisuseError for what nobody holds."""
        holder = self._holders.get(thing)
        if holder is None:
            raise MisuseError(f"nobody holds {thing!r}")
        return holder

    def give_back(self, thing: Hashable) -> None:
        """Nobody holds it any more; no error where nobody did."""
        holder = self._holders.pop(thing, None)
        if holder is not None:
            self._counts[holder] -= 1
            if not self._counts[holder]:
                del self._counts[holder]
