"""Session timers in a session: refreshes of ours by UPDATE and re-INVITE, theirs, the end of an unrefreshed call."""

import pytest

from sipconf.sip.call_states import Input, State
from sipconf.sip.challenged import Credentials
from sipconf.sip.client_tx import Heard, NoAnswer, NoPath
from sipconf.sip.events import CallEnded, MediaRestated, Send
from sipconf.sip.refreshing import same_media
from tests.sim.session_bench import Bench

THEIRS = "v=0\r\no=- 1 1 IN IP4 198.51.100.7\r\ns=-\r\n"
MOVED = THEIRS.replace("s=-", "s=moved")
US, THEM = "Session-Expires: 90;refresher=uas\r\n", "Session-Expires: 90;refresher=uac\r\n"


def answered(*headers: str, credentials: Credentials | None = None) -> Bench:
    """A call from a peer with these headers, up."""
    bench = Bench(credentials=credentials)
    bench.incoming(THEIRS, extra="".join(headers))
    bench.session.order(Input.ANSWER, b"v=0\r\ns=ours\r\n", 0.0)
    bench.session.receive_ack(bench.ack(), 0.0)
    bench.outputs()
    return bench


def sent(bench: Bench) -> list[str]:
    """Texts of everything sent since the last look."""
    outputs = [*bench.wire.outputs, *bench.transactions.take_outputs()]
    bench.wire.outputs.clear()
    return [output.data.decode() for output in outputs if isinstance(output, Send)]


def told(bench: Bench) -> list[object]:
    return [output for output in bench.wire.outputs if not isinstance(output, Send)]


def hear_update(bench: Bench, status: int, now: float, *headers: tuple[str, str]) -> None:
    response = bench.session.refresh.response(status)
    for header in headers:
        response.headers.add(*header)
    bench.session.hear(bench.session.refresh_key, Heard(response), now)


TIMER = "Supported: timer\r\n"
ALLOW = "Allow: INVITE, UPDATE\r\n"


def test_we_refresh_by_update_at_half_time_again_and_again() -> None:
    bench = answered(TIMER, US, ALLOW)
    for now in (45.0, 91.0):
        assert bench.session.next_timer() == now
        bench.session.handle_timer(now)
        (update,) = sent(bench)
        assert update.startswith("UPDATE ") and update.endswith("Content-Length: 0\r\n\r\n")
        assert "Session-Expires: 90;refresher=uac\r\n" in update and "Supported: 100rel, timer\r\n" in update
        assert "Contact: <sip:192.0.2.1:5060>\r\n" in update
        hear_update(bench, 200, now + 1.0, ("Session-Expires", "90;refresher=uac"))
        assert told(bench) == [] and bench.session.state is State.ACTIVE


def test_we_refresh_by_re_invite_where_the_peer_knows_no_update() -> None:
    bench = answered(TIMER, US)
    bench.session.handle_timer(45.0)
    (invite,) = sent(bench)
    assert invite.startswith("INVITE ") and invite.endswith("\r\n\r\nv=0\r\ns=ours\r\n")
    assert "Session-Expires: 90;refresher=uac\r\n" in invite
    counted = THEIRS.replace("- 1 1 ", "- 1 2 ")
    ok = bench.response(200, counted, extra=(("Session-Expires", "90;refresher=uac"),))
    bench.session.hear(bench.session.invite_key, Heard(ok), 46.0)
    assert told(bench) == [] and [text.split()[0] for text in sent(bench)] == ["ACK"]
    assert (bench.session.state, bench.session.next_timer()) == (State.ACTIVE, 91.0)


def test_peer_that_answers_a_refresh_with_other_media_has_moved() -> None:
    bench = answered(TIMER, US)
    for now, body in ((45.0, MOVED), (90.0, MOVED), (135.0, "")):
        bench.session.handle_timer(now)
        bench.outputs()
        ok = bench.response(200, body, extra=(("Session-Expires", "90;refresher=uac"),))
        bench.session.hear(bench.session.invite_key, Heard(ok), now)
        assert told(bench) == ([MediaRestated("s1", MOVED.encode())] if now == 45.0 else [])
    assert bench.session.theirs == MOVED.encode()


@pytest.mark.parametrize("status", [405, 501])
def test_peer_whose_allow_was_no_truth_gets_a_re_invite(status: int) -> None:
    bench = answered(TIMER, US, ALLOW)
    bench.session.handle_timer(45.0)
    bench.outputs()
    hear_update(bench, status, 46.0)
    bench.session.handle_timer(46.0)
    assert bench.outputs() == ["INVITE"] and bench.session.state is State.REFRESHING


