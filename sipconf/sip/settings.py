"""What the user agent is told at start: names, timers, limits. No behaviour."""

from collections.abc import Callable
from dataclasses import dataclass

from sipconf.sip.caps import Cap
from sipconf.sip.flow import Address, Flow
from sipconf.sip.guesses import GuessLimits
from sipconf.sip.sources import SourceLimits
from sipconf.sip.timers import Timers

MAX_SESSIONS = 5000
MAX_SESSIONS_PER_SOURCE = 2500
MAX_SESSIONS_PER_TRUNK = 4000
MAX_HALF_OPEN = 2000
MAX_HALF_OPEN_PER_SOURCE = 200
MAX_HALF_OPEN_PER_TRUNK = 1000
# Each lives 32 s after its answer: 800 REGISTERs a second from one proxy are 25,600 of them
MAX_TRANSACTIONS = 50_000
MAX_TRANSACTIONS_PER_SOURCE = 30_000
MAX_TRANSACTIONS_PER_TRUNK = 30_000
RETRY_AFTER = 10
RING_LIMIT = 300.0
RING_AGAIN = 60.0
SESSION_EXPIRES = 1800
MAX_FORWARDS = 70
ANSWERED_ELSEWHERE = "answered elsewhere"
"""Why we hang up: an order with this reason tells the telephone that nobody missed a call."""
NO_ACK, NO_REFRESH, NO_REPLY = "no ACK", "session expired", "no answer to re-INVITE"
NO_CONNECTION = "connection lost"
TIMED_OUT = (NO_ACK, NO_REFRESH, NO_REPLY, NO_CONNECTION)
"""Why we give an established call up by ourselves: the peer has not been heard of for too long."""


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """domain: our name in addresses; user_agent: "" for none; contact_address: our host and port as a flow's peer
    sees them. max_*: in all, of one source host and of one trunk; beyond them new requests get 503 with Retry-After
    retry_after seconds. A half-open call has no final answer yet, or no ACK. sources, guesses: what one source may
    send, and how many wrong passwords. drop_unknown: strangers who do not address our domain hear nothing.
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
    max_sessions_per_source: int = MAX_SESSIONS_PER_SOURCE
    max_sessions_per_trunk: int = MAX_SESSIONS_PER_TRUNK
    max_half_open: int = MAX_HALF_OPEN
    max_half_open_per_source: int = MAX_HALF_OPEN_PER_SOURCE
    max_half_open_per_trunk: int = MAX_HALF_OPEN_PER_TRUNK
    max_transactions: int = MAX_TRANSACTIONS
    max_transactions_per_source: int = MAX_TRANSACTIONS_PER_SOURCE
    max_transactions_per_trunk: int = MAX_TRANSACTIONS_PER_TRUNK
    sources: SourceLimits = SourceLimits()
    guesses: GuessLimits = GuessLimits()
    drop_unknown: bool = False
    retry_after: int = RETRY_AFTER
    ring_limit: float = RING_LIMIT
    session_expires: int = SESSION_EXPIRES

    @property
    def sessions(self) -> Cap:
        """Calls."""
        return Cap(self.max_sessions, self.max_sessions_per_source, self.max_sessions_per_trunk)

    @property
    def half_open(self) -> Cap:
        """Calls that their caller has not confirmed yet."""
        return Cap(self.max_half_open, self.max_half_open_per_source, self.max_half_open_per_trunk)

    @property
    def transactions(self) -> Cap:
        """Server transactions."""
        return Cap(self.max_transactions, self.max_transactions_per_source, self.max_transactions_per_trunk)

    @property
    def timers(self) -> Timers:
        """The three base values as one object."""
        return Timers(self.t1, self.t2, self.t4)
