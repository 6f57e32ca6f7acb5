"""The one small room where SIP sessions, conferences and media meet.

Events of each are translated into words of the others and nothing more is decided here: who may call is decided in
`sip` (identity) and `conference` (rooms and codes), what is spoken in `sip.offer`, what is heard in `media`.
Sans-IO like the floors below: time is an argument, outputs are taken.
"""

import logging
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from sipconf.conference import commands as do
from sipconf.conference import events as fact
from sipconf.conference.service import ConferenceService
from sipconf.line import Line, Stage
from sipconf.media import protocol as media
from sipconf.sip import dtmf_info
from sipconf.sip import events as sip
from sipconf.sip.agent import UserAgent
from sipconf.sip.flow import Flow
from sipconf.sip.offer import Capabilities, LocalMedia, OfferError
from sipconf.sip.registrar import Registrar
from sipconf.sip.uri import SipUri

log = logging.getLogger(__name__)

NO_LINE_FREE = "All lines are busy, please try again in a moment"


@dataclass(frozen=True, slots=True)
class Settings:
    """domain: our host part. media_address: where a peer reached by this flow should send its RTP. peers: names of
    trunks that are the company's own PBX. max_calls: lines at once."""

    domain: str
    capabilities: Capabilities
    media_address: Callable[[Flow], str]
    peers: frozenset[str] = frozenset()
    max_calls: int = 4000


