"""One person of a conference, from the call's arrival to its end, as a table of states.

What lives here: what a call is told when its person is asked, seated, let in, sent out. What does not: whether a
code is right (receptionist, service) and who may be in the mix now (room).
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from sipconf.conference.agenda import Agenda
from sipconf.conference.commands import EnterRoom, HangUp, LeaveRoom, Outbox, SetMuted, StopPlaying
from sipconf.conference.events import Caller
from sipconf.conference.keypad import Keypad
from sipconf.errors import MisuseError

MUSIC = "music"
SILENCE_DB = -127.0
"""dBFS shown of somebody who has not been heard yet."""


class State(Enum):
    """Where a person is. Only those of SHOWN are shown to the console."""

    RINGING = auto()    # invited; their telephone rings
    ARRIVING = auto()   # answered, not yet connected
    PROMPTING = auto()  # with the receptionist
    WAITING = auto()    # outside the mix, until the administrator comes
    TALKING = auto()    # in the mix
    LEAVING = auto()    # hears why the call ends
    CLEARING = auto()   # told to hang up; the call's end is to be reported
    OVER = auto()


SHOWN = {State.RINGING: "ringing", State.PROMPTING: "prompting", State.WAITING: "waiting", State.TALKING: "talking"}


class Step(Enum):
    """What moves a person on."""

    ANSWER = auto()   # the invited person is there
    ASK = auto()      # to the receptionist
    WAIT = auto()     # out of the mix, to music
    TALK = auto()     # into the mix
    DISMISS = auto()  # hear why, then hang up
    PLAYED = auto()   # the clips have been heard
    TIMEOUT = auto()  # the clips of a farewell should have been heard long ago
    OVER = auto()     # the call has ended


@dataclass(slots=True)
class Desk:
    """What every person of the house is served with: where commands go, when to look again, and how long a
    farewell may take (seconds)."""

    outbox: Outbox
    agenda: Agenda
    farewell_limit: float


@dataclass(slots=True)
class Carriage:
    """How a call is carried: the codec that we send, the transport of its signalling; held: its telephone has put us on
    hold."""

    codec: str = ""
    transport: str = ""
    held: bool = False


class Participant:
    """A person in, or on the way into, one conference."""

    def __init__(self, call: str, identity: str, room: str, caller: Caller, desk: Desk) -> None:
        self.call = call
        self.id = identity
        self.room = room
        self.caller = caller
        self.state = State.ARRIVING
        self.announced = False      # the console has been told of this person
        self.administrator = False
        self.muted = False
        self.guard: str | None = None  # why nobody hears it though nobody muted it
        self.speaking = False
        self.level_db = SILENCE_DB
        self.carriage = Carriage()
        self.joined_at = ""
        self.keypad = Keypad()
        self.keys_count_from = 0.0  # monotonic seconds before which keys are not looked at
        self.parting_reason = ""
        self.desk = desk
        self._playing: int | None = None

    def __repr__(self) -> str:
        return f"Participant({self.id}, {self.room}, {self.state.name})"

    def move(self, step: Step, now: float, clips: tuple[str, ...] = (), reason: str = "") -> None:
        """Take a step of the table. clips: what to hear on the way; reason: why a call ends. Raises MisuseError
        where the table has no such step."""
        cell = TABLE.get((self.state, step))
        if cell is None:
            raise MisuseError(f"a participant who is {self.state.name} cannot {step.name}")
        action, self.state = cell
        if reason:
            self.parting_reason = reason
        action(self, clips, now)

    def play(self, clips: tuple[str, ...], loop: bool = False) -> None:
        """Let this person alone hear clips, in place of anything else played to them."""
        self._playing = self.desk.outbox.play(self.call, clips, loop)

    def stop(self) -> None:
        """End what is played to this person, if anything is."""
        if self._playing is not None:
            self._playing = None
            self.desk.outbox.add(StopPlaying(self.call))

    def heard(self, playback: int) -> bool:
        """Note that a playback is over; False when another has taken its place since."""
        if playback != self._playing:
            return False
        self._playing = None
        return True

    def silence(self) -> None:
        """Expect no playback's end any more: the call is about to end."""
        self._playing = None

    def as_json(self) -> dict[str, Any]:
        """The participant as the HTTP API shows it. Who is not yet asked is shown as if; who leaves is not
        shown."""
        return {
            "id": self.id, "name": self.caller.name, "number": self.caller.number,
            "administrator": self.administrator, "muted": self.muted, "speaking": self.speaking,
            "level_db": round(self.level_db, 1), "codec": self.carriage.codec, "transport": self.carriage.transport,
            "joined_at": self.joined_at, "state": SHOWN.get(self.state, "prompting"), "held": self.carriage.held,
            "guard": self.guard, "guest": self.caller.visitor,
        }


