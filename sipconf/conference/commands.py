"""What conferences want done, carried out by the switchboard. Calls are named by the switchboard's call ids."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sipconf.conference.events import TransferAsked


@dataclass(frozen=True, slots=True)
class Ring:
    """Let the caller hear ringing (180)."""

    call: str


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer an arrived call; `CallConnected` or `CallOver` follows. room: the one it may enter later. encrypted: it is
    to be refused unless nobody on the way can hear it."""

    call: str
    room: str
    encrypted: bool = False


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuse an arrived call with a SIP status and a reason written for a person. No event follows."""

    call: str
    status: int
    reason: str
    retry_after: int | None = None


@dataclass(frozen=True, slots=True)
class HangUp:
    """End a call in any state; `CallOver` follows. reason is for logs and records."""

    call: str
    reason: str


@dataclass(frozen=True, slots=True)
class Play:
    """Play clips one after the other to this call alone, in place of whatever it is being played.

    playback: a number that `PlaybackFinished` repeats. loop: over and over (music); then nothing finishes.
    """

    call: str
    playback: int
    clips: tuple[str, ...]
    loop: bool = False


@dataclass(frozen=True, slots=True)
class StopPlaying:
    """End what is played to this call alone (barge-in, music). `PlaybackFinished` does not follow."""

    call: str


@dataclass(frozen=True, slots=True)
class EnterRoom:
    """Put the call into the mix of a room: it hears everyone there but itself."""

    call: str
    room: str


@dataclass(frozen=True, slots=True)
class LeaveRoom:
    """Take the call out of any mix; it stays connected."""

    call: str


@dataclass(frozen=True, slots=True)
class MoveCall:
    """Have a call that is up be for another room, which it may enter later; encrypted: only if nobody on the way can
    hear it. `CallMoved` follows at once, or all stays as it is and who asked for it is told why."""

    call: str
    room: str
    encrypted: bool
    asked: TransferAsked


@dataclass(frozen=True, slots=True)
class PlayToRoom:
    """Play clips to everyone in a room (join and leave tones, announcements)."""

    room: str
    clips: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SetMuted:
    """Take a call's voice out of the mix, or put it back."""

    call: str
    muted: bool


@dataclass(frozen=True, slots=True)
class Treat:
    """What is done to a call's voice in its room. level_matching: bring it to the loudness of the others; guards: take
    it out of the mix while it is music on hold or an echo (GuardChanged follows)."""

    call: str
    level_matching: bool
    guards: bool


@dataclass(frozen=True, slots=True)
class CallOut:
    """Ring every telephone of an extension; the first to answer is the call `call`. The caller shown is given.
    room: the one that it may enter later. encrypted: only telephones that nobody on the way can hear are rung."""

    call: str
    extension: str
    caller_number: str
    caller_name: str
    room: str
    encrypted: bool = False


@dataclass(frozen=True, slots=True)
class ReportReferral:
    """Tell this call's person how a `TransferAsked` of theirs fares: a refusal, or 100 and then what comes of it, final
    from 200 on. Where the call is over by then, nobody is told."""

    call: str
    referral: str
    status: int
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Publish:
    """Something the console and scripts want to know: `GET /api/events`. data is plain JSON material."""

    event: str
    data: Mapping[str, Any]


Command = (
    Ring | Answer | Reject | HangUp | Play | StopPlaying | EnterRoom | LeaveRoom | MoveCall | PlayToRoom | SetMuted
    | Treat | CallOut | ReportReferral | Publish
)


class Outbox:
    """Where the rooms put their commands until the switchboard takes them. Numbers the playbacks."""

    def __init__(self) -> None:
        self._commands: list[Command] = []
        self._playbacks = 0

    def add(self, command: Command) -> None:
        """Put a command behind the others."""
        self._commands.append(command)

    def play(self, call: str, clips: tuple[str, ...], loop: bool = False) -> int:
        """Put a Play for a call behind the others; its playback number."""
        self._playbacks += 1
        self._commands.append(Play(call, self._playbacks, clips, loop))
        return self._playbacks

    def publish(self, event: str, data: Mapping[str, Any]) -> None:
        """Tell the console and scripts something."""
        self._commands.append(Publish(event, data))

    def take(self) -> list[Command]:
        """Everything put in since the last call, in order."""
        commands, self._commands = self._commands, []
        return commands
