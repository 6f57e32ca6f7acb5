"""Calls that no SIP session stands for: their offer came by HTTP from the join page, and the answer goes back so.

What lives here: how far each such call has come, as a table, told to the switchboard in the words of sip.events and
ordered about by it as the user agent is. What does not: HTTP, tokens and who may try (web.join), rooms and codes
(conference). Which of the two a session belongs to is `signalling`'s. Sans-IO.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from sipconf.errors import MisuseError
from sipconf.sip.events import CallCancelled, CallConfirmed, CallEnded, CallEvent, Identity, IncomingCall
from sipconf.sip.flow import Flow

NUMBER = "web"  # shown where others have a telephone number


# --- to the web side -------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to the offer that opened a call."""

    session: str
    answer: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """The call is not taken: a SIP status, a reason for a person, when to try again (seconds)."""

    session: str
    status: int
    reason: str
    retry_after: int | None = None


@dataclass(frozen=True, slots=True)
class Over:
    """An answered call has ended, and the page does not know it yet."""

    session: str
    reason: str


Output = Answered | Refused | Over


class State(Enum):
    """How far a call has come."""

    ARRIVED = auto()    # its offer waits for an answer
    ANSWERED = auto()   # the answer is on its way to the page
    CONNECTED = auto()  # the page has it, and media flows


class Input(Enum):
    """What can happen to it: ours first, then the page's."""

    ANSWER = auto()
    REFUSE = auto()
    HANG_UP = auto()
    CONFIRM = auto()
    LEAVE = auto()


class WebCalls:
    """All calls from the join page. Orders for one that is over are ignored: they were on their way."""

    def __init__(self) -> None:
        self._calls: dict[str, State] = {}
        self._events: list[CallEvent] = []
        self._outputs: list[Output] = []

    def __len__(self) -> int:
        return len(self._calls)

    def __contains__(self, session: str) -> bool:
        return session in self._calls

    def take_events(self) -> list[CallEvent]:
        """For the switchboard, in order."""
        taken, self._events = self._events, []
        return taken

    def take_outputs(self) -> list[Output]:
        """For the web side, in order."""
        taken, self._outputs = self._outputs, []
        return taken

    # --- from the page -----------------------------------------------------------------------------------------------
    def arrive(self, session: str, extension: str, name: str, offer: bytes, flow: Flow) -> None:
        """Somebody who calls himself `name` offers to speak; Answered or Refused follows. session: a word that no other
        call has. Raises MisuseError where one has it."""
        if session in self._calls:
            raise MisuseError("a call has arrived twice")
        self._calls[session] = State.ARRIVED
        visitor = Identity("visitor", flow.remote[0])
        self._events.append(IncomingCall(session, session, visitor, extension, NUMBER, name, offer, flow))

    def confirm(self, session: str) -> None:
        """The page has its answer and is connected; before that nothing is played to it."""
        self._order(session, Input.CONFIRM)

    def leave(self, session: str, reason: str) -> None:
        """The page hangs up, or is not there any more."""
        self._order(session, Input.LEAVE, reason)

    # --- orders of the switchboard, as sip.agent.UserAgent takes them ------------------------------------------------
    def ring(self, session: str, now: float) -> None:
        """Nobody hears ringing here: a conference answers at once."""

    def answer(self, session: str, sdp: bytes, now: float) -> None:
        """Take the call; CallConfirmed or CallEnded follows."""
        self._order(session, Input.ANSWER, sdp)

    def reject(self, session: str, status: int, reason: str | None, now: float, retry_after: int | None = None) -> None:
        """Refuse the call; no event follows."""
        self._order(session, Input.REFUSE, Refused(session, status, reason or "The call was refused", retry_after))

    def hang_up(self, session: str, now: float, reason: str = "") -> None:
        """End a call in whatever state; CallEnded follows."""
        self._order(session, Input.HANG_UP, reason)

    def _order(self, session: str, what: Input, payload: object = None) -> None:
        state = self._calls.get(session)
        cell = None if state is None else TABLE.get((state, what))
        if cell is None:
            return
        action, following = cell
        if following is None:
            del self._calls[session]
        else:
            self._calls[session] = following
        action(self, session, payload)

    # --- actions -----------------------------------------------------------------------------------------------------
    def _send_answer(self, session: str, sdp: bytes) -> None:
        self._outputs.append(Answered(session, sdp))

    def _refuse(self, session: str, refused: Refused) -> None:
        self._outputs.append(refused)

    def _turn_away(self, session: str, reason: str) -> None:
        self._outputs.append(Refused(session, 503, reason))
        self._events.append(CallEnded(session, reason, by_peer=False))

    def _connect(self, session: str, payload: None) -> None:
        self._events.append(CallConfirmed(session, None))

    def _cancel(self, session: str, reason: str) -> None:
        self._events.append(CallCancelled(session, reason))

    def _end(self, session: str, reason: str) -> None:
        self._outputs.append(Over(session, reason))
        self._events.append(CallEnded(session, reason, by_peer=False))

    def _part(self, session: str, reason: str) -> None:
        self._events.append(CallEnded(session, reason, by_peer=True))


TABLE: dict[tuple[State, Input], tuple[Callable[..., None], State | None]] = {
    (State.ARRIVED, Input.ANSWER): (WebCalls._send_answer, State.ANSWERED),
    (State.ARRIVED, Input.REFUSE): (WebCalls._refuse, None),
    (State.ARRIVED, Input.HANG_UP): (WebCalls._turn_away, None),
    (State.ARRIVED, Input.LEAVE): (WebCalls._cancel, None),
    (State.ANSWERED, Input.CONFIRM): (WebCalls._connect, State.CONNECTED),
    (State.ANSWERED, Input.HANG_UP): (WebCalls._end, None),
    (State.ANSWERED, Input.LEAVE): (WebCalls._part, None),
    (State.CONNECTED, Input.HANG_UP): (WebCalls._end, None),
    (State.CONNECTED, Input.LEAVE): (WebCalls._part, None),
}
"""(state, input) -> (action, next state; None: over). What is in no cell changes nothing."""
