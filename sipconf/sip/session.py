"""A call's signalling from its INVITE to its end, as one table: RFC 3261 sections 9, 13, 14 and 15.

The cells' actions live by what they do: answering, placing, reoffering, ending. No SDP is read here (sip/offer), no
message is matched (transactions, agent).
"""

from collections.abc import Callable, Mapping
from enum import Enum

from sipconf.errors import MisuseError
from sipconf.sip import answering, ending, placing, reoffering
from sipconf.sip.answering import Arrived
from sipconf.sip.challenged import ChallengeAnswers, Credentials
from sipconf.sip.client_tx import Heard, NoAnswer, NoPath
from sipconf.sip.dialog import Dialog
from sipconf.sip.events import CallCancelled, CallEnded, CallEvent, CallFailed, Send
from sipconf.sip.flow import Flow
from sipconf.sip.message import Request, Response
from sipconf.sip.server_tx import AckHeard, PathLost
from sipconf.sip.timers import Running
from sipconf.sip.transactions import Fact, Key
from sipconf.sip.uri import NameAddr, SipUri
from sipconf.sip.wire import FIRST_CSEQ, Authorization, Wire


class State(Enum):
    """Where a call is."""

    INVITED = "invited"  # theirs: no final answer yet
    ANSWERED = "answered"  # our 200 waits for its ACK
    LEAVING = "leaving"  # the same, and a BYE will follow
    CALLING = "calling"  # ours: nothing heard yet
    EARLY = "early"  # ours: a 1xx was heard
    GIVING_UP = "giving up"  # ours: to be cancelled as soon as a 1xx comes
    CANCELLED = "cancelled"  # ours: the CANCEL is out
    ACTIVE = "active"
    REINVITED = "re-invited"  # theirs: a re-INVITE waits for the floor above
    REANSWERED = "re-answered"  # our 200 to it waits for its ACK
    REOFFERING = "re-offering"  # our re-INVITE is out
    GLARE = "glare"  # our re-INVITE met theirs and will be tried again
    ENDING = "ending"  # our BYE is out
    ENDED = "ended"


class Input(Enum):
    """What can happen to it: orders from above, the peer's requests, responses to ours, timers."""

    RING = "ring"
    ANSWER = "answer"
    REJECT = "reject"
    ANSWER_REOFFER = "answer re-offer"
    REFUSE_REOFFER = "refuse re-offer"
    REOFFER = "re-offer"
    HANG_UP = "hang up"
    CANCEL = "CANCEL"
    ACK = "ACK"
    BYE = "BYE"
    REINVITE = "re-INVITE"
    REINVITE_PROVES = "re-INVITE that proves our answer arrived"
    INFO = "INFO"
    PROVISIONAL = "1xx"
    SUCCESS = "2xx"
    FAILURE = "refusal"
    CHALLENGED = "401/407 that we can answer"
    PENDING = "491"
    GONE = "408/481"
    NO_ANSWER = "timer B"
    NO_PATH = "transport error"
    PATH_LOST = "caller's connection lost"
    BYE_DONE = "BYE finished"
    BYE_CHALLENGED = "BYE challenged"
    RING_AGAIN = "timer: 180 again"
    RESEND = "timer: 200 again"
    NO_ACK = "timer: no ACK"
    RING_LIMIT = "timer: rang too long"
    LIMIT = "timer: no final answer"
    RETRY = "timer: re-offer again"


