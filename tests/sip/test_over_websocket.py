"""What a telephone in a browser is told, and what becomes of its calls when its connection goes: no socket here."""

import re

import pytest

from sipconf.sip import events
from sipconf.sip.flow import Flow
from sipconf.sip.stranded import PATIENCE
from sipconf.sip.uri import SipUri
from tests.sim.desk import SDP, SERVER, TRUNK, Desk, header, proof, reply, request, status, to_tag

HOST = "198.51.100.7"
WS = Flow("ws", (HOST, 40000), SERVER, 1)
AGAIN = Flow("ws", (HOST, 40001), SERVER, 2)
ELSEWHERE = Flow("ws", ("203.0.113.77", 50000), SERVER, 3)
CONTACT = "sip:k3bv9a1c@random.invalid;transport=ws"
VIA = "SIP/2.0/WSS random.invalid"
NUMBERS = iter(range(1, 10_000))


def say(method: str, *, contact: str = CONTACT, user: str = "101", **more: str | int) -> str:
    text = request(method, via=VIA, **more)
    text = re.sub(r"Contact: .*\r\n", f"Contact: {contact if '>' in contact else f'<{contact}>'}\r\n", text)
    return re.sub(r"From: .*;", f"From: <sip:{user}@example.test>;", text)


def register(desk: Desk, flow: Flow = WS, contact: str = CONTACT, extra: str = "") -> str:
    more = {"uri": "sip:example.test", "to": "<sip:101@example.test>", "call_id": f"reg{flow.connection}"}
    number = next(NUMBERS) * 2
    (challenge,) = desk.receive(say("REGISTER", contact=contact, cseq=number, extra=extra, **more), flow)
    given = proof(challenge, "REGISTER", "sip:example.test")
    (answer,) = desk.receive(say("REGISTER", contact=contact, cseq=number + 1, extra=extra + given, **more), flow)
    return answer


def call(desk: Desk, flow: Flow = WS) -> events.IncomingCall:
    """A call of the widget, confirmed."""
    (challenge,) = desk.receive(say("INVITE", body="v=0\r\n"), flow)
    desk.receive(say("INVITE", cseq=2, body="v=0\r\n", extra=proof(challenge, "INVITE", "sip:2001@x")), flow)
    (arrived,) = desk.told(events.IncomingCall)
    desk.agent.answer(arrived.session, SDP, desk.now)
    answer = desk.take()[-1]
    desk.tag = to_tag(answer)
    assert header(answer, "Via") == [f"{VIA};branch=z9hG4bKINVITE2"] and "Require" not in answer
    assert "Session-Expires" not in answer  # who does not know of session timers is left alone with them
    desk.receive(say("ACK", cseq=2, to=f"<sip:2001@x>;tag={desk.tag}", branch="z9hG4bKack"), flow)
    assert len(desk.told(events.CallConfirmed)) == 1
    return arrived


def run(desk: Desk, seconds: float) -> None:
    """Time passes."""
    end = desk.now + seconds
    while (when := desk.agent.next_timer()) is not None and when <= end:
        desk.now = max(desk.now, when)
        desk.agent.handle_timer(desk.now)
    desk.now = end


@pytest.mark.parametrize("rport", [False, True])
def test_the_via_stays_as_it_is(rport: bool) -> None:
    desk = Desk()
    (answer,) = desk.receive(say("OPTIONS").replace(f"{VIA};", f"{VIA};rport;" if rport else f"{VIA};"), WS)
    expected = f"{VIA};rport=40000;branch=z9hG4bKOPTIONS1;received={HOST}" if rport else f"{VIA};branch=z9hG4bKOPTIONS1"
    assert status(answer) == 200 and header(answer, "Via") == [expected]


def test_the_contact_comes_back_with_its_expiry() -> None:
    desk = Desk()
    answer = register(desk, extra="Expires: 600\r\n")
    assert status(answer) == 200 and header(answer, "Contact") == [f"<{CONTACT}>;expires=600"]
    assert header(answer, "Require") == [] and header(answer, "Via")[0].startswith(f"{VIA};branch=z9hG4bKREGISTER")


