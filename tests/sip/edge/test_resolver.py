"""Names to addresses, with a name server that is slow, generous, broken or hostile."""

import asyncio
from collections.abc import Sequence

import pytest

from sipconf.clock import Clock
from sipconf.sip.edge.resolver import KEEP, MAX_ADDRESSES, Resolver, resolve_trunks
from sipconf.sip.trunk import Trunks, TrunkSpec


class NameServer:
    """Answers what it is told to, and counts."""

    def __init__(self, answer: object) -> None:
        self.answer = answer
        self.asked = 0

    async def __call__(self, host: str, port: int) -> list[tuple[str, int]]:
        self.asked += 1
        if isinstance(self.answer, asyncio.Event):
            await self.answer.wait()
            return [("192.0.2.1", port)]
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer  # type: ignore[return-value]


async def test_an_address_is_no_question() -> None:
    server = NameServer([])
    assert await Resolver(server).resolve("192.0.2.1", 5060) == (("192.0.2.1", 5060),)
    assert await Resolver(server).resolve("[2001:db8::1]", 5061) == (("2001:db8::1", 5061),)
    assert server.asked == 0


async def test_a_crowd_of_answers_is_cut_and_nobody_is_everybody() -> None:
    odd = ["0.0.0.0", "239.1.1.1", "255.255.255.255", "::", "192.0.2.1", "::ffff:192.0.2.1"]
    server = NameServer([(address, 5060) for address in odd + [f"198.51.{n // 250}.{n % 250}" for n in range(1000)]])
    found = await Resolver(server).resolve("h.example", 5060)
    assert found[0] == ("192.0.2.1", 5060) and len(found) == MAX_ADDRESSES == len(set(found))


@pytest.mark.parametrize(
    "answer",
    [OSError("no such name"), UnicodeError("x" * 300), ValueError("a loop of aliases"), KeyError("x"), 7, None, [None],
     [()], [(None, 1)], [("not an address", 1)], [("192.0.2.999", 1)], [("", 1)], []],
)  # fmt: skip
async def test_a_broken_answer_is_no_answer(answer: object) -> None:
    assert await Resolver(NameServer(answer)).resolve("h.example", 5060) == ()


async def test_a_silent_name_server_is_asked_once_and_nobody_waits_for_it() -> None:
    server = NameServer(asyncio.Event())
    resolver = Resolver(server, timeout=0.01)
    for _ in range(20):
        assert await resolver.resolve("h.example", 5060) == ()
    assert server.asked == 1, "one question at a time, or each edit of the file would start another"
    server.answer.set()
    assert await resolver.resolve("H.example", 5060) == (("192.0.2.1", 5060),)
    assert server.asked == 1, "the late answer counts"


async def test_the_loop_goes_on_meanwhile() -> None:
    server = NameServer(asyncio.Event())
    waiting = asyncio.create_task(Resolver(server, timeout=5).resolve("h.example", 5060))
    rounds = 0
    while rounds < 1000:
        await asyncio.sleep(0)
        rounds += 1
    assert not waiting.done()
    server.answer.set()
    assert await waiting == (("192.0.2.1", 5060),)


async def test_an_answer_is_kept_for_a_while() -> None:
    now = [0.0]
    server = NameServer([("192.0.2.1", 5060)])
    resolver = Resolver(server, Clock(lambda: now[0], lambda: now[0]))
    for moment in (0.0, KEEP - 1, KEEP + 1):
        now[0] = moment
        assert await resolver.resolve("h.example", 5060) == (("192.0.2.1", 5060),)
    assert server.asked == 2
    server.answer = []
    now[0] = 3 * KEEP
    assert await resolver.resolve("h.example", 5060) == ()
    server.answer = [("192.0.2.2", 5060)]
    assert await resolver.resolve("h.example", 5060) == (("192.0.2.2", 5060),), "nothing is not kept"


async def test_trunks_learn_their_addresses() -> None:
    class Named:
        def __init__(self, name: str, host: str) -> None:
            self.name = name
            self.host_port = (host, 5060)

    async def book(host: str, port: int) -> Sequence[tuple[str, int]]:
        if host != "sip.example":
            raise OSError("no such name")
        return [("203.0.113.7", port)]

    trunks = Trunks([TrunkSpec("a", frozenset()), TrunkSpec("b", frozenset({"192.0.2.9"}))])
    named = [Named("a", "sip.example"), Named("b", "x.invalid"), Named("gone", "sip.example")]
    await resolve_trunks(Resolver(book), trunks, named)
    assert trunks.match("203.0.113.7").name == "a" and trunks.match("192.0.2.9").name == "b"
