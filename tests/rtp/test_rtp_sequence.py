"""Sequence columns against RFC 3550 appendix A.1 written out per packet."""

import random

import numpy as np
import pytest

from sipconf.rtp.sequence import HISTORY, MAX_DROPOUT, MAX_MISORDER, SequenceColumns


class PlainSequence:
    def __init__(self, first):
        self.lost_before = self.duplicated = 0
        self.begin(first)

    def begin(self, first):
        self.first = self.highest = first
        self.seen, self.received, self.elsewhere, self.doubled = set(), 0, None, 0

    def lost(self):
        span = self.highest - self.first + 1 if self.received else 0
        return self.lost_before + max(span - (self.received - self.doubled), 0)

    def take(self, number):
        ahead = (number - self.highest) % 65536
        ahead -= 65536 if ahead >= 32768 else 0
        restarted = False
        if ahead >= MAX_DROPOUT or ahead <= -MAX_MISORDER:
            if number != self.elsewhere:
                self.elsewhere = (number + 1) % 65536
                return False, False
            self.lost_before = self.lost()
            self.begin(number)
            ahead, restarted = 0, True
        place = self.highest + ahead
        self.highest = max(self.highest, place)
        self.received += 1
        self.elsewhere = None
        twice = place in self.seen and place > self.highest - HISTORY
        self.seen.add(place)
        self.doubled += twice
        self.duplicated += twice
        return not twice, restarted


@pytest.mark.parametrize("seed", range(6))
def test_columns_count_as_the_plain_loop_does(seed):
    rng = random.Random(seed)
    legs = 40
    columns = SequenceColumns(legs)
    numbers = [rng.randrange(65536) for _ in range(legs)]
    plain = [PlainSequence(number) for number in numbers]
    columns.begin(np.arange(legs), np.array(numbers))
    for step in range(400):
        chosen = np.array(sorted(rng.sample(range(legs), rng.randrange(1, legs))))
        sent = []
        for leg in chosen.tolist():
            kind = rng.random()
            if kind < 0.75:
                numbers[leg] += 1
            elif kind < 0.85:
                numbers[leg] += rng.randrange(2, 80)
            elif kind < 0.87:
                numbers[leg] = rng.randrange(65536)
            back = rng.randrange(70) if rng.random() < 0.15 else 0
            sent.append((numbers[leg] - back) % 65536)
        taken, restarted = columns.advance(chosen, np.array(sent, np.int64))
        for i, leg in enumerate(chosen.tolist()):
            assert (taken[i], restarted[i]) == plain[leg].take(sent[i]), f"seed {seed} step {step} leg {leg}"
    everyone = np.arange(legs)
    assert columns.lost(everyone).tolist() == [one.lost() for one in plain]
    assert columns.duplicated.tolist() == [one.duplicated for one in plain]
    assert columns.received.tolist() == [one.received for one in plain]
    assert (columns.highest - columns.first).tolist() == [one.highest - one.first for one in plain]


def test_a_late_packet_is_not_lost_and_a_duplicate_makes_up_for_nothing():
    columns = SequenceColumns(1)
    leg = np.array([0])
    columns.begin(0, 65534)
    for number in (65534, 65535, 1, 1, 2):
        columns.advance(leg, np.array([number]))
    assert columns.lost(0) == 1 and columns.duplicated[0] == 1 and columns.expected(0) == 5
    columns.advance(leg, np.array([0]))
    assert columns.lost(0) == 0 and columns.highest[0] == 65538
    columns.grow(8)
    columns.clear(0)
    assert columns.lost(0) == 0 and len(columns.first) == 8
