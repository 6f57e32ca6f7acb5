"""The SIP user agent: one message in, answers and call events out (RFC 3261 sections 8 and 12.2).

It finds whose a message is and hands it over: transactions, sessions, registrar. Who is let in: admission. What a
call does: session. Sockets: edge/.
"""

import random
from collections.abc import Callable
from dataclasses import replace

from sipconf.errors import PeerError
from sipconf.sip import events
from sipconf.sip.admission import Gate, Refused, caller_of, dialled
from sipconf.sip.answering import Arrived, Refusal
from sipconf.sip.call_states import IN_DIALOG, Input
from sipconf.sip.challenged import Credentials
from sipconf.sip.dialog import DialogKey, dialog_key
from sipconf.sip.digest import Authenticator
from sipconf.sip.events import CallFailed, Counted, IncomingCall
from sipconf.sip.flow import Flow
from sipconf.sip.message import Request, Response
from sipconf.sip.parser import parse_message
from sipconf.sip.referring import Report
from sipconf.sip.registering import Registration
from sipconf.sip.registrar import Registrar
from sipconf.sip.return_path import stamp
from sipconf.sip.session import Session
from sipconf.sip.sessions import Sessions
from sipconf.sip.settings import NO_CONNECTION, AgentSettings
from sipconf.sip.stateless import StatelessAnswers
from sipconf.sip.tokens import MalformedMessage
from sipconf.sip.transactions import Told, Transactions, server_key
from sipconf.sip.trunk import Trunks
from sipconf.sip.uri import NameAddr, SipUri
from sipconf.sip.wire import Wire

__all__ = ["AgentSettings", "Credentials", "UserAgent"]


