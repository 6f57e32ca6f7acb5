"""On which worker a room lives, and when a worker is full: counting only.

A room lives whole on one worker, from its first leg to its last, for its sum is made there. A new room goes where most
is left of the tick. A worker is full before its sound suffers: by the share of the tick that it reports as busy, with
what newly opened legs will add to it; it takes new legs again when it has been calm for a while. Not here: processes
(supervisor) and who sends what to whom (workers).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sipconf.errors import MisuseError
from sipconf.media.protocol import PlaneReport

TICK_MS = 20.0
FULL_SHARE = 0.8
"""Busy share of the tick from which a worker takes no new leg: above it a burst of packets makes ticks late."""
STRAINED_SHARE = 0.2
"""The same when ticks are late or left out already, LATE_TICKS in one report: others take the processor from it. With
less work of its own than this its calls are not the cause, and fewer would not help."""
LATE_TICKS = 5
STRAINED_REPORTS = 2
"""Reports in a row that must say one or the other for it to be full: one bad second is over with the next."""
CALM_SHARE = 0.65
"""A full worker takes legs again when it has been below this share, and no tick late, in CALM_REPORTS reports."""
CALM_REPORTS = 5
LEG_SHARE = 0.0004
"""Share of a processor that a leg is taken to need until it shows in the reports: 0.4 ms each second."""
STEP = 0.05
"""Busy shares that differ by less are equal: what an idle worker reports is chance."""
MOST_LEGS = 4500
"""The last resort, whatever the reports say: no worker has been seen to hold more."""


@dataclass(slots=True)
class _Load:
    """One worker's. coming: legs opened since the last report; arrived: in the one before, who may not talk yet.
    capacity: legs that ports and open files allow, 0 while it is not known. strained, calm: such reports in a row."""

    legs: int = 0
    capacity: int = 0
    share: float = 0.0
    coming: int = 0
    arrived: int = 0
    full: bool = False
    strained: int = 0
    calm: int = 0

    @property
    def expected(self) -> float:
        """Busy share when everyone who came lately talks."""
        return self.share + LEG_SHARE * (self.coming + self.arrived)

    @property
    def takes(self) -> bool:
        """Whether one more leg may come."""
        most = min(self.capacity or MOST_LEGS, MOST_LEGS)
        return not self.full and self.legs < most and self.expected < FULL_SHARE


@dataclass(slots=True)
class _Room:
    worker: int
    legs: set[int] = field(default_factory=set)


class Placement:
    """Who is where on `workers` workers, numbered from 0."""

    def __init__(self, workers: int) -> None:
        self._loads = [_Load() for _ in range(workers)]
        self._rooms: dict[int, _Room] = {}
        self._leg: dict[int, tuple[int, int | None]] = {}  # worker and room of each

    def open(self, leg: int, room: int | None, up: Sequence[bool]) -> int | None:
        """Find a worker for a leg that is for this room (None: for none); None when there is no place for it. up: which
        workers run; a room that has nobody yet goes to another only where none does."""
        if leg in self._leg:
            raise MisuseError(f"leg {leg} has its worker already")
        home = self._rooms.get(room) if room is not None else None
        worker = self._best(up) if home is None else home.worker
        if worker is None or not self._loads[worker].takes:
            return None
        self._leg[leg] = worker, room
        if room is not None:
            self._rooms.setdefault(room, _Room(worker)).legs.add(leg)
        load = self._loads[worker]
        load.legs += 1
        load.coming += 1
        return worker

    def move(self, leg: int, room: int) -> bool:
        """A leg is for this room from now on, which lives where the leg does if it has nobody yet. False, and nothing
        has changed, where the room lives on another worker or the leg is gone."""
        place = self._leg.get(leg)
        if place is None or self.home(room) not in (None, place[0]):
            return False
        worker, before = place
        if before != room:
            self._depart(leg, before)
            self._rooms.setdefault(room, _Room(worker)).legs.add(leg)
            self._leg[leg] = worker, room
        return True

    def close(self, leg: int) -> None:
        """A leg is gone; its room too when it was the last. Nothing for one that has gone before."""
        place = self._leg.pop(leg, None)
        if place is None:
            return
        worker, room = place
        self._loads[worker].legs -= 1
        self._depart(leg, room)

    def _depart(self, leg: int, room: int | None) -> None:
        if room is not None:
            self._rooms[room].legs.discard(leg)
            if not self._rooms[room].legs:
                del self._rooms[room]

    def worker_of(self, leg: int) -> int | None:
        """Where a leg lives."""
        place = self._leg.get(leg)
        return None if place is None else place[0]

    def home(self, room: int) -> int | None:
        """Where a room lives."""
        place = self._rooms.get(room)
        return None if place is None else place.worker

    @property
    def capacities(self) -> list[int]:
        """Legs that each worker has reported room for; 0 where it has not."""
        return [load.capacity for load in self._loads]

    def report(self, worker: int, report: PlaneReport) -> None:
        """Take a worker's report of its last second."""
        load = self._loads[worker]
        load.share, load.capacity = report.busy_ms / TICK_MS, report.capacity
        load.arrived, load.coming = load.coming, 0
        late = report.late_ticks + report.skipped_ticks
        too_much = load.share >= FULL_SHARE or (late >= LATE_TICKS and load.share >= STRAINED_SHARE)
        load.strained = load.strained + 1 if too_much else 0
        load.calm = load.calm + 1 if load.share < CALM_SHARE and not late else 0
        if load.full:
            load.full = load.calm < CALM_REPORTS
        else:
            load.full = load.strained >= STRAINED_REPORTS

    def lost(self, worker: int) -> None:
        """A worker has ended and another takes over: its load is gone. Its legs are closed one by one."""
        load = self._loads[worker]
        load.share, load.arrived, load.full, load.strained = 0.0, 0, False, 0

    def is_full(self, worker: int) -> bool:
        """Whether a worker takes no new leg."""
        return not self._loads[worker].takes

    def _best(self, up: Sequence[bool]) -> int | None:
        """The worker with most to spare; of those within a STEP the one with the fewest legs, then the first."""
        running = [number for number, runs in enumerate(up) if runs] or list(range(len(self._loads)))
        free = [number for number in running if self._loads[number].takes]
        return min(free, key=lambda n: (self._loads[n].expected // STEP, self._loads[n].legs, n), default=None)
