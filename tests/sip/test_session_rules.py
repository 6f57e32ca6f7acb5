"""Sessions: what their table cannot say: ACKs repeated, forks, challenges, glare, flows."""

import pytest

from sipconf.sip.answering import Arrived
from sipconf.sip.call_states import Input, State
from sipconf.sip.challenged import Credentials
from sipconf.sip.client_tx import Heard
from sipconf.sip.events import CallConfirmed, ReofferFailed, Send
from tests.sim.session_bench import CHALLENGE, FLOW, SDP, Bench


def active(*, credentials: Credentials | None = None) -> Bench:
    bench = Bench(credentials=credentials)
    bench.outgoing()
    bench.session.hear(bench.session.invite_key, Heard(bench.response(200, "v=0\r\n")), 0.0)
    bench.outputs()
    return bench


def test_ack_with_another_cseq_confirms_nothing() -> None:
    bench = Bench()
    bench.reach(State.ANSWERED)
    stray = bench.request("ACK", "<sip:2001@example.test>;tag=whatever", number=bench.session.invite.cseq.number + 1)
    bench.session.receive_ack(stray, 0.0)
    assert bench.session.state is State.ANSWERED
    bench.session.receive_ack(bench.ack(), 0.0)
    assert bench.session.state is State.ACTIVE


@pytest.mark.parametrize(("body", "answer"), [("v=0\r\n", None), ("", b"v=1\r\n")])
def test_confirmed_call_tells_the_answer_only_to_our_own_offer(body: str, answer: bytes | None) -> None:
    bench = Bench()
    bench.incoming(body)
    bench.session.order(Input.ANSWER, SDP, 0.0)
    bench.wire.outputs.clear()
    number = bench.session.invite.cseq.number
    bench.session.receive_ack(bench.request("ACK", "<sip:x@y>;tag=z", body="v=1\r\n", number=number), 0.0)
    assert bench.wire.outputs == [CallConfirmed("s1", answer)]


@pytest.mark.parametrize(("state", "number", "following", "told"), [
    (State.ANSWERED, 1, State.REINVITED, ["100 INVITE", "CallConfirmed", "Reoffered"]),
    (State.REANSWERED, 1, State.REINVITED, ["100 INVITE", "CallConfirmed", "Reoffered"]),
    (State.ANSWERED, 0, State.ANSWERED, ["491 INVITE"]),  # the number of the INVITE answered: no news of our 200
])
def test_new_re_invite_proves_that_our_answer_arrived_though_its_ack_is_lost(
    state: State, number: int, following: State, told: list[str]
) -> None:
    """RFC 5407 section 3.1.4."""
    bench = Bench()
    bench.reach(state)
    to = f"<sip:2001@example.test>;tag={bench.session.local_tag}"
    again = bench.request("INVITE", to, "v=0\r\n", number=bench.session.invite.cseq.number + number)
    if number == 0:
        again.headers.set("Via", "SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKanother")
    arrived = Arrived(bench.transactions.open_server(again, FLOW, bench.session), again)
    bench.session.receive(Input.REINVITE, arrived, 1.0)
    assert (bench.session.state, bench.outputs()) == (following, told)
    if following is State.REINVITED:
        assert bench.session.next_timer() is None  # our 200 is not sent again
        bench.session.order(Input.ANSWER_REOFFER, SDP, 1.0)
        assert bench.outputs() == ["200 INVITE"]


def test_re_invite_waits_where_our_200_held_the_offer() -> None:
    """Its ACK would hold the answer: until then the offer is pending (RFC 3261 section 14.2)."""
    bench = Bench()
    bench.incoming(body="")
    bench.session.order(Input.ANSWER, SDP, 0.0)
    bench.outputs()
    bench.session.receive(Input.REINVITE, bench.arrived("INVITE", "v=0\r\n"), 1.0)
    assert (bench.session.state, bench.outputs()) == (State.ANSWERED, ["491 INVITE"])
    assert bench.session.next_timer() is not None


def test_repeated_200_gets_the_same_ack_even_after_a_re_invite() -> None:
    bench = Bench()
    bench.outgoing()
    key, ok = bench.session.invite_key, bench.response(200, "v=0\r\n")
    bench.session.hear(key, Heard(ok), 0.0)
    first = [out for out in bench.wire.outputs if isinstance(out, Send)]
    bench.outputs()
    bench.session.hear(key, Heard(ok), 0.5)
    assert bench.wire.outputs == first
    bench.session.order(Input.REOFFER, SDP, 1.0)
    bench.session.hear(bench.session.invite_key, Heard(bench.response(200, "v=0\r\n")), 1.0)
    bench.outputs()
    bench.session.hear(key, Heard(ok), 2.0)
    assert bench.wire.outputs == first and bench.session.state is State.ACTIVE


def test_second_telephone_that_answers_gets_ack_and_one_bye() -> None:
    bench = active()
    fork = bench.response(200, "v=0\r\n", tag="other")
    for _ in range(2):
        bench.session.hear(bench.session.invite_key, Heard(fork), 0.0)
    assert bench.outputs() == ["ACK", "ACK", "BYE"]
    assert bench.session.state is State.ACTIVE


