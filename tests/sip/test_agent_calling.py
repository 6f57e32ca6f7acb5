"""The user agent as a caller and as a telephone that registers, judged by raw text."""

import hashlib
from typing import Any

import pytest

from sipconf.errors import MisuseError
from sipconf.sip import events
from sipconf.sip.agent import Credentials
from sipconf.sip.flow import Flow
from sipconf.sip.settings import ANSWERED_ELSEWHERE
from sipconf.sip.uri import SipUri
from tests.sim.desk import PHONE, SDP, SERVER, TCP, Desk, header, proof, reply, request, status


def place(desk: Desk, flow: Flow = PHONE, credentials: Credentials | None = None) -> tuple[str, str]:
    session = desk.agent.invite(
        target=SipUri.parse("sip:102@10.0.0.9:5062;ob"), flow=flow, from_uri=SipUri.parse("sip:2001@example.test"),
        from_name="Weekly \"stand-up\"", offer=SDP, now=desk.now, credentials=credentials,
    )
    (invite,) = desk.take()
    return session, invite


def test_placed_invite() -> None:
    desk = Desk()
    _, invite = place(desk)
    assert invite.startswith("INVITE sip:102@10.0.0.9:5062;ob SIP/2.0\r\n")
    assert desk.outputs[0].flow == PHONE
    assert header(invite, "From")[0].startswith('"Weekly \\"stand-up\\"" <sip:2001@example.test>;tag=')
    assert header(invite, "Contact") == ["<sip:192.0.2.1:5060>"] and header(invite, "Max-Forwards") == ["70"]
    assert header(invite, "Via")[0].startswith("SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK")
    assert header(invite, "Content-Type") == ["application/sdp"] and invite.endswith("\r\n\r\nv=0\r\n")


def test_placed_call_by_tcp_says_so_in_via_and_contact() -> None:
    _, invite = place(Desk(), TCP)
    assert header(invite, "Via")[0].startswith("SIP/2.0/TCP ")
    assert header(invite, "Contact") == ["<sip:192.0.2.1:5060;transport=tcp>"]


def test_contact_with_headers_inside_cannot_choose_our_route() -> None:
    desk = Desk()
    desk.agent.invite(
        target=SipUri.parse("sip:102@10.0.0.9?Route=%3Csip:evil.example%3E"), flow=PHONE,
        from_uri=SipUri.parse("sip:2001@x"), from_name="", offer=SDP, now=desk.now,
    )
    (invite,) = desk.take()
    assert invite.startswith("INVITE sip:102@10.0.0.9 SIP/2.0\r\n") and "evil" not in invite


def test_ipv6() -> None:
    server = ("2001:db8::1", 5060)
    desk = Desk(server)
    flow = Flow("udp", ("2001:db8::7", 5062), server)
    (answer,) = desk.receive(request("OPTIONS", via="SIP/2.0/UDP [2001:db8::7]:5062;rport"), flow)
    assert status(answer) == 200 and "rport=5062" in header(answer, "Via")[0]
    _, invite = place(desk, flow)
    assert header(invite, "Via")[0].startswith("SIP/2.0/UDP [2001:db8::1]:5060;branch=")
    assert header(invite, "Contact") == ["<sip:[2001:db8::1]:5060>"]


