"""One conference with people in or before it: whether its doors are open, as a table, and what everybody is told.

What lives here: who hears whom, waiting for the administrator, tones, lock and limit, mute and kick. What does
not: codes (receptionist, lockouts) and calls that have not been admitted, which are only listed here.
"""

from collections.abc import Callable
from enum import Enum, auto
from typing import Any

from sipconf.conference.commands import Outbox, PlayToRoom, SetMuted, Treat
from sipconf.conference.directory import ConferenceSpec
from sipconf.conference.participant import Participant, State, Step
from sipconf.errors import MisuseError

WAIT_FOR_ADMINISTRATOR = "wait-for-administrator"
ADMINISTRATOR_LEFT = "administrator-left"
CONFERENCE_ENDED = "conference-ended"
ONLY_PERSON = "only-person"
NOT_AVAILABLE = "not-available"
MUTED, UNMUTED, KICKED, LOCKED, FULL = "muted", "unmuted", "kicked", "locked", "full"
REASONS = {
    LOCKED: "This conference is locked",
    FULL: "This conference is full",
    NOT_AVAILABLE: "This conference is not available",
}
"""What a clip for somebody who may not enter says, in writing."""
JOIN_TONE, LEAVE_TONE = "join-tone", "leave-tone"


class Doors(Enum):
    """Whether people are in the mix or wait before it."""

    OPEN = auto()
    CLOSED = auto()


class Input(Enum):
    """What a room reacts to. Events that depend on the configuration are several inputs, one for each meaning."""

    GUEST_ENTERS = auto()
    ADMINISTRATOR_ENTERS = auto()
    PERSON_LEAVES = auto()                # anyone whose going leaves the doors as they are
    ADMINISTRATOR_LEAVES_WAIT = auto()    # the last administrator; the others wait for one
    ADMINISTRATOR_LEAVES_END = auto()     # the last administrator; the conference is over
    EMPTIED = auto()                      # nobody is left, and the next to come may talk
    EMPTIED_GUARDED = auto()              # nobody is left, and the next to come waits for the administrator
    UNGUARDED = auto()                    # edited: no administrator is needed any more
    REMOVED = auto()                      # edited: the conference is gone, nobody can open the doors


