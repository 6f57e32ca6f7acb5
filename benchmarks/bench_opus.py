"""A room of Opus at 48 kHz: processor time for a participant-second, by how many talk and what their packets tell.

The whole plane runs, in this process and on a network that is two arrays: what a tick costs without the sockets, which
cost the same for every codec (bench_plane), is what differs. Packets are encoded beforehand by the library itself, a
second of voice or of a quiet microphone for each leg, all in different places of it.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sipconf.media import protocol
from sipconf.media.plane import TICK_SECONDS, MediaPlane, PlaneSettings
from sipconf.media.protocol import Address
from sipconf.mixer.codecs.opus import Opus, OpusDecoder, OpusSettings
from sipconf.mixer.prompts import ClipLibrary
from sipconf.rtp.packet import ROW, Drained
from sipconf.rtp.streams import Streams

OPUS = protocol.RtpFormat("opus", 48000, 111)
RATE, SAMPLES = 48000, 960
LOOP = 50
"""Packets after which a leg says the same again."""
WARM_TICKS, TICKS, QUICK_TICKS = 200, 500, 150
LEVEL_ID = 1
NOISE_DB = -65.0
VOICES = 8

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Case:
    """legs in one room, of which `talking` talk. levels: packets tell how loud they are (RFC 6464)."""

    legs: int
    talking: int
    levels: bool = False

    @property
    def name(self) -> str:
        said = "all talk" if self.talking == self.legs else f"{self.talking} talk"
        return f"opus N={self.legs} {said}" + (", levels told" if self.levels else "")


def voice(number: int) -> np.ndarray:
    """A second of something that moves as a voice does, float32 (RATE,)."""
    at = np.arange(RATE) / RATE
    pitch = 110.0 + 12 * number
    phase = 2 * np.pi * np.cumsum(pitch * (1 + 0.05 * np.sin(2 * np.pi * 3 * at))) / RATE
    sound = sum(np.sin(k * phase + k * number) / k for k in range(1, 25))
    return (4000 * sound * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * at + number))).astype(np.float32)


def noise(number: int) -> np.ndarray:
    """A second of an open microphone."""
    rng = np.random.default_rng(number)
    return (32768 * 10 ** (NOISE_DB / 20) * rng.standard_normal(RATE)).astype(np.float32)


class Loop:
    """A second of packets: data uint8 (LOOP, ROW) from the header on, lengths (LOOP,)."""

    def __init__(self, sound: np.ndarray, level: int | None) -> None:
        codec = Opus(OpusSettings())
        encoder = codec.encoder(0)
        self.data, self.lengths = np.zeros((LOOP, ROW), np.uint8), np.zeros(LOOP, np.int64)
        packet, length = np.zeros((1, codec.frame_bytes), np.uint8), np.zeros(1, np.int64)
        for number, frame in enumerate((*sound.reshape(LOOP, SAMPLES), *sound.reshape(LOOP, SAMPLES))):
            codec.encode([encoder], frame[None].copy(), packet, length)
            data = np.zeros(ROW, np.uint8)
            data[:2], begin = (0x80, OPUS.payload_type), 12
            if level is not None:  # RFC 8285 section 4.2, RFC 6464 section 3
                data[0] |= 0x10
                data[12:20] = 0xBE, 0xDE, 0, 1, LEVEL_ID << 4, level, 0, 0
                begin = 20
            data[begin : begin + length[0]] = packet[0, : length[0]]
            self.data[number % LOOP], self.lengths[number % LOOP] = data, begin + length[0]


class Arrays:
    """A plane's transport: what is prepared comes in, what is sent is counted."""

    def __init__(self, case: Case) -> None:
        self.slots = np.zeros(0, np.int64)
        voices = [Loop(voice(k), 20 if case.levels else None) for k in range(VOICES)]
        noises = [Loop(noise(k), 65 if case.levels else None) for k in range(VOICES)]
        self._loops = voices + noises
        self._data = np.stack([loop.data for loop in self._loops])
        self._lengths = np.stack([loop.lengths for loop in self._loops])
        legs = np.arange(case.legs)
        self._loop = legs % VOICES + np.where(legs < case.talking, 0, VOICES)
        self._place = legs * 7
        self._begin = random.Random(6).getrandbits(15)
        self.block, self.lengths = np.zeros((case.legs, ROW), np.uint8), np.zeros(case.legs, np.int64)
        self.packets = self.octets = 0

    def prepare(self, tick: int) -> None:
        """The packets of all legs for a tick."""
        place = (self._place + tick) % LOOP
        self.block[:] = self._data[self._loop, place]
        self.lengths[:] = self._lengths[self._loop, place]
        self.block[:, 2:4].view(">u2")[:, 0] = (self._begin + tick) & 0xFFFF
        words = self.block.view(">u4")
        words[:, 1] = (tick * SAMPLES + 7 * SAMPLES) & 0xFFFFFFFF
        words[:, 2] = 1000 + np.arange(len(self.block))
        self.slots = np.arange(len(self.block))

    def open(self, slot: int, address: str) -> int:
        return 10_000 + 2 * slot

    def connect(self, *terms: object) -> None:
        """Everything arrives."""

    def close(self, slot: int) -> None:
        """Nothing was open."""

    def counts(self) -> dict[str, int]:
        return {}

    def close_all(self) -> None:
        """Nothing was open."""

    def drain(self, now: float) -> Iterator[Drained]:
        yield Drained(self.slots, self.block[: len(self.slots)], self.lengths[: len(self.slots)])

    def drain_rtcp(self, now: float) -> list[tuple[int, bytes]]:
        return []

    def send(self, slots: Sequence[int], packets: Sequence[memoryview]) -> None:
        self.packets += len(packets)
        self.octets += sum(map(len, packets))

    def send_rtcp(self, slot: int, data: bytes) -> None:
        """Nobody reads it."""


