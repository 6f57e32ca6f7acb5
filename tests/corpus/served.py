"""A whole server to send odd things to: the simulated house, with two people talking in a room, behind real sockets.

Its endpoint listens on loopback, UDP, TCP and where asked WebSocket; the house's clock is counted, so nothing waits.
What the user agent says goes to the sockets where its peer is on loopback, and to the simulated network otherwise.
"""

import asyncio
import contextlib
import itertools
import random
import re
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sipconf.conference.directory import ConferenceSpec
from sipconf.listeners import websocket_carriers
from sipconf.media.plane import TICK_SECONDS
from sipconf.sip.digest import Authenticator, Challenge, Denied, Verified
from sipconf.sip.edge.endpoint import Endpoint
from sipconf.sip.events import CloseFlow, Send
from sipconf.sip.message import Request
from sipconf.web.app import WebServer, build_app
from tests.sim.house import House
from tests.sim.websocket_client import BINARY, TEXT, frame, handshake
from tests.web.web_house import House as Web

PATIENCE = 60.0
DIALLED = ("263", "3853", "1003", "702", "23", "303", "12345", "100", "2000", "5000", "300", "7001")
"""What the telephones of the collections dial: with the open profile it is there."""
_sources = itertools.count(1)


class Everybody(Authenticator):
    """Takes everybody's word for who he is, unless his credentials cannot even be read: the open profile."""

    def __init__(self) -> None:
        super().__init__("example.test", lambda user, source: None, ("MD5",), random.Random(1))

    def verify(self, request: Request, now: float, source: str = "") -> Verified | Challenge | Denied:
        verdict = super().verify(request, now, source)
        if isinstance(verdict, Denied):
            return verdict
        return Verified(request.to.uri.user or "" if request.method == "REGISTER" else "103")


class _Side:
    """One of two endpoints of the same user agent: the doors, with the outputs that are for this side."""

    def __init__(self, agent: Any, real: bool) -> None:
        self._agent, self._real = agent, real
        self._waiting: list[Any] = []
        self.other: _Side

    def receive(self, data: bytes, flow: Any, now: float) -> None:
        self._agent.receive(data, flow, now)

    def flow_failed(self, flow: Any, now: float, for_good: bool = False) -> None:
        self._agent.flow_failed(flow, now, for_good)

    def handle_timer(self, now: float) -> None:
        if not self._real:
            self._agent.handle_timer(now)

    def next_timer(self) -> float | None:
        return None if self._real else self._agent.next_timer()

    def take_outputs(self) -> list[Any]:
        for output in self._agent.take_outputs():
            to_wire = isinstance(output, Send | CloseFlow) and output.flow.remote[0].startswith("127.")
            (self if to_wire == self._real else self.other)._waiting.append(output)
        taken, self._waiting = self._waiting, []
        return taken


class _Clock:
    """The house's time."""

    def __init__(self, house: House) -> None:
        self._house = house

    def monotonic(self) -> float:
        return self._house.now

    def wall(self) -> float:
        return self._house.now + 1.7e9


@dataclass
class Heard:
    """What came back: whole messages as text, and whether the server closed the connection."""

    texts: list[str] = field(default_factory=list)
    closed: bool = False

    def statuses(self, cseq: str | None = None) -> list[int]:
        """Statuses, of the answers with this CSeq value alone where one is given."""
        return [int(text.split()[1]) for text in self.texts
                if text.startswith("SIP/2.0 ") and (cseq is None or header(text, "CSeq") == [cseq])]

    def requests(self) -> list[str]:
        return [text for text in self.texts if not text.startswith("SIP/2.0 ")]


class Served:
    """open_profile: everybody is let in without a question, and what they dial exists."""

    def __init__(self, open_profile: bool) -> None:
        rooms = [ConferenceSpec("Weekly", "2001")]
        if open_profile:
            rooms += [ConferenceSpec(number, number, tones=False) for number in DIALLED]
        self.house = House(*rooms, authenticator=Everybody() if open_profile else None, silence_timeout=1e9)
        self.people = [self.house.dial(self.house.phone(name), "2001") for name in ("101", "102")]
        self._wire, quiet = _Side(self.house.agent, True), _Side(self.house.agent, False)
        self._wire.other, quiet.other = quiet, self._wire
        self._quiet = quiet
        address = ("192.0.2.1", 5060)
        self.house.network.attach(
            address, quiet, lambda event, now: self.house.switchboard.receive_sip([event], now))
        self.house.until(lambda: all(self.house.trusted(phone) for phone in self.people), "both talk")
        self.house.run(1.0)

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator["Sockets"]:
        """Its endpoint on loopback."""
        endpoint = Endpoint(
            self._wire, ["udp://127.0.0.1:0", "tcp://127.0.0.1:0"], self.house.switchboard.receive_sip,
            _Clock(self.house))  # fmt: skip
        await endpoint.start()
        sockets = Sockets(self, endpoint)
        try:
            yield sockets
        finally:
            await sockets.close()
            await endpoint.stop()
            await asyncio.sleep(0)

    @contextlib.contextmanager
    def undisturbed(self) -> Iterator[None]:
        """What is done here costs the two people, who talk on, not one frame."""
        for phone in self.people:
            phone.forget()
        began = self.house.now
        yield
        self.house.run(0.1)
        one, two = self.people
        for listener, speaker in ((one, two), (two, one)):
            assert len(listener.packets) == round((self.house.now - began) / TICK_SECONDS)
            assert listener.gaps(speaker.pitch) == 0
            numbers = [packet.sequence for packet in listener.packets]
            assert all((b - a) & 0xFFFF == 1 for a, b in itertools.pairwise(numbers))

    def settle(self) -> None:
        """Everyone goes; nothing may be left in any table."""
        self.house.registrar.keep_only((), self.house.now)
        self.house.registrar.handle_timer(self.house.now + 1e6)  # it looks at what it has forgotten once more
        self.house.settle()


