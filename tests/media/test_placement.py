"""Where a room goes, cell by cell, and when a worker is full."""

import random

import pytest

from sipconf.errors import MisuseError
from sipconf.media import placement
from sipconf.media.placement import (
    CALM_REPORTS,
    LATE_TICKS,
    LEG_SHARE,
    MOST_LEGS,
    STRAINED_REPORTS,
    TICK_MS,
    Placement,
)
from sipconf.media.protocol import PlaneReport

UP = [True, True]


def report(share: float, late: int = 0, skipped: int = 0, capacity: int = 0) -> PlaneReport:
    return PlaneReport(1, 50, late, skipped, share * TICK_MS, capacity)


def test_a_room_lives_whole_on_one_worker_until_its_last_leg_has_gone() -> None:
    where = Placement(2)
    assert [where.open(leg, 7, UP) for leg in (1, 2, 3)] == [0, 0, 0]
    assert where.open(4, 8, UP) == 1 and where.home(7) == 0 and where.home(8) == 1
    for leg in (1, 2):
        where.close(leg)
    assert where.open(5, 7, UP) == 0, "it is still there"
    for leg in (3, 5):
        where.close(leg)
    assert where.home(7) is None and where.worker_of(5) is None
    for leg in (6, 9):
        assert where.open(leg, leg, UP) == 0
    assert where.open(10, 7, UP) == 1, "it begins anew where there is more room"


def test_a_leg_that_moves_takes_a_room_that_has_nobody_to_its_worker() -> None:
    where = Placement(2)
    assert [where.open(leg, room, UP) for leg, room in ((1, 1), (2, 2), (3, 1))] == [0, 1, 0]
    assert not where.move(1, 2) and where.home(2) == 1, "the room lives elsewhere"
    assert where.move(1, 3) and where.move(1, 3) and where.home(3) == 0 == where.home(1)
    assert where.open(4, 3, UP) == 0, "who comes to it later is there too"
    assert where.move(3, 3) and where.home(1) is None, "the last has left its room"
    assert not where.move(99, 3), "there is no such leg"
    for leg in (1, 3, 4):
        where.close(leg)
    assert where.home(3) is None


def test_a_new_room_goes_where_most_is_left_of_the_tick() -> None:
    where = Placement(3)
    for worker, share in enumerate((0.3, 0.1, 0.2)):
        where.report(worker, report(share))
    assert where.open(1, 1, [True] * 3) == 1
    assert where.open(2, None, [True] * 3) == 1, "a leg without a room too"
    where.report(1, report(0.5))
    assert where.open(3, 2, [True] * 3) == 2


def test_of_equals_the_one_with_fewer_legs() -> None:
    where = Placement(2)
    assert [where.open(leg, leg, UP) for leg in range(6)] == [0, 1, 0, 1, 0, 1]


def test_who_is_not_up_gets_no_new_room_unless_nobody_is() -> None:
    where = Placement(2)
    assert where.open(1, 1, [False, True]) == 1
    assert where.open(2, 2, [False, True]) == 1
    assert where.open(3, 3, [False, False]) == 0


def test_a_call_is_placed_once() -> None:
    where = Placement(1)
    where.open(1, 1, [True])
    with pytest.raises(MisuseError):
        where.open(1, 2, [True])
    where.close(5)  # was never there: nothing


@pytest.mark.parametrize(
    ("share", "late", "skipped", "full"),
    [
        (0.79, 0, 0, False), (0.81, 0, 0, True), (1.3, 0, 0, True),
        (0.5, LATE_TICKS - 1, 0, False), (0.5, LATE_TICKS, 0, True), (0.5, 0, LATE_TICKS, True),
        (0.5, 2, LATE_TICKS - 2, True), (0.15, 20, 20, False),
    ],
)  # fmt: skip
def test_full_by_report(share: float, late: int, skipped: int, full: bool) -> None:
    where = Placement(1)
    for _ in range(STRAINED_REPORTS):
        where.report(0, report(share, late, skipped))
    where.report(0, report(0.65))
    assert where.is_full(0) is full
    assert (where.open(1, 1, [True]) is None) is full


