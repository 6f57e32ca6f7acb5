"""Telephones on bad lines in front of a media plane in this process: loss, jitter, clocks that are wrong, simulated.

Time is counted, chance is seeded: a run says the same on every machine. The plane is the real one, from datagrams to
datagrams. Telephones send one long sound in PCMU; what is sent to them is kept for those that are to be listened to.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sipconf.media import protocol
from sipconf.media.plane import TICK_SECONDS, MediaPlane, PlaneSettings
from sipconf.media.protocol import Address
from sipconf.mixer.codecs.g711 import mu_law_codes, mu_law_values
from sipconf.mixer.frame import db_to_power
from sipconf.mixer.prompts import ClipLibrary
from sipconf.rtp.packet import HEADER_BYTES, ROW, Drained
from sipconf.rtp.streams import Streams

RATE, FRAME_SAMPLES = 8000, 160
PCMU = protocol.RtpFormat("PCMU", RATE, 0)
SILENCE = 0xFF
START = 100.0
"""Monotonic seconds at the first tick."""
_SEQUENCE, _TIMESTAMP = 65_000, 2**32 - 100_000
"""What every telephone begins with: both wrap soon."""


@dataclass(frozen=True, slots=True)
class Line:
    """What happens to one telephone's packets. jitter: seconds, uniform and of each packet alone, so that packets
    overtake each other. skew: by which part the telephone's clock is fast. bad: seconds (from, to) of jitter and loss;
    outside the line is clean."""

    jitter: float = 0.0
    loss: float = 0.0
    skew: float = 0.0
    packet_ms: int = 20
    bad: tuple[float, float] = (0.0, np.inf)


class Senders:
    """Packets of many telephones in order of arrival. sounds: uint8 (n, samples), codes, endless by repetition."""

    def __init__(self, lines: Sequence[Line], sounds: NDArray[np.uint8], seconds: float, seed: int) -> None:
        dice = np.random.default_rng(seed)
        self.sounds = sounds
        self.samples = np.array([RATE * line.packet_ms // 1000 for line in lines])
        self.phase = dice.permutation(len(lines)) / len(lines) * TICK_SECONDS
        self.pace = np.array([RATE * (1 + line.skew) for line in lines])
        columns = []
        for number, line in enumerate(lines):
            counts = np.arange(int(seconds * self.pace[number] / self.samples[number]))
            sent = self.sent_at(number, counts * self.samples[number])
            bad = (sent >= line.bad[0]) & (sent < line.bad[1])
            kept = ~(bad & (dice.random(len(counts)) < line.loss)) | (counts == 0)
            arrival = sent + np.where(bad, line.jitter * dice.random(len(counts)), 0)
            columns.append(np.stack([arrival, np.full(len(counts), number), counts])[:, kept])
        packets = np.concatenate(columns, axis=1)
        packets = packets[:, np.argsort(packets[0], kind="stable")]
        self.arrival, self.number, self.count = packets[0], packets[1].astype(int), packets[2].astype(int)
        self._taken = 0

    def sent_at(self, number: int, sample: NDArray | float) -> NDArray | float:
        """Seconds after the first tick at which the packet that begins with a sample leaves its telephone."""
        return self.phase[number] + np.asarray(sample) / self.pace[number]

    def until(self, seconds: float) -> tuple[NDArray[np.intp], NDArray[np.uint8], NDArray[np.int64]]:
        """(telephones, block, lengths) of what has arrived since the last call."""
        begin, self._taken = self._taken, int(np.searchsorted(self.arrival, seconds, "right"))
        # By telephone, each one's in order of arrival: as they are read from a socket for each.
        order = begin + np.argsort(self.number[begin : self._taken], kind="stable")
        numbers, counts = self.number[order], self.count[order]
        samples = self.samples[numbers]
        block = np.zeros((len(numbers), ROW), np.uint8)
        words = block[:, :HEADER_BYTES].view(">u4")
        words[:, 0] = 2 << 30 | (_SEQUENCE + counts) & 0xFFFF
        words[:, 1] = (_TIMESTAMP + counts * samples) & 0xFFFFFFFF
        words[:, 2] = numbers + 1
        place = np.arange(samples.max(initial=0))
        at = (counts * samples)[:, None] + place
        block[:, HEADER_BYTES : HEADER_BYTES + len(place)] = self.sounds[numbers[:, None], at % self.sounds.shape[1]]
        return numbers, block, HEADER_BYTES + samples


class Wire:
    """The plane's Transport over Senders. The slot of a telephone is its number."""

    def __init__(self, senders: Senders, recorded: Sequence[int]) -> None:
        self.streams = Streams()
        self._senders = senders
        self.heard: dict[int, list[bytes]] = {number: [] for number in recorded}

    def open(self, slot: int, address: str) -> int:
        return 10_000 + 2 * slot

    def connect(
        self, slot: int, remote: Address | None, remote_rtcp: Address | None, rtcp_mux: bool, restart: bool
    ) -> None: ...

    def close(self, slot: int) -> None: ...

    def counts(self) -> dict[str, int]:
        return {}

    def close_all(self) -> None: ...

    def drain(self, now: float) -> Iterator[Drained]:
        slots, block, lengths = self._senders.until(now - START)
        for row in np.flatnonzero([self.streams.latched(slot) is None for slot in slots.tolist()]).tolist():
            slot = int(slots[row])
            self.streams.source_of(slot, address_of(slot), block[row, : lengths[row]].tobytes(), now)
        yield Drained(slots, block, lengths)

    def drain_rtcp(self, now: float) -> list[tuple[int, bytes]]:
        return []

    def send(self, slots: Sequence[int], packets: Sequence[memoryview]) -> None:
        for slot, packet in zip(slots, packets, strict=True):
            if slot in self.heard:
                self.heard[slot].append(bytes(packet[HEADER_BYTES:]))

    def send_rtcp(self, slot: int, data: bytes) -> None: ...


