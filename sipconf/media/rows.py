"""Who sits where: legs (numbers chosen by the caller) to slots, and slots to rows of a bank.

A slot is a leg's place in the columns that do not depend on its format (sockets, streams, direction); a row is its
place in one bank, the legs that share encoding and clock rate. Both stay while the leg lives (a row until the leg
changes its format), the lowest free number is given first, and columns are as long as the highest used number + 1.
Not here: what the columns hold (rtp, mixer) and what is done with them (plane).
"""

import heapq

import numpy as np

from sipconf.errors import MisuseError

FIRST_CAPACITY = 64


class Numbers:
    """Lowest free number first. `size` is the highest used number + 1."""

    def __init__(self) -> None:
        self._free: list[int] = []
        self._used: set[int] = set()
        self.size = 0

    def take(self) -> int:
        number = self.size
        while self._free:
            free = heapq.heappop(self._free)
            if free not in self._used:  # an entry may be stale: size fell below it and grew again
                number = free
                break
        self._used.add(number)
        self.size = max(self.size, number + 1)
        return number

    def give(self, number: int) -> None:
        """Free a number. Raises MisuseError when it is not in use."""
        if number not in self._used:
            raise MisuseError(f"number {number} is not in use")
        self._used.remove(number)
        heapq.heappush(self._free, number)
        while self.size and self.size - 1 not in self._used:
            self.size -= 1

    def __len__(self) -> int:
        return len(self._used)


def grown(column: np.ndarray, capacity: int) -> np.ndarray:
    """The column with room for `capacity` rows, doubling; new rows are zero. The same array when it has the
    room."""
    if capacity <= len(column):
        return column
    wider = np.zeros((max(capacity, 2 * len(column)), *column.shape[1:]), column.dtype)
    wider[: len(column)] = column
    return wider


class Seats:
    """Rows of one bank.

    slots: int64 (capacity,), slot sitting in each row, -1 where nobody does; the first `size` of them count, highest
    used row + 1: how many rows a tick works on.
    """

    def __init__(self) -> None:
        self._rows = Numbers()
        self.size = 0
        self.slots = np.full(FIRST_CAPACITY, -1, np.int64)

    def take(self, slot: int) -> int:
        row = self._rows.take()
        if row >= len(self.slots):
            self.slots = np.concatenate([self.slots, np.full(len(self.slots), -1, np.int64)])
        self.slots[row] = slot
        self.size = self._rows.size
        return row

    def give(self, row: int) -> None:
        self._rows.give(row)
        self.slots[row] = -1
        self.size = self._rows.size

    def __len__(self) -> int:
        return len(self._rows)
