"""Slots and rows: the lowest free number first, stable while used, and a size that falls again."""

import random

import numpy as np
import pytest

from sipconf.errors import MisuseError
from sipconf.media.rows import Numbers, Seats, grown


def test_lowest_free_number_is_given_first() -> None:
    numbers = Numbers()
    assert [numbers.take() for _ in range(5)] == [0, 1, 2, 3, 4]
    numbers.give(3)
    numbers.give(1)
    assert numbers.take() == 1
    assert numbers.take() == 3
    assert numbers.take() == 5


def test_size_is_highest_used_number_plus_one() -> None:
    numbers = Numbers()
    for _ in range(4):
        numbers.take()
    numbers.give(1)
    assert numbers.size == 4
    numbers.give(3)
    assert numbers.size == 3
    numbers.give(2)
    assert numbers.size == 1
    numbers.give(0)
    assert numbers.size == 0


def test_giving_back_what_nobody_uses_is_our_mistake() -> None:
    numbers = Numbers()
    numbers.take()
    numbers.give(0)
    with pytest.raises(MisuseError):
        numbers.give(0)


@pytest.mark.parametrize("seed", range(5))
def test_numbers_against_a_plain_set(seed: int) -> None:
    rng = random.Random(seed)
    numbers, used = Numbers(), set()
    for _ in range(2000):
        if used and rng.random() < 0.5:
            number = rng.choice(sorted(used))
            used.remove(number)
            numbers.give(number)
        else:
            number = numbers.take()
            assert number == next(n for n in range(len(used) + 1) if n not in used)
            used.add(number)
        assert numbers.size == max(used, default=-1) + 1
        assert len(numbers) == len(used)


def test_seats_know_who_sits_where_and_grow() -> None:
    seats = Seats()
    rows = [seats.take(slot) for slot in range(1000, 1200)]
    assert rows == list(range(200))
    assert seats.slots[:200].tolist() == list(range(1000, 1200))
    seats.give(7)
    assert seats.slots[7] == -1
    assert seats.take(5) == 7
    assert seats.size == len(seats) == 200


def test_grown_keeps_what_was_there() -> None:
    column = np.arange(6, dtype=np.int64).reshape(3, 2)
    wider = grown(column, 4)
    assert wider.shape == (6, 2)
    assert wider[:3].tolist() == column.tolist()
    assert not wider[3:].any()
    assert grown(column, 3) is column
