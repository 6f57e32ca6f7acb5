"""Large requests by TCP with a way back to UDP, and responses that outlive their connection."""

import pytest

from sipconf.sip.caps import Cap
from sipconf.sip.client_tx import Heard, NoAnswer, NoPath
from sipconf.sip.detour import LARGEST_DATAGRAM, PATIENCE, REFUSAL_REMEMBERED
from sipconf.sip.events import Send
from sipconf.sip.flow import Flow
from sipconf.sip.message import Request, Response
from sipconf.sip.parser import parse_message
from sipconf.sip.server_tx import PathLost
from sipconf.sip.timers import Timers
from sipconf.sip.transactions import ANYBODY, Told, Transactions

PHONE = ("198.51.100.7", 5062)
UDP = Flow("udp", PHONE, ("192.0.2.1", 5060))
TCP = Flow("tcp", PHONE, ("192.0.2.1", 5060))
CONNECTION = Flow("tcp", ("198.51.100.7", 40000), ("192.0.2.1", 5060), 3)


def request(
    size: int = 2000, target: str = "101@198.51.100.7:5062", method: str = "INVITE", via: str = "UDP 192.0.2.1:5060",
    branch: str = "z9hG4bKa",
) -> Request:
    head = (f"{method} sip:{target} SIP/2.0\r\nVia: SIP/2.0/{via};branch={branch}\r\nMax-Forwards: 70\r\n"
            f"From: <sip:1@x>;tag=f\r\nTo: <sip:101@x>\r\nCall-ID: c\r\nCSeq: 1 {method}\r\n")
    room = size - len(head) - len("Content-Length: 1000\r\n\r\n")
    body = "x" * max(0, room)
    message = parse_message(f"{head}Content-Length: {len(body):04}\r\n\r\n{body}".encode())
    assert isinstance(message, Request)
    return message


def sent(transactions: Transactions) -> list[tuple[str, str]]:
    """Transport of the flow and first Via of everything sent since."""
    found = []
    for output in transactions.take_outputs():
        if isinstance(output, Send):
            found.append((output.flow.transport, output.data.split(b"Via: SIP/2.0/")[1][:3].decode()))
    return found


@pytest.fixture
def transactions() -> Transactions:
    return Transactions(Timers(), Cap(10, 10, 10))


@pytest.mark.parametrize(
    ("size", "target", "way"),
    [
        (LARGEST_DATAGRAM, "101@198.51.100.7:5062", ("udp", "UDP")),
        (LARGEST_DATAGRAM + 1, "101@198.51.100.7:5062", ("tcp", "TCP")),
        (2000, "101@10.0.0.7:5062", ("udp", "UDP")),  # behind a NAT: nobody listens at its outside
        (2000, "101@198.51.100.7:5060", ("udp", "UDP")),
        (2000, "101@phone.example", ("udp", "UDP")),
    ],
)
def test_size_and_place_decide(transactions: Transactions, size: int, target: str, way: tuple[str, str]) -> None:
    message = request(size, target)
    assert len(message.encode()) == size
    transactions.send_request(message, UDP, "me", 0.0)
    assert sent(transactions) == [way]


@pytest.mark.parametrize("how", ["refused", "silent"])
def test_where_tcp_leads_nowhere_it_goes_by_udp_with_the_same_branch(transactions: Transactions, how: str) -> None:
    key = transactions.send_request(request(), UDP, "me", 0.0)
    (first,) = transactions.take_outputs()
    assert transactions.next_timer() == PATIENCE
    if how == "refused":
        transactions.flow_failed(TCP, 0.1)
    else:
        transactions.handle_timer(PATIENCE)
    (second,) = transactions.take_outputs()
    assert isinstance(first, Send) and isinstance(second, Send)
    assert second.flow == UDP and second.data == first.data.replace(b"SIP/2.0/TCP", b"SIP/2.0/UDP")
    transactions.flow_failed(TCP, 2.0)
    assert transactions.take_outputs() == [], "the late loss of TCP is nobody's business any more"
    response = request().response(200, to_tag="t")
    assert transactions.receive_response(response, 3.0)
    assert transactions.take_outputs() == [Told("me", key, Heard(response))]
    transactions.send_request(request(branch="z9hG4bKb"), UDP, "me", 4.0)
    assert sent(transactions) == [("udp", "UDP")], "it is not tried again at once"
    transactions.send_request(request(branch="z9hG4bKc"), UDP, "me", 4.0 + REFUSAL_REMEMBERED)
    assert sent(transactions)[-1] == ("tcp", "TCP")


def test_once_answered_by_tcp_it_stays_there_and_cancel_goes_with_it(transactions: Transactions) -> None:
    key = transactions.send_request(request(), UDP, "me", 0.0)
    assert transactions.receive_response(request().response(180, to_tag="t"), 0.5)
    transactions.take_outputs()
    assert transactions.next_timer() is None
    transactions.send_request(request(0, method="CANCEL"), UDP, None, 1.0)
    assert sent(transactions) == [("tcp", "TCP")]
    transactions.flow_failed(TCP, 2.0)
    assert Told("me", key, NoPath()) in transactions.take_outputs()


def test_nobody_answers_by_either_way(transactions: Transactions) -> None:
    key = transactions.send_request(request(), UDP, "me", 0.0)
    while (when := transactions.next_timer()) is not None:
        transactions.handle_timer(when)
    assert transactions.take_outputs()[-1] == Told("me", key, NoAnswer())
    assert len(transactions) == 0 and not transactions._datagrams


def test_a_response_is_sent_by_a_new_connection_where_the_old_one_is_lost(transactions: Transactions) -> None:
    invite = request(0, "2001@x", via="TCP phone.example:5070", branch="z9hG4bKd")
    key = transactions.open_server(invite, CONNECTION, "me", ANYBODY)
    ringing = invite.response(180, to_tag="t")
    transactions.respond(key, ringing, 0.0)
    transactions.take_outputs()
    transactions.flow_failed(CONNECTION, 1.0)
    again = Flow("tcp", ("198.51.100.7", 5070), CONNECTION.local)
    assert transactions.take_outputs() == [Send(again, ringing.encode())], "is anybody there?"
    answer = invite.response(486, to_tag="t")
    transactions.respond(key, answer, 2.0)
    assert transactions.take_outputs() == [Send(again, answer.encode())]


def test_where_the_new_connection_fails_too_nobody_is_left(transactions: Transactions) -> None:
    invite = request(0, "2001@x", via="TCP phone.example", branch="z9hG4bKd")
    key = transactions.open_server(invite, CONNECTION, "me", ANYBODY)
    transactions.respond(key, invite.response(100), 0.0)
    transactions.flow_failed(CONNECTION, 1.0)
    transactions.take_outputs()
    transactions.flow_failed(Flow("tcp", ("198.51.100.7", 5060), CONNECTION.local), 1.1)
    assert transactions.take_outputs() == [Told("me", key, PathLost())] and len(transactions) == 0


def test_over_tls_nobody_could_prove_to_be_the_one_who_asked(transactions: Transactions) -> None:
    invite = request(0, "2001@x", via="TLS phone.example", branch="z9hG4bKd")
    flow = Flow("tls", ("198.51.100.7", 40000), ("192.0.2.1", 5061), 3)
    key = transactions.open_server(invite, flow, "me", ANYBODY)
    transactions.respond(key, invite.response(100), 0.0)
    transactions.take_outputs()
    transactions.flow_failed(flow, 1.0)
    assert transactions.take_outputs() == [Told("me", key, PathLost())]
    assert isinstance(invite.response(100), Response)
