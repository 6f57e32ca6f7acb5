"""Early dialogs of our calls: PRACK, several telephones, what is kept when one of them answers."""

import pytest

from sipconf.sip import events
from sipconf.sip.early import MAX_EARLY
from tests.sim.desk import PHONE, SDP, Desk, header, reply, request, status
from tests.sip.test_agent_calling import place

RELIABLE = "Require: 100rel\r\nRSeq: {}\r\nRecord-Route: <sip:p1;lr>, <sip:p2;lr>\r\n"


def test_reliable_provisionals_are_acknowledged_in_order_and_once() -> None:
    desk = Desk()
    _, invite = place(desk)
    (prack,) = desk.receive(reply(invite, 183, extra=RELIABLE.format(7)), PHONE)
    assert prack.startswith("PRACK sip:102@10.0.0.9:5062 SIP/2.0\r\n")
    assert header(prack, "RAck") == ["7 1 INVITE"] and header(prack, "CSeq") == ["2 PRACK"]
    assert header(prack, "Route") == ["<sip:p2;lr>", "<sip:p1;lr>"]
    assert header(prack, "To")[0].endswith(";tag=them")
    assert len(desk.told(events.CallProgress)) == 1
    for again in (7, 9):  # repeated; one that overtook 8
        assert desk.receive(reply(invite, 183, extra=RELIABLE.format(again)), PHONE) == []
        assert desk.told(events.CallProgress) == []
    (prack,) = desk.receive(reply(invite, 180, extra=RELIABLE.format(8)), PHONE)
    assert header(prack, "RAck") == ["8 1 INVITE"] and header(prack, "CSeq") == ["3 PRACK"]
    (ack,) = desk.receive(reply(invite, 200), PHONE)
    assert header(ack, "CSeq") == ["1 ACK"] and header(ack, "Route") == []  # the route set is the 200's
    (session,) = [event.session for event in desk.told(events.CallAnswered)]
    desk.agent.hang_up(session, desk.now)
    assert header(desk.take()[0], "CSeq") == ["4 BYE"]
    desk.rest()


def test_each_telephone_that_rings_counts_for_itself() -> None:
    desk = Desk()
    _, invite = place(desk)
    for tag in ("a", "b"):
        (prack,) = desk.receive(reply(invite, 180, tag=tag, extra=RELIABLE.format(1)), PHONE)
        assert header(prack, "CSeq") == ["2 PRACK"] and header(prack, "To")[0].endswith(f";tag={tag}")
    (ack,) = desk.receive(reply(invite, 200, tag="b"), PHONE)
    assert header(ack, "To")[0].endswith(";tag=b")
    late = desk.receive(reply(invite, 200, tag="a"), PHONE)
    assert [text.split()[0] for text in late] == ["ACK", "BYE"]
    assert header(late[1], "CSeq") == ["3 BYE"]
    assert header(late[1], "Reason") == ['SIP;cause=200;text="Call completed elsewhere"']
    desk.now += 31.0
    desk.agent.handle_timer(desk.now)
    desk.take()
    later = desk.receive(reply(invite, 200, tag="c"), PHONE)  # within 64*T1 of the first
    assert [text.split()[0] for text in later] == ["ACK", "BYE"]
    desk.now += 2.0
    desk.agent.handle_timer(desk.now)
    desk.take()
    assert desk.receive(reply(invite, 200, tag="d"), PHONE) == []


def test_sdp_of_a_18x_is_the_answer_where_the_200_has_none() -> None:
    desk = Desk()
    session, invite = place(desk)
    progress = reply(invite, 183, tag="a", extra=RELIABLE.format(1) + "Content-Type: application/sdp\r\n")
    desk.receive(progress.replace("Length: 0\r\n\r\n", "Length: 5\r\n\r\nv=0\r\n"), PHONE)
    desk.receive(reply(invite, 183, tag="b"), PHONE)
    desk.receive(reply(invite, 200, tag="a"), PHONE)
    assert desk.told(events.CallAnswered) == [events.CallAnswered(session, SDP)]


def within(invite: str, method: str, tag: str, **more: str) -> str:
    """A request of the called side in its early dialog."""
    ours = header(invite, "From")[0].split(";tag=")[1]
    to, call_id = f"<sip:2001@example.test>;tag={ours}", header(invite, "Call-ID")[0]
    return request(method, to=to, tag=tag, call_id=call_id, **more)


