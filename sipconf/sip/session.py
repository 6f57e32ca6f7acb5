"""A call's signalling from its INVITE to its end (RFC 3261 sections 9, 13, 14 and 15): what a call remembers, and
which input of its table (call_table) a message, an order or a timer is.

No SDP is read here (sip/offer), no message is matched (transactions, agent).
"""

from sipconf.errors import MisuseError
from sipconf.sip import early, placing, referring, refreshing, reoffering
from sipconf.sip.answering import Arrived
from sipconf.sip.call_states import ENDS_DIALOG, Input, State
from sipconf.sip.call_table import TABLE
from sipconf.sip.challenged import ChallengeAnswers, Credentials
from sipconf.sip.client_tx import Heard, NoAnswer, NoPath
from sipconf.sip.dialog import Dialog
from sipconf.sip.events import CallCancelled, CallEnded, CallEvent, CallFailed, Send
from sipconf.sip.flow import Flow
from sipconf.sip.message import Request, Response
from sipconf.sip.options import lists
from sipconf.sip.reason import reason_headers
from sipconf.sip.ringing import Reliable
from sipconf.sip.server_tx import AckHeard, PathLost
from sipconf.sip.session_timer import SessionTimer
from sipconf.sip.timers import Running
from sipconf.sip.transactions import Fact, Key
from sipconf.sip.uri import NameAddr, SipUri
from sipconf.sip.wire import FIRST_CSEQ, Authorization, Wire

MAX_ACKS = 16  # kept per call for repeated 2xx
LAST_WORDS = (CallCancelled, CallFailed, CallEnded)


