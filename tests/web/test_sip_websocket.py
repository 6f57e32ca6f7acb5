"""The handshake of SIP over WebSocket: from where, on which path, by which protocol; and what it leaves to others."""

import asyncio
import json
import ssl
from pathlib import Path

import aiohttp
import pytest
from web_house import PASSWORD

from sipconf.certificate import CertificateKeeper
from tests.sim.certificates import Authority
from tests.sim.websocket_client import ask, connect, handshake
from tests.sim.websocket_house import WebSocketHouse, echoing
from tests.sip.edge.endpoint_house import OPTIONS

BEHIND_PROXY = 'trusted_proxies = ["127.0.0.1"]'


async def refused(house: WebSocketHouse, text: str) -> tuple[int, str, dict]:
    """(status, head, problem) of an answer that is none of 101."""
    before = len(house.counted())
    head, reader, writer = await ask(house.port, text)
    problem = json.loads(await reader.readexactly(int(head.lower().split("content-length: ")[1].split("\r\n")[0])))
    writer.close()
    await house.agent.until(lambda: len(house.counted()) > before)
    assert house.counted()[-1] == "websocket_refused"
    return int(head.split()[1]), head, problem


@pytest.mark.parametrize("path", ["/ws", "/", "/api/conferences", "/healthz", "/asterisk/ws?x=1", "/%00/..%2f"])
async def test_on_any_path(tmp_path: Path, path: str) -> None:
    async with echoing(tmp_path) as house, connect(house.port, path) as client:
        client.send(OPTIONS)
        assert await client.message() == OPTIONS.decode()
        client.send("GET /api/conferences HTTP/1.1\r\n\r\n")  # it is a message like any other, and nothing but SIP
        assert await client.message() == "GET /api/conferences HTTP/1.1\r\n\r\n"


async def test_the_pages_of_these_paths_are_still_there_and_of_one_origin(tmp_path: Path) -> None:
    async with echoing(tmp_path, settings='origins = ["https://odoo.example.com"]') as house:
        for path, headers, status in [
            ("/healthz", "", 200), ("/api/conferences", "", 401), ("/ws", "", 404),
            ("/api/conferences", f"Authorization: Bearer {PASSWORD}\r\n", 200),
            ("/healthz", "Upgrade: h2c\r\nConnection: Upgrade\r\n", 200),
        ]:
            text = f"GET {path} HTTP/1.1\r\nHost: x\r\nOrigin: https://odoo.example.com\r\n{headers}\r\n"
            head, _, writer = await ask(house.port, text)
            writer.close()
            assert head.startswith(f"HTTP/1.1 {status} ") and "access-control" not in head.lower()


@pytest.mark.parametrize(("change", "status", "says"), [
    (("Sec-WebSocket-Protocol: sip", "X: y"), 400, "sub-protocol here is: sip"),
    (("Sec-WebSocket-Protocol: sip", "Sec-WebSocket-Protocol: sips, xmpp"), 400, "sub-protocol"),
    (("Version: 13", "Version: 8"), 426, "version 13"),
    (("Version: 13", "Version: x"), 426, "version 13"),
    (("Connection: keep-alive, Upgrade", "Connection: keep-alive"), 400, "Does a proxy"),
    (("MDEyMzQ1Njc4OWFiY2RlZg==", "MDEyMzQ1Njc4OWFiY2RlZ"), 400, "Sec-WebSocket-Key"),
    (("MDEyMzQ1Njc4OWFiY2RlZg==", "MDEy"), 400, "Sec-WebSocket-Key"),
    (("MDEyMzQ1Njc4OWFiY2RlZg==", "\u2603"), 400, "Sec-WebSocket-Key"),
])
async def test_a_handshake_that_is_none(tmp_path: Path, change: tuple[str, str], status: int, says: str) -> None:
    async with echoing(tmp_path) as house:
        answered, head, problem = await refused(house, handshake().replace(*change))
        assert answered == status and says in problem["detail"]
        assert status != 426 or "\r\nSec-WebSocket-Version: 13\r\n" in head


