"""WebSocket frames as a server reads and writes them (RFC 6455 section 5). Reads no SIP, opens nothing.

Written here because the HTTP library's own reader takes frames without a mask, which section 5.1 forbids, and reads
everything that has arrived in one go, which one peer could use to hold up all others.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum

from sipconf.errors import PeerError

MAX_MESSAGE = 64 * 1024
"""Octets of a message, over all its frames: what a datagram can have."""
MAX_CONTROL = 125  # section 5.5
LONG, VERY_LONG = 126, 127  # in place of a length: it follows in 2 or 8 octets


class Opcode(IntEnum):
    """Section 5.2."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class CloseCode(IntEnum):
    """Why a connection is closed (section 7.4.1)."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    NOT_TEXT = 1007
    TOO_BIG = 1009


class FrameFault(PeerError):
    """The peer's frames cannot be followed any further: close with `code`."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason, metric="websocket_frames")
        self.code = code


@dataclass(frozen=True, slots=True)
class Frame:
    """A whole message, or a control frame."""

    opcode: Opcode
    payload: bytes


class FrameReader:
    """The frames of one client. Holds no more than one message and what came in the same read."""

    def __init__(self, max_message: int = MAX_MESSAGE) -> None:
        self._max = max_message
        self._buffer = bytearray()
        self._message = bytearray()
        self._kind: Opcode | None = None  # of the fragmented message under way

    @property
    def pending(self) -> bool:
        """Is a message or a frame under way?"""
        return bool(self._buffer) or self._kind is not None

    def feed(self, data: bytes) -> None:
        """Octets as they arrive."""
        self._buffer += data

    def next(self) -> tuple[bool, Frame | None]:
        """Reads one frame: (whether there was one, the message or control frame that it completed).

        Raises FrameFault, for one that is too long before it has come.
        """
        head = self._head()
        if head is None:
            return False, None
        final, opcode, start, length = head
        if len(self._buffer) < start + length:
            return False, None
        mask = self._buffer[start - 4 : start]
        payload = _unmasked(mask, self._buffer[start : start + length])
        del self._buffer[: start + length]
        if opcode >= Opcode.CLOSE:
            return True, Frame(opcode, payload)
        return True, self._assembled(final, opcode, payload)

    def _head(self) -> tuple[bool, Opcode, int, int] | None:
        """Whether it is the last of its message, opcode, where the payload starts and how long it is; None where more
        has to come."""
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        first, second = buffer[0], buffer[1]
        final, length = first >= 0x80, second & 0x7F
        opcode = self._opcode(first, final, length)
        if second < 0x80:
            raise FrameFault(CloseCode.PROTOCOL_ERROR, "a frame without a mask")  # section 5.1
        start = 2
        if length >= LONG:
            start += 2 if length == LONG else 8
            if len(buffer) < start:
                return None
            length = int.from_bytes(buffer[2:start])
        if opcode < Opcode.CLOSE and length + len(self._message) > self._max:
            raise FrameFault(CloseCode.TOO_BIG, f"a message of more than {self._max} octets")
        return (final, opcode, start + 4, length) if len(buffer) >= start + 4 else None

    def _opcode(self, first: int, final: bool, length: int) -> Opcode:
        if first & 0x70:
            raise FrameFault(CloseCode.PROTOCOL_ERROR, "a reserved bit is set")  # no extension was agreed on
        try:
            opcode = Opcode(first & 0x0F)
        except ValueError:
            raise FrameFault(CloseCode.PROTOCOL_ERROR, "an unknown opcode") from None
        if opcode >= Opcode.CLOSE:
            if not final or length > MAX_CONTROL:
                raise FrameFault(CloseCode.PROTOCOL_ERROR, "a control frame in pieces or too long")  # section 5.5
        elif (opcode is Opcode.CONTINUATION) != (self._kind is not None):
            raise FrameFault(CloseCode.PROTOCOL_ERROR, "a fragment out of order")  # section 5.4
        return opcode

    def _assembled(self, final: bool, opcode: Opcode, payload: bytes) -> Frame | None:
        kind = opcode if self._kind is None else self._kind
        if not final:
            self._kind = kind
            self._message += payload
            return None
        if self._kind is not None:
            payload = bytes(self._message + payload)
            self._message.clear()
            self._kind = None
        if kind is Opcode.TEXT:
            try:
                payload.decode()
            except UnicodeDecodeError:
                raise FrameFault(CloseCode.NOT_TEXT, "a text that is not UTF-8") from None  # section 8.1
        return Frame(kind, payload)


def written(opcode: Opcode, payload: bytes) -> bytes:
    """A frame of ours: whole and without a mask."""
    length = len(payload)
    if length < LONG:
        head = struct.pack("!BB", 0x80 | opcode, length)
    elif length <= 0xFFFF:
        head = struct.pack("!BBH", 0x80 | opcode, LONG, length)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, VERY_LONG, length)
    return head + payload


def message(data: bytes) -> bytes:
    """A SIP message as one frame: as text where it is UTF-8, as some clients read nothing else (RFC 7118 section 5)."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return written(Opcode.BINARY, data)
    return written(Opcode.TEXT, data)


def closing(code: CloseCode, reason: str) -> bytes:
    """A Close frame."""
    return written(Opcode.CLOSE, struct.pack("!H", code) + reason.encode()[: MAX_CONTROL - 2])


def _unmasked(mask: bytes, payload: bytes) -> bytes:
    """Section 5.3, over all octets at once."""
    length = len(payload)
    stretched = (mask * (length // 4 + 1))[:length]
    return (int.from_bytes(payload) ^ int.from_bytes(stretched)).to_bytes(length)
