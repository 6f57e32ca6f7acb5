"""Target: a client's WebSocket frames. However they are cut they are read as a plain loop reads them, and no more is
held than a message and a read."""

import random

from sipconf.sip.websocket_frames import MAX_MESSAGE, FrameFault, FrameReader
from tests.fuzz.driver import Target, expect
from tests.fuzz.mutation import mutate
from tests.fuzz.seeds import MESSAGES
from tests.sim.websocket_client import head

LENGTHS = (0, 1, 3, 125, 126, 127, 300, 65535, 65536, 65537, 1 << 31, (1 << 64) - 1)
OPCODES = (0, 1, 1, 2, 8, 9, 10)
Outcome = tuple[list[tuple[int, bytes]], int | None]


class WebSocketFrames(Target):
    name = "frames"
    ending = "frames"

    def begin(self, rng: random.Random) -> None:
        self._rng = random.Random(rng.getrandbits(32))

    def make(self, rng: random.Random) -> bytes:
        data = b"".join(_frame(rng) for _ in range(rng.choice((1, 2, 3, 5))))
        return mutate(rng, data, MESSAGES) if rng.random() < 0.5 else data

    def judge(self, data: bytes) -> None:
        right = plainly(data)
        expect(_read([data]) == right, "otherwise than the plain loop")
        rng = self._rng
        at = sorted(int(rng.random() * (len(data) + 1)) for _ in range(rng.choice((1, 2, 5, 20))))
        expect(_read([data[a:b] for a, b in zip([0, *at], [*at, len(data)], strict=True)]) == right, f"cut at {at}")


def _frame(rng: random.Random) -> bytes:
    payload = rng.choice(MESSAGES) if rng.random() < 0.5 else rng.randbytes(rng.choice(LENGTHS[:7]))
    length = len(payload) if rng.random() < 0.9 else rng.choice(LENGTHS)
    mask = rng.randbytes(4) if rng.random() < 0.8 else b"\0\0\0\0"
    start = head(rng.choice(OPCODES), length, final=rng.random() < 0.7, masked=rng.random() < 0.97,
                 reserved=0 if rng.random() < 0.97 else rng.choice((0x10, 0x20, 0x40)))
    return start + mask + bytes(octet ^ mask[i % 4] for i, octet in enumerate(payload))


def plainly(data: bytes) -> Outcome:
    """RFC 6455 section 5 octet by octet, on everything at once: (messages and control frames, close code or None)."""
    frames: list[tuple[int, bytes]] = []
    message, kind, at = b"", 0, 0
    while len(data) - at >= 2:
        final, opcode, masked, length = data[at] >> 7, data[at] & 15, data[at + 1] >> 7, data[at + 1] & 127
        control = opcode >= 8
        if data[at] & 0x70 or opcode not in OPCODES or control and (not final or length > 125) or not masked:
            return frames, 1002
        if not control and bool(kind) == bool(opcode):
            return frames, 1002
        at += 2
        if length >= 126:
            size = 2 if length == 126 else 8
            if len(data) - at < size:
                break
            length = int.from_bytes(data[at : at + size])
            at += size
        if not control and length + len(message) > MAX_MESSAGE:
            return frames, 1009
        if len(data) - at < 4 + length:
            break
        payload = b"".join(bytes([data[at + 4 + i] ^ data[at + i % 4]]) for i in range(length))
        at += 4 + length
        if control:
            frames.append((opcode, payload))
            continue
        kind, message = kind or opcode, message + payload
        if final:
            if kind == 1 and message.decode(errors="ignore").encode() != message:
                return frames, 1007
            frames.append((kind, message))
            message, kind = b"", 0
    return frames, None


def _read(pieces: list[bytes]) -> Outcome:
    reader = FrameReader()
    frames: list[tuple[int, bytes]] = []
    try:
        for piece in pieces:
            reader.feed(piece)
            found = True
            while found:
                found, frame = reader.next()
                if frame is not None:
                    frames.append((int(frame.opcode), frame.payload))
            expect(len(reader._buffer) + len(reader._message) <= MAX_MESSAGE + 14 + len(piece), "too much is held")
    except FrameFault as fault:
        return frames, int(fault.code)
    return frames, None