def test_placed_call_answers_a_challenge() -> None:
    desk = Desk()
    session, invite = place(desk, credentials=Credentials("trunkuser", "pass"))
    challenge = 'Proxy-Authenticate: Digest realm="them", nonce="abc", algorithm=MD5\r\n'
    ack, second = desk.receive(reply(invite, 407, extra=challenge), PHONE)
    assert ack.startswith("ACK ") and second.startswith("INVITE ")
    assert header(second, "CSeq") == ["2 INVITE"] and header(second, "Call-ID") == header(invite, "Call-ID")
    assert header(second, "From") == header(invite, "From") and header(second, "Via") != header(invite, "Via")
    ha1, ha2 = (hashlib.md5(text).hexdigest() for text in (b"trunkuser:them:pass", b"INVITE:sip:102@10.0.0.9:5062;ob"))
    right = hashlib.md5(f"{ha1}:abc:{ha2}".encode()).hexdigest()
    assert f'response="{right}"' in header(second, "Proxy-Authorization")[0]
    (ack,) = desk.receive(reply(second, 200), PHONE)
    assert desk.told(events.CallAnswered) == [events.CallAnswered(session, None)]
    assert header(ack, "CSeq") == ["2 ACK"] and ack.startswith("ACK sip:102@10.0.0.9:5062 SIP/2.0")


def test_placed_call_with_a_broken_path() -> None:
    desk = Desk()
    session, _ = place(desk, TCP)
    desk.agent.flow_failed(TCP, desk.now)
    desk.take()
    assert desk.told(events.CallFailed) == [events.CallFailed(session, 503, "Service Unavailable")]
    assert desk.agent.idle()


def test_cancel_waits_for_the_first_1xx() -> None:
    desk = Desk()
    session, invite = place(desk)
    desk.agent.cancel(session, desk.now)
    assert desk.take() == []
    assert desk.told(events.CallFailed) == [events.CallFailed(session, 487, "Request Terminated")]
    (cancel,) = desk.receive(reply(invite, 180), PHONE)
    assert cancel.startswith("CANCEL ") and header(cancel, "Via") == header(invite, "Via")
    assert header(cancel, "CSeq") == ["1 CANCEL"] and header(cancel, "To") == header(invite, "To")
    assert desk.receive(reply(cancel, 200), PHONE) == []
    (ack,) = desk.receive(reply(invite, 487), PHONE)
    assert ack.startswith("ACK ")
    desk.rest()


@pytest.mark.parametrize("early", [False, True])
def test_a_telephone_that_was_too_slow_is_told_that_another_was_quicker(early: bool) -> None:
    """RFC 3326: it then lists no missed call."""
    for reason, told in ((ANSWERED_ELSEWHERE, ['SIP;cause=200;text="Call completed elsewhere"']), ("gave up", [])):
        desk = Desk()
        session, invite = place(desk)
        if early:
            desk.agent.hang_up(session, desk.now, reason)
        desk.receive(reply(invite, 180), PHONE)
        if not early:
            desk.agent.hang_up(session, desk.now, reason)
        cancel = [output.data.decode() for output in desk.outputs if isinstance(output, events.Send)] or desk.take()
        assert cancel[0].startswith("CANCEL ") and header(cancel[0], "Reason") == told


def test_too_many_calls_of_our_own() -> None:
    desk = Desk(max_sessions=0)
    session = desk.agent.invite(
        target=SipUri.parse("sip:102@10.0.0.9"), flow=PHONE, from_uri=SipUri.parse("sip:2001@x"), from_name="",
        offer=SDP, now=desk.now,
    )
    assert desk.agent.take_outputs() == [events.CallFailed(session, 503, "Too Many Calls")]


def test_unreadable_answer_is_counted_and_the_call_ends_in_time() -> None:
    desk = Desk()
    session, invite = place(desk)
    desk.receive(reply(invite, 180), PHONE)
    assert desk.receive(reply(invite, 200, extra="Record-Route: <<<\r\n"), PHONE) == []
    assert len(desk.told(events.Counted)) == 1
    desk.rest()
    desk.take()
    assert desk.told(events.CallFailed) == [events.CallFailed(session, 408, "Request Timeout")]


# --- our own registration --------------------------------------------------------------------------------------------
def register(desk: Desk, **more: Any) -> tuple[str, str]:
    ours = desk.agent.register(
        aor=SipUri.parse("sip:101@pbx.example"), flow=PHONE, expires=600, now=desk.now,
        credentials=Credentials("101", "secret"), **more,
    )
    (text,) = desk.take()
    return ours, text


