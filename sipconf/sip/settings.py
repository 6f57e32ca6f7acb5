"""What the user agent is told at start: names, timers, limits. No behaviour."""

from collections.abc import Callable
from dataclasses import dataclass

from sipconf.sip.flow import Address, Flow
from sipconf.sip.timers import Timers

MAX_SESSIONS = 5000
MAX_TRANSACTIONS = 20000
RETRY_AFTER = 10
RING_LIMIT = 300.0
RING_AGAIN = 60.0
MAX_FORWARDS = 70
ANSWERED_ELSEWHERE = "answered elsewhere"
"""Why we hang up: an order with this reason tells the telephone that nobody missed a call."""


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """domain: our name in addresses; user_agent: "" for none; contact_address: our host and port as a flow's peer
    sees them. max_sessions, max_transactions: beyond them new requests get 503 with Retry-After retry_after seconds.
    ring_limit: seconds after which an INVITE without a final answer is given up, ours (CANCEL) or theirs (487)."""

    domain: str
    user_agent: str
    contact_address: Callable[[Flow], Address]
    t1: float = 0.5
    t2: float = 4.0
    t4: float = 5.0
    max_sessions: int = MAX_SESSIONS
    max_transactions: int = MAX_TRANSACTIONS
    retry_after: int = RETRY_AFTER
    ring_limit: float = RING_LIMIT

    @property
    def timers(self) -> Timers:
        """The three base values as one object."""
        return Timers(self.t1, self.t2, self.t4)