class Room:
    """The people of one conference: `callers` with the receptionist, `inside` waiting or talking, by id."""

    def __init__(self, spec: ConferenceSpec, outbox: Outbox) -> None:
        self.spec = spec
        self.removed = False
        self.locked = False
        self.callers: dict[str, Participant] = {}
        self.inside: dict[str, Participant] = {}
        self._administrator_was_here = False
        self.doors = Doors.CLOSED if self.guarded else Doors.OPEN
        self._outbox = outbox

    @property
    def guarded(self) -> bool:
        """People need an administrator before they may talk."""
        spec = self.spec
        return spec.wait_for_administrator or (
            self._administrator_was_here and spec.when_administrator_leaves == "wait")

    @property
    def full(self) -> bool:
        """No further participant is allowed in."""
        return self.spec.max_participants is not None and len(self.inside) >= self.spec.max_participants

    def code_lengths(self) -> set[int]:
        """How long the codes are that open this room."""
        return {len(code) for code in (self.spec.access_code, self.spec.administrator_code) if code is not None}

    def people(self) -> list[Participant]:
        """Everybody whom the console shows, in order of arrival in each place."""
        return [person for place in (self.inside, self.callers) for person in place.values()
                if person.state is not State.ARRIVING]

    def refusal(self, administrator: bool) -> str | None:
        """The clip for somebody who may not enter now; None for who may. An administrator is never shut out: who
        else could unlock the room, or start it when waiting people have filled it?"""
        if self.removed:
            return NOT_AVAILABLE
        if administrator:
            return None
        if self.locked:
            return LOCKED
        return FULL if self.full else None

    # --- people come and go --------------------------------------------------------------------------------------
    def enter(self, person: Participant, now: float) -> None:
        """Somebody admitted comes in from the receptionist, or straight from the call."""
        self.callers.pop(person.id, None)
        self.inside[person.id] = person
        self._handle(Input.ADMINISTRATOR_ENTERS if person.administrator else Input.GUEST_ENTERS, person, now)

    def promote(self, person: Participant, now: float) -> None:
        """Somebody waiting has proven to be the administrator."""
        person.administrator = True
        self._handle(Input.ADMINISTRATOR_ENTERS, person, now)

    def dismiss(self, person: Participant, clip: str, reason: str, now: float) -> None:
        """Take somebody out, say why and hang up."""
        was = person.state
        shown = person.as_json()
        person.move(Step.DISMISS, now, (clip,), reason)
        self._part(person, was, shown, now)

    def gone(self, person: Participant, now: float) -> None:
        """Somebody's call has ended."""
        was = person.state
        shown = person.as_json()
        person.move(Step.OVER, now)
        self._part(person, was, shown, now)

    def replace_spec(self, spec: ConferenceSpec | None, now: float) -> None:
        """Take an edit of the configuration; None: the conference is no longer there. Who talks goes on
        talking."""
        self.removed = spec is None
        if spec is not None:
            self.spec, former = spec, self.spec
            if (spec.level_matching, spec.guards) != (former.level_matching, former.guards):
                for person in self.inside.values():
                    self._treat(person)
        if not self.inside:
            self._handle(self._emptied(), None, now)
        elif self.doors is Doors.CLOSED and self.removed:
            self._handle(Input.REMOVED, None, now)
        elif self.doors is Doors.CLOSED and not self.guarded:
            self._handle(Input.UNGUARDED, None, now)
        if self.removed:
            for person in list(self.callers.values()):
                if person.state is State.PROMPTING:
                    self.dismiss(person, NOT_AVAILABLE, "the conference was removed", now)

    # --- switches of the console ---------------------------------------------------------------------------------
    def lock(self, locked: bool) -> None:
        """Let nobody else in, or let people in again."""
        if locked != self.locked:
            self.locked = locked
            self._outbox.publish("locked", {"conference": self.spec.extension, "locked": locked})

    def mute(self, person: Participant, muted: bool) -> None:
        """Take a voice out of the mix, or put it back; its owner is told."""
        if muted == person.muted:
            return
        person.muted = muted
        self._outbox.add(SetMuted(person.call, muted))
        if person.state in (State.WAITING, State.TALKING):
            person.play((MUTED if muted else UNMUTED,))
        self.tell("muted", person)

    def announce(self, event: str, person: Participant) -> None:
        """Publish where somebody has arrived ("prompting", "waiting", "joined"); "left" will follow in the end."""
        person.announced = True
        self.tell(event, person)

    def tell(self, event: str, person: Participant) -> None:
        """Publish something about a participant."""
        self._publish(event, person.as_json())

    def _publish(self, event: str, shown: dict[str, Any]) -> None:
        self._outbox.publish(event, {"conference": self.spec.extension, "participant": shown})

    # --- the table's machinery -----------------------------------------------------------------------------------
    def _handle(self, event: Input, person: Participant | None, now: float) -> None:
        cell = TABLE.get((self.doors, event))
        if cell is None:
            raise MisuseError(f"a room whose doors are {self.doors.name} cannot take {event.name}")
        action, self.doors = cell
        action(self, person, now)

    def _part(self, person: Participant, was: State, shown: dict[str, Any], now: float) -> None:
        self.callers.pop(person.id, None)
        inside = self.inside.pop(person.id, None) is not None
        if person.announced:
            person.announced = False
            self._publish("left", shown)
        if not inside:
            return
        if self.inside:
            self._handle(self._departure(person, was), person, now)
        if not self.inside:
            self._handle(self._emptied(), None, now)
            self.lock(False)
            self._outbox.publish("ended", {"conference": self.spec.extension})

    def _departure(self, person: Participant, was: State) -> Input:
        behaviour = self.spec.when_administrator_leaves
        if was is not State.TALKING or not person.administrator or behaviour == "continue":
            return Input.PERSON_LEAVES
        if any(other.administrator and other.state is State.TALKING for other in self.inside.values()):
            return Input.PERSON_LEAVES
        return Input.ADMINISTRATOR_LEAVES_WAIT if behaviour == "wait" else Input.ADMINISTRATOR_LEAVES_END

    def _emptied(self) -> Input:
        self._administrator_was_here = False
        return Input.EMPTIED_GUARDED if self.guarded else Input.EMPTIED

    def _tone(self, clip: str) -> None:
        if self.spec.tones and any(person.state is State.TALKING for person in self.inside.values()):
            self._outbox.add(PlayToRoom(self.spec.extension, (clip,)))

    def _treat(self, person: Participant) -> None:
        if person.state is State.TALKING:
            self._outbox.add(Treat(person.call, self.spec.level_matching, self.spec.guards))

    # --- actions -------------------------------------------------------------------------------------------------
    def let_in(self, person: Participant | None, now: float) -> None:
        """Somebody joins the conversation."""
        assert person is not None
        self._administrator_was_here |= person.administrator
        self._tone(JOIN_TONE)
        alone = len(self.inside) == 1 and self.spec.announce_alone
        person.move(Step.TALK, now, (ONLY_PERSON,) if alone else ())
        self._treat(person)
        self.announce("joined", person)

    def seat(self, person: Participant | None, now: float) -> None:
        """Somebody waits for the administrator."""
        assert person is not None
        person.move(Step.WAIT, now, (WAIT_FOR_ADMINISTRATOR,))
        self.announce("waiting", person)

    def open_doors(self, administrator: Participant | None, now: float) -> None:
        """Everybody who waits comes in, and the administrator who brought it about."""
        if administrator is not None:
            self._administrator_was_here = True
        newcomers = [person for person in self.inside.values() if person.state is not State.TALKING]
        alone = len(self.inside) == 1 and self.spec.announce_alone
        for person in newcomers:
            person.move(Step.TALK, now, (ONLY_PERSON,) if alone else ())
            self._treat(person)
            self.announce("joined", person)
        if len(self.inside) > 1:
            self._tone(JOIN_TONE)

    def sound_leave(self, person: Participant | None, now: float) -> None:
        """Somebody has left people who go on talking."""
        self._tone(LEAVE_TONE)

    def go_on(self, person: Participant | None, now: float) -> None:
        """Nobody needs to be told."""

    def seat_everybody(self, person: Participant | None, now: float) -> None:
        """The last administrator has left: back to waiting."""
        for other in self.inside.values():
            other.move(Step.WAIT, now, (ADMINISTRATOR_LEFT,))
            self.announce("waiting", other)

    def end(self, person: Participant | None, now: float) -> None:
        """The conference is over for everybody."""
        everybody = list(self.inside.values())
        self.inside.clear()
        for other in everybody:
            shown = other.as_json()
            other.move(Step.DISMISS, now, (CONFERENCE_ENDED,), "the conference has ended")
            other.announced = False
            self._publish("left", shown)

    def send_home(self, person: Participant | None, now: float) -> None:
        """Nobody who waits can ever be let in: end it, and all that follows an empty room."""
        self.end(person, now)
        self.lock(False)
        self._outbox.publish("ended", {"conference": self.spec.extension})


