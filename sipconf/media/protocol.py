"""Commands to a media plane and events from it: the whole conversation between switchboard and media.

Two keepers of the same protocol: `plane.MediaPlane` in-process (tests, simulation) and the worker process behind
`supervisor`. Everything here is a frozen dataclass of numbers, strings and tuples, so that `pipe` can frame it.
Legs and rooms are numbers chosen by the caller; a leg is opened (gets a port), connected (learns peer and format),
placed in a room or not, and closed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class RtpFormat:
    """What a payload type means (RFC 3551, RFC 3190): encoding "PCMU", "PCMA" or "L16"; clock_rate in Hz."""

    encoding: str
    clock_rate: int
    payload_type: int


# --- commands --------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class OpenLeg:
    """Bind a port pair for a leg on the given local address ("0.0.0.0", "::", "127.0.0.1"). LegOpened or LegFailed
    follows. cname: RTCP's name for our end. room: the one that the leg is for and may be placed in later, so that it is
    opened where that room lives; None: none."""

    leg: int
    address: str
    cname: str
    room: int | None = None


@dataclass(frozen=True, slots=True)
class ConnectLeg:
    """Tell a leg its peer and format; again on every new offer and answer.

    remote, remote_rtcp: the signalled addresses; None: send nothing until media arrives (offered 0.0.0.0).
    signalling_host: where the signalling came from, the only other place that latching may choose.
    direction: ours, "sendrecv", "sendonly", "recvonly" or "inactive". rx_formats: what the peer may send, all of one
    clock rate; tx_format: what we send. telephone_event: payload type, or None: then digits are listened for in the
    voice. ptime_ms: of what we send, 20.
    trusted: the peer is a trunk, whose media may come from and go to anywhere it says; to anybody else's address that
    is not where the signalling came from only a little is sent until something comes back (media.unproven).
    """

    leg: int
    remote: Address | None
    remote_rtcp: Address | None
    signalling_host: str
    rx_formats: tuple[RtpFormat, ...]
    tx_format: RtpFormat
    telephone_event: int | None
    rtcp_mux: bool
    direction: str
    ptime_ms: int = 20
    trusted: bool = False


@dataclass(frozen=True, slots=True)
class CloseLeg:
    """RTCP BYE, then the ports are free again."""

    leg: int


@dataclass(frozen=True, slots=True)
class PlaceLeg:
    """Put a leg in a room's mix, or (None) in no mix: then it hears only what is played to it."""

    leg: int
    room: int | None


@dataclass(frozen=True, slots=True)
class MuteLeg:
    """Ramp a leg's weight in its room's mix to 0 or back to 1."""

    leg: int
    muted: bool


@dataclass(frozen=True, slots=True)
class TreatLeg:
    """What is done to a leg's voice in its room: level_matching brings it to the loudness of the others; guards takes
    it out of the mix while it is music on hold or an echo, and GuardChanged says so. Nothing until this is said."""

    leg: int
    level_matching: bool
    guards: bool


@dataclass(frozen=True, slots=True)
class PlayToLeg:
    """Play clips in order to one leg, replacing what it is being played; PlaybackEnded(leg, playback) at the end.
    In a room it is heard over the mix. loop: for ever, and never ended."""

    leg: int
    playback: int
    clips: tuple[str, ...]
    loop: bool


@dataclass(frozen=True, slots=True)
class StopLegPlayback:
    """Fade out what is played to this leg; no PlaybackEnded."""

    leg: int


@dataclass(frozen=True, slots=True)
class PlayToRoom:
    """Add clips to the room's sum: everyone in it hears them. Clips queue behind each other."""

    room: int
    clips: tuple[str, ...]


Command = (
    OpenLeg | ConnectLeg | CloseLeg | PlaceLeg | MuteLeg | TreatLeg | PlayToLeg | StopLegPlayback | PlayToRoom
)


# --- events ----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class LegOpened:
    """The leg's RTP port is bound (RTCP is the next port)."""

    leg: int
    port: int


@dataclass(frozen=True, slots=True)
class LegFailed:
    """No port, no room: the call cannot be served (503)."""

    leg: int
    reason: str


@dataclass(frozen=True, slots=True)
class DigitReceived:
    """One digit, reported once: by RFC 4733 at its first packet, or as tones in the voice of a leg that has no
    telephone-event. Codes are keyed so: no repr, hence no log, shows it."""

    leg: int
    digit: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PlaybackEnded:
    """The last sample of a playback has been sent."""

    leg: int
    playback: int


@dataclass(frozen=True, slots=True)
class TalkingChanged:
    """The leg's voice activity began or ended; level_db is dBFS of the current frames."""

    leg: int
    talking: bool
    level_db: float


@dataclass(frozen=True, slots=True)
class GuardChanged:
    """The leg has been taken out of its room's mix for what it plays into it, "hold music" or "echo"; None: it is heard
    again."""

    leg: int
    reason: str | None


@dataclass(frozen=True, slots=True)
class LegSilent:
    """No RTP has come from this leg for the plane's timeout, though it should send: its telephone is dead."""

    leg: int


@dataclass(frozen=True, slots=True)
class LegReport:
    """How one leg does: level in dBFS and counters since the leg was opened. It travels in LegReports."""

    leg: int
    level_db: float
    packets_rx: int
    packets_tx: int
    lost: int
    late: int
    duplicated: int
    strangers: int
    jitter_ms: float
    delay_ms: float


@dataclass(frozen=True, slots=True)
class LegReports:
    """Every two seconds for each leg, many legs in one message: parallel tuples of what LegReport says of one."""

    legs: tuple[int, ...]
    level_db: tuple[float, ...]
    packets_rx: tuple[int, ...]
    packets_tx: tuple[int, ...]
    lost: tuple[int, ...]
    late: tuple[int, ...]
    duplicated: tuple[int, ...]
    strangers: tuple[int, ...]
    jitter_ms: tuple[float, ...]
    delay_ms: tuple[float, ...]

    def each(self) -> Iterator[LegReport]:
        """The report of every leg."""
        columns = (
            self.legs, self.level_db, self.packets_rx, self.packets_tx, self.lost, self.late, self.duplicated,
            self.strangers, self.jitter_ms, self.delay_ms,
        )  # fmt: skip
        return map(LegReport, *columns)


@dataclass(frozen=True, slots=True)
class PlaneReport:
    """Once a second: how the tick does. late_ticks counts starts more than 5 ms after they were due; busy_ms is the
    processor time of a tick, its mean. capacity: legs that ports and open files allow, 0: not known. worker: whose."""

    legs: int
    ticks: int
    late_ticks: int
    skipped_ticks: int
    busy_ms: float
    capacity: int = 0
    worker: int = 0


Event = (
    LegOpened | LegFailed | DigitReceived | PlaybackEnded | TalkingChanged | GuardChanged | LegSilent
    | LegReports | PlaneReport
)


class Media(Protocol):
    """What the switchboard needs of any plane."""

    def send(self, command: Command) -> None:
        """Queue a command; it takes effect at the top of a coming tick, in order."""

    def take_events(self) -> list[Event]:
        """Everything that happened since the last call, in order."""
