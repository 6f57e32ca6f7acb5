"""Packets in the rounds in which jitter buffers take them."""

from collections.abc import Iterable, Iterator
from typing import Any

Packet = tuple[Any, ...]
"""Its row first."""


def rounds(packets: Iterable[Packet]) -> Iterator[list[Packet]]:
    """Split into lists in which every row is at most once, each row's packets in order."""
    waiting = list(packets)
    while waiting:
        seen, this, rest = set(), [], []
        for one in waiting:
            (rest if one[0] in seen else this).append(one)
            seen.add(one[0])
        yield this
        waiting = rest
