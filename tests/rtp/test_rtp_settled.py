"""Batched reading of connected sockets does what one call per socket does."""

import random
import socket
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import pytest

from sipconf.rtp.edge.batch import BatchCalls
from sipconf.rtp.edge.settled import FORGET_EVERY, MOST_BEHIND, ROTATION, ROWS_PER_SOCKET, Settled
from sipconf.rtp.packet import ROW, Drained

LEGS = 40


@pytest.fixture
def settled() -> Iterator[Settled]:
    try:
        calls = BatchCalls()
    except OSError as error:
        pytest.skip(f"this system has no batched calls: {error}")
    yield Settled(calls)
    calls.close()


@pytest.fixture
def pairs() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    """(ours, the peer's), connected both ways."""
    made = []
    for _ in range(LEGS):
        ours, theirs = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        for one in (ours, theirs):
            one.bind(("127.0.0.1", 0))
            one.setblocking(False)
        ours.connect(theirs.getsockname())
        theirs.connect(ours.getsockname())
        made.append((ours, theirs))
    yield made
    for pair in made:
        for one in pair:
            one.close()


def test_everything_that_came_is_read_once_and_in_order(
    settled: Settled, pairs: list[tuple[socket.socket, socket.socket]]
) -> None:
    rng = random.Random(5)
    for leg, (ours, _) in enumerate(pairs):
        settled.add(1000 + leg, ours.fileno())
    block = np.zeros((ROWS_PER_SOCKET * LEGS, ROW), np.uint8)
    sent: dict[int, list[bytes]] = defaultdict(list)
    got: dict[int, list[bytes]] = defaultdict(list)

    now = 0.0

    def drain() -> None:
        nonlocal now
        now += 0.02
        slots, _, lengths, _ = settled.receive(block, now)
        assert len(slots) == len(lengths)
        assert slots[:LEGS].tolist() == list(range(1000, 1000 + LEGS))
        for row, (slot, length) in enumerate(zip(slots.tolist(), lengths.tolist(), strict=True)):
            if length > 0:
                got[slot].append(block[row, :length].tobytes())

    for turn in range(60):
        for leg, (_, theirs) in enumerate(pairs):
            for number in range(rng.choice([0, 1, 1, 1, 2, 5])):
                data = rng.randbytes(rng.randrange(1, 300)) + bytes([turn, number])
                theirs.send(data)
                sent[1000 + leg].append(data)
        drain()
    for _ in range(20):
        drain()
    assert got == sent
    assert settled.receive_errors == 0


def test_after_a_stall_everything_is_read_at_once(
    settled: Settled, pairs: list[tuple[socket.socket, socket.socket]]
) -> None:
    for leg, (ours, _) in enumerate(pairs):
        settled.add(leg, ours.fileno())
    block = np.zeros((ROWS_PER_SOCKET * LEGS, ROW), np.uint8)
    now, got = 0.0, {leg: b"" for leg in range(LEGS)}

    def bring(packets: int) -> None:
        for _, theirs in pairs:
            for number in range(packets):
                theirs.send(bytes([number]))

    def keep(came: Drained) -> int:
        slots, lengths = came.slots, came.lengths
        for row, (slot, length) in enumerate(zip(slots.tolist(), lengths.tolist(), strict=True)):
            got[slot] += block[row, : max(length, 0)].tobytes()
        return int(np.count_nonzero(lengths > 0))

    for _ in range(3):  # whoever has just latched is asked for more at first
        bring(1)
        now += 0.02
        keep(settled.receive(block, now))
    bring(2)
    assert keep(settled.receive(block, now + 0.02)) < 2 * LEGS, "one each is the rule, for an empty read costs too"
    keep(settled.receive(block, now + 0.04))
    for packets, stall in ((2, 0.04), (7, 0.14)):
        while any(map(readable, pairs)):
            keep(settled.receive(block, now + 0.04))
        got.update((leg, b"") for leg in got)
        bring(packets)
        now += 0.04 + stall
        keep(settled.receive(block, now))
        assert settled.unread == (packets >= ROWS_PER_SOCKET)
        while settled.unread:
            keep(settled.receive_more(block))
        assert set(got.values()) == {bytes(range(packets))}


