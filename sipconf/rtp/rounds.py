"""Datagrams of many legs, in the order in which the floors above take them.

A round holds every slot at most once, in ascending order, so that it is a handful of array operations for all. Not
here: whose a datagram is, and what is in it.
"""

import numpy as np
from numpy.typing import NDArray


def in_rounds(slots: NDArray[np.integer], most: int) -> NDArray[np.intp]:
    """An order of positions, int (P or fewer,): rounds of ascending slots that hold every slot at most once, each
    slot's own in the order in which they came; so many rounds at the most."""
    order = np.argsort(slots, kind="stable")
    return order.take(turns(slots.take(order), most))


def turns(ascending: NDArray[np.integer], most: int) -> NDArray[np.intp]:
    """The same for slots that are in ascending order."""
    left = np.arange(len(ascending))
    rounds: list[NDArray[np.intp]] = []
    while len(rounds) < most:
        new = np.ones(len(left), bool)
        np.not_equal(ascending[1:], ascending[:-1], out=new[1:])
        if np.count_nonzero(new) == len(new):
            rounds.append(left)
            break
        rounds.append(left[new])
        again = ~new
        left, ascending = left[again], ascending[again]
    return rounds[0] if len(rounds) == 1 else np.concatenate(rounds)
