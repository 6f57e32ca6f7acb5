"""The endpoint on real loopback sockets, UDP and TCP, IPv4 and IPv6, above a tiny agent with the user agent's doors."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from sipconf.clock import SYSTEM_CLOCK
from sipconf.errors import MisuseError, StartError
from sipconf.sip.edge.connection import StreamLimits
from sipconf.sip.edge.endpoint import Endpoint
from sipconf.sip.edge.resolver import resolve, resolve_trunks
from sipconf.sip.events import CloseFlow, Counted, Identity, IncomingCall, Output, RegistrationChanged, Send
from sipconf.sip.flow import Flow
from sipconf.sip.trunk import Trunks, TrunkSpec

OPTIONS = (
    b"OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\n"
    b"Call-ID: c\r\nCSeq: 1 OPTIONS\r\nContent-Length: 4\r\n\r\nbody"
)


class Echo:
    """An agent that says back what it hears, and does what a few magic words tell it."""

    def __init__(self) -> None:
        self.heard: list[tuple[bytes, Flow, float]] = []
        self.failed: list[Flow] = []
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

    def flow_failed(self, flow: Flow, now: float) -> None:
        self.failed.append(flow)
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
        async with asyncio.timeout(5):
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
        async with asyncio.timeout(5):
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
async def dial(host: str, port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def read(reader: asyncio.StreamReader, size: int) -> bytes:
    async with asyncio.timeout(5):
        return await reader.readexactly(size)


async def ended(reader: asyncio.StreamReader) -> bytes:
    """Everything up to the end of the stream, however it ends."""
    async with asyncio.timeout(5):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_udp_there_and_back(host: str) -> None:
    url = f"udp://[{host}]:0" if ":" in host else f"udp://{host}:0"
    before = SYSTEM_CLOCK.monotonic()
    async with house(url) as here, phone(host, here.port()) as (transport, protocol):
        transport.sendto(OPTIONS)
        assert await protocol.get() == OPTIONS
        (data, flow, now) = here.agent.heard[0]
        assert data == OPTIONS and before <= now <= SYSTEM_CLOCK.monotonic()
        assert flow == Flow("udp", transport.get_extra_info("sockname")[:2], (host, here.port()))


async def test_keep_alives_over_udp_are_nobodys_business() -> None:
    async with house("udp://127.0.0.1:0") as here, phone("127.0.0.1", here.port()) as (transport, protocol):
        for data in (b"", b"\r\n\r\n", b"\0\0\0\0", OPTIONS):
            transport.sendto(data)
        assert await protocol.get() == OPTIONS
        assert [data for data, _, _ in here.agent.heard] == [OPTIONS]


async def test_an_ipv6_wildcard_takes_ipv4_alone_and_leaves_it_beside_an_ipv4_listener() -> None:
    async with house("udp://[::]:0") as here, phone("127.0.0.1", here.port()) as (transport, protocol):
        transport.sendto(OPTIONS)
        assert await protocol.get() == OPTIONS
        assert here.agent.heard[0][1].remote == transport.get_extra_info("sockname"), "spelled as IPv4"
    for scheme, kind in (("udp", socket.SOCK_DGRAM), ("tcp", socket.SOCK_STREAM)):
        port = free_port(kind)
        async with house(f"{scheme}://[::]:{port}", f"{scheme}://0.0.0.0:{port}") as here:
            assert [address[1] for _, address in here.endpoint.addresses] == [port, port]


async def test_udp_answers_leave_by_the_listener_that_was_asked() -> None:
    async with house("udp://127.0.0.1:0", "udp://127.0.0.2:0", "udp://[::1]:0") as here:
        for number, host in enumerate(("127.0.0.1", "127.0.0.2", "::1")):
            async with phone(host, here.port(number)) as (transport, protocol):
                transport.sendto(OPTIONS)
                assert await protocol.get() == OPTIONS  # a connected socket hears its own peer only
                new = Flow("udp", transport.get_extra_info("sockname")[:2], ("198.51.100.1", 1))
                if number != 1:  # a flow of no listener: the first of the family
                    here.agent.outputs.append(Send(new, b"hello"))
                    here.endpoint.pump(SYSTEM_CLOCK.monotonic())
                    assert await protocol.get() == b"hello"


async def test_a_udp_flow_that_leads_nowhere_is_reported() -> None:
    async with house("udp://127.0.0.1:0") as here:
        lost = [
            Flow("udp", ("::1", 9), ("127.0.0.1", here.port())),
            Flow("udp", ("255.255.255.255", 9), ("127.0.0.1", here.port())),
            Flow("wss", ("127.0.0.1", 9), ("127.0.0.1", 1), 5),
        ]
        here.agent.outputs += [Send(flow, b"x") for flow in lost]
        here.endpoint.pump(SYSTEM_CLOCK.monotonic())
        assert here.agent.failed == [], "the agent is not called while it is asked"
        await here.agent.until(lambda: len(here.agent.failed) == 3)
        assert here.agent.failed == lost


@pytest.mark.parametrize("scheme", ["udp", "tcp"])
async def test_a_busy_port_is_one_clear_line_and_leaves_nothing_bound(scheme: str) -> None:
    async with house(f"{scheme}://127.0.0.1:0") as here:
        free = free_port()
        with pytest.raises(StartError) as error:
            await House(f"tcp://127.0.0.1:{free}", f"{scheme}://127.0.0.1:{here.port()}").endpoint.start()
        assert f"cannot listen on {scheme}://127.0.0.1:{here.port()}: address already in use; " in str(error.value)
        async with house(f"tcp://127.0.0.1:{free}"):
            pass


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("tls://127.0.0.1:5061", "without a certificate"),
        ("sctp://127.0.0.1:5061", "sctp is not available"),
        ("udp://127.0.0.1", "write it like"),
        ("5060", "write it like"),
        ("udp://127.0.0.1:70000", "write it like"),
        ("udp://192.0.2.77:0", "no such address"),
        ("udp://no.such.host.invalid:0", "cannot listen on udp://no.such.host.invalid:0"),
    ],
)
async def test_an_address_that_cannot_be_listened_on(url: str, part: str) -> None:
    with pytest.raises(StartError, match=part):
        await House(url).endpoint.start()


async def test_one_faulty_message_is_logged_counted_and_harms_no_other(caplog: pytest.LogCaptureFixture) -> None:
    async with house("udp://127.0.0.1:0") as here, phone("127.0.0.1", here.port()) as (transport, protocol):
        for _ in range(100):
            transport.sendto(b"stumble over s3cret")
        transport.sendto(OPTIONS)
        assert await protocol.get() == OPTIONS
        assert here.events.count(Counted("agent_exception")) == 100
    assert "RuntimeError: a fault of ours" in caplog.text and "s3cret" not in caplog.text
    assert caplog.text.count("Traceback") <= 20, "a flood must not fill the disk"


async def test_events_go_up_and_orders_given_meanwhile_go_out() -> None:
    async with house("udp://127.0.0.1:0") as here, phone("127.0.0.1", here.port()) as (transport, protocol):
        told_meanwhile: list[object] = []

        def answer(events: list, now: float) -> None:
            here.events += events
            if isinstance(events[0], IncomingCall):
                here.agent.outputs += [Send(events[0].flow, b"ringing"), RegistrationChanged("101", 1)]
                here.endpoint.pump(now)
                told_meanwhile.extend(here.events[1:])
                raise RuntimeError("a fault above")

        here.endpoint._on_events = answer
        transport.sendto(b"call")
        assert await protocol.get() == b"ringing"
        kinds = [type(event).__name__ for event in here.events]
        assert kinds == ["IncomingCall", "RegistrationChanged", "Counted"]
        assert told_meanwhile == [], "no event is told while another is being worked on"


async def test_the_alarm_rings_when_due_and_an_earlier_one_overtakes() -> None:
    async with house("udp://127.0.0.1:0") as here:
        start = SYSTEM_CLOCK.monotonic()
        here.agent.due = start + 3600
        here.endpoint.pump(start)
        here.agent.due = due = start + 0.05
        here.endpoint.pump(start)
        await here.agent.until(lambda: here.agent.rung)
        assert here.agent.rung[0] >= due


# --- streams ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_tcp_in_one_piece_and_in_crumbs(host: str) -> None:
    async with house(f"tcp://[{host}]:0" if ":" in host else f"tcp://{host}:0") as here:
        async with dial(host, here.port()) as (reader, writer):
            writer.write(OPTIONS + OPTIONS)
            assert await read(reader, 2 * len(OPTIONS)) == OPTIONS * 2
            for byte in OPTIONS:
                writer.write(bytes([byte]))
                await writer.drain()
            assert await read(reader, len(OPTIONS)) == OPTIONS
            name = writer.get_extra_info("sockname")[:2]
            flow = here.agent.heard[0][1]
            assert flow == Flow("tcp", name, (host, here.port()), flow.connection) and flow.connection is not None
            assert here.agent.failed == []
        await here.agent.until(lambda: here.agent.failed)
        assert here.agent.failed == [flow]


async def test_a_keep_alive_is_answered_with_one_crlf() -> None:
    async with house("tcp://127.0.0.1:0") as here, dial("127.0.0.1", here.port()) as (reader, writer):
        writer.write(b"\r\n\r\n")
        assert await read(reader, 2) == b"\r\n"
        writer.write(b"\r\n\r\n" + OPTIONS)
        assert sorted(await read(reader, 2 + len(OPTIONS))) == sorted(b"\r\n" + OPTIONS)
        assert len(here.agent.heard) == 1


async def test_lost_framing_is_answered_and_closed() -> None:
    async with house("tcp://127.0.0.1:0") as here, dial("127.0.0.1", here.port()) as (reader, writer):
        writer.write(OPTIONS + OPTIONS.replace(b"Content-Length: 4", b"Content-Length: five"))
        answer = await ended(reader)
        assert answer.startswith(OPTIONS) and answer[len(OPTIONS) :].startswith(b"SIP/2.0 400 ")
        assert len(here.agent.heard) == 1
        await here.agent.until(lambda: len(here.agent.failed) == 1)


async def test_the_agent_can_close_a_connection() -> None:
    async with house("tcp://127.0.0.1:0") as here, dial("127.0.0.1", here.port()) as (reader, writer):
        writer.write(OPTIONS.replace(b"Content-Length: 4\r\n\r\nbody", b"Content-Length: 8\r\n\r\nclose me") + OPTIONS)
        assert await ended(reader) == b"" and len(here.agent.heard) == 1


async def test_a_connection_is_opened_used_and_its_loss_reported() -> None:
    accepted: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    server = await asyncio.start_server(lambda *pair: accepted.put_nowait(pair), "127.0.0.1", 0)
    async with house("tcp://127.0.0.2:0") as here:
        flow = Flow("tcp", server.sockets[0].getsockname(), ("127.0.0.2", here.port()))
        here.agent.outputs += [Send(flow, b"one "), Send(flow, b"two ")]
        here.endpoint.pump(SYSTEM_CLOCK.monotonic())
        reader, writer = await accepted.get()
        assert await read(reader, 8) == b"one two "
        assert writer.get_extra_info("peername")[0] == "127.0.0.2", "from the address that the flow names"
        here.agent.outputs.append(Send(flow, b"three"))
        here.endpoint.pump(SYSTEM_CLOCK.monotonic())
        assert await read(reader, 5) == b"three" and accepted.empty(), "the same connection"
        writer.write(OPTIONS)
        assert await read(reader, len(OPTIONS)) == OPTIONS
        back = here.agent.heard[0][1]
        assert back.remote == flow.remote and back.connection is not None
        writer.close()
        await here.agent.until(lambda: len(here.agent.failed) == 2)
        assert here.agent.failed == [back, flow], "both the connection and what was asked for"
        here.agent.outputs.append(Send(back, b"late"))
        here.endpoint.pump(SYSTEM_CLOCK.monotonic())
        await here.agent.until(lambda: len(here.agent.failed) == 3)
    server.close()
    await server.wait_closed()


async def test_a_connection_that_cannot_be_opened_is_reported_once_per_flow() -> None:
    async with house("tcp://127.0.0.1:0") as here:
        flow = Flow("tcp", ("127.0.0.1", free_port()), ("0.0.0.0", here.port()))
        here.agent.outputs += [Send(flow, b"x")] * 3
        here.endpoint.pump(SYSTEM_CLOCK.monotonic())
        await here.agent.until(lambda: here.agent.failed)
        assert here.agent.failed == [flow]


async def test_connecting_has_a_time_limit() -> None:
    with socket.socket() as full:  # a listener whose queue is full answers no SYN
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
            fillers.append(filler)
        async with house("tcp://127.0.0.1:0", limits=StreamLimits(connect=0.2)) as here:
            flow = Flow("tcp", full.getsockname(), ("0.0.0.0", here.port()))
            here.agent.outputs += [Send(flow, b"x")]
            here.endpoint.pump(SYSTEM_CLOCK.monotonic())
            await here.agent.until(lambda: here.agent.failed)
            assert here.agent.failed == [flow]
        for filler in fillers:
            filler.close()


@pytest.mark.parametrize(
    "said", [b"", b"\r\n\r\n", b"OPTIONS sip:x SIP/2.0\r\nVia: ", OPTIONS, OPTIONS + OPTIONS[:30]]
)
async def test_silence_has_its_limits(said: bytes) -> None:
    limits = StreamLimits(first_message=0.1, message=0.15, idle=0.2)
    # In use or not, an unfinished message has its own limit
    async with house("tcp://127.0.0.1:0", limits=limits, in_use=lambda flow: said != OPTIONS) as here:
        start = SYSTEM_CLOCK.monotonic()
        async with dial("127.0.0.1", here.port()) as (reader, writer):
            writer.write(said)
            await ended(reader)
            assert SYSTEM_CLOCK.monotonic() - start >= 0.1


@pytest.mark.parametrize("reason", ["registered", "call"])
async def test_a_connection_in_use_may_be_silent(reason: str) -> None:
    limits = StreamLimits(first_message=0.1, idle=0.1)
    async with house("tcp://127.0.0.1:0", limits=limits, in_use=lambda flow: reason == "registered") as here:
        async with dial("127.0.0.1", here.port()) as (reader, writer), dial("127.0.0.1", here.port()) as (other, _):
            writer.write(OPTIONS.replace(b"body", b"call") if reason == "call" else OPTIONS)
            await here.agent.until(lambda: here.agent.heard)
            assert await ended(other) == b"", "the silent neighbour goes"
            await asyncio.sleep(0.15)
            writer.write(OPTIONS)
            await here.agent.until(lambda: len(here.agent.heard) == 2)


async def test_newcomers_push_out_who_never_spoke_but_nobody_who_did() -> None:
    async with house("tcp://127.0.0.1:0", limits=StreamLimits(per_source=2)) as here:
        async with (
            dial("127.0.0.1", here.port()) as (first, first_writer),
            dial("127.0.0.1", here.port()) as (silent, _),
        ):
            first_writer.write(OPTIONS)
            assert await read(first, len(OPTIONS)) == OPTIONS
            async with dial("127.0.0.1", here.port()) as (third, third_writer):
                assert await ended(silent) == b""
                third_writer.write(OPTIONS)
                assert await read(third, len(OPTIONS)) == OPTIONS
                async with dial("127.0.0.1", here.port()) as (fourth, _):
                    assert await ended(fourth) == b"", "two have spoken: there is no room"
                first_writer.write(OPTIONS)
                assert await read(first, len(OPTIONS)) == OPTIONS
        await here.agent.until(lambda: len(here.agent.failed) >= 2)


async def test_a_peer_that_reads_nothing_is_dropped() -> None:
    async with house("tcp://127.0.0.1:0", limits=StreamLimits(write_buffer=1000)) as here:
        async with dial("127.0.0.1", here.port()) as (_reader, writer):
            writer.write(OPTIONS)
            await here.agent.until(lambda: here.agent.heard)
            flow = here.agent.heard[0][1]
            for _ in range(200):
                here.agent.outputs.append(Send(flow, b"x" * 65536))
            here.endpoint.pump(SYSTEM_CLOCK.monotonic())
            await here.agent.until(lambda: flow in here.agent.failed)


async def test_stopping_closes_connections_and_reports_none() -> None:
    async with house("tcp://127.0.0.1:0", "udp://127.0.0.1:0") as here:
        async with dial("127.0.0.1", here.port()) as (reader, writer):
            writer.write(OPTIONS)
            assert await read(reader, len(OPTIONS)) == OPTIONS
            here.agent.outputs.append(Send(here.agent.heard[0][1], b"BYE"))
            await here.endpoint.stop()
            assert await ended(reader) == b"BYE", "what was still to be said is said"
            assert here.agent.failed == []
        async with house(f"udp://127.0.0.1:{here.port(1)}"):
            pass


async def test_another_transport_brings_its_carrier() -> None:
    class Carrier:
        def __init__(self) -> None:
            self.sent: list[tuple[Flow, bytes]] = []

        def send(self, flow: Flow, data: bytes) -> None:
            self.sent.append((flow, data))

        def close(self, flow: Flow, reason: str) -> None:
            self.sent.append((flow, b""))

    async with house("udp://127.0.0.1:0") as here:
        carrier = Carrier()
        here.endpoint.add_carrier("ws", carrier)
        with pytest.raises(MisuseError):
            here.endpoint.add_carrier("udp", carrier)
        flow = Flow("ws", ("192.0.2.1", 1), ("127.0.0.1", 8080), 1)
        here.endpoint.receive(OPTIONS, flow)
        here.endpoint.receive(b"close me", flow)
        assert carrier.sent == [(flow, OPTIONS), (flow, b"")]


# --- names -----------------------------------------------------------------------------------------------------------
async def test_names_are_resolved_with_limits() -> None:
    assert await resolve("192.0.2.1", 5060) == (("192.0.2.1", 5060),)
    assert ("127.0.0.1", 5060) in await resolve("localhost", 5060)

    async def crowd(host: str, port: int) -> list[tuple[str, int]]:
        odd = ["0.0.0.0", "239.1.1.1", "192.0.2.1", "::ffff:192.0.2.1"]
        return [(address, port) for address in odd + [f"198.51.100.{n}" for n in range(50)]]

    found = await resolve("h.example", 5060, lookup=crowd)
    assert found[0] == ("192.0.2.1", 5060) and len(found) == 8 and len(set(found)) == 8

    async def never(host: str, port: int) -> list[tuple[str, int]]:
        await asyncio.Event().wait()
        raise AssertionError

    assert await resolve("h.example", 5060, lookup=never, timeout=0.01) == ()


async def test_trunks_learn_their_addresses() -> None:
    class Named:
        def __init__(self, name: str, host: str) -> None:
            self.name = name
            self.host_port = (host, 5060)

    async def book(host: str, port: int) -> list[tuple[str, int]]:
        if host != "sip.example":
            raise OSError("no such name")
        return [("203.0.113.7", port)]

    trunks = Trunks([TrunkSpec("a", frozenset()), TrunkSpec("b", frozenset({"192.0.2.9"}))])
    named = [Named("a", "sip.example"), Named("b", "x.invalid"), Named("gone", "sip.example")]
    await resolve_trunks(trunks, named, lookup=book)
    assert trunks.match("203.0.113.7").name == "a" and trunks.match("192.0.2.9").name == "b"
