"""A simulated network under a plane (seeded loss, reordering, duplication) and telephones made of raw bytes."""

import heapq
import random
import struct
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from sipconf.errors import SipconfError
from sipconf.media import protocol
from sipconf.media.plane import TICK_SECONDS, MediaPlane, PlaneSettings
from sipconf.media.protocol import Address
from sipconf.mixer.codecs.opus import OpusSettings
from sipconf.mixer.prompts import ClipLibrary
from sipconf.rtp.packet import ROW, Drained
from sipconf.rtp.streams import Streams, Verdict
from tests.sim.voice import loudness

PCMU = protocol.RtpFormat("PCMU", 8000, 0)
_BEEP = (6000 * np.sin(2 * np.pi * 2500 * np.arange(8000) / 16000)).astype(np.float32)
CLIPS = ClipLibrary({"beep": (16000, _BEEP), "short-beep": (16000, _BEEP[:1600])})
"""A tone of 2500 Hz for half a second, and for a tenth."""
CLEAR = 800.0
"""A tone of a telephone that is heard is louder than this (they send 4000 * 0.6 on average)."""
NOTHING = 60.0


class NoPorts(SipconfError):
    pass


@dataclass
class Network:
    """The plane's Transport without sockets. Conditions are per datagram towards the plane."""

    rng: random.Random
    loss: float = 0.0
    duplicate: float = 0.0
    jitter: float = 0.0  # seconds, uniform: reorders what is sent closer together than this
    first_port: int = 10_000
    pairs: int = 1000
    streams: Streams = field(default_factory=Streams)
    now: float = 0.0

    def __post_init__(self) -> None:
        self.slot_of_port: dict[int, int] = {}
        self.port_of_slot: dict[int, int] = {}
        self.peer: dict[int, Address] = {}
        self.peer_rtcp: dict[int, Address] = {}
        self.on_the_way: list[tuple[float, int, int, Address, bytes]] = []
        self.rtcp_waiting: list[tuple[int, bytes]] = []
        self.outbox: dict[Address, list[tuple[float, bytes]]] = defaultdict(list)
        self.count = 0

    # what a telephone does
    def throw(self, source: Address, port: int, data: bytes, now: float) -> None:
        for _ in range(2 if self.rng.random() < self.duplicate else 1):
            if self.rng.random() < self.loss:
                continue
            self.count += 1
            arrival = now + self.rng.uniform(0, self.jitter)
            heapq.heappush(self.on_the_way, (arrival, self.count, port, source, data))

    # what the plane does
    def open(self, slot: int, address: str) -> int:
        port = next((p for p in range(self.first_port, self.first_port + 2 * self.pairs, 2)
                     if p not in self.slot_of_port), None)  # fmt: skip
        if port is None:
            raise NoPorts("all RTP ports are in use")
        self.slot_of_port[port], self.port_of_slot[slot] = slot, port
        return port

    def connect(
        self, slot: int, remote: Address | None, remote_rtcp: Address | None, rtcp_mux: bool, restart: bool
    ) -> None:
        self.peer_rtcp[slot] = remote if rtcp_mux else remote_rtcp
        if not restart and self.streams.latched(slot) is not None:
            return
        if remote is not None:
            self.peer[slot] = remote
        else:
            self.peer.pop(slot, None)

    def close(self, slot: int) -> None:
        del self.slot_of_port[self.port_of_slot.pop(slot)]
        self.peer.pop(slot, None)

    def counts(self) -> dict[str, int]:
        return {}

    def close_all(self) -> None:
        assert not self.port_of_slot, "the plane forgot a leg"

    def drain(self, now: float) -> Iterator[Drained]:
        self.now = now
        taken: list[tuple[int, bytes]] = []
        while self.on_the_way and self.on_the_way[0][0] <= now:
            arrival, _, port, source, data = heapq.heappop(self.on_the_way)
            slot = self.slot_of_port.get(port & ~1)
            if slot is None:
                continue
            if port & 1:
                if self.streams.rtcp_source_of(slot, source, data):
                    self.rtcp_waiting.append((slot, data))
                continue
            verdict = self.streams.source_of(slot, source, data, arrival)
            if verdict is Verdict.LATCH:
                self.peer[slot] = source
            if verdict is not Verdict.DROP:
                taken.append((slot, data))
        block = np.zeros((len(taken), ROW), np.uint8)
        for row, (_, data) in enumerate(taken):
            block[row, : len(data)] = np.frombuffer(data, np.uint8)
        slots = np.array([slot for slot, _ in taken], np.int64)
        yield Drained(slots, block, np.array([len(data) for _, data in taken], np.int64))

    def drain_rtcp(self, now: float) -> list[tuple[int, bytes]]:
        waiting, self.rtcp_waiting = self.rtcp_waiting, []
        return waiting

    def send(self, slots: Sequence[int], packets: Sequence[memoryview]) -> None:
        for slot, packet in zip(slots, packets, strict=True):
            if slot in self.peer:
                self.outbox[self.peer[slot]].append((self.now, bytes(packet)))

    def send_rtcp(self, slot: int, data: bytes) -> None:
        if self.peer_rtcp.get(slot):
            self.outbox[self.peer_rtcp[slot]].append((self.now, data))


