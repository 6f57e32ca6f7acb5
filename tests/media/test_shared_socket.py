"""The UDP socket of all browsers: opened by the front, inherited by a worker and its successors."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable

import pytest

from sipconf.errors import StartError
from sipconf.media import protocol, shared_socket
from sipconf.media.shared_socket import open_shared, send_to
from sipconf.media.supervisor import WorkerSettings
from tests.media.test_supervisor import Front

PORT = 28_760
SETTINGS = WorkerSettings(PORT, PORT + 19)
Receiver = Callable[[socket.AddressFamily, str], socket.socket]


@pytest.fixture
def receiver(request: pytest.FixtureRequest) -> Receiver:
    """Makes sockets of a browser's, closed afterwards."""
    def make(family: socket.AddressFamily, host: str) -> socket.socket:
        made = socket.socket(family, socket.SOCK_DGRAM)
        request.addfinalizer(made.close)
        made.settimeout(10.0)
        made.bind((host, 0))
        return made

    return make


def inodes(pid: int) -> set[str]:
    """The sockets that a process has open."""
    links = (f"/proc/{pid}/fd/{fd}" for fd in os.listdir(f"/proc/{pid}/fd"))
    return {os.readlink(link) for link in links if os.path.islink(link)}


async def test_both_families_speak_to_one_port(receiver: Receiver) -> None:
    with await open_shared(PORT) as shared:
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            if family not in (socket.AF_INET, shared.family):
                pytest.skip("this machine has no IPv6")
            peer = receiver(family, host)
            assert send_to(shared, peer.getsockname()[:2], b"to you")
            data, address = peer.recvfrom(100)
            assert data == b"to you" and address[1] == PORT
            peer.sendto(b"to us", (host, PORT))
            await asyncio.get_running_loop().sock_recv(shared, 100)


async def test_what_cannot_be_sent_is_no_error() -> None:
    with await open_shared(PORT) as shared:
        assert not send_to(shared, ("no address", 1), b"x")
        assert not send_to(shared, ("127.0.0.1", 4000), bytes(70_000))


async def test_a_machine_without_ipv6_has_ipv4(monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> None:
    genuine = socket.socket

    def without(family: int = socket.AF_INET, *rest: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(97, "Address family not supported by protocol")
        return genuine(family, *rest)

    peer = receiver(socket.AF_INET, "127.0.0.1")
    monkeypatch.setattr(shared_socket.socket, "socket", without)
    with await open_shared(PORT) as shared:
        assert shared.family == socket.AF_INET and send_to(shared, peer.getsockname(), b"x")


async def test_the_receive_buffer_is_larger_than_usual() -> None:
    with await open_shared(PORT) as shared, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as usual:
        sizes = [each.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) for each in (shared, usual)]
    assert sizes[0] >= sizes[1]


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"])
async def test_a_busy_port_is_a_clear_error_with_its_remedy(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_socket, "BIND_PATIENCE", 0.15)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind((host, PORT))
        front = Front(SETTINGS)
        with pytest.raises(StartError, match=rf"UDP port {PORT}.*in use.*\[rtp\] ports"):
            await front.media.start()
        assert front.media.pid is None


async def test_a_port_that_is_free_in_a_moment_is_waited_for() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("0.0.0.0", PORT))
        waiting = asyncio.create_task(open_shared(PORT))
        await asyncio.sleep(0)
        assert not waiting.done()
    (await waiting).close()


async def test_every_worker_inherits_the_socket_and_leaves_its_port_to_browsers(receiver: Receiver) -> None:
    front = Front(SETTINGS)
    peer = receiver(socket.AF_INET, "127.0.0.1")
    await front.media.start()
    try:
        shared = front.media._shared
        assert shared is not None
        inode = os.readlink(f"/proc/self/fd/{shared.fileno()}")
        first = front.media.pid
        assert first is not None and inode in inodes(first)
        front.media.send(protocol.OpenLeg(1, "127.0.0.1", "x"))
        await front.until(protocol.LegOpened)
        os.kill(first, signal.SIGKILL)
        await front.until(protocol.LegFailed)
        for leg in range(10, 20):
            front.media.send(protocol.OpenLeg(leg, "127.0.0.1", "x"))
        await front.until(protocol.LegFailed(19, "no pair of RTP ports free on 127.0.0.1"))
        second = front.media.pid
        assert second not in (None, first) and inode in inodes(second)
        assert {event.port for event in front.events if isinstance(event, protocol.LegOpened) and event.leg > 1} == set(
            range(PORT + 2, PORT + 20, 2))
        assert front.media.reply(peer.getsockname(), b"hello")
        assert peer.recvfrom(100) == (b"hello", ("127.0.0.1", PORT))
    finally:
        await front.media.stop()
    (await open_shared(PORT)).close()
