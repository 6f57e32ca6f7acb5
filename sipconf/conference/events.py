"""What can happen to conferences, told by the switchboard or the console. No SIP, no samples: facts about
calls."""

from dataclasses import dataclass, field
from enum import Enum, auto


@dataclass(frozen=True, slots=True)
class Caller:
    """A person at the other end of a call.

    user: the extension proven by digest, else None; trunk: the trunk's name for a call from outside, else None;
    number: what to show (extension or telephone number); source: the network address the signalling came from;
    peer: the trunk is the company's own exchange, whose callers may dial extensions. visitor: came by the join page,
    proven by nothing; the name is what they call themselves.
    """

    number: str
    name: str
    user: str | None
    trunk: str | None
    source: str
    peer: bool = False
    visitor: bool = False


@dataclass(frozen=True, slots=True)
class CallArrived:
    """A new call wants to be answered; dialled is the user part of the Request-URI ("2001", "2001*4321",
    "+3225551234").

    dialled may hold an access code: it is left out of repr, so that no log line shows one.
    """

    call: str
    dialled: str = field(repr=False)
    caller: Caller


@dataclass(frozen=True, slots=True)
class CallConnected:
    """The call that we chose to answer is up; media flows."""

    call: str


@dataclass(frozen=True, slots=True)
class CallOver:
    """The call has ended, whoever ended it and in whatever state."""

    call: str
    reason: str


@dataclass(frozen=True, slots=True)
class TransferAsked:
    """Somebody in a call wants another person brought in, or put through to whom they talk with. target: as dialled;
    takes_over: a second call, whose other end it is that is to come. `ReportReferral` names the referral."""

    call: str
    referral: str
    target: str = field(repr=False)
    takes_over: str | None = None


@dataclass(frozen=True, slots=True)
class CallMoved:
    """A call that is up is for another room now, as `MoveCall` wanted, and in no mix."""

    call: str
    room: str
    asked: TransferAsked


@dataclass(frozen=True, slots=True)
class OutgoingRinging:
    """The telephone of an outgoing call rings."""

    call: str


@dataclass(frozen=True, slots=True)
class OutgoingAnswered:
    """The person called by us has answered; media flows."""

    call: str


class NotRung(Enum):
    """Why no telephone of somebody's was called at all."""

    NO_LINE = auto()        # none of ours was free
    NOT_CONNECTED = auto()  # none is registered
    NOT_ENCRYPTED = auto()  # none of those registered takes encrypted calls, and nothing less will do


@dataclass(frozen=True, slots=True)
class OutgoingFailed:
    """Nobody answered an outgoing call. status: the SIP status of the most telling answer; why: where nothing rang."""

    call: str
    status: int
    why: NotRung | None = None


@dataclass(frozen=True, slots=True)
class DigitPressed:
    """One key of a telephone, reported once, whatever brought it: "0".."9", "*", "#", "A".."D". Never in repr."""

    call: str
    digit: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PlaybackFinished:
    """The playback that a Play command started has been heard to its end."""

    call: str
    playback: int


@dataclass(frozen=True, slots=True)
class SpeakingChanged:
    """Somebody began or stopped talking; level_db is in dBFS."""

    call: str
    speaking: bool
    level_db: float


@dataclass(frozen=True, slots=True)
class GuardChanged:
    """The call has been taken out of its room's mix for what it plays into it ("hold music", "echo"), or (None) it is
    heard again."""

    call: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class HoldChanged:
    """The participant's telephone put us on hold, or took us back."""

    call: str
    held: bool


Event = (
    CallArrived | CallConnected | CallOver | TransferAsked | CallMoved | OutgoingRinging | OutgoingAnswered
    | OutgoingFailed | DigitPressed | PlaybackFinished | SpeakingChanged | GuardChanged | HoldChanged
)
