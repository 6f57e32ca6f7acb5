"""Session descriptions: text to lines and back (RFC 4566, 8866). What an offer or answer means is `offer`'s.

Kept: v, o, s, c, t, m and a. Other lines are read over. Lines may end in LF, come out of order, lack s= and t=.
"""

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Self

from sipconf.sip.tokens import MalformedMessage

MAX_SDP = 65536
MAX_MEDIA = 64
MAX_ATTRIBUTES = 256
MAX_CANDIDATES = 100
"""ICE candidates of one section that are kept; a machine with many interfaces has dozens, and more are read over."""
MAX_FORMATS = 64
MAX_ADDRESS = 255  # a host name's length (RFC 1035 section 2.3.4)
DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
# RFC 3551 table 4: what a payload type means where no rtpmap says so.
STATIC_FORMATS: dict[str, tuple[str, int, int]] = {
    "0": ("PCMU", 8000, 1), "3": ("GSM", 8000, 1), "4": ("G723", 8000, 1), "5": ("DVI4", 8000, 1),
    "6": ("DVI4", 16000, 1), "7": ("LPC", 8000, 1), "8": ("PCMA", 8000, 1), "9": ("G722", 8000, 1),
    "10": ("L16", 44100, 2), "11": ("L16", 44100, 1), "12": ("QCELP", 8000, 1), "13": ("CN", 8000, 1),
    "15": ("G728", 8000, 1), "18": ("G729", 8000, 1),
}

Attribute = tuple[str, str | None]
_LINE = re.compile(r"[a-z]=")
_LINES = re.compile(r"[^\n]+")
_MEDIA = re.compile(r"(\S+)[ \t]+([0-9]{1,10})(?:/([0-9]{1,5}))?[ \t]+(\S+)((?:[ \t]++\S++)*+)[ \t]*")
_RTPMAP = re.compile(r"([0-9]{1,3})[ \t]+([^\s/]+)[ \t]*/[ \t]*([0-9]{1,7})(?:/([0-9]{1,3}))?[ \t]*")


def _fault(reason: str) -> MalformedMessage:
    return MalformedMessage(reason, status=400, metric="malformed_sdp")


@dataclass(frozen=True, slots=True)
class Origin:
    """The o= line. session_id and version stay text: they may be larger than any integer type elsewhere."""

    username: str
    session_id: str
    version: str
    address: str

    @classmethod
    def parse(cls, text: str) -> Self:
        words = text.split()
        if len(words) != 6:
            raise _fault("malformed o= line")
        return cls(words[0], words[1], words[2], words[5])

    def __str__(self) -> str:
        return f"{self.username} {self.session_id} {self.version} IN {address_type(self.address)} {self.address}"


@dataclass(frozen=True, slots=True)
class Media:
    """One m= section. connection: address of its own c= line, None where the session's counts."""

    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    attributes: tuple[Attribute, ...] = ()
    connection: str | None = None

    def attribute(self, name: str) -> str | None:
        """The first value of an attribute; "" for a flag, None where it is absent."""
        return _attribute(self.attributes, name)

    def rtpmaps(self) -> dict[str, tuple[str, int, int]]:
        """Per payload type: encoding name, clock rate, channels. The first mapping of a type wins; static types of
        RFC 3551 need none; types that nothing maps are absent."""
        found: dict[str, tuple[str, int, int]] = {}
        for name, value in self.attributes:
            if name == "rtpmap" and value is not None:
                read = _RTPMAP.fullmatch(value)
                if read is not None:
                    number, encoding, clock, channels = read.groups()
                    found.setdefault(str(int(number)), (encoding, int(clock), int(channels or 1)))
        for payload_type in self.formats:
            if payload_type in STATIC_FORMATS:
                found.setdefault(payload_type, STATIC_FORMATS[payload_type])
        return found

    def fmtps(self) -> dict[str, str]:
        """Per payload type: its format parameters, the first line of each."""
        found: dict[str, str] = {}
        for name, value in self.attributes:
            if name == "fmtp" and value is not None:
                payload_type, _, parameters = value.strip().partition(" ")
                found.setdefault(payload_type, parameters.strip())
        return found

    def lines(self) -> list[str]:
        lines = [f"m={self.kind} {self.port} {self.protocol} {' '.join(self.formats)}".rstrip()]
        if self.connection is not None:
            lines.append(_connection_line(self.connection))
        return lines + _attribute_lines(self.attributes)


