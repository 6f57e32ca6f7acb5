"""Connections of SIP over WebSocket on real sockets: what peers may do, how long, how many and how much."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from sipconf.sip.edge.connection import StreamLimits
from sipconf.sip.events import Send
from sipconf.sip.flow import Flow
from tests.sim.websocket_client import BINARY, CLOSE, PING, PONG, TEXT, Client, connect, frame, handshake, head
from tests.sim.websocket_house import WebSocketHouse, echoing
from tests.sip.edge.endpoint_house import OPTIONS

CONTINUATION = 0
CALL = OPTIONS.replace(b"body", b"call")


async def echoed(client: Client) -> None:
    client.send(OPTIONS)
    assert await client.message() == OPTIONS.decode()


async def counts(house: WebSocketHouse, metric: str) -> None:
    await house.agent.until(lambda: metric in house.counted())


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
async def test_text_and_binary_are_one_and_fragments_are_put_together(tmp_path: Path, opcode: int) -> None:
    async with echoing(tmp_path) as house, connect(house.port) as client:
        client.send(OPTIONS, opcode)
        assert await client.message() == OPTIONS.decode()
        client.writer.write(frame(OPTIONS[:50], opcode, final=False) + frame(b"still there?", PING))
        assert await client.frame() == (PONG, b"still there?")
        client.writer.write(frame(OPTIONS[50:60], CONTINUATION, final=False) + frame(OPTIONS[60:], CONTINUATION))
        assert await client.message() == OPTIONS.decode()
        assert [data for data, _, _ in house.agent.heard] == [OPTIONS, OPTIONS]
        flow = house.agent.heard[0][1]
        assert flow == Flow("ws", client.address, ("127.0.0.1", house.port), flow.connection)


async def test_a_frame_that_came_with_the_handshake_and_one_in_crumbs(tmp_path: Path) -> None:
    async with echoing(tmp_path) as house:
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        writer.write(handshake().encode() + frame(OPTIONS))
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        client = Client(reader, writer)
        assert await client.message() == OPTIONS.decode()
        for octet in frame(OPTIONS):
            writer.write(bytes([octet]))
            await writer.drain()
        assert await client.message() == OPTIONS.decode()
        writer.close()


async def test_keep_alives(tmp_path: Path) -> None:
    async with echoing(tmp_path) as house, connect(house.port) as client:
        client.send("\r\n\r\n")
        assert await client.frame() == (TEXT, b"\r\n")
        client.send("\r\n")  # the answer to one of ours, were there any
        client.send("")
        await echoed(client)
        for _ in range(100):
            client.send("\r\n\r\n")
            client.send(b"", PING)
        client.send(OPTIONS)
        answers = 0
        while (got := await client.frame()) != (TEXT, OPTIONS):
            assert got in ((TEXT, b"\r\n"), (PONG, b""))
            answers += 1
        assert answers <= 2 * StreamLimits().keep_alives  # should the second turn meanwhile


async def test_what_came_before_the_end_is_heard(tmp_path: Path) -> None:
    async with echoing(tmp_path) as house:
        async with connect(house.port) as client:
            client.writer.write(frame(OPTIONS) * 5)
            await client.writer.drain()
        await house.agent.until(lambda: house.agent.failed)
        assert len(house.agent.heard) == 5 and set(house.agent.failed) == {house.agent.heard[0][1]}
        assert len(house.endpoint.floor.crowd) == 0 and len(house.carriers["ws"]) == 0


@pytest.mark.parametrize(("payload", "left"), [(b"\x03\xe8bye", False), (b"", False), (b"\x03\xe9", True)])
async def test_a_close_is_answered_and_a_page_that_is_left_does_not_come_back(
    tmp_path: Path, payload: bytes, left: bool
) -> None:
    async with echoing(tmp_path) as house, connect(house.port) as client:
        await echoed(client)
        client.send(payload, CLOSE)
        assert await client.closed() == 1000
        await house.agent.until(lambda: house.agent.failed)
        assert bool(house.agent.left) == left


@pytest.mark.parametrize(("data", "code"), [
    (head(TEXT, len(OPTIONS), masked=False) + OPTIONS, 1002),
    (head(BINARY, 100 << 20) + b"mask", 1009),
    (frame(b"\xff\xfe"), 1007),
    (b"GET / HTTP/1.1\r\n\r\n", 1002),
])
async def test_what_nobody_may_send_ends_the_connection_and_no_other(tmp_path: Path, data: bytes, code: int) -> None:
    async with echoing(tmp_path) as house, connect(house.port) as other, connect(house.port) as client:
        await echoed(other)
        await echoed(client)
        client.writer.write(data + frame(CALL))
        assert await client.closed() == code
        await counts(house, "websocket_frames")
        await echoed(other)
        assert all(data == OPTIONS for data, _, _ in house.agent.heard)


async def test_who_goes_on_sending_is_told_why_it_ends(tmp_path: Path) -> None:
    async with echoing(tmp_path) as house, connect(house.port) as client:
        client.writer.write(head(BINARY, 100 << 20) + b"mask" + b"x" * (8 << 20))
        assert await client.closed() == 1009


async def test_the_agent_can_close_a_connection_and_the_end_of_the_server_too(tmp_path: Path) -> None:
    async with echoing(tmp_path) as house, connect(house.port) as one, connect(house.port) as other:
        one.send(b"close me")
        assert await one.closed() == 1000
        await echoed(other)
        await house.endpoint.stop()
        assert await other.closed() == 1001


async def test_nothing_can_be_sent_where_nobody_is(tmp_path: Path) -> None:
    flows = [Flow("ws", ("127.0.0.1", 9), ("127.0.0.1", 1), 77), Flow("wss", ("127.0.0.1", 9), ("::", 1))]
    async with echoing(tmp_path) as house:
        for count, flow in enumerate(flows, start=1):
            house.agent.outputs.append(Send(flow, OPTIONS))
            house.endpoint.pump(0.0)
            await house.agent.until(lambda count=count: len(house.agent.failed) == count)
        assert house.agent.failed == flows


# --- how long -----------------------------------------------------------------------------------------------------
async def test_who_says_nothing_goes_and_who_pings_says_nothing(tmp_path: Path) -> None:
    async with echoing(tmp_path, limits=StreamLimits(first_message=0.1)) as house:
        async with connect(house.port) as silent, connect(house.port) as pinging:
            pinging.send(b"", PING)
            pinging.send("\r\n\r\n")
            assert await silent.closed() == 0 and await pinging.closed() == 0
            await counts(house, "no_first_message")
    assert house.agent.failed == []


async def test_a_slow_frame(tmp_path: Path) -> None:
    async with echoing(tmp_path, limits=StreamLimits(message=0.2)) as house, connect(house.port) as client:
        await echoed(client)
        client.writer.write(frame(OPTIONS[:9], final=False))
        with contextlib.suppress(ConnectionError, RuntimeError):  # uvloop's word for a closed transport
            while not client.reader.at_eof():  # an empty fragment after the other is no progress
                client.writer.write(frame("", CONTINUATION, final=False))
                await client.writer.drain()
                await asyncio.sleep(0.01)
        await counts(house, "message_unfinished")
        assert [data for data, _, _ in house.agent.heard] == [OPTIONS], "nothing of the unfinished message"
        assert [flow.remote for flow in house.agent.failed] == [client.address]


async def test_silence_is_pinged_and_the_dead_are_dropped(tmp_path: Path) -> None:
    limits = StreamLimits(ping=0.05, pong=0.2)
    async with echoing(tmp_path, limits=limits) as house, connect(house.port) as dead, connect(house.port) as alive:
        await echoed(dead)
        await echoed(alive)
        for _ in range(8):
            assert await alive.frame() == (PING, b"")
            alive.send(b"", PONG)
        await counts(house, "websocket_dead")
        await echoed(alive)
        assert [flow.remote for flow in house.agent.failed] == [dead.address]


async def test_strangers_idle_and_callers_do_not(tmp_path: Path) -> None:
    limits = StreamLimits(idle=0.2, ping=0.05)
    async with echoing(tmp_path, limits=limits, in_use=lambda flow: False) as house:
        async with connect(house.port) as stranger, connect(house.port) as caller:
            await echoed(stranger)
            caller.send(CALL)
            stranger_end = asyncio.create_task(_answers_pings(stranger))
            caller_end = asyncio.create_task(_answers_pings(caller))
            await counts(house, "connection_idle")
            await stranger_end
            assert not caller_end.done()
            caller_end.cancel()
            assert [flow.remote for flow in house.agent.failed] == [stranger.address]


async def _answers_pings(client: Client) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        await client.message()


# --- how many, how much -------------------------------------------------------------------------------------------
async def test_a_crowd_that_says_nothing_leaves_room(tmp_path: Path) -> None:
    limits = StreamLimits(per_source=20, connections=30, ping=600.0, first_message=600.0)
    async with echoing(tmp_path, limits=limits) as house, contextlib.AsyncExitStack() as stack:
        registered = await stack.enter_async_context(connect(house.port))
        registered.send(CALL)  # in a call
        await house.agent.until(lambda: house.events)
        for number in range(100):
            await stack.enter_async_context(connect(house.port, source=f"127.0.1.{number % 5 + 1}"))
            assert len(house.endpoint.floor.crowd) <= 30
        newcomer = await stack.enter_async_context(connect(house.port, source="127.0.1.1"))
        await echoed(newcomer)
        await echoed(registered)


async def test_no_room(tmp_path: Path) -> None:
    async with echoing(tmp_path, limits=StreamLimits(per_source=1)) as house, connect(house.port) as first:
        first.send(CALL)
        await house.agent.until(lambda: house.events)
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        writer.write(handshake().encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 503 ") and b"\r\nRetry-After: " in answer
        writer.close()
        await counts(house, "connections_full")
        await echoed(first)


async def test_who_does_not_read_is_dropped(tmp_path: Path) -> None:
    async with echoing(tmp_path, limits=StreamLimits(write_buffer=65536)) as house, connect(house.port) as client:
        large = frame(OPTIONS + b"x" * 50_000)
        with contextlib.suppress(ConnectionError, RuntimeError):  # uvloop's word for a closed transport
            while not house.agent.failed:
                client.writer.write(large)
                await client.writer.drain()
                await asyncio.sleep(0)
        await counts(house, "peer_reads_nothing")
        assert [flow.remote for flow in house.agent.failed] == [client.address]
        assert len(house.endpoint.floor.crowd) == 0


async def test_everybody_has_his_turn(tmp_path: Path) -> None:
    limits = StreamLimits(write_buffer=1 << 24)
    async with echoing(tmp_path, limits=limits) as house:
        async with connect(house.port) as flooding, connect(house.port) as honest:
            flooding.writer.write(frame(b"X" + OPTIONS) * 10_000)
            await house.agent.until(lambda: house.agent.heard)
            await echoed(honest)
            assert len(house.agent.heard) < 10_001
