"""What is kept by row: arrays of one length that grow and are cleared together. Not here: what any of them means."""

from typing import ClassVar

import numpy as np


class Columns:
    """Every array among the attributes is a column. CLEAN: what a cleared row has in a column, where it is not 0."""

    CLEAN: ClassVar[dict[str, int]] = {}

    def _columns(self) -> list[str]:
        return [name for name, value in self.__dict__.items() if isinstance(value, np.ndarray)]

    def grow(self, capacity: int) -> None:
        """Make room for more rows."""
        for name in self._columns():
            column = getattr(self, name)
            wider = np.full(capacity, self.CLEAN.get(name, 0), column.dtype)
            wider[: len(column)] = column
            setattr(self, name, wider)

    def clear(self, row: int | slice) -> None:
        """Forget a row."""
        for name in self._columns():
            getattr(self, name)[row] = self.CLEAN.get(name, 0)
