"""RTP header extensions of many packets at once, and the audio level that one of their elements tells (RFC 8285, 6464).

Not here: which ids a leg has agreed on (streams), what is done with a level (the mixer).
"""

import numpy as np
from numpy.typing import NDArray

PREFIX_BYTES = 4
"""Of an extension: what it is, and how many words follow (RFC 3550 section 5.3.1)."""
MAX_ELEMENTS = 16
"""Elements and octets of padding of one extension that are looked at: browsers send a handful."""

_ONE_BYTE, _TWO_BYTES = 0xBEDE, 0x100
_RESERVED = 15
"""An id of the one-byte form that ends the extension (RFC 8285 section 4.2)."""
_LEVEL = 0x7F
"""Without the bit that says whether it is voice (RFC 6464 section 3)."""


def read_levels(
    octets: NDArray[np.uint8], begins: NDArray[np.int64], ids: NDArray[np.int64], levels: NDArray[np.uint8]
) -> None:
    """Write into levels, uint8 (k,), what these extensions say, where they say it. octets: uint8 (any,), all blocks;
    begins: int64 (k,), where each extension begins in them, which lies inside its datagram as a whole; ids: int64 (k,),
    of the element that tells the level, 0: not agreed on."""
    profile = _word(octets, begins)
    two = profile >> 4 == _TWO_BYTES
    at = begins + PREFIX_BYTES
    ends = at + 4 * _word(octets, begins + 2)
    searched = np.flatnonzero((ids > 0) & (two | (profile == _ONE_BYTE)) & (at < ends))
    at, ends, ids, two = at[searched], ends[searched], ids[searched], two[searched]
    for _ in range(MAX_ELEMENTS):
        if not len(searched):
            return
        first = octets.take(at, mode="clip").astype(np.int64)
        second = octets.take(at + 1, mode="clip")
        number = np.where(two, first, first >> 4)
        length = np.where(two, second, (first & 0x0F) + 1)
        inside = at + two + length < ends
        found = (number == ids) & (length > 0) & inside
        levels[searched[found]] = octets.take(at[found] + 1 + two[found], mode="clip") & _LEVEL
        at += np.where(first == 0, 1, 1 + two + length)
        # The id of padding has no length, and one that is reserved ends the extension (RFC 8285 section 4.2).
        goes_on = ~found & (at < ends) & (two | (first == 0) | ((number > 0) & (number < _RESERVED)))
        searched, at, ends, ids, two = searched[goes_on], at[goes_on], ends[goes_on], ids[goes_on], two[goes_on]


def _word(octets: NDArray[np.uint8], at: NDArray[np.int64]) -> NDArray[np.int64]:
    """The two octets at each of these places as a number."""
    return octets.take(at, mode="clip").astype(np.int64) << 8 | octets.take(at + 1, mode="clip")
