"""The kernel gives what settled peers send to one socket, and everything else to whom it gave it before."""

import random
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from sipconf.rtp.edge import bpf, steered
from sipconf.rtp.edge.datagrams import PortInbox
from sipconf.rtp.edge.ports import Ports
from sipconf.rtp.edge.steered import MOST_OF_LEG, Steered
from sipconf.rtp.edge.steering import Steering
from sipconf.rtp.packet import ROW
from sipconf.rtp.streams import Streams

FIRST, LAST = 28_100, 28_199
LOCAL = "127.0.0.1"


@pytest.fixture
def legs() -> Iterator[Steered]:
    try:
        made = Steered(FIRST, LAST)
    except OSError as error:
        pytest.skip(f"this system does not let legs share their sockets: {error}")
    yield made
    made.close()


def opened(host: str = LOCAL, port: int = 0) -> socket.socket:
    one = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    one.bind((host, port))
    one.setblocking(False)
    return one


def brought(legs: Steered) -> list[tuple[int, bytes]]:
    slots, block, lengths, _ = legs.receive().in_line()
    return [(int(slot), block[row, : max(lengths[row], 0)].tobytes()) for row, slot in enumerate(slots.tolist())]


def test_only_the_peer_of_a_port_is_steered_and_only_while_it_is_known(legs: Steered) -> None:
    with closing(opened(port=FIRST)) as ours, closing(opened()) as peer, closing(opened()) as stranger:
        peer.sendto(b"before", ours.getsockname())
        assert ours.recv(100) == b"before"
        legs.add(7, (LOCAL, FIRST), peer.getsockname())
        peer.sendto(b"mine", ours.getsockname())
        stranger.sendto(b"not mine", ours.getsockname())
        assert brought(legs) == [(7, b"mine")] and ours.recv(100) == b"not mine"
        legs.remove(7)
        peer.sendto(b"after", ours.getsockname())
        assert brought(legs) == [] and ours.recv(100) == b"after"


def test_one_peer_with_one_port_may_be_many_legs(legs: Steered) -> None:
    """A telephone or a test that sends all its calls' packets from one port: the port here tells them apart."""
    with closing(opened()) as peer:
        ours = [opened(port=FIRST + 2 * leg) for leg in range(5)]
        for leg in range(5):
            legs.add(leg, (LOCAL, FIRST + 2 * leg), peer.getsockname())
        for leg in (3, 0, 4, 1, 2):
            peer.sendto(bytes([leg]), (LOCAL, FIRST + 2 * leg))
        assert brought(legs) == [(leg, bytes([leg])) for leg in range(5)]
        for one in ours:
            one.close()


def test_packets_come_in_rounds_and_in_order(legs: Steered) -> None:
    rng = random.Random(4)
    with closing(opened()) as peer:
        ours = [opened(port=FIRST + 2 * leg) for leg in range(20)]
        for leg in range(20):
            legs.add(leg, (LOCAL, FIRST + 2 * leg), peer.getsockname())
        for _ in range(30):
            sent: dict[int, list[bytes]] = {}
            for _ in range(rng.randrange(60)):
                leg, data = rng.randrange(20), rng.randbytes(rng.randrange(1, 300))
                peer.sendto(data, (LOCAL, FIRST + 2 * leg))
                sent.setdefault(leg, []).append(data)
            got: dict[int, list[bytes]] = {}
            came = brought(legs)
            for leg, data in came:
                got.setdefault(leg, []).append(data)
            assert got == sent
            slots = [slot for slot, _ in came]
            falls = [at for at in range(1, len(slots)) if slots[at] <= slots[at - 1]]
            assert len(falls) == max([0, *(len(each) - 1 for each in sent.values())])
        for one in ours:
            one.close()