def test_one_bad_second_refuses_for_a_second_only() -> None:
    where = Placement(1)
    for _ in range(3):
        where.report(0, report(0.9))
        assert where.is_full(0)
        where.report(0, report(0.65))
        assert not where.is_full(0)


def test_a_full_worker_takes_legs_again_after_a_calm_while_and_not_before() -> None:
    where = Placement(1)
    for _ in range(STRAINED_REPORTS):
        where.report(0, report(0.85))
    for share in (0.75, 0.66):  # not above the limit, but not calm either
        for _ in range(2 * CALM_REPORTS):
            where.report(0, report(share))
            assert where.is_full(0)
    for _ in range(CALM_REPORTS - 1):
        where.report(0, report(0.5))
    where.report(0, report(0.5, late=1))
    for _ in range(CALM_REPORTS - 1):
        where.report(0, report(0.5))
        assert where.is_full(0), "one late tick, and the calm begins anew"
    where.report(0, report(0.5))
    assert not where.is_full(0)


def test_who_came_lately_counts_before_it_shows() -> None:
    """A rush within a second does not overrun a worker that was nearly full."""
    where = Placement(1)
    where.report(0, report(0.7))
    spare = round((placement.FULL_SHARE - 0.7) / LEG_SHARE)
    taken = sum(where.open(leg, 1, [True]) is not None for leg in range(2 * spare))
    assert abs(taken - spare) <= 1
    where.report(0, report(0.7))
    assert where.is_full(0), "they may not talk yet"
    where.report(0, report(0.7))
    assert not where.is_full(0)


def test_a_full_worker_refuses_its_rooms_and_leaves_the_others_theirs() -> None:
    where = Placement(2)
    assert (where.open(1, 1, UP), where.open(2, 2, UP)) == (0, 1)
    where.report(0, report(0.9))
    assert where.open(3, 1, UP) is None
    assert where.open(4, 2, UP) == 1 and where.open(5, 3, UP) == 1
    where.report(1, report(0.9))
    assert where.open(6, 4, UP) is None


def test_ports_and_the_last_resort() -> None:
    where = Placement(2)
    where.report(0, report(0.0, capacity=3))
    assert where.capacities == [3, 0]
    assert [where.open(leg, 1, [True, False]) for leg in range(4)] == [0, 0, 0, None]
    where.close(0)
    assert where.open(4, 1, UP) == 0
    for second in range(0, MOST_LEGS + 10, 500):
        where.report(1, report(0.0, capacity=50_000))
        for leg in range(second, second + 500):
            where.open(1000 + leg, 2, UP)
    assert where.worker_of(1000 + MOST_LEGS - 1) == 1 and where.worker_of(1000 + MOST_LEGS) is None


def test_who_takes_over_for_a_lost_worker_has_no_load_of_his() -> None:
    where = Placement(2)
    where.open(1, 1, UP)
    where.open(2, 2, UP)
    for _ in range(STRAINED_REPORTS):
        where.report(0, report(0.9, capacity=100))
    where.close(1)
    where.lost(0)
    assert not where.is_full(0) and where.capacities[0] == 100
    assert where.worker_of(2) == 1
    assert where.open(3, 1, [False, True]) == 1, "while it starts"
    assert where.open(4, 4, UP) == 0


def test_random_days_leave_nothing_behind() -> None:
    """Against a twin that remembers who is in which room and nothing else."""
    rng = random.Random(5)
    where = Placement(3)
    rooms: dict[int, int] = {}
    for leg in range(3000):
        where.report(rng.randrange(3), report(rng.random() * 0.7))
        if rooms and rng.random() < 0.5:
            gone = rng.choice(list(rooms))
            where.close(gone)
            del rooms[gone]
        elif rooms and rng.random() < 0.3:
            moving, room = rng.choice(list(rooms)), rng.randrange(20)
            together = where.home(room) in (None, where.worker_of(moving))
            assert where.move(moving, room) is together
            rooms[moving] = room if together else rooms[moving]
        else:
            rooms[leg] = rng.randrange(20)
            assert where.open(leg, rooms[leg], [True] * 3) is not None
        for room in set(rooms.values()):
            assert {where.worker_of(each) for each, of in rooms.items() if of == room} == {where.home(room)}
    for leg in rooms:
        where.close(leg)
    assert all(where.home(room) is None for room in range(20))
