"""What many legs are sent with one call reaches each its own peer, from its own port: by own sockets, or raw."""

import random
import socket
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from sipconf.rtp.edge.batch import BatchCalls
from sipconf.rtp.edge.raw_sends import MOST_OCTETS, RawSends
from sipconf.rtp.edge.writes import Writes
from sipconf.rtp.formats import lookup
from sipconf.rtp.transmit import Sender

LEGS = 40
HOSTS = "127.0.0.1", "127.0.0.2"
"""Of ours, which the legs have in turn."""


@pytest.fixture
def pairs() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    """(ours, the peer's), connected both ways: what comes from elsewhere is not received."""
    made = []
    for leg in range(LEGS):
        ours, theirs = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        ours.bind((HOSTS[leg % 2], 0))
        theirs.bind(("127.0.0.1", 0))
        ours.connect(theirs.getsockname())
        theirs.connect(ours.getsockname())
        theirs.setblocking(False)
        made.append((ours, theirs))
    yield made
    for pair in made:
        for one in pair:
            one.close()


@pytest.fixture(params=["sockets", "raw"])
def way(request: pytest.FixtureRequest) -> Iterator[Writes | RawSends]:
    try:
        if request.param == "sockets":
            calls = BatchCalls()
            yield Writes(calls)
            calls.close()
            return
        raw = RawSends()
    except OSError as error:
        pytest.skip(f"this system does not permit it: {error}")
    yield raw
    raw.close()


@pytest.fixture
def add(way: Writes | RawSends, pairs: list[tuple[socket.socket, socket.socket]]) -> Callable[[int], None]:
    def added(leg: int) -> None:
        ours, theirs = pairs[leg]
        if isinstance(way, RawSends):
            way.add(leg, ours.getsockname(), theirs.getsockname())
        else:
            way.add(leg, ours.fileno())

    return added


def test_every_packet_reaches_its_own_peer_and_the_rest_is_handed_back(
    way: Writes | RawSends, add: Callable[[int], None], pairs: list[tuple[socket.socket, socket.socket]]
) -> None:
    for leg in range(LEGS - 1):
        add(leg)
    buffer = np.zeros((LEGS, 172), np.uint8)
    slots, views = list(range(LEGS)), [memoryview(row) for row in buffer]
    for turn in range(3):
        buffer[:] = np.arange(LEGS)[:, None] + turn
        assert way.send(slots, views) == ([LEGS - 1], [views[-1]])
        for leg, (_, theirs) in enumerate(pairs[:-1]):
            assert theirs.recv(2000) == bytes([leg + turn]) * 172
    way.remove(3)
    assert way.send(slots, views)[0] == [3, LEGS - 1]
    with pytest.raises(BlockingIOError):
        pairs[3][1].recv(2000)
    assert way.errors == 0
    assert way.send([], []) == ([], [])


def test_what_is_sent_again_stays_prepared_beside_packets_that_are_others_every_time(
    way: Writes | RawSends, add: Callable[[int], None], pairs: list[tuple[socket.socket, socket.socket]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for leg in range(LEGS):
        add(leg)
    planned: list[int] = []
    prepare = way._prepare
    monkeypatch.setattr(way, "_prepare", lambda slots, packets: planned.append(len(slots)) or prepare(slots, packets))
    buffer = np.zeros((LEGS, 172), np.uint8)
    fixed = [0, 1, 2], [memoryview(row) for row in buffer[:3]]
    for turn in range(1, 21):
        way.send(*fixed)
        for leg in (3, 4):
            way.send([leg], [memoryview(buffer[leg])[:turn]])
            assert len(pairs[leg][1].recv(2000)) == turn
    assert planned.count(3) == 1 and planned.count(1) == 40


def test_packets_of_other_lengths_in_every_tick_are_prepared_once(
    way: Writes | RawSends, add: Callable[[int], None], pairs: list[tuple[socket.socket, socket.socket]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for leg in range(LEGS - 1):
        add(leg)
    planned: list[int] = []
    prepare = way._prepare
    monkeypatch.setattr(way, "_prepare", lambda slots, packets: planned.append(len(slots)) or prepare(slots, packets))
    sender = Sender(lookup("opus", 48000), LEGS)
    for row in range(LEGS):
        sender.open(row, payload_type=111, sequence=0, timestamp=0, ssrc=row)
    slots, packets = list(range(LEGS))[::-1], sender.packets_of(np.arange(LEGS)[::-1])
    handed_back = set()
    for turn in range(1, 21):
        sender.lengths[:] = np.arange(LEGS) + turn
        sender.payload(LEGS)[:] = turn
        sender.stamp(np.ones(LEGS, bool))
        rest = way.send(slots, packets)
        handed_back.add(tuple(map(id, rest)))
        assert rest[0] == [LEGS - 1] and list(map(len, rest[1])) == [12 + LEGS - 1 + turn]
        for leg, (_, theirs) in enumerate(pairs[:-1]):
            data = theirs.recv(2000)
            assert data[8:] == leg.to_bytes(4) + bytes([turn]) * (leg + turn)
    assert planned == [LEGS] and len(handed_back) == 1, "whoever sends the rest keeps what it has prepared, too"


def test_what_the_network_refuses_is_counted_and_does_not_stop_the_others(
    way: Writes | RawSends, add: Callable[[int], None], pairs: list[tuple[socket.socket, socket.socket]]
) -> None:
    for leg in range(LEGS):
        add(leg)
    rng = random.Random(3)
    views = [memoryview(bytearray(rng.randbytes(172))) for _ in range(LEGS)]
    if isinstance(way, RawSends):
        way.add(1, pairs[1][0].getsockname(), ("255.255.255.255", 9))  # the kernel forbids it unless asked for
    else:
        views[1] = memoryview(bytearray(70_000))  # longer than any datagram
    way.send(list(range(LEGS)), views)
    assert way.errors == 1
    for leg, (_, theirs) in enumerate(pairs):
        if leg != 1:
            assert theirs.recv(2000) == views[leg]


def test_what_would_need_fragments_is_not_sent_raw(pairs: list[tuple[socket.socket, socket.socket]]) -> None:
    try:
        raw = RawSends()
    except OSError as error:
        pytest.skip(f"this system does not permit it: {error}")
    raw.add(0, pairs[0][0].getsockname(), pairs[0][1].getsockname())
    sender = Sender(lookup("L16", 48000), 1)
    sender.open(0, payload_type=96, sequence=0, timestamp=0, ssrc=0)
    slots, packets = [0], sender.packets_of(np.zeros(1, np.intp))
    assert len(packets[0]) == 12 + 1920
    rest = raw.send(slots, packets)
    assert rest[0] == [0] and len(rest[1][0]) == 12 + 1920 and raw.errors == 0
    one = [memoryview(bytes(MOST_OCTETS))]
    assert raw.send(slots, one) == ([], []) and pairs[0][1].recv(2000) == bytes(MOST_OCTETS)
    raw.close()
