"""Streams of the endpoint on real loopback sockets: TCP, its limits, and connections that we open."""

import asyncio
import contextlib
import socket

import pytest

from sipconf.clock import SYSTEM_CLOCK
from sipconf.sip.edge.connection import StreamLimits
from sipconf.sip.events import Counted, Send
from sipconf.sip.flow import Flow
from tests.sip.edge.endpoint_house import OPTIONS, dial, ended, free_port, house, read


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
            await here.agent.until(lambda: here.agent.failed)
            assert set(here.agent.failed) == {flow} and here.endpoint.connections == 0
            assert "peer_reads_nothing" in [event.metric for event in here.events if isinstance(event, Counted)]


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


async def test_a_flood_of_keep_alives_is_not_echoed() -> None:
    limits = StreamLimits(keep_alives=3)
    async with house("tcp://127.0.0.1:0", limits=limits) as here, dial("127.0.0.1", here.port()) as (reader, writer):
        writer.write(b"\r\n\r\n" * 20_000 + OPTIONS)
        answer = await read(reader, len(OPTIONS) + 6)
        assert answer.endswith(OPTIONS) and len(answer) < 1000


async def test_what_came_in_one_breath_is_answered_to_the_last_even_where_the_peer_ends() -> None:
    async with house("tcp://127.0.0.1:0") as here, dial("127.0.0.1", here.port()) as (reader, writer):
        here.endpoint._turns._portion = 0.0  # one message until the loop looks around, and sees the end
        writer.write(OPTIONS * 500)
        writer.write_eof()
        assert await ended(reader) == OPTIONS * 500
        assert len(here.agent.heard) == 500


async def test_an_honest_newcomer_finds_room_beside_hundreds_who_hold_connections() -> None:
    """Idle ones, slow ones and strangers who said something once, from another address and from the same."""
    limits = StreamLimits(connections=200, per_source=60)
    async with house("tcp://0.0.0.0:0", limits=limits, in_use=lambda flow: False) as here:
        async with contextlib.AsyncExitStack() as stack:
            for number in range(300):
                source = (f"127.0.0.{10 + number % 5}", 0)
                reader, writer = await asyncio.open_connection("127.0.0.1", here.port(), local_addr=source)
                stack.callback(writer.close)
                writer.write((b"", OPTIONS[:40], OPTIONS)[number % 3])
            assert here.endpoint.connections <= 200
            for address in ("127.0.0.2", "127.0.0.10"):
                reader, writer = await asyncio.open_connection("127.0.0.1", here.port(), local_addr=(address, 0))
                stack.callback(writer.close)
                writer.write(OPTIONS)
                assert await read(reader, len(OPTIONS)) == OPTIONS


async def test_a_message_of_the_largest_size_passes_and_a_larger_one_ends_the_connection() -> None:
    async with house("tcp://127.0.0.1:0") as here:
        head = OPTIONS.replace(b"Content-Length: 4\r\n\r\nbody", b"Content-Length: 65000\r\n\r\n")
        async with dial("127.0.0.1", here.port()) as (reader, writer):
            writer.write(head + b"x" * 65000)
            assert len(await read(reader, len(head) + 65000)) == len(head) + 65000
        async with dial("127.0.0.1", here.port()) as (reader, writer):
            writer.write(head.replace(b"65000", b"650000000"))
            assert (await ended(reader)).startswith(b"SIP/2.0 513 ")
