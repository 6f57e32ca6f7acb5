"""From the packets of an Opus bank to the samples of every row, row by row, and only of rows that have something to
say.

What a packet has beyond its frame is kept for the next; what did not come is told by the packet behind it (in-band FEC)
or made up by the decoder, fading; a row of which nothing comes for long is silent and costs nothing. Packets of a row
that is silent anyway are not decoded where they tell how loud they are (RFC 6464), and of those that are marked as no
voice by their encoder few are. A gap behind a packet of one or two octets is silence that was not sent (DTX, RFC 7587
section 3.1.3): no loss, the decoder goes on with its noise as long as anybody may hear it. Not here: when a packet is
due (rtp.packet_jitter).
"""

import numpy as np
from numpy.typing import NDArray

from sipconf.media.decoding import Slips
from sipconf.mixer.codecs.opus import DTX_OCTETS, LONGEST_SAMPLES, RATE, OpusDecoder, to_int16_scale
from sipconf.mixer.frame import FULL_SCALE, Pcm, Rows, grown, samples_per_frame
from sipconf.mixer.levels import BLOCK, Levels, Told
from sipconf.rtp.packet import NO_LEVEL
from sipconf.rtp.packet_jitter import Begun, PacketJitter, TakenPackets

NEAR_DB = 3.0
"""So much quieter than the row's threshold of talking must a frame be, by what is told, not to be decoded."""
FADE = RATE // 10
"""Samples from the last good one to silence."""
RETURN = RATE // 200
"""Samples in which sound is back after a gap that had begun to fade."""
_SAMPLES = samples_per_frame(RATE)
_HALF = _SAMPLES // 2
MEASURED_EVERY = BLOCK
"""Frames marked as no voice of which one is decoded."""
_MARKS = np.isin(np.arange(256), [config << 3 for config in (1, 5, 9, 13, 15)])
"""By a packet's first octet: one frame of 20 ms, mono, whose first bit says whether it is voice (RFC 6716 sections 3.1
and 4.2.3)."""
_ACTIVE = 0x80
_POWER = (FULL_SCALE**2 * 10 ** (-np.arange(128) / 10)).astype(np.float32)
"""Mean square of each level that a packet may tell."""


class _Rest:
    """What is left of a row's packets: samples[begin:end], at full scale 1."""

    __slots__ = ("samples", "at", "begin", "end")

    def __init__(self) -> None:
        self.samples = np.zeros(LONGEST_SAMPLES, np.float32)
        self.at = self.samples.ctypes.data
        self.begin = self.end = 0


