"""REFER inside a call: what is asked for, what is refused at once, and how the news travels (RFC 3515, 4488, 3891)."""

import pytest

from sipconf.sip import events
from tests.sim.desk import Desk, header, request, status

CAROL = "Refer-To: <sip:102@example.test>\r\n"


def refer(desk: Desk, cseq: int, extra: str = CAROL) -> str:
    return request("REFER", to=f"<sip:2001@x>;tag={desk.tag}", cseq=cseq, extra=extra)


def asked(desk: Desk, cseq: int = 2, extra: str = CAROL) -> events.Referred:
    assert desk.receive(refer(desk, cseq, extra)) == []
    (event,) = desk.told(events.Referred)
    return event


def test_accepted_and_told_step_by_step() -> None:
    desk = Desk()
    session = desk.call()
    event = asked(desk)
    assert (event.session, event.target, event.replaces) == (session, "102", None) and "102" not in repr(event)
    desk.agent.report_referral(session, event.referral, 100, None, desk.now)
    accepted, trying = desk.take()
    assert status(accepted) == 202 and header(accepted, "Contact") == ["<sip:192.0.2.1:5060>"]
    assert header(trying, "Event") == ["refer"] and header(trying, "Subscription-State") == ["active;expires=120"]
    assert header(trying, "Content-Type") == ["message/sipfrag;version=2.0"] and header(trying, "Contact")
    assert trying.startswith("NOTIFY sip:+3212@203.0.113.9 SIP/2.0\r\n")
    assert trying.endswith("\r\n\r\nSIP/2.0 100 Trying\r\n")
    for number, reason, line in ((180, None, "180 Ringing"), (486, "Carol is busy", "486 Carol is busy")):
        desk.agent.report_referral(session, event.referral, number, reason, desk.now)
        (news,) = desk.take()
        assert news.endswith(f"\r\n\r\nSIP/2.0 {line}\r\n")
    assert header(news, "Subscription-State") == ["terminated;reason=noresource"]
    desk.agent.report_referral(session, event.referral, 200, None, desk.now)
    assert desk.take() == []  # it is over
    assert [status(text) for text in desk.receive(request("BYE", to=f"<sip:2001@x>;tag={desk.tag}", cseq=3))] == [200]


def test_refused_by_the_floor_above() -> None:
    desk = Desk()
    session = desk.call()
    event = asked(desk)
    desk.agent.report_referral(session, event.referral, 403, "This conference is locked", desk.now)
    (refused,) = desk.take()
    assert refused.startswith("SIP/2.0 403 This conference is locked\r\n")
    desk.agent.report_referral(session, event.referral, 200, None, desk.now)
    assert desk.take() == []


def test_who_wants_no_news_gets_none() -> None:
    desk = Desk()
    session = desk.call()
    event = asked(desk, 2, CAROL + "Refer-Sub: false\r\nSupported: norefersub\r\n")
    desk.agent.report_referral(session, event.referral, 100, None, desk.now)
    (accepted,) = desk.take()
    assert status(accepted) == 202 and header(accepted, "Refer-Sub") == ["false"]
    desk.agent.report_referral(session, event.referral, 200, None, desk.now)
    assert desk.take() == []


def test_the_second_is_told_apart_from_the_first() -> None:
    desk = Desk()
    session = desk.call()
    first, second = asked(desk), asked(desk, 3)
    for event, name in ((second, "refer;id=3"), (first, "refer")):
        desk.agent.report_referral(session, event.referral, 100, None, desk.now)
        assert header(desk.take()[1], "Event") == [name]


def test_no_more_than_a_few_at_once() -> None:
    desk = Desk()
    desk.call()
    for cseq in range(2, 6):
        asked(desk, cseq)
    (refused,) = desk.receive(refer(desk, 6))
    assert status(refused) == 503 and header(refused, "Retry-After") == ["10"]


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ("", 400),
        (CAROL + CAROL, 400),
        ("Refer-To: \r\n", 400),
        ("Refer-To: <sip:102@x\r\n", 400),
        ("Refer-To: <sip:x.test>\r\n", 403),  # nobody
        ("Refer-To: <http://x.test/>\r\n", 403),
        ("Refer-To: <sip:102@x;method=BYE>\r\n", 403),
        ("Refer-To: <sip:102@x?Replaces=>\r\n", 400),
        ("Refer-To: <sip:102@x?Replaces=a%3Bto-tag%3D1>\r\n", 400),
        ("Refer-To: <sip:102@x?Replaces=a%3Bto-tag%3D1%3Bfrom-tag%3D2&Replaces=b>\r\n", 400),
    ],
)
def test_what_is_no_such_wish(extra: str, expected: int) -> None:
    desk = Desk()
    desk.call()
    (refused,) = desk.receive(refer(desk, 2, extra))
    assert status(refused) == expected and desk.told(events.Referred) == []


@pytest.mark.parametrize("name", ["102", "%2B3225551234", "tel"])
def test_whom_it_names(name: str) -> None:
    desk = Desk()
    desk.call()
    target = "<tel:+3225551234>" if name == "tel" else f"<sip:{name}@x;user=phone?Route=%3Csip%3Aevil%3E&Body=1>"
    assert asked(desk, 2, f"Refer-To: {target}\r\n").target == ("102" if name == "102" else "+3225551234")


def test_the_call_that_is_to_be_taken_over() -> None:
    """Call-IDs may hold any of the marks that mean something around them."""
    desk = Desk()
    session = desk.call()
    (key,) = desk.agent._sessions._dialogs
    call_id, ours, theirs = key
    replaces = f"{call_id};to-tag={ours};from-tag={theirs}".replace(";", "%3B").replace("=", "%3D").replace("@", "%40")
    event = asked(desk, 2, f"Refer-To: <sip:102@x?Replaces={replaces}&X=1>\r\n")
    assert event.replaces == key and desk.agent.session_of(key) == session
    other = asked(desk, 3, "Refer-To: <sip:102@x?replaces=a+b%40c%3Bfrom-tag%3Df%3Bto-tag%3Dt>\r\n")
    assert other.replaces == ("a+b@c", "t", "f") and desk.agent.session_of(other.replaces) is None
    # SIP.js names the call by our own Contact, in which nobody is named.
    nobody = asked(desk, 4, "Refer-To: <sip:192.0.2.1:5060;transport=ws?Replaces=a%3Bto-tag%3Dt%3Bfrom-tag%3Df>\r\n")
    assert (nobody.target, nobody.replaces) == ("", ("a", "t", "f"))


def test_outside_of_a_call_nobody_is_referred() -> None:
    desk = Desk()
    (refused,) = desk.receive(request("REFER", to="<sip:2001@x>", cseq=1, extra=CAROL))
    assert status(refused) == 481
