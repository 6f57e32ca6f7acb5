"""Bytes to messages (RFC 3261 section 7): liberal where phones are odd, strict where two readers might differ.

A message that cannot be used raises MalformedMessage with the status that answers it. Faults are of three layers:
framing (here), values of the headers that every message needs (here, by reading them), all other values (when somebody
reads them). Cutting a stream into messages is `framing`'s work.
"""

import re

from sipconf.sip.headers import CANONICAL, Headers, canonical_name
from sipconf.sip.message import Request, Response
from sipconf.sip.multipart import SDP, find_description, is_multipart
from sipconf.sip.tokens import (
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    MAX_MESSAGE,
    MAX_ROUTES,
    MalformedMessage,
    is_token,
    parse_number,
)
from sipconf.sip.uri import SipUri

_FOLD = re.compile(r"\r\n[ \t]+")
_LF_FOLD = re.compile(r"\n[ \t]+")
_VERSION = re.compile(r"SIP/[0-9]{1,5}\.[0-9]{1,5}", re.IGNORECASE)
_ONCE = ("From", "To", "Call-ID", "CSeq")
_KEPT = {"via": "Via", "from": "From", "to": "To", "call-id": "Call-ID", "cseq": "CSeq"}
_NOWHERE = SipUri("sip", None, None, "invalid", None)
_ROWS: dict[str, tuple[str, str]] = {}
_MAX_ROWS = 512


def parse_message(data: bytes) -> Request | Response:
    """Read one datagram or one framed message.

    Bytes beyond Content-Length are ignored (RFC 3261 section 18.3); without Content-Length the body is the rest. Lines
    may end in LF alone if all of them do. Of several parts the session description alone is kept, and its type.

    Raises MalformedMessage.
    """
    if len(data) > MAX_MESSAGE:
        raise MalformedMessage("message too large", status=513)
    head, body = _cut(data)
    lines, charset = _lines(head)
    try:
        headers = _read_headers(lines, charset)
        message = _read_start(lines[0], headers)
        _check(message)
        message.body = _understood(headers, _body(headers, body))
    except MalformedMessage as fault:
        fault.salvage = _salvage(lines, charset)
        raise
    return message


def salvage(head: bytes) -> Request | None:
    """Enough of a broken request to answer it with, or None. For a stream whose framing is lost."""
    try:
        lines, charset = _lines(_cut(head + b"\r\n\r\n")[0])
    except MalformedMessage:
        return None
    return _salvage(lines, charset)


def content_length(values: list[str]) -> int | None:
    """What all Content-Length fields say; None where there is none. Raises MalformedMessage if they differ or lie."""
    if not values:
        return None
    lengths = {parse_number(value, "Content-Length", 10**9) for value in values}
    if len(lengths) > 1:
        raise MalformedMessage("differing Content-Length")
    return lengths.pop()


def _cut(data: bytes) -> tuple[bytes, bytes]:
    """Header section and what follows it. Empty lines in front are skipped (RFC 3261 section 7.5)."""
    start = 0
    while data[start : start + 2] == b"\r\n":
        start += 2
    while data[start : start + 1] == b"\n":
        start += 1
    end = data.find(b"\r\n\r\n", start)
    first = data.find(b"\n", start)
    if first > start and data[first - 1] != 0x0D:  # an LF-only sender, by its first line
        end = data.find(b"\n\n", start)
        return (data[start:end], data[end + 2 :]) if end >= 0 else (data[start:].rstrip(b"\n"), b"")
    if end >= 0:
        return data[start:end], data[end + 4 :]
    head = data[start:]
    if first < 0 or not head.strip():
        raise MalformedMessage("no SIP message")
    if not head.endswith(b"\r\n"):
        raise MalformedMessage("message cut short")
    return head[:-2], b""  # the empty line is missing, as in a well-known torture test; nothing can follow it


def _lines(head: bytes) -> tuple[list[str], str]:
    """Start line and unfolded header lines, decoded as UTF-8, or as Latin-1 where the bytes are not UTF-8.

    Lines beyond the limit are left together in the last one: a list of them would cost many times their length.
    """
    charset = "utf-8"
    try:
        text = head.decode()
    except UnicodeDecodeError:
        charset = "latin-1"
        text = head.decode(charset)
    first = text.find("\n")
    if first > 0 and text[first - 1] != "\r":
        if "\n " in text or "\n\t" in text:
            text = _LF_FOLD.sub(" ", text)
        return text.split("\n", MAX_HEADERS + 1), charset
    if "\r\n " in text or "\r\n\t" in text:
        text = _FOLD.sub(" ", text)
    return text.split("\r\n", MAX_HEADERS + 1), charset


