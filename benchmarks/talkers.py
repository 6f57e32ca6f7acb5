"""The sound of a few calls: RTP out and in for each, and how much of it was lost on either way.

Fifty packets of PCMU a second per call, all in one event loop (load_generator drives thousands, but none that comes
and goes). Frames that the server sent and did not: by the timestamps received, for a frame left out stands still in
its stream; frames that did not reach it: by its RTCP receiver reports (RFC 3550 section 6.4).
"""

import asyncio
import struct
import time

import numpy as np

from benchmarks.batched import open_socket
from benchmarks.load_generator import LOOP_PACKETS, SAMPLES, talk
from benchmarks.telephones import Address

PERIOD = 0.02
EDGE_FRAMES = 3
"""Frames that may be under way when the judging begins or ends."""
SENDER_REPORT, RECEIVER_REPORT = 200, 201


class Talker(asyncio.DatagramProtocol):
    """The sound of one call at a time; `aim` begins one, `hush` ends it."""

    def __init__(self, host: str, number: int) -> None:
        self.host, self.port = host, 0
        self._codes = [packet.tobytes() for packet in talk(1, np.random.default_rng(number))[0]]
        self._ssrc = number + 1
        self._sequence = 0
        self._target: Address | None = None
        self.forget()

    async def open(self) -> "Talker":
        sock = open_socket(self.host, buffer_bytes=1 << 18)
        self.port = sock.getsockname()[1]
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, sock=sock)
        return self

    def close(self) -> None:
        self._transport.close()

    def aim(self, target: Address) -> None:
        """Talk to this address."""
        self._target = target
        self.forget()

    def hush(self) -> None:
        self._target = None

    def forget(self) -> None:
        """Judge only what comes from now on."""
        self.received = 0
        self._since = time.monotonic()
        self.sources: set[int] = set()
        self._first = self._last = None
        self._lost_before: int | None = None
        self._lost_there = 0

    def talk(self) -> None:
        """The next packet."""
        if self._target is None:
            return
        head = struct.pack("!BBHII", 0x80, 0, self._sequence & 0xFFFF, self._sequence * SAMPLES & 0xFFFFFFFF,
                           self._ssrc)  # fmt: skip
        self._transport.sendto(head + self._codes[self._sequence % LOOP_PACKETS], self._target)
        self._sequence += 1

    @property
    def expected(self) -> int:
        """Frames that there was time for, by the stream's own clock and by ours: a stream may stop."""
        if self._target is None:
            return 0
        passed = 0 if self._first is None else ((self._last - self._first) & 0xFFFFFFFF) // SAMPLES + 1
        return max(passed, int((time.monotonic() - self._since) / PERIOD) - EDGE_FRAMES)

    @property
    def lost(self) -> int:
        """Frames that did not come, in both directions."""
        return max(0, self.expected - self.received) + self._lost_there

    def datagram_received(self, data: bytes, addr: Address) -> None:
        if self._target is None:
            return
        if 192 <= data[1] <= 223:
            self._read_reports(data)
            return
        timestamp, ssrc = struct.unpack_from("!II", data, 4)
        self.sources.add(ssrc)
        self.received += 1
        if self._first is None:
            self._first = self._last = timestamp
        elif (timestamp - self._last) & 0xFFFFFFFF < 2**31:
            self._last = timestamp

    def error_received(self, exc: Exception) -> None:
        """The call is over there; its BYE is on the way."""

    def _read_reports(self, data: bytes) -> None:
        """The cumulative number of packets lost of ours, since the first report after `forget`."""
        place = 0
        while place + 8 <= len(data):
            first, kind, words = struct.unpack_from("!BBH", data, place)
            block = place + (28 if kind == SENDER_REPORT else 8)
            if kind in (SENDER_REPORT, RECEIVER_REPORT) and first & 31 and block + 24 <= len(data):
                lost = int.from_bytes(data[block + 5 : block + 8], signed=True)
                if self._lost_before is None:
                    self._lost_before = lost
                self._lost_there = max(0, lost - self._lost_before)
            place += 4 * (words + 1)


class Talkers:
    """Several talkers on one beat."""

    def __init__(self, talkers: list[Talker]) -> None:
        self.all = talkers
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> "Talkers":
        for talker in self.all:
            await talker.open()
        self._task = asyncio.get_running_loop().create_task(self._beat())
        return self

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for talker in self.all:
            talker.close()

    async def _beat(self) -> None:
        """Each has a moment of its own within the twenty milliseconds, so that they come evenly."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        groups = [self.all[first::4] for first in range(4)]
        while True:
            for group in groups:
                for talker in group:
                    talker.talk()
                due += PERIOD / len(groups)
                await asyncio.sleep(max(0.0, due - loop.time()))

    def forget(self) -> None:
        for talker in self.all:
            talker.forget()

    def lost(self) -> list[int]:
        """Frames lost by each that is talking, in both directions, since `forget`."""
        return [talker.lost for talker in self.all if talker.expected]
