"""Many browsers in one process: checks, handshakes and SRTP for N legs, and figures of what comes back.

Started with `python -m benchmarks.webrtc_generator`; JSON lines: it reads the plan, prints the ufrag and password of
each leg and the one fingerprint; it reads where each leg is to call, and calls; it prints what it measured. Further
lines name more calls: their legs come, shake hands and stay silent, which is how handshakes per second are measured.

Each leg sends a packet every 20 ms, PCMU or Opus, encrypted in place; of what comes it counts every packet and
decrypts those of the first legs, to know that they are what they should be.
"""

import json
import queue
import select
import sys
import threading
import time
from typing import Any

import numpy as np
from pylibsrtp._binding import ffi, lib

from benchmarks.load_generator import HEADER, HEADER_BYTES, MULAW, QUIET_PACKETS, SLOTS, talk
from benchmarks.opus_talk import Decoder, opus_loop
from benchmarks.pace import Pace
from benchmarks.placement import settle
from benchmarks.webrtc_peer import CERTIFICATE, MOST_OCTETS, Peer, handle

ROW_BYTES = 1024
WATCHED = 1
"""Legs whose packets are decrypted and decoded."""
SETUP_PATIENCE = 60.0
READ_EVERY = 5
"""Milliseconds between two looks at what has come."""
TICK_EVERY = 20
"""The same between two looks at what a leg has to say besides its voice; each in its turn, SLOTS of them."""
VOICES = 8
"""Different sounds in Opus; encoding is not what is measured."""
CLOCK_STEP = {"PCMU": 160, "opus": 960}
PAYLOAD_TYPE = {"PCMU": 0, "opus": 111}
LEVEL_EXTENSION = 0xBEDE
SPEAKING_DB, SILENT_DB = 20, 90
"""Levels that packets tell (RFC 6464), -dBov."""
LEVEL_AT = 5
"""Where in the extension: behind its profile, its length and the element's own octet."""

Call = tuple[int, int, str, str, tuple[str, str]]
"""Where a leg calls: its number, the server's port, ufrag, password and fingerprint."""


