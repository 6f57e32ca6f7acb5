"""One press counts once, whatever brought it."""

import random

import pytest

from sipconf.media.keypress import SAME_PRESS, KeyPresses


@pytest.mark.parametrize("order", [("rtp", "info"), ("info", "rtp")])
def test_the_same_press_by_both_ways_counts_once(order):
    presses = KeyPresses()
    assert presses.is_new("4", order[0], 10.0)
    assert not presses.is_new("4", order[1], 10.0 + SAME_PRESS / 2)


def test_one_way_alone_counts_every_press():
    presses = KeyPresses()
    assert [presses.is_new("1", "rtp", at / 10) for at in range(5)] == [True] * 5


def test_a_late_report_is_another_press():
    presses = KeyPresses()
    assert presses.is_new("4", "rtp", 0.0)
    assert presses.is_new("4", "info", SAME_PRESS + 0.01)


def test_different_keys_never_pair():
    presses = KeyPresses()
    assert presses.is_new("4", "rtp", 0.0)
    assert presses.is_new("5", "info", 0.01)


@pytest.mark.parametrize("seed", range(50))
def test_codes_sent_both_ways_arrive_once(seed):
    """Any code keyed at any human pace, each digit sent both ways with up to 0.3 s between the two messengers."""
    rng = random.Random(seed)
    code = [rng.choice("0123456789*#") for _ in range(12)]
    reports, at = [], 0.0
    for digit in code:
        at += rng.uniform(0.31, 1.5)
        reports += [(at + rng.uniform(0, 0.3), "rtp", digit), (at + rng.uniform(0, 0.3), "info", digit)]
    presses = KeyPresses()
    heard = [digit for when, source, digit in sorted(reports) if presses.is_new(digit, source, when)]
    assert sorted(heard) == sorted(code), f"seed {seed}"