def test_a_client_that_asks_for_outbound_gets_it() -> None:
    """JsSIP does; SIP.js says only that it could."""
    desk = Desk()
    instance = '+sip.instance="<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>";reg-id=1'
    extra = "Supported: path,gruu,outbound\r\n"
    for flow, contact in ((WS, CONTACT), (AGAIN, CONTACT.replace("k3", "zz"))):
        answer = register(desk, flow, f"<{contact}>;{instance}", extra)
        assert status(answer) == 200 and header(answer, "Require") == ["outbound"]
    # The same instance by the same number: its new connection takes the place of the old one (RFC 5626 section 6)
    assert [binding.flow for binding in desk.registrar.bindings("101", desk.now)] == [AGAIN]
    desk.agent.flow_failed(WS, desk.now)
    assert len(desk.registrar.bindings("101", desk.now)) == 1


def test_a_lost_connection_takes_its_own_bindings_only() -> None:
    desk = Desk()
    other = "sip:zz@random.invalid;transport=ws"
    register(desk, WS)
    register(desk, AGAIN, other)
    register(desk, ELSEWHERE)  # the first contact by another connection: it has moved
    desk.agent.flow_failed(WS, desk.now)
    assert {str(binding.contact.uri) for binding in desk.registrar.bindings("101", desk.now)} == {CONTACT, other}
    desk.agent.flow_failed(AGAIN, desk.now)
    assert [binding.flow for binding in desk.registrar.bindings("101", desk.now)] == [ELSEWHERE]
    desk.agent.flow_failed(ELSEWHERE, desk.now)
    assert desk.registrar.bindings("101", desk.now) == []


def sent_to(desk: Desk) -> list[tuple[str, Flow]]:
    return [(output.data.split(b" ", 1)[0].decode(), output.flow) for output in desk.outputs
            if isinstance(output, events.Send)]


def test_a_call_outlives_a_connection_when_the_widget_registers_again() -> None:
    desk = Desk()
    register(desk)
    arrived = call(desk)
    desk.agent.flow_failed(WS, desk.now)
    run(desk, PATIENCE - 1)
    assert status(register(desk, AGAIN)) == 200
    run(desk, 2 * PATIENCE)
    assert desk.agent.calls == 1
    desk.agent.hang_up(arrived.session, desk.now)
    bye = desk.take()[-1]
    assert sent_to(desk) == [("BYE", AGAIN)] and bye.startswith(f"BYE {CONTACT} SIP/2.0\r\n")
    desk.receive(reply(bye, 200), AGAIN)
    desk.registrar.keep_only((), desk.now)
    desk.rest()


def test_a_request_by_the_new_connection_is_as_good() -> None:
    desk = Desk()
    call(desk)
    desk.agent.flow_failed(WS, desk.now)
    (ok,) = desk.receive(say("INFO", cseq=3, to=f"<sip:2001@x>;tag={desk.tag}"), AGAIN)
    assert status(ok) == 200
    run(desk, 2 * PATIENCE)
    assert desk.agent.calls == 1
    desk.agent.flow_failed(AGAIN, desk.now)
    run(desk, PATIENCE + 1)
    desk.take()
    assert [end.reason for end in desk.told(events.CallEnded)] == ["connection lost"]
    run(desk, 40.0)
    desk.rest()


def test_the_call_of_a_page_that_was_closed_ends_at_once() -> None:
    desk = Desk()
    call(desk)
    desk.agent.flow_failed(WS, desk.now, True)
    run(desk, 0.0)
    desk.take()
    assert [end.reason for end in desk.told(events.CallEnded)] == ["connection lost"]


@pytest.mark.parametrize("flow", [AGAIN, ELSEWHERE])
def test_whoever_registers_something_else_does_not_take_the_call(flow: Flow) -> None:
    desk = Desk()
    call(desk)
    desk.agent.flow_failed(WS, desk.now)
    register(desk, flow, "sip:zz@random.invalid;transport=ws")  # a page loaded anew
    run(desk, PATIENCE + 1)
    desk.take()
    assert [end.reason for end in desk.told(events.CallEnded)] == ["connection lost"]
    assert {kind for kind, _ in sent_to(desk)} <= {"BYE", "SIP/2.0"}
    assert all(by == WS for kind, by in sent_to(desk) if kind == "BYE")


