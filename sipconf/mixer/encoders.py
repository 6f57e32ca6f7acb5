"""Who is sent which encoder's packets, where an encoder's state is its stream's: one encoder for all who only listen in
a room and lose as much, one of their own for the others, and no click where somebody changes over.

* To one of his own: it is a copy of the encoder that he shared.
* Back: his own encoder and the shared one are given the same for a while; then the shared one sends a frame that leans
  on none before it, which a receiver of the other takes for the next of that.

An encoder that nobody is sent, or soon will be, is not run. Where states cannot be copied (G.722) everybody has an
encoder of his own, always: two that are given the same do not become alike, however long it lasts (docs/adr/0011). Not
here: who only listens (sharing), encoding (codecs).
"""

import numpy as np
from numpy.typing import NDArray

from sipconf.mixer.codecs.catalogue import StreamCodec, StreamEncoder
from sipconf.mixer.frame import Codes, Pcm, grown
from sipconf.mixer.legs import NOWHERE
from sipconf.mixer.sharing import Share

ALIKE_FRAMES = 5
"""100 ms: what a receiver carries over from one frame to the next is then the same from two encoders (measured: a tone
changes over with an error of -44 dB; without a frame that leans on none, of -6 dB however long one waits)."""
LOSS_BOUNDS = (0.02, 0.1)
"""Fraction lost from which the next class of loss begins; it ends at half of that."""
NONE = -1


class _Plan:
    """Who is sent what, good until somebody changes over. Encoders in three parts: shared ones, at these rows of the
    common frames; own ones of rows that hear something of their own; own ones of rows that hear a common frame."""

    def __init__(self) -> None:
        self.share: Share | None = None
        self.sending = np.zeros(0, bool)
        self.encoders: list[StreamEncoder] = []
        self.common = self.own = self.listening = np.zeros(0, np.intp)
        self.rows = self.which = np.zeros(0, np.intp)  # of the packets just made, which goes to each row
        self.due: int | None = None  # the frame at which the first row is to share again


