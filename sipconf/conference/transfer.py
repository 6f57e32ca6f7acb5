"""Of two people who talk, one has the other put through to a third (a "blind" transfer), as a table of states.

The third is rung while the two talk on. Most telephones hang up as soon as the transfer is under way: then the one who
is left hears music until the third answers. What does not live here: who may be called (referrals).
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from sipconf.conference import events
from sipconf.conference.agenda import Agenda
from sipconf.conference.calls import Failure, PrivateCall, failure_of
from sipconf.conference.commands import CallOut, EnterRoom, HangUp, LeaveRoom, Outbox, ReportReferral, StopPlaying
from sipconf.conference.directory import UserSpec
from sipconf.conference.events import Caller
from sipconf.conference.participant import MUSIC
from sipconf.errors import MisuseError

Side = tuple[str, Caller]


class State(Enum):
    """How far it has come."""

    RINGING = auto()    # the third is rung, the two talk on
    WAITING = auto()    # the same, but the one who wanted it has gone
    OVER = auto()


class Input(Enum):
    """What can happen to it."""

    RINGS = auto()
    ANSWERED = auto()
    FAILED = auto()
    TRANSFEROR_OVER = auto()
    OTHER_OVER = auto()
    TIMEOUT = auto()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is left: two who talk, or (back) the two from before; parting: calls told to hang up."""

    talking: tuple[Side, Side] | None = None
    back: bool = False
    parting: frozenset[str] = frozenset()


class Transfer:
    """before: the call between two. transferor, other, third: the calls concerned. outcome: once it is over."""

    def __init__(self, before: PrivateCall, transferor: str, third: str, referral: str, user: UserSpec,
                 outbox: Outbox, agenda: Agenda) -> None:
        self.before = before
        self.transferor = transferor
        self.other = before.other(transferor)
        self.third = third
        self.room = before.room
        self.outcome: Outcome | None = None
        self.state = State.RINGING
        self._referral = referral
        self._user = user
        self._outbox = outbox
        self._agenda = agenda
        self._failure = failure_of(user.name, 408)

    def begin(self, ring_limit: float, now: float) -> None:
        """Ring the third, who sees who wants to talk."""
        who = self.before.people[self.other]
        self._report(100)
        self._outbox.add(CallOut(self.third, self._user.extension, who.number, who.name, self.room))
        self._agenda.set(self.third, now + ring_limit)

    def hear(self, event: events.Event) -> None:
        """Take what happened to one of the three calls."""
        if isinstance(event, events.OutgoingRinging):
            self.receive(Input.RINGS)
        elif isinstance(event, events.OutgoingAnswered):
            self.receive(Input.ANSWERED)
        elif isinstance(event, events.OutgoingFailed):
            self._failure = failure_of(self._user.name, event.status, event.why)
            self.receive(Input.FAILED)
        elif isinstance(event, events.CallOver):
            ended = {self.transferor: Input.TRANSFEROR_OVER, self.other: Input.OTHER_OVER, self.third: Input.FAILED}
            self.receive(ended[event.call])

    def receive(self, event: Input) -> None:
        """Take an input of the table. Raises MisuseError where the table has no such input."""
        cell = TABLE.get((self.state, event))
        if cell is None:
            raise MisuseError(f"a transfer that is {self.state.name} cannot take {event.name}")
        action, self.state = cell
        action(self)

    # --- actions -------------------------------------------------------------------------------------------------
    def tell_ringing(self) -> None:
        """It rings."""
        self._report(180)

    def put_through(self) -> None:
        """The third is there, and the one who wanted it has done his part."""
        self._report(200)
        self._outbox.add(EnterRoom(self.third, self.room))
        self._outbox.add(HangUp(self.transferor, "the call was transferred"))
        self._end(talking=True, parting=(self.transferor,))

    def put_through_from_music(self) -> None:
        """The same, for one who waited."""
        self._outbox.add(StopPlaying(self.other))
        self._outbox.add(EnterRoom(self.other, self.room))
        self._outbox.add(EnterRoom(self.third, self.room))
        self._end(talking=True)

    def go_back(self) -> None:
        """It has failed: the two talk on."""
        self._report(self._failure.status, self._failure)
        self._end(back=True)

    def give_up(self) -> None:
        """Nobody has answered for long enough: the two talk on."""
        self._outbox.add(HangUp(self.third, "nobody answered"))
        self._report(self._failure.status, self._failure)
        self._end(back=True, parting=(self.third,))

    def play_music(self) -> None:
        """Who is left waits."""
        self._outbox.add(LeaveRoom(self.other))
        self._outbox.play(self.other, (MUSIC,), loop=True)

    def end_other(self) -> None:
        """It has failed, and nobody is left to go back to."""
        self._outbox.add(HangUp(self.other, "the transfer failed"))
        self._end(parting=(self.other,))

    def end_both(self) -> None:
        """Nobody has answered, and nobody is left to go back to."""
        self._outbox.add(HangUp(self.third, "nobody answered"))
        self._outbox.add(HangUp(self.other, "the transfer failed"))
        self._end(parting=(self.third, self.other))

    def end_third(self) -> None:
        """Who waited has hung up."""
        self._outbox.add(HangUp(self.third, "the caller hung up"))
        self._end(parting=(self.third,))

    def end_transferor_too(self) -> None:
        """Who was to be put through has hung up."""
        self._report(487)
        self._outbox.add(HangUp(self.third, "the caller hung up"))
        self._outbox.add(HangUp(self.transferor, "the other person hung up"))
        self._end(parting=(self.third, self.transferor))

    def rest(self) -> None:
        """Nobody is left to be told."""

    def _report(self, status: int, failure: Failure | None = None) -> None:
        reason = None if failure is None else failure.reason
        self._outbox.add(ReportReferral(self.transferor, self._referral, status, reason))

    def _end(self, *, talking: bool = False, back: bool = False, parting: tuple[str, ...] = ()) -> None:
        self._agenda.set(self.third, None)
        third = Caller(self._user.extension, self._user.name, self._user.extension, None, "")
        both = ((self.other, self.before.people[self.other]), (self.third, third)) if talking else None
        self.outcome = Outcome(both, back, frozenset(parting))


TABLE: dict[tuple[State, Input], tuple[Callable[[Transfer], None], State]] = {
    (State.RINGING, Input.RINGS): (Transfer.tell_ringing, State.RINGING),
    (State.RINGING, Input.ANSWERED): (Transfer.put_through, State.OVER),
    (State.RINGING, Input.FAILED): (Transfer.go_back, State.OVER),
    (State.RINGING, Input.TRANSFEROR_OVER): (Transfer.play_music, State.WAITING),
    (State.RINGING, Input.OTHER_OVER): (Transfer.end_transferor_too, State.OVER),
    (State.RINGING, Input.TIMEOUT): (Transfer.give_up, State.OVER),
    (State.WAITING, Input.RINGS): (Transfer.rest, State.WAITING),
    (State.WAITING, Input.ANSWERED): (Transfer.put_through_from_music, State.OVER),
    (State.WAITING, Input.FAILED): (Transfer.end_other, State.OVER),
    (State.WAITING, Input.OTHER_OVER): (Transfer.end_third, State.OVER),
    (State.WAITING, Input.TIMEOUT): (Transfer.end_both, State.OVER),
}
