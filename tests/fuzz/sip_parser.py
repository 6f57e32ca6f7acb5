"""Target: bytes to messages and back. Only MalformedMessage escapes, and what was read is written so that it reads the
same; an answer to anything at all has the lines that we write and no other."""

import random

from sipconf.sip.headers import LISTS
from sipconf.sip.message import Request, Response
from sipconf.sip.parser import parse_message
from sipconf.sip.tokens import MAX_MESSAGE, MalformedMessage
from tests.fuzz.driver import Broken, Target, expect
from tests.fuzz.families import anomaly
from tests.fuzz.fields import sip_fields, spoil
from tests.fuzz.mutation import mutate
from tests.fuzz.seeds import MESSAGES, corpus, lengthened

OURS = frozenset(
    """Via From To Call-ID CSeq Contact Record-Route Route Max-Forwards Allow Server Content-Length Content-Type Accept
    Accept-Encoding Supported Unsupported WWW-Authenticate Authorization Retry-After Min-Expires Min-SE Session-Expires
    Require RSeq Reason Date Expires Path User-Agent Warning Proxy-Authorization RAck Service-Route
    Flow-Timer""".split()
)
"""Headers that our messages may have; any other got in through a value."""
ONCE = ("From", "To", "Call-ID", "CSeq", "Content-Length")


class SipSeeds:
    """Seeds with their fields, found once."""

    def __init__(self, messages: tuple[bytes, ...]) -> None:
        self._messages = messages
        self._fields = [sip_fields(message) for message in messages]

    def make(self, rng: random.Random) -> bytes:
        """One of them, spoiled by its grammar, by octets, or both; in half of all with a right Content-Length."""
        at = int(rng.random() * len(self._messages))
        data = self._messages[at]
        way = rng.random()
        if way < 0.65:
            data = spoil(rng, data, self._fields[at], anomaly(rng))
        if way > 0.55:
            data = mutate(rng, data, self._messages)
        if rng.random() < 0.02:
            data += rng.choice(self._messages)
        return lengthened(data) if rng.random() < 0.5 else data


class SipParser(Target):
    name = "parser"
    ending = "sip"

    def __init__(self) -> None:
        self._seeds = SipSeeds(MESSAGES + corpus("rfc4475/*", "phones/*"))

    def make(self, rng: random.Random) -> bytes:
        return self._seeds.make(rng)

    def judge(self, data: bytes) -> None:
        try:
            message = parse_message(data)
        except MalformedMessage as fault:
            if fault.salvage is not None:
                judge_sent(fault.salvage.response(fault.status, fault.reason, to_tag="ours").encode())
            return
        _read_all(message)
        _judge_written(message)
        if isinstance(message, Request):
            answer = message.response(200, to_tag="ours").encode()
            judge_sent(answer)
            expect(len(answer) > MAX_MESSAGE or isinstance(_reread(answer), Response), "an answer is no response")


def _read_all(message: Request | Response) -> None:
    """Everything that somebody may read later: a fault there is the peer's."""
    for name in (*sorted(LISTS), "Authorization"):
        try:
            message.headers.get_all(name)
        except MalformedMessage:
            continue
    for name in ("routes", "record_routes", "max_forwards", "content_type", "contact_star"):
        try:
            getattr(message, name)
        except MalformedMessage:
            continue


def _judge_written(message: Request | Response) -> None:
    written = message.encode()
    if len(written) > MAX_MESSAGE:  # compact names grow, and so do octets that are escaped
        return
    again = _reread(written)
    expect(type(again) is type(message), "a request became a response")
    expect(again.body == message.body, "another body")
    if isinstance(message, Request) and isinstance(again, Request):
        expect((again.method, again.uri) == (message.method, message.uri), "another request line")
    expect(_octets(again) == _octets(message), "other headers")
    if again.headers.charset == message.headers.charset:  # it changes where only the URI, now escaped, was no UTF-8
        for name in ("vias", "from_", "to", "call_id", "cseq", "contacts"):
            expect(getattr(again, name) == getattr(message, name), f"another {name}")
    expect(again.encode() == written, "written otherwise the second time")


def _octets(message: Request | Response) -> list[tuple[str, bytes]]:
    fields = ((name, value.encode(message.headers.charset)) for name, value in message.headers.items())
    return [field for field in fields if field[0] != "Content-Length"]


def _reread(written: bytes) -> Request | Response:
    try:
        return parse_message(written)
    except MalformedMessage as fault:
        raise Broken(f"what we wrote cannot be read: {fault.reason}") from fault


def judge_sent(data: bytes) -> None:
    """Bytes of ours, read without the parser: our lines, each once where it has to be, and a body as long as told."""
    head, blank, body = data.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    expect(bool(blank), "a message of ours has no end")
    names = [line.partition(b":")[0].decode("latin-1") for line in lines[1:]]
    expect(OURS.issuperset(names), f"a foreign line: {sorted(set(names) - OURS)}")
    expect(all(names.count(name) <= 1 for name in ONCE), "a line that is there twice")
    expect(b"\r" not in b"".join(lines) and b"\n" not in b"".join(lines), "a bare line break")
    expect(b"Content-Length: %d" % len(body) in lines, "a wrong length")
