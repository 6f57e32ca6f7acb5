"""Requests and responses: fields read on demand, answers built from requests, bytes written (RFC 3261 section 7).

Reading bytes is `parser`'s work; who sends what is for the transactions and dialogs.
"""

import re
from collections.abc import Callable
from typing import Any

from sipconf.sip.headers import CSeq, Headers, Via
from sipconf.sip.tokens import (
    CONTROL,
    MAX_CONTACTS,
    MAX_ROUTES,
    MAX_VIAS,
    MalformedMessage,
    parse_number,
    split_list,
)
from sipconf.sip.uri import NameAddr, SipUri

REASONS: dict[int, str] = {
    100: "Trying", 180: "Ringing", 181: "Call Is Being Forwarded", 182: "Queued", 183: "Session Progress",
    200: "OK", 202: "Accepted", 204: "No Notification", 300: "Multiple Choices", 301: "Moved Permanently",
    302: "Moved Temporarily", 305: "Use Proxy", 380: "Alternative Service", 400: "Bad Request", 401: "Unauthorized",
    402: "Payment Required", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 406: "Not Acceptable",
    407: "Proxy Authentication Required", 408: "Request Timeout", 410: "Gone", 412: "Conditional Request Failed",
    413: "Request Entity Too Large", 414: "Request-URI Too Long", 415: "Unsupported Media Type",
    416: "Unsupported URI Scheme", 420: "Bad Extension", 421: "Extension Required",
    422: "Session Interval Too Small", 423: "Interval Too Brief", 430: "Flow Failed",
    439: "First Hop Lacks Outbound Support", 480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist", 482: "Loop Detected", 483: "Too Many Hops", 484: "Address Incomplete",
    485: "Ambiguous", 486: "Busy Here", 487: "Request Terminated", 488: "Not Acceptable Here", 489: "Bad Event",
    491: "Request Pending", 493: "Undecipherable", 494: "Security Agreement Required", 500: "Server Internal Error",
    501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Server Time-out",
    505: "Version Not Supported", 513: "Message Too Large", 580: "Precondition Failure", 600: "Busy Everywhere",
    603: "Decline", 604: "Does Not Exist Anywhere", 606: "Not Acceptable", 607: "Unwanted",
}
_CALL_ID = re.compile(r"[^\x00-\x20\x7f]+")
_HAS_TAG = re.compile(r";[ \t]*tag[ \t]*=", re.IGNORECASE)


class _Message:
    """What requests and responses share. Every property raises MalformedMessage where its header is unreadable."""

    __slots__ = ("body", "headers")

    def __init__(self, headers: Headers, body: bytes = b"") -> None:
        self.headers = headers
        self.body = body

    def _read(self, name: str, parse: Callable[[str], Any]) -> Any:
        """A header that must be there, read once."""
        parsed = self.headers.parsed
        if name not in parsed:
            value = self.headers.get(name)
            if value is None:
                raise MalformedMessage(f"no {name}")
            parsed[name] = parse(value)
        return parsed[name]

    def _read_list(self, name: str, parse: Callable[[str], Any], limit: int) -> list[Any]:
        parsed = self.headers.parsed
        if name not in parsed:
            elements = []
            for value in self.headers.get_fields(name):
                elements += split_list(value)
            if len(elements) > limit:
                raise MalformedMessage(f"too many {name}")
            parsed[name] = [parse(element) for element in elements]
        return parsed[name]

    @property
    def vias(self) -> list[Via]:
        """All hops, topmost first; at least one."""
        vias = self._read_list("Via", Via.parse, MAX_VIAS)
        if not vias:
            raise MalformedMessage("no Via")
        return vias

    @property
    def via(self) -> Via:
        """The topmost hop."""
        return self.vias[0]

    @property
    def from_(self) -> NameAddr:
        return self._read("From", NameAddr.parse)

    @property
    def to(self) -> NameAddr:
        return self._read("To", NameAddr.parse)

    @property
    def call_id(self) -> str:
        return self._read("Call-ID", _parse_call_id)

    @property
    def cseq(self) -> CSeq:
        return self._read("CSeq", CSeq.parse)

    @property
    def contact_star(self) -> bool:
        """True for `Contact: *`, the un-REGISTER of everything (RFC 3261 section 10.2.2)."""
        return any(value.strip() == "*" for value in self.headers.get_fields("Contact"))

    @property
    def contacts(self) -> list[NameAddr]:
        """The Contact addresses; none for an absent or empty header or `*`."""
        parsed = self.headers.parsed
        if "Contact" not in parsed:
            fields = [value for value in self.headers.get_fields("Contact") if value and value != "*"]
            elements = [element for value in fields for element in split_list(value)]
            if len(elements) > MAX_CONTACTS:
                raise MalformedMessage("too many Contact")
            parsed["Contact"] = [NameAddr.parse(element) for element in elements]
        return parsed["Contact"]

    @property
    def routes(self) -> list[NameAddr]:
        return self._read_list("Route", NameAddr.parse, MAX_ROUTES)

    @property
    def record_routes(self) -> list[NameAddr]:
        return self._read_list("Record-Route", NameAddr.parse, MAX_ROUTES)

    @property
    def content_type(self) -> str:
        """The body's type in lower case without parameters; "" where none is given."""
        return (self.headers.get("Content-Type") or "").partition(";")[0].strip().lower()

    @property
    def max_forwards(self) -> int | None:
        """Hops left, None where the header is absent; more than 255 reads as 255 (RFC 3261 section 20.22)."""
        value = self.headers.get("Max-Forwards")
        return None if value is None else min(parse_number(value, "Max-Forwards", 10**9), 255)

    def _encode(self, start: str) -> bytes:
        text = f"{start}\r\n{self.headers.write()}Content-Length: {len(self.body)}\r\n\r\n"
        try:
            head = text.encode(self.headers.charset)
        except UnicodeEncodeError:
            head = text.encode("utf-8", "replace")
        return head + self.body


