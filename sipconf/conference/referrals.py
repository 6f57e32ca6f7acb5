"""Somebody in a call asks for another person: in a conference that one is invited, of two who talk one is put through
(RFC 4579 section 5.5; the Transfer button of a telephone).

What lives here: who may ask for whom, and the words of a refusal. What does not: ringing (service, transfer). No
refusal is a 404 or a 481: within a call those end it (RFC 5057 section 5.1).
"""

from dataclasses import dataclass
from typing import Protocol

from sipconf.conference.commands import HangUp, Outbox, ReportReferral
from sipconf.conference.directory import Directory, Refusal, ToUser, UserSpec, bare_number
from sipconf.conference.events import Caller, TransferAsked
from sipconf.conference.participant import Carriage, Participant, State
from sipconf.conference.private_calls import TRANSFERRED, PrivateCalls
from sipconf.conference.room import REASONS, Room

NO_USER = Refusal(403, "Only people with an extension of ours can transfer calls")
NOT_INSIDE = Refusal(403, "Please transfer once you are connected")
NO_CONFERENCE = Refusal(403, "A conference cannot be put into another one")
NO_TRANSFER_INTO_ONE = Refusal(403, "Nobody can be transferred into a conference; please ask them to dial it")
NO_NUMBERS = Refusal(403, "Telephone numbers cannot be called from here")
YOURSELF = Refusal(486, "That is your own extension")
NOT_PROVEN = Refusal(403, "This conference takes encrypted calls only; please let the other one dial it")
NO_SECOND_CALL = Refusal(403, "The call to be put through is not here")
ALREADY = {
    State.RINGING: "{} is being called already", State.ARRIVING: "{} is about to join this conference already",
    State.PROMPTING: "{} is about to join this conference already",
    State.WAITING: "{} is waiting for this conference to begin already",
    State.TALKING: "{} is in this conference already",
}
"""Why somebody is not called into a conference; who is on the way out may be."""
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


class Referrals:
    """Answers every TransferAsked."""

    def __init__(self, guests: InConferences, private: PrivateCalls, outbox: Outbox) -> None:
        self._guests = guests
        self._private = private
        self._outbox = outbox

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
            return self._take_over(asked.call, asked.takes_over, asked.referral, who, room, now)
        user = _called(asked.target, who, directory, NO_TRANSFER_INTO_ONE if room is None else NO_CONFERENCE)
        if isinstance(user, Refusal):
            return user
        if room is None:
            partner = self._private.partner(asked.call)
            if partner.user == user.extension:
                return Refusal(486, f"You are talking with {user.name} already")
            self._private.transfer(asked.call, asked.referral, user, now)
            return None
        return self._invite(room, user, asked, now)

    def _place(self, call: str) -> tuple[Room | None, Caller | None]:
        """The conference in which a call's person talks (None: to one person), and who it is (None: nobody talks)."""
        found = self._guests.inside(call)
        if found is None:
            return None, self._private.talker(call)
        room, person = found
        return room, person.caller if person.state is State.TALKING else None

    def _invite(self, room: Room, user: UserSpec, asked: TransferAsked, now: float) -> Refusal | None:
        found = self._guests.inside(asked.call)
        assert found is not None
        closed = room.refusal(found[1].administrator)
        if closed is not None:
            return Refusal(403, REASONS[closed])
        for person in room.people():
            if person.caller.user == user.extension and person.state in ALREADY:
                return Refusal(486, ALREADY[person.state].format(user.name))
        self._guests.invite(room, user, Referral(asked.call, asked.referral), now)
        return None

    def _take_over(
        self, call: str, second: str, referral: str, who: Caller, room: Room | None, now: float
    ) -> Refusal | None:
        """Of two calls of one user (RFC 3891 section 3: of nobody else's) the other ends come together."""
        second_room, second_who = self._place(second)
        if second == call or second_who is None or second_who.user != who.user:
            return NO_SECOND_CALL
        if room is None and second_room is None:
            if self._private.are_one(call, second):
                return NO_SECOND_CALL
            self._private.join(call, second, referral)
            return None
        if room is not None and second_room is not None:
            return NO_CONFERENCE
        together, two = (room, second) if second_room is None else (second_room, call)
        assert together is not None
        if together.spec.encrypted:
            return NOT_PROVEN  # whether the call that would come in is encrypted is not known here
        closed = together.refusal(False)
        if closed is not None:
            return Refusal(403, REASONS[closed])
        other, other_who, carriage = self._private.release(two)
        self._guests.take_in(together, other, other_who, carriage, now)
        self._outbox.add(ReportReferral(call, referral, 200))
        for parted in (call, second):
            self._outbox.add(HangUp(parted, TRANSFERRED))
        return None


def _called(target: str, who: Caller, directory: Directory, no_conference: Refusal) -> UserSpec | Refusal:
    """Whom a person may have called by this. no_conference: for who means a conference."""
    match directory.resolve(target, who):
        case ToUser(user):
            return YOURSELF if user.extension == who.user else user
        case Refusal() as refusal:
            number = bare_number(target)
            outside = target.lstrip().startswith("+") or (number is not None and len(number) > LONGEST_EXTENSION)
            return NO_NUMBERS if outside else Refusal(403, refusal.reason)
        case _:
            return no_conference