class Session:
    """One call. placed: by us. over: the floor above has been told the end, or has ordered it."""

    def __init__(self, session_id: str, wire: Wire, flow: Flow, call_id: str, *, placed: bool) -> None:
        self.id = session_id
        self.wire = wire
        self.flow = flow
        self.call_id = call_id
        self.placed = placed
        self.local_tag = wire.token()
        self.state = State.CALLING if placed else State.INVITED
        self.dialog: Dialog | None = None
        self.over = False
        self.parting = ""  # why we gave the call up
        self.invite: Request  # the INVITE that is, or was last, in progress, and its transaction
        self.invite_key: Key
        self.bye: Request
        self.bye_key: Key | None = None
        self.last_ok: Response
        self.update: Arrived | None = None  # their UPDATE with an offer that waits for the floor above
        self.ringing: Reliable | None = None
        self.target: SipUri  # of a call of ours, and the Route values on the way there
        self.routes: tuple[str, ...] = ()
        self.early: dict[str, early.EarlyDialog] = {}  # by the tag of the telephone that rings
        self.we_offered = False
        self.offer = b""  # our last one, answered or not
        self.ours = self.theirs = b""  # the session descriptions that are agreed
        self.timer = SessionTimer(wire.settings.session_expires)
        self.takes_update = False
        self.referrals: dict[str, referring.Referral] = {}
        self.has_referred = False
        self.refresh: Request  # our UPDATE that refreshes the session, and its transaction
        self.refresh_key: Key | None = None
        self._credentials: Credentials | None = None
        self._challenges = ChallengeAnswers(None, wire.rng)
        self._acks: dict[tuple[int, str | None], Send] = {}
        self._gap = wire.timers.t1
        self._due: Running[Input] = Running()
        self._session_due: Running[Input] = Running()  # RFC 4028: it runs on whatever else happens

    @classmethod
    def incoming(
        cls, session_id: str, wire: Wire, invite: Request, key: Key, flow: Flow, now: float
    ) -> "Session":
        """From an admitted INVITE whose transaction is open. Raises MalformedMessage for an unreadable dialog."""
        session = cls(session_id, wire, flow, invite.call_id, placed=False)
        session.invite, session.invite_key = invite, key
        session.dialog = Dialog.as_callee(invite, session.local_tag, flow, first_cseq=FIRST_CSEQ - 1)
        session.takes_update = lists(invite, "Allow", "UPDATE")
        session.limit_ringing(now)
        return session

    @classmethod
    def outgoing(
        cls, session_id: str, wire: Wire, flow: Flow, target: SipUri, from_: NameAddr, offer: bytes, now: float,
        credentials: Credentials | None, routes: tuple[str, ...] = (),
    ) -> "Session":  # fmt: skip
        """Send an INVITE. routes: Route values on the way to target."""
        session = cls(session_id, wire, flow, wire.token(), placed=True)
        session._credentials = credentials
        session.routes = routes
        session.reset_challenges()
        placing.place(session, target, from_, offer, now)
        return session

    # --- doors -------------------------------------------------------------------------------------------------------
    def order(self, what: Input, payload: object, now: float) -> None:
        """An order from the floor above. Raises MisuseError where it makes no sense in this state."""
        if not self._step(what, payload, now):
            raise MisuseError(f"{what.value} in a session that is {self.state.value}")

    def receive(self, what: Input, arrived: Arrived, now: float) -> None:
        """A request inside the dialog; where the table has no place for it the dialog is none (481)."""
        if not self._step(self._kind(what, arrived.request), arrived, now):
            self.wire.respond(arrived.key, arrived.request, 481, now)

    def _kind(self, what: Input, request: Request) -> Input:
        """A re-INVITE or UPDATE by what it means here."""
        same = bool(request.body and self.state is State.ACTIVE and refreshing.same_media(request.body, self.theirs))
        if what is Input.REINVITE:
            if self._proves_our_answer(request):
                return Input.REINVITE_PROVES
            return Input.REINVITE_SAME if same else what
        if what is Input.UPDATE and request.body:
            return Input.UPDATE_SAME if same else Input.UPDATE_OFFER
        return what

    def _proves_our_answer(self, reinvite: Request) -> bool:
        """RFC 5407 section 3.1.4: only the ACK was lost. Where our 200 held the offer, it has to bring the answer."""
        unconfirmed = self.state in (State.ANSWERED, State.LEAVING, State.REANSWERED)
        return unconfirmed and not self.we_offered and reinvite.cseq.number > self.invite.cseq.number

    def receive_ack(self, ack: Request, now: float) -> None:
        """An ACK of this dialog; only the number of the pending INVITE confirms it."""
        if ack.cseq.number == self.invite.cseq.number:
            self._step(Input.ACK, ack, now)

    def receive_cancel(self, cancel: Request, now: float) -> None:
        """A CANCEL of the INVITE that made this session."""
        self._step(Input.CANCEL, cancel, now)

    def hear(self, key: Key, fact: Fact, now: float) -> None:
        """What became of a transaction that this session owns."""
        if key == self.refresh_key:
            if not self.over and not refreshing.hear_update(self, fact, now):
                self._step(Input.EXPIRED, None, now)
            return
        match fact:
            case Heard(response):
                self._hear_response(key, response, now)
            case NoAnswer():
                self._step(Input.BYE_DONE if key == self.bye_key else Input.NO_ANSWER, None, now)
            case NoPath():
                self._step(Input.BYE_DONE if key == self.bye_key else Input.NO_PATH, None, now)
            case PathLost():
                self._step(Input.PATH_LOST, None, now)
            case AckHeard(ack):
                self.receive_ack(ack, now)

    def handle_timer(self, now: float) -> None:
        """Fire every timer whose time has come, earliest first."""
        self._due.fire(now, lambda what: self._step(what, None, now))
        self._session_due.fire(now, lambda what: self._step(self._by_update(what), None, now))

    def next_timer(self) -> float | None:
        """The earliest running timer."""
        return min((when for when in (self._due.next(), self._session_due.next()) if when is not None), default=None)

    def _by_update(self, what: Input) -> Input:
        by_update = what is Input.REFRESH and self.takes_update and self.state is State.ACTIVE
        return Input.REFRESH_BY_UPDATE if by_update else what

    def _hear_response(self, key: Key, response: Response, now: float) -> None:
        if key == self.bye_key:
            if response.status >= 200:
                self._hear_final(Input.BYE_CHALLENGED, Input.BYE_DONE, response, now)
        elif 200 <= response.status < 300:
            self._hear_success(response, now)
        elif key != self.invite_key:  # a late refusal of the try before this one
            return
        elif response.status < 200:
            if early.hear(self, response, now):
                self._step(Input.PROVISIONAL, response, now)
        else:
            self._hear_final(Input.CHALLENGED, self._refusal(response), response, now)

    def _refusal(self, response: Response) -> Input:
        """What a refusal of our INVITE means here."""
        what = Input.FAILURE
        if reoffering.passes_soon(response):
            what = Input.PENDING
        elif response.status in ENDS_DIALOG:
            what = Input.GONE
        elif response.status == 422 and (self.state, Input.BRIEF) in TABLE and self.timer.lengthen(response):
            what = Input.BRIEF
        return what if (self.state, what) in TABLE else Input.FAILURE

    def _hear_success(self, response: Response, now: float) -> None:
        number, tag = response.cseq.number, response.to.tag
        if (number, tag) in self._acks:
            self.wire.outputs.append(self._acks[number, tag])  # our ACK was lost (section 13.2.2.4)
        elif any(acked == number for acked, _ in self._acks):
            self.keep_ack(number, tag, placing.drop_fork(self, response, now))
        else:
            self._step(Input.SUCCESS, response, now)

    def _hear_final(self, challenged: Input, otherwise: Input, response: Response, now: float) -> None:
        if response.status in (401, 407) and (self.state, challenged) in TABLE:
            request = self.bye if challenged is Input.BYE_CHALLENGED else self.invite
            if (proof := self.proof_for(request, response)) is not None:
                self._step(challenged, proof, now)
                return
        self._step(otherwise, response, now)

    def _step(self, what: Input, payload: object, now: float) -> bool:
        cell = TABLE.get((self.state, what))
        if cell is None:
            return False
        action, following = cell
        action(self, payload, now)  # raises PeerError for an unreadable message, which then changes nothing
        self.state = following
        if self.state in (State.ENDING, State.ENDED):
            self._session_due.clear()
        if self.state is State.ENDED:
            self._due.clear()
            self.over = True
            self.wire.transactions.abandon(self.invite_key)
        return True

    # --- what actions use --------------------------------------------------------------------------------------------
    def tell(self, event: CallEvent) -> None:
        """News for the floor above."""
        if isinstance(event, LAST_WORDS):
            self.over = True
        self.wire.outputs.append(event)

    def stop_timers(self) -> None:
        """Whatever was waited for is over."""
        self._due.clear()

    def arm(self, what: Input, when: float) -> None:
        """Let a timer run besides those that do."""
        self._due[what] = when

    def disarm(self, *timers: Input) -> None:
        for what in timers:
            self._due.pop(what, None)

    def wait_for_ack(self, now: float) -> None:
        """Repeat the 200 at T1, 2*T1 ... T2, for 64*T1."""
        self._gap = self.wire.timers.t1
        self._due.only({Input.RESEND: now + self._gap, Input.NO_ACK: now + self.wire.timers.patience})

    def wait_longer_for_ack(self, now: float) -> None:
        self._gap = min(2 * self._gap, self.wire.timers.t2)
        self._due[Input.RESEND] = now + self._gap

    def limit_ringing(self, now: float) -> None:
        self._due[Input.RING_LIMIT] = now + self.wire.settings.ring_limit

    def limit_wait(self, now: float) -> None:
        """Wait for a final answer no longer than this: an INVITE in Proceeding has no timer of its own."""
        self._due.only({Input.LIMIT: now + self.wire.timers.patience + self.wire.timers.t4})

    def agree(self, response: Response, now: float) -> None:
        """A 2xx to an INVITE or UPDATE of ours: the session goes on for as long as it says (RFC 4028 section 7.2)."""
        self.timer.agree(response)
        if "Allow" in response.headers:
            self.takes_update = lists(response, "Allow", "UPDATE")
        self.start_session_timer(now)

    def start_session_timer(self, now: float) -> None:
        """The session was refreshed: count its interval anew."""
        self._session_due.clear()
        if self.timer.interval:
            self._session_due[Input.EXPIRED] = now + self.timer.end_after()
            if self.timer.we_refresh:
                self.refresh_at(now + self.timer.refresh_after())

    def refresh_at(self, when: float) -> None:
        """Refresh the session then, if it wants that at all."""
        if self.timer.interval:
            self._session_due[Input.REFRESH] = when

    @property
    def expires_at(self) -> float | None:
        """When the session ends unless it is refreshed; None where nothing was agreed."""
        return self._session_due.get(Input.EXPIRED)

    @property
    def pending(self) -> tuple[Key, Request]:
        """The request of theirs that waits for the floor above."""
        if self.update is not None:
            return self.update.key, self.update.request
        return self.invite_key, self.invite

    def dialog_with(self, remote_tag: str | None) -> Dialog | None:
        """The dialog with the telephone of this tag, early or confirmed."""
        if self.dialog is not None:
            return self.dialog if self.dialog.remote_tag == (remote_tag or "") else None
        found = self.early.get(remote_tag or "")
        return None if found is None else found.dialog

    def reset_challenges(self) -> None:
        """A new request may be challenged anew."""
        self._challenges = ChallengeAnswers(self._credentials, self.wire.rng, self._challenges.challenger)

    def proof_for(self, request: Request, response: Response) -> tuple[str, str] | None:
        """The answer to a challenge, where there is one to give."""
        return self._challenges.answer(request, response)

    def acknowledge(self, cseq: int) -> None:
        """ACK the 2xx of our INVITE."""
        self.keep_ack(cseq, self.dialog.remote_tag or None, self.wire.send_ack(self.dialog, cseq))

    def keep_ack(self, cseq: int, remote_tag: str | None, ack: Send) -> None:
        """An ACK that is lost has to be sent again."""
        self._acks[cseq, remote_tag] = ack
        if len(self._acks) > MAX_ACKS:
            del self._acks[next(iter(self._acks))]

    def say_bye(self, now: float, proof: Authorization = None) -> None:
        """Send BYE."""
        if proof is None:
            self.reset_challenges()
        extra = reason_headers(self.parting)
        self.bye_key, self.bye = self.wire.send_in_dialog(self.dialog, "BYE", self, now, proof=proof, extra=extra)
