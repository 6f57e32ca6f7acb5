"""Frames in one piece and in crumbs, the ones that nobody may send, and the mask against a plain loop."""

import random

import pytest

from sipconf.sip.websocket_frames import (
    MAX_MESSAGE,
    CloseCode,
    Frame,
    FrameFault,
    FrameReader,
    Opcode,
    closing,
    message,
    written,
)
from tests.sim.websocket_client import BINARY, CLOSE, PING, TEXT, frame, head

CONTINUATION = 0


def read_all(data: bytes, piece: int) -> list[Frame]:
    reader, frames = FrameReader(), []
    for start in range(0, len(data), piece):
        reader.feed(data[start : start + piece])
        while True:
            found, got = reader.next()
            if got is not None:
                frames.append(got)
            if not found:
                break
    assert not reader.pending
    return frames


@pytest.mark.parametrize("piece", [1, 2, 7, 1 << 20])
def test_whatever_the_pieces_the_messages_are_the_same(piece: int) -> None:
    data = b"".join([
        frame("one"), frame(b"\xff\x00", BINARY), frame(""), frame("two ", final=False), frame(b"?", PING),
        frame("", CONTINUATION, final=False), frame("three", CONTINUATION), frame(b"x" * 126), frame(b"y" * 66, BINARY),
        frame("caf\u00e9"[:3], final=False), frame("\u00e9", CONTINUATION), frame(b"\x03\xe8", CLOSE),
    ])
    assert read_all(data, piece) == [
        Frame(Opcode.TEXT, b"one"), Frame(Opcode.BINARY, b"\xff\x00"), Frame(Opcode.TEXT, b""),
        Frame(Opcode.PING, b"?"), Frame(Opcode.TEXT, b"two three"), Frame(Opcode.TEXT, b"x" * 126),
        Frame(Opcode.BINARY, b"y" * 66), Frame(Opcode.TEXT, "caf\u00e9".encode()), Frame(Opcode.CLOSE, b"\x03\xe8"),
    ]


@pytest.mark.parametrize("length", [0, 1, 3, 4, 5, 125, 126, 1000, MAX_MESSAGE])
def test_the_mask_against_a_plain_loop(length: int) -> None:
    payload = random.Random(length).randbytes(length)  # `frame` masks octet by octet
    assert read_all(frame(payload, BINARY), 1 << 20) == [Frame(Opcode.BINARY, payload)]


@pytest.mark.parametrize(("data", "code"), [
    (head(TEXT, 3, masked=False) + b"abc", CloseCode.PROTOCOL_ERROR),
    (head(TEXT, 3, reserved=0x40), CloseCode.PROTOCOL_ERROR),
    (head(TEXT, 3, reserved=0x10), CloseCode.PROTOCOL_ERROR),
    (head(3, 3), CloseCode.PROTOCOL_ERROR),
    (head(11, 3), CloseCode.PROTOCOL_ERROR),
    (head(PING, 126), CloseCode.PROTOCOL_ERROR),
    (head(PING, 1, final=False), CloseCode.PROTOCOL_ERROR),
    (frame("x", CONTINUATION), CloseCode.PROTOCOL_ERROR),
    (frame("x", final=False) + frame("y"), CloseCode.PROTOCOL_ERROR),
    (frame(b"\xff"), CloseCode.NOT_TEXT),
    (frame(b"\xc3", final=False) + frame(b"\x28", CONTINUATION), CloseCode.NOT_TEXT),
    (head(TEXT, MAX_MESSAGE + 1), CloseCode.TOO_BIG),
    (head(BINARY, 100 << 20), CloseCode.TOO_BIG),
    (head(BINARY, (1 << 64) - 1), CloseCode.TOO_BIG),
    (frame(b"x" * MAX_MESSAGE, final=False) + head(CONTINUATION, 1), CloseCode.TOO_BIG),
])
def test_what_nobody_may_send(data: bytes, code: CloseCode) -> None:
    with pytest.raises(FrameFault) as fault:
        read_all(data, 1 << 20)
    assert fault.value.code is code


@pytest.mark.parametrize("length", [0, 125, 126, 65535, 65536])
def test_what_we_write(length: int) -> None:
    data = written(Opcode.BINARY, b"z" * length)
    assert data == head(BINARY, length, masked=False) + b"z" * length


def test_a_message_is_text_where_it_can_be() -> None:
    assert message("caf\u00e9".encode())[0] == 0x81 and message(b"\xe9")[0] == 0x82
    assert closing(CloseCode.TOO_BIG, "x" * 200) == b"\x88\x7d\x03\xf1" + b"x" * 123
