"""How loud each leg is and whether it is talking: level, adaptive noise floor, hang-over.

Talking is a frame well above the leg's own noise; it lasts until the hang-over after the last such frame. The
floor follows quiet frames down quickly and climbs slowly, never above its cap, or a steady voice would gate
itself.
"""

import numpy as np
from numpy.typing import NDArray

from sipconf.mixer.frame import FRAME_MS, FULL_SCALE, SILENT_DB, Pcm, Rows, db_to_power, grown, power_to_db

FLOOR_CAP_DB = -50.0
FLOOR_LEAST_DB = -68.0  # the quantising noise of G.711; nothing is quieter on a telephone line
ABOVE_FLOOR_DB = 9.0
CLIMB_DB_PER_S = 3.0
FALL = 0.25  # of the way down, each frame
HANG_OVER_MS = 300


class Levels:
    """One row per leg of a bank."""

    def __init__(self) -> None:
        self.size = 0
        self._power = np.zeros(0, np.float32)  # mean square of the last frame
        self._floor = np.zeros(0, np.float32)
        self._frame = 0  # counts frames
        self._until = np.zeros(0, np.int64)  # the frame at which talking ends without another loud one
        self._talking = np.zeros(0, bool)
        self._least = np.float32(db_to_power(FLOOR_LEAST_DB))
        self._cap = np.float32(db_to_power(FLOOR_CAP_DB))
        self._ratio = np.float32(10 ** (ABOVE_FLOOR_DB / 10))
        self._fall = np.float32(FALL)
        self._climb = np.float32(10 ** (CLIMB_DB_PER_S * FRAME_MS / 10000))

    @property
    def talking(self) -> np.ndarray:
        """bool (size,): a view, valid until the next row is added."""
        return self._talking[: self.size]

    def add(self, row: int) -> None:
        """A new leg in this row: quiet, nothing known of its noise."""
        for name in ("_power", "_floor", "_until", "_talking"):
            setattr(self, name, grown(getattr(self, name), row + 1))
        self.size = max(self.size, row + 1)
        self._power[row] = 0
        self._floor[row] = self._least
        self._until[row] = 0
        self._talking[row] = False

    def hear(self, pcm: Pcm) -> Rows:
        """A frame of the first n rows, float32 (n, samples). Answers the rows whose talking has changed."""
        rows = len(pcm)
        power, floor, until = self._power[:rows], self._floor[:rows], self._until[:rows]
        np.vecdot(pcm, pcm, out=power)
        power *= np.float32(1 / pcm.shape[1])
        np.copyto(until, self._frame + HANG_OVER_MS // FRAME_MS, where=power > floor * self._ratio)
        risen = floor * self._climb
        quieter = power < floor
        if np.count_nonzero(quieter):
            np.copyto(risen, floor + self._fall * (power - floor), where=quieter)
        np.minimum(np.maximum(risen, self._least, out=risen), self._cap, out=floor)
        now = until > self._frame
        self._frame += 1
        changed = np.flatnonzero(now != self._talking[:rows])
        if len(changed):
            self._talking[changed] = now[changed]
        return changed

    def level_db(self, row: int) -> float:
        """dBFS of the row's last frame."""
        return power_to_db(float(self._power[row]))

    def levels_db(self, rows: Rows) -> NDArray[np.float64]:
        """The same of many rows, float64 (len(rows),)."""
        power = np.maximum(self._power[rows].astype(np.float64), db_to_power(SILENT_DB))
        return 10.0 * np.log10(power / FULL_SCALE**2)
