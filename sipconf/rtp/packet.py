"""RTP headers of a whole block of datagrams at once (RFC 3550 section 5.1).

A block is one row of octets per datagram. The common headers (version 2, no padding or CSRC, with an extension or
without) are read without a loop; the others, one by one. Not here: what is in extensions (extensions), whether a packet
belongs to a stream (streams) and what RTCP says (rtcp).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sipconf.errors import MisuseError
from sipconf.rtp.extensions import PREFIX_BYTES, read_levels

ROW = 1600
"""Octets of a block's row: more than any Ethernet datagram, and an odd number of 64-octet cache lines, so that the
headers of successive rows do not fall into the same few sets of the cache."""
HEADER_BYTES = 12
NO_LEVEL = 255
"""In the place of an audio level (RFC 6464) where a packet tells none."""
RTCP_TYPES = range(192, 224)
"""Second octets that mean RTCP on a multiplexed port (RFC 5761 section 4)."""

_NEITHER, _PLAIN, _EXTENDED, _RARE, _RTCP = range(5)
_MOST_AT_ONCE = 4096
_UNTOLD = np.full(_MOST_AT_ONCE, NO_LEVEL, np.uint8)
_UNTOLD.flags.writeable = False


def _kinds() -> NDArray[np.uint8]:
    """What the first two octets of a datagram make it, uint8 (65536,)."""
    lead = np.arange(65536)
    kinds = np.where(lead >> 14 == 2, _RARE, _NEITHER)
    kinds[lead >> 8 == 0x80] = _PLAIN
    kinds[lead >> 8 == 0x90] = _EXTENDED
    # On one port RTCP shows by its packet type, which RTP avoids as payload types 64 to 95 (RFC 5761 section 4).
    rtcp = (lead >> 14 == 2) & (lead & 0xFF >= RTCP_TYPES.start) & (lead & 0xFF < RTCP_TYPES.stop)
    kinds[rtcp] = _RTCP
    return kinds.astype(np.uint8)


_KIND = _kinds()


def copy_rows(block: NDArray[np.uint8], rows: NDArray[np.intp], to: NDArray[np.uint8], octets: int) -> None:
    """Copy the first octets of these rows of a block into the rows of another, which are as many."""
    if octets > 0:
        item = f"V{octets}"
        source = np.ndarray(len(block), item, block, strides=(block.strides[0],))
        np.ndarray(len(to), item, to, strides=(to.strides[0],))[:] = source[rows]


class Drained(NamedTuple):
    """What sockets held: slots int (P,), block uint8 (P or more, ROW), lengths int (P,), each leg's in order of
    arrival. lines: int (P,), which row of the block each datagram is; None where row i is datagram i. A datagram whose
    length is not positive is none. Whoever drained them overwrites the block with the next drain."""

    slots: NDArray[np.intp]
    block: NDArray[np.uint8]
    lengths: NDArray[np.int64]
    lines: NDArray[np.intp] | None = None

    def part(self, begin: int, end: int) -> "Drained":
        """The datagrams from begin to end."""
        if begin == 0 and end == len(self.slots):
            return self
        slots, lengths = self.slots[begin:end], self.lengths[begin:end]
        if self.lines is None:
            return Drained(slots, self.block[begin:end], lengths)
        return Drained(slots, self.block, lengths, self.lines[begin:end])

    def in_line(self) -> "Drained":
        """The same, row i being datagram i: a copy where it was not so."""
        if self.lines is None:
            return self
        block = np.empty((len(self.lines), ROW), np.uint8)
        copy_rows(self.block, self.lines, block, int(self.lengths.max(initial=0)))
        return Drained(self.slots, block, self.lengths)


@dataclass(frozen=True, slots=True)
class Parsed:
    """Columns for P datagrams. valid, rtcp: bool; the others int64. Where not valid, only rtcp means anything.

    offset, size: where the payload begins in its row and how many octets it has, padding taken off. levels: uint8, what
    the packet says of its loudness (RFC 6464), 0 to 127 in -dBov, NO_LEVEL where it says nothing.
    """

    valid: NDArray[np.bool_]
    rtcp: NDArray[np.bool_]
    payload_type: NDArray[np.int64]
    marker: NDArray[np.bool_]
    sequence: NDArray[np.int64]
    timestamp: NDArray[np.int64]
    ssrc: NDArray[np.int64]
    offset: NDArray[np.int64]
    size: NDArray[np.int64]
    levels: NDArray[np.uint8]


def parse(
    block: NDArray[np.uint8], lengths: NDArray[np.integer], level_ids: NDArray[np.int64] | None = None
) -> Parsed:
    """Read the headers of block, uint8 (P, octets) C-contiguous with rows a multiple of 4 octets, lengths int (P,).

    level_ids: int64 (P,), the extension element that tells each packet's level, 0 for none; None: nobody tells."""
    count, width = block.shape
    if width % 4 or width < HEADER_BYTES or not block.flags.c_contiguous:
        raise MisuseError("a block is contiguous rows of a multiple of 4 octets")
    words = np.ndarray((3, count), ">u4", block, strides=(4, width)).astype(np.int64, order="C")
    lead = words[0] >> 16
    size = lengths - np.int64(HEADER_BYTES)
    payload_type, marker, sequence = lead & 0x7F, (lead & 0x80) != 0, words[0] & 0xFFFF
    offset = np.full(count, HEADER_BYTES, np.int64)
    levels = _UNTOLD[:count] if count <= _MOST_AT_ONCE else np.full(count, NO_LEVEL, np.uint8)
    kind = _KIND.take(lead, mode="clip")
    plain = (kind == _PLAIN) & (size >= 0)
    if np.count_nonzero(plain) == count:
        return Parsed(plain, ~plain, payload_type, marker, sequence, words[1], words[2], offset, size, levels)
    rtcp = (kind == _RTCP) & (size >= -4)
    extended = np.flatnonzero((kind == _EXTENDED) & (size >= PREFIX_BYTES))
    if len(extended):
        extended = _pass_extensions(block, extended, offset, size)
        plain[extended] = True
        if level_ids is not None and np.count_nonzero(level_ids):
            levels = np.full(count, NO_LEVEL, np.uint8)
            told = levels[extended]
            read_levels(block.reshape(-1), extended * width + HEADER_BYTES, level_ids[extended], told)
            levels[extended] = told
    for i in np.flatnonzero((kind == _RARE) & (size >= 0)).tolist():
        place = _payload_place(block[i], int(lengths[i]))
        if place is not None:
            plain[i] = True
            offset[i], size[i] = place
    return Parsed(plain, rtcp, payload_type, marker, sequence, words[1], words[2], offset, size, levels)


