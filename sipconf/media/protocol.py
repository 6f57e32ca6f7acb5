"""Commands to a media plane and events from it: the whole conversation between switchboard and media.

Two keepers of the same protocol: `plane.MediaPlane` in-process (tests, simulation) and the worker process behind
`supervisor`. Everything here is a frozen dataclass of numbers, strings and tuples, so that `pipe` can frame it.
Legs and rooms are numbers chosen by the caller; a leg is opened (gets a port), connected (learns peer and format),
placed in a room or not, and closed.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Protocol, get_type_hints

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class RtpFormat:
    """What a payload type means (RFC 3551, RFC 3190, RFC 7587): encoding "PCMU", "PCMA", "L16", "G722" or "opus";
    clock_rate in Hz as SDP says it (8000 for G722); fmtp: the parameters of whoever receives it."""

    encoding: str
    clock_rate: int
    payload_type: int
    fmtp: str = ""


@dataclass(frozen=True, slots=True)
class SrtpKeys:
    """SRTP of one leg (RFC 3711, RFC 7714). profile: "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32",
    "AEAD_AES_128_GCM" or "AEAD_AES_256_GCM"; rx, tx: master key and master salt joined, of what comes and what goes. No
    repr, hence no log, shows them."""

    profile: str
    rx: bytes = field(repr=False)
    tx: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class IceCredentials:
    """Our user name fragment and password of a leg on the shared port (RFC 8445 section 5.3)."""

    ufrag: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class WebRtcTerms:
    """What a leg on the shared port has agreed on. ice: ours, as told to the peer, new ones after an ICE restart;
    remote_ufrag: the peer's; dtls_role: ours, "server" (setup:passive) or "client"; fingerprints: (algorithm, value)
    pairs of which the peer's certificate must match one (RFC 8122 section 5). The last two are the front's business."""

    ice: IceCredentials
    remote_ufrag: str
    dtls_role: str
    fingerprints: tuple[tuple[str, str], ...]


# --- commands --------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class OpenLeg:
    """Bind a port pair for a leg on the given local address ("0.0.0.0", "::", "127.0.0.1"). LegOpened or LegFailed
    follows. cname: RTCP's name for our end. room: the one that the leg is for and may be placed in later, so that it is
    opened where that room lives; None: none.

    ice: the leg may also be reached on the shared port under these credentials: connectivity checks that name them are
    answered from now on. own_ports: False where it is reached there only and needs no pair. A leg that rings several
    telephones may have both until ConnectLeg tells which it is."""

    leg: int
    address: str
    cname: str
    room: int | None = None
    ice: IceCredentials | None = None
    own_ports: bool = True


@dataclass(frozen=True, slots=True)
class ConnectLeg:
    """Tell a leg its peer and format; again on every new offer and answer.

    remote, remote_rtcp: the signalled addresses; None: send nothing until media arrives (offered 0.0.0.0).
    signalling_host: where the signalling came from, the only other place that latching may choose.
    direction: ours, "sendrecv", "sendonly", "recvonly" or "inactive". rx_formats: what the peer may send;
    tx_format: what we send. tx_formats: each of rx_formats as we would send it, if the peer may change over as it likes
    (RFC 3264 section 7): then we follow it; none: what is not of tx_format's kind is not heard. telephone_event:
    payload type, or None: then digits are listened for in the voice. ptime_ms: of what we send, 20.
    trusted: the peer is a trunk, whose media may come from and go to anywhere it says; to anybody else's address that
    is not where the signalling came from only a little is sent until something comes back (media.unproven).
    srtp: keys that the signalling brought (RFC 4568): nothing in the clear is sent or taken. webrtc: the leg lives on
    the shared port, its addresses are those of its checked pair, and nothing but checks and handshakes passes before
    SecureLeg. audio_level: id of the header extension that tells the peer's level (RFC 6464), None: not agreed on.
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
    srtp: SrtpKeys | None = None
    webrtc: WebRtcTerms | None = None
    audio_level: int | None = None
    tx_formats: tuple[RtpFormat, ...] = ()


