"""Clips and their playing: to single legs over what they hear, and to whole rooms into the sums.

Where clips come from (files) is in `edge/wavfile`. Playing is vectorised: all rows that play inside a clip are one
gather; only a row that crosses from one clip to the next in this frame is handled by itself.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sipconf.errors import MisuseError
from sipconf.mixer.frame import Pcm, Rows, ramp, samples_per_frame
from sipconf.mixer.resample import convert

MAX_QUEUED_CLIPS = 16  # of one room; later ones are dropped, nobody waits that long for a tone


class ClipLibrary:
    """Clips by name, each float32 (samples,) at the rate it came with; other rates are made when first asked
    for."""

    def __init__(self, clips: Mapping[str, tuple[int, Pcm]]) -> None:
        self._clips = dict(clips)
        self._stores: dict[int, ClipStore] = {}

    @property
    def names(self) -> frozenset[str]:
        """Every clip there is."""
        return frozenset(self._clips)

    def store(self, rate: int) -> "ClipStore":
        """All clips at one rate of the mixer."""
        if rate not in self._stores:
            clips = {name: convert(pcm, own, rate) for name, (own, pcm) in self._clips.items()}
            self._stores[rate] = ClipStore(rate, clips)
        return self._stores[rate]


class ClipStore:
    """All clips at one rate, end to end in one array, with a frame of silence behind the last."""

    def __init__(self, rate: int, clips: Mapping[str, Pcm]) -> None:
        self.rate = rate
        self.frame = samples_per_frame(rate)
        self._spans: dict[str, tuple[int, int]] = {}
        at = 0
        for name, pcm in clips.items():
            self._spans[name] = (at, at + len(pcm))
            at += len(pcm)
        self.pcm = np.concatenate([*clips.values(), np.zeros(self.frame, np.float32)], dtype=np.float32)

    def span(self, name: str) -> tuple[int, int]:
        """Where a clip begins and ends in pcm; MisuseError for a name there is not."""
        if name not in self._spans:
            raise MisuseError(f"no clip is called {name}")
        return self._spans[name]


@dataclass(slots=True)
class _Playback:
    number: int
    spans: list[tuple[int, int]]
    loop: bool
    index: int = 0  # which span is playing
    at: int = 0  # the next sample of the store; only right while the row is not in the vectorised part

    @property
    def end(self) -> int:
        return self.spans[self.index][1]


class Player:
    """What each row of a bank is played: at most one playback a row."""

    def __init__(self, store: ClipStore) -> None:
        self._store = store
        self._offsets = np.arange(store.frame)
        self._fall = 1 - ramp(store.frame)
        self._playing: dict[int, _Playback] = {}
        self._rows = np.zeros(0, np.intp)  # of _playing, rebuilt when someone starts or ends
        self._at = np.zeros(0, np.int64)
        self._end = np.zeros(0, np.int64)
        self._fading: list[tuple[int, Pcm]] = []
        self._finished: list[tuple[int, int]] = []

    def play(self, row: int, playback: int, clips: Sequence[str], loop: bool) -> None:
        """Play clips in order from the next frame on, replacing (with a fade) what is being played to the row."""
        spans = [span for span in map(self._store.span, clips) if span[1] > span[0]]
        self.stop(row)
        if not spans:
            self._finished.append((row, playback))
            return
        self._playing[row] = _Playback(playback, spans, loop, at=spans[0][0])
        self._gather()

    def stop(self, row: int) -> None:
        """Fade out over the next frame; no event."""
        self._keep_positions()
        playback = self._playing.pop(row, None)
        if playback is not None:
            self._fading.append((row, self._next_frame(playback) * self._fall))
            self._gather()

    def remove(self, row: int) -> None:
        """The leg is gone: forget what it was played, at once."""
        self._keep_positions()
        self._fading = [fading for fading in self._fading if fading[0] != row]
        self._finished = [finished for finished in self._finished if finished[0] != row]
        if self._playing.pop(row, None) is not None:
            self._gather()

    @property
    def rows(self) -> Rows:
        """The rows that the next add() adds to."""
        return np.append(self._rows, [row for row, _ in self._fading]) if self._fading else self._rows

    def add(self, out: Pcm) -> None:
        """Add a frame of every playback to out, float32 (n, samples), in place. A playback whose last sample went
        out with the frame before this one is finished now."""
        for row, faded in self._fading:
            out[row] += faded
        self._fading.clear()
        if not len(self._rows):
            return
        ending = self._at + self._store.frame > self._end
        if not ending.any():
            out[self._rows] += self._store.pcm[self._at[:, None] + self._offsets]
            self._at += self._store.frame
            return
        inside = ~ending
        out[self._rows[inside]] += self._store.pcm[self._at[inside, None] + self._offsets]
        self._at[inside] += self._store.frame
        self._keep_positions()
        for row in self._rows[ending].tolist():
            playback = self._playing[row]
            if playback.at >= playback.end and playback.index + 1 == len(playback.spans) and not playback.loop:
                del self._playing[row]
                self._finished.append((row, playback.number))
            else:
                out[row] += self._next_frame(playback)
        self._gather()

    def take_finished(self) -> list[tuple[int, int]]:
        """(row, playback) of everything that ended since the last call."""
        finished, self._finished = self._finished, []
        return finished

    def _next_frame(self, playback: _Playback) -> Pcm:
        """A frame across as many spans as it takes, silent after the last; moves the playback on."""
        frame = np.zeros(self._store.frame, np.float32)
        done = 0
        while True:
            count = min(self._store.frame - done, playback.end - playback.at)
            frame[done : done + count] = self._store.pcm[playback.at : playback.at + count]
            playback.at += count
            done += count
            if done == self._store.frame:
                return frame
            if playback.index + 1 == len(playback.spans) and not playback.loop:
                return frame
            playback.index = (playback.index + 1) % len(playback.spans)
            playback.at = playback.spans[playback.index][0]

    def _keep_positions(self) -> None:
        for row, at in zip(self._rows.tolist(), self._at.tolist(), strict=True):
            if row in self._playing:
                self._playing[row].at = at

    def _gather(self) -> None:
        self._rows = np.fromiter(self._playing, np.intp, len(self._playing))
        self._at = np.array([playback.at for playback in self._playing.values()], np.int64)
        self._end = np.array([playback.end for playback in self._playing.values()], np.int64)


class RoomPlayer:
    """Clips that whole rooms hear. Each room has a queue; every rate of the room hears the same clip in step."""

    def __init__(self, library: ClipLibrary) -> None:
        self._library = library
        self._queues: dict[int, deque[str]] = {}
        self._frame: dict[int, int] = {}  # frames of the first clip already played

    def play(self, room: int, clips: Sequence[str]) -> None:
        """Queue clips for a room; MisuseError for a name there is not."""
        for name in clips:
            if name not in self._library.names:
                raise MisuseError(f"no clip is called {name}")
        queue = self._queues.setdefault(room, deque())
        queue.extend(list(clips)[: MAX_QUEUED_CLIPS - len(queue)])
        self._frame.setdefault(room, 0)

    def remove(self, room: int) -> None:
        """The room is gone, with everything it was to hear."""
        self._queues.pop(room, None)
        self._frame.pop(room, None)

    def add(self, rate: int, rooms: NDArray[np.int64], sums: Pcm) -> None:
        """Add this frame's part of each room's clip to sums, float32 (len(rooms), samples); rooms ascending."""
        for room, queue in self._queues.items():
            slot = int(np.searchsorted(rooms, room))
            if not queue or slot == len(rooms) or rooms[slot] != room:
                continue
            store = self._library.store(rate)
            start, end = store.span(queue[0])
            start += self._frame[room] * store.frame
            piece = store.pcm[start : min(end, start + store.frame)]
            sums[slot, : len(piece)] += piece

    def advance(self) -> None:
        """A frame has gone by; a clip that is over makes way for the next. Kept by the 8 kHz length."""
        store = self._library.store(8000)
        for room in list(self._queues):
            self._frame[room] += 1
            start, end = store.span(self._queues[room][0])
            if self._frame[room] * store.frame >= end - start:
                self._queues[room].popleft()
                self._frame[room] = 0
                if not self._queues[room]:
                    self.remove(room)
