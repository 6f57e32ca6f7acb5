"""A user who dials another user: ringing, then a private room of two without code or tones, as a table of states.

What does not live here: which telephones ring (switchboard) and conferences (room).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto

from sipconf.conference.agenda import Agenda
from sipconf.conference.commands import Answer, CallOut, EnterRoom, HangUp, Outbox, Reject, Ring
from sipconf.conference.directory import UserSpec
from sipconf.conference.events import Caller, NotRung
from sipconf.errors import MisuseError

NO_ANSWER = 480
BUSY = 486
DECLINED = 603
RING_ANYWAY = 4.0
"""Seconds until a caller hears ringing though no telephone has said that it rings: silence makes people give up."""


class State(Enum):
    """How far a call between two people has come."""

    CALLING = auto()    # the called person's telephones are called; none has said that it rings
    RINGING = auto()    # the caller hears ringing
    ANSWERED = auto()   # the called person is there; the caller's own call is being answered
    TALKING = auto()
    CLEARING = auto()   # told to hang up; the end is to be reported
    OVER = auto()


class Input(Enum):
    """What can happen to it."""

    RINGING = auto()
    NO_WORD = auto()    # no telephone has said anything for a while
    ANSWERED = auto()
    FAILED = auto()
    CONNECTED = auto()
    CALLER_OVER = auto()
    CALLED_OVER = auto()
    TIMEOUT = auto()


@dataclass(frozen=True, slots=True)
class Failure:
    """What a caller is told about a called person: a SIP status, a reason for a person, when to try again (seconds)."""

    status: int
    reason: str
    retry_after: int | None = None


NOT_RUNG = {
    NotRung.NO_LINE: Failure(503, "All lines are busy, please try again in a moment", 10),
    NotRung.NOT_CONNECTED: Failure(NO_ANSWER, "No telephone of {} is connected"),
    NotRung.NOT_ENCRYPTED: Failure(NO_ANSWER, "No telephone of {} can be called encrypted"),
}


def failure_of(name: str, status: int, why: NotRung | None = None) -> Failure:
    """Put the SIP status of the called telephone, or why none was called, into a status and words for the caller."""
    if why is not None:
        return replace(NOT_RUNG[why], reason=NOT_RUNG[why].reason.format(name))
    if status in (BUSY, 600):
        return Failure(BUSY, f"{name} is busy")
    if status == DECLINED:
        return Failure(DECLINED, f"{name} does not want to take the call")
    if status in (408, 487):
        return Failure(NO_ANSWER, f"{name} does not answer")
    # Whatever else: a telephone's inner trouble (401, 488, 500, ...) is none of the caller's.
    return Failure(NO_ANSWER, f"{name} cannot be reached at the moment")


class PrivateCall:
    """Two people: `caller` and `called` are their call ids; `alive` are those of which more is to be heard; `people`
    says who is at which."""

    def __init__(
        self, caller: str, called: str, room: str, user: UserSpec, outbox: Outbox, agenda: Agenda
    ) -> None:
        self.caller = caller
        self.called = called
        self.alive = {caller, called}
        self.state = State.CALLING
        self.room = room
        self.people = {called: Caller(user.extension, user.name, user.extension, None, "")}
        self._user = user
        self._outbox = outbox
        self._agenda = agenda
        self._failure = failure_of(user.name, 408)

    @classmethod
    def between(
        cls, one: tuple[str, Caller], other: tuple[str, Caller], room: str, outbox: Outbox, agenda: Agenda
    ) -> "PrivateCall":
        """Two who are on the line already, to be connected."""
        (caller, who), (called, whom) = one, other
        private = cls(caller, called, room, UserSpec(whom.user or whom.number, whom.name), outbox, agenda)
        private.people = {caller: who, called: whom}
        private.state = State.TALKING
        return private

    def other(self, call: str) -> str:
        """The call of the other person."""
        return self.called if call == self.caller else self.caller

    def begin(self, who: Caller, ring_limit: float, now: float) -> None:
        """Have the called person's telephones ring."""
        self.people[self.caller] = who
        self._outbox.add(CallOut(self.called, self._user.extension, who.number, who.name, self.room))
        self._agenda.set(self.caller, now + ring_limit)
        self._agenda.set(self.called, now + RING_ANYWAY)

    def timed_out(self, call: str) -> None:
        """The deadline of one of the two has come: the called one's until a word, the caller's until an answer."""
        self.receive(Input.TIMEOUT if call == self.caller else Input.NO_WORD)

    def receive(self, event: Input) -> None:
        """Take an input of the table. Raises MisuseError where the table has no such input."""
        cell = TABLE.get((self.state, event))
        if cell is None:
            raise MisuseError(f"a private call that is {self.state.name} cannot take {event.name}")
        if event is Input.CALLER_OVER:
            self.alive.discard(self.caller)
        elif event in (Input.CALLED_OVER, Input.FAILED):
            self.alive.discard(self.called)
        action, self.state = cell
        action(self)

    def failed(self, status: int, why: NotRung | None) -> None:
        """The called person's telephones have refused, or (why) were never called."""
        if self.state in (State.CALLING, State.RINGING):
            self._failure = failure_of(self._user.name, status, why)
        self.receive(Input.FAILED)

    # --- actions -------------------------------------------------------------------------------------------------
    def ring(self) -> None:
        """Let the caller hear it."""
        self._agenda.set(self.called, None)
        self._outbox.add(Ring(self.caller))

    def answer(self) -> None:
        """The called person is there: answer the caller too."""
        self._stop_waiting()
        self._outbox.add(Answer(self.caller, self.room))

    def refuse(self) -> None:
        """Tell the caller why not."""
        self._stop_waiting()
        self._outbox.add(Reject(self.caller, self._failure.status, self._failure.reason, self._failure.retry_after))
        self.alive.discard(self.caller)             # no event follows a refusal

    def stop_ringing(self) -> None:
        """Nobody has answered for long enough."""
        self.refuse()
        self._outbox.add(HangUp(self.called, "nobody answered"))

    def connect(self) -> None:
        """Both hear each other."""
        self._outbox.add(EnterRoom(self.caller, self.room))
        self._outbox.add(EnterRoom(self.called, self.room))

    def end_caller(self) -> None:
        """The called person has hung up."""
        self._outbox.add(HangUp(self.caller, "the other person hung up"))

    def end_called(self) -> None:
        """The caller has hung up, or given up."""
        self._stop_waiting()
        self._outbox.add(HangUp(self.called, "the caller hung up"))

    def rest(self) -> None:
        """Nothing is left to do."""

    def _stop_waiting(self) -> None:
        self._agenda.set(self.caller, None)
        self._agenda.set(self.called, None)


