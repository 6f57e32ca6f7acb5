"""Binding, health, metrics, and ending in time."""

import asyncio
import socket
import time

import aiohttp
import pytest
from web_house import PASSWORD

from sipconf.errors import StartError
from sipconf.web.app import WebServer, build_app


async def test_health(house, client):
    client.session.headers.pop("Authorization")
    house.up = False
    assert (await client.get("/healthz")).status == 503
    house.up = True
    response = await client.get("/healthz")
    assert response.status == 200 and await response.json() == {"status": "ok"}


async def test_metrics(house, client):
    client.session.headers.pop("Authorization")
    await client.get("/api/users")
    response = await client.get("/metrics")
    assert response.content_type == "text/plain"
    assert 'sipconf_http_requests_total{status="401"} 1.0' in await response.text()


async def test_what_is_not_there(client):
    response = await client.get("/nothing")
    assert response.status == 404 and response.content_type == "application/problem+json"


async def test_it_listens_where_it_is_told(house):
    server = WebServer(build_app(house), [("127.0.0.1:0", None), ("[::1]:0", None)])
    await server.start()
    try:
        assert [host for host, _ in server.addresses] == ["127.0.0.1", "::1"]
        async with aiohttp.ClientSession() as session:
            for host, port in server.addresses:
                host = f"[{host}]" if ":" in host else host
                async with session.get(f"http://{host}:{port}/healthz") as response:
                    assert response.status == 200
    finally:
        await server.stop()


async def test_a_busy_port_is_one_clear_line_and_nothing_stays_bound(house):
    with socket.socket() as busy, socket.socket() as free:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        free.bind(("127.0.0.1", 0))
        free_port = free.getsockname()[1]
        free.close()
        port = busy.getsockname()[1]
        server = WebServer(build_app(house), [(f"127.0.0.1:{free_port}", None), (f"127.0.0.1:{port}", None)])
        with pytest.raises(StartError, match=f"127.0.0.1:{port}") as error:
            await server.start()
        assert "\n" not in str(error.value)
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", free_port)


async def test_it_ends_while_somebody_listens_to_events(house):
    server = WebServer(build_app(house), [("127.0.0.1:0", None)])
    await server.start()
    host, port = server.addresses[0]
    headers = {"Authorization": f"Bearer {PASSWORD}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        async with session.get(f"http://{host}:{port}/api/events") as response:
            await response.content.readline()
            started = time.monotonic()
            await server.stop()
            assert time.monotonic() - started < 3
            async with asyncio.timeout(5):
                assert (await response.content.read()).strip() == b""