def linear_of_mulaw(code: int) -> int:
    """G.711, one code, the plain way."""
    code = ~code & 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84 << (code >> 4 & 7)) - 0x84
    return -magnitude if code & 0x80 else magnitude


MULAW = np.array([linear_of_mulaw(code) for code in range(256)], np.float64)


def linear_of_alaw(code: int) -> int:
    code ^= 0x55
    exponent, mantissa = code >> 4 & 7, code & 0x0F
    magnitude = (mantissa << 4) + 8 if exponent == 0 else ((mantissa << 4) + 0x108) << (exponent - 1)
    return magnitude if code & 0x80 else -magnitude


ALAW = np.array([linear_of_alaw(code) for code in range(256)], np.float64)


def nearest(table: np.ndarray, samples: np.ndarray) -> bytes:
    """Codes whose values are nearest to the samples."""
    return bytes(np.abs(table[None, :] - samples[:, None]).argmin(1).astype(np.uint8))


@dataclass
class Telephone:
    """Sends an amplitude-modulated tone of its own and keeps what it hears. Raw bytes, no code of ours."""

    number: int
    network: Network
    pitch: float
    encoding: str = "PCMU"
    clock_rate: int = 8000
    packet_ms: int = 20
    payload_type: int = 0
    amplitude: float = 4000.0
    port: int = 0

    def __post_init__(self) -> None:
        self.address = (f"10.0.{self.number >> 8}.{self.number & 255}", 4000)
        self.sequence = self.network.rng.getrandbits(16)
        self.timestamp = self.network.rng.getrandbits(32)
        self.ssrc = self.network.rng.getrandbits(32)
        self.sent_samples = 0
        self.next_at: float | None = None

    def speak_until(self, now: float) -> None:
        if self.next_at is None:
            self.next_at = now - self.network.rng.uniform(0, self.packet_ms / 1000)
        while self.next_at <= now:
            self.speak(self.next_at)
            self.next_at += self.packet_ms / 1000

    def speak(self, now: float) -> None:
        samples = self.clock_rate * self.packet_ms // 1000
        at = (self.sent_samples + np.arange(samples)) / self.clock_rate
        sound = self.amplitude * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * at)) * np.sin(2 * np.pi * self.pitch * at)
        self.sent_samples += samples
        if self.encoding == "L16":
            payload = sound.astype(">i2").tobytes()
        else:
            payload = nearest(MULAW if self.encoding == "PCMU" else ALAW, sound)
        self.packet(self.payload_type, payload, now)
        self.timestamp += samples

    def packet(self, payload_type: int, payload: bytes, now: float, marker: bool = False) -> None:
        head = struct.pack("!BBHII", 0x80, marker << 7 | payload_type, self.sequence & 0xFFFF,
                           self.timestamp & 0xFFFFFFFF, self.ssrc)  # fmt: skip
        self.sequence += 1
        self.network.throw(self.address, self.port, head + payload, now)

    def packets(self) -> list[tuple[float, bytes]]:
        return self.network.outbox[self.address]

    def heard(self) -> np.ndarray:
        """Everything received so far as samples, by timestamp, gaps as zeros."""
        packets = [(struct.unpack("!BBHII", data[:12]), data[12:]) for _, data in self.packets()]
        if not packets:
            return np.zeros(0)
        first = packets[0][0][3]
        samples = self.clock_rate // 50
        stream = np.zeros(((packets[-1][0][3] - first) % 2**32) + samples)
        for head, payload in packets:
            at = (head[3] - first) % 2**32
            if self.encoding == "L16":
                stream[at : at + samples] = np.frombuffer(payload, ">i2")
            else:
                table = MULAW if self.encoding == "PCMU" else ALAW
                stream[at : at + samples] = table[np.frombuffer(payload, np.uint8)]
        return stream

    def loudness(self, pitch: float, seconds: float = 1.0) -> float:
        """Amplitude of a tone in the last seconds of what was heard."""
        return loudness(self.heard()[-int(seconds * self.clock_rate) :], pitch, self.clock_rate)


