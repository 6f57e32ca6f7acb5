"""Who only listens hears what others hear too: that frame is mixed and encoded once for all of them.

In a large conference few people talk at a time. A row that adds nothing to its room's sum in this frame, and is played
nothing of its own, hears the very sum; only the others need a minus-one and an encoder run of their own. Where more
than half of a bank's rows talk the plain way is cheaper, and so it is where few rows would be spared. Not here: who
talks (levels, legs) and how the sums are made (mix).
"""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from sipconf.mixer.codecs.catalogue import Codec
from sipconf.mixer.frame import Codes, Pcm, Rows
from sipconf.mixer.legs import NOWHERE, Weights

LEAST_SPARED = 128
"""Rows that sharing must spare an encoder run, or its own array calls cost more (measured)."""
FEW_ROOMS = 2  # up to here a dense product beats a sparse one


def room_product(slots: Rows, rooms: int) -> NDArray[np.float32] | csr_array:
    """The matrix (rooms, len(slots)) that adds up rows to their rooms; row r goes to room slots[r] (beyond the last:
    to none)."""
    rows = np.flatnonzero(slots < rooms)
    if rooms <= FEW_ROOMS:
        product = np.zeros((rooms, len(slots)), np.float32)
        product[slots[rows], rows] = 1
        return product
    ones = np.ones(len(rows), np.float32)
    return csr_array((ones, (slots[rows], rows)), shape=(rooms, len(slots)), dtype=np.float32)


class Share:
    """A bank's frame in which most rows share what they hear; good until weights or rooms change.

    own: the rows that have a frame of their own, ascending. common: float32 (rooms + 1, samples), what each room
    hears, the last row being silence; row r hears common[slots[r]] unless it is one of own. numbers: int64 (rooms +
    1,), the room of each row of common, NOWHERE for the last.
    """

    def __init__(self, weights: Weights, slots: Rows, rooms: NDArray[np.int64], own: Rows) -> None:
        self.own = own
        self.numbers = np.append(rooms, NOWHERE)
        self.common: Pcm = np.zeros((0, 0), np.float32)
        self.slots, self._own_slots = slots, slots[own]
        self._everyone_alike = len(rooms) == 1 and not np.count_nonzero(slots)
        self._product = room_product(self._own_slots, len(rooms))
        talk = np.ones(len(slots), np.float32)
        talk[weights.silent] = 0
        talk[weights.scaled] = weights.factor[:, 0]
        self._before = self._after = talk[own, None]
        self._weighed = len(weights.ramping) > 0 or bool(np.count_nonzero(self._before != 1))
        if len(weights.ramping):
            self._after = self._before.copy()
            places = np.searchsorted(own, weights.ramping)
            self._before[places, 0], self._after[places, 0] = weights.before, weights.after
        self._listening, self._goal = np.searchsorted(own, weights.listening), weights.goal[:, None]
        self._voices: Pcm | None = None

    def sum(self, pcm: Pcm, ramp: Pcm, opening: Pcm) -> Pcm | float:
        """float32 (size, samples) to what each room's talkers add up to, (rooms, samples). ramp, opening: how a weight
        moves across the frame, and how it does from 0."""
        voices = pcm[self.own]
        if self._before is not self._after:
            voices *= self._before + (self._after - self._before) * np.where(self._before == 0, opening, ramp)
        elif self._weighed:
            voices *= self._before
        self._voices = voices
        return self._product @ voices if len(voices) else 0.0

    def listen(self, pcm: Pcm, common: Pcm, ramp: Pcm) -> None:
        """Write what the rows of own hear over what they said; the others' rows of pcm mean nothing from here on."""
        self.common = common
        heard = common[self._own_slots]
        heard -= self._voices
        if len(self._listening):
            heard[self._listening] *= np.where(self._goal == 1, ramp, 1 - ramp)
        pcm[self.own] = heard

    def heard(self, pcm: Pcm, rows: Rows) -> Pcm:
        """What some rows hear, float32 (len(rows), samples)."""
        has_own = np.isin(rows, self.own)
        return np.where(has_own[:, None], pcm[rows], self.common[self.slots[rows]])

    def encode(self, codec: Codec, pcm: Pcm, out: Codes) -> None:
        """Everybody's frame to out, uint8 (size, frame_bytes): own rows from pcm, the others from common."""
        codes = np.empty((len(self.common) + len(self.own), codec.frame_bytes), np.uint8)
        codec.encode(np.concatenate([self.common, pcm[self.own]]), codes)
        out[:] = codes[0] if self._everyone_alike else codes.take(self.slots, axis=0)
        out[self.own] = codes[len(self.common) :]


class Sharing:
    """Decides for one bank, frame by frame, whether its listeners share. always: they do, for whoever encodes needs to
    know who hears the same."""

    def __init__(self, always: bool = False) -> None:
        self._always = always
        self._seen: tuple[object, ...] = ()
        self._share: Share | None = None

    def choose(self, weights: Weights, slots: Rows, rooms: NDArray[np.int64], played: Rows) -> Share | None:
        """How to share this frame; None: the plain way. weights: of the bank in this frame. slots: int64 (size,), the
        place of each row's room among those of its rate, rooms, behind the last for none. played: rows that hear
        something over the mix. While all of them are the same objects so is the answer."""
        if 2 * len(weights.silent) < len(slots) and not self._always:
            return None  # most talk
        if len(self._seen) != 3 or self._seen[0] is not weights or self._seen[1] is not slots or (
            self._seen[2] is not played and (len(played) or len(self._seen[2]))
        ):
            self._seen = (weights, slots, played)
            own = _own_rows(weights, len(slots), played)
            spared = len(slots) - len(own) - len(rooms)
            worth_it = self._always or (2 * len(own) <= len(slots) and spared >= LEAST_SPARED)
            self._share = Share(weights, slots, rooms, own) if worth_it else None
        return self._share


def _own_rows(weights: Weights, size: int, played: Rows) -> Rows:
    """The rows that talk, that fade into what they hear or out of it, or that are played something."""
    own = np.ones(size, bool)
    own[weights.silent] = False
    own[weights.listening] = True
    own[played[played < size]] = True
    return np.flatnonzero(own)