TABLE: dict[tuple[State, Input], tuple[Callable[[PrivateCall], None], State]] = {
    (State.CALLING, Input.RINGING): (PrivateCall.ring, State.RINGING),
    (State.CALLING, Input.NO_WORD): (PrivateCall.ring, State.RINGING),
    (State.CALLING, Input.ANSWERED): (PrivateCall.answer, State.ANSWERED),
    (State.CALLING, Input.FAILED): (PrivateCall.refuse, State.OVER),
    (State.CALLING, Input.CALLED_OVER): (PrivateCall.refuse, State.OVER),
    (State.CALLING, Input.CALLER_OVER): (PrivateCall.end_called, State.CLEARING),
    (State.CALLING, Input.TIMEOUT): (PrivateCall.stop_ringing, State.CLEARING),
    (State.RINGING, Input.RINGING): (PrivateCall.rest, State.RINGING),
    (State.RINGING, Input.ANSWERED): (PrivateCall.answer, State.ANSWERED),
    (State.RINGING, Input.FAILED): (PrivateCall.refuse, State.OVER),
    # The called call ended without a word of its own: to the caller, nobody answered.
    (State.RINGING, Input.CALLED_OVER): (PrivateCall.refuse, State.OVER),
    (State.RINGING, Input.CALLER_OVER): (PrivateCall.end_called, State.CLEARING),
    (State.RINGING, Input.TIMEOUT): (PrivateCall.stop_ringing, State.CLEARING),
    (State.ANSWERED, Input.RINGING): (PrivateCall.rest, State.ANSWERED),
    (State.ANSWERED, Input.CONNECTED): (PrivateCall.connect, State.TALKING),
    (State.ANSWERED, Input.CALLER_OVER): (PrivateCall.end_called, State.CLEARING),
    (State.ANSWERED, Input.CALLED_OVER): (PrivateCall.end_caller, State.CLEARING),
    (State.TALKING, Input.RINGING): (PrivateCall.rest, State.TALKING),
    (State.TALKING, Input.CALLER_OVER): (PrivateCall.end_called, State.CLEARING),
    (State.TALKING, Input.CALLED_OVER): (PrivateCall.end_caller, State.CLEARING),
    # Words that were on their way when we told the call to end.
    (State.CLEARING, Input.RINGING): (PrivateCall.rest, State.CLEARING),
    (State.CLEARING, Input.ANSWERED): (PrivateCall.rest, State.CLEARING),
    (State.CLEARING, Input.CONNECTED): (PrivateCall.rest, State.CLEARING),
    (State.CLEARING, Input.FAILED): (PrivateCall.rest, State.OVER),
    (State.CLEARING, Input.CALLER_OVER): (PrivateCall.rest, State.OVER),
    (State.CLEARING, Input.CALLED_OVER): (PrivateCall.rest, State.OVER),
}
