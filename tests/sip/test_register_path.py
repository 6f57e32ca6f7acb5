"""Path (RFC 3327) and outbound (RFC 5626): what is kept, echoed, required and refused."""

import random

import pytest

from sipconf.sip import events
from sipconf.sip.flow import Flow
from sipconf.sip.registrar import Registrar, RegistrarSettings
from sipconf.sip.uri import SipUri
from tests.sim.desk import PHONE, SDP, TCP, Desk, header, proof, reply, request, status
from tests.sip.test_registrar import Shelf

EDGE = "<sip:edge.example;lr;ob>"
PATH = f"Path: <sip:core.example;lr>\r\nPath: {EDGE}\r\n"
DEVICE = '<sip:101@10.0.0.4>;reg-id=1;+sip.instance="<urn:uuid:1>"'
TWO_VIAS = "Via: SIP/2.0/UDP 10.0.0.4:5060;branch=z9hG4bKphone\r\n"


def registered(desk: Desk, contact: str, extra: str, flow: Flow = PHONE) -> str:
    """The answer to a REGISTER with credentials."""
    said = {"uri": "sip:x", "to": "<sip:101@x>", "call_id": f"r{desk.now}"}
    (challenge,) = desk.receive(request("REGISTER", **said), flow)
    auth = proof(header(challenge, "WWW-Authenticate")[0], "REGISTER", "sip:x")
    text = request("REGISTER", cseq=2, extra=auth + extra, **said).replace("<sip:+3212@203.0.113.9>", contact)
    (answer,) = desk.receive(text, flow)
    return answer


@pytest.mark.parametrize(("supported", "echoed"), [("Supported: path\r\n", True), ("", False)])
def test_path_is_kept_and_told_to_who_understands_it(supported: str, echoed: bool) -> None:
    desk = Desk()
    answer = registered(desk, "<sip:101@10.0.0.4>", PATH + supported)
    assert status(answer) == 200
    assert header(answer, "Path") == (["<sip:core.example;lr>", EDGE] if echoed else [])
    (binding,) = desk.registrar.bindings("101", desk.now)
    assert binding.path == ("<sip:core.example;lr>", EDGE)


def test_call_to_a_binding_takes_its_path() -> None:
    desk = Desk()
    desk.agent.invite(
        target=SipUri.parse("sip:101@10.0.0.4"), flow=PHONE, from_uri=SipUri.parse("sip:2001@x"), from_name="",
        offer=SDP, now=desk.now, routes=("<sip:core.example;lr>", EDGE),
    )
    (invite,) = desk.take()
    assert invite.startswith("INVITE sip:101@10.0.0.4 SIP/2.0\r\n") and desk.outputs[0].flow == PHONE
    assert header(invite, "Route") == ["<sip:core.example;lr>", EDGE]
    (ack, again) = desk.receive(reply(invite, 422, extra="Min-SE: 3600\r\n"), PHONE)
    assert header(again, "Route") == header(ack, "Route") == header(invite, "Route")
    assert header(again, "Session-Expires") == ["3600"] and header(again, "CSeq") == ["2 INVITE"]
    (session,) = desk.agent._sessions
    desk.receive(reply(again, 180), PHONE)
    desk.agent.cancel(session.id, desk.now)
    (cancel,) = desk.take()
    assert header(cancel, "Route") == header(invite, "Route")


def test_strict_first_hop_of_a_path_wants_itself_in_the_request_uri() -> None:
    desk = Desk()
    desk.agent.invite(
        target=SipUri.parse("sip:101@10.0.0.4"), flow=PHONE, from_uri=SipUri.parse("sip:2001@x"), from_name="",
        offer=SDP, now=desk.now, routes=("<sip:old.example>", EDGE),
    )
    (invite,) = desk.take()
    assert invite.startswith("INVITE sip:old.example SIP/2.0\r\n")
    assert header(invite, "Route") == [EDGE, "<sip:101@10.0.0.4>"]
    assert header(invite, "To") == ["<sip:101@10.0.0.4>"]
    (ack, again) = desk.receive(reply(invite, 422, extra="Min-SE: 3600\r\n"), PHONE)
    assert again.startswith("INVITE sip:old.example SIP/2.0\r\n") and header(again, "Route") == header(invite, "Route")


