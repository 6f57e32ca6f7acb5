"""How a bank's packets leave: plain and encrypted, by ports and by the shared port, in old or new objects."""

import random
from collections.abc import Iterator

import pytest
from pylibsrtp import Policy, Session

from sipconf.rtp.edge.binding import bind_shared
from sipconf.rtp.edge.carrier import Carrier
from sipconf.rtp.edge.ports import Ports
from sipconf.rtp.edge.shared_port import SharedPort
from sipconf.rtp.srtp import SrtpColumns
from sipconf.rtp.streams import Streams
from tests.media.browsers import PROFILE, check
from tests.media.loopback import LOCAL, open_socket, read_all

FIRST, LAST = 28_900, 28_919
KEY = bytes(range(30))


@pytest.fixture
def carrier() -> Iterator[Carrier]:
    srtp = SrtpColumns()
    streams = Streams(is_authentic=srtp.is_authentic)
    shared = SharedPort(bind_shared(FIRST), streams)
    carrier = Carrier(Ports(FIRST + 1, LAST, random.Random(1), streams, srtp=srtp), shared, srtp)
    yield carrier
    carrier.close_all()


def rtp(number: int, size: int) -> bytes:
    return b"\x80\x00" + number.to_bytes(2) + bytes(8) + bytes([number]) * size


@pytest.mark.parametrize("varying", [False, True])
def test_each_gets_its_own_in_its_own_way(carrier: Carrier, varying: bool) -> None:
    """Slot 0 plain, 1 encrypted, on ports; 2 and 4 browsers; 3 a browser without keys."""
    peers = [open_socket() for _ in range(5)]
    inbound = [Session(Policy(KEY, Policy.SSRC_ANY_INBOUND)) for _ in range(5)]
    for slot in (0, 1):
        carrier.open(slot, LOCAL)
        carrier.connect(slot, peers[slot].getsockname(), None, True, True)
    for slot in (2, 3, 4):
        carrier.open_checked(slot, f"u{slot}", "p" * 24, 0.0)
        carrier.choose(slot, f"u{slot}", "p" * 24, "them", 0.0)
        peers[slot].sendto(check(f"u{slot}:them", "p" * 24), (LOCAL, FIRST))
    for slot in (1, 2, 4):
        carrier.secure(slot, PROFILE, KEY, KEY)
    list(carrier.drain(0.1))
    assert len(carrier.take_pairs()) == 3
    for peer in peers:
        read_all(peer)
    slots, buffers = [0, 1, 2, 3, 4], [bytearray(rtp(0, 160)) for _ in range(5)]
    views = [memoryview(buffer) for buffer in buffers]
    for number in range(5):
        sizes = [20 * (slot + number + 1) if varying else 160 for slot in slots]
        if varying:
            slots, views = list(slots), [memoryview(buffer)[: 12 + size] for buffer, size in
                                         zip(buffers, sizes, strict=True)]  # fmt: skip
        for buffer, size in zip(buffers, sizes, strict=True):
            buffer[: 12 + size] = rtp(number, size)
        carrier.send(slots, views)
        got = [read_all(peer) for peer in peers]
        assert got[0] == [rtp(number, sizes[0])] and got[3] == []
        for slot in (1, 2, 4):
            assert [inbound[slot].unprotect(data) for data in got[slot]] == [rtp(number, sizes[slot])]
        if number == 3:  # somebody leaves, and nobody else is touched
            carrier.close(2)
            slots, views = [0, 1, 3, 4], [view for slot, view in enumerate(views) if slot != 2]
            break
    for buffer in buffers:
        buffer[:172] = rtp(9, 160)
    carrier.send(slots, [memoryview(buffers[slot])[:172] for slot in slots])
    got = [read_all(peer) for peer in peers]
    assert got[0] == [rtp(9, 160)] and got[2] == got[3] == []
    assert inbound[1].unprotect(*got[1]) == inbound[4].unprotect(*got[4]) == rtp(9, 160)
    for peer in peers:
        peer.close()


def test_what_cannot_be_encrypted_stays_here(carrier: Carrier) -> None:
    """Slots 0 and 1 on ports, encrypted; what the first has is no RTP packet."""
    peers = [open_socket() for _ in range(2)]
    for slot, peer in enumerate(peers):
        carrier.open(slot, LOCAL)
        carrier.connect(slot, peer.getsockname(), None, True, True)
        carrier.secure(slot, PROFILE, KEY, KEY)
    for number in range(3):
        carrier.send([0, 1], [memoryview(b"\x80\x00"), memoryview(rtp(number, 160))])
        assert [len(read_all(peer)) for peer in peers] == [0, 1]
    for peer in peers:
        peer.close()