def test_what_the_network_held_up_does_not_stay_in_its_socket(
    settled: Settled, pairs: list[tuple[socket.socket, socket.socket]]
) -> None:
    rng = random.Random(8)
    for leg, (ours, _) in enumerate(pairs):
        settled.add(leg, ours.fileno())
    block = np.zeros((ROWS_PER_SOCKET * LEGS, ROW), np.uint8)
    coming: dict[int, list[int]] = defaultdict(list)
    waiting, stayed, ticks = 0, 0, 400
    for tick in range(ticks):
        for leg in range(LEGS):
            coming[tick + rng.randrange(3)].append(leg)
        arrived = coming.pop(tick)
        for leg in arrived:
            pairs[leg][1].send(bytes(172))
        waiting += len(arrived) - int(np.count_nonzero(settled.receive(block, 0.02 * tick).lengths > 0))
        stayed += waiting if tick >= ticks // 2 else 0
    assert stayed < 0.02 * LEGS * ticks / 2, "each of them is as much later as the network's own delay would be"


def test_who_has_brought_everything_is_asked_once(
    settled: Settled, pairs: list[tuple[socket.socket, socket.socket]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for leg, (ours, _) in enumerate(pairs):
        settled.add(leg, ours.fileno())
    block = np.zeros((ROWS_PER_SOCKET * LEGS, ROW), np.uint8)
    asked: list[int] = []
    carry_out = settled._calls.carry_out
    monkeypatch.setattr(
        settled._calls, "carry_out", lambda requests, count: asked.append(count) or carry_out(requests, count)
    )
    tick = 0

    def seconds(ticks: int, silent: int = 0, lost: int = -1) -> int:
        """Second reads in so many ticks in which each but the first few legs brings one; the leg `lost` not always."""
        nonlocal tick
        asked.clear()
        for number in range(ticks):
            for leg in range(silent, LEGS):
                if leg != lost or number % 10:
                    pairs[leg][1].send(bytes(172))
            settled.receive(block, 0.02 * tick)
            tick += 1
        return sum(asked) - ticks * LEGS

    seconds(ROTATION)  # whoever has just latched is asked for more at first
    rotation = seconds(ROTATION)
    assert rotation == LEGS
    assert seconds(ROTATION, silent=5) == LEGS - 5, "who says nothing need not be asked twice"
    few = seconds(ROTATION, lost=20)
    assert rotation + 5 * ROTATION < few <= rotation + 6 * ROTATION, "who said nothing may have it in hand, for a while"
    seconds((MOST_BEHIND + 1) * FORGET_EVERY)
    assert seconds(ROTATION) == rotation, "what was lost is not waited for for ever"


def test_what_is_left_waits_while_somebody_latches_and_where_there_was_no_stall(
    settled: Settled, pairs: list[tuple[socket.socket, socket.socket]]
) -> None:
    for leg, (ours, _) in enumerate(pairs[1:], 1):
        settled.add(leg, ours.fileno())
    block = np.zeros((ROWS_PER_SOCKET * LEGS, ROW), np.uint8)
    for _, theirs in pairs:
        for number in range(12):
            theirs.send(bytes([number]))
    read = np.count_nonzero(settled.receive(block, 1.0).lengths > 0)
    assert settled.unread
    read += np.count_nonzero(settled.receive(block, 1.02).lengths > 0)
    assert not settled.unread, "a flood is no stall"
    read += np.count_nonzero(settled.receive(block, 1.1).lengths > 0)
    assert settled.unread
    settled.add(0, pairs[0][0].fileno())
    assert len(settled.receive_more(block).slots) == 0 and not settled.unread
    read += np.count_nonzero(settled.receive(block, 1.2).lengths > 0)
    while settled.unread:
        read += np.count_nonzero(settled.receive_more(block).lengths > 0)
    assert read == 12 * LEGS


def readable(pair: tuple[socket.socket, socket.socket]) -> bool:
    try:
        return len(pair[0].recv(1, socket.MSG_PEEK)) > 0
    except BlockingIOError:
        return False


def test_a_closed_peer_is_counted_and_does_not_stop_the_others(
    settled: Settled, pairs: list[tuple[socket.socket, socket.socket]]
) -> None:
    for leg, (ours, theirs) in enumerate(pairs):
        settled.add(leg, ours.fileno())
        theirs.send(bytes([leg]))
    block = np.zeros((ROWS_PER_SOCKET * LEGS, ROW), np.uint8)
    settled.receive(block, 0.0)
    pairs[0][1].close()
    pairs[0][0].send(b"to nobody")
    for _, theirs in pairs[1:]:
        theirs.send(b"again")
    came = settled.receive(block, 0.02)
    assert settled.receive_errors == 1 and np.count_nonzero(came.lengths > 0) == LEGS - 1


def test_no_socket_is_no_work(settled: Settled) -> None:
    came = settled.receive(np.zeros((1, ROW), np.uint8), 0.0)
    assert len(came.slots) == len(came.lengths) == 0
