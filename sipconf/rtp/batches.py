"""What one drain of the sockets brought, sorted: rounds of audio packets that hold every slot at most once.

Made by streams, stored by the jitter buffers. Not here: how packets are judged (streams), what is in them (packet).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


class Chosen:
    """Packets of a block by their positions in it."""

    __slots__ = ()
    index: NDArray[np.intp]

    @property
    def lines(self) -> slice | NDArray[np.intp]:
        """What `index` picks of the block's rows, as a slice where it can be one."""
        return gapless(self.index)


@dataclass(frozen=True, slots=True)
class Batch(Chosen):
    """Audio packets of one round, columns of length Q; every slot at most once.

    index: position in the block; kinds: the caller's number of the format; timestamps: 32 bit, in int64; offsets and
    sizes of the payload in octets; fresh: first packet of a new or restarted source; levels: what the packet says of
    its loudness (RFC 6464), 0 to 127 in -dBov, packet.NO_LEVEL where it says nothing.
    """

    index: NDArray[np.intp]
    slots: NDArray[np.intp]
    kinds: NDArray[np.uint8]
    timestamps: NDArray[np.int64]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    markers: NDArray[np.bool_]
    fresh: NDArray[np.bool_]
    levels: NDArray[np.uint8]

    def where(self, mask: NDArray[np.bool_]) -> "Batch":
        """The packets that a bool (Q,) mask chooses."""
        return Batch(*(getattr(self, name)[mask] for name in Batch.__slots__))


@dataclass(frozen=True, slots=True)
class Frames(Chosen):
    """Packets of one round that are just what was expected, a frame each, of formats of kind 0; every slot once.

    index: row of the block; slots: int (Q,), ascending.
    """

    index: NDArray[np.intp]
    slots: NDArray[np.intp]

    def where(self, mask: NDArray[np.bool_]) -> "Frames":
        """The packets that a bool (Q,) mask chooses."""
        return Frames(self.index[mask], self.slots[mask])


@dataclass(frozen=True, slots=True)
class Received:
    """What a block held. events: positions of telephone-event packets; rtcp: of multiplexed RTCP; both in order."""

    batches: list[Batch]
    events: NDArray[np.intp]
    rtcp: NDArray[np.intp]


def gapless(positions: NDArray[np.intp]) -> slice | NDArray[np.intp]:
    """An index for positions: a slice, which copies nothing, where they follow each other without a gap."""
    count = len(positions)
    if (
        count
        and positions[-1] - positions[0] == count - 1
        and np.count_nonzero(positions[1:] > positions[:-1]) == count - 1
    ):
        return slice(int(positions[0]), int(positions[0]) + count)
    return positions