class Switchboard:
    """Connects the SIP user agent, the conference service and a media plane."""

    def __init__(self, agent: UserAgent, registrar: Registrar, conferences: ConferenceService, plane: media.Media,
                 settings: Settings, rng: random.Random) -> None:
        self._agent = agent
        self._registrar = registrar
        self._conferences = conferences
        self._plane = plane
        self.settings = settings
        self._rng = rng
        self._lines: dict[str, Line] = {}           # by call
        self._by_session: dict[str, Line] = {}
        self._by_leg: dict[int, Line] = {}
        self._rooms: dict[str, int] = {}
        self._next_leg = 1
        self._next_room = 1
        self._published: list[do.Publish] = []
        self._stopping = False
        self.counters: dict[str, int] = {}
        self.plane_report: media.PlaneReport | None = None

    # --- doors -------------------------------------------------------------------------------------------------------
    def receive_sip(self, events: Iterable[sip.CallEvent], now: float) -> None:
        """Take what the user agent reports."""
        for event in events:
            handler = self._SIP.get(type(event))
            if handler is not None:
                handler(self, event, now)
        self._carry_out(now)

    def receive_media(self, events: Iterable[media.Event], now: float) -> None:
        """Take what the media plane reports."""
        for event in events:
            self._MEDIA[type(event)](self, event, now)
        self._carry_out(now)

    def handle_timer(self, now: float) -> None:
        """Let the conferences' timers run."""
        self._conferences.handle_timer(now)
        self._carry_out(now)

    def next_timer(self) -> float | None:
        """When `handle_timer` wants to be called."""
        return self._conferences.next_timer()

    def carry_out(self, now: float) -> None:
        """Do what the conferences asked for after they were used directly (console: mute, kick, lock)."""
        self._carry_out(now)

    def take_outputs(self) -> list[do.Publish]:
        """What is to be published since the last call."""
        taken, self._published = self._published, []
        return taken

    def hang_up_all(self, reason: str, now: float) -> None:
        """Say BYE to everyone and take no new call (the server stops)."""
        self._stopping = True
        for line in list(self._lines.values()):
            self._end(line, reason, now)
        self._carry_out(now)

    def set_peers(self, peers: frozenset[str]) -> None:
        """The configuration changed: these trunks are the company's own telephone systems."""
        self.settings = replace(self.settings, peers=peers)

    @property
    def lines(self) -> Iterable[Line]:
        """Every line there is."""
        return self._lines.values()

    # --- from SIP ----------------------------------------------------------------------------------------------------
    def _incoming(self, event: sip.IncomingCall, now: float) -> None:
        if self._stopping or len(self._lines) >= self.settings.max_calls:
            self._agent.reject(event.session, 503, NO_LINE_FREE, now, retry_after=30)
            return
        line = Line(event.session, self._next_leg, Stage.ARRIVED, {event.session: event.flow}, event.flow,
                    event.call_id)
        if event.offer is not None:
            try:
                line.read_offer(event.offer, self.settings.capabilities)
            except OfferError as error:
                # Before anybody is rung or counted for a call that can never be.
                self._agent.reject(event.session, error.status, error.reason, now)
                return
        self._add(line)
        from_trunk = event.identity.kind == "trunk"
        log.info("call from %s (%s %s) to %s", event.caller_number, event.identity.kind, event.identity.name,
                 _without_code(event.dialled), extra={"call": event.call_id})
        self._conferences.receive(fact.CallArrived(event.session, event.dialled, fact.Caller(
            number=event.caller_number, name=event.caller_name,
            user=None if from_trunk else event.identity.name,
            trunk=event.identity.name if from_trunk else None,
            source=event.flow.remote[0],
            peer=from_trunk and event.identity.name in self.settings.peers)), now)

    def _confirmed(self, event: sip.CallConfirmed, now: float) -> None:
        line = self._by_session.get(event.session)
        if line is None:
            return
        if line.made_offer is not None:
            if event.answer is None:
                self._end(line, "no answer to our offer in the ACK", now)
                return
            if not self._agree(line, event.answer, now):
                return
        if line.stage is Stage.ANSWERED:
            line.stage = Stage.CONNECTED
            self._conferences.receive(fact.CallConnected(line.call), now)

    def _reoffered(self, event: sip.Reoffered, now: float) -> None:
        line = self._by_session.get(event.session)
        if line is None or line.local is None:
            self._agent.refuse_reoffer(event.session, 488, "Media cannot change now", now)
            return
        if event.offer is None:
            line.next_version()
            self._agent.answer_reoffer(event.session, line.describe_offer(self.settings.capabilities), now)
            return
        try:
            line.read_offer(event.offer, self.settings.capabilities)
        except OfferError as error:
            self._agent.refuse_reoffer(event.session, error.status, error.reason, now)
            return
        line.next_version()
        self._connect(line, now)
        self._agent.answer_reoffer(event.session, line.write_answer(), now)

    def _info(self, event: sip.InfoReceived, now: float) -> None:
        line = self._by_session.get(event.session)
        digit = dtmf_info.read_digit(event.content_type, event.body)
        if line is not None and digit is not None and line.presses.is_new(digit, "info", now):
            self._conferences.receive(fact.DigitPressed(line.call, digit), now)

    def _progress(self, event: sip.CallProgress, now: float) -> None:
        line = self._by_session.get(event.session)
        if line is not None and event.status >= 180 and not line.rung:
            line.rung = True
            self._conferences.receive(fact.OutgoingRinging(line.call), now)

    def _answered(self, event: sip.CallAnswered, now: float) -> None:
        line = self._by_session.get(event.session)
        if line is None or line.stage is not Stage.CALLING:
            self._agent.hang_up(event.session, now, reason="answered elsewhere")
            return
        line.flow = line.sessions.pop(event.session)
        self._drop_sessions(line, "answered elsewhere", now)
        line.sessions = {event.session: line.flow}
        self._locate(line)
        line.stage = Stage.CONNECTED
        if event.answer is None:
            self._end(line, "answered without media", now)
        elif self._agree(line, event.answer, now):
            self._conferences.receive(fact.OutgoingAnswered(line.call), now)

    def _failed(self, event: sip.CallFailed, now: float) -> None:
        line = self._by_session.get(event.session)
        if line is None or line.stage is not Stage.CALLING:
            return
        del self._by_session[event.session], line.sessions[event.session]
        line.failures.append((event.status, event.reason))
        if line.sessions:
            return
        # The most telling answer of several telephones: a person's refusal over a machine's (RFC 3261 16.7 step 6).
        status, reason = max(line.failures, key=lambda failure: (failure[0] >= 600, failure[0] in (486, 480),
                                                                  failure[0] != 408))
        self._forget(line)
        self._conferences.receive(fact.OutgoingFailed(line.call, status, reason), now)

    def _over(self, event: sip.CallEnded | sip.CallCancelled, now: float) -> None:
        line = self._by_session.get(event.session)
        if line is not None:
            reason = "cancelled by the caller" if isinstance(event, sip.CallCancelled) else event.reason
            del self._by_session[event.session], line.sessions[event.session]
            self._end(line, reason, now)

    def _counted(self, event: sip.Counted, now: float) -> None:
        self.counters[event.metric] = self.counters.get(event.metric, 0) + 1

    # --- from media --------------------------------------------------------------------------------------------------
    def _leg_opened(self, event: media.LegOpened, now: float) -> None:
        line = self._by_leg.get(event.leg)
        if line is None or line.flow is None or line.local is not None:
            return
        line.local = LocalMedia(self.settings.media_address(line.flow), event.port, event.port + 1,
                                self._rng.getrandbits(62), 1)
        if line.stage is Stage.CALLING:
            self._ring_telephones(line, now)
            return
        if line.negotiated is None:
            answer = line.describe_offer(self.settings.capabilities)
        else:
            answer = line.write_answer()
            self._connect(line, now)
        line.stage = Stage.ANSWERED
        self._agent.answer(line.session, answer, now)

    def _leg_failed(self, event: media.LegFailed, now: float) -> None:
        line = self._by_leg.get(event.leg)
        if line is None:
            return
        log.warning("no media for a call: %s", event.reason, extra={"call": line.call_id})
        line.opened = False
        if line.stage is Stage.CALLING:
            self._drop_sessions(line, event.reason, now)
            self._forget(line)
            self._conferences.receive(fact.OutgoingFailed(line.call, 503, NO_LINE_FREE), now)
            return
        if line.stage is Stage.OPENING:
            self._agent.reject(line.session, 503, NO_LINE_FREE, now, retry_after=10)
        self._end(line, event.reason, now)

    def _digit(self, event: media.DigitReceived, now: float) -> None:
        line = self._by_leg.get(event.leg)
        if line is not None and line.presses.is_new(event.digit, "rtp", now):
            self._conferences.receive(fact.DigitPressed(line.call, event.digit), now)

    def _playback_ended(self, event: media.PlaybackEnded, now: float) -> None:
        line = self._by_leg.get(event.leg)
        if line is not None:
            self._conferences.receive(fact.PlaybackFinished(line.call, event.playback), now)

    def _talking(self, event: media.TalkingChanged, now: float) -> None:
        line = self._by_leg.get(event.leg)
        if line is not None:
            line.talking = event.talking
            self._conferences.receive(fact.SpeakingChanged(line.call, event.talking, event.level_db), now)

    def _leg_silent(self, event: media.LegSilent, now: float) -> None:
        line = self._by_leg.get(event.leg)
        if line is not None:
            self._end(line, "no media from the telephone", now)

    def _leg_report(self, event: media.LegReport, now: float) -> None:
        line = self._by_leg.get(event.leg)
        if line is not None:
            line.report = event
            self._conferences.receive(fact.SpeakingChanged(line.call, line.talking, event.level_db), now)

    def _plane_report(self, event: media.PlaneReport, now: float) -> None:
        self.plane_report = event

    # --- from conferences --------------------------------------------------------------------------------------------
    def _carry_out(self, now: float) -> None:
        while outputs := self._conferences.take_outputs():
            for command in outputs:
                if isinstance(command, do.Publish):
                    self._published.append(command)
                elif isinstance(command, do.CallOut):
                    self._call_out(command, now)
                elif isinstance(command, do.PlayToRoom):
                    # Its last line may have gone since this was said: then nobody is left to hear it.
                    if (room := self._rooms.get(command.room)) is not None:
                        self._plane.send(media.PlayToRoom(room, command.clips))
                elif (line := self._lines.get(command.call)) is not None:
                    self._COMMANDS[type(command)](self, line, command, now)

    def _ring(self, line: Line, command: do.Ring, now: float) -> None:
        self._agent.ring(line.session, now)

    def _answer(self, line: Line, command: do.Answer, now: float) -> None:
        line.stage = Stage.OPENING
        self._open(line)

    def _reject(self, line: Line, command: do.Reject, now: float) -> None:
        self._agent.reject(line.session, command.status, command.reason, now, retry_after=command.retry_after)
        self._forget(line)

    def _hang_up(self, line: Line, command: do.HangUp, now: float) -> None:
        self._end(line, command.reason, now)

    def _play(self, line: Line, command: do.Play, now: float) -> None:
        self._plane.send(media.PlayToLeg(line.leg, command.playback, command.clips, command.loop))

    def _stop_playing(self, line: Line, command: do.StopPlaying, now: float) -> None:
        self._plane.send(media.StopLegPlayback(line.leg))

    def _enter_room(self, line: Line, command: do.EnterRoom, now: float) -> None:
        number = self._room(command.room)
        if line.room != command.room:
            self._vacate(line)
            line.room = command.room
        self._plane.send(media.PlaceLeg(line.leg, number))

    def _leave_room(self, line: Line, command: do.LeaveRoom, now: float) -> None:
        self._vacate(line)
        self._plane.send(media.PlaceLeg(line.leg, None))

    def _set_muted(self, line: Line, command: do.SetMuted, now: float) -> None:
        self._plane.send(media.MuteLeg(line.leg, command.muted))

    def _call_out(self, command: do.CallOut, now: float) -> None:
        bindings = self._registrar.bindings(command.extension, now)
        if not bindings:
            self._conferences.receive(
                fact.OutgoingFailed(command.call, 480, f"Extension {command.extension} is not connected"), now)
            return
        # Where one telephone of several speaks IPv6, the leg's port takes both.
        flow = next((each.flow for each in bindings if ":" in each.flow.remote[0]), bindings[0].flow)
        line = Line(command.call, self._next_leg, Stage.CALLING, {}, flow, command.call)
        line.calling = command
        self._add(line)
        self._open(line)

    def _ring_telephones(self, line: Line, now: float) -> None:
        """Every telephone of the extension gets an offer with the address that it can reach; the first to answer has
        the call."""
        command = line.calling
        caller = SipUri("sip", command.caller_number, None, self.settings.domain, None, (), "")
        for binding in self._registrar.bindings(command.extension, now):
            line.flow = binding.flow
            self._locate(line)
            offer = line.describe_offer(self.settings.capabilities)
            session = self._agent.invite(target=binding.contact.uri, flow=binding.flow, from_uri=caller,
                                         from_name=command.caller_name, offer=offer, now=now)
            line.sessions[session] = binding.flow
            self._by_session[session] = line
        if not line.sessions:
            self._forget(line)
            self._conferences.receive(fact.OutgoingFailed(line.call, 480, "The telephone has gone"), now)

    # --- lines -------------------------------------------------------------------------------------------------------
    def _add(self, line: Line) -> None:
        self._next_leg += 1
        self._lines[line.call] = self._by_leg[line.leg] = line
        for session in line.sessions:
            self._by_session[session] = line

    def _locate(self, line: Line) -> None:
        """Show the telephone at the line's flow the address of ours that it can reach."""
        assert line.local is not None and line.flow is not None
        line.local = replace(line.local, address=self.settings.media_address(line.flow))

    def _open(self, line: Line) -> None:
        assert line.flow is not None
        line.opened = True
        anywhere = "::" if ":" in line.flow.remote[0] else "0.0.0.0"
        self._plane.send(media.OpenLeg(line.leg, anywhere, f"{self._rng.getrandbits(64):016x}@{self.settings.domain}"))

    def _agree(self, line: Line, answer: bytes, now: float) -> bool:
        try:
            line.take_answer(answer, self.settings.capabilities)
        except OfferError as error:
            self._end(line, error.reason, now)
            return False
        self._connect(line, now)
        return True

    def _connect(self, line: Line, now: float) -> None:
        self._plane.send(line.connection())
        self._conferences.describe_call(line.call, codec=line.codec, transport=line.flow.transport)
        # A telephone that takes nothing from us has put us on hold (RFC 3264 section 8.4).
        held = line.negotiated.direction in ("recvonly", "inactive")
        if held != line.held:
            line.held = held
            self._conferences.receive(fact.HoldChanged(line.call, held), now)

    def _end(self, line: Line, reason: str, now: float) -> None:
        """The call is over: tell whoever does not know it yet."""
        self._drop_sessions(line, reason, now)
        self._forget(line)
        self._conferences.receive(fact.CallOver(line.call, reason), now)

    def _drop_sessions(self, line: Line, reason: str, now: float) -> None:
        """End every session of a line, as it must be ended in its state. What has ended already ignores it."""
        sessions, line.sessions = line.sessions, {}
        for session in sessions:
            del self._by_session[session]
            self._agent.hang_up(session, now, reason=reason)

    def _forget(self, line: Line) -> None:
        if line.opened:
            self._plane.send(media.CloseLeg(line.leg))
        del self._lines[line.call], self._by_leg[line.leg]
        self._vacate(line)
        for session in line.sessions:
            self._by_session.pop(session, None)

    def _vacate(self, line: Line) -> None:
        """Forget a room's number with its last line."""
        name, line.room = line.room, None
        if name is not None and not any(other.room == name for other in self._lines.values()):
            del self._rooms[name]

    def _room(self, name: str) -> int:
        if name not in self._rooms:
            self._rooms[name] = self._next_room
            self._next_room += 1
        return self._rooms[name]

    _SIP = {
        sip.IncomingCall: _incoming, sip.CallConfirmed: _confirmed, sip.Reoffered: _reoffered, sip.InfoReceived: _info,
        sip.CallProgress: _progress, sip.CallAnswered: _answered, sip.CallFailed: _failed, sip.CallEnded: _over,
        sip.CallCancelled: _over, sip.Counted: _counted,
    }
    _MEDIA = {
        media.LegOpened: _leg_opened, media.LegFailed: _leg_failed, media.DigitReceived: _digit,
        media.PlaybackEnded: _playback_ended, media.TalkingChanged: _talking, media.LegSilent: _leg_silent,
        media.LegReport: _leg_report, media.PlaneReport: _plane_report,
    }
    _COMMANDS = {
        do.Ring: _ring, do.Answer: _answer, do.Reject: _reject, do.HangUp: _hang_up, do.Play: _play,
        do.StopPlaying: _stop_playing, do.EnterRoom: _enter_room, do.LeaveRoom: _leave_room, do.SetMuted: _set_muted,
    }


def _without_code(dialled: str) -> str:
    """A dialled number for the log: whatever follows it may be an access code."""
    return dialled.split("*")[0].split(",")[0]
