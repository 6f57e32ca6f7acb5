"""A session with the real floor below it and a peer of raw text. Shared by the tests of sip/session."""

import random

from sipconf.sip.answering import Arrived, Refusal
from sipconf.sip.call_states import CONFIRMED, Input, State
from sipconf.sip.caps import Cap
from sipconf.sip.challenged import Credentials
from sipconf.sip.client_tx import Heard
from sipconf.sip.events import Send
from sipconf.sip.flow import Flow
from sipconf.sip.message import Request, Response
from sipconf.sip.parser import parse_message
from sipconf.sip.referring import Report
from sipconf.sip.session import Session
from sipconf.sip.settings import AgentSettings
from sipconf.sip.transactions import Transactions
from sipconf.sip.uri import NameAddr, SipUri
from sipconf.sip.wire import Wire

FLOW = Flow("udp", ("198.51.100.7", 5060), ("192.0.2.1", 5060))
SDP = b"v=0\r\n"
CHALLENGE = 'Digest realm="them", nonce="n", algorithm=MD5, qop="auth"'


class Bench:
    """A session with the real floor below it and a peer of raw text."""

    def __init__(self, *, credentials: Credentials | None = None) -> None:
        settings = AgentSettings("example.test", "", lambda flow: ("192.0.2.1", 5060))
        self.transactions = Transactions(settings.timers, Cap(100, 100, 100))
        self.wire = Wire(self.transactions, settings, random.Random(1))
        self.credentials = credentials
        self.cseq = 10
        self.session: Session

    def incoming(self, body: str = "v=0\r\n", extra: str = "") -> None:
        invite = self.request("INVITE", to="<sip:2001@example.test>", body=body, extra=extra)
        key = self.transactions.open_server(invite, FLOW, None)
        self.session = Session.incoming("s1", self.wire, invite, key, FLOW, 0.0)
        self.wire.respond(key, invite, 100, 0.0)

    def outgoing(self) -> None:
        target = SipUri.parse("sip:102@198.51.100.7")
        caller = NameAddr("", SipUri.parse("sip:2001@example.test"), ())
        self.session = Session.outgoing("s1", self.wire, FLOW, target, caller, SDP, 0.0, self.credentials)

    def request(
        self, method: str, to: str, body: str = "", number: int | None = None, extra: str = ""
    ) -> Request:
        if number is None:
            self.cseq += 1
            number = self.cseq
        call_id = self.session.call_id if hasattr(self, "session") else "c1"
        media = "Application/DTMF" if method == "INFO" else "Application/SDP"
        kind = f"Content-Type: {media}; x=y\r\n" if body else ""
        message = parse_message(
            (
                f"{method} sip:192.0.2.1 SIP/2.0\r\n"
                f"Via: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bK{method}{number}\r\nMax-Forwards: 70\r\n"
                f"From: <sip:102@example.test>;tag=peer\r\nTo: {to}\r\nCall-ID: {call_id}\r\n"
                f"CSeq: {number} {method}\r\nContact: <sip:102@198.51.100.7>\r\n{extra}{kind}"
                f"Content-Length: {len(body)}\r\n\r\n{body}"
            ).encode()
        )
        assert isinstance(message, Request)
        return message

    def arrived(self, method: str, body: str = "", extra: str = "") -> Arrived:
        to = f"<sip:2001@example.test>;tag={self.session.local_tag}"
        request = self.request(method, to, body, extra=extra)
        return Arrived(self.transactions.open_server(request, FLOW, self.session), request)

    def ack(self) -> Request:
        to = f"<sip:2001@example.test>;tag={self.session.local_tag}"
        return self.request("ACK", to, number=self.session.invite.cseq.number)

    def response(
        self, status: int, body: str = "", tag: str = "peer", extra: tuple[tuple[str, str], ...] = ()
    ) -> Response:
        answer = self.session.invite.response(status, to_tag=tag)
        answer.headers.add("Contact", "<sip:102@198.51.100.7>")
        if status in (401, 407):
            answer.headers.add({401: "WWW-Authenticate", 407: "Proxy-Authenticate"}[status], CHALLENGE)
        for header in extra:
            answer.headers.add(*header)
        made = parse_message(Response(status, answer.reason, answer.headers, body.encode()).encode())
        assert isinstance(made, Response)
        return made

    def reach(self, state: State) -> None:
        """Bring the session into a state as a real call would."""
        do = self.session_step
        if state in (State.INVITED, State.ANSWERED, State.LEAVING):
            self.incoming(extra="Require: 100rel\r\n")
            do(Input.RING)
            if state is not State.INVITED:
                do(Input.ANSWER)
            if state is State.LEAVING:
                do(Input.HANG_UP)
        else:
            self.outgoing()
            for what in WAYS[state]:
                do(what)
        assert self.session.state is state
        self.outputs()

    def session_step(self, what: Input) -> bool:
        if what is Input.PROVISIONAL:
            self.session.hear(self.session.invite_key, Heard(self.response(180)), 0.0)
            return True
        return self.session._step(what, self.payload(what), 0.0)

    def payload(self, what: Input) -> object:
        """What comes with an input."""
        match what:
            case Input.ANSWER | Input.ANSWER_REOFFER | Input.REOFFER:
                return SDP
            case Input.REJECT | Input.REFUSE_REOFFER:
                return Refusal(488, "Not This")
            case Input.HANG_UP:
                return "why"
            case Input.BYE:
                return self.arrived("BYE")
            case Input.REINVITE | Input.REINVITE_PROVES | Input.REINVITE_SAME:
                return self.arrived("INVITE", "v=0\r\n")
            case Input.UPDATE:
                return self.arrived("UPDATE")
            case Input.UPDATE_OFFER | Input.UPDATE_SAME:
                return self.arrived("UPDATE", "v=0\r\n")
            case Input.PRACK:
                ringing = self.session.ringing
                rseq = ringing.number if ringing is not None else 1
                rack = f"RAck: {rseq} {self.session.invite.cseq.number} INVITE\r\n"
                return self.arrived("PRACK", extra=rack)
            case Input.BRIEF:
                return self.response(422, extra=(("Min-SE", "3600"),))
            case Input.INFO:
                return self.arrived("INFO", "Signal=1\r\n")
            case Input.REFER:
                return self.arrived("REFER", extra="Refer-To: <sip:102@x>\r\n")
            case Input.REPORT:
                return self.report()
            case Input.ACK:
                return self.ack()
            case Input.PROVISIONAL:
                return self.response(180)
            case Input.SUCCESS:
                return self.response(200, "v=0\r\n")
            case Input.FAILURE | Input.BYE_DONE:
                return self.response(486)
            case Input.PENDING:
                return self.response(491)
            case Input.GONE:
                return self.response(481)
            case Input.CHALLENGED | Input.BYE_CHALLENGED:
                return ("Authorization", "Digest x")
            case _:
                return None

    def report(self) -> Report:
        """First news of a referral that has come."""
        if self.session.state in CONFIRMED:
            self.session.receive(Input.REFER, self.payload(Input.REFER), 0.0)
            self.outputs()
        return Report(next(iter(self.session.referrals), ""), 100, None)

    def outputs(self) -> list[str]:
        """First words of everything sent, and the kinds of everything told."""
        words = []
        for output in [*self.wire.outputs, *self.transactions.take_outputs()]:
            if isinstance(output, Send):
                start, *rest = output.data.decode().split("\r\n")
                cseq = next(line for line in rest if line.startswith("CSeq")).split()[2]
                words.append(f"{start.split()[1]} {cseq}" if start.startswith("SIP/2.0") else start.split()[0])
            else:
                words.append(type(output).__name__)
        self.wire.outputs.clear()
        return sorted(words)


UP = (Input.PROVISIONAL, Input.SUCCESS)
WAYS = {
    State.CALLING: (),
    State.EARLY: (Input.PROVISIONAL,),
    State.GIVING_UP: (Input.HANG_UP,),
    State.CANCELLED: (Input.PROVISIONAL, Input.HANG_UP),
    State.ACTIVE: UP,
    State.REINVITED: (*UP, Input.REINVITE),
    State.REANSWERED: (*UP, Input.REINVITE, Input.ANSWER_REOFFER),
    State.REOFFERING: (*UP, Input.REOFFER),
    State.REFRESHING: (*UP, Input.REFRESH),
    State.GLARE: (*UP, Input.REOFFER, Input.PENDING),
    State.UPDATING: (*UP, Input.UPDATE_OFFER),
    State.ENDING: (*UP, Input.HANG_UP),
    State.ENDED: (*UP, Input.BYE),
}
