"""Many telephones in one process: sends RTP for N legs, all talking, and judges what comes back.

Started by bench_plane with `python -m benchmarks.load_generator`; one JSON line each way: it prints the addresses
its legs send from, reads where each leg shall send to and for how long, and prints what it measured; further lines
name the ports of the next legs, which begin to send then. Each leg
sends 50 packets of PCMU a second, the phases spread evenly over 20 ms; some legs carry marks (short noise bursts
known sample by sample) which are looked for in what their partners receive. Of few that talk the others send the
silence of a quiet line. On a network with jitter each packet is held up by itself. It shares no code with the server.
"""

import json
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.batched import Batch, open_socket
from benchmarks.pace import Pace
from benchmarks.placement import settle

SLOTS = 20
"""Groups of legs, one per millisecond of the 20 ms period; each group has a socket."""
SAMPLES = 160
HEADER_BYTES = 12
LOOP_PACKETS = 10
"""Packets after which a leg's sound repeats: 200 ms."""
UNWATCHED_PACKETS = 3
"""Where nobody looks for marks a packet's sound goes out so many times: making it new is a tenth of a packet's cost."""
ROW_BYTES = 256
RECEIVE_BATCH = 512
QUIET_PACKETS = 100
"""At first nobody says anything, as people do who join: jitter buffers find their depth meanwhile."""
MARK_SAMPLES = 120
MARK_OFFSET = 20
"""Where a mark begins in its packet, samples."""
MARK_AMPLITUDE = 24_000.0
MARK_PERIOD = 50
"""Packets between two marks of a leg."""
SEARCH_SAMPLES = 4000
"""How late a mark may come back, 0.5 s."""
MARK_CLARITY = 5.0
"""A mark is found when its correlation stands this many times above the window's rms."""
QUIET = np.array([0xFF, 0x7F, 0xFE, 0x7E], np.uint8)
"""Codes of 0 and +-8: a line on which nobody says anything, some -75 dBFS."""
MOST_JITTER_MS = 250

HEADER = np.dtype([("first", "u1"), ("second", "u1"), ("sequence", ">u2"), ("timestamp", ">u4"), ("ssrc", ">u4")])


def mulaw_table() -> np.ndarray:
    """(256,) float32: what each PCMU code means (G.711)."""
    code = ~np.arange(256) & 0xFF
    magnitude = ((((code & 15) << 3) + 0x84) << (code >> 4 & 7)) - 0x84
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.float32)


MULAW = mulaw_table()


def to_mulaw(samples: np.ndarray) -> np.ndarray:
    """Nearest PCMU codes, uint8, of samples at int16 scale."""
    order = np.argsort(MULAW, kind="stable")
    values = MULAW[order]
    index = np.searchsorted((values[1:] + values[:-1]) / 2, samples)
    return order[index].astype(np.uint8)


def talk(legs: int, rng: np.random.Generator) -> np.ndarray:
    """(legs, LOOP_PACKETS, SAMPLES) uint8: for each leg a tone of its own, swelling five times a second like
    speech.

    As many legs as there are add up to about the same loudness, so that marks are heard through the limiter."""
    time_s = np.arange(LOOP_PACKETS * SAMPLES) / 8000
    pitch = rng.integers(40, 600, legs) * 5.0  # whole periods in the loop
    amplitude = min(4000.0, 24_000.0 / np.sqrt(legs))
    phase = rng.uniform(0, 2 * np.pi, (2, legs, 1))
    codes = np.empty((legs, LOOP_PACKETS * SAMPLES), np.uint8)
    for first in range(0, legs, 256):
        part = slice(first, first + 256)
        swell = 0.6 + 0.4 * np.sin(2 * np.pi * 5 * time_s + phase[0, part])
        codes[part] = to_mulaw(amplitude * swell * np.sin(2 * np.pi * pitch[part, None] * time_s + phase[1, part]))
    return codes.reshape(legs, LOOP_PACKETS, SAMPLES)


