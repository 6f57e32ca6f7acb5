"""SIP over TLS on real loopback sockets: the handshake and its limits, certificates exchanged, names proven."""

import asyncio
import contextlib
import socket
import ssl
import struct
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from sipconf.certificate import CertificateKeeper
from sipconf.clock import SYSTEM_CLOCK
from sipconf.sip.edge.addresses import Addresses
from sipconf.sip.edge.connection import StreamLimits
from sipconf.sip.events import Counted, Send
from sipconf.sip.flow import Flow
from tests.sim.certificates import Authority
from tests.sip.edge.endpoint_house import OPTIONS, House, dial, ended, free_port, house, read

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def keeper(authority: Authority, tmp_path: Path) -> CertificateKeeper:
    return CertificateKeeper(*authority.sign(tmp_path))


def trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority.file)


def secure(port: int, context: ssl.SSLContext) -> contextlib.AbstractAsyncContextManager[Pair]:
    return dial("127.0.0.1", port, ssl=context, server_hostname="localhost")


async def test_messages_whole_and_in_crumbs(keeper: CertificateKeeper, authority: Authority) -> None:
    async with house("tls://127.0.0.1:0", tls=keeper.context) as here:
        async with secure(here.port(), trusting(authority)) as (reader, writer):
            writer.write(OPTIONS + OPTIONS + b"\r\n\r\n")
            await here.agent.until(lambda: len(here.agent.heard) == 2)
            assert (await read(reader, 2 * len(OPTIONS) + 2)).count(OPTIONS) == 2
            for byte in OPTIONS:
                writer.write(bytes([byte]))
                await writer.drain()
            assert await read(reader, len(OPTIONS)) == OPTIONS
            flow = here.agent.heard[0][1]
            assert flow.transport == "tls" and flow.reliable and flow.connection is not None
            assert flow.called == "localhost", "our Contact has to be a name that the certificate speaks for"
            assert Addresses().contact_for(flow) == ("localhost", here.port())
            big = b"x" * 300_000
            here.agent.outputs.append(Send(flow, big))
            here.endpoint.pump(SYSTEM_CLOCK.monotonic())
            assert await read(reader, len(big)) == big
        await here.agent.until(lambda: here.agent.failed == [flow])


