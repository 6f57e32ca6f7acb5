"""Datagrams of many legs, in the order in which the floors above take them.

A round holds every slot at most once, in ascending order, so that it is a handful of array operations for all. Not
here: whose a datagram is, and what is in it.
"""

import numpy as np
from numpy.typing import NDArray


def in_rounds(slots: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    """An order of positions, int (P or fewer,): rounds of ascending slots that hold every slot at most once, each
    slot's own in the order in which they came; so many rounds at the most."""
    order = np.argsort(slots, kind="stable")
    rounds: list[NDArray[np.intp]] = []
    while len(order) and len(rounds) < most:
        ascending = slots.take(order)
        again = np.zeros(len(order), bool)
        np.equal(ascending[1:], ascending[:-1], out=again[1:])
        if not np.count_nonzero(again):
            rounds.append(order)
            break
        rounds.append(order[~again])
        order = order[again]
    return rounds[0] if len(rounds) == 1 else np.concatenate(rounds or [order])
