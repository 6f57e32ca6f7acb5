"""What an index says must be read from a message: `key=value` conditions, checked one by one.

Most conditions name a value that the message has; a few are sentences, each with a check of its own here. What says how
an answer or a registrar behaves is judged elsewhere and listed as such; a condition that nobody knows is a failure.
"""

import re
from collections.abc import Callable
from typing import Any

from sipconf.sip.headers import Via
from sipconf.sip.message import Request, Response
from sipconf.sip.sdp import SessionDescription
from sipconf.sip.tokens import find_param
from sipconf.sip.uri import NameAddr, SipUri

Message = Request | Response
_VIA = re.compile(r"via\[(\d+)\]")
_INDEXED = re.compile(r"(contact|route)\[(\d+)\]\.?(.*)")
_REMARK = re.compile(r" \([^()]*\)$")
_SPLIT = re.compile(r";[ ]")

SENTENCES: dict[str, Callable[[Message], bool]] = {
    "NewFangledHeader=newfangled value continued newfangled value":
        lambda m: m.headers.get("NewFangledHeader").split() == "newfangled value continued newfangled value".split(),
    "unknown header ;;,,;;,": lambda m: m.headers.get("UnknownHeaderWithUnusualValue") == ";;,,;;,;",
    "route[0] lr present + unknownwith=value + unknown-no-value": lambda m: (
        m.routes[0].uri.has_param("lr") and m.routes[0].uri.param("unknownwith") == "value"
        and m.routes[0].uri.has_param("unknown-no-value")),
    "cseq.method equals it": lambda m: m.cseq.method == m.method,
    "to.display bytes 42 45 4c 3a 07 20 4e 55 4c 3a 00 20 44 45 4c 3a 7f after unquoting":
        lambda m: m.to.display_name == "BEL:\x07 NUL:\x00 DEL:\x7f",
    "from.param fromParam''~+*_!.-% = quoted UTF-8 Cyrillic":
        lambda m: m.from_.param("fromparam''~+*_!.-%").isprintable() and len(m.from_.params) == 2,
    "via.branch=z9hG4bK-.!%66*_+`'~ (no %-decoding)": lambda m: m.via.branch == "z9hG4bK-.!%66*_+`'~",
    'from.user(decoded)="I have spaces"': lambda m: m.from_.uri.user == "I have spaces",
    "to.uri equivalent to sip:user@example.com": lambda m: (m.to.uri.user, m.to.uri.host) == ("user", "example.com"),
    "contact.param lr (from %6C%72)": lambda m: _uri_param(m.contacts[0].uri, "lr") == "",
    "contact.param name=value%41 (single decoding of v%61lue%25%34%31, never valueA)":
        lambda m: _uri_param(m.contacts[0].uri, "name") == "value%41",
    "to.user(decoded)=null-\\x00-null": lambda m: m.to.uri.user == "null-\x00-null",
    "contact[0].user=%00": lambda m: m.contacts[0].uri.user == "\x00",
    "contact[1].user=%00%00": lambda m: m.contacts[1].uri.user == "\x00\x00",
    "contact[0]!=contact[1]": lambda m: m.contacts[0] != m.contacts[1],
    "L:0 (no space) = Content-Length 0": lambda m: m.headers.get("Content-Length") == "0",
    "to.display=%Z%45 (verbatim)": lambda m: m.to.display_name == "%Z%45",
    "header C%6Fntact is unknown, so contacts=2 (alias1, alias3)":
        lambda m: [each.uri.user for each in m.contacts] == ["alias1", "alias3"],
    "via[33]=host.example.com received=192.0.2.5 + long branch": lambda m: (
        (m.vias[33].host, m.vias[33].received) == ("host.example.com", "192.0.2.5") and len(m.vias[33].branch) > 80),
    "to has unknownparam1..": lambda m: "unknownparam1" in m.headers.get("To"),
    "call-id long": lambda m: len(m.call_id) > 80,
    "contact user 120+ chars": lambda m: len(str(m.contacts[0])) >= 120,
    "from=<http://www.example.com>": lambda m: str(m.from_.uri) == "http://www.example.com",
    "contact=<name:John_Smith>": lambda m: str(m.contacts[0]) == "<name:John_Smith>",
    "to uri port 6000": lambda m: m.to.uri.port == 6000,
    "trailing octets=450 ignored": lambda m: m.body == b"",
    "ruri.user(decoded)=user;par=u@example.net": lambda m: m.uri.user == "user;par=u@example.net",
    "ruri.params empty": lambda m: m.uri.params == (),
    "accept has 6 types over folded lines": lambda m: len(m.headers.get_all("Accept")) == 6,
    "via transports=UDP,SCTP,TLS,UNKNOWN,TCP":
        lambda m: [each.transport for each in m.vias] == ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"],
    "content-type=multipart/mixed boundary 7a9cbec02ceef655": lambda m: (
        m.content_type == "multipart/mixed" and "7a9cbec02ceef655" in m.headers.get("Content-Type")),
    "parts=2 (text/plain body Hello": lambda m: b"\r\n\r\nHello\r\n" in m.body,
    "application/octet-stream binary)": lambda m: m.body.count(b"7a9cbec02ceef655") == 3 and b"\0" in m.body,
    'reason is UTF-8 "= 2**3 * 5**2 ..." kept': lambda m: m.reason.startswith("= 2**3 * 5**2 ") and "\ufffd" not in
        m.reason and not m.reason.isascii(),
    "reason=empty (a SP follows the code)": lambda m: m.reason == "",
    "ruri.headers.Route=<sip:example.com>": lambda m: m.uri.headers == "Route=%3Csip:example.com%3E",
    "header end missing in the archive file": lambda m: m.body == b"",
    "ruri.params.unknownparam present, no value": lambda m: ("unknownparam", None) in m.uri.params,
    "subject=empty": lambda m: m.headers.get("Subject") == "",
    "record-route kept": lambda m: len(m.record_routes) == 1,
    "contact.params.unknownparam present":
        lambda m: m.contacts[0].param("unknownparam") == "" and not m.contacts[0].uri.params,
    "contact.secondparam present": lambda m: m.contacts[0].param("secondparam") == "",
    "via.branch absent": lambda m: m.via.branch is None,
    "from.tag absent": lambda m: m.from_.tag is None,
    "date zone EST": lambda m: m.headers.get("Date").endswith("EST"),
    "from.display=Bell, Alexander": lambda m: m.from_.display_name == "Bell, Alexander",
    "to.display=Watson, Thomas": lambda m: m.to.display_name == "Watson, Thomas",
    "contact.uri.headers.Route=%3Csip:sip.example.com%3E":
        lambda m: m.contacts[0].uri.headers == "Route=%3Csip:sip.example.com%3E",
    "contact.uri=sip:+19725552222@gw1.example.net;unknownparam":
        lambda m: str(m.contacts[0].uri) == "sip:+19725552222@gw1.example.net;unknownparam",
    "require=2 tags": lambda m: len(m.headers.get_all("Require")) == 2,
    "proxy-require=2 tags": lambda m: len(m.headers.get_all("Proxy-Require")) == 2,
    "authorization.scheme=NoOneKnowsThisScheme":
        lambda m: m.headers.get("Authorization").split()[0] == "NoOneKnowsThisScheme",
    "accept=text/nobodyKnowsThis": lambda m: m.headers.get("Accept") == "text/nobodyKnowsThis",
}
OF_A_REFUSED_MESSAGE = ("fault=", "missing=", "version=")
"""What is wrong with a message that cannot be read: its answer says enough."""
COMMENTARY = ("kept as opaque", "-")