@dataclass
class Watch:
    """One talker whose marks are looked for at one listener."""

    talker: int
    listener: int
    code: np.ndarray  # (MARK_SAMPLES,) float32, +-1
    first_packet: int  # packet number of the talker's first mark
    sent: list[float] = field(default_factory=list)
    arrivals: list[tuple[int, float, bytes]] = field(default_factory=list)  # timestamp, arrival, payload

    def delays_ms(self) -> tuple[list[float], int]:
        """(ms from the mark's first sample out to its first sample back, for the marks that were found; marks
        sent).

        A packet's first sample counts as sent, or received, when the packet is."""
        if not self.arrivals:
            return [], len(self.sent)
        first = self.arrivals[0][0]
        at = {
            ((stamp - first + 2**31) % 2**32 - 2**31) // SAMPLES: (when, data)
            for stamp, when, data in self.arrivals
        }
        last = max(at)
        stream = np.zeros((last + 1, SAMPLES), np.float32)
        arrival = np.full(last + 1, np.nan)
        for index, (when, data) in at.items():
            if index >= 0:
                stream[index] = MULAW[np.frombuffer(data, np.uint8)]
                arrival[index] = when
        match = np.abs(np.correlate(stream.ravel(), self.code))
        delays = []
        for when in self.sent:
            begin = int(np.searchsorted(np.nan_to_num(arrival, nan=-1.0), when)) * SAMPLES
            window = match[begin : begin + SEARCH_SAMPLES]
            if not len(window):
                continue
            found = int(np.argmax(window))
            if window[found] < MARK_CLARITY * np.sqrt(np.mean(window**2)):
                continue
            packet, offset = divmod(begin + found, SAMPLES)
            delays.append((arrival[packet] - when) * 1e3 + (offset - MARK_OFFSET) / 8)
        return [delay for delay in delays if np.isfinite(delay)], len(self.sent)


