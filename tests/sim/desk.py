"""A user agent at a desk: raw texts in, what it said out. Shared by the tests of sip/agent."""

import hashlib
import random
import re
from collections.abc import Callable
from typing import Any

from sipconf.sip import events
from sipconf.sip.agent import UserAgent
from sipconf.sip.digest import Authenticator
from sipconf.sip.events import Send
from sipconf.sip.flow import Flow
from sipconf.sip.registrar import NoBindings, Registrar, RegistrarSettings
from sipconf.sip.settings import AgentSettings
from sipconf.sip.trunk import Trunks, TrunkSpec

SERVER = ("192.0.2.1", 5060)
PHONE = Flow("udp", ("198.51.100.7", 5062), SERVER)
TRUNK = Flow("udp", ("203.0.113.9", 5060), SERVER)
TCP = Flow("tcp", ("198.51.100.7", 40000), SERVER, 1)
SDP = b"v=0\r\n"


class Desk:
    """A user agent and what it said."""

    def __init__(
        self, address: tuple[str, int] = SERVER, serves: Callable[[str, str], bool] = lambda trunk, dialled: True,
        **settings: Any,
    ) -> None:
        rng = random.Random(4)
        self.registrar = Registrar(NoBindings(), RegistrarSettings(), rng)
        self.agent = UserAgent(
            AgentSettings("example.test", "", lambda flow: address, **settings),
            Authenticator("example.test", {"101": "secret"}.get, ("MD5",), rng),
            Trunks([TrunkSpec("provider", frozenset({TRUNK.remote[0]}))]),
            self.registrar,
            rng,
            serves,
        )
        self.now = 100.0
        self.outputs: list[Any] = []

    def receive(self, text: str, flow: Flow = TRUNK) -> list[str]:
        """Texts sent in answer; every flow of an answer must be the request's unless looked at in outputs."""
        self.agent.receive(text.encode(), flow, self.now)
        return self.take()

    def take(self) -> list[str]:
        self.outputs = self.agent.take_outputs()
        return [output.data.decode(errors="replace") for output in self.outputs if isinstance(output, Send)]

    def told(self, kind: type) -> list[Any]:
        return [output for output in self.outputs if isinstance(output, kind)]

    def rest(self) -> None:
        """Let all timers run out: nothing may stay."""
        while (when := self.agent.next_timer()) is not None:
            self.now = max(self.now, when)
            self.agent.handle_timer(self.now)
        assert self.agent.idle()

    def call(self) -> str:
        """A call from the trunk, up."""
        self.receive(request("INVITE", body="v=0\r\n"))
        (arrived,) = self.told(events.IncomingCall)
        self.agent.answer(arrived.session, SDP, self.now)
        self.tag = to_tag(self.take()[-1])
        self.receive(request("ACK", to=f"<sip:2001@x>;tag={self.tag}", branch="z9hG4bKack"))
        assert len(self.told(events.CallConfirmed)) == 1
        return arrived.session


def request(
    method: str,
    *,
    uri: str = "sip:2001@x",
    to: str = "<sip:2001@x>",
    branch: str | None = None,
    cseq: int = 1,
    extra: str = "",
    body: str = "",
    via: str = "SIP/2.0/UDP 203.0.113.9:5060",
    tag: str = "theirs",
    call_id: str = "c1",
) -> str:
    branch = branch or f"z9hG4bK{method}{cseq}"
    kind = "" if not body or "Content-Type" in extra else "Content-Type: application/sdp\r\n"
    return (
        f"{method} {uri} SIP/2.0\r\nVia: {via};branch={branch}\r\nMax-Forwards: 70\r\n"
        f"From: \"Bob\" <sip:+3212@provider.example>;tag={tag}\r\nTo: {to}\r\nCall-ID: {call_id}\r\n"
        f"CSeq: {cseq} {method}\r\nContact: <sip:+3212@203.0.113.9>\r\n{extra}{kind}"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    )


def status(text: str) -> int:
    return int(text.split()[1])


def header(text: str, name: str) -> list[str]:
    return re.findall(rf"^{name}: (.*)\r$", text, re.MULTILINE)


def to_tag(text: str) -> str:
    return re.search(r"^To: .*;tag=(\w+)", text, re.MULTILINE).group(1)


def proof(challenge: str, method: str, uri: str, password: str = "secret", user: str = "101") -> str:
    given = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    ha1 = hashlib.md5(f"{user}:{given['realm']}:{password}".encode()).hexdigest()
    ha2 = hashlib.md5(f"{method}:{uri}".encode()).hexdigest()
    answer = hashlib.md5(f"{ha1}:{given['nonce']}:{ha2}".encode()).hexdigest()
    return (
        f'Authorization: Digest username="{user}",realm="{given["realm"]}",nonce="{given["nonce"]}",'
        f'uri="{uri}",response="{answer}",algorithm=MD5\r\n'
    )


def reply(text: str, code: int, *, tag: str = "them", extra: str = "") -> str:
    head = "".join(
        f"{line}\r\n" for line in text.split("\r\n") if line.split(":")[0] in ("Via", "From", "Call-ID", "CSeq")
    )
    to = header(text, "To")[0]
    return (
        f"SIP/2.0 {code} Whatever\r\n{head}To: {to}{'' if 'tag=' in to else f';tag={tag}'}\r\n"
        f"Contact: <sip:102@10.0.0.9:5062>\r\n{extra}Content-Length: 0\r\n\r\n"
    )
