"""Who may stay connected and who makes room; and that everybody gets a turn. No sockets."""

import asyncio
import random

from sipconf.sip.crowd import Crowd
from sipconf.sip.edge.turns import Turns
from sipconf.sip.flow import network_of


class Peer:
    """A connection that can be told to go."""

    def __init__(self, source: str = "192.0.2.1", used: bool = False) -> None:
        self.source = source
        self.is_used = used
        self.gone = False

    def abort(self, reason: str) -> None:
        self.gone = True


def enter(crowd: Crowd, count: int, source: str = "192.0.2.1", spoke: bool = False, used: bool = False) -> list[Peer]:
    peers = [Peer(source, used) for _ in range(count)]
    for peer in peers:
        assert crowd.enter(peer, shaking=False)
        if spoke:
            crowd.spoke(peer)
    return peers


def test_a_source_has_its_share_and_no_more() -> None:
    crowd = Crowd(total=100, per_source=3, handshakes=10)
    mine = enter(crowd, 3, spoke=True, used=True)
    assert not crowd.enter(Peer(), shaking=False), "all three are in use"
    enter(crowd, 1, "192.0.2.2")
    crowd.leave(mine[0])
    crowd.leave(mine[0])
    enter(crowd, 1)
    assert len(crowd) == 4


def test_silent_ones_go_first_then_strangers_by_silence_and_never_who_is_in_use() -> None:
    crowd = Crowd(total=100, per_source=5, handshakes=10)
    (registered,) = enter(crowd, 1, spoke=True, used=True)
    first, second = enter(crowd, 2, spoke=True)
    quiet, quieter = enter(crowd, 2)
    crowd.spoke(first)
    gone = []
    for _ in range(4):
        enter(crowd, 1, spoke=True, used=True)
        gone.append([peer for peer in (quiet, quieter, second, first) if peer.gone])
    assert gone == [[quiet], [quiet, quieter], [quiet, quieter, second], [quiet, quieter, second, first]]
    assert not registered.gone and not crowd.enter(Peer(), shaking=False)
    registered.is_used = False
    crowd.spoke(registered)  # its registration is over, and it says something
    enter(crowd, 1)
    assert registered.gone


def test_the_total_holds_over_all_sources_and_a_newcomer_still_finds_room() -> None:
    crowd = Crowd(total=50, per_source=10, handshakes=10)
    for number in range(20):
        enter(crowd, 10, f"192.0.2.{number}", spoke=number % 2 == 0)
        assert len(crowd) <= 50
    (honest,) = enter(crowd, 1, "198.51.100.1")
    assert len(crowd) == 50 and not honest.gone


def test_handshakes_under_way_are_limited_apart() -> None:
    crowd = Crowd(total=100, per_source=100, handshakes=2)
    peers = [Peer() for _ in range(4)]
    for peer in peers:
        assert crowd.enter(peer, shaking=True)
        if peer is peers[0]:
            crowd.shaken(peer)
    assert [peer.gone for peer in peers] == [False, True, False, False] and len(crowd) == 3


def test_a_random_day_keeps_the_books() -> None:
    rng = random.Random(7)
    crowd = Crowd(total=30, per_source=8, handshakes=5)
    inside: list[Peer] = []
    for _ in range(5000):
        peer = Peer(f"192.0.2.{rng.randrange(6)}", used=rng.random() < 0.3)
        if crowd.enter(peer, shaking=rng.random() < 0.5):
            inside.append(peer)
        for other in rng.sample(inside, min(3, len(inside))):
            rng.choice([crowd.spoke, crowd.shaken, lambda who: None])(other)
        inside = [each for each in inside if not each.gone]
        if inside and rng.random() < 0.3:
            crowd.leave(inside.pop(rng.randrange(len(inside))))
        assert len(crowd) == len(inside) <= 30
        for source in {each.source for each in inside}:
            assert sum(each.source == source for each in inside) <= 8
    for each in inside:
        crowd.leave(each)
    assert len(crowd) == 0


def test_a_customer_of_ipv6_is_one_source() -> None:
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:1") != network_of("2001:db8:0:1::1")
    assert network_of("fe80::1%eth0") == network_of("fe80::2%eth0") and network_of("192.0.2.1") == "192.0.2.1"


async def test_everybody_gets_a_turn_and_the_loop_looks_around() -> None:
    class Queue:
        def __init__(self, name: str, left: int) -> None:
            self.name, self.left = name, left

        def work(self) -> bool:
            now[0] += 0.001
            self.left -= 1
            done.append(self.name)
            return self.left > 0

    now, done = [0.0], []
    turns = Turns(lambda: now[0], portion=0.0035)
    flood, honest = Queue("flood", 1000), Queue("honest", 2)
    turns.add(flood)
    turns.add(honest)
    await asyncio.sleep(0)
    assert done == ["flood", "honest", "flood", "honest"], "one message each, and no more than a portion at once"
    while flood.left:
        before = len(done)
        await asyncio.sleep(0)
        assert len(done) - before <= 4
    assert done.count("flood") == 1000
    turns.add(Queue("late", 1))
    turns.stop()
    await asyncio.sleep(0)
    assert "late" not in done
