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
SESSION_EXPIRES = 1800
MAX_FORWARDS = 70
ANSWERED_ELSEWHERE = "answered elsewhere"
"""Why we hang up: an order with this reason tells the telephone that nobody missed a call."""
NO_ACK, NO_REFRESH, NO_REPLY = "no ACK", "session expired", "no answer to re-INVITE"
TIMED_OUT = (NO_ACK, NO_REFRESH, NO_REPLY)
"""Why we give an established call up by ourselves: the peer has not been heard of for too long."""


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """domain: our name in addresses; user_agent: "" for none; contact_address: our host and port as a flow's peer
    sees them. max_sessions, max_transactions: beyond them new requests get 503 with Retry-After retry_after seconds.
    ring_limit: seconds after which an INVITE without a final answer is given up, ours (CANCEL) or theirs (487).
    session_expires: seconds that a call may go on unrefreshed with peers who speak RFC 4028, at least 90; 0 where only
    they may ask for that."""

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
    session_expires: int = SESSION_EXPIRES

    @property
    def timers(self) -> Timers:
        """The three base values as one object."""
        return Timers(self.t1, self.t2, self.t4)
