"""180 that has to be acknowledged (RFC 3262), in a session whose caller demands it."""

import pytest

from sipconf.sip.answering import Arrived
from sipconf.sip.call_states import Input, State
from sipconf.sip.events import CallCancelled, Send
from tests.sim.session_bench import SDP, Bench

REQUIRED = "Require: 100rel\r\n"


def ringing(body: str = "v=0\r\n", extra: str = REQUIRED) -> Bench:
    bench = Bench()
    bench.incoming(body, extra=extra)
    bench.outputs()
    bench.session.order(Input.RING, None, 0.0)
    return bench


def sent(bench: Bench) -> list[str]:
    outputs = [*bench.wire.outputs, *bench.transactions.take_outputs()]
    return [output.data.decode() for output in outputs if isinstance(output, Send)]


def prack(bench: Bench, rack: str, body: str = "") -> list[str]:
    arrived: Arrived = bench.arrived("PRACK", body, extra=f"RAck: {rack}\r\n")
    bench.session.receive(Input.PRACK, arrived, 1.0)
    return bench.outputs()


def rack(bench: Bench) -> str:
    return f"{bench.session.ringing.number} {bench.session.invite.cseq.number} INVITE"


def test_reliable_180_is_repeated_at_doubling_gaps_until_its_prack() -> None:
    bench = ringing()
    (first,) = sent(bench)
    number = bench.session.ringing.number
    assert first.startswith("SIP/2.0 180 ") and 1 <= number < 2**31
    assert f"Require: 100rel\r\nRSeq: {number}\r\n" in first and "Contact: <" in first
    times = []
    for _ in range(4):
        when = bench.session.next_timer()
        bench.session.handle_timer(when)
        assert sent(bench) == [first]
        times.append(when)
    assert times == [0.5, 1.5, 3.5, 7.5]
    assert prack(bench, rack(bench)) == ["200 PRACK"]
    assert bench.session.next_timer() == 60.0  # the next 180, a new one
    assert prack(bench, rack(bench)) == ["200 PRACK"]
    bench.session.handle_timer(60.0)
    (second,) = sent(bench)
    assert f"RSeq: {number + 1}\r\n" in second


@pytest.mark.parametrize(
    "wrong", ["{rseq} {cseq} BYE", "{more} {cseq} INVITE", "{rseq} 9 INVITE", "{rseq} {cseq}", "", "-1 {cseq} INVITE",
              "9" * 400 + " 1 INVITE"],
)
def test_prack_of_something_else_is_481(wrong: str) -> None:
    bench = ringing()
    bench.outputs()
    number = bench.session.ringing.number
    text = wrong.format(rseq=number, more=number + 1, cseq=bench.session.invite.cseq.number)
    assert prack(bench, text) == ["481 PRACK"]
    assert bench.session.next_timer() == 0.5


def test_call_without_a_prack_is_refused_at_64_t1() -> None:
    bench = ringing()
    while bench.session.state is State.INVITED:
        bench.outputs()
        now = bench.session.next_timer()
        bench.session.handle_timer(now)
    assert now == 32.0
    assert CallCancelled("s1", "no PRACK") in bench.wire.outputs
    assert any(text.startswith("SIP/2.0 504 ") for text in sent(bench))


def test_200_need_not_wait_and_stops_the_180() -> None:
    bench = ringing()
    bench.session.order(Input.ANSWER, SDP, 0.2)
    bench.outputs()
    bench.session.handle_timer(0.7)
    assert bench.outputs() == ["200 INVITE"]
    assert prack(bench, rack(bench)) == ["200 PRACK"]
    assert bench.session.state is State.ANSWERED


def test_second_180_waits_for_the_prack_of_the_first() -> None:
    bench = ringing()
    assert bench.outputs() == ["180 INVITE"]
    bench.session.order(Input.RING, None, 0.1)
    assert bench.outputs() == []


def test_offer_in_a_prack_is_refused() -> None:
    bench = ringing()
    bench.outputs()
    assert prack(bench, rack(bench), body="v=0\r\n") == ["488 PRACK"]


def test_invite_without_an_offer_rings_silently_where_180_would_have_to_hold_one() -> None:
    bench = ringing(body="")
    assert bench.outputs() == []
    bench.session.order(Input.ANSWER, SDP, 1.0)
    assert bench.outputs() == ["200 INVITE"]


@pytest.mark.parametrize("extra", ["", "Supported: 100rel\r\n"])
def test_nobody_is_forced(extra: str) -> None:
    bench = ringing(extra=extra)
    (text,) = sent(bench)
    assert "RSeq" not in text and "Require" not in text
    assert prack(bench, f"1 {bench.session.invite.cseq.number} INVITE") == ["481 PRACK"]