class UserAgent:
    """Orders about a session that has ended are silently ignored: the news of its end may still be on its way up."""

    def __init__(
        self,
        settings: AgentSettings,
        authenticator: Authenticator,
        trunks: Trunks,
        registrar: Registrar,
        rng: random.Random,
        serves: Callable[[str, str], bool] = lambda trunk, dialled: True,
    ) -> None:
        """serves(trunk's name, dialled): whether an INVITE from that trunk's address is let in unchallenged."""
        self._settings = settings
        self._registrar = registrar
        self._gate = Gate(authenticator, trunks, rng, serves, settings)
        for extension, remote in registrar.homes():
            self._gate.sources.prove(remote, extension)
        self._transactions = Transactions(settings.timers, settings.transactions)
        self._wire = Wire(self._transactions, settings, rng)
        self._stateless = StatelessAnswers(self._wire, self._gate, settings)
        self._refuse = self._stateless.refuse
        self._sessions = Sessions(settings)
        self._registrations: dict[str, Registration] = {}

    # --- doors -------------------------------------------------------------------------------------------------------
    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        """One datagram or framed message. A peer's mistake becomes an answer or silence, and a counter."""
        if not self._gate.admit(flow, now):
            self._stateless.turn_away(data, flow, now)
            return
        try:
            message = parse_message(data)
        except MalformedMessage as error:
            self._count(error.metric)
            if error.salvage is not None:
                self._stateless.refuse_bad(error.salvage, flow, error, now)
            return
        try:
            if isinstance(message, Response):
                self._receive_response(message, flow, now)
            else:
                self._receive_request(message, flow, now)
        except PeerError as error:
            self._count(error.metric)
            if isinstance(message, Request):
                self._stateless.refuse_bad(message, flow, error, now)
        self._settle(now)

    def flow_failed(self, flow: Flow, now: float, for_good: bool = False) -> None:
        """A connection is gone, or a datagram was refused. for_good: its peer said that it will not come back."""
        self._transactions.flow_failed(flow, now)
        if flow.reliable:
            self._registrar.forget_flow(flow, now)
        self._sessions.stranded.lose(flow, now, for_good)
        self._settle(now)

    def handle_timer(self, now: float) -> None:
        """Fire what is due."""
        self._transactions.handle_timer(now)
        for session in self._sessions.pop_due(now):
            session.handle_timer(now)
            self._sessions.settle(session)
        for session_id in self._sessions.stranded.pop_due(now):
            self._order(session_id, Input.HANG_UP, NO_CONNECTION, now)
        self._registrar.handle_timer(now)
        self._settle(now)

    def next_timer(self) -> float | None:
        """When handle_timer has something to do."""
        timers = (self._transactions.next_timer(), self._sessions.next_timer(), self._registrar.next_timer())
        return min((when for when in timers if when is not None), default=None)

    def take_outputs(self) -> list[events.Output]:
        """Bytes for the edge and events for the floor above, in order."""
        outputs = self._wire.outputs
        self._wire.outputs = []
        return outputs

    def idle(self) -> bool:
        """True where nothing is remembered but registrations."""
        return self._sessions.idle() and not len(self._transactions)

    @property
    def dropped(self) -> int:
        """Messages that came too fast to be read or answered."""
        return self._gate.sources.dropped

    @property
    def calls(self) -> int:
        """Calls that are not yet over, those included whose BYE waits for its answer."""
        return len(self._sessions)

    @property
    def transactions(self) -> int:
        """Requests, ours and theirs, whose repeats are still looked out for."""
        return len(self._transactions)

    # --- orders ------------------------------------------------------------------------------------------------------
    def ring(self, session: str, now: float) -> None:
        """180 to an incoming call."""
        self._order(session, Input.RING, None, now)

    def answer(self, session: str, sdp: bytes, now: float) -> None:
        """200 with our SDP; CallConfirmed or CallEnded follows."""
        self._order(session, Input.ANSWER, sdp, now)

    def reject(self, session: str, status: int, reason: str | None, now: float, retry_after: int | None = None) -> None:
        """Refuse an incoming call; no event follows."""
        self._order(session, Input.REJECT, Refusal(status, reason, retry_after), now)

    def answer_reoffer(self, session: str, sdp: bytes, now: float) -> None:
        """Answer `Reoffered`; CallConfirmed or CallEnded follows."""
        self._order(session, Input.ANSWER_REOFFER, sdp, now)

    def refuse_reoffer(self, session: str, status: int, reason: str | None, now: float) -> None:
        """Refuse `Reoffered`; the call goes on as it was."""
        self._order(session, Input.REFUSE_REOFFER, Refusal(status, reason), now)

    def reoffer(self, session: str, sdp: bytes, now: float) -> None:
        """Send a re-INVITE; CallAnswered, ReofferFailed or CallEnded follows."""
        self._order(session, Input.REOFFER, sdp, now)

    def cancel(self, session: str, now: float) -> None:
        """Give up a call that we placed and nobody answered; CallFailed 487 follows at once."""
        self._order(session, Input.HANG_UP, "cancelled", now)

    def hang_up(self, session: str, now: float, reason: str = "") -> None:
        """End a call in whatever state; CallEnded (or CallFailed, for a call of ours not yet answered) follows."""
        self._order(session, Input.HANG_UP, reason, now)

    def report_referral(self, session: str, referral: str, status: int, reason: str | None, now: float) -> None:
        """How a `Referred` fares, for the first time at once: a refusal, or 100; then what comes of it, final from 200
        on. Of a call that is over nobody hears any more."""
        self._order(session, Input.REPORT, Report(referral, status, reason), now)

    def session_of(self, dialog: DialogKey) -> str | None:
        """The session of an established dialog: Call-ID, our tag, theirs."""
        session = self._sessions.of_dialog(dialog)
        return None if session is None or session.over else session.id

    def invite(
        self,
        *,
        target: SipUri,
        flow: Flow,
        from_uri: SipUri,
        from_name: str,
        offer: bytes,
        now: float,
        credentials: Credentials | None = None,
        routes: tuple[str, ...] = (),
    ) -> str:
        """Call somebody. Returns the session id; CallProgress, CallAnswered or CallFailed follows.

        routes: Route values on the way to the target (a binding's Path). Header fields inside the target's URI are left
        out: a Request-URI may not have them, and whoever registered such a contact is not to choose our Route (RFC
        3261 section 19.1.5).
        """
        session_id = self._wire.token()
        if len(self._sessions) >= self._settings.max_sessions:
            self._wire.outputs.append(CallFailed(session_id, 503, "Too Many Calls"))
            return session_id
        from_ = NameAddr(from_name, from_uri, ())
        target = replace(target, headers="")
        session = Session.outgoing(session_id, self._wire, flow, target, from_, offer, now, credentials, routes)
        self._sessions.add_placed(session)
        self._sessions.settle(session)
        self._settle(now)
        return session_id

    def register(
        self,
        *,
        aor: SipUri,
        flow: Flow,
        expires: int,
        now: float,
        credentials: Credentials | None = None,
        registration: str | None = None,
    ) -> str:
        """Register our contact with somebody else's registrar, refresh it (registration: the id of the first time) or
        remove it (expires=0). Returns the id; Registered or RegisterFailed follows."""
        ours = self._registrations.get(registration or "")
        if ours is None:
            ours = Registration(self._wire.token(), self._wire, aor, flow, credentials)
            self._registrations[ours.id] = ours
        ours.send(expires, now)
        self._settle(now)
        return ours.id

    def _order(self, session_id: str, what: Input, payload: object, now: float) -> None:
        session = self._sessions.get(session_id)
        if session is None or session.over:
            return
        session.order(what, payload, now)
        self._sessions.settle(session)
        self._settle(now)

    # --- responses and requests --------------------------------------------------------------------------------------
    def _receive_response(self, response: Response, flow: Flow, now: float) -> None:
        """A challenge counts only from the host that we asked: our answer to it is worth something to others."""
        asked = self._transactions.sent_by(response)
        if asked is not None and response.status in (401, 407) and not self._gate.same_peer(asked, flow):
            self._count("stray_challenge")
        elif not self._transactions.receive_response(response, now):
            self._count("stray_response")

    def _receive_request(self, request: Request, flow: Flow, now: float) -> None:
        request, reply = stamp(request, flow)
        if not self._gate.answers(request, flow) and self._sessions.of_dialog(dialog_key(request)) is None:
            self._count("unknown")
        elif request.method == "CANCEL":
            self._cancel(request, reply, now)
        elif self._transactions.absorb(request, now):
            return
        elif request.method == "ACK":
            self._ack(request, reply, now)
        elif (refused := self._gate.inspect(request)) is not None:
            self._refuse(request, reply, refused)
        elif request.to.tag is not None:
            self._in_dialog(request, reply, now)
        elif self._transactions.is_merged(request) or self._transactions.is_looped(request):
            self._refuse(request, reply, Refused(482))
        elif request.method == "OPTIONS":
            self._stateless.answer_options(request, reply)
        elif request.method == "REGISTER":
            self._register(request, reply, now)
        elif request.method == "INVITE":
            self._invite(request, reply, now)
        else:  # BYE, INFO, UPDATE or PRACK of no dialog
            self._refuse(request, reply, Refused(481))

    def _cancel(self, request: Request, reply: Flow, now: float) -> None:
        """200 where its INVITE is known, however far that is (section 9.2)."""
        key = self._transactions.invited_by(request)
        owner = None if key is None else self._transactions.owner_of(key)
        if not isinstance(owner, Session) or not self._gate.same_peer(owner.flow, reply):
            self._refuse(request, reply, Refused(481))
            return
        self._stateless.send(self._wire.response(request, 200, tag=owner.local_tag), reply)
        if key == owner.invite_key:
            owner.receive_cancel(request, now)
            self._sessions.settle(owner)

    def _ack(self, request: Request, reply: Flow, now: float) -> None:
        """By Call-ID, From tag and CSeq: telephones invent a To tag for their ACK. Another host has to know ours."""
        session = self._sessions.of_ack(request.call_id, request.from_.tag or "")
        if session is None:  # of a stateless refusal, or long gone
            return
        if request.to.tag != session.local_tag and not self._gate.same_peer(session.flow, reply):
            return
        session.receive_ack(request, now)
        self._sessions.settle(session)

    def _in_dialog(self, request: Request, reply: Flow, now: float) -> None:
        theirs = request.from_.tag or ""
        session = self._sessions.of_request((request.call_id, request.to.tag or "", theirs))
        dialog = None if session is None else session.dialog_with(theirs)
        if session is None or dialog is None:
            self._refuse(request, reply, Refused(481))
        elif (refused := self._gate.stands_against(request, reply, dialog.flow, now)) is not None:
            self._refuse(request, reply, refused)
        elif not dialog.in_order(request):
            self._refuse(request, reply, Refused(500, "CSeq Out Of Order"))
        elif request.method == "OPTIONS":
            self._stateless.answer_options(request, reply)
        elif (what := IN_DIALOG.get(request.method)) is None:
            self._refuse(request, reply, Refused(405))
        else:
            key = self._transactions.open_server(request, reply, session, self._sessions.holder_of(session))
            dialog.move(reply)
            session.receive(what, Arrived(key, request), now)
            self._sessions.settle(session)

    def _register(self, request: Request, reply: Flow, now: float) -> None:
        identity = self._gate.identify(request, reply, now)
        if isinstance(identity, Refused):
            self._refuse(request, reply, identity)
        elif request.to.uri.user != identity.name:
            self._refuse(request, reply, Refused(403, "That Is Not Your Extension"))
        else:
            key = self._transactions.open_server(request, reply, None, self._gate.holder(identity, reply))
            response = self._registrar.register(request, identity.name, reply, now)
            self._transactions.respond(key, response, now)
            for session in [self._sessions[each] for each in self._sessions.stranded.waiting()]:
                if self._gate.is_back(session.dialog, request, identity):
                    session.dialog.move(reply)
                    self._sessions.settle(session)

    def _invite(self, request: Request, reply: Flow, now: float) -> None:
        identity = self._gate.identify(request, reply, now)
        if isinstance(identity, Refused):
            self._refuse(request, reply, identity)
            return
        holder = self._gate.holder(identity, reply)
        self._sessions.check(holder)
        session = Session.incoming(self._wire.token(), self._wire, request, server_key(request), reply, now)
        key = self._transactions.open_server(request, reply, session, holder)
        self._sessions.add_incoming(session, holder)
        self._wire.respond(key, request, 100, now)
        self._sessions.settle(session)
        caller = caller_of(request, identity)
        self._wire.outputs.append(
            IncomingCall(session.id, request.call_id, identity, dialled(request.uri), caller.number, caller.name,
                         request.body or None, reply)
        )

    def _count(self, metric: str) -> None:
        self._wire.outputs.append(Counted(metric))

    # --- what transactions say ---------------------------------------------------------------------------------------
    def _settle(self, now: float) -> None:
        """Carry what transactions say to their owners until nobody has anything more to say."""
        while outputs := self._transactions.take_outputs():
            for output in outputs:
                if isinstance(output, Told):
                    self._tell(output, now)
                else:
                    self._wire.outputs.append(output)
        self._wire.outputs += self._registrar.take_outputs()

    def _tell(self, told: Told, now: float) -> None:
        owner = told.owner
        if not isinstance(owner, Session | Registration):
            return
        try:
            owner.hear(told.key, told.fact, now)
        except PeerError as error:  # an unreadable response: as if it had not come
            self._count(error.metric)
        if isinstance(owner, Session):
            self._sessions.settle(owner)
        elif owner.over:
            self._registrations.pop(owner.id, None)