def measure(case: Case, ticks: int) -> Row:
    """One run."""
    network, streams = Arrays(case), Streams()
    plane = MediaPlane(network, streams, ClipLibrary({}), PlaneSettings(), random.Random(1))  # type: ignore[arg-type]
    for leg in range(case.legs):
        remote: Address = (f"10.0.{leg >> 8}.{leg & 255}", 4000)
        plane.send(protocol.OpenLeg(leg, "0.0.0.0", "bench"))
        plane.send(protocol.ConnectLeg(leg, remote, None, remote[0], (OPUS,), OPUS, 101, True, "sendrecv",
                                       audio_level=LEVEL_ID if case.levels else None))  # fmt: skip
        plane.send(protocol.PlaceLeg(leg, 1))
    now, busy, slowest = 100.0, 0.0, 0.0
    plane.tick(now)
    for tick in range(WARM_TICKS + ticks):
        now += TICK_SECONDS
        network.prepare(tick)
        for slot in range(case.legs if tick == 0 else 0):
            streams.source_of(slot, (f"10.0.{slot >> 8}.{slot & 255}", 4000), network.block[slot].tobytes(), now)
        if tick == WARM_TICKS:
            network.packets = network.octets = 0
        began = time.process_time()
        plane.tick(now)
        took = time.process_time() - began
        plane.take_events()
        if tick >= WARM_TICKS:
            busy, slowest = busy + took, max(slowest, took)
    (bank,) = plane._banks
    seconds = ticks * TICK_SECONDS
    return {
        "name": case.name, "cpu_ms_per_participant_s": 1e3 * busy / seconds / case.legs,
        "tick_ms": 1e3 * busy / ticks, "slowest_tick_ms": 1e3 * slowest,
        "talking": int(np.count_nonzero(bank.levels.talking)), "encoders": len(bank.encoders._plan.encoders),
        "packets_per_s": network.packets / seconds / case.legs,
        "kbit_per_s": 8e-3 * network.octets / seconds / case.legs,
    }  # fmt: skip


def frame_prices() -> tuple[float, float]:
    """Microseconds that the library itself takes to encode a frame of voice and to decode one, here and now: what the
    machine's other work does to a row shows in them first."""
    loop, codec, sound = Loop(voice(1), None), Opus(OpusSettings()), voice(1).reshape(LOOP, SAMPLES) / 32768
    encoder, decoder = codec.encoder(0), OpusDecoder()
    packet, out = np.zeros(codec.frame_bytes, np.uint8), np.zeros(SAMPLES, np.float32)
    began = time.process_time()
    for frame in sound:
        encoder.encode(frame.ctypes.data, packet.ctypes.data)
    encoded = time.process_time()
    for data, length in zip(loop.data, loop.lengths.tolist(), strict=True):
        decoder.decode(data[12:].ctypes.data, length - 12, out.ctypes.data, SAMPLES)
    return 1e6 * (encoded - began) / LOOP, 1e6 * (time.process_time() - encoded) / LOOP


def run(quick: bool = False) -> list[Row]:
    """One row per case."""
    ticks = QUICK_TICKS if quick else TICKS
    rows = []
    for case in (Case(100, 3), Case(100, 3, levels=True), Case(100, 100), Case(50, 3), Case(50, 50)):
        encode_us, decode_us = frame_prices()
        rows.append({**measure(case, ticks), "encode_us": encode_us, "decode_us": decode_us})
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


if __name__ == "__main__":
    run(quick="--quick" in sys.argv)