class Generator:
    """All legs: what they send, what they got."""

    def __init__(self, plan: dict[str, Any]) -> None:
        """plan: legs that talk from the beginning; codec; talking: how many of them have something to say, None: all;
        level: id of the header extension that tells how loud a packet is, None: none; more: legs that come later;
        lite: the server is a full ICE agent."""
        self.legs, self.lite = plan["legs"], plan.get("lite", False)
        self.step = CLOCK_STEP[plan["codec"]]
        rng = np.random.default_rng(self.legs)
        self.peers = [Peer(f"127.9.{leg >> 8}.{leg & 255}") for leg in range(1, 1 + self.legs + plan.get("more", 0))]
        talking = self.legs if plan.get("talking") is None else plan["talking"]
        self.silence = [b"\xff" * 160] if plan["codec"] == "PCMU" else opus_loop(None)
        self.loop = self._sounds(plan["codec"], talking, rng)
        self.rows = np.zeros((self.legs, ROW_BYTES), np.uint8)
        self.lengths = np.zeros(self.legs, np.int32)
        self._prepare(plan["codec"], plan.get("level"), talking, rng)
        first = ffi.cast("unsigned char *", self.rows.ctypes.data)
        lengths = ffi.cast("int *", self.lengths.ctypes.data)
        self._pointers = [first + leg * ROW_BYTES for leg in range(self.legs)]
        self._length_pointers = [lengths + leg for leg in range(self.legs)]
        self._views = [memoryview(self.rows[leg]) for leg in range(self.legs)]
        self._sessions: list[Any] = [None] * self.legs
        self.counts = np.zeros(self.legs, np.int64)
        self.forged = 0
        self.power: list[float] = []
        self._decoder = Decoder()
        self._poll = select.epoll()
        self._leg_of = {peer.socket.fileno(): leg for leg, peer in enumerate(self.peers)}
        for peer in self.peers:
            self._poll.register(peer.socket.fileno(), select.EPOLLIN)
        self._buffer = memoryview(bytearray(MOST_OCTETS))
        self.called: list[Peer] = []
        self.coming: queue.SimpleQueue[list[Call]] = queue.SimpleQueue()

    def _sounds(self, codec: str, talking: int, rng: np.random.Generator) -> list[list[bytes]]:
        """For each leg the packets that it repeats."""
        if codec == "PCMU":
            codes = talk(max(1, talking), rng)
            said = [[packet.tobytes() for packet in codes[leg]] for leg in range(talking)]
            return said + [self.silence] * (self.legs - talking)
        voices = [opus_loop(voice) for voice in range(min(VOICES, max(1, talking)))]
        return [voices[leg % len(voices)] if leg < talking else self.silence for leg in range(self.legs)]

    def _prepare(self, codec: str, level: int | None, talking: int, rng: np.random.Generator) -> None:
        """The parts of every packet that stay."""
        self.headers = self.rows[:, :HEADER_BYTES].view(HEADER)[:, 0]
        self.headers["first"] = 0x80 if level is None else 0x90
        self.headers["ssrc"] = np.arange(1, self.legs + 1)
        self.sequence = rng.integers(0, 2**15, self.legs)
        self.timestamp = rng.integers(0, 2**32, self.legs)
        self.payload_type, self.payload_at = PAYLOAD_TYPE[codec], HEADER_BYTES
        self.told, self.tells = np.zeros(self.legs, np.uint8), False
        if level is not None:
            self.payload_at += 8
            words = self.rows[:, HEADER_BYTES : HEADER_BYTES + 8]
            words[:] = np.frombuffer(LEVEL_EXTENSION.to_bytes(2) + b"\0\1" + bytes((level << 4, 0, 0, 0)), np.uint8)
            self.told[:] = np.where(np.arange(self.legs) < talking, 0x80 | SPEAKING_DB, SILENT_DB)
            self.tells = True

    def call(self, calls: list[Call]) -> None:
        """These legs call now."""
        for leg, port, ufrag, password, fingerprint in calls:
            self.called.append(self.peers[leg])
            self.peers[leg].call(port, ufrag, password, fingerprint, self.lite)

    def secure(self) -> float:
        """Until all that called have keys; seconds that it took."""
        began = time.monotonic()
        while waiting := [peer for peer in self.called if peer.secured is None]:
            if time.monotonic() > began + SETUP_PATIENCE:
                raise RuntimeError(f"{len(waiting)} of {len(self.called)} legs have no keys")
            self.receive()
            for peer in waiting:
                peer.tick()
            time.sleep(0.005)
        return time.monotonic() - began

    def send(self, slot: int, packet: int) -> None:
        """Packet number `packet` of every leg of a slot."""
        members = range(slot, self.legs, SLOTS)
        part = slice(slot, self.legs, SLOTS)
        headers = self.headers[part]
        headers["sequence"] = self.sequence[part] + packet & 0xFFFF
        headers["timestamp"] = self.timestamp[part] + packet * self.step & 0xFFFFFFFF
        headers["second"] = self.payload_type | (0x80 if packet == 0 else 0)
        quiet = packet < QUIET_PACKETS
        if self.tells:
            self.rows[part, HEADER_BYTES + LEVEL_AT] = SILENT_DB if quiet else self.told[part]
        for leg in members:
            said = self.silence if quiet else self.loop[leg]
            payload = said[packet % len(said)]
            self._views[leg][self.payload_at : self.payload_at + len(payload)] = payload
            self.lengths[leg] = self.payload_at + len(payload)
            if lib.srtp_protect(self._sessions[leg], self._pointers[leg], self._length_pointers[leg]):
                raise RuntimeError("libsrtp refuses to encrypt")
        lengths = self.lengths[part].tolist()
        for leg, length in zip(members, lengths, strict=True):
            try:
                self.peers[leg].socket.send(self._views[leg][:length])
            except (BlockingIOError, ConnectionError):
                continue

    def receive(self) -> None:
        """All that waits."""
        buffer = self._buffer
        for descriptor, _ in self._poll.poll(0):
            leg = self._leg_of[descriptor]
            peer = self.peers[leg]
            while True:
                try:
                    size = peer.socket.recv_into(buffer)
                except (BlockingIOError, ConnectionError):
                    break
                if not 128 <= buffer[0] < 192:
                    peer.receive(bytes(buffer[:size]))
                elif leg < self.legs and not 192 <= buffer[1] < 224:
                    self.counts[leg] += 1
                    if leg < WATCHED:
                        self._listen(peer, bytes(buffer[:size]))

    def _listen(self, peer: Peer, packet: bytes) -> None:
        """Decrypt what one of the first legs hears."""
        if peer.inbound is None:
            return
        try:
            clear = peer.inbound.unprotect(packet)
        except Exception:
            self.forged += 1
            return
        payload = clear[HEADER_BYTES + (4 + 4 * int.from_bytes(clear[14:16]) if clear[0] & 0x10 else 0) :]
        sound = MULAW[np.frombuffer(payload, np.uint8)] if self.payload_type == 0 else self._decoder.decode(payload)
        self.power.append(float(np.mean(sound**2)))

    def look_after(self, step: int) -> None:
        """New calls; checks and lost flights of a share of the legs in each step."""
        while not self.coming.empty():
            self.call(self.coming.get())
        for peer in self.called[step % TICK_EVERY :: TICK_EVERY]:
            peer.tick()

    def run(self, warm: float, seconds: float, pids: list[int]) -> dict[str, Any]:
        """Send and receive for warm + seconds; figures of the latter part. pids: the server processes to account."""
        self._sessions = [handle(peer.outbound) for peer in self.peers[: self.legs]]
        pace = Pace(pids, self.counts, READ_EVERY)
        first, steps = round(warm * 1000), round((warm + seconds) * 1000)
        for step in range(steps):
            pace.wait(step)
            if step == first:
                pace.begin()
            self.send(step % SLOTS, step // SLOTS)
            if step % READ_EVERY == 0:
                self.receive()
                self.look_after(step // READ_EVERY)
        figures = pace.figures()
        later = [peer.secured - peer.asked for peer in self.peers[self.legs :]
                 if peer.asked is not None and peer.secured is not None and peer.secured >= pace.began]  # fmt: skip
        return figures | {
            "forged": self.forged,
            "heard_rms": float(np.sqrt(np.mean(self.power))) if self.power else None,
            "handshakes_per_second": len(later) / figures["seconds"],
            "handshake_p50_ms": float(np.percentile(later, 50)) * 1e3 if later else None,
            "handshake_p99_ms": float(np.percentile(later, 99)) * 1e3 if later else None,
        }


def main() -> None:
    plan = json.loads(sys.stdin.readline())
    settle(plan["core"])
    generator = Generator(plan)
    own = [(peer.ufrag, peer.password, peer.socket.getsockname()) for peer in generator.peers]
    print(json.dumps({"peers": own, "fingerprint": CERTIFICATE.fingerprint()}), flush=True)
    target = json.loads(sys.stdin.readline())
    generator.call(target["calls"])
    print(json.dumps({"setup_seconds": generator.secure()}), flush=True)
    sys.stdin.readline()  # everybody is in the room

    def hear_more() -> None:
        for line in sys.stdin:
            generator.coming.put(json.loads(line))

    threading.Thread(target=hear_more, daemon=True).start()
    print(json.dumps(generator.run(plan["warm"], plan["seconds"], target["pids"])), flush=True)


if __name__ == "__main__":
    main()
