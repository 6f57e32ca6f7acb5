"""What offer and answer speak of: formats, what we are capable of, our end of a stream, and what was agreed.

Nouns only. How they are read and written: `offer`, `answer`, and the rooms named after what they read: `audio_sdp`,
`crypto_sdp`, `webrtc_sdp`.
"""

from dataclasses import dataclass, field
from enum import Enum

from sipconf.errors import PeerError
from sipconf.sip.sdp import Media, SessionDescription
from sipconf.sip.tokens import MalformedMessage

NO_STREAM = -1  # media_index of an agreement to send nothing for now


class OfferError(PeerError):
    """An offer or answer that we cannot take, with a reason for people."""

    def __init__(self, reason: str, *, status: int = 488) -> None:
        super().__init__(reason, status=status, metric="offer_refused")


class Kind(Enum):
    """How a stream's packets travel: in the clear, as SRTP with keys in the description (SDES, RFC 4568), or as a
    browser's (ICE, DTLS-SRTP, RFC 5763)."""

    PLAIN = "plain"
    SDES = "sdes"
    WEBRTC = "webrtc"


@dataclass(frozen=True, slots=True)
class Protection:
    """Which kinds a call may have. plain: False where encryption is required. sdes: its description travels where
    nobody reads along (TLS, WSS). webrtc: we have a certificate and a port for it."""

    plain: bool = True
    sdes: bool = False
    webrtc: bool = False


PLAIN_ONLY = Protection()


@dataclass(frozen=True, slots=True)
class Format:
    """One codec under one payload type. clock_rate in Hz as rtpmap says (8000 for G722); fmtp without the type."""

    encoding: str
    clock_rate: int
    payload_type: int
    fmtp: str = ""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What we speak, in our order of preference. prefer_ours: our order decides, not the offer's."""

    formats: tuple[Format, ...]
    telephone_event: bool = True
    ptime_ms: int = 20
    prefer_ours: bool = False


@dataclass(frozen=True, slots=True)
class Crypto:
    """One a=crypto line (RFC 4568 section 9.1). key: of what its writer sends, master key and master salt joined."""

    tag: int
    suite: str
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Credentials:
    """User name fragment and password of one side (RFC 8839 section 5.4)."""

    ufrag: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class WebRtc:
    """The other end of a browser's stream. ice: its credentials. fingerprints: (algorithm, value) of certificates, one
    of which it must show. setup: our part of the DTLS handshake, "passive" or "active". bundled: it bundles (RFC 9143).
    """

    ice: Credentials
    fingerprints: tuple[tuple[str, str], ...]
    setup: str
    bundled: bool


@dataclass(frozen=True, slots=True)
class LocalMedia:
    """Our end of a leg as the peer is to see it, and the o= line's numbers. version grows by one with every change.

    crypto: our keys, of each suite that we offer or of the one that was chosen. For a browser: ice, the candidates
    where we listen, the best first, and the fingerprint (algorithm, value) of our certificate.
    """

    address: str
    port: int
    rtcp_port: int
    session_id: int
    version: int
    crypto: tuple[Crypto, ...] = ()
    ice: Credentials | None = None
    candidates: tuple[tuple[str, int], ...] = ()
    fingerprint: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Negotiated:
    """What was agreed.

    remote, remote_rtcp: where to send; None while the peer named no address that packets can go to (hold by
    0.0.0.0, a host name), and for browsers, whose address ICE finds. rx_formats: what may arrive, under the payload
    types that it arrives with, fmtp ours. tx_format: what we send, fmtp the peer's; tx_formats: after an
    answer to our offer each of rx_formats as we may send it, else none. telephone_event: the peer's payload type of
    digits, at telephone_event_clock Hz; telephone_event_rx: the one under which digits arrive (the same, save
    where an answer renumbers our offer). direction is ours. ptime_ms: packet length that the peer asks for, 10 to 60.
    offer_media, media_index: the m= sections answered and which of them is the call, or NO_STREAM (for `make_answer`).
    crypto: the peer's line that was chosen; webrtc: the browser's end; at most one of them. audio_level: id of the
    header extension of RFC 6464, None: not agreed on.
    """

    remote: tuple[str, int] | None
    remote_rtcp: tuple[str, int] | None
    rx_formats: tuple[Format, ...]
    tx_format: Format
    telephone_event: int | None
    rtcp_mux: bool
    direction: str
    ptime_ms: int
    offer_media: tuple[Media, ...] = field(repr=False)  # keys may stand in it
    media_index: int = 0
    telephone_event_clock: int = 8000
    telephone_event_rx: int | None = None
    crypto: Crypto | None = None
    webrtc: WebRtc | None = None
    audio_level: int | None = None
    tx_formats: tuple[Format, ...] = ()

    @property
    def kind(self) -> Kind:
        """How the packets travel."""
        if self.webrtc is not None:
            return Kind.WEBRTC
        return Kind.PLAIN if self.crypto is None else Kind.SDES


def parse(data: bytes) -> SessionDescription:
    """Raises OfferError for text that is no session description."""
    try:
        return SessionDescription.parse(data)
    except MalformedMessage as fault:
        raise OfferError(fault.reason, status=fault.status) from fault
