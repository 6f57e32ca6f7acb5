"""Lines opened, connected to their media and ended: what calls that come in and calls that go out have in common.

Which event leads to which of these acts is for `switchboard` and `outgoing`.
"""

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from sipconf.conference import commands as do
from sipconf.conference import events as fact
from sipconf.conference.service import ConferenceService
from sipconf.line import Line
from sipconf.lines import Lines
from sipconf.media import protocol as media
from sipconf.signalling import Signalling
from sipconf.sip import webrtc_sdp
from sipconf.sip.flow import Flow
from sipconf.sip.offer import Capabilities, Kind, LocalMedia, OfferError, Protection

log = logging.getLogger(__name__)

BROWSER_TRANSPORTS = ("ws", "wss")
PRIVATE_TRANSPORTS = ("tls", "wss")
JOIN_TRANSPORTS = ("http", "https")
APART = "These two calls cannot be put together; transfer without asking first"
FAR = "The other one cannot be put through to this conference from here; please let them dial it"
"""Their media live in different workers."""
IN_THE_CLEAR = "This conference takes encrypted calls only, and the other one's call is not encrypted"


def _nowhere(flow: Flow) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class Settings:
    """domain: our host part. media_address: where a peer reached by this flow should send its RTP. peers: names of
    trunks that are the company's own PBX. max_calls: lines at once. media_candidates: every address at which a browser
    behind this flow may find us, the best first. fingerprint: algorithm and value of the certificate that our DTLS
    shows; None: no calls from browsers. encrypted: no call is taken in the clear."""

    domain: str
    capabilities: Capabilities
    media_address: Callable[[Flow], str]
    peers: frozenset[str] = frozenset()
    max_calls: int = 4000
    media_candidates: Callable[[Flow], tuple[str, ...]] = _nowhere
    fingerprint: Callable[[], tuple[str, str]] | None = None
    encrypted: bool = False

    def protection(self, flow: Flow, encrypted: bool = False) -> Protection:
        """What a call by this flow may have. encrypted: its room takes nothing less. Who has come by the join page has
        proven nothing, and a leg that sends only to a checked pair can be aimed at nobody."""
        plain = not (self.encrypted or encrypted or flow.transport in JOIN_TRANSPORTS)
        return Protection(plain=plain, sdes=flow.transport in PRIVATE_TRANSPORTS,
                          webrtc=self.fingerprint is not None)

    def kinds(self, flow: Flow, encrypted: bool = False) -> tuple[Kind, ...]:
        """What to offer a telephone at this flow, the first first, the others should it refuse; none: it cannot be
        called.

        A WebSocket has a browser at its end. Over TLS SRTP is offered alone, and plain RTP only to a telephone that
        refuses it: two m= lines in one offer confuse telephones more than being asked twice does.
        """
        may = self.protection(flow, encrypted)
        if flow.transport in BROWSER_TRANSPORTS:
            return (Kind.WEBRTC,) if may.webrtc else ()
        plain = (Kind.PLAIN,) if may.plain else ()
        return (Kind.SDES, *plain) if may.sdes else plain


