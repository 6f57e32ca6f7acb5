"""How loud each leg is and whether it is talking: level, noise floor by minimum statistics, hang-over.

Talking is a frame well above the leg's own noise; it lasts until the hang-over after the last such frame. The noise is
what the quietest moments of the last seconds had: words have gaps, noise has none, so a voice does not take itself for
noise. A frame is only compared; what it is compared with is learnt once a block of ten. Here too: the level track that
`matching` and `guards` read. Noise suppression (docs/adr/0008: none yet) would learn here whose turn it is. Minimum
statistics: R. Martin, IEEE Trans. Speech Audio Process. 9 (2001) 504.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sipconf.mixer.frame import FRAME_MS, FULL_SCALE, SILENT_DB, Pcm, Rows, db_to_power, grown, power_to_db

BLOCK = 10
"""Frames after which noise and thresholds are learnt anew."""
BLOCKS = 12
"""Blocks in which a word's gap is looked for: 2.4 s, how long a new noise is heard. Their third quietest moment counts,
not the first: lost packets are silent too."""
FIRST_BLOCKS = 8
"""Blocks for which a new leg counts as one with the usual noise, FLOOR_FIRST_DB, or less."""
FLOOR_CAP_DB = -38.0  # what never is quieter than this is no noise
FLOOR_LEAST_DB = -68.0  # the quantising noise of G.711; nothing is quieter on a telephone line
FLOOR_FIRST_DB = -50.0  # of a leg that nothing is known of yet
ABOVE_NOISE_DB = 4.0  # over the loudest moments of the noise
ABOVE_FLOOR_DB = (6.0, 10.5)  # and so much over its quietest ones: hiss strays 2 dB from these, a rumble 10
HANG_OVER_MS = 300
CLICK_MS = 60
"""Hang-over of a frame that stood alone: a click, or a rumble's peak."""
_HANG_OVER, _CLICK = HANG_OVER_MS // FRAME_MS, CLICK_MS // FRAME_MS


class Told(NamedTuple):
    """How loud some rows are by their peers' word (RFC 6464). power: float32, mean square at int16 scale."""

    rows: Rows
    power: NDArray[np.float32]


