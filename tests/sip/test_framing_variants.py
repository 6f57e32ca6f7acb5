"""Header lines that two readers might read differently, as one datagram and as a stream: one verdict for both.

Whoever smuggles a request past somebody lives on such a difference (blanks before a colon that are none, line ends that
are none, lengths that are none).
"""

import random

import pytest

from sipconf.sip.framing import StreamFramer
from sipconf.sip.parser import parse_message
from sipconf.sip.tokens import MalformedMessage
from tests.corpus.index import Row, rows

READ, REFUSED, SILENT = 200, 400, 0
"""SILENT: nothing in it can be answered. On a stream both refusals end the connection where the length is in doubt."""
PLAIN = (
    b"OPTIONS sip:2001@x SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\n"
    b"Call-ID: c1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 5\r\n\r\nhello"
)
LENGTH, TO = b"Content-Length: 5", b"To: <sip:b@h>"

VARIANTS: dict[str, tuple[bytes, bytes, int]] = {
    "plain": (b"", b"", READ),
    # --- names
    "blank before the colon": (TO, b"To : <sip:b@h>", READ),
    "tab before the colon": (TO, b"To\t: <sip:b@h>", READ),
    "many blanks around the colon": (TO, b"To \t \t:\t \t<sip:b@h>", READ),
    "no blank at all": (TO, b"To:<sip:b@h>", READ),
    "letters of any case": (TO, b"tO: <sip:b@h>", READ),
    "compact": (TO, b"t: <sip:b@h>", READ),
    "control 01 before the colon": (TO, b"To\x01: <sip:b@h>", REFUSED),
    "control 08 before the colon": (TO, b"To\x08: <sip:b@h>", REFUSED),
    "vertical tab before the colon": (TO, b"To\x0b: <sip:b@h>", REFUSED),
    "form feed before the colon": (TO, b"To\x0c: <sip:b@h>", REFUSED),
    "control 1f before the colon": (TO, b"To\x1f: <sip:b@h>", REFUSED),
    "delete before the colon": (TO, b"To\x7f: <sip:b@h>", REFUSED),
    "no-break blank before the colon": (TO, b"To\xa0: <sip:b@h>", REFUSED),
    "no-break blank in UTF-8": (TO, b"To\xc2\xa0: <sip:b@h>", REFUSED),
    "ideographic blank": (TO, b"To\xe3\x80\x80: <sip:b@h>", REFUSED),
    "next line of latin-1": (TO, b"To\x85: <sip:b@h>", REFUSED),
    "NUL before the colon": (TO, b"To\x00: <sip:b@h>", REFUSED),
    "NUL in front of the name": (TO, b"\x00To: <sip:b@h>", REFUSED),
    "control inside the name": (TO, b"T\x01o: <sip:b@h>", REFUSED),
    "blank inside the name": (TO, b"T o: <sip:b@h>", REFUSED),
    "a name of nothing": (TO, TO + b"\r\n: x", REFUSED),
    "no colon": (TO, TO + b"\r\nSubject", REFUSED),
    "slash in a name": (TO, TO + b"\r\nX/Y: 1", REFUSED),
    "bracket in a name": (TO, TO + b"\r\n<x>: 1", REFUSED),
    "a first header that begins with a blank": (b"SIP/2.0\r\nVia", b"SIP/2.0\r\n Via", SILENT),
    # --- lines
    "folded": (TO, b"To:\r\n <sip:b@h>", READ),
    "folded by a tab": (TO, b"To:\r\n\t<sip:b@h>", READ),
    "a line of blanks": (TO, TO + b"\r\n \t ", READ),
    "carriage return in a value": (TO, b"To: <sip:b@h>\rX: 1", REFUSED),
    "carriage return before the colon": (TO, b"To\r: <sip:b@h>", REFUSED),
    "line feed in a value": (TO, b"To: <sip:b@h>\nX: 1", REFUSED),
    "line feed and a Via": (TO, TO + b"\nVia: SIP/2.0/UDP evil;branch=z9hG4bK2", REFUSED),
    "line feed, then folded": (TO, b"To:\n <sip:b@h>", REFUSED),
    "two carriage returns": (TO, TO + b"\r", REFUSED),
    "carriage returns alone": (b"\r\n", b"\r", SILENT),
    "NUL in a value": (TO, b"To: <sip:b\x00@h>", REFUSED),
    "control in the method": (b"OPTIONS sip", b"OPT\x01IONS sip", SILENT),
    "tab in the request line": (b"OPTIONS sip", b"OPTIONS\tsip", SILENT),
    "two blanks in the request line": (b"OPTIONS sip", b"OPTIONS  sip", REFUSED),
    "blank behind the request line": (b"x SIP/2.0\r\n", b"x SIP/2.0 \r\n", REFUSED),
    "blank in front of the request line": (b"OPTIONS sip", b" OPTIONS sip", SILENT),
    # --- lengths
    "zeros in front": (LENGTH, b"Content-Length: 0000000005", READ),
    "blanks behind": (LENGTH, b"Content-Length: 5   ", READ),
    "the same twice": (LENGTH, b"Content-Length: 5\r\nl: 5", READ),
    "two of them": (LENGTH, b"Content-Length: 5\r\nContent-Length: 13", REFUSED),
    "two of them, the other way": (LENGTH, b"Content-Length: 13\r\nContent-Length: 5", REFUSED),
    "two of them, one compact": (LENGTH, b"Content-Length: 5\r\nl: 0", REFUSED),
    "a list": (LENGTH, b"Content-Length: 5, 13", REFUSED),
    "a list of the same": (LENGTH, b"Content-Length: 5, 5", REFUSED),
    "two figures": (LENGTH, b"Content-Length: 5 5", REFUSED),
    "a plus": (LENGTH, b"Content-Length: +5", REFUSED),
    "a minus": (LENGTH, b"Content-Length: -5", REFUSED),
    "hexadecimal": (LENGTH, b"Content-Length: 0x5", REFUSED),
    "letters": (LENGTH, b"Content-Length: five", REFUSED),
    "a fraction": (LENGTH, b"Content-Length: 5.0", REFUSED),
    "an exponent": (LENGTH, b"Content-Length: 5e0", REFUSED),
    "underscore": (LENGTH, b"Content-Length: 0_5", REFUSED),
    "nothing": (LENGTH, b"Content-Length:", REFUSED),
    "a parameter": (LENGTH, b"Content-Length: 5;x", REFUSED),
    "quoted": (LENGTH, b'Content-Length: "5"', REFUSED),
    "400 digits": (LENGTH, b"Content-Length: " + b"5" * 400, REFUSED),
    "400 zeros and a five": (LENGTH, b"Content-Length: " + b"0" * 400 + b"5", REFUSED),
    "beyond 64 bits": (LENGTH, b"Content-Length: 18446744073709551621", REFUSED),
    "arabic digit": (LENGTH, b"Content-Length: \xd9\xa5", REFUSED),
    "superscript digit": (LENGTH, b"Content-Length: \xc2\xb9", REFUSED),
    "NUL behind": (LENGTH, b"Content-Length: 5\x00", REFUSED),
    "vertical tab in front": (LENGTH, b"Content-Length:\x0b5", REFUSED),
    "form feed behind": (LENGTH, b"Content-Length: 5\x0c", REFUSED),
    "control before the colon of it": (LENGTH, b"Content-Length\x01: 5", REFUSED),
    "folded figure": (LENGTH, b"Content-Length:\r\n 5", READ),
    "folded in the figure": (LENGTH, b"Content-Length: 0\r\n 5", REFUSED),
}


