"""Requests, answers and silence in any order: whatever a peer does inside a call, nothing raises and nothing stays."""

import random

import pytest

from sipconf.sip import events
from sipconf.sip.agent import Credentials
from sipconf.sip.call_states import State
from sipconf.sip.uri import SipUri
from tests.sim.desk import PHONE, SDP, TRUNK, Desk, header, reply, request

SEEDS = range(200)
STEPS = 60
BODIES = ("", "v=0\r\n", "v=0\r\no=- 1 2 x\r\n", "v=0\r\ns=other\r\n")
HEADERS = (
    "Supported: timer\r\n", "Supported: timer\r\nSession-Expires: 90\r\n", "Session-Expires: 600;refresher=uac\r\n",
    "Supported: timer\r\nSession-Expires: 90;refresher=uac\r\n", "Require: 100rel\r\n", "Allow: UPDATE, INVITE\r\n",
    "RAck: 1 1 INVITE\r\n", "Reason: SIP;cause=200\r\n", "Min-SE: 7200\r\n", 'Supported: a, "\r\n', "",
)  # fmt: skip
ANSWERS = (100, 180, 183, 200, 200, 200, 200, 200, 401, 405, 422, 481, 486, 488, 491, 491, 500)
CHALLENGE = 'WWW-Authenticate: Digest realm="them", nonce="n", algorithm=MD5\r\n'


class Peer:
    """Says anything that its side of one call might say, at any time, and answers what it is asked as it likes."""

    def __init__(self, seed: int, *, placed: bool) -> None:
        self.rng = random.Random(seed)
        self.desk = Desk(session_expires=self.rng.choice((0, 90, 1800)))
        self.placed = placed
        self.flow = PHONE if placed else TRUNK
        self.cseq, self.invite_cseq = 1, 1
        self.tag, self.call_id = "theirs", "c1"
        self.asked: list[str] = []
        if placed:
            self.session = self.desk.agent.invite(
                target=SipUri.parse("sip:102@10.0.0.9"), flow=PHONE, from_uri=SipUri.parse("sip:2001@x"), from_name="",
                offer=SDP, now=self.desk.now, credentials=Credentials("102", "secret"),
            )
            self.heed()
            self.call_id = header(self.asked[0], "Call-ID")[0]
        else:
            first = request("INVITE", branch="z9hG4bKfirst", body=self.rng.choice(BODIES), extra=self.extra())
            self.desk.receive(first)
            (arrived,) = self.desk.told(events.IncomingCall)
            self.session = arrived.session
        self.ours = self.desk.agent._sessions[self.session].local_tag

    def extra(self) -> str:
        return "".join(self.rng.sample(HEADERS, self.rng.randint(0, 3)))

    def heed(self) -> None:
        """Read what came."""
        self.asked += [text for text in self.desk.take() if not text.startswith(("SIP/2.0", "ACK"))]

    def send(self, text: str) -> None:
        self.desk.agent.receive(text.encode(), self.flow, self.desk.now)

    def step(self) -> None:
        choice = self.rng.random()
        if choice < 0.4:
            self.say(self.rng.choice(("INVITE", "INVITE", "UPDATE", "UPDATE", "PRACK", "INFO", "ACK", "ACK", "OPTIONS",
                                      "CANCEL", "REGISTER", "BYE" if self.rng.random() < 0.1 else "INFO")))
        elif choice < 0.65 and self.asked:
            text = self.rng.choice(self.asked[-3:])
            extra = self.extra() + CHALLENGE + self.rng.choice(("", "RSeq: 1\r\n", "RSeq: 2\r\n"))
            self.send(reply(text, self.rng.choice(ANSWERS), tag=self.tag, extra=extra))
        elif choice < 0.85:
            self.order()
        elif choice < 0.86:
            self.desk.agent.flow_failed(self.flow, self.desk.now)
        else:
            self.wait()
        self.heed()

    def say(self, method: str) -> None:
        if method in ("ACK", "CANCEL"):
            number, branch = self.invite_cseq, "z9hG4bKfirst" if method == "CANCEL" else "z9hG4bKack"
        else:
            self.cseq += self.rng.choice((1, 1, 1, 0, -1))
            number, branch = max(self.cseq, 0), f"z9hG4bK{self.rng.random()}"
        if method == "INVITE":
            self.invite_cseq = number
        body = self.rng.choice(BODIES) if method in ("INVITE", "UPDATE", "ACK", "PRACK") else ""
        self.send(request(method, to=f"<sip:2001@x>;tag={self.ours}", tag=self.tag, call_id=self.call_id, cseq=number,
                          branch=branch, body=body, extra=self.extra()))

    def order(self) -> None:
        """What the floor above may order where the call is now."""
        agent, session, now = self.desk.agent, self.session, self.desk.now
        running = agent._sessions.get(session)
        state = running.state if running is not None else State.ENDED
        choice = self.rng.random()
        if state is not State.ENDED and choice < 0.05:
            agent.hang_up(session, now)
        elif state is State.INVITED:
            agent.ring(session, now) if choice < 0.4 else agent.answer(session, SDP, now)
        elif state in (State.REINVITED, State.UPDATING) and choice < 0.7:
            agent.answer_reoffer(session, b"v=0\r\ns=ours\r\n", now)
        elif state in (State.REINVITED, State.UPDATING):
            agent.refuse_reoffer(session, 488, "Not This", now)
        elif state in (State.ACTIVE, State.REFRESHING) and choice < 0.6:
            agent.reoffer(session, SDP, now)

    def wait(self) -> None:
        """A moment, or until something is due."""
        when = self.desk.agent.next_timer()
        self.desk.now += self.rng.choice((0.1, 1.0, 5.0))
        if when is not None and self.rng.random() < 0.7:
            self.desk.now = max(when, self.desk.now - 5.0)
        self.desk.agent.handle_timer(self.desk.now)


@pytest.mark.parametrize("placed", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_raises_and_nothing_stays(seed: int, placed: bool) -> None:
    peer = Peer(seed, placed=placed)
    for _ in range(STEPS):
        peer.step()
    peer.desk.agent.hang_up(peer.session, peer.desk.now)
    while (when := peer.desk.agent.next_timer()) is not None:
        peer.desk.now = max(peer.desk.now, when)
        peer.desk.agent.handle_timer(peer.desk.now)
        peer.heed()
    assert peer.desk.agent.idle()