class Levels:
    """One row per leg of a bank.

    track: float32 (BLOCK, capacity), mean square of each frame of the block that `hear` is filling; `at` is the frame
    filled last. extremes: float32 (BLOCKS, 2, capacity), the quietest and the loudest frame of each of the last
    blocks, a ring of which `block` is the next to be filled. threshold: float32 (capacity,), what a talking frame is
    louder than. floor: float32 (capacity,).
    """

    def __init__(self) -> None:
        self.size = 0
        self.at = BLOCK - 1
        self.track = np.zeros((BLOCK, 0), np.float32)
        self.threshold = np.zeros(0, np.float32)
        self.floor = np.zeros(0, np.float32)
        self.extremes = np.zeros((BLOCKS, 2, 0), np.float32)  # quietest and loudest frame of each block, a ring
        self.block = 0
        self._frame = 0  # counts frames
        self._until = np.zeros(0, np.int64)  # the frame at which talking ends without another loud one
        self._talking = np.zeros(0, bool)
        self._loud = np.zeros(0, bool)  # the last frame was
        self._least, self._first, self._cap = (
            np.float32(db_to_power(level)) for level in (FLOOR_LEAST_DB, FLOOR_FIRST_DB, FLOOR_CAP_DB)
        )
        self._above = np.float32(10 ** (ABOVE_NOISE_DB / 10))
        self._margin = tuple(np.float32(10 ** (margin / 10)) for margin in ABOVE_FLOOR_DB)

    @property
    def talking(self) -> NDArray[np.bool_]:
        """bool (size,): a view, valid until the next row is added."""
        return self._talking[: self.size]

    @property
    def block_is_full(self) -> bool:
        """Whether the last frame ended a block: the moment to read the track."""
        return self.at == BLOCK - 1

    def add(self, row: int) -> None:
        """A new leg in this row: quiet, nothing known of its noise."""
        for name in ("threshold", "floor", "_until", "_talking", "_loud"):
            setattr(self, name, grown(getattr(self, name), row + 1))
        for name in ("track", "extremes"):
            setattr(self, name, np.ascontiguousarray(grown(getattr(self, name).T, row + 1).T))
        self.size = max(self.size, row + 1)
        self.track[:, row] = 0
        # As if there had been some moments of a usual noise, and otherwise only loud ones: a caller's first words
        # are not taken for noise, whose own second is let in.
        self.extremes[:, :, row] = np.inf
        usual = (self.block + np.arange(FIRST_BLOCKS)) % BLOCKS
        self.extremes[usual, :, row] = self.floor[row] = self._first
        self.threshold[row] = self._first * self._margin[0]
        self._until[row] = 0
        self._talking[row] = self._loud[row] = False

    def hear(self, pcm: Pcm, told: Told | None = None) -> Rows:
        """A frame of the first n rows, float32 (n, samples). told: rows whose samples are not there, but how loud they
        are. Answers the rows whose talking has changed."""
        rows = len(pcm)
        self.at = (self.at + 1) % BLOCK
        power, until = self.track[self.at, :rows], self._until[:rows]
        np.vecdot(pcm, pcm, out=power)
        power *= np.float32(1 / pcm.shape[1])
        if told is not None:
            power[told.rows] = told.power
        loud, before = power > self.threshold[:rows], self._loud[:rows]
        before &= loud  # two in a row
        np.maximum(until, loud * (self._frame + _CLICK), out=until)
        np.maximum(until, before * (self._frame + _HANG_OVER), out=until)
        before[:] = loud
        now = until > self._frame
        self._frame += 1
        if self.at == BLOCK - 1:
            self._learn()
        changed = (now != self._talking[:rows]).nonzero()[0]
        if len(changed):
            self._talking[changed] = now[changed]
        return changed

    def level_db(self, row: int) -> float:
        """dBFS of the row's last frame."""
        return power_to_db(float(self.track[self.at, row]))

    def levels_db(self, rows: Rows) -> NDArray[np.float64]:
        """The same of many rows, float64 (len(rows),)."""
        power = np.maximum(self.track[self.at, rows].astype(np.float64), db_to_power(SILENT_DB))
        return 10.0 * np.log10(power / FULL_SCALE**2)

    def _learn(self) -> None:
        """A block is over: its extremes replace the oldest known, and the thresholds follow."""
        track, floor, threshold = self.track[:, : self.size], self.floor[: self.size], self.threshold[: self.size]
        extremes = self.extremes[:, :, : self.size]
        np.min(track, axis=0, out=extremes[self.block, 0])
        np.max(track, axis=0, out=extremes[self.block, 1])
        self.block = (self.block + 1) % BLOCKS
        quietest, loudest = _third_smallest(extremes)
        np.clip(quietest, self._least, self._cap, out=floor)
        np.multiply(loudest, self._above, out=threshold)
        np.clip(threshold, floor * self._margin[0], floor * self._margin[1], out=threshold)


def _third_smallest(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of BLOCKS values along the first axis: four threes are sorted, then two and two made one. A partition of so
    few takes ten times as long, and each operation on the way costs the same, however few rows there are."""
    three = _sorted(values.reshape(3, 4, *values.shape[1:]))
    # Of two sorted threes, the one against the other backwards, the smaller ones are the three smallest of all six.
    three = _sorted(np.minimum(three[:, :2], three[::-1, 2:]))
    return np.maximum.reduce(np.minimum(three[:, 0], three[::-1, 1]))


def _sorted(three: NDArray[np.float32]) -> NDArray[np.float32]:
    """Along the first axis, of which there are three."""
    answer = np.empty_like(three)
    smaller, larger = np.minimum(three[0], three[1]), np.maximum(three[0], three[1])
    np.maximum(larger, three[2], out=answer[2])
    np.minimum(larger, three[2], out=larger)
    np.minimum(smaller, larger, out=answer[0])
    np.maximum(smaller, larger, out=answer[1])
    return answer
