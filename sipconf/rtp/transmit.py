"""RTP packets of a whole bank, built in place in one buffer (RFC 3550 section 5.1).

Sequence numbers, timestamps and SSRCs are columns by row. Not here: sockets (edge/ports), encoding (the mixer).
"""

import numpy as np
from numpy.typing import NDArray

from sipconf.errors import MisuseError
from sipconf.rtp.formats import FrameFormat
from sipconf.rtp.packet import HEADER_BYTES

_VERSION = 2 << 14
_MARKER = 1 << 7


class Sender:
    """The sending half of a bank: row r's packet stands ready in views[r] after each packetise."""

    def __init__(self, format: FrameFormat, capacity: int = 64) -> None:
        self.format = format
        self._lead = np.zeros(capacity, np.uint16)  # the first two octets, without a marker
        self.sequence = np.zeros(capacity, np.uint16)
        self.timestamp = np.zeros(capacity, np.uint32)
        self.ssrc = np.zeros(capacity, np.int64)
        self.packets = np.zeros(capacity, np.int64)
        self._starting = np.ones(capacity, bool)
        self._open = np.zeros(capacity, bool)
        self._allocate(capacity)

    def _allocate(self, capacity: int) -> None:
        self._buffer = np.zeros((capacity, HEADER_BYTES + self.format.frame_bytes), np.uint8)
        self._payload = self._buffer[:, HEADER_BYTES:]
        self._shorts, self._words = self._buffer.view(">u2"), self._buffer.view(">u4")
        self._lead_written = False
        self._words[: len(self.ssrc), 2] = self.ssrc
        self.views: list[memoryview] = [memoryview(row) for row in self._buffer]

    def reserve(self, row: int) -> None:
        """Make sure that a row exists; the buffer and its views are new ones when it had to grow."""
        old = len(self.sequence)
        if row < old:
            return
        capacity = max(row + 1, 2 * old)
        for name in ("_lead", "sequence", "timestamp", "ssrc", "packets", "_open"):
            column = getattr(self, name)
            setattr(self, name, np.concatenate([column, np.zeros(capacity - old, column.dtype)]))
        self._starting = np.concatenate([self._starting, np.ones(capacity - old, bool)])
        self._allocate(capacity)

    def open(self, row: int, *, payload_type: int, sequence: int, timestamp: int, ssrc: int) -> None:
        """Begin a stream. sequence, timestamp, ssrc: random starting values (RFC 3550 section 5.1)."""
        self.reserve(row)
        self.set_payload_type(row, payload_type)
        self.sequence[row] = sequence & 0xFFFF
        self.timestamp[row] = timestamp & 0xFFFFFFFF
        self.ssrc[row] = ssrc & 0xFFFFFFFF
        self._words[row, 2] = ssrc & 0xFFFFFFFF
        self.packets[row] = 0
        self._starting[row] = self._open[row] = True

    def set_payload_type(self, row: int, payload_type: int) -> None:
        """What the row's next packets are marked with."""
        if not 0 <= payload_type < 128:
            raise MisuseError(f"payload type {payload_type}")
        self._lead[row] = _VERSION | payload_type
        self._lead_written = False

    def close(self, row: int) -> None:
        """The row sends nothing more until it is opened again."""
        self._open[row] = False

    @property
    def octets(self) -> NDArray[np.int64]:
        """Payload octets sent, by row."""
        return self.packets * self.format.frame_bytes

    def payload(self, n: int) -> NDArray[np.uint8]:
        """Where the payloads of rows 0..n-1 belong, uint8 (n, frame_bytes), for an encoder to write them."""
        return self._payload[:n]

    def packetise(self, payload: NDArray[np.uint8], sending: NDArray[np.bool_]) -> None:
        """Write the next packet of rows 0..n-1. payload: uint8 (n, frame_bytes); sending: bool (n,)."""
        self._payload[: len(payload)] = payload
        self.stamp(sending)

    def stamp(self, sending: NDArray[np.bool_]) -> None:
        """Write the headers of rows 0..n-1, whose payloads stand in place. sending: bool (n,).

        A row that does not send keeps its sequence number while its timestamp runs on, and marks its next packet as
        the beginning of a talkspurt (RFC 3551 section 4.1).
        """
        n = len(sending)
        sending = sending & self._open[:n]
        starting, sequence, timestamp = self._starting[:n], self.sequence[:n], self.timestamp[:n]
        marked = np.count_nonzero(starting)
        if marked or not self._lead_written:
            self._shorts[:n, 0] = self._lead[:n] | starting * np.uint16(_MARKER)
            self._lead_written = not marked
        self._shorts[:n, 1] = sequence
        self._words[:n, 1] = timestamp
        sequence += sending
        timestamp += np.uint32(self.format.samples)
        self.packets[:n] += sending
        np.logical_not(sending, out=starting)

    def skip(self, ticks: int) -> None:
        """Time went on for so many ticks without a packet: timestamps advance, sequence numbers do not."""
        self.timestamp += np.uint32(ticks * self.format.samples & 0xFFFFFFFF)
