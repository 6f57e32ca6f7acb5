"""Is this code right, and may this caller try at all? Where codes are compared and wrong ones are charged.

What does not live here: the counting itself (lockouts) and what a caller hears (receptionist, room).
"""

import hmac
import math
from collections.abc import Callable
from dataclasses import dataclass

from sipconf.conference.directory import ConferenceSpec
from sipconf.conference.keypad import Key, key_of
from sipconf.conference.lockouts import Lockouts, keys_of
from sipconf.conference.participant import Participant
from sipconf.conference.receptionist import TOO_MANY_TRIES, WRONG_CODE, Judgement, Verdict
from sipconf.conference.room import Room


@dataclass(frozen=True, slots=True)
class NotNow:
    """Why a caller may not enter or try now; retry_after in seconds, None: that is not known."""

    reason: str
    retry_after: int | None = None


class Admission:
    """Judges codes against the conference as it is configured at this moment."""

    def __init__(self, lockouts: Lockouts, wall_time: Callable[[float], float]) -> None:
        self._lockouts = lockouts
        self._wall_time = wall_time

    def is_administrator(self, person: Participant, room: Room) -> bool:
        """The caller has proven to be the user who manages this conference."""
        return person.caller.user is not None and person.caller.user == room.spec.administrator

    def refusal(self, person: Participant, room: Room, now: float) -> NotNow | None:
        """Why this caller may not try a code now, or None."""
        seconds = self._lockouts.locked_for(keys_of(person.caller, room.spec.extension), self._wall_time(now))
        if seconds <= 0.0:
            return None
        minutes = math.ceil(seconds / 60.0)
        wait = "1 minute" if minutes == 1 else f"{minutes} minutes"
        return NotNow(f"Too many wrong access codes; try again in {wait}", math.ceil(seconds))

    def judge(self, person: Participant, room: Room, code: str, now: float) -> Judgement:
        """Compare a code, charge a wrong one, forgive for a right one.

        Where no access code is set everybody is let in, yet a wrong guess at the administrator's is charged.
        """
        spec, wall = room.spec, self._wall_time(now)
        keys = keys_of(person.caller, spec.extension)
        stranger = person.caller.user is None
        free = spec.access_code is None
        if self._lockouts.locked_for(keys, wall) > 0.0:
            return Judgement(Verdict.ACCESS if free else Verdict.LOCKED_OUT, 0.0)
        wait = self._lockouts.stranger_turn(spec.extension, now) if stranger else 0.0
        if wait is None:
            return Judgement(Verdict.ACCESS if free else Verdict.LOCKED_OUT, 0.0)
        found = compare(spec, code)
        if found is not None:
            self._lockouts.succeeded(keys, wall)
            return Judgement(found, wait)
        if free and spec.administrator_code is None:
            return Judgement(Verdict.ACCESS, wait)
        wait += self._lockouts.failed(keys, wall)
        if stranger:
            self._lockouts.stranger_failed(spec.extension, now)
        room.tell("digit-refused", person)
        if free:
            return Judgement(Verdict.ACCESS, wait)
        locked = self._lockouts.locked_for(keys, wall) > 0.0
        return Judgement(Verdict.LOCKED_OUT if locked else Verdict.WRONG, wait)

    def key_while_waiting(self, person: Participant, room: Room, digit: str, now: float) -> None:
        """Somebody who waits for the administrator keys: the administrator's code and "#" opens the doors."""
        if room.spec.administrator_code is None or now < person.keys_count_from:
            return
        key = key_of(digit)
        if key is Key.DIGIT:
            person.keypad.press(digit)
        elif key is Key.STAR:
            person.keypad.clear()
        elif len(person.keypad):
            self._weigh_while_waiting(person, room, person.keypad.take(), now)

    def _weigh_while_waiting(self, person: Participant, room: Room, code: str, now: float) -> None:
        if compare(room.spec, code) is Verdict.ACCESS:
            return                                  # keyed once more out of impatience: no guess at anything
        judgement = self.judge(person, room, code, now)
        person.keys_count_from = now + judgement.delay
        if judgement.verdict is Verdict.ADMINISTRATOR:
            room.promote(person, now)
        elif judgement.verdict is Verdict.LOCKED_OUT:
            room.dismiss(person, TOO_MANY_TRIES, "too many wrong codes", now)
        else:
            person.play((WRONG_CODE,))


def compare(spec: ConferenceSpec, code: str) -> Verdict | None:
    """Which of a conference's codes this is, if any. Both comparisons are always made, in constant time."""
    entry = code.encode()
    administrator = spec.administrator_code is not None and hmac.compare_digest(
        entry, spec.administrator_code.encode())
    access = spec.access_code is not None and hmac.compare_digest(entry, spec.access_code.encode())
    if administrator:
        return Verdict.ADMINISTRATOR
    return Verdict.ACCESS if access else None
