"""Thousands of connections that say nothing, little by little or half a handshake, while somebody talks: nobody else
notices, and newcomers are heard over every transport, also from the address that the crowd has."""

import asyncio
import contextlib
import re
import resource
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.conftest import Call
from tests.clients.telephones import PATIENCE
from tests.clients.test_telephones_streams import SecureServer
from tests.sim.certificates import SERVED

IDLE, SLOW, HALF = 5000, 500, 500
SOURCES = [f"127.0.1.{number}" for number in range(1, 13)] + ["127.0.0.1"]
RECORD = b"\x16\x03\x01\x02\x00"  # the head of a ClientHello that never comes


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SecureServer]:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 8192:
        pytest.skip(f"this machine lets a process have {hard} files only")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    running = SecureServer(tmp_path)
    with running:
        yield running


class Crowd:
    """Connections that never mean well. Whatever the server closes is opened again, as an attacker would."""

    def __init__(self, server: SecureServer) -> None:
        self._server = server
        self._tasks: list[asyncio.Task[None]] = []
        self.opened = 0

    async def gather(self) -> None:
        kinds = [(self._server.sip, b"", b"")] * IDLE
        kinds += [(self._server.sip, b"OPTIONS sip:x SIP/2.0\r\nX: ", b"y")] * SLOW
        kinds += [(self._server.tls, RECORD, b"")] * HALF
        for number, kind in enumerate(kinds):
            self._tasks.append(asyncio.create_task(self._stay(SOURCES[number % len(SOURCES)], *kind)))
            if number % 50 == 0:
                await asyncio.sleep(0.01)

    async def _stay(self, source: str, port: int, said: bytes, more: bytes) -> None:
        while True:
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
                self.opened += 1
                try:
                    writer.write(said)
                    while not reader.at_eof():
                        with contextlib.suppress(TimeoutError):
                            async with asyncio.timeout(1.0):
                                await reader.read(100)
                        writer.write(more)
                finally:
                    writer.transport.abort()
            await asyncio.sleep(2.0)

    async def leave(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0.1)  # closed transports say so in the loop's next rounds


async def calls(server: SecureServer, uri: str) -> str:
    """One call of a newcomer; what it printed. Fails the test where it was not answered."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sipconf", "call", uri, "--user", "102", "--password", "secret-102", "--duration", "0.5",
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={"SSL_CERT_FILE": str(server.authority.file)})
    output, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode == 0, output.decode()
    return output.decode()


async def test_thousands_who_hold_connections(server: SecureServer, call: Call) -> None:
    talking = call("2000", "--duration", "25")
    await asyncio.to_thread(server.wait_state, "2000", "101", "talking")
    crowd = Crowd(server)
    await crowd.gather()
    assert crowd.opened > 4096
    try:
        for uri in (f"sip:2000@127.0.0.1:{server.sip}", f"sip:2000@127.0.0.1:{server.sip};transport=tcp",
                    f"sips:2000@{SERVED}:{server.tls}"):
            assert "200 OK" in await calls(server, uri), uri
        context = ssl.create_default_context(cafile=server.authority.file)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.tls, ssl=context, server_hostname=SERVED)
        writer.close()
        await writer.wait_closed()
    finally:
        await crowd.leave()
    assert talking.stdout is not None
    output = await asyncio.to_thread(talking.stdout.read)
    found = re.search(r"([0-9]+) packets received, ([0-9]+) lost", output)
    assert found is not None, output
    received, lost = int(found[1]), int(found[2])
    assert received > 1000 and lost <= 0.005 * received, output