class Encoders:
    """One row per leg of a bank. loss_class: int64 (capacity,), a place in opus.LOSS_CLASSES."""

    def __init__(self, codec: StreamCodec) -> None:
        self._codec = codec
        self._frame = 0
        self.loss_class = np.zeros(0, np.int64)
        self._key = np.full(0, NONE)  # of the shared encoder that a row is sent
        self._has_own = np.zeros(0, bool)
        self._own: dict[int, StreamEncoder] = {}
        self._returning: dict[int, tuple[int, int]] = {}  # row -> (key, the frame at which it shares again)
        self._shared: dict[int, StreamEncoder] = {}
        self._plan = _Plan()
        self._stale = True
        self._frames = np.zeros((0, codec.samples), np.float32)
        self._packets = np.zeros((0, codec.frame_bytes), np.uint8)
        self._lengths = np.zeros(0, np.int64)

    @property
    def running(self) -> int:
        """Encoders that ran in the last frame."""
        return len(self._plan.encoders)

    def add(self, row: int) -> None:
        """A new leg in this row, whose receiver has heard nothing yet."""
        for name in ("loss_class", "_key", "_has_own"):
            setattr(self, name, grown(getattr(self, name), row + 1))
        self.loss_class[row] = 0
        self._key[row] = NONE
        self._has_own[row] = False
        self._stale = True

    def remove(self, row: int) -> None:
        """The row is free: its encoder is gone."""
        self._drop_own(row)
        self._key[row] = NONE
        self._stale = True

    def lose(self, row: int, fraction: float) -> None:
        """The row's receiver says that it has lost so much of late, 0 to 1."""
        if not self._codec.guards:
            return
        now = int(self.loss_class[row])
        bounds = [bound / 2 if place < now else bound for place, bound in enumerate(LOSS_BOUNDS)]
        wanted = int(np.searchsorted(bounds, fraction, side="right"))
        if wanted != now:
            self.loss_class[row] = wanted
            self._stale = True

    def run(
        self, pcm: Pcm, share: Share, sending: NDArray[np.bool_], out: Codes, lengths: NDArray[np.int64]
    ) -> None:
        """Encode a frame: pcm float32 (n, samples) of the rows of share.own, share.common for the others. sending: bool
        (n,). Written are the rows of out, uint8 (n, frame_bytes), that send, and how many octets of them count, int64
        (n,)."""
        plan = self._plan
        self._frame += 1
        if (
            self._stale or plan.share is not share or (plan.due is not None and self._frame >= plan.due)
            or not np.array_equal(plan.sending, sending)
        ):  # fmt: skip
            plan = self._replan(share, sending)
        count = len(plan.encoders)
        if not count:
            return
        frames, packets, octets = self._frames[:count], self._packets[:count], self._lengths[:count]
        first, second = len(plan.common), len(plan.common) + len(plan.own)
        share.common.take(plan.common, axis=0, out=frames[:first], mode="clip")
        pcm.take(plan.own, axis=0, out=frames[first:second], mode="clip")
        share.common.take(plan.listening, axis=0, out=frames[second:], mode="clip")
        self._codec.encode(plan.encoders, frames, packets, octets)
        longest = int(octets.max())
        out[plan.rows, :longest] = packets[plan.which, :longest]
        lengths[plan.rows] = octets[plan.which]

    def _replan(self, share: Share, sending: NDArray[np.bool_]) -> _Plan:
        n = len(sending)
        rooms = share.numbers[share.slots] - NOWHERE
        key = np.where(sending, rooms * (len(LOSS_BOUNDS) + 1) + self.loss_class[:n], NONE)
        has_own_sound = np.zeros(n, bool)
        has_own_sound[share.own] = True
        self._leave_shared(key, has_own_sound)
        for row in np.flatnonzero((key == NONE) & self._has_own[:n]).tolist():
            self._drop_own(row)
        for row in np.flatnonzero((key != NONE) & (self._key[:n] == NONE) & ~self._has_own[:n]).tolist():
            self._give_own(row, self._codec.encoder(int(self.loss_class[row])))
        for row, encoder in list(self._own.items()):
            encoder.guard(int(self.loss_class[row]))
            if has_own_sound[row]:
                self._returning.pop(row, None)
            elif self._codec.copies:
                self._return(row, int(key[row]))
        self._plan = self._planned(share, sending, has_own_sound)
        self._stale = False
        return self._plan

    def _leave_shared(self, key: NDArray[np.int64], has_own_sound: NDArray[np.bool_]) -> None:
        """Rows that are not to be sent what they were sent until now get encoders of their own that go on from there,
        or, where they do not send at all, nothing."""
        now = self._key[: len(key)]
        for row in np.flatnonzero((now != NONE) & (has_own_sound | (now != key))).tolist():
            if key[row] != NONE:
                self._give_own(row, self._shared[int(now[row])].copy())
            now[row] = NONE

    def _return(self, row: int, key: int) -> None:
        """A row that hears what others hear: when its own encoder is like theirs, it is done with."""
        if row not in self._returning or self._returning[row][0] != key:
            self._returning[row] = key, self._frame + ALIKE_FRAMES
        elif self._returning[row][1] <= self._frame:
            self._drop_own(row)
            self._key[row] = key
            self._shared[key].refresh()

    def _give_own(self, row: int, encoder: StreamEncoder) -> None:
        self._own[row] = encoder
        self._has_own[row] = True

    def _drop_own(self, row: int) -> None:
        self._own.pop(row, None)
        self._returning.pop(row, None)
        self._has_own[row] = False

    def _planned(self, share: Share, sending: NDArray[np.bool_], has_own_sound: NDArray[np.bool_]) -> _Plan:
        """Arrays for the frames to come. Shared encoders that nobody needs are gone, those that somebody needs are
        made."""
        n = len(sending)
        sharing = np.flatnonzero(self._key[:n] != NONE)
        place_of_key = dict(zip(self._key[sharing].tolist(), share.slots[sharing].tolist(), strict=True))
        place_of_key.update({key: int(share.slots[row]) for row, (key, _) in self._returning.items()})
        loss_classes = len(LOSS_BOUNDS) + 1
        self._shared = {
            key: self._shared.get(key) or self._codec.encoder(key % loss_classes) for key in place_of_key
        }
        plan = _Plan()
        plan.share, plan.sending = share, sending.copy()
        own = [row for row in self._own if has_own_sound[row]]
        listening = [row for row in self._own if not has_own_sound[row]]
        plan.common = np.array(list(place_of_key.values()), np.intp)
        plan.own, plan.listening = np.array(own, np.intp), share.slots[listening].astype(np.intp)
        plan.encoders = [*self._shared.values(), *(self._own[row] for row in own + listening)]
        plan.due = min((due for _, due in self._returning.values()), default=None)
        which = np.zeros(n, np.intp)
        keys = np.array(list(place_of_key), np.int64)
        order = np.argsort(keys)
        which[sharing] = order[np.searchsorted(keys, self._key[sharing], sorter=order)]
        which[own + listening] = len(self._shared) + np.arange(len(self._own))
        plan.rows = np.flatnonzero(sending)
        plan.which = which[plan.rows]
        self._make_room(len(plan.encoders))
        return plan

    def _make_room(self, count: int) -> None:
        for name in ("_frames", "_packets", "_lengths"):
            setattr(self, name, grown(getattr(self, name), count))
