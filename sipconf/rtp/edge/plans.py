"""What has been prepared for sends that come again in every tick with the same objects."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from sipconf.rtp.transmit import Packets

_KEPT = 8
"""One for each bank, and some more for those that are changing."""
Prepared = TypeVar("Prepared")


@dataclass(slots=True, eq=False)
class _Plan(Generic[Prepared]):
    slots: Sequence[int]
    packets: Sequence[memoryview]
    prepared: Prepared


class Plans(Generic[Prepared]):
    """Those of last use."""

    def __init__(self) -> None:
        self._plans: list[_Plan[Prepared]] = []

    def clear(self) -> None:
        """Who sends what has changed."""
        self._plans.clear()

    def find(
        self, slots: Sequence[int], packets: Sequence[memoryview], prepare: Callable[[], Prepared]
    ) -> Prepared:
        """What was prepared for the same two objects, whose buffers may have been filled anew; or what is now."""
        for known in self._plans:
            if known.slots is slots and known.packets is packets:
                if known is not self._plans[-1]:
                    self._plans.remove(known)
                    self._plans.append(known)
                return known.prepared
        self._plans = [*self._plans[1 - _KEPT :], _Plan(slots, packets, prepare())]
        return self._plans[-1].prepared


def some_of(packets: Sequence[memoryview], places: Sequence[int]) -> Sequence[memoryview]:
    """Those at these places."""
    if isinstance(packets, Packets):
        return packets.of(places)
    return [packets[place] for place in places]