ORDERS = frozenset(
    {Input.RING, Input.ANSWER, Input.REJECT, Input.ANSWER_REOFFER, Input.REFUSE_REOFFER, Input.REOFFER, Input.HANG_UP}
)
REFUSALS = {491: Input.PENDING, 408: Input.GONE, 481: Input.GONE}
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
        self.parting = ""  # why we gave a call of ours up
        self.invite: Request  # the INVITE that is, or was last, in progress, and its transaction
        self.invite_key: Key
        self.bye: Request
        self.bye_key: Key | None = None
        self.last_ok: Response
        self.we_offered = False
        self.offer = b""
        self._credentials: Credentials | None = None
        self._challenges = ChallengeAnswers(None, wire.rng)
        self._acks: dict[tuple[int, str | None], Send] = {}
        self._gap = wire.timers.t1
        self._due: Running[Input] = Running()

    @classmethod
    def incoming(
        cls, session_id: str, wire: Wire, invite: Request, key: Key, flow: Flow, now: float
    ) -> "Session":
        """From an admitted INVITE whose transaction is open. Raises MalformedMessage for an unreadable dialog."""
        session = cls(session_id, wire, flow, invite.call_id, placed=False)
        session.invite, session.invite_key = invite, key
        session.dialog = Dialog.as_callee(invite, session.local_tag, flow, first_cseq=FIRST_CSEQ - 1)
        session.limit_ringing(now)
        return session

    @classmethod
    def outgoing(
        cls, session_id: str, wire: Wire, flow: Flow, target: SipUri, from_: NameAddr, offer: bytes, now: float,
        credentials: Credentials | None,
    ) -> "Session":  # fmt: skip
        """Send an INVITE."""
        session = cls(session_id, wire, flow, wire.token(), placed=True)
        session._credentials = credentials
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
        if what is Input.REINVITE and self._proves_our_answer(arrived.request):
            what = Input.REINVITE_PROVES
        if not self._step(what, arrived, now):
            self.wire.respond(arrived.key, arrived.request, 481, now)

    def _proves_our_answer(self, reinvite: Request) -> bool:
        """RFC 5407 section 3.1.4: only the ACK was lost. Where our 200 held the offer, it has to bring the answer."""
        unconfirmed = self.state in (State.ANSWERED, State.LEAVING, State.REANSWERED)
        return unconfirmed and not self.we_offered and reinvite.cseq.number > self.invite.cseq.number

    def receive_ack(self, ack: Request, now: float) -> None:
        """An ACK of this dialog; only the number of the pending INVITE confirms it."""
        if ack.cseq.number == self.invite.cseq.number:
            self._step(Input.ACK, ack, now)

    def receive_cancel(self, now: float) -> None:
        """A CANCEL of the INVITE that made this session."""
        self._step(Input.CANCEL, None, now)

    def hear(self, key: Key, fact: Fact, now: float) -> None:
        """What became of a transaction that this session owns."""
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

    def next_timer(self) -> float | None:
        """The earliest running timer."""
        return self._due.next()

    def _hear_response(self, key: Key, response: Response, now: float) -> None:
        if key == self.bye_key:
            if response.status >= 200:
                self._hear_final(Input.BYE_CHALLENGED, Input.BYE_DONE, response, now)
        elif 200 <= response.status < 300:
            self._hear_success(response, now)
        elif key != self.invite_key:  # a late refusal of the try before this one
            return
        elif response.status < 200:
            self._step(Input.PROVISIONAL, response, now)
        else:
            what = REFUSALS.get(response.status, Input.FAILURE)
            if (self.state, what) not in TABLE:
                what = Input.FAILURE
            self._hear_final(Input.CHALLENGED, what, response, now)

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
            if (proof := self._challenges.answer(request, response)) is not None:
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

    def arm_ring_again(self, when: float) -> None:
        self._due[Input.RING_AGAIN] = when

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

    def retry_reoffer_at(self, when: float) -> None:
        self._due[Input.RETRY] = when

    def reset_challenges(self) -> None:
        """A new request may be challenged anew."""
        self._challenges = ChallengeAnswers(self._credentials, self.wire.rng, self._challenges.challenger)

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
        self.bye_key, self.bye = self.wire.send_in_dialog(self.dialog, "BYE", self, now, proof=proof)


Action = Callable[[Session, object, float], None]
Table = Mapping[tuple[State, Input], tuple[Action, State]]