Action = Callable[[Participant, tuple[str, ...], float], None]


def _arrive(person: Participant, clips: tuple[str, ...], now: float) -> None:
    person.desk.agenda.set(person.call, None)


def _stop_ringing(person: Participant, clips: tuple[str, ...], now: float) -> None:
    """There is nobody yet to hear why."""
    person.parting_reason = person.parting_reason or "nobody answered"
    _hang_up(person, clips, now)


def _greet(person: Participant, clips: tuple[str, ...], now: float) -> None:
    """The receptionist speaks for herself."""


def _seat(person: Participant, clips: tuple[str, ...], now: float) -> None:
    person.desk.agenda.set(person.call, None)
    person.keypad.clear()
    person.play(clips)


def _call_back(person: Participant, clips: tuple[str, ...], now: float) -> None:
    _step_out(person)
    _seat(person, clips, now)


def _let_in(person: Participant, clips: tuple[str, ...], now: float) -> None:
    person.desk.agenda.set(person.call, None)
    person.keypad.clear()
    person.stop()
    person.desk.outbox.add(EnterRoom(person.call, person.room))
    if person.muted:
        person.desk.outbox.add(SetMuted(person.call, True))
    if clips:
        person.play(clips)


def _step_out(person: Participant) -> None:
    person.speaking = False
    person.guard = None
    person.level_db = SILENCE_DB
    person.desk.outbox.add(LeaveRoom(person.call))


def _say_farewell(person: Participant, clips: tuple[str, ...], now: float) -> None:
    person.play(clips)
    # The end of a playback is reported by another process: never wait for it for ever.
    person.desk.agenda.set(person.call, now + person.desk.farewell_limit)


def _send_out(person: Participant, clips: tuple[str, ...], now: float) -> None:
    _step_out(person)
    _say_farewell(person, clips, now)


def _hang_up(person: Participant, clips: tuple[str, ...], now: float) -> None:
    person.silence()
    person.desk.agenda.set(person.call, None)
    person.desk.outbox.add(HangUp(person.call, person.parting_reason))


def _play_music(person: Participant, clips: tuple[str, ...], now: float) -> None:
    person.play((MUSIC,), loop=True)


def _go_on(person: Participant, clips: tuple[str, ...], now: float) -> None:
    """What was to be heard has been heard."""


def _forget(person: Participant, clips: tuple[str, ...], now: float) -> None:
    person.desk.agenda.set(person.call, None)
    person.keypad.clear()


TABLE: dict[tuple[State, Step], tuple[Action, State]] = {
    (State.RINGING, Step.ANSWER): (_arrive, State.ARRIVING),
    (State.RINGING, Step.DISMISS): (_stop_ringing, State.CLEARING),
    (State.RINGING, Step.TIMEOUT): (_stop_ringing, State.CLEARING),
    (State.RINGING, Step.OVER): (_forget, State.OVER),
    (State.ARRIVING, Step.ASK): (_greet, State.PROMPTING),
    (State.ARRIVING, Step.WAIT): (_seat, State.WAITING),
    (State.ARRIVING, Step.TALK): (_let_in, State.TALKING),
    (State.ARRIVING, Step.DISMISS): (_say_farewell, State.LEAVING),
    (State.ARRIVING, Step.OVER): (_forget, State.OVER),
    (State.PROMPTING, Step.WAIT): (_seat, State.WAITING),
    (State.PROMPTING, Step.TALK): (_let_in, State.TALKING),
    (State.PROMPTING, Step.DISMISS): (_say_farewell, State.LEAVING),
    (State.PROMPTING, Step.OVER): (_forget, State.OVER),
    (State.WAITING, Step.TALK): (_let_in, State.TALKING),
    (State.WAITING, Step.DISMISS): (_say_farewell, State.LEAVING),
    (State.WAITING, Step.PLAYED): (_play_music, State.WAITING),
    (State.WAITING, Step.OVER): (_forget, State.OVER),
    (State.TALKING, Step.WAIT): (_call_back, State.WAITING),
    (State.TALKING, Step.DISMISS): (_send_out, State.LEAVING),
    (State.TALKING, Step.PLAYED): (_go_on, State.TALKING),
    (State.TALKING, Step.OVER): (_forget, State.OVER),
    (State.LEAVING, Step.PLAYED): (_hang_up, State.CLEARING),
    (State.LEAVING, Step.TIMEOUT): (_hang_up, State.CLEARING),
    (State.LEAVING, Step.OVER): (_forget, State.OVER),
    (State.CLEARING, Step.OVER): (_forget, State.OVER),
}
