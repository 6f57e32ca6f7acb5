"""A line: one call as its two halves, the SIP session(s) and the media leg, and how the one is told of the other.

What lives here: offers read, answers written, keys and credentials made for them, the leg connected to what was agreed.
What does not: how a line is found (lines), how it is opened and ended (patchbay), and which event goes where
(switchboard).
"""

import logging
import random
import re
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from sipconf.conference.commands import CallOut
from sipconf.errors import MisuseError
from sipconf.media import protocol as media
from sipconf.media.keypress import KeyPresses
from sipconf.sip import crypto_sdp, webrtc_sdp
from sipconf.sip.flow import Flow
from sipconf.sip.offer import (
    PLAIN_ONLY,
    Capabilities,
    Credentials,
    Format,
    Kind,
    LocalMedia,
    Negotiated,
    OfferError,
    Protection,
    choose,
    make_answer,
    make_offer,
    read_answer,
)
from sipconf.sip.registrar import Binding

log = logging.getLogger(__name__)

_FOUND = {"hold music": "hold music", "echo": "an echo of the others"}
_NUMBER = re.compile(r"\+?[0-9]{1,24}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Offered:
    """An offer of ours that waits for its answer, and our end as it describes it. others: what else may be offered to
    the telephone, should it refuse, and binding: where that is."""

    text: bytes = field(repr=False)  # keys may stand in it
    local: LocalMedia
    others: tuple[Kind, ...] = ()
    binding: Binding | None = None


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
    ringing one per telephone rung; in their order, so that the same events have the same effects. `offers`: what each
    telephone rung was offered. `flow`: the one that media follows. `call_id`: how log lines name it."""

    call: str
    leg: int
    stage: Stage
    sessions: dict[str, Flow]
    flow: Flow
    call_id: str = ""
    began: float = 0.0                  # monotonic seconds
    negotiated: Negotiated | None = None
    local: LocalMedia | None = None
    made_offer: Offered | None = None   # ours, waiting for its answer
    offers: dict[str, Offered] = field(default_factory=dict)
    ice: Credentials | None = None      # of the leg, as it was opened
    shared_port: int = 0                # where it is reached by them
    protection: Protection = PLAIN_ONLY
    opened: bool = False                # the media plane knows the leg
    held: bool = False
    trunk: bool = False                 # it came from a trunk, whose media may be anywhere
    talking: bool = False
    calling: CallOut | None = None      # whom an outgoing call rings
    room: str | None = None             # the one it is for, from the opening of its leg on
    inside: bool = False                # it is in that room's mix
    failures: list[tuple[int, str]] = field(default_factory=list)
    presses: KeyPresses = field(default_factory=KeyPresses)

    def log_end(self, reason: str, now: float) -> None:
        """One line about the call's end; reason is of our own words."""
        answered = "" if self.stage in (Stage.ANSWERED, Stage.CONNECTED) else ", not answered"
        log.info("call over after %.1f s%s: %s", now - self.began, answered, reason, extra={"call": self.call_id})

    def log_guard(self, reason: str | None) -> None:
        """One line about a voice that a guard takes out of the room, or lets be heard again."""
        if reason is None:
            log.info("heard in the room again", extra={"call": self.call_id})
        else:
            log.info("taken out of the room's sound: the line plays %s into it", _FOUND[reason],
                     extra={"call": self.call_id})

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

    @property
    def failure(self) -> tuple[int, str]:
        """The most telling answer of several telephones: a person's refusal over a machine's (RFC 3261 section 16.7
        step 6)."""
        return max(self.failures, key=lambda failure: (failure[0] >= 600, failure[0] in (486, 480), failure[0] != 408))

    def describe_offer(self, capabilities: Capabilities, rng: random.Random, kinds: tuple[Kind, ...] = ()) -> Offered:
        """Write our own offer for the opened leg, and remember it for the answer. kinds: of the offer, and what may be
        tried after it; none: as the call is already. rng: fit for keys."""
        assert self.local is not None
        kind, *others = kinds or (Kind.PLAIN if self.negotiated is None else self.negotiated.kind,)
        if kind is not Kind.SDES:
            self.local = replace(self.local, crypto=())
        elif kinds or not self.local.crypto:  # no two telephones rung have the same keys
            self.local = replace(self.local, crypto=crypto_sdp.fresh_of_all(rng))
        text = make_offer(capabilities, self.local, kind=kind)
        self.made_offer = Offered(text, self.local, tuple(others))
        return self.made_offer

    def read_offer(self, offer: bytes, capabilities: Capabilities) -> None:
        """Choose from a peer's offer. Raises OfferError (488, 400); then all is as before."""
        self.negotiated = choose(offer, capabilities, self.negotiated, self.protection)

    def write_answer(self, rng: random.Random, before: Negotiated | None = None) -> bytes:
        """The answer to the offer that was read. before: what was agreed until then; its keys and credentials go on as
        long as the peer's do. rng: fit for keys."""
        assert self.local is not None and self.negotiated is not None
        self._renew(before, rng)
        return make_answer(self.negotiated, self.local)

    def _renew(self, before: Negotiated | None, rng: random.Random) -> None:
        """New keys of ours for a peer with new ones: it may be another telephone (RFC 4568 section 7.1.4), and no two
        may have the same. New credentials after an ICE restart (RFC 8839 section 4.4.1.1.1)."""
        agreed = self.negotiated
        assert self.local is not None and agreed is not None
        theirs, browser = agreed.crypto, agreed.webrtc
        old, was = (None, None) if before is None else (before.crypto, before.webrtc)
        if theirs is None:
            self.local = replace(self.local, crypto=())
        elif old is not None and (old.suite, old.key) == (theirs.suite, theirs.key):
            ours = next(each for each in self.local.crypto if each.suite == theirs.suite)
            self.local = replace(self.local, crypto=(replace(ours, tag=theirs.tag),))
        else:
            self.local = replace(self.local, crypto=(crypto_sdp.fresh(theirs.suite, theirs.tag, rng),))
        if browser is not None and was is not None and was.ice != browser.ice:
            self.local = replace(self.local, ice=webrtc_sdp.fresh_credentials(rng))

    def take_answer(self, answer: bytes, capabilities: Capabilities) -> None:
        """Read the answer to our own offer; to one that offered what is agreed (a refresh) it is read like an offer,
        under whose payload types we agreed. Raises OfferError."""
        if self.made_offer is None:
            before = self.negotiated
            self.read_offer(answer, capabilities)
            if self._lacks_key():
                self.negotiated = before
                raise OfferError("the answer has another SRTP suite than the offer")
            return
        self.negotiated = read_answer(capabilities, self.made_offer.text, answer)
        self.local, self.made_offer = self.made_offer.local, None

    def _lacks_key(self) -> bool:
        theirs = None if self.negotiated is None else self.negotiated.crypto
        ours = () if self.local is None else self.local.crypto
        return theirs is not None and all(each.suite != theirs.suite for each in ours)

    def answer_again(self, offer: bytes | None, capabilities: Capabilities, rng: random.Random) -> bytes:
        """What to say to a peer's new offer, or to its wish for one of ours (None), in a running call. Raises
        OfferError; then all is as before."""
        before = self.negotiated
        if offer is not None:
            self.read_offer(offer, capabilities)
        assert self.local is not None
        self.local = replace(self.local, version=self.local.version + 1)  # RFC 3264 section 8
        return self.describe_offer(capabilities, rng).text if offer is None else self.write_answer(rng, before)

    def connection(self) -> media.ConnectLeg:
        """The command that tells the media leg what was agreed. Raises MisuseError before a call that is to be
        encrypted would go on in the clear."""
        agreed = self.negotiated
        assert agreed is not None
        srtp, webrtc = self._srtp(), self._webrtc()
        if agreed.kind is not Kind.PLAIN and srtp is None and webrtc is None:
            raise MisuseError("an encrypted call has neither keys nor a certificate")
        return media.ConnectLeg(
            leg=self.leg,
            remote=agreed.remote,
            remote_rtcp=agreed.remote_rtcp,
            signalling_host=self.flow.remote[0],
            rx_formats=tuple(map(_rtp_format, agreed.rx_formats)),
            tx_format=_rtp_format(agreed.tx_format),
            telephone_event=agreed.telephone_event_rx,
            rtcp_mux=agreed.rtcp_mux,
            direction=agreed.direction,
            ptime_ms=20,
            trusted=self.trunk,
            srtp=srtp,
            webrtc=webrtc,
            audio_level=agreed.audio_level,
            tx_formats=tuple(map(_rtp_format, agreed.tx_formats)),
        )

    def _srtp(self) -> media.SrtpKeys | None:
        assert self.negotiated is not None and self.local is not None
        theirs = self.negotiated.crypto
        if theirs is None:
            return None
        ours = next(each for each in self.local.crypto if each.suite == theirs.suite)
        return media.SrtpKeys(theirs.suite, rx=theirs.key, tx=ours.key)

    def _webrtc(self) -> media.WebRtcTerms | None:
        assert self.negotiated is not None and self.local is not None
        browser, ours = self.negotiated.webrtc, self.local.ice
        if browser is None or ours is None:
            return None
        role = "server" if browser.setup == "passive" else "client"  # RFC 5763 section 5: the active side begins
        return media.WebRtcTerms(media.IceCredentials(ours.ufrag, ours.password), browser.ice.ufrag, role,
                                 browser.fingerprints)


def _rtp_format(chosen: Format) -> media.RtpFormat:
    return media.RtpFormat(chosen.encoding, chosen.clock_rate, chosen.payload_type, chosen.fmtp)


def number_for_log(dialled: str) -> str:
    """What was dialled as far as it can be no access code: the number in front; the rest is only hinted at."""
    number = _NUMBER.match(dialled)
    shown = number[0] if number else ""
    return shown if shown == dialled else shown + "..."
