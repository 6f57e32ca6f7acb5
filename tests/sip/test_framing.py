"""Streams cut into messages, in any pieces, and streams that cannot be cut."""

import random

import pytest

from sipconf.sip.framing import StreamFramer
from sipconf.sip.parser import parse_message
from sipconf.sip.tokens import MalformedMessage

HEAD = (
    b"OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP c;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\n"
    b"Call-ID: x\r\nCSeq: 1 OPTIONS\r\n"
)
EMPTY = HEAD + b"Content-Length: 0\r\n\r\n"
BODY = b"bin\x00\r\n\r\nary\r\nl: 9\r\n"
WITH_BODY = HEAD + b"l : %d\r\nContent-Type: x/y\r\n\r\n" % len(BODY) + BODY
FOLDED = HEAD + b"CONTENT-LENGTH:\r\n  3\r\n\r\nabc"
PING = b"\r\n\r\n"


def drain(pieces: list[bytes]) -> tuple[list[bytes], int, str | None]:
    framer, out = StreamFramer(), []
    try:
        for piece in pieces:
            out += framer.feed(piece)
        out += framer.feed(b"")
    except MalformedMessage as fault:
        return out, framer.pongs, fault.reason
    return out, framer.pongs, None


STREAMS = [
    (EMPTY + WITH_BODY + FOLDED, [EMPTY, WITH_BODY, FOLDED], 0),
    (PING + EMPTY + PING + PING + WITH_BODY + b"\r\n" + EMPTY + PING, [EMPTY, WITH_BODY, EMPTY], 4),
    (b"\r\n" + EMPTY, [EMPTY], 0),
    (EMPTY + WITH_BODY[:-1], [EMPTY], 0),
    (EMPTY + HEAD, [EMPTY], 0),
]


@pytest.mark.parametrize(("stream", "messages", "pongs"), STREAMS)
def test_the_pieces_do_not_matter(stream, messages, pongs):
    rng = random.Random(7)
    cuts = [[stream], [stream[i : i + 1] for i in range(len(stream))]]
    for _ in range(20):
        at = sorted(rng.sample(range(len(stream)), 6))
        cuts.append([stream[a:b] for a, b in zip([0, *at], [*at, len(stream)], strict=True)])
    for pieces in cuts:
        assert drain(pieces) == (messages, pongs, None)


@pytest.mark.parametrize("message", [EMPTY, WITH_BODY, FOLDED])
def test_framer_and_parser_agree_about_the_body(message):
    (framed,) = StreamFramer().feed(message)
    assert framed == message
    assert parse_message(framed).body == message.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(("bad", "status"), [
    (HEAD + b"\r\n", 400), (HEAD + b"l: 5\r\nContent-Length: 13\r\n\r\n", 400), (HEAD + b"l: -1\r\n\r\n", 400),
    (HEAD + b"l: +5\r\n\r\n", 400), (HEAD + b"l: 0x5\r\n\r\n", 400), (HEAD + b"l: 5, 5\r\n\r\n", 400),
    (HEAD + b"l:\r\n\r\n", 400), (HEAD + b"Content-Length\x0b: 0\r\n\r\n", 400), (HEAD + b"l: 99999999\r\n\r\n", 513),
    (HEAD + b"X: " + b"y" * 140000, 513), (HEAD + b"l: " + b"1" * 300 + b"\r\n\r\n", 400),
])
def test_framing_lost(bad, status):
    framer = StreamFramer()
    with pytest.raises(MalformedMessage) as caught:
        framer.feed(bad)
    assert caught.value.status == status
    assert caught.value.salvage is not None and caught.value.salvage.call_id == "x"
    with pytest.raises(MalformedMessage):  # nothing behind a lost frame is ever believed
        framer.feed(EMPTY)


def test_messages_in_front_of_the_fault_are_delivered_whatever_the_pieces():
    bad = EMPTY + WITH_BODY + HEAD + b"\r\n" + EMPTY
    whole, single = drain([bad]), drain([bad[i : i + 1] for i in range(len(bad))])
    assert whole == single == ([EMPTY, WITH_BODY], 0, "no Content-Length on a stream")


@pytest.mark.parametrize("stream", [b"OPTIONS sip:a@b SIP/2.0\nVia: x\n\n", b"\nOPTIONS sip:a@b SIP/2.0\r\n"])
def test_bare_line_feeds_are_no_line_ends_on_a_stream(stream):
    assert drain([stream])[2] == drain([stream[i : i + 1] for i in range(len(stream))])[2] == "line ends in LF alone"


def test_a_slow_stream_is_bounded_and_shows_what_it_holds():
    framer = StreamFramer(max_message=1000)
    for _ in range(1000):
        assert framer.feed(b"x") == []
    assert framer.pending == 1000
    with pytest.raises(MalformedMessage):
        framer.feed(b"x")
    assert framer.pending == 0


@pytest.mark.parametrize(("stream", "status"), [
    (EMPTY.replace(b"\r\n", b"\n", 1), 400),
    (b"\n" + EMPTY, 400),
    (b"\r\n\n" + EMPTY, 400),
    (HEAD + b"X: " + b"y" * 200 + b"\r\nContent-Length: 1, 2\r\n\r\n", 513),
])
def test_a_fault_in_a_whole_block_is_the_fault_of_its_pieces(stream, status):
    for pieces in ([stream], [stream[i : i + 1] for i in range(len(stream))], [stream[:1], stream[1:]]):
        framer = StreamFramer(max_message=200)
        with pytest.raises(MalformedMessage) as bad:
            for piece in pieces:
                framer.feed(piece)
        assert bad.value.status == status
