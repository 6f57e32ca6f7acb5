"""RTP headers of a whole block of datagrams at once (RFC 3550 section 5.1).

A block is one row of octets per datagram. The common header (version 2, no padding, extension or CSRC) is read without
a loop; the others, one by one. Not here: whether a packet belongs to a stream (streams) and what RTCP says (rtcp).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sipconf.errors import MisuseError

ROW = 1600
"""Octets of a block's row: more than any Ethernet datagram, and an odd number of 64-octet cache lines, so that the
headers of successive rows do not fall into the same few sets of the cache."""

HEADER_BYTES = 12
RTCP_TYPES = range(192, 224)
"""Second octets that mean RTCP on a multiplexed port (RFC 5761 section 4)."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """Columns for P datagrams. valid, rtcp: bool; the others int64. Where not valid, only rtcp means anything.

    offset, size: where the payload begins in its row and how many octets it has, padding taken off.
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


def parse(block: NDArray[np.uint8], lengths: NDArray[np.integer]) -> Parsed:
    """Read the headers of block, uint8 (P, octets) C-contiguous with rows a multiple of 4 octets, lengths int (P,)."""
    count, width = block.shape
    if width % 4 or width < HEADER_BYTES or not block.flags.c_contiguous:
        raise MisuseError("a block is contiguous rows of a multiple of 4 octets")
    words = np.ndarray((count, 3), ">u4", block, strides=(width, 4)).astype(np.int64)
    first = words[:, 0]
    lead = first >> 24
    second = (first >> 16) & 0xFF
    size = np.subtract(lengths, HEADER_BYTES, dtype=np.int64)
    offset = np.full(count, HEADER_BYTES, np.int64)
    payload_type = second & 0x7F
    valid = (lead == 0x80) & (size >= 0)
    # On one port RTCP shows by its packet type, which RTP avoids as payload types 64 to 95 (RFC 5761 section 4).
    rtcp = (payload_type >= 64) & (payload_type < 96) & (second >= 192)
    if rtcp.any():
        rtcp &= ((lead >> 6) == 2) & (size >= -4)
        valid &= ~rtcp
    else:
        rtcp[:] = False
    if not valid.all():
        for i in np.flatnonzero(~valid & ~rtcp & ((lead >> 6) == 2) & (size >= 0)).tolist():
            place = _payload_place(block[i], int(lengths[i]))
            if place is not None:
                valid[i] = True
                offset[i], size[i] = place
    return Parsed(
        valid, rtcp, payload_type, second >= 128, first & 0xFFFF, words[:, 1], words[:, 2], offset, size
    )


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
