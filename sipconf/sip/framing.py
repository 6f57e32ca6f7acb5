"""A byte stream to messages (RFC 3261 section 18.3) and keep-alives (RFC 5626 section 3.5.1). Reads no message."""

import re

from sipconf.sip.parser import content_length, salvage
from sipconf.sip.tokens import MAX_MESSAGE, MalformedMessage

_LENGTH = re.compile(rb"\r\n(?:Content-Length|l)[ \t]*:((?:[^\r\n]|\r\n[ \t])*+)", re.IGNORECASE)
_BLANKS = b" \t\r\n"


class StreamFramer:
    """Cuts one connection's bytes into messages.

    pongs: double CRLFs seen so far between messages; each is answered with one CRLF. pending: bytes held of a
    message that is not complete. Once framing is lost, it stays lost: `fault` is set and every further `feed` raises
    it.
    """

    def __init__(self, max_message: int = MAX_MESSAGE) -> None:
        self._max = max_message
        self._buffer = bytearray()
        self._searched = 0  # how far the end of the header section has been looked for
        self._needed = 0  # length of the message under way, 0 while its head is incomplete
        self._crlf = False  # one CRLF of a keep-alive has been seen
        self.pongs = 0
        self.fault: MalformedMessage | None = None

    @property
    def pending(self) -> int:
        return len(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """Complete messages, each for `parse_message`.

        Raises MalformedMessage when the next message cannot be cut: answer its salvage and close. Messages in front
        of the fault are returned first; then `fault` is set and the next call, with or without data, raises.
        """
        if self.fault is not None:
            raise self.fault
        self._buffer += data
        messages: list[bytes] = []
        try:
            while (message := self._next()) is not None:
                messages.append(message)
        except MalformedMessage as fault:
            self.fault = fault
            self._buffer.clear()
            if not messages:
                raise
        return messages

    def _next(self) -> bytes | None:
        if not self._needed:
            self._skip_blank_lines()
            if not self._find_head():
                return None
        if len(self._buffer) < self._needed:
            return None
        message = bytes(self._buffer[: self._needed])
        del self._buffer[: self._needed]
        self._needed = self._searched = 0
        self._crlf = False
        return message

    def _skip_blank_lines(self) -> None:
        at = 0
        while self._buffer.startswith(b"\r\n", at):
            at += 2
            if self._crlf:
                self.pongs += 1
            self._crlf = not self._crlf
        if at:
            del self._buffer[:at]
            self._searched = 0  # half of a CRLF may have been looked at

    def _find_head(self) -> bool:
        """Look for the end of the header section; learn the message's length. Each byte is searched once."""
        end = self._buffer.find(b"\r\n\r\n", max(0, self._searched - 3))
        if end < 0:
            self._refuse_bare_lf(len(self._buffer))
            self._searched = len(self._buffer)
            if self._searched > self._max:
                raise self._lost("header section too large", 513)
            return False
        # What is refused while a head is under way is refused in a whole one too: how it was cut may not matter.
        self._refuse_bare_lf(end + 2)
        if end + 4 > self._max:
            raise self._lost("header section too large", 513)
        head = bytes(self._buffer[: end + 2])
        try:
            length = content_length([found.strip(_BLANKS).decode("latin-1") for found in _LENGTH.findall(head)])
        except MalformedMessage as fault:
            raise self._lost(fault.reason, fault.status) from fault
        if length is None:  # a stream needs it to be cut (RFC 3261 section 20.14)
            raise self._lost("no Content-Length on a stream", 400)
        self._needed = end + 4 + length
        if self._needed > self._max:
            raise self._lost("message too large", 513)
        return True

    def _refuse_bare_lf(self, end: int) -> None:
        """A first line that ends in LF alone: its sender's header section would never end."""
        end = min(end, self._max + 1)
        if not self._searched or self._buffer.find(b"\n", 0, self._searched) < 0:
            first = self._buffer.find(b"\n", max(0, self._searched - 1), end)
            if first == 0 or (first > 0 and self._buffer[first - 1] != 0x0D):
                raise MalformedMessage("line ends in LF alone", metric="lost_framing")  # no answer: no head to copy

    def _lost(self, reason: str, status: int) -> MalformedMessage:
        fault = MalformedMessage(reason, status=status, metric="lost_framing")
        fault.salvage = salvage(bytes(self._buffer[: self._max]).partition(b"\r\n\r\n")[0])
        return fault