def check(message: Message, conditions: str) -> list[str]:
    """The conditions that do not hold."""
    return [each for each in _conditions(conditions) if not _holds(message, each)]


def _conditions(text: str) -> list[str]:
    return [each.strip() for each in _SPLIT.split(text)] if text not in ("", "-") else []


def _holds(message: Message, condition: str) -> bool:
    if condition.startswith(OF_A_REFUSED_MESSAGE) or condition in COMMENTARY:
        return True
    if condition in SENTENCES:
        return bool(SENTENCES[condition](message))
    key, equals, wanted = condition.partition("=")
    if not equals:
        raise AssertionError(f"nobody knows how to check: {condition}")
    wanted = _REMARK.sub("", wanted)
    if (via := _VIA.fullmatch(key)) is not None:
        hop = message.vias[int(via[1])]
        return wanted in (hop.host, f"{hop.transport} {hop.host} branch {hop.branch}")
    if key == "start" and isinstance(message, Request):
        method, target, _ = wanted.split()
        return (message.method, message.uri) == (method, SipUri.parse(target))
    return _value(message, key.strip()) == wanted


def _value(message: Message, key: str) -> str:
    if (indexed := _INDEXED.fullmatch(key)) is not None:
        which, number, rest = indexed.groups()
        items: list[Any] = {"contact": message.contacts, "route": message.routes}[which]
        return _of_item(items[int(number)], rest)
    return _READERS[key](message) if key in _READERS else _of_header(message, key)