def test_registers_with_somebody_else() -> None:
    desk = Desk()
    ours, first = register(desk)
    assert first.startswith("REGISTER sip:pbx.example SIP/2.0\r\n")
    assert header(first, "Contact") == ["<sip:192.0.2.1:5060>"] and header(first, "Expires") == ["600"]
    challenge = 'WWW-Authenticate: Digest realm="them", nonce="abc", algorithm=MD5, qop="auth"\r\n'
    (second,) = desk.receive(reply(first, 401, extra=challenge), PHONE)
    assert header(second, "CSeq") == ["2 REGISTER"] and "Authorization" in second
    (third,) = desk.receive(reply(second, 423, extra="Min-Expires: 1800\r\n"), PHONE)
    assert header(third, "Expires") == ["1800"]
    granted = reply(third, 200).replace("Contact: <sip:102@10.0.0.9:5062>", "Contact: <sip:192.0.2.1:5060>;expires=900")
    assert desk.receive(granted, PHONE) == []
    assert desk.told(events.Registered) == [events.Registered(ours, 900)]
    again, refresh = register(desk, registration=ours)
    assert again == ours and header(refresh, "Call-ID") == header(first, "Call-ID")
    assert header(refresh, "CSeq") == ["4 REGISTER"]
    with pytest.raises(MisuseError):
        desk.agent.register(aor=SipUri.parse("sip:101@x"), flow=PHONE, expires=1, now=desk.now, registration=ours)
    desk.receive(reply(refresh, 403), PHONE)
    assert desk.told(events.RegisterFailed) == [events.RegisterFailed(ours, 403, "Whatever")]
    desk.rest()


def test_registrar_that_does_not_answer() -> None:
    desk = Desk()
    ours, _ = register(desk)
    desk.rest()
    desk.take()
    assert desk.told(events.RegisterFailed) == [events.RegisterFailed(ours, 408, "Request Timeout")]


def test_an_extension_behind_two_connections_rings_on_the_one_that_is_left() -> None:
    desk = Desk()
    flows = [Flow("tcp", ("198.51.100.7", 40000 + number), SERVER, number) for number in (1, 2)]
    for number, flow in enumerate(flows, 1):
        said = {"uri": "sip:x", "to": "<sip:101@x>", "call_id": f"r{number}", "via": "SIP/2.0/TCP 10.0.0.4:5060"}
        (challenge,) = desk.receive(request("REGISTER", branch=f"z9hG4bKa{number}", **said), flow)
        contact = f"<sip:101@10.0.0.4:{5060 + number};transport=tcp>"
        auth = proof(header(challenge, "WWW-Authenticate")[0], "REGISTER", "sip:x")
        text = request("REGISTER", branch=f"z9hG4bKb{number}", cseq=2, extra=auth, **said)
        (answer,) = desk.receive(text.replace("<sip:+3212@203.0.113.9>", contact), flow)
        assert status(answer) == 200
    assert {binding.flow for binding in desk.registrar.bindings("101", desk.now)} == set(flows)
    calls = {flow: place(desk, flow)[0] for flow in flows}
    desk.agent.flow_failed(flows[0], desk.now)
    desk.take()
    assert desk.told(events.CallFailed) == [events.CallFailed(calls[flows[0]], 503, "Service Unavailable")]
    assert desk.told(events.RegistrationChanged) == [events.RegistrationChanged("101", 1)]
    assert [binding.flow for binding in desk.registrar.bindings("101", desk.now)] == [flows[1]]
    late, _ = place(desk, flows[0])  # chosen a moment before: the edge says so of it too
    desk.agent.flow_failed(flows[0], desk.now)
    desk.take()
    assert desk.told(events.CallFailed) == [events.CallFailed(late, 503, "Service Unavailable")]
    assert desk.agent.calls == 1
