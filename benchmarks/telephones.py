"""Telephones made of text templates, as many calls at once as asked for: the load of the signalling benchmarks.

SIP over UDP from an address of its own each, with repeats as RFC 3261 section 17.1 asks. No line is shared with the
server: what both got wrong alike would not be seen. What a telephone says and hears in a call: talkers.
"""

import asyncio
import hashlib
import itertools
import random
import re
import socket
import time
from dataclasses import dataclass, field

from benchmarks.batched import open_socket

Address = tuple[str, int]

SDP = (
    "v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0 101\r\n"
    "a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\na=rtcp-mux\r\n"
)
REQUEST = (
    "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {host}:{port};branch={branch};rport\r\nMax-Forwards: 70\r\n"
    "From: <sip:{user}@{domain}>;tag={tag}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n"
    "Contact: <sip:{user}@{host}:{port}>\r\nUser-Agent: templates\r\n{extra}"
)
SILENT_PORT = 9
"""Where a telephone without RTP says it listens."""
FIRST_AUTHORIZED, LONGEST_GAP = 2, 4.0
REDIAL = 64
"""Repeats stop after so many T1 (RFC 3261 timers B and F)."""


class Refused(Exception):
    """The server said no; status 408 where it said nothing."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status} {reason}")
        self.status = status


@dataclass(frozen=True, slots=True)
class Answer:
    """A final response as far as a telephone reads it."""

    status: int
    reason: str
    head: str
    body: str
    heard_at: float

    def header(self, name: str) -> str:
        found = re.search(rf"^{name}: *([^\r]*)\r?$", self.head, re.MULTILINE | re.IGNORECASE)
        return found[1] if found else ""


@dataclass(slots=True)
class Asked:
    """A request that waits for its final response, repeated until something comes."""

    data: bytes
    answer: "asyncio.Future[Answer]"
    gap: float
    until: float
    is_invite: bool
    alarm: asyncio.TimerHandle | None = None


@dataclass(slots=True)
class Call:
    """A call that is up. media: where its RTP goes; sdp: the whole answer. ended: set when the server says BYE. The
    delays are seconds from a request out to its answer in: the INVITE without credentials to 401, the one with them to
    200."""

    call_id: str
    tag: str
    to: str
    target: str
    media: Address
    sdp: str
    challenge_delay: float
    answer_delay: float
    cseq: int = FIRST_AUTHORIZED
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Telephone(asyncio.DatagramProtocol):
    """One user at one address. t1: seconds, RFC 3261's."""

    def __init__(self, server: Address, domain: str, user: str, password: str, host: str, t1: float = 0.5) -> None:
        self.server, self.domain, self.user, self.password, self.t1 = server, domain, user, password, t1
        self.host, self.port = host, 0
        self.repeats = 0
        self.acknowledges = True  # False: it leaves a final answer to an INVITE at that
        self._rng = random.Random(f"{host} {user}")
        self._numbers = itertools.count(1)
        self._asked: dict[tuple[str, str], Asked] = {}
        self._calls: dict[str, Call] = {}
        self._acks: dict[tuple[str, str], bytes] = {}
        self._challenge: dict[str, str] = {}
        self._uses = 0

    async def open(self) -> "Telephone":
        sock = open_socket(self.host, buffer_bytes=1 << 18)
        self.port = sock.getsockname()[1]
        self._loop = asyncio.get_running_loop()
        self._transport, _ = await self._loop.create_datagram_endpoint(lambda: self, sock=sock)
        return self

    def close(self) -> None:
        """Say nothing more, whatever was under way."""
        for key in list(self._asked):
            self._done(key)
        self._transport.close()

    # --- what its user does ------------------------------------------------------------------------------------------
    async def register(self, expires: int = 3600) -> float:
        """Register, with the challenge of last time where there is one; seconds it took. Raises Refused."""
        began = time.monotonic()
        call_id, tag = f"{self.token()}@{self.host}", self.token()
        uri = f"sip:{self.domain}"
        for cseq in range(1, 4):
            proof = self.proof("REGISTER", uri) if self._challenge else ""
            extra = f"Expires: {expires}\r\n{proof}"
            answer = await self.ask("REGISTER", uri, f"<sip:{self.user}@{self.domain}>", call_id, tag, cseq, extra)
            if answer.status != 401:
                break
            self.remember(answer)
        if answer.status != 200:
            raise Refused(answer.status, answer.reason)
        return time.monotonic() - began

    def forget_challenge(self) -> None:
        """The next request goes out without credentials."""
        self._challenge = {}

    async def call(self, dialled: str, media_port: int = SILENT_PORT, media_host: str | None = None,
                   offer: str | None = None) -> Call:  # fmt: skip
        """Call until answered, and acknowledge. offer: another than that of a telephone. Raises Refused."""
        call_id, tag = f"{self.token()}@{self.host}", self.token()
        uri = f"sip:{dialled}@{self.domain}"
        offer = offer or SDP.format(host=media_host or self.host, port=media_port)
        began = time.monotonic()
        answer = await self.ask("INVITE", uri, f"<{uri}>", call_id, tag, 1, "", offer)
        challenged = time.monotonic()
        if answer.status == 401:
            self.remember(answer)
            proof = self.proof("INVITE", uri)
            answer = await self.ask("INVITE", uri, f"<{uri}>", call_id, tag, FIRST_AUTHORIZED, proof, offer)
        if answer.status != 200:
            raise Refused(answer.status, answer.reason)
        target = re.search(r"<([^>]+)>", answer.header("Contact"))
        where = re.search(r"^c=IN IP4 (\S+)", answer.body, re.MULTILINE)
        port = re.search(r"^m=audio (\d+)", answer.body, re.MULTILINE)
        if target is None or where is None or port is None:
            raise Refused(200, "an answer that nobody can use")
        call = Call(call_id, tag, answer.header("To"), target[1], (where[1], int(port[1])),
                    answer.body, challenged - began, answer.heard_at - challenged)  # fmt: skip
        self._calls[call_id] = call
        return call

    async def hang_up(self, call: Call) -> None:
        """Say BYE and hear its answer; nothing where the server was quicker. Raises Refused for silence."""
        if self._calls.pop(call.call_id, None) is None:
            return
        call.cseq += 1
        answer = await self.ask("BYE", call.target, call.to, call.call_id, call.tag, call.cseq)
        self._acks = {key: ack for key, ack in self._acks.items() if key[0] != call.call_id}
        if answer.status == 408:
            raise Refused(408, "BYE is not answered")

    # --- requests ----------------------------------------------------------------------------------------------------
    def request(self, method: str, uri: str, to: str, call_id: str, tag: str, cseq: int, extra: str = "",
                body: str = "") -> bytes:  # fmt: skip
        """One request as octets."""
        head = REQUEST.format(
            method=method, uri=uri, host=self.host, port=self.port, branch=f"z9hG4bK{self.token()}",
            user=self.user, domain=self.domain, tag=tag, to=to, call_id=call_id, cseq=cseq, extra=extra,
        )  # fmt: skip
        kind = "Content-Type: application/sdp\r\n" if body else ""
        return f"{head}{kind}Content-Length: {len(body)}\r\n\r\n{body}".encode()

    async def ask(self, method: str, uri: str, to: str, call_id: str, tag: str, cseq: int, extra: str = "",
                   body: str = "") -> Answer:  # fmt: skip
        """Send a request, again if need be, and wait for its final response; 408 where none comes."""
        data = self.request(method, uri, to, call_id, tag, cseq, extra, body)
        now = self._loop.time()
        asked = Asked(data, self._loop.create_future(), self.t1, now + REDIAL * self.t1, method == "INVITE")
        key = (call_id, f"{cseq} {method}")
        self._asked[key] = asked
        self._transport.sendto(data, self.server)
        asked.alarm = self._loop.call_later(asked.gap, self._again, key)
        return await asked.answer

    def _again(self, key: tuple[str, str]) -> None:
        asked = self._asked[key]
        if self._loop.time() >= asked.until:
            self._done(key, Answer(408, "No Answer", "", "", time.monotonic()))
            return
        self.repeats += 1
        self._transport.sendto(asked.data, self.server)
        asked.gap = asked.gap * 2 if asked.is_invite else min(asked.gap * 2, LONGEST_GAP)
        asked.alarm = self._loop.call_later(asked.gap, self._again, key)

    def _done(self, key: tuple[str, str], answer: Answer | None = None) -> None:
        asked = self._asked.pop(key)
        if asked.alarm is not None:
            asked.alarm.cancel()
        if answer is None:
            asked.answer.cancel()
        elif not asked.answer.done():
            asked.answer.set_result(answer)

    def remember(self, answer: Answer) -> None:
        """Keep the challenge of a 401."""
        self.remember_text(answer.head)

    def remember_text(self, head: str) -> None:
        """The same of a 401 as it came."""
        challenge = re.search(r"^WWW-Authenticate: *([^\r]*)", head, re.MULTILINE | re.IGNORECASE)
        self._challenge = dict(re.findall(r'(\w+)="([^"]*)"', challenge[1])) if challenge else {}
        self._uses = 0

    def proof(self, method: str, uri: str, password: str | None = None) -> str:
        """The Authorization that answers the challenge of last time; password: another than its own."""
        given, cnonce = self._challenge, self.token()[:8]
        self._uses += 1
        count = f"{self._uses:08x}"
        secret = _md5(f"{self.user}:{given['realm']}:{password or self.password}")
        response = _md5(f"{secret}:{given['nonce']}:{count}:{cnonce}:auth:{_md5(f'{method}:{uri}')}")
        return (
            f'Authorization: Digest username="{self.user}", realm="{given["realm"]}", nonce="{given["nonce"]}", '
            f'uri="{uri}", response="{response}", algorithm=MD5, qop=auth, nc={count}, cnonce="{cnonce}"\r\n'
        )

    def token(self) -> str:
        """For a tag, a branch, a Call-ID."""
        return f"{self._rng.getrandbits(64):016x}{next(self._numbers):x}"

    # --- what it hears -----------------------------------------------------------------------------------------------
    def datagram_received(self, data: bytes, addr: Address) -> None:
        head, _, body = data.decode().partition("\r\n\r\n")
        if head.startswith("SIP/2.0 "):
            self._hear_answer(head, body)
        else:
            self._hear_request(head, body)

    def error_received(self, exc: Exception) -> None:
        """A server that is gone answers with ICMP; the repeats go on."""

    def _hear_answer(self, head: str, body: str) -> None:
        status, reason = int(head[8:11]), head[12 : head.index("\r")]
        answer = Answer(status, reason, head, body, time.monotonic())
        key = (answer.header("Call-ID"), answer.header("CSeq"))
        asked = self._asked.get(key)
        if status < 200:
            if asked is not None and asked.is_invite and asked.alarm is not None:
                asked.alarm.cancel()
            return
        if key[1].endswith("INVITE") and self.acknowledges:
            self._acknowledge(key, answer, asked)
        if asked is not None:
            self._done(key, answer)

    def _acknowledge(self, key: tuple[str, str], answer: Answer, asked: Asked | None) -> None:
        """Now, and again for every repeat of the answer."""
        if asked is not None:
            if answer.status < 300:
                target = re.search(r"<([^>]+)>", answer.header("Contact"))
                tag = re.search(r"tag=([^;\s]+)", answer.header("From"))
                ack = self.request("ACK", target[1] if target else "", answer.header("To"), key[0],
                                   tag[1] if tag else "", int(key[1].split()[0]))  # fmt: skip
            else:  # RFC 3261 section 17.1.1.3: the INVITE's own Via and Request-URI
                first, *lines = asked.data.decode().partition("\r\n\r\n")[0].split("\r\n")
                kept = [line for line in lines if line.split(":")[0] in ("Via", "Max-Forwards", "From", "Call-ID")]
                rest = [f"To: {answer.header('To')}", f"CSeq: {key[1].split()[0]} ACK", "Content-Length: 0", "", ""]
                ack = "\r\n".join(["ACK" + first.removeprefix("INVITE"), *kept, *rest]).encode()
            self._acks[key] = ack
            if answer.status >= 300:
                self._loop.call_later(REDIAL * self.t1, self._acks.pop, key, None)
        if key in self._acks:
            self._transport.sendto(self._acks[key], self.server)

    def _hear_request(self, head: str, body: str) -> None:
        """The server's BYE ends a call; whatever else it asks in a call is agreed to."""
        method = head.partition(" ")[0]
        if method == "ACK":
            return
        lines = head.split("\r\n")[1:]
        kept = [line for line in lines if line.split(":")[0] in ("Via", "From", "To", "Call-ID", "CSeq")]
        call_id = next(line.partition(":")[2].strip() for line in kept if line.startswith("Call-ID"))
        sdp = SDP.format(host=self.host, port=SILENT_PORT) if body or method == "INVITE" else ""
        kind = "Content-Type: application/sdp\r\n" if sdp else ""
        contact = f"Contact: <sip:{self.user}@{self.host}:{self.port}>\r\n"
        text = "\r\n".join(["SIP/2.0 200 OK", *kept, ""]) + f"{contact}{kind}Content-Length: {len(sdp)}\r\n\r\n{sdp}"
        self._transport.sendto(text.encode(), self.server)
        if method == "BYE" and (call := self._calls.pop(call_id, None)) is not None:
            call.ended.set()


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nothing listens on, over UDP and TCP."""
    found: list[int] = []
    while len(found) < count:
        with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            port = tcp.getsockname()[1]
            try:
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            found.append(port)
    return found