@pytest.mark.parametrize("path", ["Path: <<<\r\n", "Path: <tel:+3212>\r\n", "Path: nonsense\r\n",
                                  "Path: " + ", ".join([EDGE] * 33) + "\r\n"])
def test_unreadable_path_changes_nothing(path: str) -> None:
    desk = Desk()
    assert status(registered(desk, "<sip:101@10.0.0.4>", path)) == 400
    assert desk.registrar.bindings("101", desk.now) == []


@pytest.mark.parametrize(
    ("contact", "extra", "expected", "required"),
    [
        (DEVICE, "Supported: outbound, path\r\n", 200, ["outbound"]),
        (DEVICE, "Require: outbound\r\n", 200, ["outbound"]),
        (DEVICE, "", 200, []),
        ("<sip:101@10.0.0.4>", "Supported: outbound\r\n", 200, []),  # SIP.js
        ('<sip:101@10.0.0.4>;+sip.instance="<urn:uuid:1>"', "Supported: outbound\r\n", 200, []),
        (DEVICE, "Supported: outbound\r\n" + TWO_VIAS, 439, []),
        (DEVICE, "Supported: outbound\r\n" + TWO_VIAS + "Path: <sip:edge.example;lr>\r\n", 439, []),
        (DEVICE, "Supported: outbound\r\n" + TWO_VIAS + PATH, 200, ["outbound"]),
        (DEVICE, TWO_VIAS, 200, []),
        (f"{DEVICE}, <sip:101@10.0.0.5>", "Supported: outbound\r\n", 400, []),
    ],
)
def test_outbound(contact: str, extra: str, expected: int, required: list[str]) -> None:
    desk = Desk()
    answer = registered(desk, contact, extra, TCP)
    assert (status(answer), header(answer, "Require")) == (expected, required)
    assert len(desk.registrar.bindings("101", desk.now)) == (expected == 200)


@pytest.mark.parametrize("extra", ["Supported: outbound\r\n", "Supported: outbound\r\n" + TWO_VIAS])
def test_over_udp_no_flow_is_promised(extra: str) -> None:
    answer = registered(Desk(), DEVICE, extra)
    assert (status(answer), header(answer, "Require")) == (200, [])


def test_the_same_instance_replaces_its_old_flow_and_a_second_flow_stands_beside_it() -> None:
    desk = Desk()
    flows = [Flow("tcp", ("198.51.100.7", 40000 + number), ("192.0.2.1", 5060), number) for number in (1, 2, 3)]
    for flow, contact in zip(flows, (DEVICE, DEVICE.replace("10.0.0.4", "10.0.0.5"), DEVICE.replace("id=1", "id=2")),
                             strict=True):
        desk.now += 1
        assert status(registered(desk, contact, "Supported: outbound\r\n", flow)) == 200
    assert {binding.flow for binding in desk.registrar.bindings("101", desk.now)} == set(flows[1:])
    desk.agent.flow_failed(flows[1], desk.now)
    desk.take()
    assert desk.told(events.RegistrationChanged) == [events.RegistrationChanged("101", 1)]


def test_path_outlives_a_restart_and_its_first_hop_is_where_a_stream_is_opened() -> None:
    shelf = Shelf()
    desk = Desk()
    desk.registrar._store = shelf
    tcp = Flow("tcp", ("203.0.113.50", 40000), ("192.0.2.1", 5060), 7)
    registered(desk, "<sip:101@10.0.0.4;transport=tcp>", "Path: <sip:203.0.113.50:5070;lr;transport=tcp>\r\n", tcp)
    again = Registrar(shelf, RegistrarSettings(), random.Random(1))
    (binding,) = again.bindings("101", desk.now)
    assert binding.path == ("<sip:203.0.113.50:5070;lr;transport=tcp>",)
    assert binding.flow == Flow("tcp", ("203.0.113.50", 5070), ("192.0.2.1", 5060), None)
