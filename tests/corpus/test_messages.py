"""Messages of torture tests and of real telephones against a running server: UDP, WebSocket, TCP whole and by octets.

Each is judged by its verdict in the index; after each an OPTIONS is answered and the call that is going on has lost
nothing. Where we do otherwise than the index asks, docs/conformance.md says why.
"""

import logging
import re
from collections.abc import Iterator

import pytest

from sipconf.sip.message import Request
from sipconf.sip.offer import Capabilities, Format, OfferError, choose
from sipconf.sip.parser import parse_message
from sipconf.sip.sdp import SessionDescription
from sipconf.sip.tokens import MalformedMessage
from tests.corpus import fields
from tests.corpus.index import Row, rows
from tests.corpus.served import Heard, Peer, Served, Sockets, header
from tests.sim.house import CAPABILITIES

MESSAGES = rows("rfc4475", "phones", "sip")
WAYS = ("udp", "ws", "tcp", "tcp-octets")
PARSED_ANYWAY = frozenset({"badaspec", "baddn", "baddn_terminated", "baddate", "escruri",
                           "snom105_register_auth_folded"})
"""Of class "invalid", and read all the same: their verdicts leave that open."""
REFUSED_IN_READING = frozenset({"insuf", "unkscm", "novelsc", "multi01", "mcl01"})
"""Of class "app", and refused before anybody acts on them, as their verdicts ask."""
UNREADABLE_RESPONSES = frozenset({"bigcode", "scalarlg"})


def is_refused_in_reading(row: Row) -> bool:
    if row.kind == "invalid":
        return row.name not in PARSED_ANYWAY and not row.expected.startswith("read;")
    return row.name in REFUSED_IN_READING | UNREADABLE_RESPONSES or row.kind == "unreferenced"


@pytest.mark.parametrize("row", MESSAGES)
def test_what_is_read(row: Row) -> None:
    """Every value that the index names; a message written again reads the same."""
    if is_refused_in_reading(row):
        with pytest.raises(MalformedMessage) as bad:
            parse_message(row.data)
        if row.is_response:
            assert bad.value.salvage is None
        return
    message = parse_message(row.data)
    assert fields.check(message, row.fields) == []
    again = parse_message(message.encode())
    assert (again.body, again.vias, again.from_, again.to) == (message.body, message.vias, message.from_, message.to)
    for each in (message, again):
        each.headers.remove("Content-Length")
    assert list(again.headers.items()) == list(message.headers.items())
    if isinstance(message, Request) and message.method != "ACK":
        answer = parse_message(message.response(200, to_tag="t").encode())
        assert answer.vias == message.vias and answer.cseq == message.cseq and answer.to.tag is not None


# --- a running server ------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module", params=[f"{profile}-{way}" for profile in ("open", "digest") for way in WAYS
                                        if (profile, way) != ("digest", "ws")])
def served(request: pytest.FixtureRequest) -> Iterator[tuple[Served, str]]:
    """A server of its own for each way: the same octets by another one would be a retransmission."""
    profile, _, way = request.param.partition("-")
    running = Served(profile == "open")
    yield running, way
    running.settle()


@pytest.mark.parametrize("row", MESSAGES)
async def test_answers(row: Row, served: tuple[Served, str], caplog: pytest.LogCaptureFixture) -> None:
    """The same right answer by every way, and a server that goes on as before."""
    running, way = served
    caplog.set_level(logging.WARNING, "sipconf")
    async with running.listening() as sockets:
        with running.undisturbed():
            judge(row, way, await play(row, way, sockets))
            assert await (await sockets.peer("udp")).options()
    assert [record.getMessage() for record in caplog.records if record.name.startswith("sipconf")] == []


async def play(row: Row, way: str, sockets: Sockets) -> Heard:
    """Send it, and if it is answered with a call, take and end that call."""
    peer = await sockets.peer(way.partition("-")[0])
    await peer.feed(row.data, piece=1 if way == "tcp-octets" else 0)
    if peer.is_stream and (waits_for_more(row.data) or len(row.data) > row.first_message):
        await peer.half_close()
        return peer.heard
    if await peer.options():
        sockets.pass_time()
        await peer.options()
        await end_calls(peer, sockets)
    return peer.heard


async def end_calls(peer: Peer, sockets: Sockets) -> None:
    """ACK and BYE for every 200 to an INVITE."""
    for text in [text for text in peer.heard.texts if text.startswith("SIP/2.0 200 ")]:
        number, method = header(text, "CSeq")[0].split()
        if method != "INVITE":
            continue
        parties = "".join(f"{name}: {header(text, name)[0]}\r\n" for name in ("From", "To", "Call-ID"))
        target = header(text, "Contact")[0].strip("<>")
        for branch, verb, cseq in (("a", "ACK", int(number)), ("b", "BYE", int(number) + 1)):
            peer.send((
                f"{verb} {target} SIP/2.0\r\nVia: SIP/2.0/UDP h.invalid;branch=z9hG4bK{branch}{number};rport\r\n"
                f"{parties}CSeq: {cseq} {verb}\r\nContent-Length: 0\r\n\r\n").encode("utf-8", "surrogateescape"))
        await peer.options()
        sockets.pass_time()
        assert 200 in peer.heard.statuses(f"{int(number) + 1} BYE")


