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

from sipconf.conference import events
from sipconf.conference.admission import Admission
from sipconf.conference.agenda import Agenda
from sipconf.conference.commands import Command, Outbox, Reject
from sipconf.conference.directory import Directory, Refusal, ToConference, ToUser
from sipconf.conference.events import Caller
from sipconf.conference.guests import Guests
from sipconf.conference.lockouts import Lockouts, LockoutSettings, LockoutStore
from sipconf.conference.participant import Desk, Participant, State
from sipconf.conference.private_calls import PrivateCalls
from sipconf.conference.receptionist import ReceptionSettings
from sipconf.conference.referrals import Referrals
from sipconf.conference.room import KICKED, Room
from sipconf.errors import MisuseError, SipconfError

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
        self._rooms: dict[str, Room] = {}
        self.guests = Guests(
            Desk(self._outbox, self._agenda, settings.farewell_limit),
            Admission(Lockouts(lockouts, settings.lockouts), wall_time), settings.reception, settings.ring_limit,
            self._tidy, self._new_id, self._iso_time)  # fmt: skip
        self.private = PrivateCalls(self._outbox, self._agenda, self._new_id, settings.ring_limit)
        self._referrals = Referrals(self.guests, self.private, self._outbox, self._room, self._tidy)

    # --- the four doors ------------------------------------------------------------------------------------------
    def receive(self, event: events.Event, now: float) -> None:
        """Take what happened to a call. Raises MisuseError for a call id that arrives twice."""
        if isinstance(event, events.CallArrived):
            self._arrive(event, now)
        elif isinstance(event, events.TransferAsked):
            self._referrals.receive(event, self._directory, now)
        elif isinstance(event, events.CallMoved):
            self._referrals.moved(event, now)
        elif not self.guests.receive(event, now):
            self.private.receive(event)

    def handle_timer(self, now: float) -> None:
        """Act on every deadline that has come."""
        while (call := self._agenda.take_due(now)) is not None:
            if not self.private.timed_out(call):
                self.guests.timed_out(call, now)

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
        caller = Caller("", "", None, trunk, "", peer)
        return not isinstance(self._directory.resolve(dialled, caller), Refusal)

    def describe_call(self, call: str, *, codec: str, transport: str) -> None:
        """Note how a call is carried, for the participant list of the conference that it is in, or may come into."""
        found = self.guests.inside(call)
        carriage = self.private.carriage(call) if found is None else found[1].carriage
        carriage.codec, carriage.transport = codec, transport

    def participant_of(self, call: str) -> str | None:
        """The id that a call's person goes by in its conference; None for a call of none."""
        found = self.guests.inside(call)
        return None if found is None else found[1].id

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
        if event.call in self.guests or event.call in self.private:
            raise MisuseError("a call has arrived twice")
        if len(self.guests) + len(self.private) >= self._settings.max_calls:
            self._reject(event.call, 503, BUSY, BUSY_RETRY)
            return
        match self._directory.resolve(event.dialled, event.caller):
            case Refusal(status, reason):
                self._reject(event.call, status, reason)
            case ToUser(user) if user.extension == event.caller.user:
                self._reject(event.call, 486, OWN_EXTENSION)
            case ToUser(user):
                self.private.begin(event.call, self._named(event.caller), user, now)
            case ToConference() as destination:
                self._arrive_at_conference(event, destination, now)

    def _arrive_at_conference(self, event: events.CallArrived, destination: ToConference, now: float) -> None:
        room = self._room(destination.conference.extension)
        refusal = self.guests.arrive(event.call, room, self._named(event.caller), destination.code, now)
        if refusal is not None:
            self._reject(event.call, 403, refusal.reason, retry_after=refusal.retry_after)
            self._tidy(room)

    def _named(self, caller: Caller) -> Caller:
        """A user of ours goes by the name in the directory, whatever the telephone calls itself."""
        user = self._directory.users.get(caller.user or "")
        return replace(caller, name=user.name) if user is not None and user.name else caller

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
