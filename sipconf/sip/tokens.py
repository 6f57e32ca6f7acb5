"""The letters SIP is written in: limits, token and quoted-string grammar, lists and parameters (RFC 3261 section 25).

What a header means lives in `headers`, `uri` and `message`. Every routine here takes time linear in its input.
"""

import re
from typing import TYPE_CHECKING

from sipconf.errors import PeerError

if TYPE_CHECKING:
    from sipconf.sip.message import Request

MAX_MESSAGE = 131072  # on a stream; a datagram has at most 64 KiB
MAX_HEADERS = 256
MAX_HEADER_BYTES = 8192
MAX_VIAS = 70
MAX_ROUTES = 32
MAX_CONTACTS = 32
MAX_CSEQ = 2**31 - 1
MAX_PARAMS = 64
MAX_ELEMENTS = 512

Params = tuple[tuple[str, str | None], ...]

TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")
QUOTED = re.compile(r'"([^"\\]*+(?:\\.[^"\\]*+)*+)"', re.DOTALL)
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_DELTA_SECONDS = re.compile(r"[ \t]*([0-9]{1,9})[ \t]*(?:[;(]|\Z)")
_PARAM_VALUE = re.compile(r'[^\x00-\x20\x7f"<>;,]*')
_SPLIT_AT = re.compile(r'[",<>]')
_QUOTE_OR_SEMICOLON = re.compile(r'[";]')


class MalformedMessage(PeerError):
    """Bytes that are no SIP message, or a header that cannot be read.

    salvage: enough of a request (Via, From, To, Call-ID, CSeq, as they came) to answer `status` with; None where
    silence is the only answer: a response, an ACK, bytes of no shape. Its headers may themselves be unreadable, so
    answer to the address that the bytes came from.
    """

    def __init__(self, reason: str, *, status: int = 400, metric: str = "malformed_message") -> None:
        super().__init__(reason, status=status, metric=metric)
        self.salvage: Request | None = None


def is_token(text: str) -> bool:
    """True for a token (RFC 3261 section 25.1)."""
    return TOKEN.fullmatch(text) is not None


def unquote(text: str) -> str:
    """What stands inside a quoted string's quotes, without its backslashes."""
    return _ESCAPED.sub(r"\1", text) if "\\" in text else text


def quote(text: str) -> str:
    """A quoted string that reads back as `text`. A line break in it, which SIP cannot say, becomes a space."""
    if "\r" in text or "\n" in text:
        text = text.replace("\r", " ").replace("\n", " ")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def split_list(value: str) -> list[str]:
    """The elements of a comma list, stripped; commas in quotes or angle brackets do not count. Empty ones are kept.

    Raises MalformedMessage for more than MAX_ELEMENTS, for a list of nothing but commas costs many times its length.
    """
    if "," not in value:
        return [value.strip()]
    if '"' not in value and "<" not in value:
        if value.count(",") >= MAX_ELEMENTS:
            raise MalformedMessage("too many elements in a list")
        return [element.strip() for element in value.split(",")]
    elements, start, at, inside = [], 0, 0, False
    while (found := _SPLIT_AT.search(value, at)) is not None:
        mark, at = found.group(), found.end()
        if mark == '"' and not inside:
            string = QUOTED.match(value, found.start())
            if string is None:
                raise MalformedMessage("unterminated quoted string")
            at = string.end()
        elif mark == "<":
            inside = True
        elif mark == ">":
            inside = False
        elif mark == "," and not inside:
            elements.append(value[start : found.start()].strip())
            start = at
            if len(elements) >= MAX_ELEMENTS:
                raise MalformedMessage("too many elements in a list")
    elements.append(value[start:].strip())
    return elements


def _pieces(text: str) -> list[str]:
    """The text cut at semicolons outside quotes; behind more of them than parameters may be, it is left uncut."""
    if '"' not in text:
        return text.split(";", MAX_PARAMS + 2)
    pieces, start, at = [], 0, 0
    while (found := _QUOTE_OR_SEMICOLON.search(text, at)) is not None:
        at = found.end()
        if found.group() == '"':
            string = QUOTED.match(text, found.start())
            if string is None:
                raise MalformedMessage("unterminated quoted string")
            at = string.end()
        else:
            pieces.append(text[start : found.start()])
            start = at
    pieces.append(text[start:])
    return pieces


def parse_params(text: str) -> Params:
    """Read `;name=value;flag` behind a header value; quoted values keep their quotes.

    Raises MalformedMessage for an empty parameter, except one trailing semicolon, which real phones write; for a
    second tag or branch, of which two readers might choose differently.
    """
    text = text.strip()
    if not text:
        return ()
    if text[0] != ";":
        raise MalformedMessage("parameters do not begin with a semicolon")
    pieces = _pieces(text)[1:]
    if pieces and not pieces[-1].strip():
        pieces.pop()
    if len(pieces) > MAX_PARAMS:
        raise MalformedMessage("too many parameters")
    params: list[tuple[str, str | None]] = []
    names = []
    for piece in pieces:
        name, equals, value = piece.partition("=")
        name, value = name.strip(), value.strip()
        if TOKEN.fullmatch(name) is None:
            raise MalformedMessage("bad parameter name")
        if not equals:
            params.append((name, None))
        elif _PARAM_VALUE.fullmatch(value) or QUOTED.fullmatch(value):
            params.append((name, value))
        else:
            raise MalformedMessage("bad parameter value")
        names.append(name.lower())
    if len(names) > 1 and (names.count("tag") > 1 or names.count("branch") > 1):
        raise MalformedMessage("repeated tag or branch")
    return tuple(params)


def find_param(params: Params, name: str) -> str | None:
    """The first value under `name` (any case), unquoted; "" for a flag, None where it is absent."""
    for key, value in params:
        if key == name or key.lower() == name:
            if value is None:
                return ""
            return unquote(value[1:-1]) if value[:1] == '"' else value
    return None


def replace_param(params: Params, name: str, value: str | None) -> Params:
    """The parameters with `name` set to `value` (None: a flag), in its old place or at the end."""
    if value is not None and not _PARAM_VALUE.fullmatch(value):
        value = quote(value)
    out: list[tuple[str, str | None]] = []
    placed = False
    for key, old in params:
        if key.lower() != name.lower():
            out.append((key, old))
        elif not placed:
            out.append((key, value))
            placed = True
    if not placed:
        out.append((name, value))
    return tuple(out)


def write_params(params: Params) -> str:
    """`;name=value;flag`, or nothing."""
    return "".join([f";{name}" if value is None else f";{name}={value}" for name, value in params])


def parse_port(text: str | None) -> int | None:
    """A port number 1 to 65535; None for an absent one."""
    if text is None:
        return None
    port = int(text)
    if not 1 <= port <= 65535:
        raise MalformedMessage("port out of range")
    return port


def delta_seconds(text: str | None) -> int | None:
    """Seconds of Expires, Min-SE, Retry-After and their like, whatever parameters and comment follow; None for what
    cannot be read."""
    match = _DELTA_SECONDS.match(text or "")
    return None if match is None else int(match[1])


def parse_number(text: str, what: str, limit: int) -> int:
    """A non-negative decimal number of at most `limit`: digits only, no sign, no hexadecimal."""
    if not (text.isascii() and text.isdigit()) or len(text) > 32:
        raise MalformedMessage(f"{what} is no number")
    number = int(text)
    if number > limit:
        raise MalformedMessage(f"{what} is too large")
    return number
