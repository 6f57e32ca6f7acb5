"""The front's half of WebRTC media: DTLS handshakes, between workers that know the checked pair and the switchboard.

Implements `protocol.Media` around Workers. What a worker tells of a pair and of DTLS ends here, what a handshake gives
goes to the worker as SecureLeg, and one that fails ends its leg; everything else passes. Datagrams come through the
worker, from the leg's checked pair only, and leave by the front's duplicate of the worker's shared socket. Not here:
DTLS itself (rtp/edge/dtls), checks and SRTP (the worker).
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from sipconf.media import protocol
from sipconf.media.protocol import Address, Command, Event, WebRtcTerms
from sipconf.media.workers import Workers

log = logging.getLogger(__name__)

PATIENCE = 10.0
"""Seconds from the moment that a pair is checked and terms are agreed on until a leg without keys has failed."""
TROUBLE_PATIENCE = 2.0
"""The same once the handshake has met with something that ends most: the peer itself may have said so, or anybody."""
TICK = 0.1
"""Seconds between two looks at the handshakes under way: for their retransmissions and their patience."""
MOST_UNDER_WAY, MOST_FROM_ONE_HOST = 256, 64
"""Handshakes at once, and those with peers at one address; the next begins when one has ended."""
MOST_EARLY = 4
"""Datagrams kept for a handshake that cannot begin yet."""
DATAGRAM_COST, ALLOWANCE, REFILL = 1024, 256 * 1024, 32 * 1024
"""Each datagram costs a leg its octets and so many more, of an allowance that is filled up by so many each second: some
250 small ones at once, 32 a second for ever. A handshake takes four, and some more on a bad network."""


class Handshake(Protocol):
    """What `rtp.edge.dtls` provides; its documentation stands there."""

    keys: tuple[str, bytes, bytes] | None
    failure: str | None
    closed: bool
    trouble: str | None

    def begin(self) -> None: ...

    def receive(self, datagram: bytes) -> None: ...

    def handle_timer(self) -> None: ...

    def take_datagrams(self) -> list[bytes]: ...

    def close(self) -> None: ...


class Loop(Protocol):
    """Of an event loop what is needed here."""

    def time(self) -> float: ...

    def call_soon(self, callback: Callable[[], None], /) -> object: ...

    def call_later(self, delay: float, callback: Callable[[], None], /) -> object: ...


@dataclass(slots=True)
class _Leg:
    """One on the shared port. deadline: of the handshake, on the loop's clock. begun_with: the host that it counts
    for while it is under way."""

    terms: WebRtcTerms | None = None
    address: Address | None = None
    handshake: Handshake | None = None
    deadline: float = 0.0
    begun_with: str | None = None
    early: list[bytes] = field(default_factory=list)
    allowance: float = ALLOWANCE
    refilled: float = 0.0


class Handshakes:
    """All of them. on_events is called whenever take_events() has news, but never from within send()."""

    def __init__(
        self,
        make_workers: Callable[[Callable[[], None]], Workers],
        make_handshake: Callable[[str, Iterable[tuple[str, str]]], Handshake],
        on_events: Callable[[], None],
        loop: Loop,
    ) -> None:
        """make_workers: given what to call when these have news. make_handshake: given our role and the peer's
        fingerprints."""
        self._workers = make_workers(self._hear)
        self._make, self._on_events, self._loop = make_handshake, on_events, loop
        self._legs: dict[int, _Leg] = {}
        self._pending: dict[int, _Leg] = {}  # pair and terms are known, keys are not
        self._under_way: Counter[str] = Counter()  # by host
        self._events: list[Event] = []
        self._ticking = False
        self.completed = self.failed = self.dropped = 0
        """Handshakes that gave keys and that did not; datagrams over a leg's allowance."""

    @property
    def restarts(self) -> int:
        """How often a worker had to be replaced."""
        return self._workers.restarts

    @property
    def heard(self) -> float:
        """When the worker that has been silent longest last said something, seconds on the loop's clock."""
        return self._workers.heard

    @property
    def capacities(self) -> list[int]:
        """Legs for which each worker has ports and open files, as it has reported."""
        return self._workers.capacities

    async def start(self) -> None:
        """Start the workers. Raises StartError when one cannot start."""
        await self._workers.start()

    async def stop(self) -> None:
        """End the workers, with every leg's association."""
        for number in list(self._legs):
            self._forget(number)
        await self._workers.stop()

    def send(self, command: Command) -> None:
        """Pass a command on, and note what it says about DTLS."""
        if isinstance(command, protocol.CloseLeg):
            self._forget(command.leg)
        elif isinstance(command, protocol.OpenLeg) and command.ice is not None:
            self._legs[command.leg] = _Leg()
        self._workers.send(command)
        if isinstance(command, protocol.ConnectLeg):
            if command.webrtc is not None:
                self._agree(command.leg, command.webrtc)
            else:
                self._forget(command.leg)  # another telephone has answered
            if self._events:
                self._loop.call_soon(self._announce)

    def take_events(self) -> list[Event]:
        """Everything that happened since the last call, in order."""
        events, self._events = self._events, []
        return events

    def together(self, leg: int, other: int) -> bool:
        """Whether two legs live in one worker."""
        return self._workers.together(leg, other)

    def move(self, leg: int, room: int) -> bool:
        """Have a leg be for another room; False where that lives in another worker."""
        return self._workers.move(leg, room)

    # --- what the two sides say --------------------------------------------------------------------------------------
    def _hear(self) -> None:
        for event in self._workers.take_events():
            if isinstance(event, protocol.PairChosen):
                self._choose(event.leg, event.address)
            elif isinstance(event, protocol.DtlsReceived):
                self._receive(event.leg, event.data)
            else:
                if isinstance(event, protocol.LegFailed):
                    self._forget(event.leg)
                self._events.append(event)
        self._announce()

    def _announce(self) -> None:
        if self._events:
            self._on_events()

    def _agree(self, number: int, terms: WebRtcTerms) -> None:
        """Terms are new: another role or another fingerprint asks for another association, new ICE credentials alone do
        not (RFC 8842 section 3.1)."""
        leg = self._legs.setdefault(number, _Leg())
        before, leg.terms = leg.terms, terms
        if before is not None and _association(before) == _association(terms):
            return
        self._end_handshake(leg)
        self._pending.pop(number, None)
        leg.handshake = None
        self._await_keys(number, leg)

    def _choose(self, number: int, address: Address) -> None:
        """A pair is checked, the first or another one."""
        leg = self._legs.get(number)
        if leg is not None:
            leg.address = address
            if leg.handshake is None:
                self._await_keys(number, leg)

    def _await_keys(self, number: int, leg: _Leg) -> None:
        """From now on the leg's patience runs, as soon as both are known."""
        if leg.terms is None or leg.address is None or number in self._pending:
            return
        self._pending[number] = leg
        leg.deadline = self._loop.time() + PATIENCE
        self._begin(number, leg)
        if not self._ticking:
            self._ticking = True
            self._loop.call_later(TICK, self._tick)

    def _receive(self, number: int, datagram: bytes) -> None:
        leg = self._legs.get(number)
        if leg is None or not self._affords(leg, datagram):
            self.dropped += 1
            return
        if leg.handshake is None:
            leg.early = [*leg.early[1 - MOST_EARLY :], datagram]
            self._begin(number, leg)
        else:
            self._work(number, leg, lambda handshake: handshake.receive(datagram))

    def _affords(self, leg: _Leg, datagram: bytes) -> bool:
        """Take a datagram's price from the leg's allowance."""
        now = self._loop.time()
        leg.allowance = min(ALLOWANCE, leg.allowance + (now - leg.refilled) * REFILL)
        leg.refilled = now
        cost = DATAGRAM_COST + len(datagram)
        if cost > leg.allowance:
            return False
        leg.allowance -= cost
        return True

    # --- handshakes --------------------------------------------------------------------------------------------------
    def _begin(self, number: int, leg: _Leg) -> None:
        """Begin a leg's handshake where it is its turn: a client at once, a server with the first word of the peer."""
        if leg.terms is None or leg.address is None or number not in self._pending:
            return
        host = leg.address[0]
        if self._under_way.total() >= MOST_UNDER_WAY or self._under_way[host] >= MOST_FROM_ONE_HOST:
            return
        if leg.terms.dtls_role == "server" and not leg.early:
            return
        self._under_way[host] += 1
        leg.begun_with = host
        leg.handshake = self._make(leg.terms.dtls_role, leg.terms.fingerprints)
        early, leg.early = leg.early, []

        def start(handshake: Handshake) -> None:
            handshake.begin()
            for datagram in early:
                handshake.receive(datagram)

        self._work(number, leg, start)

    def _work(self, number: int, leg: _Leg, step: Callable[[Handshake], None]) -> None:
        """Let a handshake take a step and follow it. It reads what anybody sends: a fault of ours ends this leg and no
        other."""
        assert leg.handshake is not None
        try:
            step(leg.handshake)
        except Exception:
            log.exception("a fault of this program, met by a DTLS handshake")
            self._fail(number, "a fault of this program")
        else:
            self._follow(number, leg)

    def _follow(self, number: int, leg: _Leg) -> None:
        """Carry out what a handshake has come to."""
        handshake, address = leg.handshake, leg.address
        if handshake is None or address is None:
            return
        for datagram in handshake.take_datagrams():
            self._workers.reply(number, address, datagram)  # one that is not sent is as good as lost on the way
        if handshake.failure is not None:
            self._fail(number, handshake.failure)
        elif handshake.keys is not None and number in self._pending:
            self._end_handshake(leg)
            del self._pending[number]
            self.completed += 1
            self._workers.send(protocol.SecureLeg(number, protocol.SrtpKeys(*handshake.keys)))
        if handshake.closed:
            self._fail(number, "the peer has ended its DTLS association", by_peer=True)

    def _end_handshake(self, leg: _Leg) -> None:
        """It is not under way any more."""
        if leg.begun_with is not None:
            self._under_way[leg.begun_with] -= 1
            self._under_way += Counter()  # without the hosts that have none
            leg.begun_with = None

    def _fail(self, number: int, reason: str, *, by_peer: bool = False) -> None:
        """Without keys a leg is of no use. The worker does not know yet, the switchboard sends no CloseLeg any more."""
        if number not in self._legs:
            return
        self.failed += number in self._pending
        self._forget(number)
        self._workers.send(protocol.CloseLeg(number))
        self._events.append(protocol.LegFailed(number, reason, by_peer))

    def _forget(self, number: int) -> None:
        """A leg is gone, or is none of WebRTC; its peer is told."""
        leg = self._legs.pop(number, None)
        self._pending.pop(number, None)
        if leg is None:
            return
        self._end_handshake(leg)
        if leg.handshake is not None and leg.address is not None:
            leg.handshake.close()
            for datagram in leg.handshake.take_datagrams():
                self._workers.reply(number, leg.address, datagram)

    def _tick(self) -> None:
        """Look at everyone who has no keys yet."""
        now = self._loop.time()
        for number, leg in list(self._pending.items()):
            trouble = leg.handshake.trouble if leg.handshake is not None else None
            if trouble is not None:
                leg.deadline = min(leg.deadline, now + TROUBLE_PATIENCE)
            if now >= leg.deadline:
                self._fail(number, trouble or "the peer has not completed its DTLS handshake in time")
            elif leg.handshake is None:
                self._begin(number, leg)
            else:
                self._work(number, leg, lambda handshake: handshake.handle_timer())
        self._ticking = bool(self._pending)
        if self._ticking:
            self._loop.call_later(TICK, self._tick)
        self._announce()


def _association(terms: WebRtcTerms) -> tuple[str, frozenset[tuple[str, str]]]:
    """What a DTLS association stands on."""
    return terms.dtls_role, frozenset((algorithm.lower(), value.upper()) for algorithm, value in terms.fingerprints)
