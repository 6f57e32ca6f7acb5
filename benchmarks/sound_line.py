"""One telephone talks to another through a real media plane, over a network that loses, delays and runs by another
clock.

Everything is counted, nothing is timed: a tick of 20 ms is a call. Not here: what the sound is worth (sound_measures).
"""

import heapq
import random
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sipconf.media import protocol
from sipconf.media.plane import TICK_SECONDS, MediaPlane, PlaneSettings
from sipconf.media.protocol import Address
from sipconf.mixer.codecs.catalogue import codec
from sipconf.mixer.frame import Pcm
from sipconf.mixer.prompts import ClipLibrary
from sipconf.rtp.packet import ROW, Drained
from sipconf.rtp.streams import Streams, Verdict

RATE, FRAME = 8000, 160
PCMU = protocol.RtpFormat("PCMU", RATE, 0)
TALKER, LISTENER, ROOM = 1, 2, 1
START = 100.0
OFFSET = 0.013
"""Seconds from a tick to the talker's first packet: neither just before nor just after one."""
TAIL_S = 1.0


@dataclass(frozen=True, slots=True)
class Conditions:
    """loss: of all packets, 0 to 1, in runs of so many. jitter: seconds, uniform. skew: how much faster the talker's
    clock runs."""

    loss: float = 0.0
    burst: int = 1
    jitter: float = 0.0
    skew: float = 0.0


@dataclass(frozen=True, slots=True)
class Heard:
    """sound: what the listener was sent, float32 (samples,). begun: seconds from the talker's first packet to the
    sending of its first sample. lost: bool by packet of the talker."""

    sound: Pcm
    begun: float
    lost: np.ndarray


class Wire:
    """The plane's Transport: packets are handed over when they are due, what goes to the listener is kept."""

    def __init__(self) -> None:
        self.streams = Streams()
        self.on_the_way: list[tuple[float, int, int, bytes]] = []
        self.sent: list[tuple[float, int, bytes]] = []
        self._now = 0.0

    def open(self, slot: int, address: str) -> int:
        return 10_000 + 2 * slot

    def connect(
        self, slot: int, remote: Address | None, remote_rtcp: Address | None, rtcp_mux: bool, restart: bool
    ) -> None:
        pass

    def close(self, slot: int) -> None:
        pass

    def counts(self) -> dict[str, int]:
        return {}

    def close_all(self) -> None:
        pass

    def drain(self, now: float) -> Iterator[Drained]:
        self._now = now
        taken = []
        while self.on_the_way and self.on_the_way[0][0] <= now:
            arrival, _, slot, data = heapq.heappop(self.on_the_way)
            if self.streams.source_of(slot, address_of(slot), data, arrival) is not Verdict.DROP:
                taken.append((slot, data))
        block = np.zeros((len(taken), ROW), np.uint8)
        for row, (_, data) in enumerate(taken):
            block[row, : len(data)] = np.frombuffer(data, np.uint8)
        lengths = np.array([len(data) for _, data in taken], np.int64)
        yield Drained(np.array([slot for slot, _ in taken], np.int64), block, lengths)

    def drain_rtcp(self, now: float) -> list[tuple[int, bytes]]:
        return []

    def send(self, slots: Sequence[int], packets: Sequence[memoryview]) -> None:
        self.sent += [(self._now, slot, bytes(packet)) for slot, packet in zip(slots, packets, strict=True)]

    def send_rtcp(self, slot: int, data: bytes) -> None:
        pass


def address_of(slot: int) -> Address:
    return f"10.0.0.{slot + 1}", 4000


def losses(packets: int, loss: float, burst: int, rng: random.Random) -> np.ndarray:
    """Which packets get lost, bool (packets,): just that share of them, in runs of `burst` at random places."""
    lost = np.zeros(packets, bool)
    runs = round(loss * packets / burst)
    for number, place in enumerate(sorted(rng.sample(range(packets - runs * (burst - 1)), runs))):
        begin = place + number * (burst - 1)
        lost[begin : begin + burst] = True
    return lost


def plane_of_two(wire: Wire, seed: int) -> MediaPlane:
    """The talker in slot 0 and the listener in slot 1, in one room."""
    plane = MediaPlane(wire, wire.streams, ClipLibrary({}), PlaneSettings(silence_timeout=1e9), random.Random(seed))
    for slot, leg in enumerate((TALKER, LISTENER)):
        host, port = address_of(slot)
        plane.send(protocol.OpenLeg(leg, "0.0.0.0", f"leg{leg}@sound"))
        plane.send(protocol.ConnectLeg(
            leg, remote=(host, port), remote_rtcp=(host, port + 1), signalling_host=host, rx_formats=(PCMU,),
            tx_format=PCMU, telephone_event=101, rtcp_mux=False, direction="sendrecv",
        ))  # fmt: skip
        plane.send(protocol.PlaceLeg(leg, ROOM))
    return plane


def call(speech: Pcm, conditions: Conditions, seed: int) -> Heard:
    """What the listener hears of speech, float32 (samples,) at RATE. The same seed loses the same packets, whatever the
    jitter and the skew."""
    law = codec("PCMU", RATE)
    frames = speech[: len(speech) // FRAME * FRAME].reshape(-1, FRAME)
    payloads = np.empty((len(frames), FRAME), np.uint8)
    law.encode(np.ascontiguousarray(frames, np.float32), payloads)
    lost = losses(len(frames), conditions.loss, conditions.burst, random.Random(seed))
    delays = random.Random(seed + 1)
    wire = Wire()
    plane = plane_of_two(wire, seed)
    plane.tick(START)
    first = START + OFFSET
    for number, payload in enumerate(payloads):
        arrival = first + number * TICK_SECONDS / (1 + conditions.skew) + delays.uniform(0, conditions.jitter)
        head = struct.pack("!BBHII", 0x80, 0, number & 0xFFFF, number * FRAME, 0x7A1E)
        if not lost[number]:
            heapq.heappush(wire.on_the_way, (arrival, number, 0, head + payload.tobytes()))
    for tick in range(1, len(frames) + int(TAIL_S / TICK_SECONDS)):
        plane.tick(START + tick * TICK_SECONDS)
    mine = [(now, data) for now, slot, data in wire.sent if slot == 1]
    codes = np.frombuffer(b"".join(data[12:] for _, data in mine), np.uint8).reshape(-1, FRAME)
    sound = np.empty(codes.shape, np.float32)
    law.decode(codes, sound)
    return Heard(sound.ravel(), mine[0][0] - first, lost)
