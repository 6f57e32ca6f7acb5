"""A line: one call as its two halves, the SIP session(s) and the media leg, and how the one is told of the other.

What lives here: offers read, answers written, the leg opened and connected to what was agreed. What does not: who may
call and what happens in a room (conference/), and which event goes where (switchboard).
"""

from dataclasses import dataclass, field, replace
from enum import Enum, auto

from sipconf.conference.commands import CallOut
from sipconf.media import protocol as media
from sipconf.media.keypress import KeyPresses
from sipconf.sip import offer as sdp_offer
from sipconf.sip.flow import Flow


class Stage(Enum):
    """How far a line has come."""

    ARRIVED = auto()    # an INVITE waits for the conference's decision
    OPENING = auto()    # answered by the conference; the media leg is being opened
    CALLING = auto()    # we ring somebody
    ANSWERED = auto()   # 200 sent or received, not yet confirmed to the conference
    CONNECTED = auto()  # the conference has been told


@dataclass(slots=True)
class Line:
    """One call. `sessions` are the SIP sessions that stand for it, each with the flow it goes by: one, or while
    ringing one per telephone rung; in their order, so that the same events have the same effects. `flow`: the one that
    media follows. `call_id`: how log lines name it."""

    call: str
    leg: int
    stage: Stage
    sessions: dict[str, Flow]
    flow: Flow | None = None
    call_id: str = ""
    negotiated: sdp_offer.Negotiated | None = None
    local: sdp_offer.LocalMedia | None = None
    made_offer: bytes | None = None     # ours, waiting for its answer
    opened: bool = False                # the media plane knows the leg
    held: bool = False
    rung: bool = False
    talking: bool = False
    calling: CallOut | None = None      # whom an outgoing call rings
    room: str | None = None
    failures: list[tuple[int, str]] = field(default_factory=list)
    presses: KeyPresses = field(default_factory=KeyPresses)
    report: media.LegReport | None = None

    @property
    def session(self) -> str:
        """The one session of an answered or incoming call."""
        (session,) = self.sessions
        return session

    @property
    def codec(self) -> str:
        """What we send, for people: "PCMU", "L16/16000"."""
        if self.negotiated is None:
            return ""
        sent = self.negotiated.tx_format
        return sent.encoding if sent.clock_rate == 8000 else f"{sent.encoding}/{sent.clock_rate}"

    def describe_offer(self, capabilities: sdp_offer.Capabilities) -> bytes:
        """Write our own offer for the opened leg, and remember it for the answer."""
        assert self.local is not None
        self.made_offer = sdp_offer.make_offer(capabilities, self.local)
        return self.made_offer

    def read_offer(self, offer: bytes, capabilities: sdp_offer.Capabilities) -> None:
        """Choose from a peer's offer. Raises OfferError (488, 400); then all is as before."""
        self.negotiated = sdp_offer.choose(offer, capabilities)

    def write_answer(self) -> bytes:
        """The answer to the offer that was read."""
        assert self.local is not None and self.negotiated is not None
        return sdp_offer.make_answer(self.negotiated, self.local)

    def take_answer(self, answer: bytes, capabilities: sdp_offer.Capabilities) -> None:
        """Read the answer to our own offer. Raises OfferError."""
        assert self.made_offer is not None
        self.negotiated = sdp_offer.read_answer(capabilities, self.made_offer, answer)
        self.made_offer = None

    def next_version(self) -> None:
        """A new offer or answer in the same session has a version one higher (RFC 3264 section 8)."""
        assert self.local is not None
        self.local = replace(self.local, version=self.local.version + 1)

    def connection(self) -> media.ConnectLeg:
        """The command that tells the media leg what was agreed."""
        agreed = self.negotiated
        assert agreed is not None and self.flow is not None

        def rtp_format(chosen: sdp_offer.Format) -> media.RtpFormat:
            return media.RtpFormat(chosen.encoding, chosen.clock_rate, chosen.payload_type)

        return media.ConnectLeg(
            leg=self.leg,
            remote=agreed.remote,
            remote_rtcp=agreed.remote_rtcp,
            signalling_host=self.flow.remote[0],
            rx_formats=tuple(rtp_format(each) for each in agreed.rx_formats),
            tx_format=rtp_format(agreed.tx_format),
            telephone_event=agreed.telephone_event_rx,
            rtcp_mux=agreed.rtcp_mux,
            direction=agreed.direction,
            ptime_ms=20,
        )
