"""An endpoint on real loopback sockets above a tiny agent with the user agent's doors, and peers that talk to it."""

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncIterator, Callable, Sequence

from sipconf.sip.edge.endpoint import Endpoint
from sipconf.sip.events import CloseFlow, Identity, IncomingCall, Output, Send
from sipconf.sip.flow import Flow

OPTIONS = (
    b"OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\n"
    b"Call-ID: c\r\nCSeq: 1 OPTIONS\r\nContent-Length: 4\r\n\r\nbody"
)


class Echo:
    """An agent that says back what it hears, and does what a few magic words tell it."""

    def __init__(self) -> None:
        self.heard: list[tuple[bytes, Flow, float]] = []
        self.failed: list[Flow] = []
        self.left: list[Flow] = []
        self.outputs: list[Output] = []
        self.due: float | None = None
        self.rung: list[float] = []
        self.changed = asyncio.Event()

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        self.changed.set()
        if b"stumble" in data:
            raise RuntimeError("a fault of ours")
        self.heard.append((data, flow, now))
        if b"close me" in data:
            self.outputs.append(CloseFlow(flow, "asked"))
        elif b"call" in data:
            self.outputs.append(IncomingCall("s", "c", Identity("user", "101"), "2001", "101", "", None, flow))
        else:
            self.outputs.append(Send(flow, data))

    def flow_failed(self, flow: Flow, now: float, for_good: bool = False) -> None:
        self.failed.append(flow)
        self.left += [flow] if for_good else []
        self.changed.set()

    def handle_timer(self, now: float) -> None:
        if self.due is not None and now >= self.due:
            self.due = None
            self.rung.append(now)
            self.changed.set()

    def next_timer(self) -> float | None:
        return self.due

    def take_outputs(self) -> Sequence[Output]:
        outputs, self.outputs = self.outputs, []
        return outputs

    async def until(self, condition: Callable[[], object]) -> None:
        """Waits for something to happen here until the condition holds; the test's time-out is the limit."""
        async with asyncio.timeout(60):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


class House:
    """One endpoint with its agent and the events that came up."""

    def __init__(self, *listen: str, **options: object) -> None:
        self.agent = Echo()
        self.events: list[object] = []
        self.endpoint = Endpoint(self.agent, listen, self._hear, **options)

    def _hear(self, events: list, now: float) -> None:
        self.events += events
        self.agent.changed.set()

    def port(self, number: int = 0) -> int:
        return self.endpoint.addresses[number][1][1]


@contextlib.asynccontextmanager
async def house(*listen: str, **options: object) -> AsyncIterator[House]:
    built = House(*listen, **options)
    await built.endpoint.start()
    try:
        yield built
    finally:
        await built.endpoint.stop()
        await asyncio.sleep(0)  # closed transports say so in the loop's next round


class Phone(asyncio.DatagramProtocol):
    """A UDP socket with a queue."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: tuple) -> None:
        self.queue.put_nowait(data)

    async def get(self) -> bytes:
        async with asyncio.timeout(60):
            return await self.queue.get()


@contextlib.asynccontextmanager
async def phone(host: str, port: int) -> AsyncIterator[tuple[asyncio.DatagramTransport, Phone]]:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(Phone, remote_addr=(host, port))
    try:
        yield transport, protocol
    finally:
        transport.close()


@contextlib.asynccontextmanager
async def dial(host: str, port: int, **tls: object) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(host, port, **tls)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def read(reader: asyncio.StreamReader, size: int) -> bytes:
    async with asyncio.timeout(60):
        return await reader.readexactly(size)


async def ended(reader: asyncio.StreamReader) -> bytes:
    """Everything up to the end of the stream, however it ends."""
    async with asyncio.timeout(60):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    """A port that is free on every address, and not one of those that the kernel gives to whoever asks meanwhile."""
    for port in random.sample(range(24_000, 28_000), 100):
        with socket.socket(socket.AF_INET, kind) as sock, contextlib.suppress(OSError):
            sock.bind(("0.0.0.0", port))
            return port
    raise OSError("no port is free")