def test_legs_come_and_go_between_ticks_in_which_everybody_brings_one(legs: Steered) -> None:
    rng = random.Random(11)
    with closing(opened()) as peer:
        present: set[int] = set()
        for tick in range(60):
            for leg in rng.sample(range(20), rng.randrange(3)):
                if leg in present:
                    legs.remove(leg)
                    present.remove(leg)
                else:
                    legs.add(leg, (LOCAL, FIRST + 2 * leg), peer.getsockname())
                    present.add(leg)
            silent = {leg for leg in present if rng.random() < (0.1 if tick % 3 == 0 else 0)}
            for leg in rng.sample(sorted(present), len(present)):
                if leg not in silent:
                    peer.sendto(bytes([leg, tick]), (LOCAL, FIRST + 2 * leg))
            assert brought(legs) == [(leg, bytes([leg, tick])) for leg in sorted(present - silent)]


def test_a_flood_in_a_peers_name_is_cut_and_the_others_lose_nothing(legs: Steered) -> None:
    with closing(opened(port=FIRST)), closing(opened(port=FIRST + 2)), closing(opened()) as peer:
        for leg in range(2):
            legs.add(leg, (LOCAL, FIRST + 2 * leg), peer.getsockname())
        for _ in range(MOST_OF_LEG + 50):
            peer.sendto(b"flood", (LOCAL, FIRST))
        peer.sendto(b"voice", (LOCAL, FIRST + 2))
        came = brought(legs)
        assert came.count((1, b"voice")) == 1 and len(came) == MOST_OF_LEG + 1 and legs.excess == 50


def test_more_than_a_block_is_read_in_several(legs: Steered, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steered, "MOST_OF_LEG", 10_000)
    legs._inbox = PortInbox(16)
    with closing(opened(port=FIRST)), closing(opened()) as peer:
        legs.add(0, (LOCAL, FIRST), peer.getsockname())
        for n in range(40):
            peer.sendto(bytes([n]), (LOCAL, FIRST))
        got = brought(legs)
        assert len(got) == 16 and legs.unread
        while legs.unread:
            got += brought(legs)
        assert got == [(0, bytes([n])) for n in range(40)]


def test_what_is_longer_than_a_row_is_no_packet(legs: Steered) -> None:
    with closing(opened(port=FIRST)), closing(opened()) as peer:
        legs.add(0, (LOCAL, FIRST), peer.getsockname())
        for size in (ROW + 1, ROW, ROW - 1):
            peer.sendto(bytes(size), (LOCAL, FIRST))
        assert legs.receive().lengths.tolist() == [-1, -1, ROW - 1]


def test_ipv6_and_other_ports_and_other_protocols(legs: Steered) -> None:
    steering = legs._steering
    with closing(opened("::1", FIRST)) as ours, closing(opened("::1")) as peer, closing(opened("::1")) as stranger:
        steering.add(("::1", FIRST), peer.getsockname()[:2])
        peer.sendto(b"six", ours.getsockname())
        stranger.sendto(b"stranger", ours.getsockname())
        assert steering.socket.recv(100) == b"six" and ours.recv(100) == b"stranger"
    with closing(opened(port=LAST + 1)) as outside, closing(opened()) as peer:
        steering.add(outside.getsockname(), peer.getsockname())
        peer.sendto(b"outside", outside.getsockname())
        assert outside.recv(100) == b"outside"
    with socket.create_server((LOCAL, FIRST)) as server, socket.create_connection((LOCAL, FIRST)) as client:
        accepted, _ = server.accept()
        client.sendall(b"TCP")
        assert accepted.recv(10) == b"TCP"
        accepted.close()


def test_another_server_on_the_same_port_of_another_address_keeps_its_calls(legs: Steered) -> None:
    with closing(opened(port=FIRST)), closing(opened("127.0.0.2", FIRST)) as theirs, closing(opened()) as peer:
        legs.add(0, (LOCAL, FIRST), peer.getsockname())
        peer.sendto(b"theirs", ("127.0.0.2", FIRST))
        peer.sendto(b"ours", (LOCAL, FIRST))
        assert brought(legs) == [(0, b"ours")] and theirs.recv(100) == b"theirs"


