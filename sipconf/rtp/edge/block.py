"""The rows that datagrams are read into, as many as are needed, and what has come from several places in one."""

import numpy as np
from numpy.typing import NDArray

from sipconf.rtp.packet import ROW, Drained, copy_rows


class Block:
    """Rows that grow. octets: uint8 (rows, ROW); views: the same row by row; both are new ones after growth, and what
    stood in the rows still does."""

    def __init__(self, rows: int) -> None:
        self.octets: NDArray[np.uint8] = np.zeros((0, ROW), np.uint8)
        self.reserve(rows)

    def reserve(self, rows: int) -> None:
        """Make sure that there are so many."""
        old = len(self.octets)
        if rows <= old:
            return
        grown = np.zeros((max(rows, 2 * old), ROW), np.uint8)
        grown[:old] = self.octets
        self.octets = grown
        self.views = [memoryview(row) for row in grown]

    def hold(self, drained: Drained) -> Drained:
        """The same in the first of these rows, one after the other."""
        count, lines = len(drained.slots), drained.lines
        if lines is None and drained.block.base is not self.octets:
            lines = np.arange(count)
        if lines is not None:
            self.reserve(count)
            copy_rows(drained.block, lines, self.octets[:count], int(drained.lengths.max(initial=0)))
        return Drained(drained.slots, self.octets[:count], drained.lengths)

    def extend(self, drained: Drained, more: Drained) -> Drained:
        """What came, in these rows or from elsewhere, and behind it more from elsewhere."""
        if not len(drained.slots):
            return more
        if not len(more.slots):
            return drained
        slots, _, lengths, _ = self.hold(drained)
        begin, end = len(slots), len(slots) + len(more.slots)
        self.reserve(end)
        lines = np.arange(len(more.slots)) if more.lines is None else more.lines
        copy_rows(more.block, lines, self.octets[begin:end], int(more.lengths.max()))
        slots, lengths = np.concatenate([slots, more.slots]), np.concatenate([lengths, more.lengths])
        return Drained(slots, self.octets[:end], lengths)