def test_answer_after_everything_was_forgotten_is_hung_up() -> None:
    bench = Bench()
    bench.reach(State.CANCELLED)
    bench.session_step(Input.LIMIT)
    bench.session.hear(bench.session.invite_key, Heard(bench.response(200)), 0.0)
    assert bench.outputs() == ["ACK", "BYE"]


def challenged(bench: Bench, status: int, *, stale: bool = False) -> list[str]:
    response = bench.response(status)
    if stale:
        response.headers.set("WWW-Authenticate", CHALLENGE.replace('"n"', '"n2"') + ", stale=true")
    bench.session.hear(bench.session.invite_key, Heard(response), 0.0)
    return bench.outputs()


def test_challenge_is_answered_once_and_a_stale_nonce_once_more() -> None:
    bench = Bench(credentials=Credentials("2001", "secret"))
    bench.outgoing()
    bench.outputs()
    assert challenged(bench, 401) == ["INVITE"]
    assert (bench.session.invite.cseq.number, bench.session.invite.body) == (2, SDP)
    assert 'username="2001"' in (bench.session.invite.headers.get("Authorization") or "")
    assert challenged(bench, 401, stale=True) == ["INVITE"]
    assert challenged(bench, 401, stale=True) == ["CallFailed"]
    bench = Bench(credentials=Credentials("2001", "secret"))
    bench.outgoing()
    bench.outputs()
    assert challenged(bench, 407) == ["INVITE"]
    assert "Proxy-Authorization" in bench.session.invite.headers
    assert challenged(bench, 401) == ["CallFailed"], "that is somebody behind the proxy"


def test_same_challenge_again_is_a_refusal() -> None:
    bench = Bench(credentials=Credentials("2001", "secret"))
    bench.outgoing()
    bench.outputs()
    assert challenged(bench, 401) == ["INVITE"]
    assert challenged(bench, 401) == ["CallFailed"]


def test_without_credentials_a_challenge_is_a_refusal() -> None:
    bench = Bench()
    bench.outgoing()
    bench.outputs()
    assert challenged(bench, 401) == ["CallFailed"]
    assert bench.session.state is State.ENDED


def test_glare_waits_longer_where_we_chose_the_call_id() -> None:
    waits: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(200):
        bench = active()
        bench.wire.rng.seed(len(waits[True]))
        for placed in (True, False):
            bench.session.placed = placed
            bench.session.order(Input.REOFFER, SDP, 0.0)
            bench.session_step(Input.PENDING)
            waits[placed].append(bench.session.next_timer() or 0.0)
            bench.session_step(Input.RETRY)
            bench.session_step(Input.FAILURE)
    assert 2.1 <= min(waits[True]) and max(waits[True]) <= 4.0
    assert 0.0 <= min(waits[False]) and max(waits[False]) <= 2.0
    assert len(set(waits[False])) > 20


@pytest.mark.parametrize(
    ("status", "retry_after", "again_at"),
    [(500, "7", 7.0), (500, "0", 0.5), (500, "600", None), (500, "", None), (503, "7", None)],
)
def test_reoffer_that_met_another_of_the_peer_comes_again_when_it_says(
    status: int, retry_after: str, again_at: float | None
) -> None:
    bench = active()
    bench.session.order(Input.REOFFER, SDP, 0.0)
    bench.outputs()
    extra = (("Retry-After", retry_after),) if retry_after else ()
    bench.session.hear(bench.session.invite_key, Heard(bench.response(status, extra=extra)), 0.0)
    assert bench.outputs() == ([] if again_at else ["ReofferFailed"])
    assert bench.session.next_timer() == again_at
    if again_at:
        bench.session.handle_timer(again_at)
        assert bench.outputs() == ["INVITE"]


def test_refused_reoffer_leaves_the_call_as_it_was() -> None:
    bench = active()
    bench.session.order(Input.REOFFER, SDP, 0.0)
    bench.wire.outputs.clear()
    bench.session.hear(bench.session.invite_key, Heard(bench.response(488)), 0.0)
    assert bench.wire.outputs == [ReofferFailed("s1", 488, "Not Acceptable Here")]
    assert bench.session.next_timer() is None


def test_contact_is_bare_and_requests_take_the_flow_that_the_dialog_came_by() -> None:
    bench = Bench()
    bench.reach(State.ANSWERED)
    bench.session.receive_ack(bench.ack(), 0.0)
    assert bench.session.last_ok.headers.get("Contact") == "<sip:192.0.2.1:5060>"
    bench.session.order(Input.HANG_UP, "", 0.0)
    bye = next(out for out in bench.transactions.take_outputs() if isinstance(out, Send) and out.data[:3] == b"BYE")
    assert bye.flow == FLOW and bye.data.startswith(b"BYE sip:102@198.51.100.7 SIP/2.0\r\n")


def test_re_invite_that_is_never_finally_answered_ends_the_call() -> None:
    bench = active()
    bench.session.order(Input.REOFFER, SDP, 0.0)
    bench.transactions.receive_response(bench.response(100), 0.0)
    bench.outputs()
    when = bench.session.next_timer()
    assert when is not None and when <= 40.0
    bench.session.handle_timer(when)
    assert bench.outputs() == ["BYE", "CallEnded"]