def test_update_before_the_answer() -> None:
    desk = Desk()
    _, invite = place(desk)
    assert [status(text) for text in desk.receive(within(invite, "UPDATE", "a"), PHONE)] == [481]
    desk.receive(reply(invite, 180, tag="a"), PHONE)
    (ok,) = desk.receive(within(invite, "UPDATE", "a", cseq=2), PHONE)
    assert status(ok) == 200 and "Session-Expires" not in ok and header(ok, "Contact") == ["<sip:192.0.2.1:5060>"]
    out_of_order = within(invite, "UPDATE", "a", cseq=1, branch="z9hG4bKx")
    assert [status(text) for text in desk.receive(out_of_order, PHONE)] == [500]
    assert [status(text) for text in desk.receive(within(invite, "UPDATE", "b"), PHONE)] == [481]
    offer = within(invite, "UPDATE", "a", cseq=3, body="v=0\r\n")
    assert [status(text) for text in desk.receive(offer, PHONE)] == [491]  # our offer has no answer yet
    progress = reply(invite, 183, tag="a", extra="Content-Type: application/sdp\r\n")
    desk.receive(progress.replace("Length: 0\r\n\r\n", "Length: 5\r\n\r\nv=0\r\n"), PHONE)
    offer = within(invite, "UPDATE", "a", cseq=4, body="v=0\r\n")
    assert [status(text) for text in desk.receive(offer, PHONE)] == [488]
    assert [status(text) for text in desk.receive(within(invite, "BYE", "a", cseq=5), PHONE)] == [481]
    (ack,) = desk.receive(reply(invite, 200, tag="a"), PHONE)
    out_of_order = within(invite, "UPDATE", "a", cseq=4, branch="z9hG4bKy")
    assert [status(text) for text in desk.receive(out_of_order, PHONE)] == [500]
    assert [status(text) for text in desk.receive(within(invite, "BYE", "b", cseq=9), PHONE)] == [481]
    assert [status(text) for text in desk.receive(within(invite, "BYE", "a", cseq=6), PHONE)] == [200]
    desk.rest()


def test_an_update_moves_the_telephone_that_rings() -> None:
    desk = Desk()
    _, invite = place(desk)
    desk.receive(reply(invite, 180, tag="a"), PHONE)
    moved = within(invite, "UPDATE", "a").replace("<sip:+3212@203.0.113.9>", "<sip:moved@198.51.100.99>")
    desk.receive(moved, PHONE)
    (prack,) = desk.receive(reply(invite, 180, tag="a", extra=RELIABLE.format(1)), PHONE)
    assert prack.startswith("PRACK sip:moved@198.51.100.99 SIP/2.0\r\n")


def test_countless_telephones_are_not_all_remembered() -> None:
    desk = Desk()
    _, invite = place(desk)
    for number in range(2 * MAX_EARLY):
        desk.receive(reply(invite, 180, tag=str(number), extra=RELIABLE.format(1)), PHONE)
    (session,) = desk.agent._sessions
    assert len(session.early) == MAX_EARLY


def test_reliable_provisional_of_our_re_invite() -> None:
    desk = Desk()
    session, invite = place(desk)
    desk.receive(reply(invite, 180, extra=RELIABLE.format(77)), PHONE)
    desk.receive(reply(invite, 200), PHONE)
    desk.agent.reoffer(session, SDP, desk.now)
    (again,) = desk.take()
    assert header(again, "CSeq") == ["3 INVITE"]
    (prack,) = desk.receive(reply(again, 183, extra=RELIABLE.format(3)), PHONE)
    assert header(prack, "RAck") == ["3 3 INVITE"] and header(prack, "CSeq") == ["4 PRACK"]
    assert desk.receive(reply(again, 183, extra=RELIABLE.format(3)), PHONE) == []
    (ack,) = desk.receive(reply(again, 200), PHONE)
    assert header(ack, "CSeq") == ["3 ACK"]


def test_unreadable_rseq_is_no_news() -> None:
    desk = Desk()
    _, invite = place(desk)
    for rseq in ("soon", "", "9" * 400):
        assert desk.receive(reply(invite, 183, extra=f"Require: 100rel\r\nRSeq: {rseq}\r\n"), PHONE) == []
    assert desk.receive(reply(invite, 183, extra="Require: 100rel\r\n"), PHONE) == []


@pytest.mark.parametrize("refresh", [False, True])
def test_unreadable_200_to_our_re_invite_is_followed_by_a_readable_one(refresh: bool) -> None:
    desk = Desk(session_expires=90)
    session, invite = place(desk)
    timer = "Session-Expires: 90;refresher=uac\r\n" if refresh else ""
    desk.receive(reply(invite, 200, extra=timer), PHONE)
    if refresh:
        desk.now += 45.0
        desk.agent.handle_timer(desk.now)
    else:
        desk.agent.reoffer(session, SDP, desk.now)
    (again,) = desk.take()
    junk = reply(again, 200).replace("Contact: <", "Contact: ")
    assert desk.receive(junk, PHONE) == [] and len(desk.told(events.Counted)) == 1
    (ack,) = desk.receive(reply(again, 200, extra='Allow: a, "\r\n'), PHONE)
    assert ack.startswith("ACK ")
    assert len(desk.told(events.CallAnswered)) == (not refresh)
