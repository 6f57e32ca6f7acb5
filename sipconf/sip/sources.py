"""How much each source may send, decided before anything is read; and who has proven to live where.

A token bucket per source port, per source host (an IPv6 /64 is one host) and for all strangers together. An address
that has proven to be a user's has a bucket of its own, and so has each trunk: nobody else's flood empties it. Every
table is bounded; what falls out of it is a stranger again. Who is right about a password is digest's business.
"""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from sipconf.sip.flow import Address, network_of


@dataclass(frozen=True, slots=True)
class Rate:
    """per_second for ever, burst at once."""

    per_second: float
    burst: int


@dataclass(frozen=True, slots=True)
class SourceLimits:
    """Messages. stranger_port, stranger_host, strangers: from one address and port, from one host, from all hosts,
    that have proven nothing. proven: from one address and port where a user has answered a challenge. trunk: from all
    addresses of one trunk. refusals, all_refusals: 503 that one source, and all of them, are sent; then silence.
    remembered: how many addresses are known of each kind."""

    stranger_port: Rate = Rate(100.0, 300)
    stranger_host: Rate = Rate(200.0, 600)
    strangers: Rate = Rate(1500.0, 3000)
    proven: Rate = Rate(4000.0, 8000)
    trunk: Rate = Rate(4000.0, 8000)
    refusals: Rate = Rate(20.0, 40)
    all_refusals: Rate = Rate(500.0, 1000)
    remembered: int = 20_000


class Buckets:
    """A token bucket per key, kept as the moment when it is full again (the generic cell rate algorithm)."""

    def __init__(self, rate: Rate, keys: int) -> None:
        """keys: how many are remembered; a forgotten bucket is a full one."""
        self._gap = 1.0 / rate.per_second
        self._slack = (rate.burst - 0.99) * self._gap  # sums of gaps are not exact
        self._keys = keys
        self._full_at: OrderedDict[Hashable, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at)

    def wait(self, key: Hashable, now: float) -> float:
        """Seconds until `take` gives a token; 0.0 when it does now."""
        return max(0.0, self._full_at.get(key, now) - now - self._slack)

    def take(self, key: Hashable, now: float) -> bool:
        """One token; False where there is none, which changes nothing."""
        full_at = self._full_at.get(key)
        if full_at is None:
            if len(self._full_at) >= self._keys:
                self._full_at.popitem(last=False)
            self._full_at[key] = now + self._gap
            return True
        if full_at - now > self._slack:
            return False
        self._full_at[key] = max(full_at, now) + self._gap
        self._full_at.move_to_end(key)
        return True


class Sources:
    """The buckets of everybody. dropped: messages that were neither read nor answered."""

    def __init__(self, limits: SourceLimits) -> None:
        keys = limits.remembered
        self._ports = Buckets(limits.stranger_port, keys)
        self._hosts = Buckets(limits.stranger_host, keys)
        self._strangers = Buckets(limits.strangers, 1)
        self._of_proven = Buckets(limits.proven, keys)
        self._of_trunks = Buckets(limits.trunk, keys)
        self._refusals = Buckets(limits.refusals, keys)
        self._all_refusals = Buckets(limits.all_refusals, 1)
        self._keys = keys
        self._users: OrderedDict[Address, str] = OrderedDict()
        self._homes: OrderedDict[tuple[str, str], None] = OrderedDict()  # network and user
        self.dropped = 0

    def __len__(self) -> int:
        """How much is remembered of all sources together."""
        tables = (self._ports, self._hosts, self._of_proven, self._of_trunks, self._refusals, self._users, self._homes)
        return sum(len(table) for table in tables)

    def admit(self, remote: Address, trunk: str | None, now: float) -> bool:
        """Whether a message from this address, which is this trunk's (None: no trunk's), is to be looked at."""
        if remote in self._users:
            return self._of_proven.take(remote, now)
        if trunk is not None:
            return self._of_trunks.take(trunk, now)
        # All strangers first: a flood from ever new addresses is not even remembered.
        return (
            not self._strangers.wait(None, now)
            and self._ports.take(remote, now)
            and self._hosts.take(network_of(remote[0]), now)
            and self._strangers.take(None, now)
        )

    def may_refuse(self, remote: Address, now: float) -> bool:
        """Whether this source is to be told once more that it asks too much; else it hears nothing, and is counted."""
        if (
            not self._all_refusals.wait(None, now)
            and self._refusals.take(network_of(remote[0]), now)
            and self._all_refusals.take(None, now)
        ):
            return True
        self.dropped += 1
        return False

    def prove(self, remote: Address, user: str) -> None:
        """A user has answered a challenge from here."""
        _remember(self._users, remote, user, self._keys)
        _remember(self._homes, (network_of(remote[0]), user), None, self._keys)

    def user_at(self, remote: Address) -> str | None:
        """Who has proven to live at this address and port, or None."""
        return self._users.get(remote)

    def is_at_home(self, user: str, host: str) -> bool:
        """Has this user proven to live in this host's network, from whatever address and port?"""
        return (network_of(host), user) in self._homes


def _remember(table: OrderedDict[Any, Any], key: Hashable, value: object, most: int) -> None:
    if key not in table and len(table) >= most:
        table.popitem(last=False)
    table[key] = value
    table.move_to_end(key)
