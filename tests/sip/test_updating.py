"""UPDATE in a call that is up (RFC 3311): offers, targets, what it owes."""

import pytest

from sipconf.sip import events
from tests.sim.desk import SDP, TRUNK, Desk, header, request, status, to_tag


def inside(desk: Desk, method: str, cseq: int, **more: str) -> str:
    return request(method, to=f"<sip:2001@x>;tag={desk.tag}", cseq=cseq, **more)


def test_offer_and_answer() -> None:
    desk = Desk()
    session = desk.call()
    assert desk.receive(inside(desk, "UPDATE", 2, body="v=0\r\ns=x\r\n")) == []
    assert desk.told(events.Reoffered) == [events.Reoffered(session, b"v=0\r\ns=x\r\n")]
    desk.agent.answer_reoffer(session, b"v=0\r\ns=y\r\n", desk.now)
    (ok,) = desk.take()
    assert status(ok) == 200 and ok.endswith("v=0\r\ns=y\r\n") and header(ok, "CSeq") == ["2 UPDATE"]
    assert header(ok, "Allow") and header(ok, "Supported") == ["100rel, timer"]
    assert header(ok, "Contact") == ["<sip:192.0.2.1:5060>"]
    assert desk.told(events.CallConfirmed) == [events.CallConfirmed(session, None)]
    (again,) = desk.receive(inside(desk, "UPDATE", 3, body="v=0\r\ns=x\r\n"))  # the same: the same answer, and no news
    assert status(again) == 200 and again.endswith("v=0\r\ns=y\r\n") and desk.told(events.Reoffered) == []
    assert desk.receive(inside(desk, "UPDATE", 4, body=SDP.decode())) == []
    desk.agent.refuse_reoffer(session, 488, "No codec in common", desk.now)
    (refused,) = desk.take()
    assert status(refused) == 488 and header(refused, "Warning") == ['399 example.test "No codec in common"']
    assert [status(text) for text in desk.receive(inside(desk, "BYE", 5))] == [200]
    desk.rest()


def test_body_that_is_no_offer_and_interval_too_small() -> None:
    desk = Desk()
    desk.call()
    (refused,) = desk.receive(inside(desk, "UPDATE", 2, body="x", extra="Content-Type: text/plain\r\n"))
    assert status(refused) == 415 and header(refused, "Accept") == ["application/sdp"]
    (refused,) = desk.receive(inside(desk, "UPDATE", 3, extra="Supported: timer\r\nSession-Expires: 60\r\n"))
    assert status(refused) == 422 and header(refused, "Min-SE") == ["90"]
    (refused,) = desk.receive(inside(desk, "INVITE", 4, extra="Supported: timer\r\nSession-Expires: 60\r\n"))
    assert status(refused) == 422


def test_target_moves_by_update_and_by_nothing_less() -> None:
    desk = Desk()
    session = desk.call()
    for cseq, method, expected in ((2, "INFO", "+3212@203.0.113.9"), (3, "UPDATE", "moved@198.51.100.99"),
                                   (4, "INFO", "moved@198.51.100.99")):
        text = inside(desk, method, cseq).replace("<sip:+3212@203.0.113.9>", "<sip:moved@198.51.100.99>")
        desk.receive(text)
        assert str(desk.agent._sessions[session].dialog.target) == f"sip:{expected}"
    desk.agent.hang_up(session, desk.now)
    assert desk.take()[0].startswith("BYE sip:moved@198.51.100.99 SIP/2.0\r\n")
    assert [output.flow for output in desk.told(events.Send)] == [TRUNK]


def test_sip_js_finds_nothing_required() -> None:
    """It knows neither timers nor 100rel; RFC 4028 requires only of a caller who said that he refreshes."""
    for extra in ("", "Supported: outbound\r\n", "Supported: timer\r\nSession-Expires: 90\r\n"):
        desk = Desk()
        desk.receive(request("INVITE", body="v=0\r\n", extra=extra))
        (arrived,) = desk.told(events.IncomingCall)
        desk.agent.ring(arrived.session, desk.now)
        desk.agent.answer(arrived.session, SDP, desk.now)
        for text in desk.take():
            assert header(text, "Require") == []


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
@pytest.mark.parametrize("body", ["", "v=0\r\ns=new\r\n"])
def test_unreadable_contact_changes_nothing_and_leaves_nothing(method: str, body: str) -> None:
    desk = Desk()
    session = desk.call()
    text = inside(desk, method, 2, body=body).replace("Contact: <", "Contact: ")
    assert [status(answer) for answer in desk.receive(text)] == [400]
    assert desk.told(events.Reoffered) == []
    desk.agent.reoffer(session, SDP, desk.now)  # the call is as it was
    desk.take()
    assert [status(answer) for answer in desk.receive(inside(desk, "BYE", 3))] == [200]
    desk.rest()


@pytest.mark.parametrize(
    "junk", ['Supported: a, "\r\n', 'Allow: a, "\r\n', 'Supported: ,,;"\r\nSession-Expires: 90\r\n']
)
def test_junk_in_headers_that_are_no_matter_of_life_and_death(junk: str) -> None:
    desk = Desk()
    desk.receive(request("INVITE", body="v=0\r\n", extra=junk))
    (arrived,) = desk.told(events.IncomingCall)
    desk.agent.answer(arrived.session, SDP, desk.now)
    ok = desk.take()[-1]
    assert status(ok) == 200
    desk.tag = to_tag(ok)
    desk.receive(request("ACK", to=f"<sip:2001@x>;tag={desk.tag}", branch="z9hG4bKack"))
    for cseq, method in ((2, "UPDATE"), (3, "INVITE")):
        (again,) = desk.receive(inside(desk, method, cseq, body="v=0\r\n", extra=junk))
        assert status(again) == 200
    desk.receive(inside(desk, "BYE", 4))
    desk.rest()