def _pass_extensions(
    block: NDArray[np.uint8], rows: NDArray[np.intp], offset: NDArray[np.int64], size: NDArray[np.int64]
) -> NDArray[np.intp]:
    """Let the payloads of these rows begin behind their extensions (RFC 3550 section 5.3.1). Returns those in which the
    extension ends inside the datagram."""
    words = np.ndarray(len(block), ">u2", block, HEADER_BYTES + 2, (block.shape[1],))[rows]
    octets = PREFIX_BYTES + 4 * words.astype(np.int64)
    fits = octets <= size[rows]
    if np.count_nonzero(fits) != len(fits):
        rows, octets = rows[fits], octets[fits]
    offset[rows] += octets
    size[rows] -= octets
    return rows


def _payload_place(row: NDArray[np.uint8], length: int) -> tuple[int, int] | None:
    """Offset and size of the payload behind CSRCs, extension and padding; None when they do not fit the datagram."""
    lead = int(row[0])
    offset = HEADER_BYTES + 4 * (lead & 0x0F)
    if lead & 0x10:  # RFC 3550 section 5.3.1
        if offset + 4 > length:
            return None
        offset += 4 + 4 * (int(row[offset + 2]) << 8 | int(row[offset + 3]))
    if offset > length:
        return None
    padding = 0
    if lead & 0x20:
        padding = int(row[length - 1])
        if padding == 0 or offset + padding > length:
            return None
    return offset, length - offset - padding
