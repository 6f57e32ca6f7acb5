"""A WebSocket client of bare sockets, written from RFC 6455 without a line of ours: it can also misbehave."""

import asyncio
import base64
import contextlib
import hashlib
import os
import ssl
import struct
from collections.abc import AsyncIterator

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
PATIENCE = 60  # seconds; judges nothing


def handshake(path: str = "/ws", *, protocol: str | None = "sip", origin: str | None = None, extra: str = "") -> str:
    """What a browser asks."""
    lines = [f"GET {path} HTTP/1.1", "Host: localhost", "Upgrade: websocket", "Connection: keep-alive, Upgrade",
             f"Sec-WebSocket-Key: {base64.b64encode(b'0123456789abcdef').decode()}", "Sec-WebSocket-Version: 13",
             "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"]
    lines += [f"Sec-WebSocket-Protocol: {protocol}"] * (protocol is not None)
    lines += [f"Origin: {origin}"] * (origin is not None)
    return "\r\n".join(lines) + "\r\n" + extra + "\r\n"


def head(opcode: int, length: int, *, final: bool = True, masked: bool = True, reserved: int = 0) -> bytes:
    """A frame's head without the mask's octets; its length need not be true."""
    first, mask = opcode | (0x80 if final else 0) | reserved, 0x80 if masked else 0
    if length < 126:
        return bytes([first, mask | length])
    if length < 1 << 16:
        return bytes([first, mask | 126]) + struct.pack("!H", length)
    return bytes([first, mask | 127]) + struct.pack("!Q", length)


def frame(data: bytes | str, opcode: int = TEXT, *, final: bool = True) -> bytes:
    """A client's frame."""
    data = data.encode() if isinstance(data, str) else data
    mask = os.urandom(4)
    return head(opcode, len(data), final=final) + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data))


class Client:
    """One connection after its handshake."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.answers_pings = True

    @property
    def address(self) -> tuple[str, int]:
        return self.writer.get_extra_info("sockname")[:2]

    def send(self, data: bytes | str, opcode: int = TEXT) -> None:
        self.writer.write(frame(data, opcode))

    async def frame(self) -> tuple[int, bytes]:
        """(opcode, payload) of the server's next frame. Raises IncompleteReadError at the end."""
        async with asyncio.timeout(PATIENCE):
            first, length = await self.reader.readexactly(2)
            assert first & 0xF0 == 0x80, "the server neither fragments nor compresses"
            assert length < 128, "a server does not mask"
            if length == 126:
                length = int.from_bytes(await self.reader.readexactly(2))
            elif length == 127:
                length = int.from_bytes(await self.reader.readexactly(8))
            return first & 15, await self.reader.readexactly(length)

    async def message(self) -> str:
        """The server's next message; pings are answered on the way."""
        while True:
            opcode, payload = await self.frame()
            if opcode == PING and self.answers_pings:
                self.send(payload, PONG)
            elif opcode in (TEXT, BINARY):
                return payload.decode()
            elif opcode == CLOSE:
                raise AssertionError(f"closed: {int.from_bytes(payload[:2])} {payload[2:]!r}")

    async def closed(self) -> int:
        """The code that the server closes with; 0 where it says none."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                opcode, payload = await self.frame()
                if opcode == CLOSE:
                    async with asyncio.timeout(PATIENCE):
                        assert await self.reader.read() == b""
                    return int.from_bytes(payload[:2])
        return 0


async def ask(port: int, text: str, *, tls: ssl.SSLContext | None = None, source: str = "127.0.0.1",
              ) -> tuple[str, asyncio.StreamReader, asyncio.StreamWriter]:
    """Sends a request; (the head of its answer, the connection)."""
    name = {} if tls is None else {"server_hostname": "localhost"}
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls, local_addr=(source, 0), **name)
    writer.write(text.encode())
    async with asyncio.timeout(PATIENCE):
        return (await reader.readuntil(b"\r\n\r\n")).decode(), reader, writer


@contextlib.asynccontextmanager
async def connect(port: int, path: str = "/ws", **options: object) -> AsyncIterator[Client]:
    """A connection by a good handshake."""
    extra = options.pop("extra", "")
    answer, reader, writer = await ask(port, handshake(path, extra=extra), **options)
    lines = answer.split("\r\n")
    accepted = base64.b64encode(hashlib.sha1(f"MDEyMzQ1Njc4OWFiY2RlZg=={GUID}".encode()).digest()).decode()
    fields = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
    assert lines[0].startswith("HTTP/1.1 101 "), answer
    assert f"Sec-WebSocket-Accept: {accepted}" in lines and fields["sec-websocket-protocol"] == "sip"
    assert fields["upgrade"] == "websocket" and fields["connection"].lower() == "upgrade"
    assert "sec-websocket-extensions" not in fields and "transfer-encoding" not in fields
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
