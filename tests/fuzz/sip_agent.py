"""Target: the whole user agent. Requests of strangers, users, a trunk and a call's peer, and responses to our own, all
of them spoiled, beside a call that is up. Nothing escapes, nobody but the sender hears of it, no table outgrows its
limit; after a batch an OPTIONS is answered, that call is still there, and when it ends nothing is left."""

import random
from collections.abc import Callable
from typing import Any

from sipconf.sip import events
from sipconf.sip.challenged import Credentials
from sipconf.sip.dtmf_info import read_digit
from sipconf.sip.flow import Flow
from sipconf.sip.offer import OfferError, choose, make_answer, make_offer
from sipconf.sip.uri import SipUri
from tests.fuzz.driver import Target, expect
from tests.fuzz.families import anomaly
from tests.fuzz.fields import sip_fields, spoil
from tests.fuzz.mutation import mutate
from tests.fuzz.sdp_offer import CAPABILITIES, LOCAL
from tests.fuzz.seeds import MESSAGES, OFFER, corpus, lengthened
from tests.fuzz.sip_parser import SipSeeds, judge_sent
from tests.sim.desk import PHONE, SERVER, TCP, TRUNK, Desk, header, proof, reply, request, status, to_tag

MAX_SESSIONS, MAX_TRANSACTIONS, MAX_BINDINGS = 12, 80, 10
MOST_SENT = 4  # messages for one that came: a provisional, a final, the end of a call, a keep-alive
STRANGER = Flow("udp", ("198.51.100.99", 5068), SERVER)
CALLED = Flow("udp", ("198.51.100.55", 5060), SERVER)
HONEST = Flow("udp", ("198.51.100.8", 5060), SERVER)
WITNESS = "witness"
INSIDE = ("INVITE", "INVITE", "INFO", "INFO", "OPTIONS", "UPDATE", "ACK", "PRACK", "BYE", "NOTIFY", "REFER")
WISHES = (
    "", "", "", "Supported: timer, 100rel\r\nSession-Expires: 1800;refresher=uas\r\nMin-SE: 90\r\n",
    "Supported: timer\r\nx: 90;refresher=uac\r\n", "Session-Expires: 10\r\nMin-SE: 10\r\n", "Require: 100rel\r\n",
    "Require: timer\r\nSession-Expires: 1800\r\n", "RAck: 1 1 INVITE\r\n", "Reason: Q.850;cause=16\r\n",
)
"""Headers of extensions that we may have or not."""
CODES = (100, 180, 183, 200, 200, 202, 302, 401, 407, 408, 422, 480, 481, 486, 487, 491, 500, 503, 603, 699)


