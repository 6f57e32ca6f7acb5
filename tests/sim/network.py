"""A simulated network with a virtual clock: datagrams between endpoints that have the four doors.

Loss, duplication and jitter (and so reordering) come from one seed; a failure inside `with network:` carries it.
"""

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from sipconf.sip.events import Send
from sipconf.sip.flow import Address, Flow


class Endpoint(Protocol):
    """The four doors."""

    def receive(self, data: bytes, flow: Flow, now: float) -> None: ...
    def handle_timer(self, now: float) -> None: ...
    def next_timer(self) -> float | None: ...
    def take_outputs(self) -> list[Any]: ...


@dataclass(frozen=True, slots=True)
class Weather:
    """loss, duplicate: probabilities per datagram; delay: seconds of every datagram, plus up to jitter seconds."""

    loss: float = 0.0
    duplicate: float = 0.0
    delay: float = 0.01
    jitter: float = 0.0


CLEAR = Weather()
STORM = Weather(loss=0.15, duplicate=0.1, delay=0.01, jitter=0.3)


class Network:
    """Delivers Send outputs and hands every other output to its endpoint's owner."""

    def __init__(self, seed: int, weather: Weather = CLEAR, start: float = 1000.0) -> None:
        self.seed = seed
        self.now = start
        self.weather = weather
        self.sent: list[tuple[float, Address, Address, bytes]] = []
        self._rng = random.Random(seed)
        self._endpoints: dict[Address, Endpoint] = {}
        self._owners: dict[Address, Callable[[Any, float], None] | None] = {}
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def __enter__(self) -> "Network":
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            error.add_note(f"seed {self.seed}, at {self.now:.3f} s, {self.weather}")

    def attach(
        self, address: Address, endpoint: Endpoint, owner: Callable[[Any, float], None] | None = None
    ) -> None:
        """Put an endpoint at an address. owner is told its outputs that are no bytes."""
        self._endpoints[address] = endpoint
        self._owners[address] = owner

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Do something at a virtual time."""
        heapq.heappush(self._due, (when, next(self._order), action))

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something later."""
        self.at(self.now + seconds, action)

    def run(self, seconds: float) -> None:
        """Let virtual time pass."""
        end = self.now + seconds
        self._flush()
        for _ in range(1_000_000):
            timers = {address: endpoint.next_timer() for address, endpoint in self._endpoints.items()}
            timer = min((when for when in timers.values() if when is not None), default=None)
            event = self._due[0][0] if self._due else None
            when = min((each for each in (timer, event) if each is not None), default=None)
            if when is None or when > end:
                self.now = end
                return
            self.now = max(self.now, when)
            if event is not None and event <= self.now:
                heapq.heappop(self._due)[2]()
            else:
                for address, due in timers.items():
                    if due is not None and due <= self.now:
                        self._endpoints[address].handle_timer(self.now)
            self._flush()
        raise AssertionError(f"the simulation does not come to rest, seed {self.seed}")

    def _flush(self) -> None:
        busy = True
        while busy:
            busy = False
            for address, endpoint in self._endpoints.items():
                for output in endpoint.take_outputs():
                    busy = True
                    owner = self._owners[address]
                    if isinstance(output, Send):
                        self._carry(output)
                    elif owner is not None:
                        owner(output, self.now)

    def _carry(self, send: Send) -> None:
        source, target = send.flow.local, send.flow.remote
        self.sent.append((self.now, source, target, send.data))
        copies = 0 if self._rng.random() < self.weather.loss else 1
        copies += self._rng.random() < self.weather.duplicate
        arrived = Flow(send.flow.transport, source, target, send.flow.connection)
        for _ in range(copies):
            delay = self.weather.delay + self._rng.random() * self.weather.jitter
            self.after(delay, lambda: self._deliver(target, send.data, arrived))

    def _deliver(self, target: Address, data: bytes, flow: Flow) -> None:
        endpoint = self._endpoints.get(target)
        if endpoint is not None:
            endpoint.receive(data, flow, self.now)