TABLE: dict[tuple[Doors, Input], tuple[Callable[[Room, Participant | None, float], None], Doors]] = {
    (Doors.OPEN, Input.GUEST_ENTERS): (Room.let_in, Doors.OPEN),
    (Doors.OPEN, Input.ADMINISTRATOR_ENTERS): (Room.let_in, Doors.OPEN),
    (Doors.OPEN, Input.PERSON_LEAVES): (Room.sound_leave, Doors.OPEN),
    (Doors.OPEN, Input.ADMINISTRATOR_LEAVES_WAIT): (Room.seat_everybody, Doors.CLOSED),
    (Doors.OPEN, Input.ADMINISTRATOR_LEAVES_END): (Room.end, Doors.OPEN),
    (Doors.OPEN, Input.EMPTIED): (Room.go_on, Doors.OPEN),
    (Doors.OPEN, Input.EMPTIED_GUARDED): (Room.go_on, Doors.CLOSED),
    (Doors.CLOSED, Input.GUEST_ENTERS): (Room.seat, Doors.CLOSED),
    (Doors.CLOSED, Input.ADMINISTRATOR_ENTERS): (Room.open_doors, Doors.OPEN),
    (Doors.CLOSED, Input.PERSON_LEAVES): (Room.go_on, Doors.CLOSED),
    (Doors.CLOSED, Input.EMPTIED): (Room.go_on, Doors.OPEN),
    (Doors.CLOSED, Input.EMPTIED_GUARDED): (Room.go_on, Doors.CLOSED),
    (Doors.CLOSED, Input.UNGUARDED): (Room.open_doors, Doors.OPEN),
    (Doors.CLOSED, Input.REMOVED): (Room.send_home, Doors.CLOSED),
}
