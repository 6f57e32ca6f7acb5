"""Calls that we place: every telephone of an extension rings, each with the offer that its transport needs, and the
first to answer has the call.

What all calls have in common is `patchbay`'s; which telephones there are is the registrar's.
"""

import logging
from dataclasses import replace

from sipconf.conference import commands as do
from sipconf.conference import events as fact
from sipconf.conference.service import ConferenceService
from sipconf.line import Line, Stage
from sipconf.patchbay import Patchbay
from sipconf.signalling import Signalling
from sipconf.sip import events as sip
from sipconf.sip.offer import Kind
from sipconf.sip.registrar import Binding, Registrar
from sipconf.sip.settings import ANSWERED_ELSEWHERE
from sipconf.sip.uri import SipUri

log = logging.getLogger(__name__)

REFUSES_MEDIA = (415, 488)
"""What a telephone answers that does not know the kind of media offered (RFC 3261 sections 21.4.13, 21.4.26)."""


class Outgoing:
    """Rings telephones for the switchboard."""

    def __init__(self, patchbay: Patchbay, agent: Signalling, registrar: Registrar,
                 conferences: ConferenceService) -> None:
        self._patchbay = patchbay
        self._agent = agent
        self._registrar = registrar
        self._conferences = conferences

    def call(self, command: do.CallOut, now: float) -> None:
        """Open a leg for whoever answers."""
        reachable = self._reachable(command, now)
        if not reachable:
            known = self._registrar.bindings(command.extension, now)
            why = fact.NotRung.NOT_ENCRYPTED if known else fact.NotRung.NOT_CONNECTED
            self._conferences.receive(fact.OutgoingFailed(command.call, 480, why), now)
            return
        bindings = [binding for binding, _ in reachable]
        line = self._patchbay.lines.open(command.call, Stage.CALLING, bindings[0].flow, command.call, now)
        log.info("calling extension %s for %s", command.extension, command.caller_number, extra={"call": line.call_id})
        line.calling = command
        self._patchbay.open(line, command.room, tuple(each.flow for each in bindings),
                            frozenset(kind for _, kinds in reachable for kind in kinds))

    def _reachable(self, command: do.CallOut, now: float) -> list[tuple[Binding, tuple[Kind, ...]]]:
        """The telephones of an extension, and what each may be offered."""
        settings = self._patchbay.settings
        every = ((each, settings.kinds(each.flow, command.encrypted))
                 for each in self._registrar.bindings(command.extension, now))
        return [(each, kinds) for each, kinds in every if kinds]

    def ring(self, line: Line, now: float) -> None:
        """The leg is open: every telephone of the extension gets an offer."""
        assert line.calling is not None
        for binding, kinds in self._reachable(line.calling, now):
            # A browser that registered while the leg was being opened has no credentials there.
            if Kind.WEBRTC not in kinds or line.shared_port:
                self._invite(line, binding, kinds, now)
        if not line.sessions:
            self._patchbay.forget(line, "the telephone has gone", now)
            self._conferences.receive(fact.OutgoingFailed(line.call, 480, fact.NotRung.NOT_CONNECTED), now)

    def _invite(self, line: Line, binding: Binding, kinds: tuple[Kind, ...], now: float) -> None:
        command, settings = line.calling, self._patchbay.settings
        assert command is not None
        caller = SipUri("sip", command.caller_number or "anonymous", None, settings.domain, None)
        line.flow = binding.flow
        self._patchbay.locate(line)
        offered = line.describe_offer(settings.capabilities, self._patchbay.rng, kinds)
        session = self._agent.invite(target=binding.contact.uri, flow=binding.flow, from_uri=caller,
                                     from_name=command.caller_name, offer=offered.text, now=now, routes=binding.path)
        self._patchbay.lines.add_session(line, session, binding.flow)
        line.offers[session] = replace(offered, binding=binding)

    def progress(self, line: Line, event: sip.CallProgress, now: float) -> None:
        """A telephone rings."""
        if line.stage is Stage.CALLING and event.status >= 180:
            self._conferences.receive(fact.OutgoingRinging(line.call), now)

    def answered(self, line: Line | None, event: sip.CallAnswered, now: float) -> None:
        """Somebody has taken the call: the others stop ringing, and his answer is read against his own offer."""
        if line is None or line.stage is not Stage.CALLING:
            self._agent.hang_up(event.session, now, reason=ANSWERED_ELSEWHERE)
            return
        lines = self._patchbay.lines
        line.made_offer = line.offers[event.session]
        line.offers.clear()
        line.flow = lines.remove_session(line, event.session)
        self._patchbay.drop_sessions(line, ANSWERED_ELSEWHERE, now)
        lines.add_session(line, event.session, line.flow)
        line.protection = self._patchbay.settings.protection(line.flow, line.calling.encrypted)
        line.stage = Stage.CONNECTED
        if self._patchbay.agree(line, event.answer, now):
            self._conferences.receive(fact.OutgoingAnswered(line.call), now)

    def failed(self, line: Line, event: sip.CallFailed, now: float) -> None:
        """A telephone has refused: it may take another kind of media; else the others go on ringing."""
        if line.stage is not Stage.CALLING:
            return
        offered = line.offers.pop(event.session)
        self._patchbay.lines.remove_session(line, event.session)
        if offered.others and event.status in REFUSES_MEDIA:
            self._invite(line, offered.binding, offered.others, now)
            return
        line.failures.append((event.status, event.reason))
        if event.status >= 600:  # a person's word for all of his telephones (RFC 3261 section 16.7 step 5)
            self._patchbay.drop_sessions(line, "declined elsewhere", now)
        if line.sessions:
            return
        status, _ = line.failure
        self._patchbay.forget(line, str(status), now)
        self._conferences.receive(fact.OutgoingFailed(line.call, status), now)

    def no_leg(self, line: Line, reason: str, now: float) -> None:
        """The media plane has none for this call, or has it no more."""
        self._patchbay.drop_sessions(line, reason, now)
        self._patchbay.forget(line, reason, now)
        why = fact.NotRung.NO_LINE if line.local is None else None
        self._conferences.receive(fact.OutgoingFailed(line.call, 503, why), now)
