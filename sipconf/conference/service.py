"""The conferences' front desk: calls in, commands out. Routes each event to the room or private call it belongs
to.

What lives here: the four doors, who is let as far as the receptionist, and the switches of the console. What does
not: prompts (receptionist), doors of rooms (room), two-person calls (calls), counting wrong codes (lockouts). No
SIP, no samples, no clock: `now` is monotonic seconds, and `wall_time` turns it into seconds since 1970.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from sipconf.conference import calls, events
from sipconf.conference.admission import Admission, TooManyTries
from sipconf.conference.agenda import Agenda
from sipconf.conference.calls import PrivateCall
from sipconf.conference.commands import Answer, Command, Outbox, Reject
from sipconf.conference.directory import Directory, Refusal, ToConference, ToUser
from sipconf.conference.lockouts import Lockouts, LockoutSettings, LockoutStore
from sipconf.conference.participant import SHOWN, SILENCE_DB, Desk, Participant, State, Step
from sipconf.conference.receptionist import Admitted, Dismissed, Receptionist, ReceptionSettings
from sipconf.conference.room import FULL, KICKED, LOCKED, NOT_AVAILABLE, Room
from sipconf.errors import MisuseError, SipconfError

REASONS = {
    LOCKED: "This conference is locked",
    FULL: "This conference is full",
    NOT_AVAILABLE: "This conference is not available",
}
BUSY = "The conference server is busy, please try again in a moment"
BUSY_RETRY = 30  # seconds
ID_BITS = 48
OWN_EXTENSION = "You have dialled your own extension"


class UnknownConference(SipconfError):
    """There is no conference of this extension."""


class UnknownParticipant(SipconfError):
    """Nobody of this id is in the conference."""


@dataclass(frozen=True, slots=True)
class ConferenceSettings:
    """farewell_limit: seconds until a call is ended though its last clip was not reported heard; ring_limit:
    seconds a user's telephone rings; max_calls: calls at once, private ones included."""

    reception: ReceptionSettings = field(default_factory=ReceptionSettings)
    lockouts: LockoutSettings = field(default_factory=LockoutSettings)
    farewell_limit: float = 12.0
    ring_limit: float = 60.0
    max_calls: int = 10000


@dataclass(slots=True)
class Guest:
    """A call for a conference: its participant, and who or what deals with it until it is inside."""

    person: Participant
    room: Room
    receptionist: Receptionist | None = None
    parting: str | None = None                      # the clip that is all this caller will hear


