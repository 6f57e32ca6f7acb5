"""The legs of one clock rate and encoding as rows of a bank: which room each is in and how much of it is heard.

Muting lives here. A leg has a talk weight (how much of it enters its room's sum) and a listen weight (how much of
the room it hears); both move by a ramp across one frame, never by a jump. A talk weight is more or less than 1 where
levels are matched. Sums are made in `mix`.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sipconf.errors import MisuseError
from sipconf.mixer.frame import Rows, grown, samples_per_frame

NOWHERE = -1
FEW_SCALED = 0.45
"""Share of a bank's rows up to which they are scaled one by one: it costs as much as scaling twice as many in a
row."""


class Weights(NamedTuple):
    """A frame's exceptions; all other rows talk and listen at 1, or talk into no room and are silent anyway.

    silent: rows that talk at 0. scaled, factor: rows that talk at another weight; column: float32 (size, 1), the same
    for every row, where they are too many to be scaled one by one. ramping, before, after: rows whose talk weight
    moves, and from where to where. listening, goal: rows whose listening moves to 0 or 1.
    """

    silent: Rows
    scaled: Rows
    factor: NDArray[np.float32]
    column: NDArray[np.float32] | None
    ramping: Rows
    before: NDArray[np.float32]
    after: NDArray[np.float32]
    listening: Rows
    goal: NDArray[np.float32]


class MixBank:
    """Rows of one bank. Unused rows are in no room and weigh nothing."""

    def __init__(self, clock_rate: int) -> None:
        self.clock_rate = clock_rate
        self.samples = samples_per_frame(clock_rate)
        self.size = 0  # highest used row + 1
        self.membership = 0  # counts every change of size and of who is in which room
        self.room = np.full(0, NOWHERE, np.int64)  # the room each row is mixed in now
        self._next_room = np.full(0, NOWHERE, np.int64)  # where it goes when its ramp is down
        self._used = np.zeros(0, bool)
        self._muted = np.zeros(0, bool)
        self._gate = np.zeros(0, bool)  # open: what the leg says may be heard
        self._gain = np.zeros(0, np.float32)  # how loud it then is
        self._talk = np.zeros(0, np.float32)  # weights in effect at the end of the last frame
        self._listen = np.zeros(0, np.float32)
        self._stale = True  # weights() must look: something has changed or is still ramping
        self._steady: Weights | None = None

    def add(self, row: int) -> None:
        """Take a free row for a new leg, unmuted, in no room."""
        if row < len(self._used) and self._used[row]:
            raise MisuseError(f"row {row} is taken")
        self._grow(row + 1)
        self._used[row] = self._gate[row] = True
        self._muted[row] = False
        self._gain[row] = 1
        self._talk[row] = self._listen[row] = 0
        self.size = max(self.size, row + 1)
        self.membership += 1
        self._stale = True

    def remove(self, row: int) -> None:
        """Free a row at once; use place(row, None) a tick before for a leg whose audio still runs."""
        self._check(row)
        self.membership += 1
        self._used[row] = False
        self.room[row] = self._next_room[row] = NOWHERE
        self._talk[row] = self._listen[row] = 0
        used = np.flatnonzero(self._used[: self.size])
        self.size = int(used[-1]) + 1 if len(used) else 0
        self._stale = True

    def place(self, row: int, room: int | None) -> None:
        """Move to a room (or none): the old room fades during the next frame, the new one during the one after."""
        self._check(row)
        self._next_room[row] = NOWHERE if room is None else room
        if self.room[row] == NOWHERE:
            self._enter(np.array([row]))
        self._stale = True

    def mute(self, row: int, muted: bool) -> None:
        """Fade what the leg says out of its room, or back in, during the next frame."""
        self._check(row)
        self._muted[row] = muted
        self._stale = True

    def open_gates(self, is_open: NDArray[np.bool_]) -> None:
        """Let only these rows (bool, at least size of them) be heard: quiet ones add nothing. Gates start open."""
        gate, wanted = self._gate[: self.size], is_open[: self.size]
        if np.count_nonzero(gate != wanted):
            gate[:] = wanted
            self._stale = True

    def set_gains(self, gains: NDArray[np.float32]) -> None:
        """How loud each row is where it is heard, float32, at least size of them. They start at 1."""
        self._gain[: self.size] = gains[: self.size]
        self._stale = True

    def weights(self) -> Weights:
        """This frame's exceptions. Called once a frame; what was ramping has then arrived."""
        if not self._stale and self._steady is not None:
            return self._steady
        size = self.size
        room = self.room[:size]
        staying = (room != NOWHERE) & (room == self._next_room[:size])
        talk, listen = self._talk[:size], self._listen[:size]
        talk_goal = np.where(staying & self._gate[:size] & ~self._muted[:size], self._gain[:size], np.float32(0))
        listen_goal = staying.astype(np.float32)
        moves = talk != talk_goal
        ramping = np.flatnonzero(moves)
        listening = np.flatnonzero(listen != listen_goal)
        leaving = room != self._next_room[:size]
        self._stale = len(listening) > 0 or len(ramping) > 0 or bool(leaving.any())
        silent = np.flatnonzero(~moves & (talk_goal == 0))
        scaled = np.flatnonzero(~moves & (talk_goal != 0) & (talk_goal != 1))
        column = None
        if len(scaled) > FEW_SCALED * size:
            column = np.where(moves, np.float32(1), talk_goal)[:, None]
        self._steady = Weights(
            silent, scaled, talk_goal[scaled, None], column,
            ramping, talk[ramping], talk_goal[ramping], listening, listen_goal[listening],
        )  # fmt: skip
        talk[:] = talk_goal
        listen[:] = listen_goal
        return self._steady

    def settle(self) -> None:
        """After a frame: whoever has faded out of a room leaves it, and enters the next one if there is one."""
        if not self._stale:
            return  # as long as anyone is leaving, it is
        leaving = np.flatnonzero(self.room[: self.size] != self._next_room[: self.size])
        if len(leaving):
            self._enter(leaving)

    def _enter(self, rows: Rows) -> None:
        self.room[rows] = self._next_room[rows]
        self.membership += 1

    def _check(self, row: int) -> None:
        if not 0 <= row < self.size or not self._used[row]:
            raise MisuseError(f"no leg has row {row}")

    def _grow(self, rows: int) -> None:
        had = len(self.room)
        for name in ("room", "_next_room", "_used", "_muted", "_gate", "_gain", "_talk", "_listen"):
            setattr(self, name, grown(getattr(self, name), rows))
        self.room[had:] = self._next_room[had:] = NOWHERE