@dataclass(frozen=True, slots=True)
class SecureLeg:
    """The keys that a leg's DTLS handshake has given (RFC 5764)."""

    leg: int
    keys: SrtpKeys


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
    OpenLeg | ConnectLeg | SecureLeg | CloseLeg | PlaceLeg | MuteLeg | TreatLeg | PlayToLeg | StopLegPlayback
    | PlayToRoom
)


# --- events ----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class LegOpened:
    """The leg's RTP port is bound (RTCP is the next port); 0: it has none of its own. shared_port: where it is reached
    by its ICE credentials; 0: nowhere."""

    leg: int
    port: int
    shared_port: int = 0


@dataclass(frozen=True, slots=True)
class LegFailed:
    """No port, no room: the call cannot be served (503). by_peer: nothing is wrong, the peer has taken its leave."""

    leg: int
    reason: str
    by_peer: bool = False


@dataclass(frozen=True, slots=True)
class PairChosen:
    """A leg on the shared port has a checked pair: this is its peer's address, where handshakes go from now on."""

    leg: int
    address: Address


@dataclass(frozen=True, slots=True)
class DtlsReceived:
    """A DTLS datagram (RFC 7983) from the checked pair of a leg on the shared port."""

    leg: int
    data: bytes


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
    """Every two seconds for each leg, many legs in one message. columns: what LegReport says, field by field of all
    legs, as doubles of this machine: to write 250 legs' as text costs a tick two milliseconds."""

    columns: bytes = field(repr=False)

    @classmethod
    def of(cls, *reports: LegReport) -> "LegReports":
        """These reports in one message."""
        return cls(array("d", [value for name in _REPORTED for value in map(attrgetter(name), reports)]).tobytes())

    def each(self) -> Iterator[LegReport]:
        """The report of every leg."""
        values = array("d", self.columns)
        legs = len(values) // len(_REPORTED)
        columns = [values[first : first + legs] for first in range(0, len(values), legs or 1)]
        numbers = [column if _REPORTED[name] is float else map(int, column)
                   for name, column in zip(_REPORTED, columns, strict=False)]
        return map(LegReport, *numbers) if numbers else iter(())


_REPORTED = get_type_hints(LegReport)
"""Field -> int or float."""


@dataclass(frozen=True, slots=True)
class PlaneReport:
    """Once a second: how the tick does. late_ticks counts starts more than 5 ms after they were due; busy_ms is the
    processor time of a tick, its mean. capacity: legs that ports and open files allow, 0: not known. worker: whose.

    What went wrong in that second: datagrams to the shared port that are no leg's, and those over what one leg may
    bring to a tick; connectivity checks that were not answered; packets that SRTP refused; payloads without sound;
    writes that the network refused."""

    legs: int
    ticks: int
    late_ticks: int
    skipped_ticks: int
    busy_ms: float
    capacity: int = 0
    worker: int = 0
    strangers: int = 0
    excess: int = 0
    checks_refused: int = 0
    srtp_failures: int = 0
    malformed: int = 0
    send_errors: int = 0


Event = (
    LegOpened | LegFailed | PairChosen | DtlsReceived | DigitReceived | PlaybackEnded | TalkingChanged | GuardChanged
    | LegSilent | LegReports | PlaneReport
)


class Media(Protocol):
    """What the switchboard needs of any plane."""

    def send(self, command: Command) -> None:
        """Queue a command; it takes effect at the top of a coming tick, in order."""

    def take_events(self) -> list[Event]:
        """Everything that happened since the last call, in order."""

    def together(self, leg: int, other: int) -> bool:
        """Whether two open legs can be placed in one room: a leg stays in the worker where it was opened."""

    def move(self, leg: int, room: int) -> bool:
        """Have an open leg be for another room than it was opened for, at once; False where that room lives in another
        worker than the leg: then nothing has changed."""
