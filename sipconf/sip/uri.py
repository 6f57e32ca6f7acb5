"""SIP addresses: URIs (RFC 3261 section 19.1) and name-addr (section 20.10), as From, To, Contact and Route hold them.

Other schemes are carried whole so that a header holding them can be read and refused by whoever acts on it.
"""

import re
from dataclasses import dataclass, replace
from typing import Self
from urllib.parse import quote as percent_encode

from sipconf.sip.tokens import (
    CONTROL,
    QUOTED,
    MalformedMessage,
    Params,
    find_param,
    parse_params,
    parse_port,
    quote,
    replace_param,
    unquote,
    write_params,
)

SIP_SCHEMES = ("sip", "sips")
_SIP = re.compile(
    r"""(?:([^\x00-\x20\x7f<>"@:]+)(?::([^\x00-\x20\x7f<>"@]*))?@)?     # user and password
        (\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9][A-Za-z0-9.\-_]*)                # host
        (?::([0-9]{1,5}))?                                             # port
        ((?:;[^\x00-\x20\x7f<>"?@]*)?)                                  # parameters
        (?:\?([^\x00-\x20\x7f<>"@]*))?                                  # headers
    """,
    re.VERBOSE,
)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_OPAQUE = re.compile(r'[^\x00-\x20\x7f<>"]+')
_USER_SAFE = "-_.!~*'()&=+$,;?/"
_PASSWORD_SAFE = "-_.!~*'()&=+$,"
MUST_AGREE = frozenset({"transport", "user", "ttl", "method", "maddr"})  # parameters, section 19.1.4
_NUMBER_SAFE = "-_.!~*'()&=+$,/#"
_PLAIN_NAME = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+(?: [A-Za-z0-9\-.!%*_+`'~]+)*")


def _decode(text: str) -> str:
    """Percent-decode; UTF-8 where it is UTF-8, Latin-1 where it is not."""
    if "%" not in text:
        return text
    escaped = text.encode()
    raw, at = bytearray(), 0  # not `sub`: its list of pieces costs thirty times their length
    for found in _ESCAPE.finditer(escaped):
        raw += escaped[at : found.start()]
        raw.append(int(found[1], 16))
        at = found.end()
    raw += escaped[at:]
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


@dataclass(frozen=True, slots=True)
class SipUri:
    """A sip or sips URI, or a URI of another scheme carried along.

    user and password are decoded (`str()` escapes again), host is without the brackets of IPv6, params are raw,
    headers is the raw text behind "?" and is never obeyed. A tel URI has its number as user and no host; any other
    scheme has its whole remainder as user and no host.
    """

    scheme: str
    user: str | None
    password: str | None
    host: str
    port: int | None
    params: Params = ()
    headers: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises MalformedMessage."""
        found = _SCHEME.match(text)
        if found is None:
            raise MalformedMessage("URI without a scheme")
        scheme = found.group(1).lower()
        if scheme not in SIP_SCHEMES:
            return cls._parse_other(scheme, text[found.end() :])
        body = _SIP.fullmatch(text, found.end())
        if body is None:
            raise MalformedMessage("malformed SIP URI")
        user, password, host, port, params, headers = body.groups()
        if user is not None and "%" in user:
            user = _decode(user)
        if password is not None:
            password = _decode(password)
        if host[0] == "[":
            host = host[1:-1]
        return cls(
            scheme, user, password, host, None if port is None else parse_port(port),
            _uri_params(params) if params else (), headers or "",
        )

    @classmethod
    def _parse_other(cls, scheme: str, rest: str) -> Self:
        if _OPAQUE.fullmatch(rest) is None:
            raise MalformedMessage("malformed URI")
        if scheme == "tel":
            number, _, params = rest.partition(";")
            if not number:
                raise MalformedMessage("telephone URI without a number")
            return cls(scheme, _decode(number), None, "", None, _uri_params(";" + params) if params else ())
        return cls(scheme, rest, None, "", None)

    @property
    def is_sip(self) -> bool:
        """True for sip and sips, the schemes that lead somewhere from here."""
        return self.scheme in SIP_SCHEMES

    def param(self, name: str) -> str | None:
        """A parameter's value; "" for a flag, None where it is absent."""
        return find_param(self.params, name)

    def has_param(self, name: str) -> bool:
        return find_param(self.params, name) is not None

    def __str__(self) -> str:
        if self.scheme not in SIP_SCHEMES:
            user = self.user or ""
            if self.scheme == "tel":
                user = percent_encode(user, safe=_NUMBER_SAFE)
            return f"{self.scheme}:{user}{write_params(self.params)}"
        text = self.scheme + ":"
        if self.user is not None:
            text += percent_encode(self.user, safe=_USER_SAFE)
            if self.password is not None:
                text += ":" + percent_encode(self.password, safe=_PASSWORD_SAFE)
            text += "@"
        text += f"[{self.host}]" if ":" in self.host else self.host
        if self.port is not None:
            text += f":{self.port}"
        if self.params:
            text += write_params(self.params)
        return f"{text}?{self.headers}" if self.headers else text


def _uri_params(text: str) -> Params:
    """URI parameters, raw. An empty one is skipped: it names nothing."""
    out: list[tuple[str, str | None]] = []
    for piece in text.split(";"):
        if piece:
            name, equals, value = piece.partition("=")
            if not name:
                raise MalformedMessage("nameless URI parameter")
            out.append((name, value if equals else None))
    return tuple(out)


@dataclass(frozen=True, slots=True)
class NameAddr:
    """A display name, a URI and header parameters: From, To, Contact, Route, Record-Route."""

    display_name: str
    uri: SipUri
    params: Params = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises MalformedMessage.

        Liberal: unquoted names may hold commas and dots, the brackets may be missing; then everything behind a
        semicolon belongs to the header (RFC 3261 section 20), and a "?" is refused because nobody can say whose it is.
        """
        text = text.strip()
        if text[:1] == '"':
            string = QUOTED.match(text)
            if string is None:
                raise MalformedMessage("unterminated display name")
            name = unquote(string.group(1))
            start = string.end()
            opening = text.find("<", start)
            if opening < 0 or text[start:opening].strip():
                raise MalformedMessage("no address behind the display name")
        else:
            opening = text.find("<")
            if opening < 0:
                address, semicolon, rest = text.partition(";")
                address = address.rstrip()
                if "?" in address or "," in address:
                    raise MalformedMessage("address needs angle brackets")
                return cls("", SipUri.parse(address), parse_params(semicolon + rest) if semicolon else ())
            name = text[:opening].rstrip() if opening else ""
            if name and ('"' in name or CONTROL.search(name)):
                raise MalformedMessage("bad display name")
        closing = text.find(">", opening)
        if closing < 0:
            raise MalformedMessage("angle bracket not closed")
        tail = text[closing + 1 :]
        return cls(name, SipUri.parse(text[opening + 1 : closing].strip()), parse_params(tail) if tail else ())

    @property
    def tag(self) -> str | None:
        """The dialog tag, None where there is none (RFC 2543 peers) or it is empty."""
        return find_param(self.params, "tag") or None

    def param(self, name: str) -> str | None:
        """A header parameter's value; "" for a flag, None where it is absent."""
        return find_param(self.params, name)

    def with_param(self, name: str, value: str | None) -> Self:
        return replace(self, params=replace_param(self.params, name, value))

    def __str__(self) -> str:
        name = self.display_name
        if name:
            name = (name if _PLAIN_NAME.fullmatch(name) else quote(name)) + " "
        return f"{name}<{self.uri}>{write_params(self.params)}"


def same_address(one: SipUri, other: SipUri) -> bool:
    """Do two URIs name the same thing (section 19.1.4)?"""
    if (one.scheme, one.user, one.password, one.host.lower(), one.port) != (
        other.scheme, other.user, other.password, other.host.lower(), other.port
    ):  # fmt: skip
        return False
    first = {name.lower(): (value or "").lower() for name, value in one.params}
    second = {name.lower(): (value or "").lower() for name, value in other.params}
    for name in first.keys() | second.keys():
        on_both = name in first and name in second
        if on_both and first[name] != second[name]:
            return False
        if not on_both and name in MUST_AGREE:
            return False
    return one.headers == other.headers
