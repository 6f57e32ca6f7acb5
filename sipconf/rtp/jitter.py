"""The jitter buffer of one bank: packets in by RTP timestamp, one 20 ms frame per leg and tick out.

Time is counted in halves of a frame (10 ms). Each row has a ring of halves; a half is stamped with its place in
time, so nothing has to be cleared when a row jumps. The depth of a row is not a setting but what its packets have
to spare when they arrive: a packet that comes too late moves the row's playing point back, and seconds in which
even the latest packet had a whole frame to spare move it forward (`depth`, `playout`). Sequence numbers play no part
here (streams), and what is played in place of a missing half is the mixer's business. Formats whose frames
vary in length have a buffer of whole packets (packet_jitter).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sipconf.rtp.batches import Batch, gapless
from sipconf.rtp.depth import FRAME
from sipconf.rtp.formats import FrameFormat
from sipconf.rtp.packet import HEADER_BYTES
from sipconf.rtp.playout import MAX_DELAY_MS
from sipconf.rtp.ring import MAX_PACKET, JitterRing, Moves

_FIRST_AND_SECOND = np.arange(FRAME)
_PAIR = f"V{FRAME * 8}"
"""Both stamps of a frame as one item, to be written at once."""


@dataclass(frozen=True, slots=True)
class Taken:
    """One tick's frames of rows 0..n-1. codes: uint8 (n, frame_bytes), silence where nothing came; filled: uint8
    (n, 2), 1 for each half that a packet filled. Both are overwritten by the next take. moves: None but seldom, their
    first: uint8 (k, frame_bytes)."""

    codes: NDArray[np.uint8]
    filled: NDArray[np.uint8]
    moves: Moves[NDArray[np.uint8]] | None


class JitterBank(JitterRing[NDArray[np.uint8]]):
    """The rows of one format: put packets, take frames."""

    def __init__(self, format: FrameFormat, capacity: int = 64, max_delay_ms: int = MAX_DELAY_MS) -> None:
        self._half = f"V{format.half_bytes}"
        self._frame = f"V{format.frame_bytes}"
        super().__init__(format, capacity, max_delay_ms)

    def _allocate(self, capacity: int) -> None:
        super()._allocate(capacity)
        # Frames lie slot by slot, not row by row: rows that play the same slot at one time are then neighbours. Behind
        # them is one of silence: missing halves are read from there.
        frames = self._halves_each // FRAME * capacity
        self._ring = np.full((frames + 1, self.format.frame_bytes), self.format.silence, np.uint8)
        self._stamps = np.full(self._halves_each * capacity, -1, np.int64)
        self._stamp_pairs = self._stamps.reshape(-1, FRAME)
        self._stamps_together = self._stamps.view(_PAIR)
        self._codes = np.zeros((capacity, self.format.frame_bytes), np.uint8)
        self._filled = np.zeros((capacity, FRAME), np.uint8)
        self._halves = self._ring.view(self._half).reshape(-1)
        self._frames = self._ring.view(self._frame).reshape(-1)
        self._out_halves = self._codes.view(self._half).reshape(-1)
        self._out_frames = self._codes.view(self._frame).reshape(-1)
        self._silence_at = self._halves_each * capacity

    def _by_row(self) -> list[NDArray]:
        """The stamps as (slots of a frame, rows, 2) and the ring as (slots of a frame, rows, octets)."""
        slots = self._halves_each // FRAME
        frames = self._ring[:-1].reshape(slots, -1, self.format.frame_bytes)
        return [self._stamps.reshape(slots, -1, FRAME), frames]

    def _empty(self, row: int) -> None:
        self._by_row()[0][:, row] = -1

    # --- in ----------------------------------------------------------------------------------------------------------
    def put_next(self, rows: NDArray[np.intp], lines: slice | NDArray[np.intp], block: NDArray[np.uint8]) -> bool:
        """Store one round of packets that each follow their row's newest and hold one frame behind a plain header, in
        these lines of the block. rows: int (Q,), each once. False, and nothing is stored, where one needs `put`."""
        places = self.playout.place_next(gapless(rows), len(rows))
        if places is None:
            return False
        self._put_frames(self._frame_at(rows, places), places, lines, HEADER_BYTES, block)
        return True

    def put(self, rows: NDArray[np.intp], batch: Batch, block: NDArray[np.uint8]) -> None:
        """Store one round of packets. rows: int (Q,), each at most once, the row of each of batch's packets."""
        if not len(rows):
            return
        size, offset = int(batch.sizes[0]), int(batch.offsets[0])
        halves, over = divmod(size, self.format.half_bytes)
        others = np.count_nonzero(batch.sizes != size) or np.count_nonzero(batch.offsets != offset)
        alike = not others and not over and halves <= MAX_PACKET
        if alike:
            usual = self.playout.place_usual(rows, batch.timestamps, halves, batch.markers, batch.fresh)
            if usual is not None:
                self._put_halves(rows, usual, batch.lines, offset, halves, block)
                return
        samples = batch.sizes // self.format.sample_bytes
        places, rest, keep = self.playout.place(rows, batch.timestamps, samples, batch.markers, batch.fresh)
        if not keep.all():
            rows, places, rest, batch = rows[keep], places[keep], rest[keep], batch.where(keep)
        if not len(rows):
            return
        in_time = places >= self.playout.play(rows)
        if alike and in_time.all() and not rest.any():
            self._put_halves(rows, places, batch.lines, offset, halves, block)
        else:
            self._put_unlike(rows, places, rest, in_time, batch, block)

    def _put_unlike(
        self,
        rows: NDArray[np.intp],
        places: NDArray[np.int64],
        rest: NDArray[np.int64],
        in_time: NDArray[np.bool_],
        batch: Batch,
        block: NDArray[np.uint8],
    ) -> None:
        """Packets of several shapes: those of whole halves shape by shape, the others one by one."""
        halves = batch.sizes // self.format.half_bytes
        plain = in_time & (rest == 0) & (halves * self.format.half_bytes == batch.sizes) & (halves <= MAX_PACKET)
        shape = np.where(plain, batch.offsets * (MAX_PACKET + 1) + halves, -1)
        for one in np.unique(shape).tolist():
            same = shape == one
            if one >= 0:
                offset, count = divmod(one, MAX_PACKET + 1)
                self._put_halves(rows[same], places[same], batch.index[same], offset, count, block)
                continue
            for i in np.flatnonzero(same).tolist():
                start, size = int(batch.offsets[i]), int(batch.sizes[i])
                payload = block[batch.index[i], start : start + size]
                self._put_any(int(rows[i]), int(places[i]), int(rest[i]), payload)

    def _put_halves(
        self,
        rows: NDArray[np.intp],
        places: NDArray[np.int64],
        lines: slice | NDArray[np.intp],
        offset: int,
        halves: int,
        block: NDArray[np.uint8],
    ) -> None:
        """Packets of so many halves each, in these lines of the block, that begin on a half and are not late."""
        first = self._at(rows, places)
        if halves == FRAME and not np.count_nonzero(first & 1):
            self._put_frames(first >> 1, places, lines, offset, block)
            return
        for k in range(halves):
            at = self._at(rows, places + k)
            self._stamps[at] = places + k
            start = offset + k * self.format.half_bytes
            source = np.ndarray(len(block), self._half, block, start, (block.shape[1],))
            self._halves[at] = source[lines]

    def _put_frames(
        self,
        frames: NDArray[np.int64],
        places: NDArray[np.int64],
        lines: slice | NDArray[np.intp],
        offset: int,
        block: NDArray[np.uint8],
    ) -> None:
        """Whole frames of the ring, which begin at these places: one copy for both halves."""
        self._stamps_together[frames] = (places[:, None] + _FIRST_AND_SECOND).view(_PAIR)[:, 0]
        source = np.ndarray(len(block), self._frame, block, offset, (block.shape[1],))
        self._frames[frames] = source[lines]

    def _at(self, rows: NDArray[np.intp], places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where in the ring, counted in halves, these rows keep these halves of their time."""
        at = places & self._halves_each - FRAME
        at *= self._capacity
        at += FRAME * rows
        at += places & 1
        return at

    def _put_any(self, row: int, place: int, rest: int, payload: NDArray[np.uint8]) -> None:
        """A packet of any length that begins `rest` samples behind a half: as many halves as it touches."""
        half_bytes, silence = self.format.half_bytes, self.format.silence
        payload = payload[: MAX_PACKET * half_bytes]
        payload = payload[: len(payload) // self.format.sample_bytes * self.format.sample_bytes]
        play = self.playout.play_of(row)
        stamps, ring = (kept[:, row] for kept in self._by_row())
        done, begin = 0, rest * self.format.sample_bytes
        while done < len(payload):
            piece = payload[done : done + half_bytes - begin]
            if play <= place < play + self._halves_each:
                slot, half = divmod(place % self._halves_each, FRAME)
                kept = ring[slot, half * half_bytes : (half + 1) * half_bytes]
                if stamps[slot, half] != place:
                    if len(piece) < half_bytes:
                        kept[:] = silence
                    stamps[slot, half] = place
                kept[begin : begin + len(piece)] = piece
            done += len(piece)
            begin = 0
            place += 1

    # --- out ---------------------------------------------------------------------------------------------------------
    def take(self, n: int, heard: NDArray[np.bool_] | None = None) -> Taken:
        """The frames of rows 0..n-1 that are due at this tick; time goes on by one frame for all rows.

        heard: bool (n,), rows whose present sound somebody hears, so that they must slip; None: nobody can slip.
        """
        if n:
            self.reserve(n - 1)
        moves = self._move(n, heard, self._filled.all(axis=1)) if self._restless(n) else None
        play = self.playout.advance(n)
        frames = self._frame_at(self._rows[:n], play)
        stamps = self._stamp_pairs.take(frames, axis=0, mode="clip")
        stamps -= play[:, None]
        filled = np.equal(stamps, _FIRST_AND_SECOND, out=self._filled[:n].view(bool))
        self._frames.take(frames, out=self._out_frames[:n], mode="clip")
        if moves is not None:
            filled[moves.repeated] = True
        if np.count_nonzero(filled) != filled.size:
            missing = np.flatnonzero(~filled)
            self._out_halves[missing] = self._halves[self._silence_at]
        # A playing point may move back later: what has been played must not be played again.
        self._stamp_pairs[frames] = -1
        return Taken(self._codes[:n], self._filled[:n], moves)

    def _frame_at(self, rows: NDArray[np.intp], play: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where in the ring, counted in frames, rows keep the frames that begin at these halves."""
        frames = play >> 1  # a row always plays a whole frame of the ring
        frames &= self._halves_each // FRAME - 1
        frames *= self._capacity
        frames += rows
        return frames

    def _in_hand(self, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        play = self.playout.play(rows)
        first, second = self._frame_at(rows, play), self._frame_at(rows, play + FRAME)
        in_hand = (self._stamp_pairs[first] == play[:, None] + _FIRST_AND_SECOND).all(axis=1)
        in_hand &= (self._stamp_pairs[second] == play[:, None] + FRAME + _FIRST_AND_SECOND).all(axis=1)
        return in_hand

    def _give_early(self, rows: NDArray[np.intp]) -> NDArray[np.uint8]:
        first = self._frame_at(rows, self.playout.play(rows))
        codes = self._ring[first]
        self._stamp_pairs[first] = -1
        return codes
