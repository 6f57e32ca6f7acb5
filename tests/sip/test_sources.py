"""Token buckets by source, the parts of the tables that each may hold, and that no flood makes them grow."""

import pytest

from sipconf.errors import MisuseError
from sipconf.sip.caps import Cap, Held, Holder, TooMuch
from sipconf.sip.flow import network_of
from sipconf.sip.sources import Buckets, Rate, SourceLimits, Sources

HOST = "198.51.100.7"
LIMITS = SourceLimits(
    stranger_port=Rate(10.0, 20), stranger_host=Rate(20.0, 50), strangers=Rate(100.0, 200), proven=Rate(50.0, 100),
    trunk=Rate(50.0, 100), refusals=Rate(2.0, 3), all_refusals=Rate(5.0, 10), remembered=1000,
)  # fmt: skip


def admitted(sources: Sources, remotes: list[tuple[str, int]], now: float, trunk: str | None = None) -> int:
    return sum(sources.admit(remote, trunk, now) for remote in remotes)


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    buckets = Buckets(Rate(10.0, 5), keys=10)
    assert [buckets.take("a", 100.0) for _ in range(7)] == [True] * 5 + [False] * 2
    assert buckets.wait("a", 100.0) == pytest.approx(0.1, rel=0.02)
    assert sum(buckets.take("a", 100.0 + step / 100) for step in range(1, 1001)) == 100
    assert sum(buckets.take("a", 1000.0) for _ in range(10)) == 5, "no more than the burst is saved up"
    assert buckets.take("b", 1000.0), "each key has its own"


def test_buckets_forget_the_longest_unused() -> None:
    buckets = Buckets(Rate(1.0, 1), keys=2)
    assert buckets.take("a", 0.0) and buckets.take("b", 0.0) and buckets.take("a", 1.5) and buckets.take("c", 1.5)
    assert len(buckets) == 2 and not buckets.take("a", 1.6)


def test_one_port_one_host_and_all_hosts_have_their_limits() -> None:
    sources = Sources(LIMITS)
    assert admitted(sources, [(HOST, 5060)] * 1000, 0.0) == 20
    assert admitted(sources, [(HOST, port) for port in range(1000)], 0.0) == 30, "the host's 50, less 20"
    assert admitted(sources, [(f"192.0.2.{number}", 5060) for number in range(250)], 0.0) == 150
    assert not sources.admit(("203.0.113.77", 5060), None, 0.0), "all strangers together"
    assert sources.admit(("203.0.113.77", 5060), None, 1.0)


def test_an_ipv6_subscriber_is_one_source() -> None:
    sources = Sources(LIMITS)
    assert admitted(sources, [(f"2001:db8::{number:x}", 5060) for number in range(100)], 0.0) == 50
    assert sources.admit(("2001:db8:0:1::1", 5060), None, 0.0)
    assert network_of("fe80::1%eth0") == network_of("fe80::2%eth0")
    assert network_of("::ffff:192.0.2.1") == network_of("192.0.2.1") == "192.0.2.1"
    assert network_of("not an address: at all") == "not an address: at all"


def test_who_has_proven_himself_and_trunks_are_not_starved_by_strangers() -> None:
    sources = Sources(LIMITS)
    sources.prove((HOST, 5062), "101")
    admitted(sources, [(HOST, port) for port in range(6000, 7000)], 0.0)
    admitted(sources, [(f"192.0.{a}.{b}", 5060) for a in range(100) for b in range(100)], 0.0)
    assert admitted(sources, [(HOST, 5062)] * 1000, 0.0) == 100
    assert admitted(sources, [("203.0.113.9", 5060)] * 1000, 0.0, "provider") == 100
    assert sources.user_at((HOST, 5062)) == "101" and sources.user_at((HOST, 5063)) is None


def test_some_are_told_and_the_rest_hear_nothing() -> None:
    sources = Sources(LIMITS)
    assert sum(sources.may_refuse((HOST, port), 0.0) for port in range(100)) == 3
    assert sources.dropped == 97
    told = sum(sources.may_refuse((f"192.0.2.{number}", 5060), 0.0) for number in range(100))
    assert told == 7, "all together 10"
    assert sources.may_refuse((HOST, 5060), 1.0)


def test_a_million_sources_are_not_remembered() -> None:
    sources = Sources(LIMITS)
    for number in range(1_000_000):
        remote = (f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 5060)
        now = number / 20_000
        if not sources.admit(remote, None, now):
            sources.may_refuse(remote, now)
    assert len(sources) <= 4 * LIMITS.remembered
    for number in range(100_000):
        sources.prove((HOST, number), "101")
    assert len(sources) <= 5 * LIMITS.remembered


def test_what_one_source_one_trunk_and_all_may_hold() -> None:
    held = Held(Cap(total=6, per_source=2, per_trunk=3), "Too Many", "full")
    someone, other, trunk = Holder("a"), Holder("b"), Holder("a", is_trunk=True)

    def fill(holder: Holder, first: int = 0) -> int:
        for number in range(first, first + 10):
            try:
                held.check(holder)
            except TooMuch as refused:
                assert (refused.status, refused.metric) == (503, "full")
                return number - first
            held.take((holder, number), holder)
        return 10

    assert [fill(holder) for holder in (someone, trunk, other)] == [2, 3, 1]
    held.give_back((trunk, 0))
    held.give_back((trunk, 0))
    assert fill(other, first=1) == 1 and held.holder_of((other, 0)) == other
    with pytest.raises(MisuseError):
        held.holder_of("nothing")
    for holder in (someone, other, trunk):
        for number in range(10):
            held.give_back((holder, number))
    assert len(held) == 0 and not held._counts