class Patchbay:
    """All lines, and the acts on them."""

    def __init__(self, agent: Signalling, conferences: ConferenceService, plane: media.Media, settings: Settings,
                 rng: random.Random) -> None:
        """rng: fit for keys."""
        self._agent = agent
        self._conferences = conferences
        self._plane = plane
        self.settings = settings
        self.rng = rng
        self.lines = Lines()

    def open(self, line: Line, room: str, flows: tuple[Flow, ...], kinds: frozenset[Kind]) -> None:
        """Have the media plane open a leg that can be reached in each of the kinds, from all of the flows."""
        line.opened = True
        anywhere = "::" if any(":" in flow.remote[0] for flow in flows) else "0.0.0.0"
        cname = f"{self.rng.getrandbits(64):016x}@{self.settings.domain}"
        ice = None
        if Kind.WEBRTC in kinds:
            line.ice = webrtc_sdp.fresh_credentials(self.rng)
            ice = media.IceCredentials(line.ice.ufrag, line.ice.password)
        self._plane.send(media.OpenLeg(line.leg, anywhere, cname, self.lines.book(line, room), ice,
                                       own_ports=kinds != {Kind.WEBRTC}))

    def opened(self, line: Line, event: media.LegOpened) -> None:
        """The leg is open: our end of it, as the telephone at the line's flow sees it."""
        # Everything on one port: RTCP is on it too.
        rtcp_port = event.port if event.port == event.shared_port else event.port + 1
        line.shared_port = event.shared_port
        line.local = LocalMedia("", event.port, rtcp_port, self.rng.getrandbits(62), 1, ice=line.ice)
        self.locate(line)

    def locate(self, line: Line) -> None:
        """Show the telephone at the line's flow the addresses of ours that it can reach."""
        assert line.local is not None
        settings, flow = self.settings, line.flow
        line.local = replace(line.local, address=settings.media_address(flow))
        if line.ice is not None and settings.fingerprint is not None:
            line.local = replace(
                line.local, fingerprint=settings.fingerprint(),
                candidates=tuple((host, line.shared_port) for host in settings.media_candidates(flow)))

    def agree(self, line: Line, answer: bytes | None, now: float) -> bool:
        """Take the answer to our offer; False where it is none that a call can live on."""
        try:
            if answer is None:
                raise OfferError("no answer to our offer")
            line.take_answer(answer, self.settings.capabilities)
        except OfferError as error:
            self.end(line, error.reason, now)
            return False
        self.connect(line, now)
        return True

    def connect(self, line: Line, now: float) -> None:
        """Tell the leg what was agreed, and the conference what that means to people."""
        assert line.negotiated is not None
        self._plane.send(line.connection())
        self._conferences.describe_call(line.call, codec=line.codec, transport=line.flow.transport)
        # A telephone that takes nothing from us has put us on hold (RFC 3264 section 8.4).
        held = line.negotiated.direction in ("recvonly", "inactive")
        if held != line.held:
            line.held = held
            self._conferences.receive(fact.HoldChanged(line.call, held), now)

    def move(self, line: Line, command: do.MoveCall, now: float) -> None:
        """Have a call that is up be for another room, as encrypted as that asks for; or tell who asked for it why that
        cannot be, and leave all as it is."""
        assert line.negotiated is not None
        protection = self.settings.protection(line.flow, command.encrypted)
        if line.negotiated.kind is Kind.PLAIN and not protection.plain:
            self._refuse_move(command, 488, IN_THE_CLEAR, now)
        elif not self._plane.move(line.leg, self.lines.number(command.room)):
            self._refuse_move(command, 503, FAR, now)
        else:
            log.info("put through to %s", command.room, extra={"call": line.call_id})
            line.protection = protection
            self.lines.book(line, command.room)
            self._conferences.receive(fact.CallMoved(line.call, command.room, command.asked), now)

    def _refuse_move(self, command: do.MoveCall, status: int, reason: str, now: float) -> None:
        asked = command.asked
        if (line := self.lines.of_call(asked.call)) is not None:
            self.report_referral(line, do.ReportReferral(line.call, asked.referral, status, reason), now)

    def report_referral(self, line: Line, command: do.ReportReferral, now: float) -> None:
        """Tell a call's telephone how a transfer that it has asked for fares."""
        for session in line.sessions:
            self._agent.report_referral(session, command.referral, command.status, command.reason, now)

    def end(self, line: Line, reason: str, now: float) -> None:
        """The call is over: tell whoever does not know it yet."""
        self.drop_sessions(line, reason, now)
        self.forget(line, reason, now)
        self._conferences.receive(fact.CallOver(line.call, reason), now)

    def drop_sessions(self, line: Line, reason: str, now: float) -> None:
        """End every session of a line, as it must be ended in its state. What has ended already ignores it."""
        for session in list(line.sessions):
            self.lines.remove_session(line, session)
            self._agent.hang_up(session, now, reason=reason)

    def forget(self, line: Line, reason: str, now: float) -> None:
        """Nothing of the line is left."""
        line.log_end(reason, now)
        if line.opened:
            self._plane.send(media.CloseLeg(line.leg))
        self.lines.close(line)
