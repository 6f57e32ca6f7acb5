"""The jitter buffer of a bank whose frames vary in length: whole packets in, out again in the tick in which they begin.

What `jitter` is for codecs whose packets can be cut into halves of a frame (10 ms). Here a half holds the packet that
begins in it, and how many halves that is long is told by the packet itself; whoever decodes it keeps what is left
over for the ticks to come, and this room keeps count of that: a packet begun earlier covers a half as well as one
that begins there. Where a packet begins while an earlier one has something left, the new one takes its place, but for
one that has much left: nobody can have us decode several times what we play. A gap in which nothing comes looks like
silence that was not sent (DTX): what was last decoded tells. Packets of less than 10 ms, or of no whole number of
halves, are dropped and counted as malformed.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sipconf.rtp.batches import Batch
from sipconf.rtp.depth import FRAME
from sipconf.rtp.formats import FrameFormat
from sipconf.rtp.opus_packets import durations as opus_durations
from sipconf.rtp.packet import NO_LEVEL, ROW
from sipconf.rtp.playout import MAX_DELAY_MS
from sipconf.rtp.ring import MAX_PACKET, JitterRing, Moves

Durations = Callable[[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int64]], NDArray[np.int64]]
"""Samples in packets, int64 (Q,), 0 where malformed, from their first two octets, uint8 (Q,), and sizes, int64 (Q,)."""

MOST_LEFT = FRAME
"""Halves of a packet that the next one may cut off: a frame was left out between them."""
_STEP = 64
"""Octets: lengths of what is copied at once are multiples, so that few kinds of copies are made."""
_FIRST_AND_SECOND = np.arange(FRAME)
_EARLIER = np.arange(1, MAX_PACKET)
_NOBODY = np.zeros(0, np.intp)


@dataclass(frozen=True, slots=True)
class Begun:
    """Packets that begin in the halves of one frame, (k, 2) each. starts: int64, where in the buffer's data, -1 for
    none; lengths: int64, octets; over: int64, halves of the packet that are over already when it begins late, to be
    decoded and thrown away."""

    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    over: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TakenPackets:
    """One tick's packets of rows 0..n-1, good until packets are put again.

    data: uint8 (places, ROW): the payload of place p is data[p, :length]. begun: the packets of this frame. covered:
    uint8 (n, 2), 1 for each half that a packet fills which begins there or has something left; where it is 0, whatever
    is left of a packet is void. following: int64 (n,), for rows with a half that nothing covers the place of the packet
    that begins a frame behind that half, -1 where it is not here (its in-band FEC may tell of what is missing),
    following_lengths: its octets. levels: uint8 (n,), what the packets of this frame say of its loudness (RFC 6464): 0
    to 127, in -dBov, so 127 is the quietest, NO_LEVEL if they do not say. moves: None but seldom: packets of `first`
    come before those of begun; a row that is repeated begins nothing, and nothing of what is left of its last packet is
    to be used up.
    """

    data: NDArray[np.uint8]
    begun: Begun
    covered: NDArray[np.uint8]
    following: NDArray[np.int64]
    following_lengths: NDArray[np.int64]
    levels: NDArray[np.uint8]
    moves: Moves[Begun] | None


class PacketJitter(JitterRing[Begun]):
    """The rows of one format: put packets, take packets. malformed: packets whose duration could not be told, or is of
    no whole number of halves, by row."""

    def __init__(
        self,
        format: FrameFormat,
        capacity: int = 64,
        max_delay_ms: int = MAX_DELAY_MS,
        durations: Durations = opus_durations,
    ) -> None:
        self._durations = durations
        self._told = False  # some packet has told its level
        self._some_long = False  # some packet is so long that much of it may be left
        super().__init__(format, capacity, max_delay_ms)
        self.data: NDArray[np.uint8]

    def _allocate(self, capacity: int) -> None:
        super()._allocate(capacity)
        # Half by half, not row by row: rows that play the same half at one time are then neighbours. Most halves never
        # see a packet begin, and their memory stays untouched.
        places = self._halves_each * capacity
        self.data = np.zeros((places, ROW), np.uint8)
        self._stamps = np.full(places, -1, np.int64)
        self._lengths = np.zeros(places, np.int64)
        self._halves = np.zeros(places, np.int64)
        self._levels = np.full(places, NO_LEVEL, np.uint8)
        # By row: halves that are left of the packet begun last, its level, and whether the last frame was covered.
        self._left = np.zeros(capacity, np.int64)
        self._level = np.full(capacity, NO_LEVEL, np.uint8)
        self._whole = np.zeros(capacity, bool)
        self.malformed = np.zeros(capacity, np.int64)

    def _by_row(self) -> list[NDArray]:
        kept = [self._stamps, self._lengths, self._halves, self._levels]  # of data what is in hand is enough: reserve
        columns = [self._left, self._level, self._whole, self.malformed]
        rings = [each.reshape(self._halves_each, -1, *each.shape[1:]) for each in kept]
        return rings + [column[None] for column in columns]

    def _empty(self, row: int) -> None:
        self._stamps.reshape(self._halves_each, -1)[:, row] = -1
        self._left[row] = 0
        self._whole[row] = False

    def reserve(self, row: int) -> None:
        """Make sure that a row exists; buffers handed out before belong to the past."""
        old, data, stamps = self._capacity, self.data, self._stamps
        super().reserve(row)
        if self._capacity != old:
            in_hand = np.flatnonzero(stamps >= 0)  # a tenth of what there is room for
            halves, rows = np.divmod(in_hand, old)
            self.data[halves * self._capacity + rows] = data[in_hand]

    def open(self, row: int) -> None:
        """Begin with an empty row: its first packet sets the time."""
        super().open(row)
        self.malformed[row] = 0

    # --- in ----------------------------------------------------------------------------------------------------------
    def put_next(self, rows: NDArray[np.intp], lines: slice | NDArray[np.intp], block: NDArray[np.uint8]) -> bool:
        """Never: no packet of a varying format is known beforehand."""
        return False

    def put(self, rows: NDArray[np.intp], batch: Batch, block: NDArray[np.uint8]) -> None:
        """Store one round of packets. rows: int (Q,), each at most once, the row of each of batch's packets; block:
        uint8 (P, octets), C-contiguous."""
        if not len(rows):
            return
        begins = batch.index * block.shape[1] + batch.offsets
        octets = block.reshape(-1)
        first, second = octets.take(begins, mode="clip"), octets.take(begins + 1, mode="clip")
        samples = self._durations(first, second, batch.sizes)
        halves = samples // self.format.half_samples
        good = (samples > 0) & (halves * self.format.half_samples == samples) & (halves <= MAX_PACKET)
        if np.count_nonzero(good) != len(good):
            self.malformed[rows[~good]] += 1
            rows, batch, begins, samples, halves = (
                rows[good], batch.where(good), begins[good], samples[good], halves[good]
            )  # fmt: skip
            if not len(rows):
                return
        places, _, keep = self.playout.place(rows, batch.timestamps, samples, batch.markers, batch.fresh)
        if np.count_nonzero(keep) != len(keep):
            rows, batch, begins, places, halves = (
                rows[keep], batch.where(keep), begins[keep], places[keep], halves[keep]
            )  # fmt: skip
            if not len(rows):
                return
        at = self._at(rows, places)
        self._stamps[at] = places
        self._lengths[at] = batch.sizes
        self._halves[at] = halves
        self._levels[at] = batch.levels
        self._told = self._told or bool(np.count_nonzero(batch.levels != NO_LEVEL))
        self._some_long = self._some_long or bool(np.count_nonzero(halves > MOST_LEFT + 1))
        if np.count_nonzero(batch.fresh):  # what is left is another's
            self._left[rows[batch.fresh]] = 0
        self._copy(at, octets, begins, batch.sizes)

    def _copy(
        self, at: NDArray[np.int64], octets: NDArray[np.uint8], begins: NDArray[np.int64], sizes: NDArray[np.int64]
    ) -> None:
        """The payloads to their places, all as long as the longest: what is behind a shorter one means nothing."""
        width = min(-(-int(sizes.max()) // _STEP) * _STEP, ROW)
        if int(begins.max()) + width > len(octets):  # the end of the block is too near
            for place, begin, size in zip(at.tolist(), begins.tolist(), sizes.tolist(), strict=True):
                self.data[place, :size] = octets[begin : begin + size]
            return
        source = np.ndarray(len(octets) - width + 1, f"V{width}", octets, 0, (1,))
        target = np.ndarray(len(self.data), f"V{width}", self.data, 0, (ROW,))
        target[at] = source[begins]

    def _at(self, rows: NDArray[np.intp], places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where in the ring these rows keep these halves of their time."""
        at = places & self._halves_each - 1
        at *= self._capacity
        at += rows
        return at

    # --- out ---------------------------------------------------------------------------------------------------------
    def take(self, n: int, heard: NDArray[np.bool_] | None = None) -> TakenPackets:
        """The packets of rows 0..n-1 that begin in this tick; time goes on by one frame for all rows.

        heard: bool (n,), rows whose present sound somebody hears, so that they must slip; None: nobody can slip.
        """
        if n:
            self.reserve(n - 1)
        moves = self._move(n, heard, self._whole) if self._restless(n) else None
        repeated = _NOBODY if moves is None else moves.repeated
        left = self._left[repeated]
        play = self.playout.advance(n)
        begun, covered, levels = self._begin(self._rows[:n], play)
        if len(repeated):
            begun.starts[repeated], begun.lengths[repeated] = -1, 0
            self._left[repeated] = left
            covered[repeated] = True
        whole = covered[:, 0] & covered[:, 1]
        self._whole[:n] = whole
        following, following_lengths = np.full(n, -1), np.zeros(n, np.int64)
        if np.count_nonzero(whole) != n:
            in_hand = np.flatnonzero(~whole & (self.playout.end[:n] > play + 1))
            self._look_ahead(in_hand, play[in_hand], covered, following, following_lengths)
        return TakenPackets(self.data, begun, covered.view(np.uint8), following, following_lengths, levels, moves)

    def _begin(
        self, rows: NDArray[np.intp], play: NDArray[np.int64]
    ) -> tuple[Begun, NDArray[np.bool_], NDArray[np.uint8]]:
        """Begin the packets of the frames that begin at these halves: they, the halves that are covered, bool (k, 2),
        and the levels, uint8 (k,)."""
        starts = self._at(rows, play)[:, None] + self._capacity * _FIRST_AND_SECOND  # play is even
        begins = self._stamps.take(starts, mode="clip")
        begins -= play[:, None]
        begins = begins == _FIRST_AND_SECOND
        lengths, halves = self._lengths.take(starts, mode="clip"), self._halves.take(starts, mode="clip")
        begun = Begun(starts, lengths, np.zeros(starts.shape, np.int64))
        left = self._left[rows]
        self._begin_late(rows, play, left, begins, halves, begun)
        covered = np.empty(starts.shape, bool)
        for half in range(FRAME):
            if self._some_long:
                begins[:, half] &= left <= MOST_LEFT
            np.copyto(left, halves[:, half], where=begins[:, half])
            np.greater(left, 0, out=covered[:, half])
            left -= covered[:, half]
        self._left[rows] = left
        # A playing point may move back later: what has been played must not be played again.
        self._stamps[starts[begins]] = -1
        levels = self._loudest(rows, starts, begins, covered)
        np.copyto(starts, -1, where=~begins)
        lengths *= begins
        return begun, covered, levels

    def _begin_late(
        self,
        rows: NDArray[np.intp],
        play: NDArray[np.int64],
        left: NDArray[np.int64],
        begins: NDArray[np.bool_],
        halves: NDArray[np.int64],
        begun: Begun,
    ) -> None:
        """Where a packet should have begun before this frame, because it came late or the begin was left out, begin it
        now as far as it is not over. Seldom."""
        late = (self.playout.end.take(rows) > play) & ~begins[:, 0] & (left == 0)
        if not np.count_nonzero(late):
            return
        late = np.flatnonzero(late)
        places = play[late, None] - _EARLIER
        at = self._at(rows[late, None], places)
        here = (self._stamps[at] == places) & (self._halves[at] > _EARLIER)
        for k in np.flatnonzero(here.any(axis=1)).tolist():
            i, over = late[k], int(here[k].argmax())
            place = at[k, over]
            over += 1
            begins[i, 0] = True
            begun.starts[i, 0], begun.lengths[i, 0], begun.over[i, 0] = place, self._lengths[place], over
            halves[i, 0] = self._halves[place] - over

    def _loudest(
        self, rows: NDArray[np.intp], starts: NDArray[np.int64], begins: NDArray[np.bool_], covered: NDArray[np.bool_]
    ) -> NDArray[np.uint8]:
        """The level of the loudest packet of each frame, NO_LEVEL if one of them does not tell."""
        loudest = np.full(len(rows), NO_LEVEL, np.uint8)
        if not self._told:
            return loudest
        told, level = self._levels.take(starts, mode="clip"), self._level[rows]
        for half in range(FRAME):
            np.copyto(level, told[:, half], where=begins[:, half])
            # One more than the level, so that who does not tell has the least, 0, and wins like the loudest.
            np.minimum(loudest, level + np.uint8(1), out=loudest, where=covered[:, half])
        self._level[rows] = level
        loudest -= np.uint8(1)
        loudest[~(covered[:, 0] | covered[:, 1])] = NO_LEVEL
        return loudest

    def _look_ahead(
        self,
        rows: NDArray[np.intp],
        play: NDArray[np.int64],
        covered: NDArray[np.bool_],
        following: NDArray[np.int64],
        lengths: NDArray[np.int64],
    ) -> None:
        """Enter the packets that begin a frame behind the first half of these rows that nothing covers."""
        places = play + FRAME + covered[rows, 0]
        at = self._at(rows, places)
        here = self._stamps[at] == places
        rows, at = rows[here], at[here]
        following[rows] = at
        lengths[rows] = self._lengths[at]

    # --- moves -------------------------------------------------------------------------------------------------------
    def _in_hand(self, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Which of these rows (few) have the next two frames whole."""
        in_hand = np.ones(len(rows), bool)
        for i, row in enumerate(rows.tolist()):
            play, left = self.playout.play_of(row), int(self._left[row])
            for place in range(play, play + 2 * FRAME):
                at = (place & self._halves_each - 1) * self._capacity + row
                if self._stamps[at] == place and left <= MOST_LEFT:
                    left = int(self._halves[at])
                in_hand[i] &= left > 0
                left -= 1
        return in_hand

    def _give_early(self, rows: NDArray[np.intp]) -> Begun:
        return self._begin(rows, self.playout.play(rows))[0]
