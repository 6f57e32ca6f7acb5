"""Real sockets on loopback: pairs of ports, latching by the kernel's own sources, errors that are counted."""

import random
import socket
from contextlib import closing

import numpy as np
import pytest

from sipconf.errors import MisuseError
from sipconf.rtp.edge.ports import Ports, PortsExhausted
from sipconf.rtp.edge.steered import Steered
from sipconf.rtp.packet import ROW
from sipconf.rtp.streams import Streams

LOCAL = "127.0.0.1"
FIRST = 28_200


def packet(n, ssrc=5):
    return bytes((0x80, 0)) + (n % 65536).to_bytes(2) + (160 * n).to_bytes(4) + ssrc.to_bytes(4) + bytes(160)


def phone(host=LOCAL):
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind((host, 0))
    one.settimeout(2)
    return one


@pytest.fixture(params=["steered", "batched", "singly"])
def house(request):
    streams = Streams(2)
    steered = None
    if request.param == "steered":
        try:
            steered = Steered(FIRST, FIRST + 99)
        except OSError as error:
            pytest.skip(f"this system does not let legs share their sockets: {error}")
    ports = Ports(FIRST, FIRST + 99, random.Random(7), streams, batched=request.param != "singly", steered=steered)
    yield streams, ports
    ports.close_all()


def connect(house, slot, remote, now=0.0, host=LOCAL, rtcp=None, mux=False):
    streams, ports = house
    restart = streams.connect(
        slot, remote=remote, signalling_host=host, clock_rate=8000, kinds={0: 0}, telephone_event=101,
        remote_rtcp=rtcp, now=now,
    )  # fmt: skip
    ports.connect(slot, remote, rtcp, mux, restart)
    return restart


def opened(house, *slots):
    for slot in slots:
        house[0].open(slot)
    return [(LOCAL, house[1].open(slot, LOCAL)) for slot in slots]


def numbers(drained):
    slots, block, lengths, _ = drained.in_line()
    assert block.shape == (len(slots), ROW) and len(lengths) == len(slots)
    came = (lengths > 0).nonzero()[0].tolist()
    return [(int(slots[place]), int(block[place, 2]) << 8 | int(block[place, 3])) for place in came]


def test_ports_are_even_pairs_at_random_and_come_to_an_end():
    ports = Ports(FIRST + 101, FIRST + 107, random.Random(1), Streams(8))
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as other:
        other.bind((LOCAL, FIRST + 105))
        got = {ports.open(slot, LOCAL) for slot in range(2)}
        assert got == {FIRST + 102, FIRST + 106}
        with pytest.raises(PortsExhausted):
            ports.open(2, LOCAL)
        with pytest.raises(MisuseError):
            ports.open(0, LOCAL)
    ports.close(0)
    assert ports.free == 2 and ports.open(3, LOCAL) % 2 == 0
    ports.close_all()
    order = [Ports(FIRST, FIRST + 99, random.Random(s), Streams(1))._free for s in (1, 2)]
    assert order[0] == order[1]
    with pytest.raises(MisuseError):
        Ports(FIRST, FIRST, random.Random(1), Streams(1))


def test_a_latched_leg_hears_its_peer_and_nobody_else(house):
    streams, ports = house
    (ours,) = opened(house, 1)
    with closing(phone()) as peer, closing(phone()) as thief:
        connect(house, 1, peer.getsockname())
        ports.send([1], [memoryview(b"early")])
        assert peer.recv(100) == b"early"
        for n in range(6):
            thief.sendto(packet(100 + n, 9), ours)
            peer.sendto(packet(n), ours)
        assert numbers(ports.drain(0.1)) == [(1, 3), (1, 4), (1, 5)]
        assert streams.latched(1) == peer.getsockname()
        thief.sendto(packet(200, 9), ours)
        peer.sendto(packet(6), ours)
        assert numbers(ports.drain(0.2)) == [(1, 6)]
        ports.send([1], [memoryview(b"late")])
        assert peer.recvfrom(100) == (b"late", ours)
        ports.send([1], [memoryview(bytes(1932))])  # a frame of L16 at 48 kHz, longer than one of Ethernet
        assert peer.recvfrom(2000) == (bytes(1932), ours)
        connect(house, 1, peer.getsockname(), now=0.3, mux=True)
        ports.send_rtcp(1, b"report")
        assert peer.recvfrom(100) == (b"report", ours)
        thief.settimeout(0)
        with pytest.raises(OSError):
            thief.recv(100)


def test_the_signalling_may_move_a_leg_to_another_peer(house):
    streams, ports = house
    (ours,) = opened(house, 0)
    with closing(phone()) as first, closing(phone()) as second:
        connect(house, 0, first.getsockname())
        for n in range(4):
            first.sendto(packet(n), ours)
        assert numbers(ports.drain(0.0)) == [(0, 3)]
        assert connect(house, 0, second.getsockname(), 1.0)
        ports.send([0], [memoryview(b"hello")])
        assert second.recv(100) == b"hello"
        for n in range(4):
            second.sendto(packet(50 + n, 6), ours)
            first.sendto(packet(9 + n), ours)
        assert numbers(ports.drain(1.1)) == [(0, 53)] and streams.latched(0) == second.getsockname()


