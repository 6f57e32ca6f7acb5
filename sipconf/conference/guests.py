"""The calls of conferences: each with its participant and, until it is inside, whoever deals with it.

What lives here: a call's way from its arrival, or from the ringing of the one invited, into its room, and what its
telephone reports meanwhile. What does not: which room it is for (service), what is said (receptionist), who may be in
the mix (room).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sipconf.conference import events
from sipconf.conference.admission import Admission, NotNow
from sipconf.conference.calls import failure_of
from sipconf.conference.commands import Answer, CallOut, ReportReferral
from sipconf.conference.directory import UserSpec
from sipconf.conference.events import Caller
from sipconf.conference.participant import SHOWN, SILENCE_DB, Carriage, Desk, Participant, State, Step
from sipconf.conference.receptionist import Admitted, Dismissed, Judgement, Receptionist, ReceptionSettings
from sipconf.conference.referrals import Referral
from sipconf.conference.room import NOT_AVAILABLE, REASONS, Room

NO_REPLY = 408  # what a telephone that rings in vain amounts to


@dataclass(slots=True)
class Guest:
    """A call for a conference: its participant, and who or what deals with it until it is inside."""

    person: Participant
    room: Room
    receptionist: Receptionist | None = None
    parting: str | None = None                      # the clip that is all this caller will hear
    referral: Referral | None = None                # by which a user who is rung was asked for


class Guests:
    """All of them, by call."""

    def __init__(
        self,
        desk: Desk,
        admission: Admission,
        reception: ReceptionSettings,
        ring_limit: float,
        tidy: Callable[[Room], None],
        new_id: Callable[[str], str],
        iso_time: Callable[[float], str],
    ) -> None:
        """tidy(room): somebody has left it. new_id(prefix): a fresh name. iso_time(now): the time as people read it."""
        self._desk = desk
        self._outbox = desk.outbox
        self._admission = admission
        self._reception = reception
        self._ring_limit = ring_limit
        self._tidy = tidy
        self._new_id = new_id
        self._iso_time = iso_time
        self._guests: dict[str, Guest] = {}

    def __len__(self) -> int:
        return len(self._guests)

    def __contains__(self, call: str) -> bool:
        return call in self._guests

    def receive(self, event: events.Event, now: float) -> bool:
        """Take what happened to a call; False where it is none of these."""
        guest = self._guests.get(event.call)
        if guest is None:
            return False
        handler = _HANDLERS.get(type(event))
        if handler is not None:
            handler(self, guest, event, now)
        return True

    def timed_out(self, call: str, now: float) -> None:
        """The deadline of one of these calls has come."""
        guest = self._guests[call]
        if guest.person.state is State.PROMPTING and guest.receptionist is not None:
            guest.receptionist.timed_out(now)
            self._settle(guest, now)
            return
        if guest.person.state is State.RINGING:
            self._tell_failure(guest, NO_REPLY)
        guest.person.move(Step.TIMEOUT, now)

    def arrive(self, call: str, room: Room, caller: Caller, code: str | None, now: float) -> NotNow | None:
        """Answer a call for a room; or why not, and then nothing is kept of it. code: dialled along."""
        person = Participant(call, self._new_id("p-"), room.spec.extension, caller, self._desk)
        person.administrator = self._admission.is_administrator(person, room)
        guest = Guest(person, room)
        guest.parting = room.refusal(person.administrator)
        if guest.parting is not None:
            if caller.trunk is None:
                return NotNow(REASONS[guest.parting])
        elif (refusal := self._receive_guest(guest, code, now)) is not None:
            return refusal
        self._guests[call] = guest
        room.callers[person.id] = person
        self._outbox.add(Answer(call, room.spec.extension, room.spec.encrypted))
        return None

    def _receive_guest(self, guest: Guest, code: str | None, now: float) -> NotNow | None:
        """Judge a code dialled along, and give the guest a receptionist if one is needed."""
        person, room = guest.person, guest.room
        if room.spec.access_code is None and code is None:
            return None
        refusal = self._admission.refusal(person, room, now)
        if refusal is not None and room.spec.access_code is not None:
            return refusal
        presented = None if code is None else self._admission.judge(person, room, code, now)
        guest.receptionist = self._receptionist(person, room, presented)
        return None

    def _receptionist(self, person: Participant, room: Room, presented: Judgement | None = None) -> Receptionist:
        return Receptionist(
            person,
            lambda entry, at: self._admission.judge(person, room, entry, at),
            room.code_lengths,
            self._reception,
            presented,
        )

    # --- people brought in -----------------------------------------------------------------------------------------
    def inside(self, call: str) -> tuple[Room, Participant] | None:
        """The conference that a call is for, and its person; None where it is for none."""
        guest = self._guests.get(call)
        return None if guest is None else (guest.room, guest.person)

    def invite(self, room: Room, user: UserSpec, referral: Referral | None, now: float) -> None:
        """Ring a user's telephones; who answers is in the conference and not asked for a code."""
        guest = self._expect(room, self._new_id("out-"), Caller(user.extension, user.name, user.extension, None, ""))
        guest.referral = referral
        guest.person.state = State.RINGING
        self._tell(guest, 100)
        spec = room.spec
        self._outbox.add(CallOut(
            guest.person.call, user.extension, spec.extension, spec.name, spec.extension, spec.encrypted))
        self._desk.agenda.set(guest.person.call, now + self._ring_limit)
        room.announce("ringing", guest.person)

    def take_in(self, room: Room, call: str, who: Caller, carriage: Carriage, now: float) -> None:
        """Somebody who is on the line already comes into the conference."""
        guest = self._expect(room, call, who)
        guest.person.carriage = carriage
        self._admit(guest, now)

    def turned_away(self, room: Room, who: Caller, now: float) -> NotNow | None:
        """Why somebody who dialled a room now would not get as far as its receptionist; None for who would."""
        person = Participant("", "", room.spec.extension, who, self._desk)
        closed = room.refusal(self._admission.is_administrator(person, room))
        if closed is not None:
            return NotNow(REASONS[closed])
        return None if room.spec.access_code is None else self._admission.refusal(person, room, now)

    def put_through(self, room: Room, call: str, who: Caller, carriage: Carriage, now: float) -> None:
        """Somebody who is on the line already is before a room that does not turn them away, as if they had dialled
        it."""
        guest = self._expect(room, call, who)
        guest.person.carriage = carriage
        guest.person.administrator = self._admission.is_administrator(guest.person, room)
        if room.spec.access_code is not None:
            guest.receptionist = self._receptionist(guest.person, room)
        self._welcome(guest, now)

    def _expect(self, room: Room, call: str, who: Caller) -> Guest:
        person = Participant(call, self._new_id("p-"), room.spec.extension, who, self._desk)
        guest = self._guests[call] = Guest(person, room)
        room.callers[person.id] = person
        return guest

    def _tell(self, guest: Guest, status: int, reason: str | None = None) -> None:
        """Let who asked for this guest know how it goes."""
        if guest.referral is not None:
            self._outbox.add(ReportReferral(guest.referral.call, guest.referral.name, status, reason))
            if status >= 200:
                guest.referral = None

    def _rings(self, guest: Guest, event: events.OutgoingRinging, now: float) -> None:
        self._tell(guest, 180)

    def _answers(self, guest: Guest, event: events.OutgoingAnswered, now: float) -> None:
        if guest.person.state is State.RINGING:
            guest.person.move(Step.ANSWER, now)
            self._tell(guest, 200)
            self._admit(guest, now)

    def _fails(self, guest: Guest, event: events.OutgoingFailed, now: float) -> None:
        self._tell_failure(guest, event.status, event.why)
        self._leave(guest, now)

    def _tell_failure(self, guest: Guest, status: int, why: events.NotRung | None = None) -> None:
        failure = failure_of(guest.person.caller.name, status, why)
        self._tell(guest, failure.status, failure.reason)

    # --- events of a conference's calls --------------------------------------------------------------------------
    def _connected(self, guest: Guest, event: events.CallConnected, now: float) -> None:
        if guest.person.state is State.ARRIVING:
            self._welcome(guest, now)

    def _welcome(self, guest: Guest, now: float) -> None:
        """Somebody is on the line who is not asked or let in yet."""
        person, room = guest.person, guest.room
        person.joined_at = self._iso_time(now)
        if guest.parting is not None or room.removed:
            clip = guest.parting or NOT_AVAILABLE
            room.dismiss(person, clip, REASONS[clip], now)
        elif guest.receptionist is None:
            self._admit(guest, now)
        else:
            person.move(Step.ASK, now)
            guest.receptionist.connected(now)
            if not isinstance(guest.receptionist.outcome, Admitted):
                room.announce("prompting", person)
            self._settle(guest, now)

    def _digit(self, guest: Guest, event: events.DigitPressed, now: float) -> None:
        if guest.person.state is State.PROMPTING and guest.receptionist is not None:
            guest.receptionist.pressed(event.digit, now)
            self._settle(guest, now)
        elif guest.person.state is State.WAITING:
            self._admission.key_while_waiting(guest.person, guest.room, event.digit, now)

    def _played(self, guest: Guest, event: events.PlaybackFinished, now: float) -> None:
        if not guest.person.heard(event.playback):
            return
        if guest.person.state is State.PROMPTING and guest.receptionist is not None:
            guest.receptionist.played(now)
        else:
            guest.person.move(Step.PLAYED, now)

    def _speaking(self, guest: Guest, event: events.SpeakingChanged, now: float) -> None:
        person = guest.person
        if person.state is not State.TALKING or person.carriage.held:
            return
        person.level_db = max(event.level_db, SILENCE_DB)
        if event.speaking != person.speaking:
            person.speaking = event.speaking
            guest.room.tell("speaking", person)

    def _held(self, guest: Guest, event: events.HoldChanged, now: float) -> None:
        person = guest.person
        if event.held == person.carriage.held:
            return
        person.carriage.held = event.held
        if event.held:
            person.speaking = False
        if person.state in SHOWN:
            guest.room.tell("held", person)

    def _guarded(self, guest: Guest, event: events.GuardChanged, now: float) -> None:
        person = guest.person
        if person.state is State.TALKING and person.guard != event.reason:
            person.guard = event.reason
            guest.room.tell("guarded", person)

    def _over(self, guest: Guest, event: events.CallOver, now: float) -> None:
        self._tell(guest, 487)
        self._leave(guest, now)

    def _leave(self, guest: Guest, now: float) -> None:
        del self._guests[guest.person.call]
        guest.room.gone(guest.person, now)
        self._tidy(guest.room)

    def _settle(self, guest: Guest, now: float) -> None:
        """Act on what the receptionist has come to, if she has."""
        outcome = guest.receptionist.outcome if guest.receptionist else None
        if outcome is None:
            return
        guest.receptionist = None
        if isinstance(outcome, Dismissed):
            guest.room.dismiss(guest.person, outcome.clip, outcome.reason, now)
            self._tidy(guest.room)
        else:
            guest.person.administrator = outcome.administrator
            self._admit(guest, now)

    def _admit(self, guest: Guest, now: float) -> None:
        """The caller may enter as far as codes go; the room may have been locked or filled meanwhile."""
        person, room = guest.person, guest.room
        person.administrator = person.administrator or self._admission.is_administrator(person, room)
        refusal = room.refusal(person.administrator)
        if refusal is not None:
            room.dismiss(person, refusal, REASONS[refusal], now)
            self._tidy(room)
            return
        person.joined_at = self._iso_time(now)
        room.enter(person, now)


_HANDLERS: dict[type, Callable[[Guests, Guest, Any, float], None]] = {
    events.CallConnected: Guests._connected,
    events.OutgoingRinging: Guests._rings,
    events.OutgoingAnswered: Guests._answers,
    events.OutgoingFailed: Guests._fails,
    events.CallOver: Guests._over,
    events.DigitPressed: Guests._digit,
    events.PlaybackFinished: Guests._played,
    events.SpeakingChanged: Guests._speaking,
    events.HoldChanged: Guests._held,
    events.GuardChanged: Guests._guarded,
}
