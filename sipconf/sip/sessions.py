"""The agent's sessions and the tables in which they are found: by id, by dialog, by what an ACK names, by deadline.

What lives here: who is in which table until when. What does not: what a session does (session), and which requests are
let as far as one (agent, admission).
"""

from collections.abc import Iterator

from sipconf.sip.call_states import HALF_OPEN, State
from sipconf.sip.caps import Held, Holder
from sipconf.sip.dialog import DialogKey
from sipconf.sip.session import Session
from sipconf.sip.settings import AgentSettings
from sipconf.sip.stranded import Stranded
from sipconf.sip.timers import Deadlines
from sipconf.sip.transactions import ANYBODY


class Sessions:
    """All that are not over, those included whose BYE waits for its answer. stranded: those that have lost their
    connection."""

    def __init__(self, settings: AgentSettings) -> None:
        self.stranded = Stranded()
        self._calls = Held(settings.sessions, "Too Many Calls", "sessions_full")
        self._half_open = Held(settings.half_open, "Too Many Calls Wait To Be Answered", "half_open_full")
        self._sessions: dict[str, Session] = {}
        self._dialogs: dict[DialogKey, Session] = {}
        self._placed: dict[tuple[str, str], Session] = {}  # ours, by Call-ID and tag: their early dialogs are several
        self._acked: dict[tuple[str, str], Session] = {}
        self._deadlines: Deadlines[str] = Deadlines()

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        return iter(self._sessions.values())

    def __getitem__(self, session_id: str) -> Session:
        return self._sessions[session_id]

    def get(self, session_id: str) -> Session | None:
        """By its id."""
        return self._sessions.get(session_id)

    def idle(self) -> bool:
        """True where nothing is remembered."""
        tables = (self._sessions, self._dialogs, self._placed, self._acked, self._deadlines, self._calls,
                  self._half_open, self.stranded)
        return not any(len(table) for table in tables)

    # --- coming and going --------------------------------------------------------------------------------------------
    def check(self, holder: Holder) -> None:
        """Raises TooMuch (503) where a caller may have no further call."""
        self._calls.check(holder)
        self._half_open.check(holder)

    def add_incoming(self, session: Session, holder: Holder) -> None:
        """A caller's new one, which takes part of his limits."""
        self._calls.take(session.id, holder)
        self._half_open.take(session.id, holder)
        self._sessions[session.id] = session

    def add_placed(self, session: Session) -> None:
        """One that we have placed ourselves."""
        self._sessions[session.id] = session
        self._placed[session.call_id, session.local_tag] = session
        self._calls.take(session.id, ANYBODY)

    def settle(self, session: Session) -> None:
        """Keep the tables true after anything that may have changed its state, its dialog or its timer."""
        dialog = session.dialog
        self.stranded.note(session.id, None if dialog is None or session.state is State.ENDED else dialog.flow)
        if session.state not in HALF_OPEN:
            self._half_open.give_back(session.id)
        if session.state is State.ENDED:
            self._sessions.pop(session.id, None)
            self._placed.pop((session.call_id, session.local_tag), None)
            self._calls.give_back(session.id)
            self._deadlines.set(session.id, None)
            if dialog is not None and self._dialogs.pop(dialog.key, None) is not None:
                self._acked.pop((dialog.call_id, dialog.remote_tag), None)
            return
        self._deadlines.set(session.id, session.next_timer())
        if dialog is not None and dialog.key not in self._dialogs:
            self._dialogs[dialog.key] = session
            self._acked[dialog.call_id, dialog.remote_tag] = session

    # --- whose is it -------------------------------------------------------------------------------------------------
    def of_dialog(self, dialog: DialogKey) -> Session | None:
        """By an established dialog: Call-ID, our tag, theirs."""
        return self._dialogs.get(dialog)

    def of_request(self, dialog: DialogKey) -> Session | None:
        """By the dialog that a request names, an early one of a call that we have placed included."""
        call_id, ours, _ = dialog
        return self._dialogs.get(dialog) or self._placed.get((call_id, ours))

    def of_ack(self, call_id: str, theirs: str) -> Session | None:
        """By Call-ID and From tag alone: telephones invent a To tag for their ACK."""
        return self._acked.get((call_id, theirs))

    def holder_of(self, session: Session) -> Holder:
        """Whose part of the limits it takes."""
        return self._calls.holder_of(session.id)

    # --- time --------------------------------------------------------------------------------------------------------
    def pop_due(self, now: float) -> Iterator[Session]:
        """Those whose timer is due."""
        return (self._sessions[session_id] for session_id in self._deadlines.pop_due(now))

    def next_timer(self) -> float | None:
        """When the first timer is due, or the first stranded call has waited long enough."""
        timers = (self._deadlines.next(), self.stranded.next())
        return min((when for when in timers if when is not None), default=None)
