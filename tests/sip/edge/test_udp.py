"""The UDP listener: how much it reads before the loop may look around, and how large a datagram may be."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from sipconf.sip.edge.sockets import UDP_RECEIVE_BUFFER, open_listener, parse_listen
from sipconf.sip.edge.turns import PORTION
from sipconf.sip.edge.udp import DATAGRAMS_A_TURN, UdpListener

RMEM_MAX = Path("/proc/sys/net/core/rmem_max")
Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A listening socket and one that sends to it."""
    with open_listener(parse_listen("udp://127.0.0.1:0"), v6_only=False) as there:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
            here.connect(there.getsockname())
            yield there, here


def test_a_flood_is_read_in_portions(pair: Pair) -> None:
    there, here = pair
    heard: list[bytes] = []
    listener = UdpListener(there, lambda data, flow: heard.append(data), lambda: 0.0)
    for number in range(150):
        here.send(b"x%d" % number)
    sizes = []
    for _ in range(4):
        before = len(heard)
        listener._read()
        sizes.append(len(heard) - before)
    assert sizes == [DATAGRAMS_A_TURN, DATAGRAMS_A_TURN, 150 - 2 * DATAGRAMS_A_TURN, 0]
    assert heard == [b"x%d" % number for number in range(150)]


def test_slow_work_ends_a_portion_early(pair: Pair) -> None:
    there, here = pair
    now, heard = [0.0], []

    def work(data: bytes, flow: object) -> None:
        now[0] += PORTION / 2
        heard.append(data)

    listener = UdpListener(there, work, lambda: now[0])
    for _ in range(10):
        here.send(b"x")
    listener._read()
    assert len(heard) == 2


def test_the_largest_datagram_arrives_whole(pair: Pair) -> None:
    there, here = pair
    heard: list[bytes] = []
    listener = UdpListener(there, lambda data, flow: heard.append(data), lambda: 0.0)
    here.send(b"x" * 65507)
    listener._read()
    assert [len(data) for data in heard] == [65507]


def test_room_for_a_burst_is_asked_for(pair: Pair) -> None:
    if not RMEM_MAX.exists():
        pytest.skip("this system does not tell how much it allows")
    allowed = min(UDP_RECEIVE_BUFFER, int(RMEM_MAX.read_text()))
    assert pair[0].getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= allowed


def test_it_may_be_closed_from_inside(pair: Pair) -> None:
    there, here = pair
    listener = UdpListener(there, lambda data, flow: listener.close(), lambda: 0.0)
    here.send(b"one")
    here.send(b"two")
    listener._read()
    assert there.fileno() == -1