@dataclass(frozen=True, slots=True)
class SessionDescription:
    """A whole description. times: the t= values."""

    origin: Origin
    connection: str | None = None
    media: tuple[Media, ...] = ()
    attributes: tuple[Attribute, ...] = ()
    name: str = "-"
    times: tuple[str, ...] = ("0 0",)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Raises MalformedMessage with status 400."""
        return cls(**_read(data))

    def attribute(self, name: str) -> str | None:
        """The first value of a session-level attribute; "" for a flag, None where it is absent."""
        return _attribute(self.attributes, name)

    def connection_of(self, media: Media) -> str | None:
        """Where a stream's packets go: its own c= address or the session's."""
        return media.connection if media.connection is not None else self.connection

    def direction_of(self, media: Media) -> str:
        """sendrecv, sendonly, recvonly or inactive; the stream's own word over the session's (RFC 4566 section 6)."""
        for attributes in (media.attributes, self.attributes):
            for name, _ in attributes:
                if name in DIRECTIONS:
                    return name
        return "sendrecv"

    def encode(self) -> bytes:
        """CRLF lines in the order that RFC 4566 section 5 prescribes."""
        lines = ["v=0", f"o={self.origin}", f"s={self.name}"]
        if self.connection is not None:
            lines.append(_connection_line(self.connection))
        lines += [f"t={times}" for times in self.times]
        lines += _attribute_lines(self.attributes)
        for media in self.media:
            lines += media.lines()
        return ("\r\n".join(lines) + "\r\n").encode()


def address_type(address: str) -> str:
    """IP4 or IP6 by the address's form."""
    return "IP6" if ":" in address else "IP4"


def unicast_address(address: str | None) -> str | None:
    """The address in its plain form; None for none, for a name, for 0.0.0.0 or :: (old-style hold) and for one of a
    single link (169.254/16, fe80::/10), where a telephone without DHCP may be, but a cloud's own services are too.

    Raises MalformedMessage with status 488 for multicast and broadcast: nothing is ever sent there.
    """
    if address is None:
        return None
    try:
        read = ipaddress.ip_address(address.partition("/")[0])
    except ValueError:
        return None
    if read.is_multicast or str(read) == "255.255.255.255":
        raise MalformedMessage("media address is not unicast", status=488, metric="malformed_sdp")
    return None if read.is_unspecified or read.is_link_local else str(read)


@dataclass(slots=True)
class _Section:
    """An m= section while it is being read."""

    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    connection: str | None = None
    attributes: list[Attribute] = field(default_factory=list)

    @classmethod
    def parse(cls, text: str) -> Self:
        found = _MEDIA.fullmatch(text)
        if found is None:
            raise _fault("malformed m= line")
        kind, port, _, protocol, formats = found.groups()
        if int(port) > 65535:
            raise _fault("media port out of range")
        formats = tuple(formats.split())
        if len(formats) > MAX_FORMATS:
            raise _fault("too many formats")
        return cls(kind, int(port), protocol, formats)

    def done(self) -> Media:
        return Media(self.kind, self.port, self.protocol, self.formats, tuple(self.attributes), self.connection)


def _read(data: bytes) -> dict:
    """The fields of a SessionDescription."""
    if len(data) > MAX_SDP:
        raise _fault("session description too large")
    # One line after the other: a list of them all would cost many times their length.
    every = (found.group() for found in _LINES.finditer(data.decode("utf-8", "replace").replace("\r\n", "\n")))
    lines = (line for line in every if line.strip("\0\r \t"))
    if next(lines, "").rstrip() != "v=0":
        raise _fault("no session description")
    origin: Origin | None = None
    connection: str | None = None
    name, times, attributes = "-", [], []
    sections: list[_Section] = []
    candidates = 0
    for line in lines:
        if _LINE.match(line) is None:
            raise _fault("malformed line in the session description")
        letter, value = line[0], line[2:].rstrip("\r")
        if letter == "m":
            sections.append(_Section.parse(value))
            candidates = 0
            if len(sections) > MAX_MEDIA:
                raise _fault("too many media sections")
        elif letter == "c":
            address = _connection_address(value)
            if not sections:
                connection = address
            elif sections[-1].connection is None:
                sections[-1].connection = address
        elif letter == "a":
            into = sections[-1].attributes if sections else attributes
            attribute = _read_attribute(value)
            candidates += attribute[0] == "candidate"
            if attribute[0] == "candidate" and candidates > MAX_CANDIDATES:
                continue
            into.append(attribute)
            if len(into) > MAX_ATTRIBUTES:
                raise _fault("too many attributes")
        elif letter == "o" and origin is None:
            origin = Origin.parse(value)
        elif letter == "s" and not sections:
            name = value or " "
        elif letter == "t" and not sections and len(times) < MAX_MEDIA:
            times.append(value.strip())
    return {
        "origin": origin or Origin("-", "0", "0", "0.0.0.0"),
        "connection": connection,
        "media": tuple(section.done() for section in sections),
        "attributes": tuple(attributes),
        "name": name,
        "times": tuple(times) or ("0 0",),
    }


def _read_attribute(value: str) -> Attribute:
    name, colon, rest = value.partition(":")
    return name.strip(), rest.strip() if colon else None


def _connection_address(value: str) -> str:
    words = value.split()
    if len(words) != 3 or words[0] != "IN" or words[1] not in ("IP4", "IP6") or len(words[2]) > MAX_ADDRESS:
        raise _fault("malformed c= line")
    return words[2]


def _connection_line(address: str) -> str:
    return f"c=IN {address_type(address)} {address}"


def _attribute(attributes: tuple[Attribute, ...], name: str) -> str | None:
    for key, value in attributes:
        if key == name:
            return "" if value is None else value
    return None


def _attribute_lines(attributes: tuple[Attribute, ...]) -> list[str]:
    return [f"a={name}" if value is None else f"a={name}:{value}" for name, value in attributes]
