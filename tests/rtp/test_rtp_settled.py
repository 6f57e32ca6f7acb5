"""Batched reading and writing of connected sockets does what one call per socket does."""

import random
import socket
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import pytest

from sipconf.rtp.edge.batch import BatchCalls
from sipconf.rtp.edge.settled import FORGET_EVERY, MOST_BEHIND, ROTATION, ROWS_PER_SOCKET, Settled
from sipconf.rtp.formats import lookup
from sipconf.rtp.packet import ROW
from sipconf.rtp.transmit import Sender

LEGS = 40


@pytest.fixture
def settled() -> Iterator[Settled]:
    try:
        calls = BatchCalls()
    except OSError as error:
        pytest.skip(f"this system has no batched calls: {error}")
    made = Settled(calls)
    yield made
    made.close()


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
        slots, lengths = settled.receive(block, now)
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

    def keep(slots: np.ndarray, lengths: np.ndarray) -> int:
        for row, (slot, length) in enumerate(zip(slots.tolist(), lengths.tolist(), strict=True)):
            got[slot] += block[row, : max(length, 0)].tobytes()
        return int(np.count_nonzero(lengths > 0))

    for _ in range(3):  # whoever has just latched is asked for more at first
        bring(1)
        now += 0.02
        keep(*settled.receive(block, now))
    bring(2)
    assert keep(*settled.receive(block, now + 0.02)) < 2 * LEGS, "one each is the rule, for an empty read costs too"
    keep(*settled.receive(block, now + 0.04))
    for packets, stall in ((2, 0.04), (7, 0.14)):
        while any(map(readable, pairs)):
            keep(*settled.receive(block, now + 0.04))
        got.update((leg, b"") for leg in got)
        bring(packets)
        now += 0.04 + stall
        keep(*settled.receive(block, now))
        assert settled.unread == (packets >= ROWS_PER_SOCKET)
        while settled.unread:
            keep(*settled.receive_more(block))
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
        waiting += len(arrived) - int(np.count_nonzero(settled.receive(block, 0.02 * tick)[1] > 0))
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
    read = np.count_nonzero(settled.receive(block, 1.0)[1] > 0)
    assert settled.unread
    read += np.count_nonzero(settled.receive(block, 1.02)[1] > 0)
    assert not settled.unread, "a flood is no stall"
    read += np.count_nonzero(settled.receive(block, 1.1)[1] > 0)
    assert settled.unread
    settled.add(0, pairs[0][0].fileno())
    assert len(settled.receive_more(block)[0]) == 0 and not settled.unread
    read += np.count_nonzero(settled.receive(block, 1.2)[1] > 0)
    while settled.unread:
        read += np.count_nonzero(settled.receive_more(block)[1] > 0)
    assert read == 12 * LEGS


def readable(pair: tuple[socket.socket, socket.socket]) -> bool:
    try:
        return len(pair[0].recv(1, socket.MSG_PEEK)) > 0
    except BlockingIOError:
        return False


def test_every_packet_reaches_its_own_peer_and_the_rest_is_handed_back(
    settled: Settled, pairs: list[tuple[socket.socket, socket.socket]]
) -> None:
    for leg, (ours, _) in enumerate(pairs[:-1]):
        settled.add(leg, ours.fileno())
    buffer = np.zeros((LEGS, 172), np.uint8)
    slots, views = list(range(LEGS)), [memoryview(row) for row in buffer]
    for turn in range(3):
        buffer[:] = np.arange(LEGS)[:, None] + turn
        assert settled.send(slots, views) == [(LEGS - 1, views[-1])]
        for leg, (_, theirs) in enumerate(pairs[:-1]):
            assert theirs.recv(2000) == bytes([leg + turn]) * 172
    settled.remove(3)
    assert [slot for slot, _ in settled.send(slots, views)] == [3, LEGS - 1]
    with pytest.raises(BlockingIOError):
        pairs[3][1].recv(2000)


def test_what_is_sent_again_stays_prepared_beside_packets_that_are_others_every_time(
    settled: Settled, pairs: list[tuple[socket.socket, socket.socket]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for leg, (ours, _) in enumerate(pairs):
        settled.add(leg, ours.fileno())
    planned: list[int] = []
    plan = settled._plan
    monkeypatch.setattr(settled, "_plan", lambda slots, packets: planned.append(len(slots)) or plan(slots, packets))
    buffer = np.zeros((LEGS, 172), np.uint8)
    fixed = [0, 1, 2], [memoryview(row) for row in buffer[:3]]
    for turn in range(1, 21):
        settled.send(*fixed)
        for leg in (3, 4):
            settled.send([leg], [memoryview(buffer[leg])[:turn]])
            assert len(pairs[leg][1].recv(2000)) == turn
    assert planned.count(3) == 1 and planned.count(1) == 40


def test_packets_of_other_lengths_in_every_tick_are_prepared_once(
    settled: Settled, pairs: list[tuple[socket.socket, socket.socket]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for leg, (ours, _) in enumerate(pairs[:-1]):
        settled.add(leg, ours.fileno())
    planned: list[int] = []
    plan = settled._plan
    monkeypatch.setattr(settled, "_plan", lambda slots, packets: planned.append(len(slots)) or plan(slots, packets))
    sender = Sender(lookup("opus", 48000), LEGS)
    for row in range(LEGS):
        sender.open(row, payload_type=111, sequence=0, timestamp=0, ssrc=row)
    slots, packets = list(range(LEGS))[::-1], sender.packets_of(np.arange(LEGS)[::-1])
    for turn in range(1, 21):
        sender.lengths[:] = np.arange(LEGS) + turn
        sender.payload(LEGS)[:] = turn
        sender.stamp(np.ones(LEGS, bool))
        ((slot, rest),) = settled.send(slots, packets)
        assert slot == LEGS - 1 and len(rest) == 12 + LEGS - 1 + turn
        for leg, (_, theirs) in enumerate(pairs[:-1]):
            data = theirs.recv(2000)
            assert data[8:] == leg.to_bytes(4) + bytes([turn]) * (leg + turn)
    assert planned == [LEGS]


def test_a_closed_peer_is_counted_and_does_not_stop_the_others(
    settled: Settled, pairs: list[tuple[socket.socket, socket.socket]]
) -> None:
    for leg, (ours, _) in enumerate(pairs):
        settled.add(leg, ours.fileno())
    pairs[0][1].close()
    views = [memoryview(bytearray(172)) for _ in range(LEGS)]
    slots = list(range(LEGS))
    settled.send(slots, views)
    settled.send(slots, views)
    block = np.zeros((ROWS_PER_SOCKET * LEGS, ROW), np.uint8)
    settled.receive(block, 0.0)
    assert settled.receive_errors + settled.send_errors > 0
    for _, theirs in pairs[1:]:
        assert len(theirs.recv(2000)) == 172


def test_no_socket_is_no_work(settled: Settled) -> None:
    slots, lengths = settled.receive(np.zeros((1, ROW), np.uint8), 0.0)
    assert len(slots) == len(lengths) == 0
    assert settled.send([], []) == []