def _of_header(message: Message, key: str) -> str:
    head, _, rest = key.partition(".")
    addresses: dict[str, Callable[[], NameAddr | Via]] = {
        "to": lambda: message.to, "from": lambda: message.from_, "contact": lambda: message.contacts[0],
        "via": lambda: message.via}
    if head not in addresses:
        raise AssertionError(f"nobody knows how to read {key}")
    return _of_item(addresses[head](), rest)


def _of_item(item: NameAddr | Via, rest: str) -> str:
    if isinstance(item, Via):
        if rest == "branch":
            return item.branch or ""
        return ""
    match rest.removesuffix("(unescaped)"):
        case "display":
            return item.display_name
        case "uri" | "":
            return str(item.uri)
        case "tag":
            return item.tag or ""
        case "user":
            return item.uri.user or ""
        case name:
            return item.param(name) or ""


def _uri_param(uri: SipUri, name: str) -> str | None:
    """A URI parameter, its name and value decoded once."""
    from urllib.parse import unquote

    decoded = tuple((unquote(key), None if value is None else unquote(value)) for key, value in uri.params)
    return find_param(decoded, name)


def _media(message: Message) -> str:
    return listed(SessionDescription.parse(message.body))


def listed(description: SessionDescription) -> str:
    """The m= lines as an index writes them."""
    return " | ".join(f"{m.kind} {m.port} {m.protocol} {' '.join(m.formats)}" for m in description.media)


def _status_line(message: Response) -> str:
    return f"SIP/2.0 {message.status} {message.reason}"


_READERS: dict[str, Callable[[Message], str]] = {
    "method": lambda m: m.method,
    "status": lambda m: str(m.status),
    "start": _status_line,
    "ruri": lambda m: str(m.uri),
    "ruri.scheme": lambda m: m.uri.scheme,
    "ruri.user": lambda m: m.uri.user or "",
    "ruri.user(decoded)": lambda m: m.uri.user or "",
    "ruri.password": lambda m: m.uri.password or "",
    "ruri.host": lambda m: m.uri.host,
    "via.count": lambda m: str(len(m.vias)),
    "cseq": lambda m: str(m.cseq),
    "cseq.num": lambda m: str(m.cseq.number),
    "cseq.method": lambda m: m.cseq.method,
    "call-id": lambda m: m.call_id,
    "max-forwards": lambda m: str(m.max_forwards),
    "content-length": lambda m: m.headers.get("Content-Length") or "",
    "content-type": lambda m: m.content_type,
    "contacts": lambda m: str(len(m.contacts)),
    "body.len": lambda m: str(len(m.body)),
    "sdp.m": _media,
}
