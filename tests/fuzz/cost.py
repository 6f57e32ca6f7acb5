"""What hostile inputs cost at n, 2n and 4n octets: work must grow as the input does, and memory with it.

Work is counted, not timed: executed lines of Python. What runs inside one call of a library (a search of a regular
expression) is not seen that way, so `measure` takes CPU time too, for `make fuzz` only.
"""

import random
import sys
import time
import tracemalloc
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np

from sipconf.errors import PeerError
from sipconf.rtp.dtls_records import CLIENT_MESSAGES, Sieve
from sipconf.rtp.packet import ROW, parse
from sipconf.rtp.rtcp_packets import parse_compound
from sipconf.sip.digest import Authenticator, parse_parameters
from sipconf.sip.framing import StreamFramer
from sipconf.sip.headers import Headers
from sipconf.sip.message import Request
from sipconf.sip.offer import choose
from sipconf.sip.parser import parse_message
from sipconf.sip.registrar import NoBindings, Registrar, RegistrarSettings
from sipconf.sip.sdp import SessionDescription
from sipconf.sip.uri import SipUri
from tests.fuzz.sdp_offer import CAPABILITIES, PROTECTIONS
from tests.sim.desk import PHONE, Desk, request
from tests.sim.dtls_noise import alert, handshake_message, record
from tests.sim.rtcp_reports import build_report

Shape = Callable[[int], bytes]
Reader = Callable[[bytes], Any]
SMALL = 4000
"""Octets of n; 4n is below the limits of most values and far below that of a message."""
STEP = 2.6
"""Most that twice the input may cost."""
SLOW = 0.05
"""Seconds of CPU that the largest input may cost."""