class Sockets:
    """Peers of the endpoint, each from a loopback address of its own, so that no limit per source is met."""

    def __init__(self, served: Served, endpoint: Endpoint) -> None:
        self.served, self.endpoint = served, endpoint
        ports = {transport: address[1] for transport, address in endpoint.addresses}
        self._ports = ports
        number = next(_sources)
        self.host = f"127.{10 + number // 250}.1.{1 + number % 250}"
        self._open: list[Any] = []
        self._web: WebServer | None = None

    async def peer(self, transport: str) -> "Peer":
        """A new socket or connection."""
        loop = asyncio.get_running_loop()
        if transport == "ws" and self._web is None:
            await self._listen_for_websockets()
        target = ("127.0.0.1", self._ports[transport])
        if transport == "udp":
            wire, peer = await loop.create_datagram_endpoint(Peer, local_addr=(self.host, 0), remote_addr=target)
        else:
            kind = WebSocketPeer if transport == "ws" else Peer
            wire, peer = await loop.create_connection(kind, *target, local_addr=(self.host, 0))
        peer.sockets = self
        self._open.append(wire)
        await peer.until(lambda: peer.is_ready)
        return peer

    async def _listen_for_websockets(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            app = build_app(Web(Path(folder)), carriers=websocket_carriers(self.endpoint))
        self._web = WebServer(app, [("127.0.0.1:0", None)])
        await self._web.start()
        self._ports["ws"] = self._web.addresses[0][1]

    def pass_time(self, seconds: float = 0.1) -> None:
        """Let the house work, and send what it has to say."""
        self.served.house.run(seconds)
        self.endpoint.pump(self.served.house.now)

    async def close(self) -> None:
        for wire in self._open:
            wire.close()
        if self._web is not None:
            await self._web.stop()


class Peer(asyncio.DatagramProtocol, asyncio.Protocol):
    """One socket's end: raw bytes out, whole messages in."""

    sockets: Sockets

    def __init__(self) -> None:
        self.heard = Heard()
        self.is_ready = True
        self._buffer = b""
        self._changed = asyncio.Event()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.is_stream = not hasattr(transport, "sendto")

    def datagram_received(self, data: bytes, addr: tuple) -> None:
        self._take(data)

    def data_received(self, data: bytes) -> None:
        self._buffer = (self._buffer + data).lstrip(b"\r\n")  # a pong, perhaps
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            length = int((header(self._buffer[: end + 2].decode("latin-1"), "Content-Length") or ["0"])[0])
            if len(self._buffer) < end + 4 + length:
                return
            self._take(self._buffer[: end + 4 + length])
            self._buffer = self._buffer[end + 4 + length :]

    def _take(self, data: bytes) -> None:
        self.heard.texts.append(data.decode("utf-8", "replace"))
        self._changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.heard.closed = True
        self._changed.set()

    def send(self, data: bytes) -> None:
        self.transport.write(data) if self.is_stream else self.transport.sendto(data)

    async def feed(self, data: bytes, piece: int = 0) -> None:
        """Send, in pieces of so many octets where it is a stream."""
        if not piece:
            self.send(data)
            return
        for at in range(0, len(data), piece):
            if self.heard.closed:
                return
            self.send(data[at : at + piece])
            if at % 64 == 0:
                await asyncio.sleep(0)  # so that the server reads in many small pieces

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def options(self) -> bool:
        """OPTIONS on this socket: what was sent before it is answered before it. False: the server closed."""
        call_id = f"barrier-{next(_sources)}"
        self.send(
            f"OPTIONS sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/{'TCP' if self.is_stream else 'UDP'} h.invalid;"
            f"branch=z9hG4bK{call_id};rport\r\nMax-Forwards: 70\r\nFrom: <sip:x@h.invalid>;tag=1\r\n"
            f"To: <sip:127.0.0.1>\r\nCall-ID: {call_id}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n".encode())
        mine = f"Call-ID: {call_id}\r\n"
        await self.until(lambda: self.heard.closed or any(mine in text for text in self.heard.texts))
        answers = [text for text in self.heard.texts if mine in text]
        self.heard.texts = [text for text in self.heard.texts if mine not in text]
        assert not answers or answers[0].startswith("SIP/2.0 200 "), answers
        return bool(answers)

    async def half_close(self) -> None:
        """Nothing more comes; until the server has closed too."""
        self.transport.write_eof()
        await self.until(lambda: self.heard.closed)


class WebSocketPeer(Peer):
    """A message in a binary frame, as a datagram is a message."""

    def __init__(self) -> None:
        super().__init__()
        self.is_ready = False

    def connection_made(self, transport: Any) -> None:
        self.transport, self.is_stream = transport, False
        transport.write(handshake().encode())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self.is_ready:
            head, end, self._buffer = self._buffer.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 101 ") and end
            self.is_ready = True
            self._changed.set()
        while len(self._buffer) >= 4:
            start, length = 2, self._buffer[1]
            if length == 126:
                start, length = 4, int.from_bytes(self._buffer[2:4])
            if len(self._buffer) < start + length:
                return
            if self._buffer[0] & 15 in (TEXT, BINARY):
                self._take(self._buffer[start : start + length])
            self._buffer = self._buffer[start + length :]

    def send(self, data: bytes) -> None:
        self.transport.write(frame(data, BINARY))


def header(text: str, name: str) -> list[str]:
    """Values of a header field as it stands in our own messages."""
    return re.findall(rf"^{name}: (.*?)\r?$", text.partition("\r\n\r\n")[0] + "\r\n", re.MULTILINE)
