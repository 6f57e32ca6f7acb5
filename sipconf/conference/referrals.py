"""Somebody in a call asks for another person: in a conference that one is invited, of two who talk one is put through
or sent to a conference (RFC 4579 section 5.5; the Transfer button of a telephone).

What lives here: who may ask for whom, and the words of a refusal. What does not: ringing (service, transfer). No
refusal is a 404 or a 481: within a call those end it (RFC 5057 section 5.1).
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from sipconf.conference.admission import NotNow
from sipconf.conference.commands import HangUp, MoveCall, Outbox, ReportReferral
from sipconf.conference.directory import (
    Destination,
    Directory,
    Refusal,
    ToConference,
    ToUser,
    UserSpec,
    bare_number,
)
from sipconf.conference.events import Caller, CallMoved, TransferAsked
from sipconf.conference.participant import Carriage, Participant, State
from sipconf.conference.private_calls import TRANSFERRED, PrivateCalls
from sipconf.conference.room import REASONS, Room

NO_USER = Refusal(403, "Only people with an extension of ours can transfer calls")
NOT_INSIDE = Refusal(403, "Please transfer once you are connected")
NO_CONFERENCE = Refusal(403, "A conference cannot be put into another one")
NO_CODE = Refusal(403, "Please transfer to the conference without its access code; the other one is asked for it")
"""A wrong code would be charged to somebody who has not keyed it."""
NO_NUMBERS = Refusal(403, "Telephone numbers cannot be called from here")
YOURSELF = Refusal(486, "That is your own extension")
NO_SECOND_CALL = Refusal(403, "The call to be put through is not here")
ALREADY = {
    State.RINGING: "{} is being called already", State.ARRIVING: "{} is about to join this conference already",
    State.PROMPTING: "{} is about to join this conference already",
    State.WAITING: "{} is waiting for this conference to begin already",
    State.TALKING: "{} is in this conference already",
}
"""Why somebody is not called into a conference; who is on the way out may be."""
ON_THE_LINE = (State.PROMPTING, State.WAITING, State.TALKING)
"""Where who has dialled a conference for somebody may be when they put them through to it."""
LONGEST_EXTENSION = 6
"""Digits beyond which what nobody here has is taken for a telephone number."""


@dataclass(frozen=True, slots=True)
class Referral:
    """What somebody asked for: their call, and its name for it."""

    call: str
    name: str


class InConferences(Protocol):
    """The calls of conferences (guests)."""

    def inside(self, call: str) -> tuple[Room, Participant] | None:
        """The conference that a call is for, and its person; None where it is for none."""

    def invite(self, room: Room, user: UserSpec, referral: Referral | None, now: float) -> None:
        """Ring somebody's telephones; who answers is in the conference."""

    def take_in(self, room: Room, call: str, who: Caller, carriage: Carriage, now: float) -> None:
        """Somebody who is on the line already comes into the conference."""

    def turned_away(self, room: Room, who: Caller, now: float) -> NotNow | None:
        """Why somebody who dialled a room now would not get as far as its receptionist; None for who would."""

    def put_through(self, room: Room, call: str, who: Caller, carriage: Carriage, now: float) -> None:
        """Somebody who is on the line already is before a room as if they had dialled it."""


