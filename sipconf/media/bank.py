"""A bank: the legs of one encoding and clock rate, a row each, and everything that is kept for them by row.

Ties rtp's columns (jitter buffer, sender) to the mixer's (levels, weights, playbacks, encoders). Not here: the room
sums, which span banks (mixer.mix), how a row's packets become samples (decoding, packet_decoding), and what a tick does
in which order (plane).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sipconf.media.decoding import Decoding, FrameDecoding, Slips, StreamDecoding
from sipconf.media.packet_decoding import PacketDecoding
from sipconf.media.rows import FIRST_CAPACITY, Seats
from sipconf.mixer.codecs.catalogue import codec, stream_codec
from sipconf.mixer.codecs.opus import OpusSettings
from sipconf.mixer.encoders import Encoders
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
from sipconf.rtp.packet_jitter import PacketJitter
from sipconf.rtp.playout import MAX_DELAY_MS
from sipconf.rtp.transmit import Sender


@dataclass(frozen=True, slots=True)
class BankSettings:
    """max_delay_ms: what jitter buffers may add at most. opus: how we encode it."""

    max_delay_ms: int = MAX_DELAY_MS
    opus: OpusSettings = OpusSettings()


class Bank:
    """Columns by row; a frame is (n, samples) float32 at int16 scale, n = highest used row + 1.

    index: the bank's position among the plane's. sending: bool (capacity,), rows whose packets go out. codec: where
    frames stand by themselves, else there are encoders: one or the other is None.
    """

    def __init__(self, format: FrameFormat, clips: ClipLibrary, index: int, settings: BankSettings) -> None:
        self.format, self.index = format, index
        rate = format.pcm_rate
        self.seats = Seats()
        self.sender = Sender(format)
        self.mix = MixBank(rate)
        self.levels = Levels()
        self.matching = LevelMatching(self.levels)
        self.guards = Guards(self.levels, rate)
        self.inband = InbandDigits(rate)
        self.slipper = Slipper(rate)
        self.player = Player(clips.store(rate))
        streams = stream_codec(format.encoding, settings.opus)
        self.encoders = None if streams is None else Encoders(streams)
        self.codec = codec(format.encoding, format.clock_rate) if streams is None else None
        self.jitter: JitterBank | PacketJitter
        self.decoding: Decoding
        if format.varies:
            self.jitter = packets = PacketJitter(format, max_delay_ms=settings.max_delay_ms)
            self.decoding = PacketDecoding(packets)
        else:
            self.jitter = frames = JitterBank(format, max_delay_ms=settings.max_delay_ms)
            self.decoding = StreamDecoding(frames) if self.codec is None else FrameDecoding(self.codec, frames)
        self.sending = np.zeros(FIRST_CAPACITY, bool)
        self._pcm = np.zeros((FIRST_CAPACITY, self.mix.samples), np.float32)
        self._keyed: list[tuple[int, str]] = []
        self._slots: Sequence[int] = ()
        self._packets: Sequence[memoryview] = ()
        self._sent = np.zeros(0, bool)  # rows whose packets these are
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
            self._pcm = np.zeros((len(self.sending), self.mix.samples), np.float32)
        self.jitter.open(row)
        self.sender.open(row, payload_type=payload_type, sequence=sequence, timestamp=timestamp, ssrc=ssrc)
        self.decoding.add(row)
        if self.encoders is not None:
            self.encoders.add(row)
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
        self.decoding.remove(row)
        if self.encoders is not None:
            self.encoders.remove(row)
        self.sending[row] = False
        self.seats.give(row)
        self._stale = True

    def send_from(self, row: int, sending: bool) -> None:
        """Whether a row's packets go out."""
        self._stale |= bool(self.sending[row] != sending)
        self.sending[row] = sending

    @property
    def malformed(self) -> int:
        """Packets of a varying format that held no sound, since the beginning."""
        return self.jitter.malformed if isinstance(self.jitter, PacketJitter) else 0

    def decode(self) -> NDArray[np.float32]:
        """The frame of this tick for every row, gaps concealed. Valid until the next call."""
        pcm = self._pcm[: self.size]
        filled, slips = self.decoding.take(pcm, self.levels, self.inband.rows)
        if slips is not None:
            self._begin_slips(slips)
        if self.inband.rows.size:  # before anything is made up or changed
            self._keyed += self.inband.hear(pcm, filled)
        self.decoding.conceal(pcm)
        if self.slipper.busy:
            done, owed = self.slipper.run(pcm, self.levels.talking)
            self.jitter.settle(done)
            self.jitter.repeat(owed)
        return pcm

    def _begin_slips(self, slips: Slips) -> None:
        """Pass on what the jitter buffer says of rows that slip."""
        if len(slips.lose):
            self.slipper.lose(slips.lose, slips.first)
        self.slipper.gain(slips.gain)
        self.slipper.give(slips.repeated)

    def hear(self, pcm: NDArray[np.float32]) -> NDArray[np.intp]:
        """Levels of the frame just decoded; rows whose talking has changed."""
        return self.levels.hear(pcm, self.decoding.told)

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
        payload, sending = self.sender.payload(size), self.sending[:size]
        if self.codec is None:
            assert self.encoders is not None and share is not None
            self.encoders.run(pcm, share, sending, payload, self.sender.lengths)
        elif share is None:
            self.codec.encode(pcm, payload)
        else:
            share.encode(self.codec, pcm, payload)
        sent = self.sender.stamp(sending)
        if self._stale or (self.format.varies and not np.array_equal(sent, self._sent)):
            rows = np.nonzero(sent)[0]
            self._slots, self._packets = self.seats.slots[rows].tolist(), self.sender.packets_of(rows)
            self._sent, self._stale = sent, False
        return self._slots, self._packets