class SipAgent(Target):
    name = "agent"
    ending = "sip"

    def __init__(self) -> None:
        # Each source has its own: a message that two have sent is one transaction, answered to the first.
        self._seeds = {
            TRUNK: SipSeeds(MESSAGES),
            TCP: SipSeeds(_of(TCP, MESSAGES)),
            STRANGER: SipSeeds(_of(STRANGER, MESSAGES) + corpus("rfc4475/*", "phones/*")),
        }
        self._ways: tuple[tuple[Callable[[random.Random], str | None], Flow], ...] = (
            (lambda rng: None, STRANGER), (lambda rng: None, TRUNK), (lambda rng: None, TCP),
            (self._first_request, TRUNK), (self._first_request, TRUNK),
            (self._proven, PHONE), (self._proven, PHONE),
            (self._inside, TRUNK), (self._inside, TRUNK), (self._inside, TRUNK), (self._inside, STRANGER),
            (self._response, CALLED), (self._response, CALLED),
        )

    def begin(self, rng: random.Random) -> None:
        self._rng = random.Random(rng.getrandbits(32))
        self._desk = Desk(max_sessions=MAX_SESSIONS, max_transactions=MAX_TRANSACTIONS)
        self._count = 0
        self._call_id = ""
        self._ours: list[tuple[str, Flow]] = []  # requests that somebody may answer, and who was asked
        self._ringing: list[str] = []  # sessions that have no final answer yet
        self._up: list[str] = []
        self._flow = TRUNK
        self._witness_tag = self._answered(WITNESS)

    # --- what comes ----------------------------------------------------------------------------------------------
    def make(self, rng: random.Random) -> bytes:
        way, self._flow = rng.choice(self._ways)
        text = way(rng)
        if text is None:
            return self._seeds[self._flow].make(rng)
        data = text.encode()
        if rng.random() < 0.7:
            data = spoil(rng, data, sip_fields(data), anomaly(rng))
        elif rng.random() < 0.9:
            data = mutate(rng, data, MESSAGES)
        return lengthened(data) if rng.random() < 0.7 else data

    def _next(self) -> int:
        self._count += 1
        return self._count

    def _first_request(self, rng: random.Random) -> str:
        number = self._next()
        method = rng.choice(("INVITE", "INVITE", "OPTIONS", "REGISTER", "BYE", "ACK", "CANCEL", "MESSAGE", "PRACK"))
        if method in ("CANCEL", "ACK"):  # of the INVITE before
            return request(method, call_id=f"f{number - 1}", branch=f"z9hG4bKf{number - 1}")
        body = OFFER if method == "INVITE" and rng.random() < 0.8 else ""
        extra = rng.choice(WISHES)
        return request(method, call_id=f"f{number}", branch=f"z9hG4bKf{number}", extra=extra, body=body)

    def _proven(self, rng: random.Random) -> str:
        """From a user who knows the password, whoever spoils it afterwards."""
        number = self._next()
        method = rng.choice(("REGISTER", "REGISTER", "INVITE"))
        uri, to = ("sip:x", "<sip:101@x>") if method == "REGISTER" else ("sip:2001*4321@x", "<sip:2001@x>")
        challenged = self._desk.receive(request(method, uri=uri, to=to, call_id="asking"), PHONE)
        extra = proof(header(challenged[0], "WWW-Authenticate")[0], method, uri) if challenged else ""
        if method == "REGISTER":
            extra += rng.choice(
                ("Expires: 600\r\n", "Expires: 0\r\nm: *\r\n", 'm: "B" <sip:b@c;ob>;q=0.5;expires=99\r\n')
            )
        via = f"SIP/2.0/UDP {PHONE.remote[0]}:{5060 + number % 7}"
        body = OFFER if method == "INVITE" else ""
        return request(method, uri=uri, to=to, call_id=f"p{number % 50}", cseq=number, branch=f"z9hG4bKp{number}",
                       via=via, extra=extra, body=body)

    def _inside(self, rng: random.Random) -> str:
        """Of a call that is up for this purpose."""
        if not any(key[0] == self._call_id for key in self._desk.agent._sessions._dialogs):
            self._call_id = f"c{self._next()}"
            self._tag = self._answered(self._call_id)
        number = self._next()
        method = rng.choice(INSIDE)
        extra, body = rng.choice(WISHES), ""
        if method == "INFO":
            extra, body = f"{extra}Content-Type: application/dtmf-relay\r\n", "Signal=5\r\nDuration=160\r\n"
        elif method in ("INVITE", "UPDATE"):
            body = OFFER
        cseq = 2 + number if method != "ACK" else 1 + number
        return request(method, to=f"<sip:2001@x>;tag={self._tag}", call_id=self._call_id, cseq=cseq, extra=extra,
                       body=body, branch=f"z9hG4bKi{number}")

    def _response(self, rng: random.Random) -> str:
        """To a request of ours: an INVITE, its BYE or CANCEL."""
        if not self._ours or rng.random() < 0.3:
            self._place(rng)
        text, self._flow = rng.choice(self._ours[-6:])
        code = rng.choice(CODES)
        extra = ""
        if code in (401, 407):
            extra = f'{ {401: "WWW", 407: "Proxy"}[code] }-Authenticate: Digest realm="x", nonce="n", qop="auth"\r\n'
        elif code == 183 or code == 200:
            extra = "Record-Route: <sip:p1;lr>, <sip:p2;lr>\r\n"
        return reply(text, code, extra=extra, tag=rng.choice(("them", "them", "others")))

    def _place(self, rng: random.Random) -> None:
        desk = self._desk
        placed = desk.agent.invite(
            target=SipUri.parse(f"sip:102@{CALLED.remote[0]}"), flow=CALLED, now=desk.now, from_name="Room",
            from_uri=SipUri.parse("sip:2001@example.test"), offer=make_offer(CAPABILITIES, LOCAL),
            credentials=Credentials("us", "ours") if rng.random() < 0.5 else None,
        )  # fmt: skip
        if rng.random() < 0.3:
            desk.agent.hang_up(placed, desk.now)
        self._hear(desk.take(), None)

    def _answered(self, call_id: str) -> str:
        """A call from the trunk that is up; our tag."""
        self._desk.receive(request("INVITE", call_id=call_id, branch=f"z9hG4bK{call_id}", body=OFFER))
        calls = self._desk.told(events.IncomingCall)
        if not calls:  # the house is full: something has to end first
            return "none"
        answer = make_answer(choose(OFFER.encode(), CAPABILITIES), LOCAL)
        self._desk.agent.answer(calls[0].session, answer, self._desk.now)
        tag = to_tag(self._desk.take()[-1])
        self._desk.receive(request("ACK", to=f"<sip:2001@x>;tag={tag}", call_id=call_id, branch="z9hG4bKack"))
        return tag

    # --- what is done with it ------------------------------------------------------------------------------------
    def judge(self, data: bytes) -> None:
        desk, agent = self._desk, self._desk.agent
        agent.receive(data, self._flow, desk.now)
        sent = desk.take()
        self._hear(sent, data)
        expect(agent.calls <= MAX_SESSIONS, "more calls than the limit")
        expect(len(agent._transactions) <= MAX_TRANSACTIONS + 2 * MAX_SESSIONS, "more transactions than the limit")
        expect(len(desk.registrar.bindings("101", desk.now)) <= MAX_BINDINGS, "more bindings than the limit")
        desk.now += self._rng.choice((0.0, 0.01, 0.6, 3.0))
        agent.handle_timer(desk.now)
        self._go_on()
        self._hear(desk.take(), None)

    def _go_on(self) -> None:
        """What happens by itself while the wire is quiet: somebody answers, hangs up, or a connection breaks."""
        desk, rng = self._desk, self._rng
        if self._ringing and rng.random() < 0.1:
            session = self._ringing.pop(0)
            if rng.random() < 0.5:
                desk.agent.answer(session, make_offer(CAPABILITIES, LOCAL), desk.now)
            else:
                desk.agent.reject(session, 486, None, desk.now, retry_after=5)
        if self._up and rng.random() < 0.02:
            desk.agent.hang_up(self._up.pop(0), desk.now)
        if rng.random() < 0.01:
            desk.agent.flow_failed(TCP, desk.now)

    def _hear(self, sent: list[str], asked: bytes | None) -> None:
        """Judge what went out, then do what the floor above does with the news. asked: what it answers, if anything."""
        outputs = self._desk.outputs
        messages = [output for output in outputs if isinstance(output, events.Send)]
        for message in messages:
            judge_sent(message.data)
            if message.data.startswith((b"INVITE ", b"BYE ")):
                self._ours.append((message.data.decode("latin-1"), message.flow))
        if asked is not None:
            expect(len(messages) <= MOST_SENT, "one message brought many")
            hosts = {message.flow.remote[0] for message in messages}
            expect(hosts <= {self._flow.remote[0]}, f"somebody else was sent something: {hosts}")
        for output in outputs:
            self._act(output)

    def _act(self, output: Any) -> None:
        desk, rng = self._desk, self._rng
        match output:
            case events.IncomingCall(session=session, offer=offer):
                if rng.random() < 0.2:
                    desk.agent.ring(session, desk.now)
                    self._ringing.append(session)
                elif (answer := _answer_to(offer)) is None or rng.random() < 0.3:
                    desk.agent.reject(session, 488, "Not This", desk.now)
                else:
                    desk.agent.answer(session, answer, desk.now)
            case events.Reoffered(session=session, offer=offer):
                if (answer := _answer_to(offer)) is None:
                    desk.agent.refuse_reoffer(session, 488, None, desk.now)
                else:
                    desk.agent.answer_reoffer(session, answer, desk.now)
            case events.InfoReceived(content_type=content_type, body=body):
                read_digit(content_type, body)
            case events.CallAnswered(session=session) if rng.random() < 0.3:
                desk.agent.reoffer(session, make_offer(CAPABILITIES, LOCAL), desk.now)
            case events.CallConfirmed(session=session):
                self._up.append(session)
            case _:
                return
        self._hear(desk.take(), None)

    def end(self) -> None:
        """Somebody honest is answered, the call that was up is up, and without it nothing is left."""
        desk = self._desk
        (answer,) = desk.receive(request("OPTIONS", call_id="honest", via="SIP/2.0/UDP 198.51.100.8:5060"), HONEST)
        expect(status(answer) == 200, "OPTIONS was refused")
        inside = {"to": f"<sip:2001@x>;tag={self._witness_tag}", "call_id": WITNESS}
        answers = desk.receive(request("OPTIONS", cseq=7, branch="z9hG4bKw7", **inside))
        expect([status(each) for each in answers] == [200], "the call that was up is gone")
        answers = desk.receive(request("BYE", cseq=8, branch="z9hG4bKw8", **inside))
        expect([status(each) for each in answers] == [200], "the call that was up cannot end")
        while (when := desk.agent.next_timer()) is not None:
            desk.now = max(desk.now, when)
            desk.agent.handle_timer(desk.now)
            desk.take()
        for session in list(desk.agent._sessions):  # those of ours that nobody ended
            desk.agent.hang_up(session.id, desk.now)
        desk.rest()
        expect(not desk.registrar.bindings("101", desk.now), "a binding that never ends")


def _of(source: Flow, messages: tuple[bytes, ...]) -> tuple[bytes, ...]:
    host = source.remote[0].encode()
    return tuple(message.replace(TRUNK.remote[0].encode(), host) for message in messages)


def _answer_to(offer: bytes | None) -> bytes | None:
    if offer is None:
        return make_offer(CAPABILITIES, LOCAL)
    try:
        return make_answer(choose(offer, CAPABILITIES), LOCAL)
    except OfferError:
        return None
