"""The shared port's parts: addresses as sockets have them, many datagrams at once, and the order of rows."""

import random
import socket

import numpy as np
import pytest

from sipconf.rtp.edge import shared_port
from sipconf.rtp.edge.binding import bind_shared
from sipconf.rtp.edge.datagrams import NAME_BYTES, Inbox, Outbox, packed, unpacked
from sipconf.rtp.packet import ROW
from sipconf.rtp.rounds import in_rounds
from sipconf.rtp.streams import Streams
from tests.media.loopback import LOCAL, open_socket, read_all


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_datagrams_come_and_go_with_their_addresses(family: int) -> None:
    inbox, outbox = Inbox(8), Outbox(family, 1)
    with socket.socket(family, socket.SOCK_DGRAM) as one:
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        one.bind(("0.0.0.0" if family == socket.AF_INET else "::", 0))
        peers = [open_socket() for _ in range(3)]
        assert inbox.receive(one.fileno()) == 0
        sizes = [1, 200, ROW, ROW + 1, 1500, 12, 0, 7, 9, 3]
        sent = [(peers[n % 3], bytes([n]) * size) for n, size in enumerate(sizes)]
        for peer, data in sent:
            peer.sendto(data, (LOCAL, one.getsockname()[1]))
        for batch in (sent[:8], sent[8:]):
            count = inbox.receive(one.fileno())
            assert count == len(batch)
            assert inbox.lengths.tolist() == [len(data) if len(data) <= ROW else -1 for _, data in batch]
            for row, (peer, data) in enumerate(batch):
                assert unpacked(inbox.sources(count)[row], family) == peer.getsockname()
                assert packed(peer.getsockname(), family) == inbox.sources(count)[row]
                assert inbox.block[row, : len(data)].tobytes() == data[:ROW]
        rows = np.arange(90, dtype=np.uint8).reshape(3, 30)
        for slot, peer in enumerate(peers):
            outbox.aim(70 * slot, packed(peer.getsockname(), family))
        places = rows.ctypes.data + 30 * np.arange(3, dtype=np.uint64)
        outbox.send(one.fileno(), np.array([0, 70, 140]), places, np.array([30, 20, 10]))
        assert [read_all(peer) for peer in peers] == [[row[:size].tobytes()] for row, size in
                                                      zip(rows, (30, 20, 10), strict=True)]  # fmt: skip
        outbox.aim(70, packed((LOCAL, 0), family))  # nobody can be sent to there: the others are
        outbox.send(one.fileno(), np.array([0, 70, 140]), places, np.array([30, 20, 10]))
        assert [len(read_all(peer)) for peer in peers] == [1, 0, 1] and outbox.errors == 1
        outbox.send_one(one.fileno(), packed(peers[1].getsockname(), family), b"\0to you\0")
        outbox.send_one(one.fileno(), packed((LOCAL, 0), family), b"to nobody")
        assert [read_all(peer) for peer in peers] == [[], [b"\0to you\0"], []] and outbox.errors == 2
        for peer in peers:
            peer.close()


@pytest.mark.parametrize("address", [("192.0.2.7", 5004), ("2001:db8::1", 65535), ("fe80::1%3", 1)])
def test_addresses_are_told_as_they_were(address: tuple[str, int]) -> None:
    name = packed(address, socket.AF_INET6)
    assert len(name) == NAME_BYTES and unpacked(name, socket.AF_INET6) == address
    if ":" in address[0]:
        with pytest.raises(ValueError, match="IPv4"):
            packed(address, socket.AF_INET)


def plain_rounds(slots: list[int], most: int) -> list[int]:
    """The twin of in_rounds."""
    waiting = list(range(len(slots)))
    order: list[int] = []
    for _ in range(most):
        first = {slots[i]: i for i in reversed(waiting)}
        order += [first[slot] for slot in sorted(first)]
        waiting = [i for i in waiting if i not in first.values()]
    return order


def test_rows_are_in_rounds() -> None:
    rng = random.Random(4)
    for count in (0, 1, 2, 7, 60):
        for legs in (1, 3, 100):
            slots = [rng.randrange(legs) for _ in range(count)]
            for most in (1, 3, 60):
                assert in_rounds(np.array(slots, np.intp), most).tolist() == plain_rounds(slots, most)


def test_the_rest_of_a_block_is_told_after_a_stall_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_port, "ROWS", 8)
    with bind_shared(0) as one, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        shared = shared_port.SharedPort(one, Streams())
        shared.open_plain()

        def drain(now: float, brought: int = 0) -> bool:
            for _ in range(brought):
                stranger.sendto(bytes(172), ("127.0.0.1", shared.port))
            shared.drain(now)
            return shared.unread

        assert [drain(1.0, 20), drain(1.0), drain(1.0)] == [True, True, False]
        assert not drain(1.02, 20), "a flood is no stall"
        assert [drain(1.1), drain(1.1)] == [True, False]
