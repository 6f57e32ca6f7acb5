"""The simulated network under a plane's RTP ports: datagrams between addresses, lost, repeated, delayed by a seed.

It is the plane's Transport (media.transport) without sockets; telephones and strangers use `throw` and get what comes
for them from `inboxes`.
"""

import heapq
import itertools
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from sipconf.errors import SipconfError
from sipconf.rtp.packet import ROW, Drained
from sipconf.rtp.streams import Streams, Verdict
from sipconf.sip.flow import Address
from tests.sim.network import CLEAR, Weather

FIRST_PORT, SHARED_PORT = 10_000, 9_000


class NoPorts(SipconfError):
    """The range is used up."""


class RtpWire:
    """host: the plane's own address. pairs: how many legs have room. inboxes: (arrival, source, datagram) by target."""

    def __init__(self, host: str, seed: int, weather: Weather = CLEAR, pairs: int = 1000) -> None:
        self.host, self.weather = host, weather
        self.streams = Streams()
        self.inboxes: dict[Address, list[tuple[float, Address, bytes]]] = defaultdict(list)
        self._pairs = pairs
        self._rng = random.Random(seed)
        self._order = itertools.count()
        self._on_the_way: list[tuple[float, int, Address, Address, bytes]] = []
        self._slot_of_port: dict[int, int] = {}
        self._port_of_slot: dict[int, int] = {}
        self._peers: dict[int, Address] = {}
        self._rtcp_peers: dict[int, Address] = {}
        self._waiting: list[tuple[int, bytes]] = []
        self._rtcp_waiting: list[tuple[int, bytes]] = []
        self._now = 0.0

    # --- what telephones and strangers do ----------------------------------------------------------------------------
    def throw(self, source: Address, target: Address, data: bytes, now: float) -> None:
        """Put a datagram on its way."""
        weather, chance = self.weather, self._rng.random
        copies = 0 if chance() < weather.loss else 1
        copies += chance() < weather.duplicate
        for _ in range(copies):
            arrival = now + weather.delay + chance() * weather.jitter
            heapq.heappush(self._on_the_way, (arrival, next(self._order), source, target, data))

    def carry(self, now: float) -> None:
        """Deliver what has arrived by now."""
        while self._on_the_way and self._on_the_way[0][0] <= now:
            arrival, _, source, target, data = heapq.heappop(self._on_the_way)
            if target[0] == self.host:
                self._arrive(arrival, source, target[1], data)
            else:
                self.inboxes[target].append((arrival, source, data))

    def _arrive(self, arrival: float, source: Address, port: int, data: bytes) -> None:
        slot = self._slot_of_port.get(port & ~1)
        if slot is None:
            return
        if port & 1:
            if self.streams.rtcp_source_of(slot, source, data):
                self._rtcp_waiting.append((slot, data))
            return
        verdict = self.streams.source_of(slot, source, data, arrival)
        if verdict is Verdict.LATCH:
            self._peers[slot] = source
        if verdict is not Verdict.DROP:
            self._waiting.append((slot, data))

    @property
    def in_use(self) -> int:
        """Ports that are bound."""
        return len(self._slot_of_port)

    # --- the plane's transport ---------------------------------------------------------------------------------------
    def open(self, slot: int, address: str) -> int:
        for port in range(FIRST_PORT, FIRST_PORT + 2 * self._pairs, 2):
            if port not in self._slot_of_port:
                self._slot_of_port[port], self._port_of_slot[slot] = slot, port
                return port
        raise NoPorts("all RTP ports are in use")

    def connect(
        self, slot: int, remote: Address | None, remote_rtcp: Address | None, rtcp_mux: bool, restart: bool
    ) -> None:
        tables = [(self._rtcp_peers, remote if rtcp_mux else remote_rtcp)]
        if restart or self.streams.latched(slot) is None:
            tables.append((self._peers, remote))
        for table, peer in tables:
            table.pop(slot, None)
            if peer is not None:
                table[slot] = peer

    def open_checked(self, slot: int, ufrag: str, password: str, now: float) -> int:
        """A port for browsers, of whom none is simulated: no check ever comes."""
        return SHARED_PORT

    def choose(self, slot: int, ufrag: str, password: str, remote_ufrag: str, now: float) -> None:
        self._leave_ports(slot)

    def leave_shared(self, slot: int) -> None: ...

    def secure(self, slot: int, profile: str, rx: bytes, tx: bytes) -> None:
        """All stays in the clear here: ciphers are tested over real sockets."""

    def take_pairs(self) -> list[tuple[int, Address]]:
        return []

    def take_handshakes(self) -> list[tuple[int, bytes]]:
        return []

    def take_lost(self, now: float) -> list[int]:
        return []

    def close(self, slot: int) -> None:
        self._leave_ports(slot)

    def _leave_ports(self, slot: int) -> None:
        if slot not in self._port_of_slot:
            return
        del self._slot_of_port[self._port_of_slot.pop(slot)]
        self._peers.pop(slot, None)
        self._rtcp_peers.pop(slot, None)
        self._waiting = [each for each in self._waiting if each[0] != slot]

    def counts(self) -> dict[str, int]:
        return {}

    def close_all(self) -> None:
        assert not self._slot_of_port, "the plane forgot a leg"

    def drain(self, now: float) -> Iterator[Drained]:
        self._now = now
        self.carry(now)
        taken, self._waiting = self._waiting, []
        block = np.zeros((len(taken), ROW), np.uint8)
        for row, (_, data) in enumerate(taken):
            block[row, : len(data)] = np.frombuffer(data, np.uint8)
        lengths = np.array([len(data) for _, data in taken], np.int64)
        yield Drained(np.array([slot for slot, _ in taken], np.int64), block, lengths)

    def drain_rtcp(self, now: float) -> list[tuple[int, bytes]]:
        taken, self._rtcp_waiting = self._rtcp_waiting, []
        return taken

    def send(self, slots: Sequence[int], packets: Sequence[memoryview]) -> None:
        for slot, packet in zip(slots, packets, strict=True):
            if slot in self._peers:
                self.throw((self.host, self._port_of_slot[slot]), self._peers[slot], bytes(packet), self._now)

    def send_rtcp(self, slot: int, data: bytes) -> None:
        if slot in self._rtcp_peers:
            source = (self.host, self._port_of_slot[slot] + 1)
            self.throw(source, self._rtcp_peers[slot], data, self._now)
