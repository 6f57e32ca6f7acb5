"""The user agent and requests out of the ordinary: loops, old telephones, INFO of other kinds, callers who hide."""

import pytest

from sipconf.sip import events
from sipconf.sip.uri import SipUri
from tests.sim.desk import PHONE, SDP, TRUNK, Desk, header, proof, request, status


def test_request_of_our_own_that_comes_back() -> None:
    desk = Desk()
    desk.agent.invite(
        target=SipUri.parse("sip:2001@192.0.2.1"), flow=TRUNK, from_uri=SipUri.parse("sip:102@x"), from_name="",
        offer=SDP, now=desk.now,
    )
    (ours,) = desk.take()
    proxied = ours.replace("Via: ", "Via: SIP/2.0/UDP 203.0.113.9:5060;branch=z9hG4bKproxy\r\nVia: ", 1)
    (looped,) = desk.receive(proxied)
    assert status(looped) == 482 and desk.told(events.IncomingCall) == []
    (spiral,) = desk.receive(proxied.replace(header(ours, "Via")[0].split("branch=")[1], "z9hG4bKanother"))
    assert status(spiral) == 100


def test_old_telephone_without_a_branch() -> None:
    """RFC 2543: its requests are told apart by Call-ID, CSeq, From tag and the address that it says it has."""
    desk = Desk()
    bare = {"via": "SIP/2.0/UDP 203.0.113.9:5060", "branch": "x"}
    invite = request("INVITE", body="v=0\r\n", **bare).replace(";branch=x", "")
    assert [status(text) for text in desk.receive(invite)] == [100]
    assert len(desk.told(events.IncomingCall)) == 1
    assert [status(text) for text in desk.receive(invite)] == [100] and desk.told(events.IncomingCall) == []
    (other,) = desk.receive(invite.replace("203.0.113.9:5060\r\n", "203.0.113.9:5070\r\n", 1))
    assert status(other) == 482  # the same request by another way
    cancel = request("CANCEL", **bare).replace(";branch=x", "")
    assert [status(text) for text in desk.receive(cancel)] == [200, 487]
    ack = request("ACK", to="<sip:2001@x>;tag=any", **bare).replace(";branch=x", "")
    assert desk.receive(ack) == []
    desk.now += 1.0
    desk.agent.handle_timer(desk.now)
    assert desk.take() == []  # the 487 is not sent again


def test_info_that_nobody_here_reads() -> None:
    desk = Desk()
    desk.call()
    inside = {"to": f"<sip:2001@x>;tag={desk.tag}"}
    kind = "Content-Type: application/media_control+xml\r\n"
    (answer,) = desk.receive(request("INFO", cseq=2, extra=kind, body="<x/>", **inside))
    assert status(answer) == 415 and header(answer, "Accept") == ["application/dtmf-relay, application/dtmf"]
    (answer,) = desk.receive(request("INFO", cseq=3, **inside))  # some telephones ask so whether we live
    assert status(answer) == 200 and desk.told(events.InfoReceived) != []


@pytest.mark.parametrize(
    ("privacy", "number"),
    [("id", ""), ("ID", ""), ("user; critical", ""), ("header;id", ""), ("full", ""), ("none", "+32475"),
     ("session", "+32475"), ("", "+32475")],
)
def test_caller_who_hides(privacy: str, number: str) -> None:
    """His operator tells us who he is, and he asked that nobody else be told (RFC 3323, RFC 3325 section 9.3)."""
    desk = Desk()
    extra = f"P-Asserted-Identity: \"Alice\" <tel:+32475>\r\nPrivacy: {privacy}\r\n"
    desk.receive(request("INVITE", extra=extra))
    (call,) = desk.told(events.IncomingCall)
    assert (call.caller_number, call.caller_name) == (number, "Alice" if number else "Anonymous")


def test_asserted_identity_of_anybody_else_is_ignored() -> None:
    desk = Desk()
    (challenge,) = desk.receive(request("INVITE"), PHONE)
    auth = proof(header(challenge, "WWW-Authenticate")[0], "INVITE", "sip:2001@x")
    asserted = "P-Asserted-Identity: <tel:+32475>\r\nPrivacy: id\r\n"
    desk.receive(request("INVITE", cseq=2, extra=auth + asserted), PHONE)
    (call,) = desk.told(events.IncomingCall)
    assert (call.caller_number, call.caller_name) == ("101", "Bob")
