"""CPU per SIP message: parse, and parse + 200 + encode, against bytes.split of the same message in the same run.

`python -m benchmarks.bench_parser` prints the rows; nothing is sent anywhere.
"""

import time
from collections.abc import Callable

from sipconf.sip.offer import Capabilities, Format, LocalMedia, choose, make_answer
from sipconf.sip.parser import parse_message

BODY = (
    b"v=0\r\no=- 3862847 3862847 IN IP4 192.0.2.9\r\ns=call\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n"
    b"m=audio 4000 RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n"
    b"a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=sendrecv\r\n"
)
INVITE = (
    b"INVITE sip:900@conference.example.com SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 192.0.2.9:5060;rport;branch=z9hG4bKPj1f2e3d4c5b6a\r\n"
    b"Max-Forwards: 70\r\nFrom: \"Ann\" <sip:101@conference.example.com>;tag=8c1f2e3d\r\n"
    b"To: <sip:900@conference.example.com>\r\nContact: \"Ann\" <sip:101@192.0.2.9:5060;ob>\r\n"
    b"Call-ID: 84fd320bbed94402a3e33a47b7eef4a5\r\nCSeq: 2240 INVITE\r\n"
    b"Allow: PRACK, INVITE, ACK, BYE, CANCEL, UPDATE, INFO, SUBSCRIBE, NOTIFY, REFER, MESSAGE, OPTIONS\r\n"
    b"Supported: replaces, 100rel, timer, norefersub\r\nSession-Expires: 1800\r\nMin-SE: 90\r\n"
    b"User-Agent: phone/3.19\r\n"
    b"Authorization: Digest username=\"101\", realm=\"conference.example.com\", nonce=\"1c2d3e\", uri=\"sip:900@c\", "
    b"response=\"0123456789abcdef0123456789abcdef\", algorithm=MD5, cnonce=\"5f\", qop=auth, nc=00000001\r\n"
    b"Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n" % len(BODY)
) + BODY
CAPABILITIES = Capabilities((Format("PCMU", 8000, 0), Format("PCMA", 8000, 8)))
LOCAL = LocalMedia("192.0.2.1", 10000, 10001, 1, 1)


def _floor() -> None:
    for line in INVITE.split(b"\r\n"):
        line.split(b":", 1)


def _parse() -> None:
    parse_message(INVITE)


def _answer() -> None:
    parse_message(INVITE).response(200, to_tag="f00d").encode()


def _negotiate() -> None:
    make_answer(choose(BODY, CAPABILITIES), LOCAL)


def _microseconds(work: Callable[[], None], rounds: int, tries: int = 5) -> float:
    """Least CPU time of one call among several tries."""
    best = float("inf")
    for _ in range(tries):
        began = time.process_time()
        for _ in range(rounds):
            work()
        best = min(best, time.process_time() - began)
    return best / rounds * 1e6


def run(quick: bool = False) -> list[dict]:
    """Rows of name, value, unit and ratio to the floor."""
    rounds = 500 if quick else 5000
    floor = _microseconds(_floor, rounds)
    rows = [{"name": "parser_floor_split", "value": floor, "unit": "us", "ratio_to_floor": 1.0}]
    for name, work in (("parse_invite", _parse), ("parse_respond_encode", _answer), ("sdp_offer_answer", _negotiate)):
        value = _microseconds(work, rounds)
        rows.append({"name": name, "value": value, "unit": "us", "ratio_to_floor": value / floor})
    return rows


if __name__ == "__main__":
    for row in run():
        print(f"{row['name']:24} {row['value']:8.1f} {row['unit']}  {row['ratio_to_floor']:6.1f} x floor")
