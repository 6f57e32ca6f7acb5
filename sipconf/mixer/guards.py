"""Guards: a leg that plays music on hold or an announcement over and over into its room, or returns the others' voices,
is found and let go again.

A few seats are given to legs that talk; only their sound is kept, two seconds of it, and looked at: spectra ten times a
second (`tonality`), an echo (`echo`) or what was said before (`repetition`) now and then. When others wait, a leg
without a finding makes way for the next after some seconds. An ordinary tick copies two frames of each seat, and
nothing while nobody talks. Not here: what is done about a finding (media).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sipconf.mixer import tonality
from sipconf.mixer.echo import LAGS_MS, Echo, find_echo
from sipconf.mixer.echo import RATE as ECHO_RATE
from sipconf.mixer.frame import FULL_SCALE, Pcm, Rows, grown, samples_per_frame
from sipconf.mixer.levels import BLOCK, BLOCKS, Levels
from sipconf.mixer.repetition import COURSE_S, FRAMES_PER_S, QUIET_DB, Repetition, find_repetition

HOLD_MUSIC, ECHO = "hold music", "echo"  # an announcement in a loop is hold music too
SEATS = 8
RATE = 8000
SAMPLES = samples_per_frame(RATE)
FULL_SCALE_DB = 20 * np.log10(FULL_SCALE)
KEPT_FRAMES = 100
STEADY_S = 7.0
"""What is judged whether it is music, each quarter by itself: who sings a line is not taken for a machine."""
RELEASE_S = 3.5
"""How long a guarded leg must be silent, or sound like speech, to be heard again."""
TURN_S = 9.0
"""How long a leg is looked at when others wait."""
PREFERENCE_S = 60.0
"""How much earlier than his turn somebody is looked at who never pauses."""
_SPECTRA = round(STEADY_S * 50) // tonality.STEP_FRAMES
_BLOCKS = round(STEADY_S * 50) // BLOCK
PARTS = 4
_PARTS = tuple(
    (slice(k * _SPECTRA // PARTS, (k + 1) * _SPECTRA // PARTS), slice(k * _BLOCKS // PARTS, (k + 1) * _BLOCKS // PARTS))
    for k in range(PARTS)
)
_RELEASE_SPECTRA = round(RELEASE_S * 50) // tonality.STEP_FRAMES
_RELEASE_BLOCKS = round(RELEASE_S * 50) // BLOCK
ECHO_FRAMES = 50
ECHO_EVERY, ECHO_ROUND = 25, 150
"""Frames from one seat's look for an echo to the next seat's, and for all seats when many are taken."""
JUDGE_EVERY = 25
ECHO_STRENGTH, ECHO_SHARE, NO_ECHO_SHARE = 11.0, 0.3, 0.2
ECHO_TIMES = 3
"""Looks one after the other that must find the echo, at one delay; and so many that find none end it."""
ECHO_DRIFT_MS = 10.0
REPEAT_EVERY = 20
"""Frames from one seat's look for what was said before to the next seat's."""
REPEAT_ALIKE, REPEAT_OVER = 0.93, 0.7
REPEAT_TIMES = 2
REPEAT_DRIFT_FRAMES = 5
ACTIVE = np.float32(60.0**2)
"""Mean square, -55 dBFS, below which there is nothing to compare."""
ENOUGH = 0.3
"""Of a second: so much of it must be active on both sides to look for an echo."""


@dataclass(slots=True)
class Seat:
    """A leg that is looked at, and what was found of it. began: frame of the first look; since: of the last finding."""

    row: int
    began: int
    since: int
    reason: str | None = None
    loops: bool = False  # the reason is that it says the same again
    lag_ms: float = -1.0
    found: int = 0  # looks one after the other that found the echo
    missed: int = 0
    loop_frames: int = -1
    repeated: int = 0  # looks one after the other that found what was said before
    fresh: int = 0

    def note_echo(self, echo: Echo) -> None:
        """Count looks that agree."""
        if echo.strength > ECHO_STRENGTH and echo.share > ECHO_SHARE:
            self.found = self.found + 1 if abs(echo.lag_ms - self.lag_ms) <= ECHO_DRIFT_MS else 1
            self.lag_ms, self.missed = echo.lag_ms, 0
        elif echo.share < NO_ECHO_SHARE:
            self.miss_echo()

    def miss_echo(self) -> None:
        """There was nothing that could have been one."""
        self.found, self.missed = 0, self.missed + 1

    def note_repetition(self, repetition: Repetition) -> None:
        """Count looks that agree."""
        if repetition.alike > REPEAT_ALIKE:
            same = abs(repetition.lag - self.loop_frames) <= REPEAT_DRIFT_FRAMES
            self.repeated = self.repeated + 1 if same else 1
            self.loop_frames, self.fresh = repetition.lag, 0
        elif repetition.alike < REPEAT_OVER:
            self.repeated, self.fresh = 0, self.fresh + 1

    def judge(self, frame: int, is_music: bool, is_speech: bool) -> bool:
        """Decide what is to be said of the leg; True when it is something else than before. is_music: for some
        seconds; is_speech: lately, or silence."""
        reason, loops = self.reason, self.loops
        if reason is None:
            loops = self.repeated >= REPEAT_TIMES
            if self.found >= ECHO_TIMES:
                reason = ECHO
            elif loops or (is_music and frame - self.since >= STEADY_S * 50):
                reason = HOLD_MUSIC
        elif reason == ECHO:
            reason = None if self.missed >= ECHO_TIMES else ECHO
        elif self.fresh >= REPEAT_TIMES if loops else is_speech:
            reason = None
        if reason == self.reason:
            return False
        # What led to the last finding must not lead to the next.
        self.reason, self.loops, self.since = reason, loops, frame
        self.found = self.missed = self.repeated = self.fresh = 0
        return True


class Guards:
    """Those of one bank. factor: of its clock rate to RATE."""

    def __init__(self, levels: Levels, clock_rate: int) -> None:
        self._levels = levels
        self._factor = clock_rate // RATE
        self._watched = np.zeros(0, bool)
        self._looked_at = np.zeros(0, np.int64)  # the frame at which the leg last had a seat
        self._seats: list[Seat | None] = [None] * SEATS
        self.rows = np.zeros(SEATS, np.intp)  # row of each seat, any row of one that is free
        self._taken = 0
        self._frame = 0
        self._heard = np.zeros((SEATS, KEPT_FRAMES, SAMPLES), np.float32)
        self._sent = np.zeros((SEATS, KEPT_FRAMES, SAMPLES), np.float32)
        self._shape = np.zeros((SEATS, 0), np.float32)  # the last spectrum
        self._alike = np.zeros((SEATS, _SPECTRA), np.float32)
        self._power = np.zeros((SEATS, _SPECTRA), np.float32)
        self._extremes = np.zeros((SEATS, _BLOCKS, 2), np.float32)
        self._course = np.full((SEATS, COURSE_S * FRAMES_PER_S), QUIET_DB, np.float32)  # levels in dB
        self._next_echo = 0  # the seat whose echo is looked for next
        self._echo_due = 0  # frame
        self._next_repeat = 0
        self._changed: list[tuple[int, str | None]] = []

    def watch(self, row: int, watched: bool) -> None:
        """Whether a leg is looked after. Not any more: what was found of it is forgotten, without a word."""
        if row >= len(self._watched):
            self._watched, self._looked_at = grown(self._watched, row + 1), grown(self._looked_at, row + 1)
        self._watched[row] = watched
        if not watched:
            self._looked_at[row] = 0
            for number, seat in enumerate(self._seats):
                if seat is not None and seat.row == row:
                    self._leave(number)

    def hear(self, pcm: Pcm) -> None:
        """What the first n rows say in this frame, float32 (n, samples), before it is mixed. After Levels.hear."""
        self._frame += 1
        if self._taken:
            self._heard[:, self._frame % KEPT_FRAMES] = self._at_own_rate(pcm[self.rows])
            if self._frame % tonality.STEP_FRAMES == 0:
                self._take_spectra()
        if self._levels.block_is_full:
            if self._taken:
                self._take_extremes()
            self._seat_talkers(len(pcm))

    @property
    def busy(self) -> bool:
        """Whether anyone is looked at."""
        return self._taken > 0

    def listen(self, sent: Pcm) -> list[tuple[int, str | None]]:
        """What `rows` are sent in this frame, float32 (SEATS, samples); to be called while busy. Answers (row, reason)
        of legs of which something has been found, or (reason None) is no more."""
        self._sent[:, self._frame % KEPT_FRAMES] = self._at_own_rate(sent)
        if self._frame >= self._echo_due:
            self._look_for_echo()
        if self._frame % REPEAT_EVERY == 2:
            self._look_for_repetition()
        if self._frame % JUDGE_EVERY == 1:
            self._judge()
        changed, self._changed = self._changed, []
        return changed

    def _at_own_rate(self, frames: Pcm) -> Pcm:
        return frames if self._factor == 1 else frames.reshape(SEATS, SAMPLES, self._factor).mean(axis=2)

    # --- seats -------------------------------------------------------------------------------------------------------
    def _seat_talkers(self, rows: int) -> None:
        """Legs that talk take the free seats, and those of legs that have been looked at long enough, in turn."""
        waiting = self._watched[:rows] & self._levels.talking[:rows]
        for seat in self._seats:
            if seat is not None:
                waiting[seat.row] = False
        candidates = np.flatnonzero(waiting)
        if not len(candidates):
            return
        free = [number for number, seat in enumerate(self._seats) if seat is None or self._is_done(seat)]
        for number, row in zip(free, self._in_turn(candidates, len(free)).tolist(), strict=False):
            self._leave(number)
            self._seats[number] = Seat(row, self._frame, self._frame)
            self.rows[number] = row
            self._taken += 1
            for column in (self._heard, self._sent, self._shape, self._alike, self._power):
                column[number] = 0
            # What Levels remembers of the leg saves some seconds.
            known = np.roll(self._levels.extremes[:, :, row], -self._levels.block, axis=0)
            self._course[number] = QUIET_DB
            self._extremes[number] = 0
            self._extremes[number, -BLOCKS:] = np.where(np.isfinite(known), known, 0)

    def _in_turn(self, candidates: Rows, free: int) -> Rows:
        """Who was looked at longest ago comes first, and who hardly ever pauses earlier than his turn."""
        if len(candidates) <= free:
            return candidates
        extremes = self._levels.extremes[:, :, candidates]
        steady = (extremes[:, 0] > extremes[:, 1].mean(axis=0) * np.float32(tonality.DIP)).mean(axis=0)
        turn = self._looked_at[candidates] - steady * (PREFERENCE_S * 50)
        return candidates[np.argsort(turn, kind="stable")]

    def _is_done(self, seat: Seat) -> bool:
        looked_at = self._frame - max(seat.began, seat.since)
        return seat.reason is None and seat.found == 0 and looked_at > TURN_S * 50

    def _leave(self, number: int) -> None:
        seat = self._seats[number]
        if seat is not None:
            self._looked_at[seat.row] = self._frame if self._watched[seat.row] else 0
            self._seats[number] = None
            self.rows[number] = 0
            self._taken -= 1

    # --- measuring ---------------------------------------------------------------------------------------------------
    def _last(self, kept: Pcm, seats: slice, frames: int) -> Pcm:
        order = np.arange(self._frame - frames + 1, self._frame + 1) % KEPT_FRAMES
        return kept[seats][:, order].reshape(-1, frames * SAMPLES)

    def _take_spectra(self) -> None:
        shape, power = tonality.spectra(self._last(self._heard, slice(None), tonality.SPECTRUM_FRAMES))
        if not self._shape.size:
            self._shape = np.zeros_like(shape)
        for column, value in ((self._alike, np.vecdot(shape, self._shape)), (self._power, power)):
            column[:, :-1] = column[:, 1:]
            column[:, -1] = value
        self._shape = shape

    def _take_extremes(self) -> None:
        self._extremes[:, :-1] = self._extremes[:, 1:]
        self._extremes[:, -1] = self._levels.extremes[self._levels.block - 1][:, self.rows].T
        self._course[:, :-BLOCK] = self._course[:, BLOCK:]
        level = 10 * np.log10(self._levels.track[:, self.rows].T + np.float32(1)) - np.float32(FULL_SCALE_DB)
        np.maximum(level, QUIET_DB, out=self._course[:, -BLOCK:])

    def _look_for_echo(self) -> None:
        """The next seat at which both sides have had something to say in the last second."""
        self._echo_due = self._frame + min(ECHO_EVERY, ECHO_ROUND // self._taken)
        earlier = LAGS_MS[1] // 20
        for _ in range(SEATS):
            number, self._next_echo = self._next_echo, (self._next_echo + 1) % SEATS
            seat = self._seats[number]
            if seat is None or self._frame - seat.since < ECHO_FRAMES + earlier:
                continue
            sent = self._last(self._sent, slice(number, number + 1), ECHO_FRAMES + earlier)[0]
            heard = self._last(self._heard, slice(number, number + 1), ECHO_FRAMES)[0]
            speaks, listens = _is_active(heard), _is_active(sent)
            if speaks and listens:
                seat.note_echo(find_echo(_halved(heard), _halved(sent)))
                return
            if speaks or listens:
                seat.miss_echo()

    def _score(self, spectra: slice, blocks: slice) -> NDArray[np.float32]:
        return tonality.score(self._alike[:, spectra], self._power[:, spectra], self._extremes[:, blocks])

    def _look_for_repetition(self) -> None:
        number = self._next_repeat = (self._next_repeat + 1) % SEATS
        while (seat := self._seats[number]) is None:
            number = self._next_repeat = (number + 1) % SEATS
        seat.note_repetition(find_repetition(self._course[number], self._frame - seat.began))

    # --- judging -----------------------------------------------------------------------------------------------------
    def _judge(self) -> None:
        music = np.min([self._score(spectra, blocks) for spectra, blocks in _PARTS], axis=0) > tonality.SCORE
        silent = self._extremes[:, -_RELEASE_BLOCKS:, 1].max(axis=1) < ACTIVE
        speech = silent | (self._score(slice(-_RELEASE_SPECTRA, None), slice(-_RELEASE_BLOCKS, None)) < 0)
        for number, seat in enumerate(self._seats):
            if seat is not None and seat.judge(self._frame, bool(music[number]), bool(speech[number])):
                self._changed.append((seat.row, seat.reason))


def _is_active(sound: Pcm) -> bool:
    frames = sound.reshape(-1, SAMPLES)
    return bool((np.vecdot(frames, frames) > ACTIVE * SAMPLES).mean() > ENOUGH)


def _halved(sound: Pcm) -> NDArray[np.float32]:
    return sound.reshape(-1, RATE // ECHO_RATE).mean(axis=1)