_S, _I = State, Input
TABLE: Table = {
    # their INVITE
    (_S.INVITED, _I.RING): (answering.ring, _S.INVITED),
    (_S.INVITED, _I.RING_AGAIN): (answering.ring, _S.INVITED),
    (_S.INVITED, _I.ANSWER): (answering.answer, _S.ANSWERED),
    (_S.INVITED, _I.REJECT): (answering.refuse, _S.ENDED),
    (_S.INVITED, _I.HANG_UP): (answering.hang_up_unanswered, _S.ENDED),
    (_S.INVITED, _I.CANCEL): (answering.cancelled, _S.ENDED),
    (_S.INVITED, _I.RING_LIMIT): (answering.cancelled, _S.ENDED),
    (_S.INVITED, _I.BYE): (answering.left_early, _S.ENDED),
    (_S.INVITED, _I.REINVITE): (reoffering.too_soon, _S.INVITED),
    (_S.INVITED, _I.PATH_LOST): (answering.lost, _S.ENDED),
    (_S.ANSWERED, _I.RESEND): (answering.resend, _S.ANSWERED),
    (_S.ANSWERED, _I.ACK): (answering.confirm, _S.ACTIVE),
    (_S.ANSWERED, _I.NO_ACK): (ending.no_ack, _S.ENDING),
    (_S.ANSWERED, _I.HANG_UP): (ending.leave, _S.LEAVING),
    (_S.ANSWERED, _I.CANCEL): (answering.ignore, _S.ANSWERED),
    (_S.ANSWERED, _I.BYE): (ending.peer_hung_up, _S.ENDED),
    (_S.ANSWERED, _I.REINVITE): (reoffering.glare, _S.ANSWERED),
    (_S.ANSWERED, _I.REINVITE_PROVES): (reoffering.peer_reoffers_without_ack, _S.REINVITED),
    (_S.ANSWERED, _I.INFO): (reoffering.info, _S.ANSWERED),
    (_S.LEAVING, _I.RESEND): (answering.resend, _S.LEAVING),
    (_S.LEAVING, _I.ACK): (ending.bye_after_ack, _S.ENDING),
    (_S.LEAVING, _I.NO_ACK): (ending.no_ack_either, _S.ENDING),
    (_S.LEAVING, _I.CANCEL): (answering.ignore, _S.LEAVING),
    (_S.LEAVING, _I.REINVITE): (reoffering.glare, _S.LEAVING),
    (_S.LEAVING, _I.REINVITE_PROVES): (ending.bye_without_ack, _S.ENDING),
    (_S.LEAVING, _I.BYE): (ending.both_hung_up, _S.ENDED),
    # our INVITE
    (_S.CALLING, _I.PROVISIONAL): (placing.progress, _S.EARLY),
    (_S.CALLING, _I.SUCCESS): (placing.answered, _S.ACTIVE),
    (_S.CALLING, _I.FAILURE): (placing.failed, _S.ENDED),
    (_S.CALLING, _I.CHALLENGED): (placing.try_with_proof, _S.CALLING),
    (_S.CALLING, _I.NO_ANSWER): (placing.unanswered, _S.ENDED),
    (_S.CALLING, _I.NO_PATH): (placing.unreachable, _S.ENDED),
    (_S.CALLING, _I.HANG_UP): (placing.give_up, _S.GIVING_UP),
    (_S.CALLING, _I.RING_LIMIT): (placing.unanswered, _S.ENDED),
    (_S.EARLY, _I.PROVISIONAL): (placing.progress, _S.EARLY),
    (_S.EARLY, _I.SUCCESS): (placing.answered, _S.ACTIVE),
    (_S.EARLY, _I.FAILURE): (placing.failed, _S.ENDED),
    (_S.EARLY, _I.CHALLENGED): (placing.try_with_proof, _S.CALLING),
    (_S.EARLY, _I.NO_PATH): (placing.unreachable, _S.ENDED),
    (_S.EARLY, _I.HANG_UP): (placing.cancel, _S.CANCELLED),
    (_S.EARLY, _I.RING_LIMIT): (placing.rang_too_long, _S.CANCELLED),
    (_S.GIVING_UP, _I.PROVISIONAL): (placing.send_cancel, _S.CANCELLED),
    (_S.GIVING_UP, _I.SUCCESS): (placing.drop_answer, _S.ENDING),
    (_S.GIVING_UP, _I.FAILURE): (placing.forget, _S.ENDED),
    (_S.GIVING_UP, _I.NO_ANSWER): (placing.forget, _S.ENDED),
    (_S.GIVING_UP, _I.NO_PATH): (placing.forget, _S.ENDED),
    (_S.GIVING_UP, _I.RING_LIMIT): (placing.forget, _S.ENDED),
    (_S.CANCELLED, _I.PROVISIONAL): (answering.ignore, _S.CANCELLED),
    (_S.CANCELLED, _I.SUCCESS): (placing.drop_answer, _S.ENDING),
    (_S.CANCELLED, _I.FAILURE): (placing.forget, _S.ENDED),
    (_S.CANCELLED, _I.NO_PATH): (placing.forget, _S.ENDED),
    (_S.CANCELLED, _I.LIMIT): (placing.forget, _S.ENDED),
    # the call is up
    (_S.ACTIVE, _I.CANCEL): (answering.ignore, _S.ACTIVE),
    (_S.ACTIVE, _I.INFO): (reoffering.info, _S.ACTIVE),
    (_S.ACTIVE, _I.HANG_UP): (ending.hang_up, _S.ENDING),
    (_S.ACTIVE, _I.BYE): (ending.peer_hung_up, _S.ENDED),
    (_S.ACTIVE, _I.REINVITE): (reoffering.peer_reoffers, _S.REINVITED),
    (_S.ACTIVE, _I.REOFFER): (reoffering.reoffer, _S.REOFFERING),
    # their re-INVITE
    (_S.REINVITED, _I.ANSWER_REOFFER): (answering.answer, _S.REANSWERED),
    (_S.REINVITED, _I.REFUSE_REOFFER): (reoffering.refuse_reoffer, _S.ACTIVE),
    (_S.REINVITED, _I.CANCEL): (answering.ignore, _S.REINVITED),
    (_S.REINVITED, _I.INFO): (reoffering.info, _S.REINVITED),
    (_S.REINVITED, _I.HANG_UP): (ending.hang_up_reoffered, _S.ENDING),
    (_S.REINVITED, _I.BYE): (ending.peer_hung_up_reoffering, _S.ENDED),
    (_S.REINVITED, _I.REINVITE): (reoffering.too_soon, _S.REINVITED),
    (_S.REANSWERED, _I.RESEND): (answering.resend, _S.REANSWERED),
    (_S.REANSWERED, _I.ACK): (answering.confirm, _S.ACTIVE),
    (_S.REANSWERED, _I.NO_ACK): (ending.no_ack, _S.ENDING),
    (_S.REANSWERED, _I.CANCEL): (answering.ignore, _S.REANSWERED),
    (_S.REANSWERED, _I.INFO): (reoffering.info, _S.REANSWERED),
    (_S.REANSWERED, _I.HANG_UP): (ending.hang_up, _S.ENDING),
    (_S.REANSWERED, _I.BYE): (ending.peer_hung_up, _S.ENDED),
    (_S.REANSWERED, _I.REINVITE): (reoffering.glare, _S.REANSWERED),
    (_S.REANSWERED, _I.REINVITE_PROVES): (reoffering.peer_reoffers_without_ack, _S.REINVITED),
    # our re-INVITE
    (_S.REOFFERING, _I.PROVISIONAL): (answering.ignore, _S.REOFFERING),
    (_S.REOFFERING, _I.SUCCESS): (reoffering.reoffer_answered, _S.ACTIVE),
    (_S.REOFFERING, _I.FAILURE): (reoffering.reoffer_refused, _S.ACTIVE),
    (_S.REOFFERING, _I.CHALLENGED): (reoffering.reoffer_with_proof, _S.REOFFERING),
    (_S.REOFFERING, _I.PENDING): (reoffering.wait_for_turn, _S.GLARE),
    (_S.REOFFERING, _I.GONE): (reoffering.reoffer_hopeless, _S.ENDING),
    (_S.REOFFERING, _I.NO_ANSWER): (reoffering.reoffer_hopeless, _S.ENDING),
    (_S.REOFFERING, _I.NO_PATH): (reoffering.reoffer_hopeless, _S.ENDING),
    (_S.REOFFERING, _I.LIMIT): (reoffering.reoffer_hopeless, _S.ENDING),
    (_S.REOFFERING, _I.INFO): (reoffering.info, _S.REOFFERING),
    (_S.REOFFERING, _I.HANG_UP): (ending.hang_up, _S.ENDING),
    (_S.REOFFERING, _I.BYE): (ending.peer_hung_up, _S.ENDED),
    (_S.REOFFERING, _I.REINVITE): (reoffering.glare, _S.REOFFERING),
    (_S.GLARE, _I.RETRY): (reoffering.reoffer_again, _S.REOFFERING),
    (_S.GLARE, _I.INFO): (reoffering.info, _S.GLARE),
    (_S.GLARE, _I.HANG_UP): (ending.hang_up, _S.ENDING),
    (_S.GLARE, _I.BYE): (ending.peer_hung_up, _S.ENDED),
    (_S.GLARE, _I.REINVITE): (reoffering.peer_reoffers_first, _S.REINVITED),
    # the end
    (_S.ENDING, _I.BYE): (ending.both_hung_up, _S.ENDING),
    (_S.ENDING, _I.BYE_DONE): (ending.done, _S.ENDED),
    (_S.ENDING, _I.BYE_CHALLENGED): (ending.bye_with_proof, _S.ENDING),
    (_S.ENDING, _I.SUCCESS): (ending.late_answer, _S.ENDING),
    (_S.ENDED, _I.SUCCESS): (ending.late_answer, _S.ENDED),
}
