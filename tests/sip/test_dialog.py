"""Dialogs: built from both sides, their requests, their order (RFC 3261 section 12)."""

import pytest

from sipconf.sip.dialog import Dialog
from sipconf.sip.flow import Flow
from sipconf.sip.message import Request, Response
from sipconf.sip.parser import parse_message

UDP = Flow("udp", ("198.51.100.7", 5060), ("192.0.2.1", 5060))
VIA = "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKnew"


def invite(routes: str = "", contact: str = "<sip:101@10.0.0.5:5062;ob>") -> Request:
    message = parse_message(
        (
            "INVITE sip:2001@x SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKb\r\nMax-Forwards: 70\r\n"
            f'{routes}From: "Alice" <sip:101@x>;tag=theirs\r\nTo: <sip:2001@x>\r\nCall-ID: c1\r\nCSeq: 7 INVITE\r\n'
            f"Contact: {contact}\r\nContent-Length: 0\r\n\r\n"
        ).encode()
    )
    assert isinstance(message, Request)
    return message


def lines(request: Request) -> list[str]:
    return request.encode().decode().split("\r\n")


def test_as_callee() -> None:
    routes = "Record-Route: <sip:p2.example;lr>, <sip:p1.example;lr>\r\n"
    dialog = Dialog.as_callee(invite(routes), "ours", UDP, first_cseq=0)
    assert dialog.key == ("c1", "ours", "theirs")
    bye = lines(dialog.request("BYE", dialog.next_cseq(), VIA))
    assert bye[0] == "BYE sip:101@10.0.0.5:5062;ob SIP/2.0"
    assert [line for line in bye if line.startswith("Route")] == [
        "Route: <sip:p2.example;lr>", "Route: <sip:p1.example;lr>",
    ]
    assert "From: <sip:2001@x>;tag=ours" in bye
    assert any(line.startswith("To: ") and line.endswith("<sip:101@x>;tag=theirs") for line in bye)
    assert "CSeq: 1 BYE" in bye and "Call-ID: c1" in bye and f"Via: {VIA}" in bye and "Max-Forwards: 70" in bye


def test_headers_inside_a_contact_are_not_obeyed() -> None:
    dialog = Dialog.as_callee(invite(contact="<sip:101@10.0.0.5?Route=%3Csip:evil%3E>"), "ours", UDP, first_cseq=0)
    assert lines(dialog.request("BYE", 1, VIA))[0] == "BYE sip:101@10.0.0.5 SIP/2.0"
    dialog.refresh_target(invite(contact="<sip:101@10.0.0.6?Subject=x>"))
    assert lines(dialog.request("BYE", 1, VIA))[0] == "BYE sip:101@10.0.0.6 SIP/2.0"


def test_as_caller_reverses_the_route() -> None:
    request = invite()
    ok = request.response(200, to_tag="callee")
    for route in ("<sip:p1.example;lr>", "<sip:p2.example;lr>"):
        ok.headers.add("Record-Route", route)
    ok.headers.add("Contact", "<sip:102@10.0.0.9>")
    response = parse_message(ok.encode())
    assert isinstance(response, Response)
    dialog = Dialog.as_caller(request, response, UDP)
    assert dialog.key == ("c1", "theirs", "callee")
    assert dialog.routes == ("<sip:p2.example;lr>", "<sip:p1.example;lr>")
    ack = lines(dialog.request("ACK", 7, VIA))
    assert ack[0] == "ACK sip:102@10.0.0.9 SIP/2.0" and "CSeq: 7 ACK" in ack
    assert dialog.next_cseq() == 8


def test_strict_router_gets_the_request_uri_and_the_target_goes_last() -> None:
    routes = "Record-Route: <sip:strict.example>\r\nRecord-Route: <sip:loose.example;lr>\r\n"
    dialog = Dialog.as_callee(invite(routes), "ours", UDP, first_cseq=0)
    bye = lines(dialog.request("BYE", 1, VIA))
    assert bye[0] == "BYE sip:strict.example SIP/2.0"
    assert [line for line in bye if line.startswith("Route")] == [
        "Route: <sip:loose.example;lr>", "Route: <sip:101@10.0.0.5:5062;ob>",
    ]


def test_without_contact_the_from_address_has_to_do() -> None:
    request = invite()
    request.headers.remove("Contact")
    assert str(Dialog.as_callee(request, "ours", UDP, first_cseq=0).target) == "sip:101@x"


@pytest.mark.parametrize(("number", "in_order"), [(6, False), (7, True), (8, True)])
def test_order(number: int, in_order: bool) -> None:
    dialog = Dialog.as_callee(invite(), "ours", UDP, first_cseq=0)
    request = invite()
    request.headers.set("CSeq", f"{number} BYE")
    assert dialog.in_order(request) is in_order
    assert dialog.remote_seen == max(7, number)


def test_target_moves_with_a_contact_and_stays_without() -> None:
    dialog = Dialog.as_callee(invite(), "ours", UDP, first_cseq=0)
    moved = invite(contact="<sip:101@10.0.0.77>")
    dialog.refresh_target(moved)
    moved.headers.remove("Contact")
    dialog.refresh_target(moved)
    assert str(dialog.target) == "sip:101@10.0.0.77"


def test_only_a_new_connection_moves_the_flow() -> None:
    tcp = Flow("tcp", ("198.51.100.7", 40000), ("192.0.2.1", 5060), 1)
    again = Flow("tcp", ("198.51.100.7", 40001), ("192.0.2.1", 5060), 2)
    dialog = Dialog.as_callee(invite(), "ours", tcp, first_cseq=0)
    dialog.move(again)
    assert dialog.flow is again
    dialog.move(UDP)
    assert dialog.flow is again
    dialog = Dialog.as_callee(invite(), "ours", UDP, first_cseq=0)
    dialog.move(Flow("udp", ("203.0.113.66", 5060), ("192.0.2.1", 5060)))
    assert dialog.flow is UDP
