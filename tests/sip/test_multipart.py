"""The session description among several parts, and bodies that are no parts."""

import pytest

from sipconf.sip.multipart import MAX_PARTS, find_description
from sipconf.sip.parser import parse_message
from sipconf.sip.tokens import MalformedMessage

SDP = b"v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\n"
KIND = "multipart/mixed;boundary=x"


def part(kind: str, content: bytes, extra: str = "") -> bytes:
    return f"--x\r\nContent-Type: {kind}\r\n{extra}\r\n".encode() + content + b"\r\n"


ISUP = part("application/ISUP;version=x", bytes(range(256)), "Content-Disposition: signal;handling=optional\r\n")


@pytest.mark.parametrize(
    ("kind", "body", "found"),
    [
        (KIND, part("application/sdp", SDP) + b"--x--\r\n", SDP),
        (KIND, ISUP + part("application/sdp", SDP) + ISUP + b"--x--", SDP),
        ('Multipart/Mixed; charset=x; Boundary = "x"', b"preface\r\n" + part("Application/SDP; x=1", SDP), SDP),
        ("multipart/alternative;boundary=x", part("text/plain", b"v=0") + part("application/sdp", SDP), SDP),
        (KIND, part("application/sdp", SDP, "Content-Transfer-Encoding: binary\r\n"), SDP),
        (KIND, part("application/sdp", SDP, "Content-Transfer-Encoding: base64\r\n"), None),
        (KIND, part("text/plain", b"hello") + b"--x--\r\n" + part("application/sdp", SDP), None),
        (KIND, b"--y\r\nContent-Type: application/sdp\r\n\r\n" + SDP, None),
        (KIND, b"", None),
        (KIND, b"--x", None),
        (KIND, part("multipart/mixed;boundary=y",
                    b"--y\r\nContent-Type: application/sdp\r\n\r\n" + SDP + b"\r\n--y--"), SDP),
        (KIND, part("application/sdp", b"first") + part("application/sdp", b"second"), b"first"),
    ],
)  # fmt: skip
def test_what_is_found(kind: str, body: bytes, found: bytes | None) -> None:
    assert find_description(kind, body if b"--x--" in body else body + b"--x--\r\n") == found


def nested(depth: int) -> bytes:
    content = b"--b0\r\nContent-Type: application/sdp\r\n\r\n" + SDP
    for level in range(1, depth):
        content = f"--b{level}\r\nContent-Type: multipart/mixed;boundary=b{level - 1}\r\n\r\n".encode() + content
    return content


def test_limits() -> None:
    many = b"".join(part("text/plain", b"") for _ in range(MAX_PARTS - 1))
    assert find_description(KIND, many + part("application/sdp", SDP) + b"--x--") == SDP
    with pytest.raises(MalformedMessage):
        find_description(KIND, part("text/plain", b"") + many + part("application/sdp", SDP))
    assert find_description("multipart/mixed;boundary=b1", nested(2)) == SDP
    for depth in (3, 300):
        with pytest.raises(MalformedMessage):
            find_description(f"multipart/mixed;boundary=b{depth - 1}", nested(depth))
    for kind in ("multipart/mixed", "multipart/mixed;boundary=", 'multipart/mixed;boundary="', "multipart/x;b=x"):
        with pytest.raises(MalformedMessage):
            find_description(kind, part("application/sdp", SDP))


@pytest.mark.parametrize(
    ("kind", "body", "left_type", "left"),
    [
        ("application/sdp", SDP, "application/sdp", SDP), ("", SDP, "", SDP), ("text/plain", SDP, "text/plain", SDP),
        (KIND, part("application/sdp", SDP) + b"--x--", "application/sdp", SDP), (KIND, b"", "multipart/mixed", b""),
        ("Multipart/Mixed ;boundary=x", ISUP + part("application/sdp", SDP) + b"--x--", "application/sdp", SDP),
        (KIND, ISUP + b"--x--", "multipart/mixed", ISUP + b"--x--"),
    ],
)  # fmt: skip
def test_what_a_message_keeps(kind: str, body: bytes, left_type: str, left: bytes) -> None:
    request = parse_message(message(kind, body))
    assert (request.content_type, request.body) == (left_type, left)
    again = parse_message(request.encode())
    assert (again.content_type, again.body) == (left_type, left)


def message(kind: str, body: bytes) -> bytes:
    line = f"Content-Type: {kind}\r\n" if kind else ""
    return (
        f"INVITE sip:1@x SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\n"
        f"Call-ID: c\r\nCSeq: 1 INVITE\r\n{line}\r\n").encode() + body


def test_parts_that_nobody_can_tell_apart_are_answered() -> None:
    with pytest.raises(MalformedMessage) as bad:
        parse_message(message("multipart/mixed", part("application/sdp", SDP)))
    assert bad.value.status == 400 and bad.value.salvage is not None
