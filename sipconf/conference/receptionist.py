"""The digital receptionist: asks one caller for the access code, as a table of states.

What lives here: prompts, barge-in, time-outs, tries. What does not: what a code opens and who is locked out, which
is asked of `judge`; the farewell, which is the participant's own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from sipconf.conference.keypad import MAX_DIGITS, Key, key_of
from sipconf.conference.participant import Participant
from sipconf.errors import MisuseError

ENTER_CODE = "enter-code"
WRONG_CODE = "wrong-code"
GOODBYE = "goodbye"
TOO_MANY_TRIES = "too-many-tries"


class Verdict(Enum):
    """What a code turned out to be."""

    ACCESS = auto()
    ADMINISTRATOR = auto()
    WRONG = auto()
    LOCKED_OUT = auto()  # not looked at, or one wrong code too many


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and how long to wait before acting on it, in seconds."""

    verdict: Verdict
    delay: float


@dataclass(frozen=True, slots=True)
class Admitted:
    """The caller may enter; administrator: by the code that was keyed."""

    administrator: bool


@dataclass(frozen=True, slots=True)
class Dismissed:
    """The caller is to hear clip and go; reason is for records."""

    clip: str
    reason: str


Outcome = Admitted | Dismissed


@dataclass(frozen=True, slots=True)
class ReceptionSettings:
    """silence: seconds without a key before the prompt is repeated; repeats: how often; between_digits: seconds
    after the last digit of an unfinished entry; tries: wrong codes a call may hold; prompt_limit: seconds after
    which a prompt counts as heard, whatever is reported."""

    silence: float = 15.0
    repeats: int = 3
    between_digits: float = 8.0
    tries: int = 3
    prompt_limit: float = 12.0


class State(Enum):
    """What the receptionist is doing."""

    IDLE = auto()        # the call is not yet connected
    ASKING = auto()      # a prompt is being heard
    LISTENING = auto()   # nothing keyed yet
    COLLECTING = auto()  # part of a code keyed
    WEIGHING = auto()    # a verdict is held back
    DONE = auto()


class Input(Enum):
    """What the receptionist reacts to. A time-out and a verdict are several inputs, by what they mean."""

    CONNECTED = auto()
    CONNECTED_WITH_CODE = auto()  # a code was dialled along and is already judged
    DIGIT = auto()
    POUND = auto()
    STAR = auto()
    PLAYED = auto()
    SILENCE = auto()
    SILENCE_TOO_OFTEN = auto()
    ENTRY_COMPLETE = auto()       # no further digit, and as many as a code has
    RIGHT = auto()
    WRONG = auto()
    WRONG_TOO_OFTEN = auto()