@pytest.mark.parametrize("allow", ["", ALLOW])
def test_refresh_that_meets_an_offer_is_tried_again_soon(allow: str) -> None:
    bench = answered(TIMER, US, allow)
    bench.session.handle_timer(45.0)
    bench.outputs()
    if allow:
        hear_update(bench, 491, 46.0)
    else:
        bench.session.hear(bench.session.invite_key, Heard(bench.response(491)), 46.0)
    when = bench.session.next_timer()
    assert when is not None and 46.0 <= when <= 48.0
    bench.session.handle_timer(when)
    assert bench.outputs() == (["UPDATE"] if allow else ["INVITE"])


@pytest.mark.parametrize("allow", ["", ALLOW])
def test_refused_refresh_leaves_the_call_until_its_time_is_up(allow: str) -> None:
    bench = answered(TIMER, US, allow)
    now, tries = 45.0, 0
    while bench.session.state is not State.ENDING:
        bench.session.handle_timer(now)
        if "BYE" not in bench.outputs():
            tries += 1
            if allow:
                hear_update(bench, 488, now)
            else:
                bench.session.hear(bench.session.invite_key, Heard(bench.response(488)), now)
            now = bench.session.next_timer() or 0.0
            bench.outputs()
    assert now == 60.0 and 2 <= tries <= 4


@pytest.mark.parametrize("allow", ["", ALLOW])
@pytest.mark.parametrize(
    ("status", "retry_after", "again_at"),
    [
        (500, "3", 51.0),  # T4: whoever names no time at all is not asked again at once either
        (500, "0", 51.0),
        (503, "9", 55.0),
        (503, "13 (restarting);duration=60", 59.0),
        (503, "600", None),  # not before the session's time is up
        (503, "soon", 53.0),  # half of what is left
        (503, "", 53.0),
    ],
)
def test_refresh_is_tried_again_when_the_peer_says(
    allow: str, status: int, retry_after: str, again_at: float | None
) -> None:
    bench = answered(TIMER, US, allow)
    bench.session.handle_timer(45.0)
    bench.outputs()
    extra = (("Retry-After", retry_after),) if retry_after else ()
    if allow:
        hear_update(bench, status, 46.0, *extra)
    else:
        bench.session.hear(bench.session.invite_key, Heard(bench.response(status, extra=extra)), 46.0)
    assert bench.session.next_timer() == (again_at or 60.0)
    bench.session.handle_timer(again_at or 60.0)
    assert bench.outputs() == (["UPDATE" if allow else "INVITE"] if again_at else ["BYE", "CallEnded"])


@pytest.mark.parametrize("allow", ["", ALLOW])
@pytest.mark.parametrize(
    "fact", [404, 408, 410, 416, 481, 482, 483, 484, 485, 502, 604, NoAnswer()], ids=str
)
def test_refresh_that_finds_no_dialog_ends_the_call(allow: str, fact: int | NoAnswer) -> None:
    bench = answered(TIMER, US, allow)
    bench.session.handle_timer(45.0)
    bench.outputs()
    key = bench.session.refresh_key or bench.session.invite_key
    request = bench.session.refresh if allow else bench.session.invite
    bench.session.hear(key, Heard(request.response(fact)) if isinstance(fact, int) else fact, 46.0)
    assert told(bench) == [CallEnded("s1", "session expired", by_peer=False)]
    (bye,) = sent(bench)
    assert bye.startswith("BYE ") and 'Reason: SIP;cause=408;text="session expired"\r\n' in bye


@pytest.mark.parametrize("allow", ["", ALLOW])
def test_lost_connection_is_no_end_yet(allow: str) -> None:
    bench = answered(TIMER, US, allow)
    bench.session.handle_timer(45.0)
    bench.outputs()
    bench.session.hear(bench.session.refresh_key or bench.session.invite_key, NoPath(), 46.0)
    assert (bench.session.state, bench.outputs(), bench.session.next_timer()) == (State.ACTIVE, [], 53.0)


@pytest.mark.parametrize("allow", ["", ALLOW])
def test_422_and_challenges_to_a_refresh(allow: str) -> None:
    bench = answered(TIMER, US, allow, credentials=Credentials("2001", "secret", "them"))
    bench.session._credentials = bench.credentials
    bench.session._challenges.challenger = (407, "them")  # who challenged the INVITE
    bench.session.handle_timer(45.0)
    bench.outputs()
    challenge = ("Proxy-Authenticate", 'Digest realm="them", nonce="n", algorithm=MD5, qop="auth"')
    for status, header in ((422, ("Min-SE", "120")), (407, challenge)):
        if allow:
            hear_update(bench, status, 46.0, header)
        else:
            extra = () if status == 407 else (header,)
            bench.session.hear(bench.session.invite_key, Heard(bench.response(status, extra=extra)), 46.0)
        again = next(text for text in sent(bench) if not text.startswith("ACK"))
        assert "Session-Expires: 120;refresher=uac\r\n" in again and "Min-SE: 120\r\n" in again
        assert ("Proxy-Authorization: " in again) is (status == 407)


