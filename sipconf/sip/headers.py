"""Header fields: the ordered multimap, Via and CSeq (RFC 3261 sections 7.3 and 20).

Values stay raw text until somebody reads them; what was read is remembered until the headers change.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

from sipconf.errors import MisuseError
from sipconf.sip.tokens import (
    MAX_CSEQ,
    MalformedMessage,
    Params,
    find_param,
    is_token,
    parse_number,
    parse_params,
    parse_port,
    replace_param,
    split_list,
    write_params,
)

_NAMES = """Accept Accept-Encoding Accept-Language Alert-Info Allow Allow-Events Authentication-Info Authorization
Call-ID Call-Info Contact Content-Disposition Content-Encoding Content-Language Content-Length
Content-Type CSeq Date Diversion Error-Info Event Expires From In-Reply-To Max-Forwards MIME-Version
Min-Expires Min-SE Organization P-Asserted-Identity P-Preferred-Identity Path Privacy Proxy-Authenticate
Proxy-Authorization Proxy-Require RAck Reason Record-Route Refer-To Referred-By Replaces Reply-To Require
Retry-After Route RSeq Server Service-Route Session-Expires SIP-ETag SIP-If-Match Subject
Subscription-State Supported Timestamp To Unsupported User-Agent Via Warning WWW-Authenticate""".split()
# RFC 3261 section 7.3.3 and the registrations that followed it.
_COMPACT = {
    "a": "Accept-Contact", "b": "Referred-By", "c": "Content-Type", "e": "Content-Encoding", "f": "From",
    "i": "Call-ID", "k": "Supported", "l": "Content-Length", "m": "Contact", "o": "Event", "r": "Refer-To",
    "s": "Subject", "t": "To", "u": "Allow-Events", "v": "Via", "x": "Session-Expires",
}
CANONICAL: dict[str, str] = {name.lower(): name for name in _NAMES} | _COMPACT
_SPELLINGS = dict(CANONICAL) | {name: name for name in _NAMES} | {c.upper(): name for c, name in _COMPACT.items()}
LISTS = frozenset(
    """accept accept-encoding accept-language alert-info allow allow-events call-info contact content-encoding
    content-language diversion error-info in-reply-to p-asserted-identity path proxy-require reason record-route require
    route service-route supported unsupported via warning""".split()
)
_KEYS = {name: name.lower() for name in CANONICAL.values()} | {low: name.lower() for low, name in CANONICAL.items()}


def canonical_name(name: str) -> str | None:
    """The usual spelling of a header name, compact forms expanded; an unknown name as it is; None for no token."""
    known = _SPELLINGS.get(name)
    if known is not None:
        return known
    if not is_token(name):
        return None
    return CANONICAL.get(name.lower(), name)


def _key(name: str) -> str:
    known = _KEYS.get(name)
    return known if known is not None else _KEYS.get(name.lower(), name.lower())


class Headers:
    """An ordered multimap of raw values; names compare without case, compact forms count as the long ones.

    parsed: what `message` has read from here; emptied by every change. charset: how the values are encoded on the wire.
    """

    __slots__ = ("_fields", "charset", "parsed")

    def __init__(self, fields: list[tuple[str, str]] | None = None, charset: str = "utf-8") -> None:
        self._fields: list[tuple[str, str, str]] = []
        self.charset = charset
        self.parsed: dict[str, Any] = {}
        for name, value in fields or ():
            self.add(name, value)

    @classmethod
    def from_wire(cls, fields: list[tuple[str, str, str]], charset: str) -> Self:
        """Take over (key, name, value) rows that the parser has checked."""
        headers = cls(charset=charset)
        headers._fields = fields
        return headers

    def get(self, name: str, default: str | None = None) -> str | None:
        """The first field's raw value."""
        key = _key(name)
        for row in self._fields:
            if row[0] == key:
                return row[2]
        return default

    def get_fields(self, name: str) -> list[str]:
        """Every field's raw value, one per line."""
        key = _key(name)
        return [row[2] for row in self._fields if row[0] == key]

    def get_all(self, name: str) -> list[str]:
        """One text per element for comma lists (empty elements left out), one per line for every other header.

        Raises MalformedMessage for a list with an unterminated quoted string.
        """
        values = self.get_fields(name)
        if _key(name) in LISTS:
            return [element for value in values for element in split_list(value) if element]
        return values

    def add(self, name: str, value: str) -> None:
        """Append a field. Raises MisuseError for a value that would break the line."""
        self._fields.append(_row(name, value))
        self.parsed.clear()

    def set(self, name: str, value: str) -> None:
        """Replace every field of this name by one, in the first one's place."""
        row = _row(name, value)
        keys = [field[0] for field in self._fields]
        if row[0] not in keys:
            self._fields.append(row)
        else:
            at = keys.index(row[0])
            tail = [field for field in self._fields[at + 1 :] if field[0] != row[0]]
            self._fields[at:] = [row, *tail]
        self.parsed.clear()

    def remove(self, name: str) -> None:
        """Drop every field of this name."""
        key = _key(name)
        self._fields = [row for row in self._fields if row[0] != key]
        self.parsed.clear()

    def items(self) -> Iterator[tuple[str, str]]:
        """(name, raw value) in order."""
        return ((name, value) for _, name, value in self._fields)

    def copy(self) -> "Headers":
        other = Headers(charset=self.charset)
        other._fields = list(self._fields)
        return other

    def __contains__(self, name: str) -> bool:
        key = _key(name)
        return any(row[0] == key for row in self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        return f"Headers({[name for _, name, _ in self._fields]})"

    def write(self) -> str:
        """The header lines, each with its CRLF, without Content-Length."""
        return "".join([f"{name}: {value}\r\n" for key, name, value in self._fields if key != "content-length"])


def _row(name: str, value: str) -> tuple[str, str, str]:
    spelled = canonical_name(name)
    if spelled is None or "\r" in value or "\n" in value:
        raise MisuseError(f"header {name!r} would break its line")
    return _key(spelled), spelled, value


_VIA = re.compile(
    r"(?i:SIP)[ \t]*/[ \t]*2\.0[ \t]*/[ \t]*([A-Za-z0-9\-.!%*_+`'~]+)[ \t]+"
    r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9][A-Za-z0-9.\-_]*)(?:[ \t]*:[ \t]*([0-9]{1,5}))?[ \t]*(;.*)?",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Via:
    """One hop (RFC 3261 section 20.42). transport in upper case; host without the brackets of IPv6."""

    transport: str
    host: str
    port: int | None
    params: Params = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises MalformedMessage."""
        found = _VIA.fullmatch(text.strip())
        if found is None:
            raise MalformedMessage("malformed Via")
        transport, host, port, params = found.groups()
        if host[0] == "[":
            host = host[1:-1]
        return cls(transport.upper(), host, parse_port(port), parse_params(params) if params else ())

    @property
    def branch(self) -> str | None:
        return find_param(self.params, "branch") or None

    @property
    def received(self) -> str | None:
        """The address that the next hop saw; RFC 5118 lets it come with or without brackets."""
        value = find_param(self.params, "received")
        return value.strip("[]") if value else None

    @property
    def rport(self) -> str | None:
        """None where absent, "" where asked for, digits where filled in (RFC 3581)."""
        return find_param(self.params, "rport")

    def with_param(self, name: str, value: str | None) -> Self:
        return replace(self, params=replace_param(self.params, name, value))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port is None else f":{self.port}"
        return f"SIP/2.0/{self.transport} {host}{port}{write_params(self.params)}"


@dataclass(frozen=True, slots=True)
class CSeq:
    """Sequence number and method (RFC 3261 section 20.16); the number is below 2**31."""

    number: int
    method: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises MalformedMessage."""
        words = text.split()
        if len(words) != 2 or not is_token(words[1]):
            raise MalformedMessage("malformed CSeq")
        return cls(parse_number(words[0], "CSeq", MAX_CSEQ), words[1])

    def __str__(self) -> str:
        return f"{self.number} {self.method}"