class ConferenceService:
    """All conferences of the house. Events of calls that are over are ignored: they were on their way."""

    def __init__(
        self,
        directory: Directory,
        settings: ConferenceSettings,
        rng: random.Random,
        lockouts: LockoutStore,
        wall_time: Callable[[float], float] = float,
    ) -> None:
        """wall_time(now) is seconds since 1970; the default takes `now` for it, which suits a simulation."""
        self._directory = directory
        self._settings = settings
        self._rng = rng
        self._wall_time = wall_time
        self._outbox = Outbox()
        self._agenda = Agenda()
        self._desk = Desk(self._outbox, self._agenda, settings.farewell_limit)
        self._admission = Admission(Lockouts(lockouts, settings.lockouts), wall_time)
        self._rooms: dict[str, Room] = {}
        self._guests: dict[str, Guest] = {}
        self._private: dict[str, PrivateCall] = {}

    # --- the four doors ------------------------------------------------------------------------------------------
    def receive(self, event: events.Event, now: float) -> None:
        """Take what happened to a call. Raises MisuseError for a call id that arrives twice."""
        if isinstance(event, events.CallArrived):
            self._arrive(event, now)
        elif (guest := self._guests.get(event.call)) is not None:
            handler = _FOR_GUESTS.get(type(event))
            if handler is not None:
                handler(self, guest, event, now)
        elif (private := self._private.get(event.call)) is not None:
            self._private_event(private, event)

    def handle_timer(self, now: float) -> None:
        """Act on every deadline that has come."""
        while (call := self._agenda.take_due(now)) is not None:
            private = self._private.get(call)
            if private is not None:
                private.timed_out(call)
                self._drop_ended(private)
                continue
            guest = self._guests[call]
            if guest.person.state is State.PROMPTING and guest.receptionist is not None:
                guest.receptionist.timed_out(now)
                self._settle(guest, now)
            else:
                guest.person.move(Step.TIMEOUT, now)

    def next_timer(self) -> float | None:
        """When handle_timer wants to be called."""
        return self._agenda.next()

    def take_outputs(self) -> list[Command]:
        """The commands since the last call, in order."""
        return self._outbox.take()

    # --- configuration and console -------------------------------------------------------------------------------
    def replace_directory(self, directory: Directory, now: float) -> None:
        """Take an edited directory. Running calls keep their rooms, new tries meet the new codes."""
        self._directory = directory
        for extension, room in list(self._rooms.items()):
            room.replace_spec(directory.conferences.get(extension), now)
            self._tidy(room)

    def serves(self, dialled: str, trunk: str, peer: bool) -> bool:
        """May callers from a trunk's address dial this without proving who they are?"""
        caller = events.Caller("", "", None, trunk, "", peer)
        return not isinstance(self._directory.resolve(dialled, caller), Refusal)

    def describe_call(self, call: str, *, codec: str, transport: str) -> None:
        """Note how a call is carried, for the participant list. Calls of no conference are none of our
        business."""
        guest = self._guests.get(call)
        if guest is not None:
            guest.person.codec = codec
            guest.person.transport = transport

    def participant_of(self, call: str) -> str | None:
        """The id that a call's person goes by in its conference; None for a call of none."""
        guest = self._guests.get(call)
        return None if guest is None else guest.person.id

    def mute(self, conference: str, participant: str, muted: bool, now: float) -> None:
        """Mute or unmute a participant. Raises UnknownConference, UnknownParticipant."""
        room, person = self._find(conference, participant)
        room.mute(person, muted)

    def kick(self, conference: str, participant: str, now: float) -> None:
        """Send a participant out of the call. Raises UnknownConference, UnknownParticipant."""
        room, person = self._find(conference, participant)
        room.dismiss(person, KICKED, "removed by the administrator", now)
        self._tidy(room)

    def lock(self, conference: str, locked: bool, now: float) -> None:
        """Keep further callers out, or let them in again; ends with the meeting. Raises UnknownConference."""
        room = self._room(conference)
        room.lock(locked)
        self._tidy(room)

    def conferences(self) -> list[dict[str, Any]]:
        """Every conference, and those removed that still have people, as the HTTP API shows them."""
        shown = {extension: self._rooms.get(extension) for extension in self._directory.conferences}
        return [self._summary(extension, room) for extension, room in {**shown, **self._rooms}.items()]

    def participants(self, extension: str) -> list[dict[str, Any]]:
        """The people of a conference as the HTTP API shows them. Raises UnknownConference."""
        room = self._rooms.get(extension)
        if room is None and extension not in self._directory.conferences:
            raise UnknownConference(f"there is no conference {extension}")
        return [person.as_json() for person in room.people()] if room else []

    def _summary(self, extension: str, room: Room | None) -> dict[str, Any]:
        spec = room.spec if room else self._directory.conferences[extension]
        people = room.people() if room else []
        return {
            "extension": extension, "name": spec.name, "participants": len(people),
            "waiting": sum(person.state is State.WAITING for person in people),
            "talking": sum(person.state is State.TALKING for person in people),
            "locked": bool(room and room.locked), "recording": False, "removed": bool(room and room.removed),
        }

    # --- arrival -------------------------------------------------------------------------------------------------
    def _arrive(self, event: events.CallArrived, now: float) -> None:
        if event.call in self._guests or event.call in self._private:
            raise MisuseError("a call has arrived twice")
        if len(self._guests) + len(self._private) >= self._settings.max_calls:
            self._reject(event.call, 503, BUSY, BUSY_RETRY)
            return
        match self._directory.resolve(event.dialled, event.caller):
            case Refusal(status, reason):
                self._reject(event.call, status, reason)
            case ToUser(user) if user.extension == event.caller.user:
                self._reject(event.call, 486, OWN_EXTENSION)
            case ToUser(user):
                private = PrivateCall(
                    event.call, self._new_id("out-"), self._new_id("private-"), user, self._outbox, self._agenda)
                self._private[private.caller] = self._private[private.called] = private
                private.begin(self._named(event.caller), self._settings.ring_limit, now)
            case ToConference() as destination:
                self._arrive_at_conference(event, destination, now)

    def _arrive_at_conference(self, event: events.CallArrived, destination: ToConference, now: float) -> None:
        spec = destination.conference
        room = self._room(spec.extension)
        person = Participant(event.call, self._new_id("p-"), spec.extension, self._named(event.caller), self._desk)
        person.administrator = self._admission.is_administrator(person, room)
        guest = Guest(person, room)
        guest.parting = room.refusal(person.administrator)
        if guest.parting is not None:
            if event.caller.trunk is None:
                self._reject(event.call, 403, REASONS[guest.parting])
                self._tidy(room)
                return
        else:
            refusal = self._receive_guest(guest, destination.code, now)
            if refusal is not None:
                self._reject(event.call, 403, refusal.reason, retry_after=refusal.retry_after)
                self._tidy(room)
                return
        self._guests[event.call] = guest
        room.callers[person.id] = person
        self._outbox.add(Answer(event.call, spec.extension))

    def _named(self, caller: events.Caller) -> events.Caller:
        """A user of ours goes by the name in the directory, whatever the telephone calls itself."""
        user = self._directory.users.get(caller.user or "")
        return replace(caller, name=user.name) if user is not None and user.name else caller

    def _receive_guest(self, guest: Guest, code: str | None, now: float) -> TooManyTries | None:
        """Judge a code dialled along, and give the guest a receptionist if one is needed."""
        person, room = guest.person, guest.room
        if room.spec.access_code is None and code is None:
            return None
        refusal = self._admission.refusal(person, room, now)
        if refusal is not None and room.spec.access_code is not None:
            return refusal
        presented = None if code is None else self._admission.judge(person, room, code, now)
        guest.receptionist = Receptionist(
            person,
            lambda entry, at: self._admission.judge(person, room, entry, at),
            room.code_lengths,
            self._settings.reception,
            presented,
        )
        return None

    # --- events of a conference's calls --------------------------------------------------------------------------
    def _connected(self, guest: Guest, event: events.CallConnected, now: float) -> None:
        person, room = guest.person, guest.room
        if person.state is not State.ARRIVING:
            return
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
        if person.state is not State.TALKING or person.held:
            return
        person.level_db = max(event.level_db, SILENCE_DB)
        if event.speaking != person.speaking:
            person.speaking = event.speaking
            guest.room.tell("speaking", person)

    def _held(self, guest: Guest, event: events.HoldChanged, now: float) -> None:
        person = guest.person
        if event.held == person.held:
            return
        person.held = event.held
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
        del self._guests[event.call]
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

    # --- events of private calls ---------------------------------------------------------------------------------
    def _private_event(self, private: PrivateCall, event: events.Event) -> None:
        if isinstance(event, events.OutgoingFailed):
            private.failed(event.status, event.no_line)
        elif isinstance(event, events.CallOver):
            by_caller = event.call == private.caller
            private.receive(calls.Input.CALLER_OVER if by_caller else calls.Input.CALLED_OVER)
        elif isinstance(event, events.OutgoingRinging):
            private.receive(calls.Input.RINGING)
        elif isinstance(event, events.OutgoingAnswered):
            private.receive(calls.Input.ANSWERED)
        elif isinstance(event, events.CallConnected):
            private.receive(calls.Input.CONNECTED)
        self._drop_ended(private)

    def _drop_ended(self, private: PrivateCall) -> None:
        for call in {private.caller, private.called} - private.alive:
            if self._private.get(call) is private:
                del self._private[call]

    # --- rooms and names -----------------------------------------------------------------------------------------
    def _room(self, extension: str) -> Room:
        room = self._rooms.get(extension)
        if room is None:
            spec = self._directory.conferences.get(extension)
            if spec is None:
                raise UnknownConference(f"there is no conference {extension}")
            room = self._rooms[extension] = Room(spec, self._outbox)
        return room

    def _tidy(self, room: Room) -> None:
        """Forget a room that nothing is to be remembered of."""
        # Of a call that ended late it may be the room of an earlier meeting.
        current = self._rooms.get(room.spec.extension) is room
        if current and not room.callers and not room.inside and (room.removed or not room.locked):
            del self._rooms[room.spec.extension]

    def _find(self, conference: str, participant: str) -> tuple[Room, Participant]:
        room = self._rooms.get(conference)
        if room is None and conference not in self._directory.conferences:
            raise UnknownConference(f"there is no conference {conference}")
        for person in room.people() if room else ():
            if person.id == participant:
                return room, person
        raise UnknownParticipant(f"nobody called {participant} is in conference {conference}")

    def _reject(self, call: str, status: int, reason: str, retry_after: int | None = None) -> None:
        self._outbox.add(Reject(call, status, reason, retry_after))

    def _new_id(self, prefix: str) -> str:
        return f"{prefix}{self._rng.getrandbits(ID_BITS):0{ID_BITS // 4}x}"

    def _iso_time(self, now: float) -> str:
        return datetime.fromtimestamp(self._wall_time(now), UTC).isoformat(timespec="milliseconds")


_FOR_GUESTS: dict[type, Callable[[ConferenceService, Guest, Any, float], None]] = {
    events.CallConnected: ConferenceService._connected,
    events.CallOver: ConferenceService._over,
    events.DigitPressed: ConferenceService._digit,
    events.PlaybackFinished: ConferenceService._played,
    events.SpeakingChanged: ConferenceService._speaking,
    events.HoldChanged: ConferenceService._held,
    events.GuardChanged: ConferenceService._guarded,
}
