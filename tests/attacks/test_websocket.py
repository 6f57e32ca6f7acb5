"""WebSocket abuse (docs/trust.md): pages that may not connect, frames that lie, floods; a call goes on."""

import asyncio
import itertools
import tracemalloc
from pathlib import Path

import pytest

from sipconf.sip.websocket_frames import MAX_MESSAGE
from tests.corpus.served import Served
from tests.sim.websocket_client import BINARY, ask, connect, frame, handshake, head
from tests.sim.websocket_house import echoing
from tests.sip.edge.endpoint_house import OPTIONS

ALLOWED = ("https://odoo.example.com", "http://intranet:8069")
ORIGINS = (
    *ALLOWED, "HTTPS://ODOO.example.com", "https://odoo.example.com.evil.example", "https://evil.example",
    "http://odoo.example.com", "https://odoo.example.com:8443", "http://intranet", "null", "", None,
    "https://odoo.example.com, https://evil.example",
)


@pytest.mark.parametrize("restricted", [True, False])
async def test_the_matrix_of_handshakes(tmp_path: Path, restricted: bool) -> None:
    settings = f"origins = {list(ALLOWED)}".replace("'", '"') if restricted else ""
    async with echoing(tmp_path, settings=settings) as house:
        for origin, cookie, protocol in itertools.product(ORIGINS, ["", "Cookie: session=1\r\n"], ["sip", None]):
            answer, _, writer = await ask(house.port, handshake(origin=origin, protocol=protocol, extra=cookie))
            writer.close()
            allowed = not restricted or (origin or "").lower() in ALLOWED
            expected = 403 if not allowed else 101 if protocol else 400
            assert answer.startswith(f"HTTP/1.1 {expected} "), (origin, cookie, protocol, answer)


async def test_a_frame_of_a_hundred_megabytes_costs_nothing(tmp_path: Path) -> None:
    async with echoing(tmp_path) as house, connect(house.port) as client, connect(house.port) as other:
        client.send(OPTIONS)
        await client.message()
        tracemalloc.start()
        try:
            client.writer.write(head(BINARY, 100 << 20) + b"mask" + b"x" * 1000)
            assert await client.closed() == 1009
            assert tracemalloc.get_traced_memory()[1] < 2 << 20
        finally:
            tracemalloc.stop()
        other.send(OPTIONS)
        assert await other.message() == OPTIONS.decode()


async def test_the_largest_message_is_heard_and_one_octet_more_is_not(tmp_path: Path) -> None:
    async with echoing(tmp_path) as house, connect(house.port) as client:
        client.send(OPTIONS.ljust(MAX_MESSAGE, b"x"))
        assert len(await client.message()) == MAX_MESSAGE
        client.writer.write(frame(OPTIONS.ljust(MAX_MESSAGE - 1, b"x"), final=False) + frame("xx", 0))
        assert await client.closed() == 1009
        assert len(house.agent.heard) == 1


async def test_empty_fragments_and_pings_leave_the_others_their_turns(tmp_path: Path) -> None:
    async with echoing(tmp_path) as house, connect(house.port) as client, connect(house.port) as other:
        empty = frame("", 0, final=False)
        client.writer.write(frame(OPTIONS[:9], final=False) + empty * 10_000 + frame("", 9) * 5_000)
        for _ in range(20):
            other.send(OPTIONS)
            assert await other.message() == OPTIONS.decode()
        assert len(house.agent.heard) == 20
        async with asyncio.timeout(60):
            while house.carriers["ws"]._peers[1]._frames._buffer:
                await asyncio.sleep(0.01)
        assert not client.writer.is_closing()


async def test_a_flood_of_messages_and_of_noise_while_two_people_talk() -> None:
    """The caps of strangers hold for a page as for anybody; an honest page is heard in the middle of it."""
    served = Served(open_profile=False)
    async with served.listening() as sockets:
        with served.undisturbed():
            flooding, noisy, honest = [await sockets.peer("ws") for _ in range(3)]
            for number in range(1000):
                flooding.send(f"INVITE sip:2001@x SIP/2.0\r\nVia: SIP/2.0/WS x;branch=z9hG4bK{number}\r\n"
                              f"Call-ID: {number}\r\nFrom: <sip:101@x>;tag=1\r\nTo: <sip:2001@x>\r\n"
                              "CSeq: 1 INVITE\r\n\r\n".encode())
                noisy.send(b"\xff\x00" * 100)
            assert await honest.options()
            await flooding.until(lambda: len(flooding.heard.texts) >= 100)
            sockets.pass_time(1.0)
            assert set(flooding.heard.statuses()) <= {401, 503} and noisy.heard.texts == []
            assert len(flooding.heard.texts) < 500 and not flooding.heard.closed
    served.settle()