class Receptionist:
    """Looks after one caller until `outcome` is there."""

    def __init__(
        self,
        person: Participant,
        judge: Callable[[str, float], Judgement],
        code_lengths: Callable[[], set[int]],
        settings: ReceptionSettings,
        presented: Judgement | None = None,
    ) -> None:
        """judge(code, now) counts what is wrong; code_lengths() are those of the codes valid now; presented is the
        judgement on a code that was dialled along with the number."""
        self.state = State.IDLE
        self.outcome: Outcome | None = None
        self._person = person
        self._judge = judge
        self._code_lengths = code_lengths
        self._settings = settings
        self._judgement = presented
        self._wrong = 0
        self._repeats = 0
        self._asked = False
        self._queued: list[str] = []

    def connected(self, now: float) -> None:
        """The call is up."""
        self._handle(Input.CONNECTED if self._judgement is None else Input.CONNECTED_WITH_CODE, now)

    def pressed(self, digit: str, now: float) -> None:
        """A key was pressed."""
        key = key_of(digit)
        if self.state is State.WEIGHING:
            # Impatient fingers: what is keyed before the verdict is spoken counts for the next try.
            if len(self._queued) < MAX_DIGITS:
                self._queued.append(digit)
        elif key is Key.DIGIT:
            if self.state is not State.DONE:
                self._person.keypad.press(digit)
            self._handle(Input.DIGIT, now)
        else:
            self._handle(Input.POUND if key is Key.POUND else Input.STAR, now)

    def played(self, now: float) -> None:
        """The prompt has been heard to its end."""
        self._handle(Input.PLAYED, now)

    def timed_out(self, now: float) -> None:
        """The deadline set in the agenda has come."""
        if self.state is State.WEIGHING:
            self._handle(self._verdict_input(), now)
            self._replay(now)
        elif self.state is State.COLLECTING and len(self._person.keypad) in self._code_lengths():
            self._handle(Input.ENTRY_COMPLETE, now)
        elif self._repeats >= self._settings.repeats:
            self._handle(Input.SILENCE_TOO_OFTEN, now)
        else:
            self._handle(Input.SILENCE, now)

    def _handle(self, event: Input, now: float) -> None:
        cell = TABLE.get((self.state, event))
        if cell is None:
            raise MisuseError(f"a receptionist who is {self.state.name} does not expect {event.name}")
        action, self.state = cell
        action(self, now)

    def _replay(self, now: float) -> None:
        while self._queued and self.state not in (State.WEIGHING, State.DONE):
            self.pressed(self._queued.pop(0), now)

    def _verdict_input(self) -> Input:
        assert self._judgement is not None
        verdict = self._judgement.verdict
        if verdict in (Verdict.ACCESS, Verdict.ADMINISTRATOR):
            return Input.RIGHT
        self._wrong += 1
        too_often = verdict is Verdict.LOCKED_OUT or self._wrong >= self._settings.tries
        return Input.WRONG_TOO_OFTEN if too_often else Input.WRONG

    def _set_deadline(self, when: float | None) -> None:
        self._person.desk.agenda.set(self._person.call, when)

    # --- actions -------------------------------------------------------------------------------------------------
    def ask(self, now: float, *clips: str) -> None:
        """Play the prompt."""
        self._asked = True
        self._person.keypad.clear()
        self._person.play(clips or (ENTER_CODE,))
        self._set_deadline(now + self._settings.prompt_limit + self._settings.silence)

    def ask_again(self, now: float) -> None:
        """Repeat the prompt to somebody who keys nothing, or nothing whole."""
        self._repeats += 1
        self.ask(now)

    def await_first_digit(self, now: float) -> None:
        """The prompt is over; silence counts from here."""
        self._set_deadline(now + self._settings.silence)

    def note_digit(self, now: float) -> None:
        """A digit stops whatever prompt is playing (barge-in)."""
        self._person.stop()
        self._set_deadline(now + self._settings.between_digits)

    def start_over(self, now: float) -> None:
        """The star: what was keyed is forgotten."""
        self._person.keypad.clear()
        self.await_first_digit(now)

    def ignore(self, now: float) -> None:
        """Nothing to submit, nothing to clear, nobody to serve."""

    def weigh(self, now: float) -> None:
        """Have the entry judged; act on it at once or after the delay."""
        self._judgement = self._judge(self._person.keypad.take(), now)
        self.await_verdict(now)

    def await_verdict(self, now: float) -> None:
        """Hold the verdict back for its delay."""
        assert self._judgement is not None
        if self._judgement.delay > 0.0:
            self._set_deadline(now + self._judgement.delay)
        else:
            self._handle(self._verdict_input(), now)

    def admit(self, now: float) -> None:
        """The code is right."""
        assert self._judgement is not None
        self._set_deadline(None)
        self.outcome = Admitted(self._judgement.verdict is Verdict.ADMINISTRATOR)

    def correct(self, now: float) -> None:
        """Say that the code is wrong; the next digit belongs to the next try."""
        self._repeats = 0
        # Whose wrong code came with the number has not yet heard how to key one.
        self.ask(now, *((WRONG_CODE,) if self._asked else (WRONG_CODE, ENTER_CODE)))

    def give_up(self, now: float) -> None:
        """Too many wrong codes."""
        self.outcome = Dismissed(TOO_MANY_TRIES, "too many wrong codes")

    def say_goodbye(self, now: float) -> None:
        """Nobody seems to be there."""
        self.outcome = Dismissed(GOODBYE, "no code was keyed")


TABLE: dict[tuple[State, Input], tuple[Callable[[Receptionist, float], None], State]] = {
    (State.IDLE, Input.CONNECTED): (Receptionist.ask, State.ASKING),
    (State.IDLE, Input.CONNECTED_WITH_CODE): (Receptionist.await_verdict, State.WEIGHING),
    (State.ASKING, Input.DIGIT): (Receptionist.note_digit, State.COLLECTING),
    (State.ASKING, Input.POUND): (Receptionist.ignore, State.ASKING),
    (State.ASKING, Input.STAR): (Receptionist.ignore, State.ASKING),
    (State.ASKING, Input.PLAYED): (Receptionist.await_first_digit, State.LISTENING),
    (State.ASKING, Input.SILENCE): (Receptionist.ask_again, State.ASKING),
    (State.ASKING, Input.SILENCE_TOO_OFTEN): (Receptionist.say_goodbye, State.DONE),
    (State.LISTENING, Input.DIGIT): (Receptionist.note_digit, State.COLLECTING),
    (State.LISTENING, Input.POUND): (Receptionist.ignore, State.LISTENING),
    (State.LISTENING, Input.STAR): (Receptionist.ignore, State.LISTENING),
    (State.LISTENING, Input.SILENCE): (Receptionist.ask_again, State.ASKING),
    (State.LISTENING, Input.SILENCE_TOO_OFTEN): (Receptionist.say_goodbye, State.DONE),
    (State.COLLECTING, Input.DIGIT): (Receptionist.note_digit, State.COLLECTING),
    (State.COLLECTING, Input.POUND): (Receptionist.weigh, State.WEIGHING),
    (State.COLLECTING, Input.STAR): (Receptionist.start_over, State.LISTENING),
    (State.COLLECTING, Input.ENTRY_COMPLETE): (Receptionist.weigh, State.WEIGHING),
    (State.COLLECTING, Input.SILENCE): (Receptionist.ask_again, State.ASKING),
    (State.COLLECTING, Input.SILENCE_TOO_OFTEN): (Receptionist.say_goodbye, State.DONE),
    (State.WEIGHING, Input.RIGHT): (Receptionist.admit, State.DONE),
    (State.WEIGHING, Input.WRONG): (Receptionist.correct, State.ASKING),
    (State.WEIGHING, Input.WRONG_TOO_OFTEN): (Receptionist.give_up, State.DONE),
}
