"""From a jitter buffer to the samples of every row: what came is decoded, what did not is concealed.

One kind for codecs whose frames stand by themselves, one for those whose frames are of equal length but go on from each
other (G.722); `packet_decoding` has the one for packets of any length. Not here: what the samples are used for (bank).
"""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from sipconf.mixer.codecs.catalogue import Codec
from sipconf.mixer.codecs.g722 import G722, SAMPLES_PER_OCTET, G722Decoder
from sipconf.mixer.conceal import Concealer
from sipconf.mixer.frame import Pcm, Rows
from sipconf.mixer.history import CodesHistory, SamplesHistory
from sipconf.mixer.levels import Levels, Told
from sipconf.rtp.jitter import JitterBank


class Slips(NamedTuple):
    """Rows that slip (rtp.jitter.Moves), the frame more that some gave decoded. first: float32 (len(lose), samples)."""

    lose: Rows
    first: Pcm
    gain: Rows
    repeated: Rows


class Decoding(Protocol):
    """One row per leg of a bank. told: rows of the last frame that were not decoded because their packets
    tell how quiet they are (RFC 6464); None where there are none."""

    told: Told | None

    def add(self, row: int) -> None:
        """A new leg in this row."""

    def remove(self, row: int) -> None:
        """The row is free."""

    def take(self, pcm: Pcm, levels: Levels, listened: Rows) -> tuple[NDArray[np.uint8], Slips | None]:
        """Decode this tick's frame of the first n rows into pcm, float32 (n, samples). listened: rows that must be
        decoded in any case. Answers which halves came, uint8 (n, 2), and who slips."""

    def conceal(self, pcm: Pcm) -> None:
        """Fill what did not come in the frame just taken."""


class FrameDecoding:
    """Of a codec whose frames stand by themselves: all rows at once."""

    told: Told | None = None

    def __init__(self, codec: Codec, jitter: JitterBank) -> None:
        self._codec, self._jitter = codec, jitter
        self.concealer = Concealer(codec.clock_rate, CodesHistory(codec))

    def add(self, row: int) -> None:
        self.concealer.add(row)

    def remove(self, row: int) -> None:
        """Nothing is kept that would matter."""

    def take(self, pcm: Pcm, levels: Levels, listened: Rows) -> tuple[NDArray[np.uint8], Slips | None]:
        self._taken = taken = self._jitter.take(len(pcm), levels.talking)
        slips = None
        if (moves := taken.moves) is not None:
            first = np.empty((len(moves.lose), self._codec.samples), np.float32)
            if len(first):
                self._codec.decode(moves.first, first)
            slips = Slips(moves.lose, first, moves.gain, moves.repeated)
        self._codec.decode(taken.codes, pcm)
        return taken.filled, slips

    def conceal(self, pcm: Pcm) -> None:
        self.concealer.fill(pcm, self._taken.filled, self._taken.codes)


class StreamDecoding:
    """Of G.722: row by row, and only those of which something came."""

    told: Told | None = None

    def __init__(self, jitter: JitterBank) -> None:
        self._jitter = jitter
        self._decoders: dict[int, G722Decoder] = {}
        self._history = SamplesHistory(G722.samples)
        self.concealer = Concealer(G722.clock_rate, self._history)

    def add(self, row: int) -> None:
        self._decoders[row] = G722Decoder()
        self.concealer.add(row)

    def remove(self, row: int) -> None:
        del self._decoders[row]

    def take(self, pcm: Pcm, levels: Levels, listened: Rows) -> tuple[NDArray[np.uint8], Slips | None]:
        taken = self._jitter.take(len(pcm), levels.talking)
        self._filled = came = taken.filled
        slips = None
        if (moves := taken.moves) is not None:
            first = np.empty((len(moves.lose), pcm.shape[1]), np.float32)
            for row, codes, out in zip(moves.lose.tolist(), moves.first, first, strict=True):
                self._decoders[row].decode(codes, out)
            slips = Slips(moves.lose, first, moves.gain, moves.repeated)
            came = came.copy()
            came[moves.repeated] = 0  # their last frame once more: the decoder has had it
        whole = came[:, 0] & came[:, 1]
        if np.count_nonzero(whole) < len(pcm):
            pcm[whole == 0] = 0
        if slips is not None and len(slips.repeated):
            pcm[slips.repeated] = self._history.of(slips.repeated)[:, -pcm.shape[1] :]
        for row in np.flatnonzero(whole).tolist():
            self._decoders[row].decode(taken.codes[row], pcm[row])
        half = taken.codes.shape[1] // 2
        for row, part in np.argwhere(came & (whole ^ 1)[:, None]).tolist():
            codes = taken.codes[row, part * half : (part + 1) * half]
            self._decoders[row].decode(codes, pcm[row, part * half * SAMPLES_PER_OCTET :][: half * SAMPLES_PER_OCTET])
        return self._filled, slips

    def conceal(self, pcm: Pcm) -> None:
        self.concealer.fill(pcm, self._filled)