def _read_headers(lines: list[str], charset: str) -> Headers:
    if len(lines) > MAX_HEADERS + 1:
        raise MalformedMessage("too many headers")
    fields = []
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon:
            raise MalformedMessage("header line without a colon")
        row = _ROWS.get(name) or _row(name)
        if "\r" in value or "\n" in value:
            raise MalformedMessage("bare line break in a header")
        if len(value) > MAX_HEADER_BYTES:
            raise MalformedMessage("header too long")
        fields.append((row[0], row[1], value.strip(" \t")))
    return Headers.from_wire(fields, charset)


def _row(name: str) -> tuple[str, str]:
    """(key, spelling) of a name as it stands before the colon. Only blanks may stand between (section 7.3.1)."""
    spelled = canonical_name(name.rstrip(" \t"))
    if spelled is None:
        raise MalformedMessage("bad header name")
    if len(spelled) > MAX_HEADER_BYTES:
        raise MalformedMessage("header too long")
    row = (spelled.lower(), spelled)
    if len(_ROWS) < _MAX_ROWS and row[0] in CANONICAL and len(name) < 32:
        _ROWS[name] = row
    return row


def _read_start(line: str, headers: Headers) -> Request | Response:
    words = line.split(" ", 2)
    if len(words) == 3 and words[0] == "SIP/2.0" or line[:4].upper() == "SIP/":
        return _read_status(line, words, headers)
    if len(words) != 3 or not is_token(words[0]):
        raise MalformedMessage("malformed request line")
    method, target, version = words
    if version != "SIP/2.0":
        if _VERSION.fullmatch(version) is None:
            raise MalformedMessage("malformed request line")
        if version.upper() != "SIP/2.0":
            raise MalformedMessage("unknown SIP version", status=505)
    uri = SipUri.parse(target)
    if not uri.is_sip and uri.scheme != "tel":
        raise MalformedMessage("unknown URI scheme", status=416)
    return Request(method, uri, headers)


def _read_status(line: str, words: list[str], headers: Headers) -> Response:
    if len(words) < 2 or words[0].upper() != "SIP/2.0":
        raise MalformedMessage("malformed status line")
    status = words[1]
    if len(status) != 3 or not (status.isascii() and status.isdigit()) or not 100 <= int(status) <= 699:
        raise MalformedMessage("status out of range")
    return Response(int(status), words[2] if len(words) == 3 else "", headers)


def _check(message: Request | Response) -> None:
    """Read what every message must have (RFC 3261 section 8.1.1), so that nobody later meets a fault there."""
    headers = message.headers
    for name in _ONCE:
        if len(headers.get_fields(name)) > 1:
            raise MalformedMessage(f"more than one {name}")
    cseq = message.cseq
    if isinstance(message, Request) and cseq.method != message.method:
        raise MalformedMessage("CSeq names another method")
    _ = message.vias, message.from_, message.to, message.call_id, message.contacts
    for name in ("Route", "Record-Route"):  # their values wait for whoever follows them
        values = headers.get_fields(name)
        if sum(value.count(",") for value in values) + len(values) > MAX_ROUTES:
            if len(headers.get_all(name)) > MAX_ROUTES:
                raise MalformedMessage(f"too many {name}")


def _body(headers: Headers, rest: bytes) -> bytes:
    length = content_length(headers.get_fields("Content-Length"))
    if length is None or length == len(rest):
        return rest
    if length > len(rest):
        raise MalformedMessage("body shorter than Content-Length")
    return rest[:length]


def _understood(headers: Headers, body: bytes) -> bytes:
    """The body, or of several parts the session description (RFC 5621): nobody here has a use for the others."""
    kind = headers.get("Content-Type") or ""
    if not body or not is_multipart(kind):
        return body
    description = find_description(kind, body)
    if description is None:
        return body
    headers.set("Content-Type", SDP)
    return description


def _salvage(lines: list[str], charset: str) -> Request | None:
    method = lines[0].split(" ", 1)[0]
    if not is_token(method) or method == "ACK" or lines[0][:4].upper() == "SIP/":
        return None
    headers = Headers(charset=charset)
    for line in lines[1 : MAX_HEADERS + 1]:
        name, _, value = line.partition(":")
        known = _KEPT.get((canonical_name(name.rstrip(" \t")) or "").lower())
        value = value.strip(" \t")
        if known is None or "\r" in value or "\n" in value or len(value) > MAX_HEADER_BYTES:
            continue
        if known == "Via" or known not in headers:
            headers.add(known, value)
    # An answer without Via, or with neither of the others, is of no use to anybody.
    usable = "Via" in headers and ("CSeq" in headers or "Call-ID" in headers)
    return Request(method, _NOWHERE, headers) if usable else None