class Generator:
    """All legs: what they send, what they got."""

    def __init__(self, legs: int, echo: bool, talking: int | None = None, jitter_ms: int = 0) -> None:
        """talking: so many legs, the first, have something to say; None: all. jitter_ms: each packet is held up by
        between nothing and so much."""
        self._rng = rng = np.random.default_rng(legs)
        self.legs, self.echo, self.jitter_ms = legs, echo, min(jitter_ms, MOST_JITTER_MS)
        self.sockets = [open_socket(f"127.9.0.{slot + 1}") for slot in range(SLOTS)]
        self.members = [np.arange(slot, legs, SLOTS) for slot in range(SLOTS)]
        voices = legs if talking is None else min(talking, legs)
        self.codes = np.concatenate([
            talk(voices, rng), rng.choice(QUIET, (legs - voices, LOOP_PACKETS, SAMPLES))
        ])  # fmt: skip
        self._held_up: list[list[tuple[int, bytes, tuple[str, int]]]] = [[] for _ in range(MOST_JITTER_MS + 1)]
        self.sequence = rng.integers(0, 2**16, legs)
        self.timestamp = rng.integers(0, 2**32, legs)
        self.counts = np.zeros(legs, np.int64)
        self.leg_of_port = np.full(2**16, -1)
        self.incoming = Batch(RECEIVE_BATCH, ROW_BYTES)
        self.incoming_headers = self.incoming.data[:, :HEADER_BYTES].view(HEADER)[:, 0]
        self.outgoing = [Batch(max(1, len(members)), HEADER_BYTES + SAMPLES) for members in self.members]
        for batch, members in zip(self.outgoing, self.members, strict=True):
            headers = batch.data[:, :HEADER_BYTES].view(HEADER)[:, 0]
            headers["first"] = 0x80
            headers["ssrc"][: len(members)] = members + 1
        self.reached = 0  # legs that know where to send
        self.watches: list[Watch] = []
        self.watch_of_leg: dict[int, Watch] = {}
        self.watched = np.zeros(legs, bool)

    def addresses(self) -> list[tuple[str, int]]:
        return [self.sockets[leg % SLOTS].getsockname() for leg in range(self.legs)]

    def reach(self, ports: list[int]) -> None:
        """Give the next legs their ports at the server, 0: no call."""
        first, last = self.reached, self.reached + len(ports)
        for batch, members in zip(self.outgoing, self.members, strict=True):
            rows = np.flatnonzero((members >= first) & (members < last))
            batch.address["port"][rows] = np.array(ports)[members[rows] - first]
            batch.address["address"] = 0x7F000001
        self.leg_of_port[np.array(ports, np.int64)] = np.arange(first, last)
        self.reached = last

    def mark(self, pairs: list[tuple[int, int]]) -> None:
        """Choose who is marked and who listens for it."""
        rng = np.random.default_rng(7)
        for number, (talker, listener) in enumerate(pairs):
            code = rng.choice(np.array([-1.0, 1.0], np.float32), MARK_SAMPLES)
            watch = Watch(talker, listener, code, MARK_PERIOD * number // max(1, len(pairs)))
            self.watches.append(watch)
            self.watch_of_leg[listener] = watch
            self.watched[listener] = True

    def send(self, slot: int, packet: int, measuring: bool) -> None:
        """Packet number `packet` of every leg of a slot."""
        members, batch = self.members[slot], self.outgoing[slot]
        reached = int(np.searchsorted(members, self.reached))
        if not reached:
            return
        headers = batch.data[:, :HEADER_BYTES].view(HEADER)[:, 0]
        headers["sequence"] = self.sequence[members] + packet & 0xFFFF
        headers["timestamp"] = self.timestamp[members] + packet * SAMPLES & 0xFFFFFFFF
        headers["second"] = 0x80 if packet == 0 else 0
        if packet < QUIET_PACKETS:
            batch.data[:, HEADER_BYTES:] = 0xFF
        elif self.watches or packet % UNWATCHED_PACKETS == 0:
            batch.data[:, HEADER_BYTES:] = self.codes[members, packet % LOOP_PACKETS]
        marked = [w for w in self.watches if w.talker % SLOTS == slot and packet % MARK_PERIOD == w.first_packet]
        for watch in marked:
            place = HEADER_BYTES + MARK_OFFSET
            mark = to_mulaw(watch.code * MARK_AMPLITUDE)
            batch.data[watch.talker // SLOTS, place : place + MARK_SAMPLES] = mark
        now = time.monotonic()
        if self.jitter_ms:
            self._hold_up(slot, packet * SLOTS + slot)
        else:
            batch.send(self.sockets[slot].fileno(), reached)
        if measuring:
            for watch in marked:
                watch.sent.append(now)

    def _hold_up(self, slot: int, step: int) -> None:
        """Put a slot's packets on the way; each arrives in a step of its own."""
        batch = self.outgoing[slot]
        for row in range(len(self.members[slot])):
            due = step + int(self._rng.integers(self.jitter_ms + 1))
            where = ("127.0.0.1", int(batch.address["port"][row]))
            self._held_up[due % len(self._held_up)].append((slot, batch.data[row].tobytes(), where))

    def deliver(self, step: int) -> None:
        """Let go what has been held up until this step."""
        arrived = self._held_up[step % len(self._held_up)]
        for slot, data, where in arrived:
            self.sockets[slot].sendto(data, where)
        arrived.clear()

    def receive(self) -> None:
        incoming = self.incoming
        for listening in self.sockets:
            while count := incoming.receive(listening.fileno()):
                now = time.monotonic()
                if self.echo:
                    legs = self.incoming_headers["ssrc"][:count].astype(np.int64) - 1
                else:
                    legs = self.leg_of_port[incoming.address["port"][:count]]
                audio = (incoming.length[:count] == HEADER_BYTES + SAMPLES) & (legs >= 0)
                self.counts += np.bincount(legs[audio], minlength=self.legs)
                for row in np.nonzero(audio & self.watched[legs])[0]:
                    stamp = int(self.incoming_headers["timestamp"][row])
                    payload = incoming.data[row, HEADER_BYTES : HEADER_BYTES + SAMPLES].tobytes()
                    self.watch_of_leg[int(legs[row])].arrivals.append((stamp, now, payload))
                if count < incoming.count:
                    break

    def run(self, warm: float, seconds: float, pids: list[int], read_every: int = 1) -> dict[str, Any]:
        """Send and receive for warm + seconds; figures of the latter part. Where legs come one after the other this
        time begins when the last is there. pids: the server processes to account.

        read_every: milliseconds between two bursts, and two looks at what has come; more than 1 is cheaper, where no
        mark is timed."""
        pace = Pace(pids, self.counts, read_every)
        step, steps, first = 0, 1, 0
        complete = False
        while step < steps:
            if not complete:
                complete = self.reached == self.legs
                first, steps = step + round(warm * 1000), step + round((warm + seconds) * 1000)
            pace.wait(step)
            if step == first:
                pace.begin()
            self.send(step % SLOTS, step // SLOTS, first <= step < steps - 600)
            if self.jitter_ms:
                self.deliver(step)
            if step % read_every == 0:
                self.receive()
            step += 1
        figures = pace.figures()
        found, sent = [], 0
        for watch in self.watches:
            delays, count = watch.delays_ms()
            found += delays
            sent += count
        return figures | {
            "delay_p50_ms": float(np.percentile(found, 50)) if found else None,
            "delay_p95_ms": float(np.percentile(found, 95)) if found else None,
            "marks_sent": sent,
            "marks_found": len(found),
        }


def main() -> None:
    plan = json.loads(sys.stdin.readline())
    if not plan.get("ranks_below"):
        settle(plan["core"])
    generator = Generator(plan["legs"], plan["echo"], plan.get("talking"), plan.get("jitter_ms", 0))
    print(json.dumps(generator.addresses()), flush=True)
    target = json.loads(sys.stdin.readline())
    generator.reach(target["ports"])
    generator.mark([tuple(pair) for pair in target["pairs"]])
    later = (generator.reach(json.loads(line)["ports"]) for line in sys.stdin)
    threading.Thread(target=list, args=(later,), daemon=True).start()
    result = generator.run(plan["warm"], plan["seconds"], target["pids"], plan.get("read_every", 1))
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