def waits_for_more(data: bytes) -> bool:
    """Whether a stream of these octets alone ends inside a message."""
    head, end, rest = data.partition(b"\r\n\r\n")
    lengths = {int(line.partition(b":")[2]) for line in head.split(b"\r\n")
               if line.partition(b":")[0].strip().lower() in (b"content-length", b"l")
               and line.partition(b":")[2].strip().isdigit()}
    return not end or (len(lengths) == 1 and lengths.pop() > len(rest))


def judge(row: Row, way: str, heard: Heard) -> None:
    """Against the verdict; and what a stream does differently, as it must."""
    statuses = heard.statuses()
    on_stream = way.startswith("tcp")
    if on_stream and (different := on_a_stream(row)) is not None:
        expected, closed = different
        assert statuses == expected and heard.closed == closed, (way, statuses)
        return
    if not heard.texts and row.may_be_silent:
        return
    assert row.allowed, (way, statuses)
    if on_stream and len(row.data) > row.first_message:  # the rest is the beginning of the stream's next message
        heard = Heard([text for text in heard.texts if header(text, "CSeq") == [row.cseq]])
        statuses = heard.statuses()
    final = [status for status in statuses if status >= 200 and status != 200] or statuses[-1:]
    allowed = {200} if row.kind == "valid" and row.data.startswith(b"OPTIONS") else row.allowed
    assert final and set(final) <= allowed, (way, statuses)
    assert not heard.closed or final == [400] or len(row.data) > row.first_message, way
    for text in heard.texts:
        if text.startswith("SIP/2.0 200 OK") and "INVITE" in header(text, "CSeq")[0]:
            judge_answer(row, text)
        if text.startswith("SIP/2.0 200 OK") and "REGISTER" in header(text, "CSeq")[0]:
            asked = parse_message(row.data[: row.first_message]).contacts
            removed = re.search(rb"xpires(?:: |=)0\b", row.data) is not None
            assert len(header(text, "Contact")) >= (0 if removed else len(asked))
    if final[0] in HEADER_OWED:
        assert any(f"\r\n{HEADER_OWED[final[0]]}" in text for text in heard.texts)


HEADER_OWED = {401: "WWW-Authenticate", 405: "Allow", 415: "Accept", 420: "Unsupported", 501: "Allow"}


def on_a_stream(row: Row) -> tuple[list[int], bool] | None:
    """(statuses, closed) where a stream cannot give the datagram's answer (RFC 3261 section 18.3)."""
    data = row.data
    head = data.lstrip(b"\r\n").partition(b"\r\n\r\n")[0]
    names = [line.partition(b":")[0].strip().lower() for line in head.split(b"\r\n")]
    if b"\r\n\r\n" not in data or b"\r" not in data.partition(b"\n")[0] or waits_for_more(data):
        return [], True
    if b"content-length" not in names and b"l" not in names:
        return ([] if row.is_response or data.startswith(b"ACK") else [400]), True
    return None


def judge_answer(row: Row, text: str) -> None:
    """The SDP in a 200: as many m-lines as were offered, in their order, with formats that were offered."""
    body = text.partition("\r\n\r\n")[2].encode()
    offered = row.data.partition(b"\r\n\r\n")[2]
    offered = offered[max(0, offered.find(b"v=0")) :].partition(b"\r\n--")[0]  # the one of several parts
    answer = SessionDescription.parse(body)
    assert body.count(b"\r\nc=") == 1
    if not offered:
        assert [each.kind for each in answer.media] == ["audio"]
        return
    offer = SessionDescription.parse(offered)
    assert [(m.kind, m.protocol) for m in answer.media] == [(m.kind, m.protocol) for m in offer.media]
    for mine, theirs in zip(answer.media, offer.media, strict=True):
        assert set(mine.formats) <= set(theirs.formats)


@pytest.mark.parametrize("row", rows("phones"))
def test_every_phones_plain_offer_gets_an_answer(row: Row) -> None:
    message = parse_message(row.data)
    if message.content_type != "application/sdp" or isinstance(message, Request) is False:
        return
    if "SAVP" in row.fields:
        with pytest.raises(OfferError, match="SRTP keys are taken over TLS only|SAVPF is not supported"):
            choose(message.body, Capabilities((Format("PCMU", 8000, 0),)))
        return
    agreed = choose(message.body, CAPABILITIES)
    assert agreed.remote is not None and agreed.tx_format.encoding in ("PCMU", "PCMA")
