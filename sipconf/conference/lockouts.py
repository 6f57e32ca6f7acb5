"""Wrong access codes, counted across calls: growing delays, lock-outs, and a room's budget for strangers.

Who is counted: the user proven by digest; a trunk's caller by number (the trunk's own address is exempt, it stands
for everybody); anyone else by claimed number and by source address. Lock-outs are kept by an injected store, in
wall-clock seconds, since they outlive the process. Holds no code and no digit.
"""

from collections import deque
from dataclasses import dataclass, replace
from typing import Protocol

from sipconf.conference.directory import bare_number
from sipconf.conference.events import Caller


@dataclass(frozen=True, slots=True)
class LockoutRecord:
    """Wrong codes of one caller. last_failure and locked_until are wall-clock seconds; locked_until 0.0: never
    yet."""

    failures: int
    last_failure: float
    locked_until: float


class LockoutStore(Protocol):
    """Where lock-outs outlive the process."""

    def load(self) -> dict[str, LockoutRecord]:
        """Every record kept."""

    def save(self, key: str, record: LockoutRecord) -> None:
        """Keep a record in place of any older one."""

    def forget(self, key: str) -> None:
        """Drop a record; none to drop is no error."""


class MemoryLockoutStore:
    """A LockoutStore that lasts as long as its object."""

    def __init__(self) -> None:
        self.records: dict[str, LockoutRecord] = {}

    def load(self) -> dict[str, LockoutRecord]:
        """Every record kept."""
        return dict(self.records)

    def save(self, key: str, record: LockoutRecord) -> None:
        """Keep a record in place of any older one."""
        self.records[key] = record

    def forget(self, key: str) -> None:
        """Drop a record; none to drop is no error."""
        self.records.pop(key, None)


@dataclass(frozen=True, slots=True)
class LockoutSettings:
    """Every number of the defence, in seconds unless named otherwise.

    delays: before the answer to the first, second, ... wrong code; the last one stays. failures_to_lock: every so
    many failures lock the caller out, first_lock long, doubling up to longest_lock. forget_after: this long
    without a failure forgives. pardons_a_day: how often a right code forgives, so that one who knows a room's code
    cannot guess its administrator's for ever. After room_budget failures of strangers within room_window the room's
    strangers are answered one by one, one in room_delay, whatever numbers they call from; who would have to wait for
    longer than longest_turn is turned away, and his code is not looked at.
    """

    delays: tuple[float, ...] = (0.0, 1.0, 2.0, 4.0, 8.0)
    failures_to_lock: int = 10
    first_lock: float = 300.0
    longest_lock: float = 3600.0
    forget_after: float = 86400.0
    pardons_a_day: int = 5
    room_budget: int = 30
    room_window: float = 600.0
    room_delay: float = 5.0
    longest_turn: float = 60.0
    max_records: int = 10000


DAY = 86400.0


def keys_of(caller: Caller, conference: str) -> tuple[str, ...]:
    """Under which names a caller's wrong codes are counted; at least one."""
    if caller.user is not None:
        return (f"user:{caller.user}",)
    number = bare_number(caller.number)
    if caller.trunk is not None:
        # Who withholds the number shares one account per room: else withholding it would buy endless tries.
        return (f"number:{number}",) if number else (f"withheld:{caller.trunk}:{conference}",)
    source = f"source:{caller.source}"
    # Not proven by anything, so never mixed with the numbers that trunks vouch for.
    return (f"claimed:{number}", source) if number else (source,)


class Lockouts:
    """The ledger of wrong codes. Every `wall` is wall-clock seconds; `now` is monotonic."""

    def __init__(self, store: LockoutStore, settings: LockoutSettings) -> None:
        self._store = store
        self._settings = settings
        self._records = store.load()
        self._pardons: dict[str, deque[float]] = {}
        self._rooms: dict[str, deque[float]] = {}
        self._turns: dict[str, float] = {}  # when a room's last stranger in the queue is answered

    def locked_for(self, keys: tuple[str, ...], wall: float) -> float:
        """Seconds until a caller may try again; 0.0 when it may now."""
        until = max((record.locked_until for key in keys if (record := self._record(key, wall))), default=0.0)
        return max(0.0, until - wall)

    def failed(self, keys: tuple[str, ...], wall: float) -> float:
        """Count a wrong code; the delay before it is answered. May lock the caller out."""
        settings = self._settings
        worst = 0
        for key in keys:
            old = self._record(key, wall)
            failures = (old.failures if old else 0) + 1
            locked_until = old.locked_until if old else 0.0
            if failures % settings.failures_to_lock == 0:
                # The exponent is bounded: a float doubled without end overflows.
                doublings = min(failures // settings.failures_to_lock - 1, 32)
                locked_until = wall + min(settings.first_lock * 2.0**doublings, settings.longest_lock)
            self._keep(key, LockoutRecord(failures, wall, locked_until), wall)
            worst = max(worst, failures)
        return settings.delays[min(worst, len(settings.delays)) - 1]

    def succeeded(self, keys: tuple[str, ...], wall: float) -> None:
        """Forgive a caller who keyed a right code, as often as a day allows."""
        for key in keys:
            if self._record(key, wall) is None:
                continue
            pardons = self._pardons.setdefault(key, deque(maxlen=self._settings.pardons_a_day))
            while pardons and pardons[0] <= wall - DAY:
                pardons.popleft()
            if len(pardons) == self._settings.pardons_a_day:
                continue
            pardons.append(wall)
            self._drop(key)
            if len(self._pardons) > self._settings.max_records:
                del self._pardons[min(self._pardons, key=lambda k: self._pardons[k][-1])]

    def stranger_failed(self, conference: str, now: float) -> None:
        """Charge a room's budget with the wrong code of somebody who is not a user."""
        self._rooms.setdefault(conference, deque(maxlen=self._settings.room_budget)).append(now)

    def stranger_turn(self, conference: str, now: float) -> float | None:
        """How much longer a stranger waits for the answer to any code in this room, whose turn this makes; None where
        the queue is too long."""
        failures = self._rooms.get(conference)
        if failures is None:
            return 0.0
        while failures and failures[0] <= now - self._settings.room_window:
            failures.popleft()
        if not failures:
            del self._rooms[conference]
            self._turns.pop(conference, None)
            return 0.0
        if len(failures) < self._settings.room_budget:
            return 0.0
        turn = max(self._turns.get(conference, now), now) + self._settings.room_delay
        if turn - now > self._settings.longest_turn:
            return None
        self._turns[conference] = turn
        return turn - now

    def _record(self, key: str, wall: float) -> LockoutRecord | None:
        record = self._records.get(key)
        if record is None:
            return None
        if wall < record.last_failure:
            # The wall clock was set back: count from now, and keep no lock longer than a lock can be.
            longest = wall + self._settings.longest_lock
            record = replace(record, last_failure=wall, locked_until=min(record.locked_until, longest))
            self._records[key] = record
        elif wall - record.last_failure >= self._settings.forget_after and wall >= record.locked_until:
            self._drop(key)
            return None
        return record

    def _keep(self, key: str, record: LockoutRecord, wall: float) -> None:
        if key not in self._records and len(self._records) >= self._settings.max_records:
            # The longest quiet goes first; those locked out now go last.
            records = self._records
            self._drop(min(records, key=lambda k: (records[k].locked_until > wall, records[k].last_failure)))
        self._records[key] = record
        self._store.save(key, record)

    def _drop(self, key: str) -> None:
        del self._records[key]
        self._store.forget(key)
