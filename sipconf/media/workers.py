"""Several media workers as one plane: each leg's commands go to the worker where its room lives.

Implements `protocol.Media` over any number of keepers of one worker each, so that the switchboard cannot tell. A leg
for which there is no place fails at once, as one for which there is no port does. Not here: the life of a worker
(supervisor) and which worker it is to be (placement).
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from sipconf.media import protocol
from sipconf.media.placement import Placement
from sipconf.media.protocol import Address, Command, Event
from sipconf.media.supervisor import MediaSupervisor, WorkerSettings

NO_PLACE = "the media worker is at its limit"


class Keeper(protocol.Media, Protocol):
    """Keeps one worker. up: one runs and has reported. restarts: how many ended by themselves. heard: seconds on the
    loop's clock when one last said something."""

    up: bool
    restarts: int
    heard: float

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def reply(self, address: Address, datagram: bytes) -> bool: ...


class Workers:
    """All workers. on_events is called whenever take_events() has news, but never from within send(): later is how to
    call something soon."""

    def __init__(
        self,
        make: Sequence[Callable[[Callable[[], None]], Keeper]],
        on_events: Callable[[], None],
        later: Callable[[Callable[[], None]], object],
    ) -> None:
        """make: for each worker what makes its keeper, given what to call when that has news."""
        self._placement = Placement(len(make))
        self._on_events, self._later = on_events, later
        self._events: list[Event] = []
        self._lost = [0] * len(make)
        self.keepers = [maker(partial(self._hear, number)) for number, maker in enumerate(make)]

    @property
    def restarts(self) -> int:
        """How often a worker had to be replaced."""
        return sum(keeper.restarts for keeper in self.keepers)

    @property
    def heard(self) -> float:
        """When the one that has been silent longest last said something, seconds on the loop's clock."""
        return min(keeper.heard for keeper in self.keepers)

    @property
    def capacities(self) -> list[int]:
        """Legs for which each worker has ports and open files, as it has reported."""
        return self._placement.capacities

    async def start(self) -> None:
        """Start all and wait for their first reports. Raises StartError when one cannot start."""
        for failure in await asyncio.gather(*(keeper.start() for keeper in self.keepers), return_exceptions=True):
            if failure is not None:
                raise failure

    async def stop(self) -> None:
        """End all."""
        await asyncio.gather(*(keeper.stop() for keeper in self.keepers))

    def send(self, command: Command) -> None:
        """Pass a command to the worker that it concerns. One for a leg or a room that lives nowhere is left out: the
        leg's LegFailed is on the way, of the room nobody is left."""
        if isinstance(command, protocol.OpenLeg):
            worker = self._placement.open(command.leg, command.room, [keeper.up for keeper in self.keepers])
            if worker is None:
                self._events.append(protocol.LegFailed(command.leg, NO_PLACE))
                self._later(self._announce)
        elif isinstance(command, protocol.PlayToRoom):
            worker = self._placement.home(command.room)
        else:
            worker = self._placement.worker_of(command.leg)
            if isinstance(command, protocol.PlaceLeg) and command.room is not None:
                self._placement.move(command.leg, command.room)
        if worker is not None:
            self.keepers[worker].send(command)
        if isinstance(command, protocol.CloseLeg):
            self._placement.close(command.leg)

    def reply(self, leg: int, address: Address, datagram: bytes) -> bool:
        """Send a datagram from the shared port of the worker where a leg lives; False where that cannot be now."""
        worker = self._placement.worker_of(leg)
        return worker is not None and self.keepers[worker].reply(address, datagram)

    def take_events(self) -> list[Event]:
        """Everything that happened since the last call, in order."""
        events, self._events = self._events, []
        return events

    def together(self, leg: int, other: int) -> bool:
        """Whether two legs live in one worker."""
        return self._placement.worker_of(leg) == self._placement.worker_of(other)

    def move(self, leg: int, room: int) -> bool:
        """Have a leg be for another room; False where that lives in another worker."""
        return self._placement.move(leg, room)

    def _hear(self, number: int) -> None:
        keeper = self.keepers[number]
        for event in keeper.take_events():
            if isinstance(event, protocol.PlaneReport):
                self._placement.report(number, event)
                event = replace(event, worker=number)
            elif isinstance(event, protocol.LegFailed):
                self._placement.close(event.leg)
            self._events.append(event)
        if keeper.restarts != self._lost[number]:
            self._lost[number] = keeper.restarts
            self._placement.lost(number)
        self._announce()

    def _announce(self) -> None:
        if self._events:
            self._on_events()


def shares(settings: WorkerSettings, workers: int) -> list[WorkerSettings]:
    """The settings of each of so many workers (fewer where there are not as many pairs of ports): the same, but for a
    share of the ports."""
    first = settings.first_port + settings.first_port % 2
    pairs = (settings.last_port + 1 - first) // 2
    count = max(1, min(workers, pairs))
    cuts = [first + 2 * (pairs * number // count) for number in range(1, count)]
    firsts, lasts = [settings.first_port, *cuts], [*(cut - 1 for cut in cuts), settings.last_port]
    return [replace(settings, first_port=one, last_port=other) for one, other in zip(firsts, lasts, strict=True)]


def processes(settings: WorkerSettings, workers: int, on_events: Callable[[], None]) -> Workers:
    """As many worker processes as that, not started yet."""
    makers = [partial(MediaSupervisor, share) for share in shares(settings, workers)]
    return Workers(makers, on_events, asyncio.get_running_loop().call_soon)
