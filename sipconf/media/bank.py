"""A bank: the legs of one encoding and clock rate, a row each, and everything that is kept for them by row.

Ties rtp's columns (jitter buffer, sender) to the mixer's (codec, concealment, levels, weights, playbacks). Not
here: the room sums, which span banks (mixer.mix), and what a tick does in which order (plane).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sipconf.media.rows import FIRST_CAPACITY, Seats
from sipconf.mixer.codecs.catalogue import codec
from sipconf.mixer.conceal import Concealer
from sipconf.mixer.guards import Guards
from sipconf.mixer.inband import InbandDigits
from sipconf.mixer.legs import MixBank
from sipconf.mixer.levels import Levels
from sipconf.mixer.matching import LevelMatching
from sipconf.mixer.prompts import ClipLibrary, Player
from sipconf.mixer.sharing import Share
from sipconf.mixer.slip import Slipper
from sipconf.rtp.formats import FrameFormat
from sipconf.rtp.jitter import JitterBank
from sipconf.rtp.ring import Moves
from sipconf.rtp.transmit import Sender


class Bank:
    """Columns by row; a frame is (n, samples) float32 at int16 scale, n = highest used row + 1.

    index: the bank's position among the plane's. sending: bool (capacity,), rows whose packets go out.
    """

    def __init__(self, format: FrameFormat, clips: ClipLibrary, index: int, max_delay_ms: int) -> None:
        self.format, self.index = format, index
        self.seats = Seats()
        self.jitter = JitterBank(format, max_delay_ms=max_delay_ms)
        self.sender = Sender(format)
        self.codec = codec(format.encoding, format.clock_rate)
        self.mix = MixBank(format.clock_rate)
        self.levels = Levels()
        self.matching = LevelMatching(self.levels)
        self.guards = Guards(self.levels, format.clock_rate)
        self.concealer = Concealer(self.codec)
        self.inband = InbandDigits(format.clock_rate)
        self.slipper = Slipper(format.clock_rate)
        self.player = Player(clips.store(format.clock_rate))
        self.sending = np.zeros(FIRST_CAPACITY, bool)
        self._pcm = np.zeros((FIRST_CAPACITY, format.samples), np.float32)
        self._keyed: list[tuple[int, str]] = []
        self._slots: Sequence[int] = ()
        self._views: Sequence[memoryview] = ()
        self._stale = True

    @property
    def size(self) -> int:
        """Rows that a tick works on."""
        return self.seats.size

    def open(self, slot: int, *, payload_type: int, sequence: int, timestamp: int, ssrc: int) -> int:
        """Give a slot a row."""
        row = self.seats.take(slot)
        if row >= len(self.sending):
            self.sending = np.concatenate([self.sending, np.zeros(len(self.sending), bool)])
            self._pcm = np.zeros((len(self.sending), self.format.samples), np.float32)
        self.jitter.open(row)
        self.sender.open(row, payload_type=payload_type, sequence=sequence, timestamp=timestamp, ssrc=ssrc)
        self.concealer.add(row)
        self.slipper.clear(row)
        self.levels.add(row)
        self.matching.add(row)
        self.mix.add(row)
        self._stale = True
        return row

    def close(self, row: int) -> None:
        """The row is free again."""
        self.jitter.close(row)
        self.slipper.clear(row)
        self.sender.close(row)
        self.player.remove(row)
        self.inband.listen(row, False)
        self.matching.match(row, False)
        self.guards.watch(row, False)
        self.mix.remove(row)
        self.sending[row] = False
        self.seats.give(row)
        self._stale = True

    def send_from(self, row: int, sending: bool) -> None:
        """Whether a row's packets go out."""
        self._stale |= bool(self.sending[row] != sending)
        self.sending[row] = sending

    def decode(self) -> NDArray[np.float32]:
        """The frame of this tick for every row, gaps concealed. Valid until the next call."""
        pcm = self._pcm[: self.size]
        taken = self.jitter.take(self.size, self.levels.talking)
        if taken.moves is not None:
            self._begin_slips(taken.moves)
        self.codec.decode(taken.codes, pcm)
        if self.inband.rows.size:  # before anything is made up or changed
            self._keyed += self.inband.hear(pcm, taken.filled)
        self.concealer.fill(pcm, taken.codes, taken.filled)
        if self.slipper.busy:
            done, owed = self.slipper.run(pcm, self.levels.talking)
            self.jitter.settle(done)
            self.jitter.repeat(owed)
        return pcm

    def _begin_slips(self, moves: Moves[NDArray[np.uint8]]) -> None:
        """Pass on what the jitter buffer says of rows that slip; a frame more is decoded before this tick's."""
        if len(moves.lose):
            first = np.empty((len(moves.lose), self.format.samples), np.float32)
            self.codec.decode(moves.first, first)
            self.slipper.lose(moves.lose, first)
        self.slipper.gain(moves.gain)
        self.slipper.give(moves.repeated)

    def take_keyed(self) -> list[tuple[int, str]]:
        """The in-band digits heard since the last call, as (row, key)."""
        keyed, self._keyed = self._keyed, []
        return keyed

    def packetise(
        self, pcm: NDArray[np.float32], share: Share | None = None
    ) -> tuple[Sequence[int], Sequence[memoryview]]:
        """Encode a frame for every row; the slots that send and their packets. share: how the rows that only listen
        share theirs."""
        size = self.size
        if share is None:
            self.codec.encode(pcm, self.sender.payload(size))
        else:
            share.encode(self.codec, pcm, self.sender.payload(size))
        self.sender.stamp(self.sending[:size])
        if self._stale:
            rows = np.nonzero(self.sending[:size])[0].tolist()
            self._slots = self.seats.slots[rows].tolist()
            self._views = self.sender.views_of(rows)
            self._stale = False
        return self._slots, self._views
