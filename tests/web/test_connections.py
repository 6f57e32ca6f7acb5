"""How many connections the HTTP server has at once, and who makes room: those who say nothing, never a request that is
being answered."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from web_house import PASSWORD, House

from sipconf.sip.crowd import Crowd
from sipconf.web.app import WebServer, build_app

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
EVENTS = f"GET /api/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {PASSWORD}\r\n\r\n".encode()
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def serving(folder: Path, crowd: Crowd, config: str = "") -> AsyncIterator[Callable]:
    """Opens connections and sends what is given."""
    house = House(folder)
    if config:
        house.file.write_text(house.file.read_text().replace("[http]", f"[http]\n{config}"))
        house.apply()
    server = WebServer(build_app(house), [("127.0.0.1:0", None)], crowd)
    await server.start()
    opened: list[Stream] = []

    async def connect(data: bytes = b"") -> Stream:
        opened.append(await asyncio.open_connection(*server.addresses[0]))
        opened[-1][1].write(data)
        await settled(crowd)
        return opened[-1]

    try:
        async with asyncio.timeout(20):
            yield connect
    finally:
        for _, writer in opened:
            writer.close()
        await server.stop()
    assert not len(crowd)


async def settled(crowd: Crowd) -> None:
    """Both ends of a connection live in this loop: a few turns, and each has heard of it."""
    for _ in range(10):
        await asyncio.sleep(0.002)


async def answered(stream: Stream) -> bool:
    """Whether a status line comes; False where the server hangs up."""
    try:
        return (await stream[0].readline()).startswith(b"HTTP/1.1 200 ")
    except ConnectionError:
        return False


@pytest.mark.parametrize("limits", [(3, 100), (100, 3)], ids=["in all", "of one source"])
async def test_who_says_nothing_makes_room_for_who_asks(tmp_path: Path, limits: tuple[int, int]) -> None:
    crowd = Crowd(*limits, handshakes=0)
    async with serving(tmp_path, crowd) as connect:
        silent = [await connect(b"GET / HTTP/1.1\r\nHost:"[:each]) for each in (0, 0, 5, 21)]
        assert len(crowd) == 3 and not await answered(silent[0]), "the oldest went"
        assert await answered(await connect(HEALTH))
        assert not await answered(silent[1]) and len(crowd) == 3


async def test_a_request_that_is_being_answered_stays(tmp_path: Path) -> None:
    crowd = Crowd(3, 100, handshakes=0)
    async with serving(tmp_path, crowd) as connect:
        streams = [await connect(EVENTS) for _ in range(3)]
        for stream in streams:
            assert await answered(stream)
        assert not await answered(await connect(HEALTH)) and len(crowd) == 3
        streams[0][1].transport.abort()
        await settled(crowd)
        assert await answered(await connect(HEALTH))


async def test_an_answered_connection_that_is_kept_makes_room(tmp_path: Path) -> None:
    crowd = Crowd(1, 1, handshakes=0)
    async with serving(tmp_path, crowd) as connect:
        first = await connect(HEALTH)
        assert await answered(first)
        assert await answered(await connect(HEALTH))


async def test_behind_a_proxy_are_many(tmp_path: Path) -> None:
    crowd = Crowd(100, 1, handshakes=0)
    async with serving(tmp_path, crowd, 'trusted_proxies = ["127.0.0.1"]') as connect:
        for stream in [await connect(EVENTS) for _ in range(5)]:
            assert await answered(stream)


async def test_a_connection_that_is_taken_over_is_counted_by_who_took_it(tmp_path: Path) -> None:
    crowd = Crowd(1, 1, handshakes=0)
    async with serving(tmp_path, crowd) as connect:
        stream = await connect()
        (connection,) = crowd._all.guests
        taken = Taken()
        connection.set_parser(taken)
        assert not len(crowd)
        stream[1].write(b"frames")
        assert await answered(await connect(HEALTH))
        assert taken.data == b"frames" and len(crowd) == 1
        stream[1].transport.abort()
        await settled(crowd)
        assert len(crowd) == 1, "the other's place"


class Taken:
    """Who takes a connection over."""

    data = b""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.data += data
        return False, b""

    def feed_eof(self) -> None: ...
