"""Framing between the front and a media worker: protocol dataclasses as JSON, many to a datagram.

Both ends use the same class over one end of a Unix SOCK_SEQPACKET pair. Nothing here blocks: what does not fit
waits in a bounded queue, and of a full queue the periodic reports are left out first. Not here: who starts whom
(supervisor), when to read (worker), and what the messages mean (protocol).
"""

import json
import select
import socket
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Iterable
from dataclasses import fields
from operator import attrgetter
from typing import Any

from sipconf.errors import MisuseError
from sipconf.media import protocol
from sipconf.media.protocol import Command, Event

Message = Command | Event

DATAGRAM_BYTES = 48 * 1024
"""Messages are gathered up to this size: well under the kernel's default socket buffer of 212,992 bytes."""
RECEIVE_BYTES = 256 * 1024
MAX_WAITING = 65_536
"""Messages that may wait for a slow reader. Beyond it every message is dropped and counted."""
REPORTS_WAITING = 8_192
"""Messages that may wait before reports are dropped: the next second brings fresher ones."""

_FRAMED = (
    *protocol.Command.__args__, *protocol.Event.__args__, protocol.RtpFormat, protocol.SrtpKeys,
    protocol.IceCredentials, protocol.WebRtcTerms,
)  # fmt: skip
_OCTETS = "octets"  # the tag of bytes, in base 64
_CLASS_OF_TAG: dict[str, type] = {cls.__name__: cls for cls in _FRAMED}
_REPORTS = (protocol.LegReports, protocol.PlaneReport)


def _reader(cls: type) -> Any:
    names = [field.name for field in fields(cls)]
    read = attrgetter(*names)
    return read if len(names) > 1 else lambda message: (read(message),)


_VALUES_OF_CLASS = {cls: _reader(cls) for cls in _FRAMED}


def _as_tagged(value: Any) -> dict[str, tuple[Any, ...]]:
    """json's hook for what it does not know: a dataclass becomes {tag: [field values]}."""
    if isinstance(value, bytes):
        return {_OCTETS: (b64encode(value).decode(),)}
    read = _VALUES_OF_CLASS.get(type(value))
    if read is None:
        raise MisuseError(f"{type(value).__name__} cannot be sent over the media pipe")
    return {type(value).__name__: read(value)}


def _from_json(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(map(_from_json, value))
    if isinstance(value, dict):
        ((tag, values),) = value.items()
        if tag == _OCTETS:
            return b64decode(values[0], validate=True)
        return _CLASS_OF_TAG[tag](*map(_from_json, values))
    return value


_encoder = json.JSONEncoder(default=_as_tagged, separators=(",", ":"), check_circular=False, allow_nan=False)


def encode(message: Message) -> str:
    """One message as JSON text. Raises MisuseError for anything that is not of the protocol, or not a number."""
    try:
        return _encoder.encode(message)
    except (TypeError, ValueError) as error:
        raise MisuseError(f"not a message of the media protocol: {message!r}: {error}") from error


def decode(datagram: bytes) -> list[Message]:
    """All messages of one datagram. Raises MisuseError when the other end speaks something else."""
    try:
        return list(map(_from_json, json.loads(datagram)))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise MisuseError(f"media pipe: not our framing: {datagram[:80]!r}") from error


def open_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected ends, closed on exec unless passed on."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


class Pipe:
    """One end. closed turns True when the other end is gone; dropped counts messages that found no room."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._end = end
        self._readable = select.poll()
        self._readable.register(end, select.POLLIN)
        self._waiting: deque[str] = deque()
        self._received: deque[Message] = deque()
        self.closed = False
        self.dropped = 0

    def fileno(self) -> int:
        return self._end.fileno()

    @property
    def waiting(self) -> int:
        """Messages queued but not yet with the kernel."""
        return len(self._waiting)

    def put(self, messages: Iterable[Message]) -> None:
        """Queue messages; flush() sends them."""
        for message in messages:
            room = REPORTS_WAITING if isinstance(message, _REPORTS) else MAX_WAITING
            if len(self._waiting) >= room:
                self.dropped += 1
            else:
                self._waiting.append(encode(message))

    def flush(self) -> bool:
        """Send what the kernel takes now. True when nothing waits any more."""
        while self._waiting and not self.closed:
            size, count = 0, 0
            for text in self._waiting:
                size += len(text) + 1
                if count and size > DATAGRAM_BYTES:
                    break
                count += 1
            batch = [self._waiting[index] for index in range(count)]
            try:
                self._end.send(b"[" + ",".join(batch).encode() + b"]")
            except (BlockingIOError, InterruptedError):
                return False
            except OSError:
                self.closed = True
                return False
            for _ in range(count):
                self._waiting.popleft()
        return not self._waiting

    def receive(self, budget: int) -> list[Message]:
        """At most budget messages, oldest first; the rest stays for the next call."""
        # Asking first: an empty read of this size, and its exception, cost ten times as much, and most are empty.
        while len(self._received) < budget and not self.closed and self._readable.poll(0):
            try:
                datagram = self._end.recv(RECEIVE_BYTES)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                datagram = b""
            if not datagram:
                self.closed = True
                break
            self._received.extend(decode(datagram))
        return [self._received.popleft() for _ in range(min(budget, len(self._received)))]

    def close(self) -> None:
        self._end.close()
        self.closed = True