class House:
    """A plane on a simulated network, with telephones, and a clock that is only counted."""

    def __init__(
        self, seed: int = 1, clips: ClipLibrary | None = None, silence_timeout: float = 3.0,
        opus: OpusSettings = OpusSettings(), **conditions: float,  # noqa: B008
    ) -> None:  # fmt: skip
        self.seed = seed
        self.network = Network(random.Random(seed), **conditions)
        settings = PlaneSettings(silence_timeout, wall_offset=1.7e9, opus=opus)
        rng = random.Random(seed + 1)
        self.plane = MediaPlane(self.network, self.network.streams, clips or CLIPS, settings, rng)
        self.now = 100.0
        self.phones: dict[int, Telephone] = {}
        self.events: list[protocol.Event] = []

    def phone(
        self, number: int, room: int | None = None, connect: bool = True, kind: type[Telephone] = Telephone,
        **traits: Any,
    ) -> Telephone:  # fmt: skip
        phone = kind(number, self.network, **{"pitch": 300.0 + 170.0 * number, **traits})
        self.phones[number] = phone
        self.plane.send(protocol.OpenLeg(number, "0.0.0.0", f"leg{number}@test"))
        self.tick()
        phone.port = next(e.port for e in self.events if isinstance(e, protocol.LegOpened) and e.leg == number)
        if connect:
            self.connect(phone)
        if room is not None:
            self.plane.send(protocol.PlaceLeg(number, room))
        return phone

    def connect(self, phone: Telephone, direction: str = "sendrecv", **changes: Any) -> None:
        format = protocol.RtpFormat(phone.encoding, phone.clock_rate, phone.payload_type)
        terms = {
            "remote": phone.address, "remote_rtcp": (phone.address[0], phone.address[1] + 1),
            "signalling_host": phone.address[0], "rx_formats": (format,), "tx_format": format,
            "telephone_event": 101, "rtcp_mux": False, "direction": direction,
        }  # fmt: skip
        self.plane.send(protocol.ConnectLeg(phone.number, **{**terms, **changes}))

    def tick(self) -> None:
        self.plane.tick(self.now)
        self.events += self.plane.take_events()
        self.now += TICK_SECONDS

    def run(self, seconds: float, silent: Sequence[int] = ()) -> list[protocol.Event]:
        """Everyone but the silent talks for so long; the events of that time."""
        self.events = []
        for _ in range(round(seconds / TICK_SECONDS)):
            for phone in self.phones.values():
                if phone.number not in silent:
                    phone.speak_until(self.now)
            self.tick()
        return self.events

    def of_kind(self, kind: type) -> list:  # type: ignore[type-arg]
        return [event for event in self.events if isinstance(event, kind)]

    def reports_of(self, leg: int) -> list[protocol.LegReport]:
        """What was reported of one leg."""
        return [report for event in self.of_kind(protocol.LegReports) for report in event.each() if report.leg == leg]


def hears(listener: Telephone, speaker: Telephone, seconds: float = 1.0) -> bool:
    """Whether a telephone hears another; doubt is a failure."""
    loudness = listener.loudness(speaker.pitch, seconds)
    assert loudness > CLEAR or loudness < NOTHING, f"{loudness} is neither there nor gone"
    return loudness > CLEAR


@pytest.fixture
def house() -> Callable[..., House]:
    return House