def _filled(piece: str, before: str = "", after: str = "") -> Shape:
    return lambda size: (before + piece * max(1, (size - len(before) - len(after)) // len(piece)) + after).encode()


def _header(name: str, piece: str, before: str = "", after: str = "") -> Shape:
    """A request with one header, repeated where it would be longer than a header may be, filled with a piece."""
    def shape(size: int) -> bytes:
        value = before + piece * max(1, min(size, 8000) // len(piece)) + after
        lines = f"{name}: {value}\r\n" * max(1, size // 8000)
        return request("REGISTER", uri="sip:x", to="<sip:101@x>", extra=lines).encode()

    return shape


PIECES = (
    "a", "%", ";", "<", '"', "\\", ",", " ", "\t", "(", '\\"', "a,", "a;", "a=b;", '"a",', "<a>,", "\r\n ", "%41", "=",
    ":", "a ", " ;", "[", "@", "a@",
)
NAMES = ("Via", "From", "To", "Contact", "Record-Route", "Authorization", "Accept", "X-Unknown", "Call-ID", "CSeq",
         "Content-Length", "Expires", "P-Asserted-Identity")
MESSAGES: dict[str, Shape] = {f"{name} {piece!r}": _header(name, piece) for name in NAMES for piece in PIECES}
MESSAGES |= {f"Contact's tail {piece!r}": _header("Contact", piece, "sip:b@c", ";q=0.1") for piece in PIECES}
MESSAGES |= {f"Via's tail {piece!r}": _header("Via", piece, "SIP/2.0/UDP a;branch=b", ";x") for piece in PIECES}
MESSAGES |= {f"display name {piece!r}": _header("Contact", piece, '"', '" <sip:b@c>') for piece in PIECES}
MESSAGES |= {f"user {piece!r}": _filled(piece, "INVITE sip:a", "@b SIP/2.0\r\nVia: x\r\n\r\n") for piece in PIECES}
MESSAGES |= {f"nothing but {piece!r}": _filled(piece) for piece in PIECES}
MESSAGES |= {
    f"lines of {line!r}": _filled(line + "\r\n", request("INFO")[:-2]) for line in ("a:", "Via: a", "v:", "a", " ")
}
STREAMS: dict[str, Shape] = {
    f"stream of {piece!r}": _filled(piece)
    for piece in ("\r\n", "\r", "a", "a\r\n", "\r\nl:", "\r\nl: 1", request("OPTIONS"))
}
DESCRIPTIONS: dict[str, Shape] = {
    f"{line!r} after {head!r}": _filled(line + "\r\n", "v=0\r\n" + head)
    for head in ("", "m=audio 1 RTP/AVP 0\r\n")
    for line in ("a=x", "a=rtpmap:0 PCMU/8000", "a=fmtp:0 a", "a=sendonly", "m=audio 1 RTP/AVP 0", "c=IN IP4 1.2.3.4",
                 "t=0 0", "o=a 0 0 IN IP4 b", "i=x", "a=candidate:1 1 udp 1 a.local 9 typ host", "a=crypto:1 a b",
                 "a=fingerprint:sha-256 AB")
} | {
    f"{before!r} and {piece!r}": _filled(piece, "v=0\r\nm=audio 1 RTP/AVP 0\r\n" + before, "\x0b")
    for before in ("a=crypto:1 ", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:A", "a=fingerprint:sha-256 AB",
                   "a=extmap:1", "m=audio 1 RTP/AVP", "m=", "a=rtpmap:", "a=rtpmap:0 a", "a=fmtp:", "c=IN IP4 ", "o=",
                   "a=ptime:", "a=rtcp:")
    for piece in (" ", " 0", "0", "/", "a", "\t", ":")
}
CREDENTIALS: dict[str, Shape] = {
    f"Digest {before!r} {piece!r}": _filled(piece, "Digest " + before)
    for before in ("", "a=", 'a="', 'a="b"', "a=b,")
    for piece in PIECES
    if "\r" not in piece
}
REPORTS: dict[str, Shape] = {
    "nothing but reports": lambda size: build_report(1, None, ()) * (size // 8),
    "items": lambda size: (
        build_report(1, None, ()) + b"\x9f\xca" + (size // 8 * 2).to_bytes(2) + b"\0\0\0\1\1\0\1\0" * (size // 8)
    ),
}
HELLOS = {
    "alerts": lambda size: alert(40) * (size // 15),
    "messages": lambda size: record(22, handshake_message(1, b"") * (size // 12)),
    "records": lambda size: record(22, handshake_message(1, b"")) * (size // 25),
}


def register(data: bytes) -> None:
    """A REGISTER that has proven whose it is."""
    message = parse_message(data)
    assert isinstance(message, Request)
    registrar = Registrar(NoBindings(), RegistrarSettings(), random.Random(0))
    registrar.register(message, "101", PHONE, 0.0)


def _receive(data: bytes) -> None:
    """The whole user agent, from a stranger."""
    desk = Desk()
    desk.agent.receive(data, PHONE, desk.now)


def _verify(data: bytes) -> None:
    parse_parameters(data.decode())
    authenticator = Authenticator("r", lambda user, source: None, ("MD5",), random.Random(0))
    authenticator.verify(Request("INVITE", SipUri.parse("sip:a"), Headers([("Authorization", data.decode())])), 0.0)


def _cut(data: bytes) -> None:
    framer = StreamFramer()
    for at in range(0, len(data), 100):
        framer.feed(data[at : at + 100])


def agree(data: bytes) -> None:
    SessionDescription.parse(data).encode()
    choose(data, CAPABILITIES, None, PROTECTIONS[1])


def _headers(data: bytes) -> None:
    count = len(data) // ROW + 1
    block = np.zeros((count, ROW), np.uint8)
    block.reshape(-1)[: len(data)] = np.frombuffer(data, np.uint8)
    parse(block, np.full(count, ROW))


READERS: tuple[tuple[str, Reader, dict[str, Shape]], ...] = (
    ("parser", parse_message, MESSAGES),
    ("registrar", register, MESSAGES),
    ("agent", _receive, MESSAGES),
    ("stream", _cut, STREAMS),
    ("sdp", agree, DESCRIPTIONS),
    ("digest", _verify, CREDENTIALS),
    ("rtcp", parse_compound, REPORTS),
    ("dtls", lambda data: Sieve(CLIENT_MESSAGES).sift(data), HELLOS),
    ("rtp", _headers, {"extensions": _filled("\x10\x20\x30\x40")}),
)


def read(reader: Reader, data: bytes) -> None:
    """Read, whatever comes of it."""
    try:
        reader(data)
    except PeerError:
        return


def lines_run(reader: Reader, data: bytes) -> int:
    """How many lines of Python a reader runs."""
    count = 0

    def trace(frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal count
        count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        read(reader, data)
    finally:
        sys.settrace(before)
    return count


def peak(reader: Reader, data: bytes) -> int:
    """Most octets that a reader holds at once."""
    tracemalloc.start()
    try:
        read(reader, data)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def cpu_seconds(reader: Reader, data: bytes) -> float:
    """CPU time of one reading, the best of three."""
    best = float("inf")
    for _ in range(3):
        began = time.process_time()
        read(reader, data)
        best = min(best, time.process_time() - began)
    return best


def measure(sizes: tuple[int, ...] = (2000, 16_000)) -> int:
    """Print the dearest shapes by CPU time, and every one that is slow or grows faster than its input. 1 if one does.

    The smaller size shows what grows within one header, the larger what grows with their number.
    """
    rows, bad = [], 0
    for name, reader, shapes in READERS:
        for what, shape in shapes.items():
            for size in sizes:
                costs = [cpu_seconds(reader, shape(times * size)) for times in (1, 2, 4)]
                rows.append((costs[2], name, what, 4 * size))
                if costs[2] > SLOW or costs[2] > 0.002 and costs[2] > STEP * STEP * costs[0]:
                    bad += 1
                    figures = ", ".join(f"{cost * 1000:.2f}" for cost in costs)
                    print(f"TOO MUCH {name}: {what}: {figures} ms at {size}, {2 * size} and {4 * size} octets")
    print("dearest inputs, CPU:")
    for cost, name, what, octets in sorted(rows, reverse=True)[:5]:
        print(f"{cost * 1000:8.2f} ms  {octets} octets  {name}: {what}")
    return 1 if bad else 0