class PacketDecoding:
    """One row per leg of a bank; see decoding.Decoding."""

    def __init__(self, jitter: PacketJitter) -> None:
        self._jitter = jitter
        self.told: Told | None = None
        self._ticks = 0
        self._decoders: dict[int, OpusDecoder] = {}
        self._rests: dict[int, _Rest] = {}
        self._before: dict[int, NDArray[np.uint8]] = {}  # the last packet of rows that are not decoded
        self._gain = np.zeros(0, np.float32)  # 1: sound came last, 0: a gap has faded to silence
        self._left = np.zeros(0, bool)  # something is left of the last packet
        self._dtx = np.zeros(0, bool)  # the last packet was of the kind that precedes silence
        self._nothing = np.zeros(LONGEST_SAMPLES, np.float32)  # where sound goes that nobody hears

    def add(self, row: int) -> None:
        for name in ("_gain", "_left", "_dtx"):
            setattr(self, name, grown(getattr(self, name), row + 1))
            getattr(self, name)[row] = 0
        self._decoders[row] = OpusDecoder()

    def remove(self, row: int) -> None:
        del self._decoders[row]
        self._rests.pop(row, None)
        self._before.pop(row, None)
        self._gain[row] = 0
        self._left[row] = False

    def take(self, pcm: Pcm, levels: Levels, listened: Rows) -> tuple[NDArray[np.uint8], Slips | None]:
        n = len(pcm)
        taken = self._jitter.take(n, levels.talking)
        self._data, self._stride = taken.data.ctypes.data, taken.data.strides[0]
        slips, idle = None, np.zeros(n, bool)
        if (moves := taken.moves) is not None:
            first = np.zeros((len(moves.lose), _SAMPLES), np.float32)
            for k, row in enumerate(moves.lose.tolist()):
                self._decode_any(row, first[k], moves.first, k, None, talking=True)
            to_int16_scale(first)
            slips = Slips(moves.lose, first, moves.gain, moves.repeated)
            idle[moves.repeated] = True
        pcm[:] = 0
        starts, gain = taken.begun.starts, self._gain[:n]
        begins = starts >= 0
        self.told = self._skip(taken, begins[:, 0] & ~idle, levels, listened)
        if self.told is not None:
            idle[self.told.rows] = True
        concerned = (begins[:, 0] | begins[:, 1] | self._left[:n] | (gain > 0)) & ~idle
        plain = concerned & begins[:, 0] & ~begins[:, 1] & (gain == 1) & ~self._left[:n] & (taken.begun.over[:, 0] == 0)
        plain &= taken.covered[:, 1] != 0
        odd = concerned & ~plain
        odd[self._decode_plain(np.flatnonzero(plain), pcm, taken.begun)] = True
        for row in np.flatnonzero(odd).tolist():
            self._decode_any(row, pcm[row], taken.begun, row, taken, talking=bool(levels.talking[row]))
        rows = np.flatnonzero(concerned)
        if 2 * len(rows) > n:
            to_int16_scale(pcm)
        else:
            decoded = pcm[rows]
            to_int16_scale(decoded)
            pcm[rows] = decoded
        return taken.covered, slips

    def conceal(self, pcm: Pcm) -> None:
        """That has been done."""

    def _skip(
        self, taken: TakenPackets, begins: NDArray[np.bool_], levels: Levels, listened: Rows
    ) -> Told | None:
        """Rows that need not be decoded in this tick; their packets are kept, for the next one goes on from there."""
        n, begun = len(begins), taken.begun
        self._ticks += 1
        quiet = begins & ~levels.talking[:n] & ~self._left[:n] & (begun.starts[:, 1] < 0)
        quiet &= (taken.covered[:, 1] != 0) & (begun.over[:, 0] == 0)
        told, power = taken.levels != NO_LEVEL, levels.track[levels.at, :n]
        if np.count_nonzero(told):
            power = np.where(told, _POWER[np.minimum(taken.levels, 127)], power)
        quiet &= power * np.float32(10 ** (NEAR_DB / 10)) < levels.threshold[:n]
        quiet[listened] = False
        rows = np.flatnonzero(quiet)
        rows = rows[told[rows] | self._is_inactive(taken, rows)]
        if not len(rows):
            return None
        for row, start, length in zip(
            rows.tolist(), begun.starts[rows, 0].tolist(), begun.lengths[rows, 0].tolist(), strict=True
        ):
            self._before[row] = taken.data[start, :length].copy()
        self._gain[rows] = 0
        return Told(rows, power[rows])

    def _is_inactive(self, taken: TakenPackets, rows: Rows) -> NDArray[np.bool_]:
        """Which of these rows' packets are marked as no voice by their encoder, but for those whose turn it is to be
        measured all the same: noise must be known, and music may be marked so."""
        starts = taken.begun.starts[rows, 0]
        marked = _MARKS[taken.data[starts, 0]] & (taken.data[starts, 1] < _ACTIVE) & (taken.begun.lengths[rows, 0] > 1)
        return marked & ((self._ticks + rows) % MEASURED_EVERY != 0)

    def _decode_plain(self, rows: Rows, pcm: Pcm, begun: Begun) -> list[int]:
        """Rows of which a packet begins with the frame. Answers those whose packets are no frame; nothing has happened
        to them."""
        starts, lengths = begun.starts[rows, 0].tolist(), begun.lengths[rows, 0]
        self._dtx[rows] = lengths <= DTX_OCTETS
        others = []
        out, stride = pcm.ctypes.data, pcm.strides[0]
        for row, start, length in zip(rows.tolist(), starts, lengths.tolist(), strict=True):
            place = self._data + start * self._stride
            if self._decoders[row].decode(place, length, out + row * stride, _SAMPLES) != _SAMPLES:
                others.append(row)
        return others

    def _decode_any(
        self, row: int, out: Pcm, begun: Begun, k: int, taken: TakenPackets | None, talking: bool
    ) -> None:
        """A row's frame to out, float32 (samples,): packets of any length, gaps, what is left of earlier ones. k: the
        row's place in begun; taken: where to look ahead, if something is missing."""
        rest = self._rests.get(row)
        if rest is None:
            rest = self._rests[row] = _Rest()
        starts = begun.starts[k].tolist()
        for half, start in enumerate(starts):
            if start >= 0:
                self._begin(row, rest, start, int(begun.lengths[k, half]), int(begun.over[k, half]))
            elif taken is not None and not taken.covered[row, half]:
                rest.begin = rest.end  # void
            part = out[half * _HALF : (half + 1) * _HALF]
            if rest.begin < rest.end:
                part[:] = rest.samples[rest.begin : rest.begin + _HALF]
                rest.begin += _HALF
                self._come_back(row, part)
            elif half == 0 and starts[1] < 0:
                self._conceal(row, out, taken, talking)
                break
            else:
                self._conceal(row, part, taken, talking)
        self._left[row] = rest.begin < rest.end

    def _begin(self, row: int, rest: _Rest, start: int, length: int, over: int) -> None:
        """Decode a packet of which so many halves are over."""
        decoder = self._decoders[row]
        before = self._before.pop(row, None)
        if before is not None:
            # The decoder has not heard the packets before: with one of them it is near enough to what it should be.
            decoder.decode(before.ctypes.data, len(before), self._nothing.ctypes.data, LONGEST_SAMPLES)
            self._gain[row] = 1
        samples = decoder.decode(self._data + start * self._stride, length, rest.at, LONGEST_SAMPLES)
        rest.begin, rest.end = min(over * _HALF, samples), max(0, samples)
        if samples <= 0:
            self._jitter.malformed += 1
            rest.begin = 0
        self._dtx[row] = length <= DTX_OCTETS

    def _conceal(self, row: int, part: Pcm, taken: TakenPackets | None, talking: bool) -> None:
        """What is to be heard where nothing came, if sound came lately."""
        before = float(self._gain[row])
        if before == 0:
            return
        decoder, at, samples = self._decoders[row], part.ctypes.data, len(part)
        following = -1 if taken is None else int(taken.following[row])
        if following >= 0 and taken is not None:
            place = self._data + following * self._stride
            decoder.recover(place, int(taken.following_lengths[row]), at, samples)
            return
        decoder.conceal(at, samples)
        if self._dtx[row] and talking:
            return
        after = max(0.0, before - samples / FADE)
        part *= np.linspace(before, after, samples, dtype=np.float32)
        self._gain[row] = after if after > 1e-6 else 0

    def _come_back(self, row: int, part: Pcm) -> None:
        """Sound is here again."""
        before = self._gain[row]
        if before < 1:
            part[:RETURN] *= np.linspace(before, 1, RETURN, dtype=np.float32)
            self._gain[row] = 1