def on_datagram(data: bytes) -> tuple[int, bytes]:
    """(verdict, body)."""
    try:
        return READ, parse_message(data).body
    except MalformedMessage as fault:
        return fault.status if fault.salvage is not None else SILENT, b""


def on_stream(data: bytes, cuts: list[int]) -> tuple[int, bytes]:
    """The verdict of the first message of a stream; one that never becomes complete has none, and is cut by time."""
    framer, framed = StreamFramer(), []
    try:
        for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
            framed += framer.feed(data[begin:end])
        framed += framer.feed(b"")
    except MalformedMessage as fault:
        if not framed:
            return fault.status if fault.salvage is not None else SILENT, b""
    return on_datagram(framed[0]) if framed else (SILENT, b"")


@pytest.mark.parametrize("name", VARIANTS)
def test_one_verdict_for_datagrams_and_streams(name: str) -> None:
    old, new, expected = VARIANTS[name]
    data = PLAIN.replace(old, new) if old else PLAIN
    wanted = (expected, b"hello" if expected == READ else b"")
    assert on_datagram(data) == wanted
    assert on_stream(data, []) == wanted
    assert on_stream(data, list(range(1, len(data)))) == wanted


def test_lines_that_end_in_lf_are_the_one_tolerance_and_of_datagrams_only() -> None:
    data = PLAIN.replace(b"\r\n", b"\n")
    assert on_datagram(data) == (READ, b"hello")
    assert on_stream(data, []) == on_stream(data, list(range(1, len(data)))) == (SILENT, b"")


@pytest.mark.parametrize("length", ["5, 13", "+5", "0x5", "", "9" * 400])
def test_a_stream_ends_where_its_length_is_in_doubt(length: str) -> None:
    framer = StreamFramer()
    with pytest.raises(MalformedMessage) as bad:
        framer.feed(PLAIN.replace(LENGTH, b"Content-Length: " + length.encode()))
    assert bad.value.status == 400 and bad.value.salvage is not None and framer.fault is bad.value


@pytest.mark.parametrize("row", rows("rfc4475", "phones", "sip"))
def test_pieces_change_nothing(row: Row) -> None:
    """One octet at a time, in one block, and cut at random: the same messages."""
    data, rng = row.data, random.Random(row.name)
    one_block = on_stream(data, [])
    cuts = [list(range(1, len(data)))] + [sorted(rng.sample(range(1, len(data)), 5)) for _ in range(5)]
    for cut in cuts:
        assert on_stream(data, cut) == one_block
    if row.kind == "valid" and len(data) == row.first_message and one_block[0] == READ:
        assert one_block == on_datagram(data)


def test_all_valid_messages_as_one_stream() -> None:
    """Everything that a stream can cut, one behind the other, with keep-alives between."""
    valid = [row.values[0] for row in rows("rfc4475", "phones", "sip") if row.values[0] is not None]
    whole = [row.data for row in valid if row.kind in ("valid", "app") and is_one_message(row.data)]
    stream = b"\r\n\r\n".join(whole)
    for piece in (len(stream), 1, 7, 1000):
        framer, found = StreamFramer(), []
        for at in range(0, len(stream), piece):
            found += framer.feed(stream[at : at + piece])
        assert found == whole and framer.pongs == len(whole) - 1


def is_one_message(data: bytes) -> bool:
    """Whether these octets are exactly one message of a stream."""
    try:
        return StreamFramer().feed(data) == [data]
    except MalformedMessage:
        return False