def test_lost_update_stops_nothing_else() -> None:
    bench = answered(TIMER, US, ALLOW)
    bench.session.handle_timer(45.0)
    bench.session.receive(Input.REINVITE, bench.arrived("INVITE", THEIRS, extra=TIMER + US), 45.1)
    bench.outputs()
    bench.session.hear(bench.session.refresh_key, NoPath(), 45.2)
    assert bench.session.next_timer() == 45.6  # our 200 waits for its ACK
    bench.session.handle_timer(45.6)
    assert bench.outputs() == ["200 INVITE"]


def test_refusal_of_a_refresh_that_nobody_needs_any_more() -> None:
    bench = answered(TIMER, US, ALLOW)
    bench.session.handle_timer(45.0)
    bench.session.receive(Input.UPDATE, bench.arrived("UPDATE"), 45.1)  # the peer wants no timer now
    bench.outputs()
    hear_update(bench, 488, 46.0)
    assert bench.session.next_timer() is None and bench.session.state is State.ACTIVE


def test_peer_that_does_not_refresh_is_hung_up() -> None:
    bench = answered(TIMER, THEM)
    assert bench.session.next_timer() == 60.0
    bench.session.handle_timer(60.0)
    assert bench.outputs() == ["BYE", "CallEnded"] and bench.session.state is State.ENDING


@pytest.mark.parametrize("method", ["UPDATE", "INVITE"])
def test_peers_refresh_is_answered_alone_and_counts(method: str) -> None:
    bench = answered(TIMER, THEM)
    counted = THEIRS.replace("- 1 1 ", "- 1 2 ")
    what = Input.UPDATE if method == "UPDATE" else Input.REINVITE
    for body in ("", counted) if method == "UPDATE" else (counted,):
        bench.session.receive(what, bench.arrived(method, body, extra=TIMER + THEM), 45.0)
        assert told(bench) == ([MediaRestated("s1", body.encode())] if body else [])
        (ok,) = sent(bench)
        assert ok.startswith("SIP/2.0 200 ") and "Session-Expires: 90;refresher=uac\r\nRequire: timer\r\n" in ok
        assert ok.endswith("v=0\r\ns=ours\r\n" if body else "\r\n\r\n") and "Contact: <sip:192.0.2.1:5060>\r\n" in ok
    if method == "INVITE":
        bench.session.receive_ack(bench.ack(), 45.0)
    assert bench.session.next_timer() == 105.0


def test_re_invite_with_other_media_is_news() -> None:
    bench = answered(TIMER, THEM)
    bench.session.receive(Input.REINVITE, bench.arrived("INVITE", MOVED), 45.0)
    assert bench.outputs() == ["100 INVITE", "Reoffered"]


def test_peer_without_timers_has_none() -> None:
    assert answered().session.next_timer() is None


def test_refresh_waits_while_something_else_is_under_way() -> None:
    bench = answered(TIMER, US, ALLOW)
    bench.session.receive(Input.REINVITE, bench.arrived("INVITE", MOVED, extra=TIMER), 44.0)
    bench.outputs()
    bench.session.handle_timer(45.0)
    assert bench.outputs() == [] and bench.session.next_timer() == 50.0
    bench.session.order(Input.REFUSE_REOFFER, bench.payload(Input.REFUSE_REOFFER), 46.0)
    bench.outputs()
    bench.session.handle_timer(50.0)
    assert bench.outputs() == ["UPDATE"]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (b"v=0\r\no=- 1 1 x\r\ns=-\r\n", b"v=0\r\no=- 1 2 x\r\ns=-\r\n", True),
        (b"v=0\r\no=- 1 1 x\r\ns=-\r\n", b"v=0\no=- 1 1 x\ns=-\n", True),
        (b"v=0\r\no=- 1 1 x\r\na=sendonly\r\n", b"v=0\r\no=- 1 1 x\r\na=sendrecv\r\n", False),
        (b"", b"v=0\r\n", False),
    ],
)
def test_same_media(one: bytes, other: bytes, same: bool) -> None:
    assert same_media(one, other) is same