def _parse_call_id(text: str) -> str:
    if _CALL_ID.fullmatch(text) is None:
        raise MalformedMessage("malformed Call-ID")
    return text


class Request(_Message):
    """A SIP request. Its method is case-sensitive; its fields are read when asked for."""

    __slots__ = ("method", "uri")

    def __init__(self, method: str, uri: SipUri, headers: Headers, body: bytes = b"") -> None:
        super().__init__(headers, body)
        self.method = method
        self.uri = uri

    def encode(self) -> bytes:
        """The bytes to send; Content-Length is written here."""
        return self._encode(f"{self.method} {self.uri} SIP/2.0")

    def response(self, status: int, reason: str | None = None, *, to_tag: str | None = None) -> "Response":
        """An answer with what RFC 3261 section 8.2.6.2 has it copy, raw: Vias, From, To, Call-ID, CSeq.

        to_tag is put on the To where it has none. Record-Route is copied where a dialog may come of it (12.1.1). Works
        on a salvaged request too, whose headers may be missing or unreadable.
        """
        routed = 100 < status < 300 and self.method == "INVITE"
        headers = Headers(charset=self.headers.charset)
        for name in ("Via", "Record-Route") if routed else ("Via",):
            for value in self.headers.get_fields(name):
                headers.add(name, value)
        for name in ("From", "To", "Call-ID", "CSeq"):
            value = self.headers.get(name)
            if value is None:
                continue
            if name == "To" and to_tag is not None and status > 100 and not self._has_to_tag(value):
                value = f"{value};tag={to_tag}"
            headers.add(name, value)
        return Response(status, REASONS.get(status, "") if reason is None else reason, headers, b"")

    def _has_to_tag(self, value: str) -> bool:
        if "tag" not in value.lower():
            return False
        try:
            return self.to.tag is not None
        except MalformedMessage:
            return _HAS_TAG.search(value) is not None

    def __repr__(self) -> str:
        return f"Request({self.method} {self.uri.host})"


class Response(_Message):
    """A SIP response: a status of 100 to 699 and a phrase for people."""

    __slots__ = ("reason", "status")

    def __init__(self, status: int, reason: str, headers: Headers, body: bytes = b"") -> None:
        super().__init__(headers, body)
        self.status = status
        self.reason = reason

    def encode(self) -> bytes:
        """The bytes to send; Content-Length is written here. Control characters in the phrase become spaces."""
        return self._encode(f"SIP/2.0 {self.status} {CONTROL.sub(' ', self.reason)}")

    def __repr__(self) -> str:
        return f"Response({self.status} {self.reason})"