def address_of(number: int) -> Address:
    """Where a telephone sends from."""
    return f"10.0.{number >> 8}.{number & 255}", 4000


class Lines:
    """A plane with a telephone on each line, in rooms of so many. recorded: whose ears are kept."""

    def __init__(
        self, lines: Sequence[Line], sounds: NDArray[np.uint8], *, seconds: float, seed: int, room: int,
        recorded: Sequence[int] = (), settings: PlaneSettings | None = None,
    ) -> None:  # fmt: skip
        self.senders = Senders(lines, sounds, seconds, seed)
        self.wire = Wire(self.senders, recorded)
        settings = settings or PlaneSettings(silence_timeout=1e9)
        self.plane = MediaPlane(self.wire, self.wire.streams, ClipLibrary({}), settings, random.Random(seed))
        self.ticks = 0
        for number in range(len(lines)):
            address = address_of(number)
            self.plane.send(protocol.OpenLeg(number, "0.0.0.0", f"{number}@lines"))
            self.plane.send(protocol.ConnectLeg(
                number, address, (address[0], 4001), address[0], (PCMU,), PCMU, 101, False, "sendrecv"))  # fmt: skip
            self.plane.send(protocol.PlaceLeg(number, number // room))
        self.tick()
        self.bank = self.plane._banks[0]

    def tick(self) -> None:
        """One frame for everybody."""
        self.plane.tick(START + self.ticks * TICK_SECONDS)
        self.plane.take_events()
        self.ticks += 1

    def heard(self, number: int) -> NDArray[np.float32]:
        """Everything that was sent to a recorded telephone."""
        codes = np.frombuffer(b"".join(self.wire.heard[number]), np.uint8)
        return mu_law_values()[codes]

    def played(self) -> NDArray[np.int64]:
        """Which of its samples is the first that the last tick played, of every telephone."""
        rows = np.arange(len(self.senders.phase))
        next_due = (self.bank.jitter.playout.timestamps(rows) - _TIMESTAMP + 2**31 & 0xFFFFFFFF) - 2**31
        return next_due - FRAME_SAMPLES - self.bank.slipper._held[rows]

    def delays(self) -> NDArray[np.float64]:
        """Seconds from the sending of a packet that began with that sample until the tick: what jitter and the jitter
        buffer added, the wait for the tick included."""
        return (self.ticks - 1) * TICK_SECONDS - self.senders.sent_at(np.arange(len(self.senders.phase)), self.played())


def encoded(sound: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Samples at int16 scale as mu-law."""
    return mu_law_codes()[np.round(sound).astype(np.int64) + 32768]


def roughness(sound: NDArray) -> NDArray:
    """The second difference's size at every sample: great where a sound steps or bends suddenly; small everywhere else
    in a voice without high tones."""
    return np.abs(np.diff(sound, 2))


def longest_gap_ms(sound: NDArray[np.float32]) -> int:
    """The longest stretch, in steps of 5 ms, that is fainter than -60 dBFS."""
    steps = sound[: len(sound) // 40 * 40].reshape(-1, 40)
    faint = (steps**2).mean(axis=1) < db_to_power(-60.0)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], faint, [0]])))
    return 5 * int((edges[1::2] - edges[::2]).max(initial=0))


def voiced(seconds: int, seed: int, highest: float = 3400.0) -> NDArray[np.float64]:
    """A voice that never pauses: harmonics of a pitch that wanders from 90 to 220 Hz, louder and softer, its spectrum
    falling by 6 dB an octave up to `highest` Hz. It joins its own beginning: every movement has whole periods."""
    dice = np.random.default_rng(seed)
    at = np.arange(seconds * RATE) / RATE
    turn = 2 * np.pi * at / seconds
    bend = sum(np.sin(k * turn + dice.uniform(0, 6.28)) / k**0.5 for k in (1, 2, 3, 5, 8, 13))
    pitch = np.round(150 * seconds) / seconds + 65 * (bend - bend.mean()) / np.abs(bend - bend.mean()).max()
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    sound = np.zeros_like(at)
    for k in range(1, int(highest / 90) + 1):
        sound += np.clip((highest - k * pitch) / 300, 0, 1) * np.sin(k * phase + dice.uniform(0, 6.28)) / k
    sound *= 0.7 + 0.3 * np.sin(2 * np.pi * np.round(2.7 * seconds) / seconds * at)
    return sound * 6000 / np.abs(sound).max()
