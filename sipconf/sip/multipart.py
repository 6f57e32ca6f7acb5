"""Bodies of several parts (RFC 2046 section 5.1, RFC 5621): the one part that we understand is found, the rest is left.

Trunks put ISUP or location beside the session description. What the description says is `sdp`'s and `offer`'s.
"""

import re

from sipconf.sip.tokens import MalformedMessage

SDP = "application/sdp"
MAX_PARTS = 16
MAX_DEPTH = 2
_BOUNDARY = re.compile(r""";[ \t]*boundary[ \t]*=[ \t]*(?:"([^"\\]{1,70})"|([^\s";,]{1,70}))""", re.IGNORECASE)
_UNENCODED = frozenset({"", "7bit", "8bit", "binary"})


def is_multipart(content_type: str) -> bool:
    """Whether a Content-Type value announces parts."""
    return content_type[:10].lower() == "multipart/"


def find_description(content_type: str, body: bytes, depth: int = 1) -> bytes | None:
    """The first session description among the parts, or None.

    content_type: the whole value, parameters included. Raises MalformedMessage for no boundary, more than MAX_PARTS
    parts, or parts within parts deeper than MAX_DEPTH.
    """
    for kind, content in _parts(content_type, body):
        name = kind.partition(";")[0].strip().lower()
        if name == SDP:
            return content
        if is_multipart(name):
            if depth >= MAX_DEPTH:
                raise MalformedMessage("parts too deep")
            if (found := find_description(kind, content, depth + 1)) is not None:
                return found
    return None


def _parts(content_type: str, body: bytes) -> list[tuple[str, bytes]]:
    """(Content-Type, content) of every part whose content stands as it is."""
    named = _BOUNDARY.search(content_type)
    if named is None:
        raise MalformedMessage("multipart without a boundary")
    pieces = (b"\r\n" + body).split(b"\r\n--" + (named[1] or named[2]).encode(), MAX_PARTS + 2)
    found: list[tuple[str, bytes]] = []
    for number, piece in enumerate(pieces[1:]):
        if piece.startswith(b"--"):  # what follows the closing delimiter is nobody's
            break
        if number >= MAX_PARTS:
            raise MalformedMessage("too many parts")
        head, _, content = piece.partition(b"\r\n\r\n")
        fields = _fields(head)
        if fields.get("content-transfer-encoding", "").lower() in _UNENCODED:
            found.append((fields.get("content-type", "text/plain"), content))
    return found


def _fields(head: bytes) -> dict[str, str]:
    """Header fields of a part, the first of each name; the line that the delimiter stands on is none."""
    fields: dict[str, str] = {}
    for line in head.decode("latin-1").replace("\r\n ", " ").replace("\r\n\t", " ").split("\r\n")[1:]:
        name, _, value = line.partition(":")
        fields.setdefault(name.strip().lower(), value.strip())
    return fields