class Referrals:
    """Answers every TransferAsked."""

    def __init__(self, guests: InConferences, private: PrivateCalls, outbox: Outbox, room_of: Callable[[str], Room],
                 tidy: Callable[[Room], None]) -> None:
        """room_of(extension): the room of a conference; tidy(room): nobody may have come into it."""
        self._guests = guests
        self._private = private
        self._outbox = outbox
        self._room_of = room_of
        self._tidy = tidy

    def receive(self, asked: TransferAsked, directory: Directory, now: float) -> None:
        """Do what is asked, or say why not. directory: who can be called."""
        refusal = self._refusal(asked, directory, now)
        if refusal is not None:
            self._outbox.add(ReportReferral(asked.call, asked.referral, refusal.status, refusal.reason))

    def _refusal(self, asked: TransferAsked, directory: Directory, now: float) -> Refusal | None:
        room, who = self._place(asked.call)
        if who is None:
            return NOT_INSIDE
        if who.user is None:
            return NO_USER
        if asked.takes_over is not None:
            return self._take_over(asked, asked.takes_over, who, room, now)
        destination = directory.resolve(asked.target, who)
        if room is None and isinstance(destination, ToConference):
            return self._send_to(destination, asked, now)
        user = _called(asked.target, who, destination)
        if isinstance(user, Refusal):
            return user
        if room is None:
            _, partner = self._private.partner(asked.call)
            if partner.user == user.extension:
                return Refusal(486, f"You are talking with {user.name} already")
            self._private.transfer(asked.call, asked.referral, user, now)
            return None
        return self._invite(room, user, asked, now)

    def _place(self, call: str, states: Collection[State] = (State.TALKING,)) -> tuple[Room | None, Caller | None]:
        """The conference in which a call's person is in one of these states (None: talks to one person), and who it is
        (None: nobody)."""
        found = self._guests.inside(call)
        if found is None:
            return None, self._private.talker(call)
        room, person = found
        return room, person.caller if person.state in states else None

    def _invite(self, room: Room, user: UserSpec, asked: TransferAsked, now: float) -> Refusal | None:
        found = self._guests.inside(asked.call)
        assert found is not None
        closed = _closed(room, found[1].administrator)
        if closed is not None:
            return closed
        for person in room.people():
            if person.caller.user == user.extension and person.state in ALREADY:
                return Refusal(486, ALREADY[person.state].format(user.name))
        self._guests.invite(room, user, Referral(asked.call, asked.referral), now)
        return None

    def _send_to(self, destination: ToConference, asked: TransferAsked, now: float) -> Refusal | None:
        """The other one of two who talk is to get where dialling a conference gets them, or nothing changes."""
        if destination.code is not None:
            return NO_CODE
        room = self._room_of(destination.conference.extension)
        other, who = self._private.partner(asked.call)
        refusal = self._turned_away(room, who, now)
        self._tidy(room)
        if refusal is None:
            self._move(other, room, asked)
        return refusal

    def _turned_away(self, room: Room, who: Caller, now: float) -> Refusal | None:
        refusal = self._guests.turned_away(room, who, now)
        return None if refusal is None else Refusal(403, refusal.reason)

    def _is_inside(self, call: str) -> bool:
        """Does a call's person wait or talk in a conference, with no code to be asked for any more?"""
        found = self._guests.inside(call)
        return found is not None and found[1].state in (State.WAITING, State.TALKING)

    def _move(self, call: str, room: Room, asked: TransferAsked) -> None:
        self._outbox.add(MoveCall(call, room.spec.extension, room.spec.encrypted, asked))

    def moved(self, event: CallMoved, now: float) -> None:
        """The other one of two who talked can come to the conference; the code is asked for unless who transfers has
        given it already."""
        asked = event.asked
        parting = [call for call in (asked.call, asked.takes_over) if call is not None]
        known = any(self._is_inside(call) for call in parting)
        talking = [call for call in parting if self._private.talker(call) is not None]
        if not talking or self._private.partner(talking[0])[0] != event.call:
            return  # one of them has hung up meanwhile, and the other is about to be told
        room = self._room_of(event.room)
        other, who, carriage = self._private.release(talking[0])
        self._outbox.add(ReportReferral(asked.call, asked.referral, 100))
        if known:
            self._guests.take_in(room, other, who, carriage, now)
        else:
            self._guests.put_through(room, other, who, carriage, now)
        self._outbox.add(ReportReferral(asked.call, asked.referral, 200))
        for call in parting:
            self._outbox.add(HangUp(call, TRANSFERRED))

    def _take_over(self, asked: TransferAsked, second: str, who: Caller, room: Room | None,
                   now: float) -> Refusal | None:
        """Of two calls of one user (RFC 3891 section 3: of nobody else's) the other ends come together."""
        call = asked.call
        second_room, second_who = self._place(second, ON_THE_LINE)
        if second == call or second_who is None or second_who.user != who.user:
            return NO_SECOND_CALL
        if room is None and second_room is None:
            if self._private.are_one(call, second):
                return NO_SECOND_CALL
            self._private.join(call, second, asked.referral)
            return None
        if room is not None and second_room is not None:
            return NO_CONFERENCE
        together, there, two = (room, call, second) if second_room is None else (second_room, second, call)
        assert together is not None
        other, other_who = self._private.partner(two)
        refusal = _closed(together, False) if self._is_inside(there) else self._turned_away(together, other_who, now)
        if refusal is None:
            self._move(other, together, asked)
        return refusal


def _closed(room: Room, administrator: bool) -> Refusal | None:
    clip = room.refusal(administrator)
    return None if clip is None else Refusal(403, REASONS[clip])


def _called(target: str, who: Caller, destination: Destination) -> UserSpec | Refusal:
    """Whom a person may have called by this. destination: what it is to them."""
    match destination:
        case ToUser(user):
            return YOURSELF if user.extension == who.user else user
        case Refusal() as refusal:
            number = bare_number(target)
            outside = target.lstrip().startswith("+") or (number is not None and len(number) > LONGEST_EXTENSION)
            return NO_NUMBERS if outside else Refusal(403, refusal.reason)
        case _:
            return NO_CONFERENCE
