"""Binding, health, metrics, and ending in time."""

import asyncio
import socket
import ssl
import time

import aiohttp
import pytest
from web_house import PASSWORD

from sipconf.certificate import CertificateKeeper
from sipconf.errors import StartError
from sipconf.web import app as web_app
from sipconf.web.app import WebServer, build_app
from tests.sim.certificates import Authority


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


async def test_no_answer_tells_versions(client):
    for path in ("/healthz", "/nothing", "/api/users"):
        assert (await client.get(path)).headers["Server"] == "sipconf"


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


async def test_over_tls_with_the_certificate_of_the_day_and_no_patience_for_half_handshakes(
    house, tmp_path, monkeypatch
):
    monkeypatch.setattr(web_app, "HANDSHAKE_SECONDS", 0.2)
    authority = Authority(tmp_path)
    keeper = CertificateKeeper(*authority.sign(tmp_path))
    server = WebServer(build_app(house), [("127.0.0.1:0", keeper.door())])
    await server.start()
    _, port = server.addresses[0]
    trusting = ssl.create_default_context(cafile=authority.file)

    async def serial() -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting, server_hostname="localhost")
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
        shown = writer.get_extra_info("peercert")["serialNumber"]
        writer.close()
        return shown

    try:
        before = await serial()
        assert await serial() == before
        authority.sign(tmp_path)
        keeper.look(settled=True)
        assert await serial() != before
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()
    finally:
        await server.stop()
