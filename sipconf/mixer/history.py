"""The last frames that each row of a bank played, for the concealment of what comes not.

Where a codec decodes a frame by itself its codes are kept, a copy four times smaller than its samples; else the samples
are. Not here: what is made of them (conceal).
"""

from typing import Protocol

import numpy as np

from sipconf.mixer.codecs.catalogue import Codec
from sipconf.mixer.frame import Codes, Pcm, Rows, grown

HISTORY_FRAMES = 3
"""Enough for the longest periods that are repeated."""


class History(Protocol):
    """One row per leg of a bank."""

    def add(self, row: int) -> None:
        """A new leg in this row, which has played silence."""

    def keep(self, pcm: Pcm, codes: Codes | None, changed: Rows | None) -> None:
        """What the first n rows have played in this frame, float32 (n, samples), decoded from codes, uint8 (n,
        frame_bytes), but for the rows that were changed."""

    def of(self, rows: Rows) -> Pcm:
        """What rows have played, float32 (len(rows), HISTORY_FRAMES * samples), the newest last."""


class CodesHistory:
    """Of a codec whose frames stand by themselves."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._frames = [np.zeros((0, codec.frame_bytes), np.uint8) for _ in range(HISTORY_FRAMES)]  # oldest first

    def add(self, row: int) -> None:
        self._frames = [grown(codes, row + 1) for codes in self._frames]
        for codes in self._frames:
            codes[row] = self._codec.silence

    def keep(self, pcm: Pcm, codes: Codes | None, changed: Rows | None) -> None:
        assert codes is not None
        newest = self._frames.pop(0)
        self._frames.append(newest)
        newest[: len(codes)] = codes
        if changed is not None and len(changed):
            played = np.empty((len(changed), codes.shape[1]), np.uint8)
            self._codec.encode(pcm[changed], played)
            newest[changed] = played

    def of(self, rows: Rows) -> Pcm:
        codes = np.stack([frame[rows] for frame in self._frames], axis=1)
        past = np.empty((len(rows), HISTORY_FRAMES * self._codec.samples), np.float32)
        self._codec.decode(codes.reshape(-1, codes.shape[2]), past.reshape(-1, self._codec.samples))
        return past


class SamplesHistory:
    """Of any other."""

    def __init__(self, samples: int) -> None:
        self._frames = [np.zeros((0, samples), np.float32) for _ in range(HISTORY_FRAMES)]  # oldest first

    def add(self, row: int) -> None:
        self._frames = [grown(frame, row + 1) for frame in self._frames]
        for frame in self._frames:
            frame[row] = 0

    def keep(self, pcm: Pcm, codes: Codes | None, changed: Rows | None) -> None:
        newest = self._frames.pop(0)
        self._frames.append(newest)
        newest[: len(pcm)] = pcm

    def of(self, rows: Rows) -> Pcm:
        return np.concatenate([frame[rows] for frame in self._frames], axis=1)
