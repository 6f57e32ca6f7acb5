"""RTP packets of a whole bank, built in place in one buffer (RFC 3550 section 5.1).

Sequence numbers, timestamps, SSRCs and the lengths of payloads are columns by row. Behind each packet is room for what
SRTP appends to it. Not here: sockets (edge/ports), encoding (the mixer), encryption (srtp).
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from sipconf.errors import MisuseError
from sipconf.rtp.formats import FrameFormat
from sipconf.rtp.packet import HEADER_BYTES

TRAILER_BYTES = 32
"""Octets behind the longest payload: SRTP appends at most 16 (RFC 7714 section 5.1)."""

_VERSION = 2 << 14
_MARKER = 1 << 7


class Packets(Sequence[memoryview]):
    """Some rows of a buffer as the packets that stand there now: whoever sends them may keep what it has prepared for
    as long as it is passed the same object.

    block: uint8, of all rows, whole; buffers: the same row by row; addresses: uint64, where they begin in memory;
    lengths: int64, octets that count behind the first lead ones, which change from tick to tick if varies. rows: int
    (k,), which of them are meant.
    """

    def __init__(
        self, block: NDArray[np.uint8], buffers: Sequence[memoryview], addresses: NDArray[np.uint64],
        lengths: NDArray[np.int64], rows: NDArray[np.intp], *, lead: int = 0, varies: bool = True,
    ) -> None:  # fmt: skip
        self._block, self._buffers, self._addresses, self._lengths = block, buffers, addresses, lengths
        self.rows, self._lead, self.varies = rows, lead, varies
        self._some = not np.array_equal(rows, np.arange(len(rows)))

    @property
    def addresses(self) -> NDArray[np.uint64]:
        """Where each begins, (k,)."""
        return self._addresses[self.rows]

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Octets of each at this moment, (k,)."""
        return self._lengths[self.rows] + self._lead

    @property
    def in_place(self) -> bool:
        """Whether `octets` is a view, which shows what stands in the buffer at any time."""
        return not self._some

    @property
    def longest(self) -> int:
        """Octets that any of them may have."""
        return self._block.shape[1]

    def octets(self) -> NDArray[np.uint8]:
        """Their rows of the buffer, uint8 (k, whole words of four octets); what is behind the sizes does not count."""
        return self._block[self.rows] if self._some else self._block[: len(self.rows)]

    def of(self, places: Sequence[int]) -> "Packets":
        """Those at some places among them."""
        rows = self.rows[np.array(places, np.intp)]
        return Packets(
            self._block, self._buffers, self._addresses, self._lengths, rows, lead=self._lead, varies=self.varies
        )  # fmt: skip

    def copy_to(self, block: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Write them into the first k rows of block, uint8 (k or more, octets), what is behind them does not count. The
        octets of each, (k,)."""
        sizes = self.sizes
        width = int(sizes.max(initial=0))
        block[: len(sizes), :width] = self._block[self.rows, :width]
        return sizes

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> memoryview:  # type: ignore[override]
        row = self.rows[place]
        return self._buffers[row][: self._lengths[row] + self._lead]

    def __iter__(self) -> Iterator[memoryview]:
        buffers = self._buffers
        return (buffers[row][:size] for row, size in zip(self.rows.tolist(), self.sizes.tolist(), strict=True))


class Sender:
    """The sending half of a bank: row r's packet stands ready at the begin of buffer[r] after each stamp.

    buffer: uint8 (capacity, stride), a row holds a header, the longest payload and TRAILER_BYTES; addresses: uint64
    (capacity,), where the rows begin in memory; both are new ones when the columns had to grow. lengths: int64
    (capacity,), octets of each row's payload of this tick; where they vary, whoever encodes writes them before `stamp`,
    and 0 sends nothing. packets: sent, by row.
    """

    def __init__(self, format: FrameFormat, capacity: int = 64) -> None:
        self.format = format
        self._varies = format.varies
        self._step = np.uint32(format.samples)
        self._usual_length = 0 if format.varies else format.frame_bytes
        self._lead = np.zeros(capacity, np.uint16)  # the first two octets, without a marker
        self.sequence = np.zeros(capacity, np.uint16)
        self.timestamp = np.zeros(capacity, np.uint32)
        self.ssrc = np.zeros(capacity, np.int64)
        self.packets = np.zeros(capacity, np.int64)
        self.lengths = np.full(capacity, self._usual_length, np.int64)
        self._octets = np.zeros(capacity, np.int64)  # sent, counted where payloads vary
        self._starting = np.ones(capacity, bool)
        self._open = np.zeros(capacity, bool)
        self._allocate(capacity)

    def _allocate(self, capacity: int) -> None:
        longest = HEADER_BYTES + self.format.frame_bytes
        stride = -(-(longest + TRAILER_BYTES) // 4) * 4  # whole words, and no format makes it whole cache lines
        self.buffer = np.zeros((capacity, stride), np.uint8)
        self.addresses = self.buffer.ctypes.data + stride * np.arange(capacity, dtype=np.uint64)
        self._payload = self.buffer[:, HEADER_BYTES:longest]
        self._shorts, self._words = self.buffer.view(">u2"), self.buffer.view(">u4")
        self._lead_written = False
        self._words[: len(self.ssrc), 2] = self.ssrc
        self._longest = [memoryview(row[:longest]) for row in self.buffer]

    def reserve(self, row: int) -> None:
        """Make sure that a row exists."""
        old = len(self.sequence)
        if row < old:
            return
        capacity = max(row + 1, 2 * old)
        for name in ("_lead", "sequence", "timestamp", "ssrc", "packets", "_octets", "_open"):
            column = getattr(self, name)
            setattr(self, name, np.concatenate([column, np.zeros(capacity - old, column.dtype)]))
        self._starting = np.concatenate([self._starting, np.ones(capacity - old, bool)])
        self.lengths = np.concatenate([self.lengths, np.full(capacity - old, self._usual_length, np.int64)])
        self._allocate(capacity)

    def open(self, row: int, *, payload_type: int, sequence: int, timestamp: int, ssrc: int) -> None:
        """Begin a stream. sequence, timestamp, ssrc: random starting values (RFC 3550 section 5.1)."""
        self.reserve(row)
        self.set_payload_type(row, payload_type)
        self.sequence[row] = sequence & 0xFFFF
        self.timestamp[row] = timestamp & 0xFFFFFFFF
        self.ssrc[row] = ssrc & 0xFFFFFFFF
        self._words[row, 2] = ssrc & 0xFFFFFFFF
        self.packets[row] = self._octets[row] = 0
        self.lengths[row] = self._usual_length
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

    def octets_of(self, row: int) -> int:
        """Payload octets that a row has sent."""
        return int(self._octets[row] if self._varies else self.packets[row] * self.format.frame_bytes)

    def packets_of(self, rows: NDArray[np.intp]) -> Packets:
        """The packets of these rows, int (k,), as they stand after each stamp, until the columns grow."""
        return Packets(
            self.buffer, self._longest, self.addresses, self.lengths, rows, lead=HEADER_BYTES, varies=self._varies
        )  # fmt: skip

    def payload(self, n: int) -> NDArray[np.uint8]:
        """Where the payloads of rows 0..n-1 belong, uint8 (n, frame_bytes), for an encoder to write them."""
        return self._payload[:n]

    def packetise(self, payload: NDArray[np.uint8], sending: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Write the next packet of rows 0..n-1. payload: uint8 (n, frame_bytes); the rest as for `stamp`."""
        self._payload[: len(payload)] = payload
        return self.stamp(sending)

    def stamp(self, sending: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Write the headers of rows 0..n-1, whose payloads stand in place. sending: bool (n,), who may; returned is who
        does.

        A row that does not send keeps its sequence number while its timestamp runs on, and marks its next packet as
        the beginning of a talkspurt (RFC 3551 section 4.1).
        """
        n = len(sending)
        sending = sending & self._open[:n]
        if self._varies:
            sending &= self.lengths[:n] > 0  # the encoder has nothing to say (DTX)
            self._octets[:n] += self.lengths[:n] * sending
        starting, sequence, timestamp = self._starting[:n], self.sequence[:n], self.timestamp[:n]
        marked = np.count_nonzero(starting)
        if marked or not self._lead_written:
            self._shorts[:n, 0] = self._lead[:n] | starting * np.uint16(_MARKER)
            self._lead_written = not marked
        self._shorts[:n, 1] = sequence
        self._words[:n, 1] = timestamp
        sequence += sending
        timestamp += self._step
        self.packets[:n] += sending
        np.logical_not(sending, out=starting)
        return sending

    def skip(self, ticks: int) -> None:
        """Time went on for so many ticks without a packet: timestamps advance, sequence numbers do not."""
        self.timestamp += np.uint32(ticks * self.format.samples & 0xFFFFFFFF)