async def test_what_was_asked_before_the_end_is_answered(keeper: CertificateKeeper, authority: Authority) -> None:
    """A peer that sends its messages and the end of TLS in one go, over a connection driven by hand."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting(authority).wrap_bio(back, there, server_hostname="localhost")
    async with house("tls://127.0.0.1:0", tls=keeper.context) as here:
        async with dial("127.0.0.1", here.port()) as (reader, writer):
            while True:
                try:
                    client.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    writer.write(there.read())
                    back.write(await reader.read(65536))
            client.write(OPTIONS * 50)
            with contextlib.suppress(ssl.SSLWantReadError):
                client.unwrap()
            writer.write(there.read())
            back.write(await ended(reader))
            answered = b""
            with contextlib.suppress(ssl.SSLError):
                while piece := client.read(65536):
                    answered += piece
            assert answered == OPTIONS * 50


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_versions(keeper: CertificateKeeper, authority: Authority, version: ssl.TLSVersion) -> None:
    context = trusting(authority)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning) if version is ssl.TLSVersion.TLSv1_1 else contextlib.nullcontext():
        context.minimum_version = context.maximum_version = version
    async with house("tls://127.0.0.1:0", tls=keeper.context) as here:
        if version is ssl.TLSVersion.TLSv1_1:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                async with secure(here.port(), context):
                    raise AssertionError("an outdated version was taken")
            await here.agent.until(lambda: Counted("tls_failed") in here.events or here.endpoint.connections == 0)
            return
        async with secure(here.port(), context) as (reader, writer):
            assert writer.get_extra_info("ssl_object").version() == version.name.replace("_", ".")
            assert writer.get_extra_info("compression") is None
            writer.write(OPTIONS)
            assert await read(reader, len(OPTIONS)) == OPTIONS


async def test_a_new_certificate_is_shown_to_newcomers_and_drops_nobody(
    keeper: CertificateKeeper, authority: Authority, tmp_path: Path
) -> None:
    def serial(writer: asyncio.StreamWriter) -> str:
        return writer.get_extra_info("peercert")["serialNumber"]

    async with house("tls://127.0.0.1:0", tls=keeper.context) as here:
        async with secure(here.port(), trusting(authority)) as (reader, writer):
            writer.write(OPTIONS)
            assert await read(reader, len(OPTIONS)) == OPTIONS
            (tmp_path / "privkey.pem").write_text("junk")
            keeper.look(settled=True)
            async with secure(here.port(), trusting(authority)) as (_, same):
                assert serial(same) == serial(writer), "the broken pair changed nothing"
            authority.sign(tmp_path)
            keeper.look(settled=True)
            async with secure(here.port(), trusting(authority)) as (_, newer):
                assert serial(newer) != serial(writer)
            writer.write(OPTIONS)
            assert await read(reader, len(OPTIONS)) == OPTIONS, "the connection goes on"


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(60)])
async def test_half_a_handshake_has_its_time(keeper: CertificateKeeper, said: bytes) -> None:
    limits = StreamLimits(handshake=0.1, first_message=60)
    async with house("tls://127.0.0.1:0", tls=keeper.context, limits=limits) as here:
        async with dial("127.0.0.1", here.port()) as (reader, writer):
            writer.write(said)
            assert await ended(reader) == b""
            await here.agent.until(lambda: Counted("tls_handshake_late") in here.events)
            assert here.endpoint.connections == 0


async def test_half_handshakes_are_counted_and_make_room(keeper: CertificateKeeper, authority: Authority) -> None:
    limits = StreamLimits(handshakes=3)
    async with house("tls://127.0.0.1:0", tls=keeper.context, limits=limits) as here, AsyncExitStack() as each:
        half = [await each.enter_async_context(dial("127.0.0.1", here.port())) for _ in range(8)]
        for reader, _ in half[:5]:
            assert await ended(reader) == b""
        assert here.endpoint.connections == 3
        async with secure(here.port(), trusting(authority)) as (reader, writer):
            writer.write(OPTIONS)
            assert await read(reader, len(OPTIONS)) == OPTIONS
            assert here.endpoint.connections == 3, "one of them went for it"


@pytest.mark.parametrize("said", [OPTIONS, b"\x16\x03\x01\x00\x05hello", b"\x80\x2e\x01" + bytes(60), b"\0" * 999])
async def test_what_is_no_tls_is_cut_off(keeper: CertificateKeeper, said: bytes) -> None:
    async with house("tls://127.0.0.1:0", tls=keeper.context) as here:
        async with dial("127.0.0.1", here.port()) as (reader, writer):
            writer.write(said)
            await ended(reader)
            assert here.agent.heard == []
        await here.agent.until(lambda: Counted("tls_failed") in here.events)


async def test_five_hundred_handshakes_given_up_at_each_step(keeper: CertificateKeeper, authority: Authority) -> None:
    """Each peer sends a piece of a real handshake and is gone, some with a reset; nobody else notices."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting(authority).wrap_bio(back, there, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    hello = there.read()
    loop = asyncio.get_running_loop()
    async with house("tls://127.0.0.1:0", tls=keeper.context) as here:
        for number in range(500):
            with socket.socket() as peer:
                peer.setblocking(False)
                await loop.sock_connect(peer, ("127.0.0.1", here.port()))
                await loop.sock_sendall(peer, hello[: number * len(hello) // 499])
                if number % 2:
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        async with secure(here.port(), trusting(authority)) as (reader, writer):
            writer.write(OPTIONS)
            assert await read(reader, len(OPTIONS)) == OPTIONS
        async with asyncio.timeout(60):
            while here.endpoint.connections:
                await asyncio.sleep(0.01)


async def test_the_peer_of_a_connection_that_we_open_proves_its_name(
    keeper: CertificateKeeper, authority: Authority
) -> None:
    there = House("tls://127.0.0.1:0", tls=keeper.context)
    await there.endpoint.start()
    async with house("udp://127.0.0.1:0", tls_client=lambda: trusting(authority)) as here:
        remote = ("127.0.0.1", there.port())
        right = Flow("tls", remote, ("127.0.0.1", 5061), None, "localhost")
        wrong = Flow("tls", remote, ("127.0.0.1", 5061), None, "sip.provider.example")
        by_address = Flow("tls", remote, ("127.0.0.1", 5061))
        here.agent.outputs += [Send(flow, OPTIONS) for flow in (right, wrong, by_address)]
        here.endpoint.pump(SYSTEM_CLOCK.monotonic())
        await here.agent.until(lambda: len(here.agent.failed) == 2)
        assert set(here.agent.failed) == {wrong, by_address}
        await here.agent.until(lambda: here.agent.heard)
        assert here.agent.heard[0][1].server_name == "localhost"
    await there.endpoint.stop()


async def test_a_stranger_s_certificate_is_refused(keeper: CertificateKeeper, tmp_path: Path) -> None:
    there = House("tls://127.0.0.1:0", tls=keeper.context)
    await there.endpoint.start()
    async with house("udp://127.0.0.1:0") as here:  # with the authorities of this machine
        flow = Flow("tls", ("127.0.0.1", there.port()), ("127.0.0.1", 5061), None, "localhost")
        here.agent.outputs.append(Send(flow, OPTIONS))
        here.endpoint.pump(SYSTEM_CLOCK.monotonic())
        await here.agent.until(lambda: here.agent.failed == [flow])
    assert there.agent.heard == []
    await there.endpoint.stop()


async def test_tls_and_tcp_have_one_limit_together(keeper: CertificateKeeper, authority: Authority) -> None:
    limits = StreamLimits(per_source=2)
    async with house("tls://127.0.0.1:0", f"tcp://127.0.0.1:{free_port()}", tls=keeper.context, limits=limits) as here:
        port = here.port(1)
        async with dial("127.0.0.1", port) as (first, first_writer), dial("127.0.0.1", port) as (silent, _):
            first_writer.write(OPTIONS)
            assert await read(first, len(OPTIONS)) == OPTIONS
            async with secure(here.port(), trusting(authority)) as (reader, writer):
                writer.write(OPTIONS)
                assert await read(reader, len(OPTIONS)) == OPTIONS
                assert await ended(silent) == b""
