"""Calls whose WebSocket is lost. Only their peer can open another (RFC 7118 section 5), so they wait for it.

The sound does not go by that connection: people talk on while a proxy restarts. A page that is closed or loaded anew
takes no call up again; browsers say so when they close its connection, and then nobody waits.
"""

from collections.abc import Collection

from sipconf.sip.flow import Flow
from sipconf.sip.timers import Deadlines

PATIENCE = 75.0
"""Seconds; a widget of Odoo has tried six times by then, after 1, 2, 4, 8, 16 and 32 of them."""
Connection = tuple[str, int | None]


class Stranded:
    """Which calls go by which connection, and until when those wait that have lost theirs."""

    def __init__(self) -> None:
        self._riders: dict[Connection, set[str]] = {}
        self._by: dict[str, Connection] = {}
        self._deadlines: Deadlines[str] = Deadlines()
        self._waiting: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._by) + len(self._waiting)

    def note(self, session: str, flow: Flow | None) -> None:
        """The way that a call goes now; None: it is over."""
        new = (flow.transport, flow.connection) if flow is not None and flow.by_websocket else None
        old = self._by.get(session)
        if new == old:
            return
        if old is not None:
            self._riders[old].discard(session)
            if not self._riders[old]:
                del self._riders[old]
            del self._by[session]
        if new is not None:
            self._by[session] = new
            self._riders.setdefault(new, set()).add(session)
        self._deadlines.set(session, None)
        self._waiting.pop(session, None)

    def lose(self, flow: Flow, now: float, for_good: bool) -> None:
        """A connection is gone. for_good: no other will follow."""
        for session in sorted(self._riders.get((flow.transport, flow.connection), ())):
            if session not in self._waiting:
                self._waiting[session] = None
                self._deadlines.set(session, now if for_good else now + PATIENCE)

    def waiting(self) -> Collection[str]:
        """Calls that have lost their connection and not found another."""
        return tuple(self._waiting)

    def next(self) -> float | None:
        """When the first has waited long enough."""
        return self._deadlines.next()

    def pop_due(self, now: float) -> list[str]:
        """Calls that have waited long enough."""
        return self._deadlines.pop_due(now)
