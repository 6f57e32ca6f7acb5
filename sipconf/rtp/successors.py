"""The packet that each stream brings next when nothing happens: its whole header is known beforehand.

Nearly every packet of a call is the successor of the one before: the next sequence number, a frame later, of the same
source, format and length. One comparison of all headers tells these from the others, and spares them being taken apart.
Columns by slot. Not here: what the others are (streams), and where a frame is kept (jitter).
"""

import numpy as np
from numpy.typing import NDArray

from sipconf.rtp.packet import HEADER_BYTES

_NONE = -1
"""In the place of the first word: no header is like it."""
_VERSION = 2 << 30
_LEAD, _TIMESTAMP, _SSRC, _LENGTH = range(4)
_HEADER, _WORDS = np.dtype(f"V{HEADER_BYTES}"), np.dtype([("words", ">u4", HEADER_BYTES // 4)])
"""A header as one item, for rows are picked much faster as items than word by word."""


class Successors:
    """For each slot the first words of the datagram expected next, in host order, and its length."""

    def __init__(self, capacity: int) -> None:
        self._expected = np.full((4, capacity), _NONE, np.int64)
        self._seen = np.zeros((4, capacity), np.int64)
        self._step = np.ones((2, capacity), np.int64)  # from a packet to the next: sequence number, timestamp
        self._octets = np.zeros(capacity, np.int64)
        self._ticks_to_wrap = 0

    def grow(self, capacity: int) -> None:
        """Make room for more slots."""
        wider = Successors(capacity)
        for name in ("_expected", "_step", "_octets"):
            old = getattr(self, name)
            getattr(wider, name)[..., : old.shape[-1]] = old
        wider._ticks_to_wrap = self._ticks_to_wrap
        self.__dict__ = wider.__dict__

    def frame_is(self, slot: int, octets: int, samples: int) -> None:
        """What a frame of this slot's format is, in its payload and on its clock."""
        self._octets[slot] = octets
        self._step[_TIMESTAMP, slot] = samples
        self.forget(slot)

    def forget(self, slots: NDArray[np.intp] | int) -> None:
        """Nothing is known of the next packet of these slots."""
        self._expected[_LEAD, slots] = _NONE

    def expect(
        self,
        slots: NDArray[np.intp],
        *,
        payload_types: NDArray[np.int64],
        sequence: NDArray[np.int64],
        timestamps: NDArray[np.int64],
        ssrc: NDArray[np.int64],
        sizes: NDArray[np.int64],
    ) -> None:
        """These packets, the newest of their slots, are followed by their like where they hold one frame each."""
        frames = sizes == self._octets.take(slots)
        if not np.count_nonzero(frames):
            return
        slots, sequence = slots[frames], sequence[frames]
        # A header that would wrap is left to be read the long way: its successor is known again.
        lead = _VERSION | payload_types[frames] << 16 | sequence + 1
        self._expected[_LEAD, slots] = np.where(sequence < 0xFFFF, lead, _NONE)
        self._expected[_TIMESTAMP, slots] = timestamps[frames] + self._step[_TIMESTAMP, slots]
        self._expected[_SSRC, slots] = ssrc[frames]
        self._expected[_LENGTH, slots] = sizes[frames] + HEADER_BYTES
        self._look_for_wrap()

    def compare(
        self, slots: NDArray[np.intp], block: NDArray[np.uint8], lengths: NDArray[np.int64],
        lines: NDArray[np.intp] | None = None,
    ) -> tuple[NDArray[np.bool_], bool]:
        """Which slots, bool (highest + 1,), brought what was expected, and whether all of these slots did.

        slots: int (P,), ascending; block, lengths and lines as of packet.Drained."""
        top, count = int(slots[-1]) + 1, len(slots)
        headers = np.ndarray(len(block), _HEADER, block, strides=(block.shape[1],))
        headers = headers[:count] if lines is None else headers[lines]
        words = headers.view(_WORDS)["words"].T
        seen = self._seen[:, :top]
        if count == top:
            seen[:_LENGTH], seen[_LENGTH] = words, lengths
        else:
            seen.fill(0)
            seen[:_LENGTH, slots], seen[_LENGTH, slots] = words, lengths
        alike = seen == self._expected[:, :top]
        if np.count_nonzero(alike) == alike.size:
            return alike[0], True
        return alike.all(axis=0), False

    def taken(self, slots: NDArray[np.intp]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(timestamps, octets of the payload) of the packets of these slots that the last `advance` passed."""
        return self._expected[_TIMESTAMP].take(slots) - self._step[_TIMESTAMP].take(slots), self._octets.take(slots)

    def timestamps_of(self, top: int) -> NDArray[np.int64]:
        """Timestamps that slots 0 to top - 1 are expected to bring; a view."""
        return self._expected[_TIMESTAMP, :top]

    def advance(self, came: NDArray[np.bool_], everyone: bool) -> None:
        """The packets that `compare` found are taken: expect the ones behind them."""
        top = len(came)
        words, step = self._expected[:_SSRC, :top], self._step[:, :top]
        words += step if everyone else step * came
        self._ticks_to_wrap -= 1
        if self._ticks_to_wrap <= 0:
            lead = words[_LEAD]
            lead[came & (lead & 0xFFFF == 0)] = _NONE
            self._look_for_wrap()

    def _look_for_wrap(self) -> None:
        lead = self._expected[_LEAD]
        self._ticks_to_wrap = 0x10000 - int((lead[lead != _NONE] & 0xFFFF).max(initial=0))