async def test_somebody_elses_client(tmp_path: Path) -> None:
    async with echoing(tmp_path) as house, aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{house.port}/"
        async with session.ws_connect(url, protocols=("xmpp", "sip"), compress=15, origin="https://odoo") as client:
            assert client.protocol == "sip" and not client.compress
            for length in (200, 70, 125, 126, 65_535, 65_536):
                text = "\u00e9" * (length // 2) + "x" * (length % 2)
                await client.send_str(text)
                assert await client.receive_str() == text
            await client.send_bytes(b"\xff" * 300)
            assert await client.receive_bytes() == b"\xff" * 300
            await client.ping()
            assert await client.close(code=1000)
            assert client.close_code == 1000


async def test_the_protocol_among_others(tmp_path: Path) -> None:
    async with echoing(tmp_path) as house:
        head, _, writer = await ask(house.port, handshake(protocol="xmpp, SIP"))
        writer.close()
        assert head.startswith("HTTP/1.1 101 ") and "\r\nSec-WebSocket-Protocol: sip\r\n" in head


@pytest.mark.parametrize(("settings", "headers", "expected"), [
    ("", "X-Forwarded-For: 198.51.100.7\r\nX-Forwarded-Proto: https\r\n", ("ws", "127.0.0.1")),
    (BEHIND_PROXY, "", ("ws", "127.0.0.1")),
    (BEHIND_PROXY, "X-Forwarded-For: 198.51.100.7\r\nX-Forwarded-Proto: https\r\n", ("wss", "198.51.100.7")),
    (BEHIND_PROXY, "Forwarded: for=198.51.100.7\r\nX-Forwarded-Proto: http\r\n", ("ws", "198.51.100.7")),
    # What stands further left its sender may have written
    (BEHIND_PROXY, "X-Forwarded-For: 192.0.2.1, 198.51.100.7\r\nX-Forwarded-Proto: https, http\r\n",
     ("ws", "198.51.100.7")),
])
async def test_behind_a_proxy(tmp_path: Path, settings: str, headers: str, expected: tuple[str, str]) -> None:
    async with echoing(tmp_path, settings=settings) as house, connect(house.port, extra=headers) as client:
        client.send(OPTIONS)
        await client.message()
        flow = house.agent.heard[0][1]
        assert (flow.transport, flow.remote) == (expected[0], (expected[1], client.address[1]))
        # Our end towards a proxy is not what the media of its clients can reach.
        assert flow.local == ("127.0.0.1" if expected[1] == "127.0.0.1" else "0.0.0.0", house.port)


async def test_over_tls_and_with_a_new_certificate_nobody_is_cut_off(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    keeper = CertificateKeeper(*authority.sign(tmp_path))
    trusting = ssl.create_default_context(cafile=authority.file)
    async with echoing(tmp_path, listen=(("127.0.0.1:0", keeper.door()),)) as house:
        async with connect(house.port, tls=trusting) as old:
            authority.sign(tmp_path)
            keeper.look(settled=True)
            async with connect(house.port, tls=trusting) as new:
                serials = [client.writer.get_extra_info("peercert")["serialNumber"] for client in (old, new)]
                assert serials[0] != serials[1]
                for client in (old, new):
                    client.send(OPTIONS)
                    assert await client.message() == OPTIONS.decode()
        assert {flow.transport for _, flow, _ in house.agent.heard} == {"wss"}


async def test_the_server_ends_while_somebody_is_connected(tmp_path: Path) -> None:
    async with echoing(tmp_path) as house, connect(house.port) as client:
        client.send(OPTIONS)
        await client.message()
        async with asyncio.timeout(60):
            await asyncio.gather(house.server.stop(), house.endpoint.stop())  # as app does
        assert await client.closed() == 1001


@pytest.mark.parametrize(("headers", "allowed"), [("", True), ("X-Forwarded-For: 198.51.100.7\r\n", False)])
async def test_the_examples_passwords_are_no_good_through_a_proxy_that_nobody_named(
    tmp_path: Path, headers: str, allowed: bool
) -> None:
    async with echoing(tmp_path) as house:
        house.web.file.write_text(house.web.file.read_text().replace("user-secret", "s3cret-101"))
        house.web.reloader.apply()
        head, _, writer = await ask(house.port, handshake(extra=headers))
        writer.close()
        assert head.startswith(f"HTTP/1.1 {101 if allowed else 403} ")
