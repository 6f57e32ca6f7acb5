"""Which transaction a message belongs to, and that nothing outlives its timers."""

import pytest

from sipconf.errors import PeerError
from sipconf.sip.caps import Cap, Holder
from sipconf.sip.client_tx import Heard, NoAnswer, NoPath
from sipconf.sip.events import Send
from sipconf.sip.flow import Flow
from sipconf.sip.message import Request, Response
from sipconf.sip.parser import parse_message
from sipconf.sip.server_tx import PathLost
from sipconf.sip.timers import Deadlines, Timers
from sipconf.sip.transactions import Told, Transactions

UDP = Flow("udp", ("198.51.100.7", 5060), ("192.0.2.1", 5060))
TCP = Flow("tcp", ("198.51.100.7", 40000), ("192.0.2.1", 5060), 3)


def request(
    method: str = "INVITE", branch: str = "z9hG4bKb", cseq: int = 1, call_id: str = "c", host: str = "a.example",
    tag: str = "f", to: str = "<sip:2001@x>",
) -> Request:
    message = parse_message(
        (
            f"{method} sip:2001@x SIP/2.0\r\nVia: SIP/2.0/UDP {host};branch={branch}\r\nMax-Forwards: 70\r\n"
            f"From: <sip:101@x>;tag={tag}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n"
            "Content-Length: 0\r\n\r\n"
        ).encode()
    )
    assert isinstance(message, Request)
    return message


def drain(transactions: Transactions) -> None:
    while (when := transactions.next_timer()) is not None:
        transactions.handle_timer(when)
    transactions.take_outputs()
    assert len(transactions) == 0
    assert not transactions._owners and not transactions._merging and not len(transactions._deadlines)


@pytest.fixture
def transactions() -> Transactions:
    return Transactions(Timers(), Cap(10, 10, 10))


def test_repeated_request_is_answered_from_memory(transactions: Transactions) -> None:
    invite = request()
    assert not transactions.absorb(invite, 0.0)
    key = transactions.open_server(invite, UDP, "me")
    transactions.respond(key, invite.response(180, to_tag="t"), 0.0)
    (first,) = transactions.take_outputs()
    assert transactions.absorb(request(), 1.0)
    assert transactions.take_outputs() == [first]
    transactions.respond(key, invite.response(486, to_tag="t"), 2.0)
    drain(transactions)


@pytest.mark.parametrize(
    "other",
    [request(branch="z9hG4bKc"), request(cseq=2), request(call_id="d"), request(host="b.example"), request(tag="g")],
)
def test_other_requests_are_other_transactions(transactions: Transactions, other: Request) -> None:
    transactions.open_server(request(), UDP, None)
    assert not transactions.absorb(other, 0.0)


def test_telephone_that_uses_one_branch_for_two_invites(transactions: Transactions) -> None:
    """The first was refused with a challenge; the second, one CSeq further, is a transaction of its own."""
    first, second = request(cseq=1), request(cseq=2)
    key = transactions.open_server(first, UDP, None)
    transactions.respond(key, first.response(401, to_tag="t"), 0.0)
    assert transactions.absorb(request("ACK", cseq=1), 0.0)
    assert not transactions.absorb(second, 0.0)
    key = transactions.open_server(second, UDP, "me")
    transactions.respond(key, second.response(200, to_tag="t"), 0.0)
    transactions.take_outputs()
    assert transactions.absorb(request("ACK", cseq=2), 0.0)
    (told,) = transactions.take_outputs()
    assert isinstance(told, Told) and told.owner == "me"
    drain(transactions)


def test_cancel_finds_its_invite(transactions: Transactions) -> None:
    key = transactions.open_server(request(), UDP, "me")
    assert transactions.invited_by(request("CANCEL")) == key and transactions.owner_of(key) == "me"
    assert transactions.invited_by(request("CANCEL", branch="z9hG4bKc")) is None


def test_merged_request(transactions: Transactions) -> None:
    transactions.open_server(request(), UDP, None)
    assert transactions.is_merged(request(branch="z9hG4bKother"))
    assert not transactions.is_merged(request())
    assert not transactions.is_merged(request(branch="z9hG4bKother", cseq=2))
    within = request("BYE", branch="z9hG4bKbye", to="<sip:2001@x>;tag=t")
    transactions.open_server(within, UDP, None)
    assert not transactions.is_merged(request("BYE", branch="z9hG4bKbye2", to="<sip:2001@x>;tag=t"))


def test_limit(transactions: Transactions) -> None:
    for number in range(10):
        transactions.open_server(request(branch=f"z9hG4bK{number}", call_id=str(number)), UDP, None)
    with pytest.raises(PeerError) as refused:
        transactions.open_server(request(branch="z9hG4bKmore", call_id="more"), UDP, None)
    assert refused.value.status == 503
    assert len(transactions) == 10