def test_bursts_are_bounded_and_nothing_is_lost(house):
    _, ports = house
    (ours,) = opened(house, 0)
    with closing(phone()) as peer:
        connect(house, 0, peer.getsockname())
        for n in range(4):
            peer.sendto(packet(n), ours)
        ports.drain(0.0)
        for n in range(4, 44):
            peer.sendto(packet(n), ours)
        got = [numbers(ports.drain(0.1)) for _ in range(4)]
        assert [number for part in got for _, number in part] == list(range(4, 44))
        assert ports._steered is not None or len(got[0]) < 40


def test_many_legs_in_one_block_larger_than_it_was(house):
    _, ports = house
    ports._block.octets = ports._block.octets[:2]
    slots = list(range(20))
    ours = opened(house, *slots)
    peers = [phone() for _ in slots]
    for slot, one in zip(slots, peers, strict=True):
        connect(house, slot, one.getsockname())
        for n in range(6):
            one.sendto(packet(n), ours[slot])
    got = numbers(ports.drain(0.0))
    for slot, one in zip(slots, peers, strict=True):
        assert [n for s, n in got if s == slot] == [3, 4, 5]
        one.close()


def test_a_dead_peer_is_counted_and_the_others_are_still_served(house):
    _, ports = house
    ours = opened(house, 0, 1)
    with closing(phone()) as living:
        dying = phone()
        for slot, one in ((0, dying), (1, living)):
            connect(house, slot, one.getsockname())
            for n in range(4):
                one.sendto(packet(n), ours[slot])
        assert len(numbers(ports.drain(0.0))) == 2
        dying.close()
        for n in range(4):
            ports.send([0, 1], [memoryview(b"a"), memoryview(bytes([n]))])
            assert living.recv(10) == bytes([n])
        ports.drain(0.1)
        # A raw socket is not told of it.
        assert ports._steered is not None or ports.send_errors + ports.receive_errors >= 1


@pytest.mark.parametrize(
    "remote", [("example.invalid", 9), ("239.1.2.3", 9), ("0.0.0.0", 9), ("::1", 9), (LOCAL, 0), None]
)  # fmt: skip
def test_nothing_is_sent_to_what_is_no_single_reachable_address(house, remote):
    _, ports = house
    opened(house, 0)
    connect(house, 0, remote, rtcp=remote)
    ports.send([0], [memoryview(b"x")])
    ports.send_rtcp(0, b"x")
    assert ports.send_errors == 0


def test_rtcp_on_its_own_port_from_the_peer_only(house):
    streams, ports = house
    (ours,) = opened(house, 0)
    report = bytes.fromhex("80c9000100000005")
    with closing(phone()) as peer, closing(phone()) as control, closing(phone()) as thief:
        connect(house, 0, peer.getsockname(), rtcp=control.getsockname())
        for one in (thief, control):
            one.sendto(report, (LOCAL, ours[1] + 1))
        assert ports.drain_rtcp(0.0) == [(0, report)] and streams.strangers[0] == 1
        ports.send_rtcp(0, b"report")
        assert control.recv(100) == b"report"
        connect(house, 0, peer.getsockname(), mux=True)
        ports.send_rtcp(0, b"muxed")
        assert peer.recv(100) == b"muxed"


def test_rtcp_leaves_from_its_own_port_whatever_way_the_leg_is_served(house):
    """Telephones drop reports from anywhere else."""
    _, ports = house
    (ours,) = opened(house, 0)
    with closing(phone()) as peer, closing(phone()) as control:
        connect(house, 0, peer.getsockname(), rtcp=control.getsockname())
        for n in range(10):
            peer.sendto(packet(n), ours)
            ports.drain(0.02 * n)
        assert ports._steered is None or len(ports._steered) == 1
        for size in (8, 61, 1200, 1500):
            ports.send_rtcp(0, bytes(size))
            assert control.recvfrom(2000) == (bytes(size), (LOCAL, ours[1] + 1))
        assert ports.send_errors == 0


def test_ipv6_and_its_mapped_addresses(house):
    _, ports = house
    house[0].open(0)
    try:
        port = ports.open(0, "::")
    except PortsExhausted:
        pytest.skip("no IPv6 here")
    with closing(phone()) as peer:
        connect(house, 0, peer.getsockname())
        for n in range(4):
            peer.sendto(packet(n), (LOCAL, port))
        assert numbers(ports.drain(0.0)) == [(0, 3)]
        ports.send([0], [memoryview(b"six")])
        assert peer.recv(10) == b"six"


def test_a_slot_without_ports_is_our_mistake(house):
    for act in (lambda: house[1].close(5), lambda: house[1].send_rtcp(5, b""), lambda: connect(house, 5, None)):
        house[0].reserve(5)
        with pytest.raises(MisuseError):
            act()
    assert isinstance(house[1].drain(0.0)[0], np.ndarray)