def test_whoever_is_gone_leaves_nothing_to_the_next(legs: Steered) -> None:
    with closing(opened(port=FIRST)), closing(opened(port=FIRST + 2)), closing(opened()) as peer:
        for leg in range(2):
            legs.add(leg, (LOCAL, FIRST + 2 * leg), peer.getsockname())
            peer.sendto(bytes([leg]), (LOCAL, FIRST + 2 * leg))
        legs.remove(0)
        assert brought(legs) == [(1, b"\1")]


def test_two_workers_of_one_machine_have_each_their_own(legs: Steered) -> None:
    other = Steered(LAST + 1, LAST + 100)
    try:
        with closing(opened(port=FIRST)), closing(opened(port=LAST + 1)), closing(opened()) as peer:
            legs.add(0, (LOCAL, FIRST), peer.getsockname())
            other.add(0, (LOCAL, LAST + 1), peer.getsockname())
            peer.sendto(b"one", (LOCAL, FIRST))
            peer.sendto(b"two", (LOCAL, LAST + 1))
            assert brought(legs) == [(0, b"one")] and brought(other) == [(0, b"two")]
    finally:
        other.close()


def test_nobody_can_send_to_the_one_socket_from_elsewhere(legs: Steered) -> None:
    """And what this machine itself sends there is no leg's."""
    host, port = legs._steering.socket.getsockname()[:2]
    assert host in ("::ffff:127.0.0.1", LOCAL)
    with closing(opened(port=FIRST)), closing(opened()) as peer:
        legs.add(0, (LOCAL, FIRST), peer.getsockname())
        peer.sendto(b"direct", (LOCAL, port))
        assert brought(legs) == []


def test_a_full_table_leaves_the_leg_where_it_was(legs: Steered, monkeypatch: pytest.MonkeyPatch) -> None:
    """It latches, hears and is heard by its own socket."""
    def full(*_: object) -> None:
        raise OSError(7, "full")

    monkeypatch.setattr(Steering, "add", full)
    streams = Streams(1)
    ports = Ports(FIRST, LAST, random.Random(1), streams, steered=legs)
    streams.open(0)
    ours = LOCAL, ports.open(0, LOCAL)
    with closing(opened()) as peer:
        restart = streams.connect(
            0, remote=peer.getsockname(), signalling_host=LOCAL, clock_rate=8000, kinds={0: 0}, telephone_event=None,
            remote_rtcp=None, now=0.0,
        )  # fmt: skip
        ports.connect(0, peer.getsockname(), None, False, restart)
        for n in range(5):
            packet = b"\x80\0" + n.to_bytes(2) + (160 * n).to_bytes(4) + bytes(4) + bytes(160)
            peer.sendto(packet, ours)
        assert len(ports.drain(0.0).slots) == 2 and streams.latched(0) == peer.getsockname()
        ports.send([0], [memoryview(b"voice")])
        assert peer.recvfrom(100) == (b"voice", ours) and len(legs) == 0
    ports.close(0)


def test_what_the_kernel_has_against_a_program_is_told(legs: Steered) -> None:
    endless = bpf.Label()
    with pytest.raises(OSError, match="R0 !read_ok|invalid|unreachable|infinite loop|back-edge"):
        bpf.attach_to_network(bpf.assemble([endless, bpf.jump(endless), bpf.leave()]), b"endless")


def test_jumps_go_to_their_labels_across_wide_instructions() -> None:
    there = bpf.Label()
    octets = bpf.assemble([bpf.jump_if(2, "==", 5, there), bpf.load_map(1, 9), there, bpf.leave()])
    assert len(octets) == 4 * 8
    assert octets[:8] == bytes([0x15, 2, 2, 0, 5, 0, 0, 0]) and octets[8:12] == bytes([0x18, 0x11, 0, 0])
    with pytest.raises(KeyError):
        bpf.assemble([bpf.jump(bpf.Label())])