# --- calls of ours ------------------------------------------------------------------------------------------------
def place(desk: Desk) -> tuple[str, str]:
    """(session, INVITE)."""
    register(desk)
    (binding,) = desk.registrar.bindings("101", desk.now)
    session = desk.agent.invite(target=binding.contact.uri, flow=binding.flow, from_name="Weekly", offer=SDP,
                                from_uri=SipUri.parse("sip:2001@example.test"), now=desk.now)
    (invite,) = desk.take()
    assert sent_to(desk) == [("INVITE", WS)] and invite.startswith(f"INVITE {CONTACT} SIP/2.0\r\n")
    assert header(invite, "Via")[0].startswith("SIP/2.0/WS 192.0.2.1:5060;branch=z9hG4bK")
    assert header(invite, "Contact") == ["<sip:192.0.2.1:5060;transport=ws>"] and header(invite, "Require") == []
    return session, invite


def widget_reply(text: str, code: int) -> str:
    return reply(text, code).replace("sip:102@10.0.0.9:5062", CONTACT)


def test_a_call_to_a_widget_goes_by_its_connection_and_nowhere_else() -> None:
    desk = Desk()
    session, invite = place(desk)
    desk.receive(widget_reply(invite, 180), WS)
    desk.receive(widget_reply(invite, 200), WS)
    (ack,) = [output.data.decode() for output in desk.outputs if isinstance(output, events.Send)]
    assert sent_to(desk) == [("ACK", WS)] and ack.startswith(f"ACK {CONTACT} SIP/2.0\r\n")
    moved = CONTACT.replace("k3bv9a1c", "other")
    refresh = say("INVITE", contact=moved, cseq=9, uri="sip:192.0.2.1:5060;transport=ws", body="v=0\r\n", tag="them",
                  call_id=header(invite, "Call-ID")[0], to=header(invite, "From")[0])
    desk.receive(refresh, WS)
    desk.agent.answer_reoffer(session, SDP, desk.now)
    desk.receive(say("ACK", cseq=9, tag="them", call_id=header(invite, "Call-ID")[0], to=header(invite, "From")[0],
                     branch="z9hG4bKa"), WS)
    desk.agent.hang_up(session, desk.now)
    bye = desk.take()[-1]
    assert sent_to(desk)[-1] == ("BYE", WS) and bye.startswith(f"BYE {moved} SIP/2.0\r\n")


def test_a_call_that_is_given_up_and_answered_all_the_same() -> None:
    desk = Desk()
    session, invite = place(desk)
    desk.receive(widget_reply(invite, 180), WS)
    desk.agent.cancel(session, desk.now)
    (cancel,) = desk.take()
    assert sent_to(desk) == [("CANCEL", WS)] and cancel.startswith(f"CANCEL {CONTACT} SIP/2.0\r\n")
    assert header(cancel, "Via") == header(invite, "Via")
    desk.receive(widget_reply(cancel, 200), WS)
    desk.receive(widget_reply(invite, 200), WS)  # it was picked up meanwhile
    assert sent_to(desk) == [("ACK", WS), ("BYE", WS)]


def test_a_call_to_a_widget_whose_connection_goes_fails_at_once() -> None:
    desk = Desk()
    place(desk)
    desk.agent.flow_failed(WS, desk.now)
    desk.take()
    (failed,) = desk.told(events.CallFailed)
    assert failed.status == 503
    desk.rest()


def test_who_hangs_up_while_the_connection_is_lost_is_not_waited_for() -> None:
    desk = Desk()
    arrived = call(desk)
    desk.agent.flow_failed(WS, desk.now)
    desk.agent.hang_up(arrived.session, desk.now)
    desk.take()
    desk.agent.flow_failed(WS, desk.now)  # what the carrier says to the BYE
    desk.rest()
    assert desk.now < 200.0


def test_nobody_is_a_trunk_over_websocket() -> None:
    """A proxy may stand on the trunk's very address, and everybody's browser comes from there."""
    desk = Desk()
    (answer,) = desk.receive(say("INVITE", body="v=0\r\n"), Flow("ws", (TRUNK.remote[0], 40000), SERVER, 4))
    assert status(answer) == 401 and desk.told(events.IncomingCall) == []
    assert not desk.agent._gate.knows(Flow("wss", TRUNK.remote, SERVER, 5))
