"""Wrong administrator's passwords: each address that guesses waits ever longer, and nobody else does. Computes only.

Who waits is not heard at all, not even with the right password, or guesses could be tried side by side.
"""

import hashlib
import hmac
from dataclasses import dataclass

from sipconf.sip.flow import source_of


@dataclass(frozen=True, slots=True)
class GuessingLimits:
    """free: wrong passwords without a wait; first_wait seconds after the next, doubling up to longest_wait. After
    forget_after seconds without a wrong one all is forgiven. addresses: how many are remembered; beyond them the one
    longest quiet is forgotten."""

    free: int = 5
    first_wait: float = 1.0
    longest_wait: float = 900.0
    forget_after: float = 3600.0
    addresses: int = 10_000


@dataclass(slots=True)
class _Record:
    wrong: int
    last: float
    until: float


class Guessing:
    """The ledger. An address is an IPv4 address or the /64 of an IPv6 one; now is monotonic seconds."""

    def __init__(self, limits: GuessingLimits | None = None) -> None:
        self._limits = limits or GuessingLimits()
        self._records: dict[str, _Record] = {}  # the one longest quiet first

    def wait(self, address: str, now: float) -> float:
        """Seconds until this address is heard again; 0.0 where it is heard now."""
        record = self._records.get(source_of(address))
        return 0.0 if record is None else max(0.0, record.until - now)

    def wrong(self, address: str, now: float) -> float:
        """It gave a wrong password; the wait that follows."""
        limits, source = self._limits, source_of(address)
        record = self._records.pop(source, None)
        if record is None or now - record.last >= limits.forget_after:
            record = _Record(0, now, now)
        record.wrong += 1
        record.last = now
        over = record.wrong - limits.free
        wait = 0.0 if over <= 0 else min(limits.longest_wait, limits.first_wait * 2.0 ** min(over - 1, 30))
        record.until = now + wait
        self._records[source] = record
        if len(self._records) > limits.addresses:
            del self._records[next(iter(self._records))]
        return wait

    def right(self, address: str) -> None:
        """It knows the password."""
        self._records.pop(source_of(address), None)


def same_secret(one: str, other: str) -> bool:
    """Compares in a time that tells nothing, not even the length."""
    digests = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in (one, other)]
    return hmac.compare_digest(*digests)
