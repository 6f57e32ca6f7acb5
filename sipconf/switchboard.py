"""The one small room where SIP sessions, conferences and media meet.

Events of each are translated into words of the others and nothing more is decided here: who may call is decided in
`sip` (identity) and `conference` (rooms and codes), what is spoken in `sip.offer`, what is heard in `media`.
Sans-IO like the floors below: time is an argument, outputs are taken.
"""

import logging
import random
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from sipconf.conference import commands as do
from sipconf.conference import events as fact
from sipconf.conference.service import ConferenceService
from sipconf.line import Line, Stage, number_for_log
from sipconf.media import protocol as media
from sipconf.outgoing import Outgoing
from sipconf.patchbay import APART, Patchbay, Settings
from sipconf.signalling import Signalling
from sipconf.sip import dtmf_info
from sipconf.sip import events as sip
from sipconf.sip.flow import network_of
from sipconf.sip.offer import Kind, OfferError
from sipconf.sip.registrar import Registrar

__all__ = ["Settings", "Switchboard"]

log = logging.getLogger(__name__)

ENCRYPTED_CONFERENCE = "This conference takes encrypted calls only: use SRTP, over TLS, in your telephone"
NO_LINE_FREE = "All lines are busy, please try again in a moment"


class Switchboard:
    """Connects the SIP user agent, the conference service and a media plane."""

    def __init__(self, agent: Signalling, registrar: Registrar, conferences: ConferenceService, plane: media.Media,
                 settings: Settings, rng: random.Random) -> None:
        """rng: fit for keys."""
        self._agent = agent
        self._conferences = conferences
        self._plane = plane
        self.settings = settings
        self._patchbay = Patchbay(agent, conferences, plane, settings, rng)
        self._outgoing = Outgoing(self._patchbay, agent, registrar, conferences)
        self.lines = self._patchbay.lines
        self._published: list[do.Publish] = []
        self._stopping = False
        self.counters: dict[str, int] = {}

    # --- doors -------------------------------------------------------------------------------------------------------
    def receive_sip(self, events: Iterable[sip.CallEvent], now: float) -> None:
        """Take what the user agent reports."""
        for event in events:
            if (handler := self._SIP.get(type(event))) is not None:
                handler(self, event, now)
        self.carry_out(now)

    def receive_media(self, events: Iterable[media.Event], now: float) -> None:
        """Take what the media plane reports."""
        for event in events:
            if isinstance(event, media.LegReports):
                for report in event.each():
                    self._hear_leg(report, now)
            elif not isinstance(event, media.PlaneReport):  # of interest to the meters
                self._hear_leg(event, now)
        self.carry_out(now)

    def handle_timer(self, now: float) -> None:
        """Let the conferences' timers run."""
        self._conferences.handle_timer(now)
        self.carry_out(now)

    def next_timer(self) -> float | None:
        """When `handle_timer` wants to be called."""
        return self._conferences.next_timer()

    def take_outputs(self) -> list[do.Publish]:
        """What is to be published since the last call."""
        taken, self._published = self._published, []
        return taken

    def hang_up_all(self, reason: str, now: float) -> None:
        """Say BYE to everyone and take no new call (the server stops)."""
        self._stopping = True
        for line in self.lines:
            self._patchbay.end(line, reason, now)
        self.carry_out(now)

    def set_peers(self, peers: frozenset[str]) -> None:
        """The configuration changed: these trunks are the company's own telephone systems."""
        self.settings = replace(self.settings, peers=peers)

    def serves_trunk(self, trunk: str, dialled: str) -> bool:
        """Is this call from a trunk's address the trunk's, or somebody's who has to prove who he is?"""
        return self._conferences.serves(dialled, trunk, trunk in self.settings.peers)

    # --- from SIP ----------------------------------------------------------------------------------------------------
    def _incoming(self, event: sip.IncomingCall, now: float) -> None:
        if self._stopping or len(self.lines) >= self.settings.max_calls:
            self._agent.reject(event.session, 503, NO_LINE_FREE, now, retry_after=30)
            return
        line = self.lines.open(event.session, Stage.ARRIVED, event.flow, event.call_id, now)
        self.lines.add_session(line, event.session, event.flow)
        line.trunk = event.identity.kind == "trunk"
        line.protection = self.settings.protection(event.flow)
        log.info("call from %s (%s %s) to %s", event.caller_number, event.identity.kind, event.identity.name,
                 number_for_log(event.dialled), extra={"call": event.call_id})
        if event.offer is not None:
            try:
                line.read_offer(event.offer, self.settings.capabilities)
            except OfferError as error:
                # Before anybody is rung for a call that can never be.
                self._reject(line, do.Reject(line.call, error.status, error.reason), now)
                return
        who = {event.identity.kind: event.identity.name}
        self._conferences.receive(fact.CallArrived(event.session, event.dialled, fact.Caller(
            number=event.caller_number, name=event.caller_name, user=who.get("user"), trunk=who.get("trunk"),
            source=network_of(event.flow.remote[0]), peer=who.get("trunk") in self.settings.peers,
            visitor="visitor" in who)), now)

    def _confirmed(self, event: sip.CallConfirmed | sip.MediaRestated, now: float) -> None:
        line = self.lines.of_session(event.session)
        if line is None:
            return
        has_answer = line.made_offer is not None or isinstance(event, sip.MediaRestated)
        if has_answer and not self._patchbay.agree(line, event.answer, now):
            return
        if line.stage is Stage.ANSWERED:
            line.stage = Stage.CONNECTED
            self._conferences.receive(fact.CallConnected(line.call), now)

    def _reoffered(self, event: sip.Reoffered, now: float) -> None:
        line = self.lines.of_session(event.session)
        if line is None or line.local is None:
            self._agent.refuse_reoffer(event.session, 488, "Media cannot change now", now)
            return
        try:
            answer = line.answer_again(event.offer, self.settings.capabilities, self._patchbay.rng)
        except OfferError as error:
            self._agent.refuse_reoffer(event.session, error.status, error.reason, now)
            return
        if event.offer is not None:
            self._patchbay.connect(line, now)
        self._agent.answer_reoffer(event.session, answer, now)

    def _info(self, event: sip.InfoReceived, now: float) -> None:
        line = self.lines.of_session(event.session)
        digit = dtmf_info.read_digit(event.content_type, event.body)
        if line is not None and digit is not None and line.presses.is_new(digit, "info", now):
            self._conferences.receive(fact.DigitPressed(line.call, digit), now)

    def _referred(self, event: sip.Referred, now: float) -> None:
        line, second = self.lines.of_session(event.session), None
        if line is None:
            return
        if event.replaces is not None:
            other = self.lines.of_session(self._agent.session_of(event.replaces) or "")
            # A call that is not here is nobody's second one, and is refused as that.
            second = "" if other is None else other.call
            if other is not None and not self._plane.together(line.leg, other.leg):
                self._agent.report_referral(event.session, event.referral, 503, APART, now)
                return
        self._conferences.receive(fact.TransferAsked(line.call, event.referral, event.target, second), now)

    def _progress(self, event: sip.CallProgress, now: float) -> None:
        if (line := self.lines.of_session(event.session)) is not None:
            self._outgoing.progress(line, event, now)

    def _answered(self, event: sip.CallAnswered, now: float) -> None:
        self._outgoing.answered(self.lines.of_session(event.session), event, now)

    def _failed(self, event: sip.CallFailed, now: float) -> None:
        if (line := self.lines.of_session(event.session)) is not None:
            self._outgoing.failed(line, event, now)

    def _over(self, event: sip.CallEnded | sip.CallCancelled, now: float) -> None:
        line = self.lines.of_session(event.session)
        if line is not None:
            self.lines.remove_session(line, event.session)
            self._patchbay.end(line, event.reason, now)

    def _counted(self, event: sip.Counted, now: float) -> None:
        self.counters[event.metric] = self.counters.get(event.metric, 0) + 1

    # --- from media --------------------------------------------------------------------------------------------------
    def _hear_leg(self, event: Any, now: float) -> None:
        line = self.lines.of_leg(event.leg)
        if line is not None:  # or it has ended meanwhile
            self._MEDIA[type(event)](self, line, event, now)

    def _leg_opened(self, line: Line, event: media.LegOpened, now: float) -> None:
        if not line.opened or line.local is not None:
            return
        self._patchbay.opened(line, event)
        if line.stage is Stage.CALLING:
            self._outgoing.ring(line, now)
            return
        if line.ice is not None and not event.shared_port:
            self._no_media(line, "the media plane has no port for browsers", now)
            return
        capabilities, rng = self.settings.capabilities, self._patchbay.rng
        if line.negotiated is None:
            answer = line.describe_offer(capabilities, rng, self._kinds_asked_for(line)).text
        else:
            answer = line.write_answer(rng)
            self._patchbay.connect(line, now)
        line.stage = Stage.ANSWERED
        self._agent.answer(line.session, answer, now)

    def _kinds_asked_for(self, line: Line) -> tuple[Kind, ...]:
        """What to offer a caller who has offered nothing. There is but one try: the most that anything at its transport
        understands."""
        return self.settings.kinds(line.flow, encrypted=not line.protection.plain)[-1:]

    def _leg_failed(self, line: Line, event: media.LegFailed, now: float) -> None:
        if line.opened:
            line.opened = False
            self._no_media(line, event.reason, now, logging.INFO if event.by_peer else logging.WARNING)

    def _no_media(self, line: Line, reason: str, now: float, level: int = logging.WARNING) -> None:
        log.log(level, "no media for a call: %s", reason, extra={"call": line.call_id})
        if line.stage is Stage.CALLING:
            self._outgoing.no_leg(line, reason, now)
            return
        if line.stage is Stage.OPENING:
            self._agent.reject(line.session, 503, NO_LINE_FREE, now, retry_after=10)
        self._patchbay.end(line, reason, now)

    def _digit(self, line: Line, event: media.DigitReceived, now: float) -> None:
        if line.presses.is_new(event.digit, "rtp", now):
            self._conferences.receive(fact.DigitPressed(line.call, event.digit), now)

    def _playback_ended(self, line: Line, event: media.PlaybackEnded, now: float) -> None:
        self._conferences.receive(fact.PlaybackFinished(line.call, event.playback), now)

    def _talking(self, line: Line, event: media.TalkingChanged, now: float) -> None:
        line.talking = event.talking
        self._conferences.receive(fact.SpeakingChanged(line.call, event.talking, event.level_db), now)

    def _guarded(self, line: Line, event: media.GuardChanged, now: float) -> None:
        line.log_guard(event.reason)
        self._conferences.receive(fact.GuardChanged(line.call, event.reason), now)

    def _leg_silent(self, line: Line, event: media.LegSilent, now: float) -> None:
        self._patchbay.end(line, "no media from the telephone", now)

    def _leg_report(self, line: Line, report: media.LegReport, now: float) -> None:
        self._conferences.receive(fact.SpeakingChanged(line.call, line.talking, report.level_db), now)

    # --- from conferences --------------------------------------------------------------------------------------------
    def carry_out(self, now: float) -> None:
        """Do what the conferences have asked for; also after they were used directly (console: mute, kick, lock)."""
        while outputs := self._conferences.take_outputs():
            for command in outputs:
                if isinstance(command, do.Publish):
                    self._published.append(command)
                elif isinstance(command, do.CallOut):
                    self._outgoing.call(command, now)
                elif isinstance(command, do.PlayToRoom):
                    # Its last line may have gone since this was said: then nobody is left to hear it.
                    if (room := self.lines.room(command.room)) is not None:
                        self._plane.send(media.PlayToRoom(room, command.clips))
                elif (line := self.lines.of_call(command.call)) is not None:
                    self._COMMANDS[type(command)](self, line, command, now)

    def _ring(self, line: Line, command: do.Ring, now: float) -> None:
        self._agent.ring(line.session, now)

    def _answer(self, line: Line, command: do.Answer, now: float) -> None:
        """Only here it is known which room the call is for, and whether that takes calls in the clear."""
        line.protection = self.settings.protection(line.flow, command.encrypted)
        kinds = self._kinds_asked_for(line) if line.negotiated is None else (line.negotiated.kind,)
        if not kinds or (kinds[0] is Kind.PLAIN and not line.protection.plain):
            self._agent.reject(line.session, 488, ENCRYPTED_CONFERENCE, now)
            self._patchbay.end(line, "488 not encrypted", now)
            return
        line.stage = Stage.OPENING
        self._patchbay.open(line, command.room, (line.flow,), frozenset(kinds))

    def _reject(self, line: Line, command: do.Reject, now: float) -> None:
        self._agent.reject(line.session, command.status, command.reason, now, retry_after=command.retry_after)
        self._patchbay.forget(line, f"{command.status} {command.reason}", now)

    def _hang_up(self, line: Line, command: do.HangUp, now: float) -> None:
        self._patchbay.end(line, command.reason, now)

    def _play(self, line: Line, command: do.Play, now: float) -> None:
        self._plane.send(media.PlayToLeg(line.leg, command.playback, command.clips, command.loop))

    def _stop_playing(self, line: Line, command: do.StopPlaying, now: float) -> None:
        self._plane.send(media.StopLegPlayback(line.leg))

    def _enter_room(self, line: Line, command: do.EnterRoom, now: float) -> None:
        self._plane.send(media.PlaceLeg(line.leg, self.lines.enter(line, command.room)))

    def _leave_room(self, line: Line, command: do.LeaveRoom, now: float) -> None:
        self.lines.leave(line)
        self._plane.send(media.PlaceLeg(line.leg, None))

    def _set_muted(self, line: Line, command: do.SetMuted, now: float) -> None:
        self._plane.send(media.MuteLeg(line.leg, command.muted))

    def _treat(self, line: Line, command: do.Treat, now: float) -> None:
        self._plane.send(media.TreatLeg(line.leg, command.level_matching, command.guards))

    def _report_referral(self, line: Line, command: do.ReportReferral, now: float) -> None:
        self._patchbay.report_referral(line, command, now)

    def _move(self, line: Line, command: do.MoveCall, now: float) -> None:
        self._patchbay.move(line, command, now)

    _SIP = {
        sip.IncomingCall: _incoming, sip.CallConfirmed: _confirmed, sip.Reoffered: _reoffered, sip.InfoReceived: _info,
        sip.CallProgress: _progress, sip.CallAnswered: _answered, sip.CallFailed: _failed, sip.CallEnded: _over,
        sip.CallCancelled: _over, sip.MediaRestated: _confirmed, sip.Counted: _counted, sip.Referred: _referred,
    }
    _MEDIA = {
        media.LegOpened: _leg_opened, media.LegFailed: _leg_failed, media.DigitReceived: _digit,
        media.PlaybackEnded: _playback_ended, media.TalkingChanged: _talking, media.LegSilent: _leg_silent,
        media.GuardChanged: _guarded, media.LegReport: _leg_report,
    }
    _COMMANDS = {
        do.Ring: _ring, do.Answer: _answer, do.Reject: _reject, do.HangUp: _hang_up, do.Play: _play,
        do.StopPlaying: _stop_playing, do.EnterRoom: _enter_room, do.LeaveRoom: _leave_room, do.SetMuted: _set_muted,
        do.Treat: _treat, do.ReportReferral: _report_referral, do.MoveCall: _move,
    }