def test_one_source_and_one_trunk_have_their_part_of_the_limit() -> None:
    transactions = Transactions(Timers(), Cap(10, 2, 3))
    somebody, provider = Holder("198.51.100.7"), Holder("provider", is_trunk=True)
    for holder, most in ((somebody, 2), (provider, 3)):
        for number in range(most):
            transactions.open_server(request("BYE", branch=f"z9hG4bK{holder.name}{number}"), UDP, None, holder)
        with pytest.raises(PeerError):
            transactions.open_server(request(branch="z9hG4bKmore", call_id="more"), UDP, None, holder)
    transactions.open_server(request("BYE", branch="z9hG4bKother"), UDP, None, Holder("192.0.2.77"))
    transactions.flow_failed(UDP, 0.0)
    transactions.open_server(request(branch="z9hG4bKagain"), UDP, None, somebody)


def answer(to: Request, status: int, **changes: str) -> Response:
    response = to.response(status, to_tag="t")
    for name, value in changes.items():
        response.headers.set(name, value)
    return response


def test_response_is_told_to_the_owner(transactions: Transactions) -> None:
    bye = request("BYE")
    key = transactions.send_request(bye, UDP, "me", 0.0)
    assert transactions.take_outputs() == [Send(UDP, bye.encode())]
    response = answer(bye, 200)
    assert transactions.receive_response(response, 0.1)
    assert transactions.take_outputs() == [Told("me", key, Heard(response))]
    assert transactions.receive_response(response, 0.2)
    assert transactions.take_outputs() == []
    drain(transactions)


def test_strange_responses_belong_to_nobody(transactions: Transactions) -> None:
    bye = request("BYE")
    transactions.send_request(bye, UDP, "me", 0.0)
    transactions.take_outputs()
    two_vias = answer(bye, 200)
    two_vias.headers.add("Via", "SIP/2.0/UDP 255.255.255.255;branch=z9hG4bKbcast")
    strangers = [
        two_vias,
        answer(bye, 200, Via="SIP/2.0/UDP a.example;branch=z9hG4bKother"),
        answer(bye, 200, CSeq="1 INVITE"),
        answer(bye, 200, CSeq="2 BYE"),
    ]
    assert not any(transactions.receive_response(stranger, 0.0) for stranger in strangers)
    assert transactions.take_outputs() == []


def test_silence_is_told_after_64_t1(transactions: Transactions) -> None:
    key = transactions.send_request(request("BYE"), UDP, "me", 0.0)
    told = []
    while (when := transactions.next_timer()) is not None:
        transactions.handle_timer(when)
        told += [(when, out) for out in transactions.take_outputs() if isinstance(out, Told)]
    assert told == [(32.0, Told("me", key, NoAnswer()))]
    drain(transactions)


def test_failed_flow_ends_what_went_by_it_and_nothing_else(transactions: Transactions) -> None:
    mine = transactions.send_request(request("BYE", branch="z9hG4bK1"), TCP, "me", 0.0)
    transactions.send_request(request("BYE", branch="z9hG4bK2"), UDP, "other", 0.0)
    theirs = transactions.open_server(request(branch="z9hG4bK3"), TCP, "caller")
    transactions.take_outputs()
    transactions.flow_failed(TCP, 1.0)
    assert transactions.take_outputs() == [Told("me", mine, NoPath())]
    transactions.flow_failed(Flow("tcp", (TCP.remote[0], 5060), TCP.local), 1.0)  # where an answer would have gone
    assert transactions.take_outputs() == [Told("caller", theirs, PathLost())]
    assert len(transactions) == 1
    transactions.respond(theirs, request().response(200, to_tag="t"), 1.0)  # nobody is left: no error, no bytes
    assert transactions.take_outputs() == []
    drain(transactions)


def test_invite_in_proceeding_can_be_abandoned_and_only_that(transactions: Transactions) -> None:
    ringing, calling = request(branch="z9hG4bK1"), request(branch="z9hG4bK2")
    key = transactions.send_request(ringing, UDP, "me", 0.0)
    other = transactions.send_request(calling, UDP, "me", 0.0)
    transactions.receive_response(answer(ringing, 180), 0.0)
    transactions.abandon(key)
    transactions.abandon(other)
    assert len(transactions) == 1
    drain(transactions)


def test_abandoned_invite_that_is_answered_late_by_a_1xx_does_not_stay_for_ever(transactions: Transactions) -> None:
    ours = request(branch="z9hG4bKours")
    key = transactions.send_request(ours, UDP, "me", 0.0)
    transactions.abandon(key)
    assert len(transactions) == 1  # timer B will end it
    transactions.receive_response(ours.response(100), 1.0)
    assert len(transactions) == 0 and transactions.next_timer() is None
    key = transactions.send_request(ours, UDP, "me", 0.0)
    transactions.abandon(key)
    transactions.receive_response(ours.response(200), 1.0)
    assert len(transactions) == 1
    transactions.handle_timer(40.0)
    assert len(transactions) == 0 and not transactions._abandoned


def test_deadlines_follow_the_keys_not_the_changes() -> None:
    deadlines: Deadlines[str] = Deadlines()
    for number in range(10_000):
        deadlines.set("a", float(number))
    deadlines.set("b", 5.0)
    assert len(deadlines._heap) < 200
    assert deadlines.next() == 5.0
    deadlines.set("b", None)
    assert deadlines.pop_due(9998.0) == [] and deadlines.pop_due(9999.0) == ["a"]
    assert deadlines.next() is None and len(deadlines) == 0
