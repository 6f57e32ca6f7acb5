"""Where the fields of SIP messages and session descriptions are, and how one is spoiled with an anomaly."""

import random
import re
from collections.abc import Iterator

Span = tuple[int, int]

_SIP_FIELDS = {
    "method or version": re.compile(rb"\A[^ \r\n]*"),
    "start line's target": re.compile(rb"(?<= )[^ \r\n]+(?= )"),
    "start line's end": re.compile(rb"(?<= )[^ \r\n]+(?=\r\n)"),
    "header name": re.compile(rb"(?m)^[A-Za-z-]+(?=[ \t]*:)"),
    "separator": re.compile(rb"(?m)(?<=[A-Za-z]):[ \t]*"),
    "header value": re.compile(rb"(?m)(?<=: )[^\r\n]+"),
    "display name": re.compile(rb'"[^"\r\n]*"(?= *<)'),
    "URI": re.compile(rb"(?:sips?|tel):[^> \r\n]+"),
    "user": re.compile(rb"(?<=sip:)[^@> \r\n]+(?=@)"),
    "host": re.compile(rb"(?<=@)[^;:> \r\n]+"),
    "parameter": re.compile(rb";[^;,> \r\n]+"),
    "parameter's name": re.compile(rb"(?<=;)[a-z-]+"),
    "parameter's value": re.compile(rb"(?<==)[^;,>\" \r\n]+"),
    "quoted value": re.compile(rb'(?<==)"[^"\r\n]*"'),
    "element of a list": re.compile(rb"(?<=, )[^,\r\n]+"),
    "number": re.compile(rb"[0-9]+"),
    "line end": re.compile(rb"\r\n"),
    "body's line": re.compile(rb"(?m)^[a-z]=[^\r\n]*"),
}
_SDP_FIELDS = {
    "line": re.compile(rb"(?m)^[a-z]=[^\r\n]*"),
    "letter": re.compile(rb"(?m)^[a-z]="),
    "value": re.compile(rb"(?m)(?<=^[a-z]=)[^\r\n]*"),
    "word": re.compile(rb"[^ =:/\r\n]+"),
    "attribute": re.compile(rb"(?m)^a=[^:\r\n]*"),
    "attribute's value": re.compile(rb"(?m)(?<=:)[^\r\n]*"),
    "media line": re.compile(rb"(?m)^m=[^\r\n]*"),
    "port": re.compile(rb"(?<=audio )[0-9]+"),
    "formats": re.compile(rb"(?m)(?<=AVP )[0-9 ]+"),
    "connection": re.compile(rb"(?m)^c=[^\r\n]*"),
    "line end": re.compile(rb"\r\n"),
}


def sip_fields(message: bytes) -> dict[str, list[Span]]:
    """Every field of a SIP message, by kind."""
    return _found(message, _SIP_FIELDS)


def sdp_fields(description: bytes) -> dict[str, list[Span]]:
    """The same of a session description."""
    return _found(description, _SDP_FIELDS)


def _found(text: bytes, kinds: dict[str, re.Pattern[bytes]]) -> dict[str, list[Span]]:
    spans = {kind: [match.span() for match in pattern.finditer(text)] for kind, pattern in kinds.items()}
    return {kind: found for kind, found in spans.items() if found}


def spoil(rng: random.Random, text: bytes, fields: dict[str, list[Span]], value: bytes) -> bytes:
    """One field replaced by the value, missing, repeated, or with the value before, after or inside it."""
    start, end = rng.choice(fields[rng.choice(list(fields))])
    field = text[start:end]
    way = rng.random()
    if way < 0.4:
        field = value
    elif way < 0.5:
        field = b""
    elif way < 0.6:
        field *= rng.choice((2, 2, 3, 70))
    elif way < 0.7:
        field = value + field
    elif way < 0.8:
        field += value
    else:
        at = int(rng.random() * (len(field) + 1))
        field = field[:at] + value + field[at:]
    return text[:start] + field + text[end:]


def every_spoiling(text: bytes, fields: dict[str, list[Span]], values: tuple[bytes, ...]) -> Iterator[bytes]:
    """The whole product: every field replaced by every value, missing and repeated."""
    for start, end in sorted({span for spans in fields.values() for span in spans}):
        for value in (*values, text[start:end] * 2, text[start:end] * 100):
            yield text[:start] + value + text[end:]
