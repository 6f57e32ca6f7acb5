"""The registrar of RFC 3261 section 10.3, on raw REGISTER requests."""

import random
from collections.abc import Sequence

import pytest

from sipconf.sip.events import RegistrationChanged
from sipconf.sip.flow import Flow
from sipconf.sip.message import Request, Response
from sipconf.sip.parser import parse_message
from sipconf.sip.registrar import NoBindings, Registrar, RegistrarSettings
from sipconf.sip.uri import SipUri, same_address
from sipconf.store import StoredBinding

UDP = Flow("udp", ("198.51.100.7", 40000), ("192.0.2.1", 5060))
TCP = Flow("tcp", ("198.51.100.7", 40001), ("192.0.2.1", 5060), connection=3)


class Shelf:
    """Keeps what it is given, in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, list[StoredBinding]] = {}

    def load(self) -> Sequence[StoredBinding]:
        return [binding for bindings in self.kept.values() for binding in bindings]

    def save(self, extension: str, bindings: Sequence[StoredBinding]) -> None:
        self.kept[extension] = list(bindings)


def registrar(store: Shelf | None = None, **settings: int) -> Registrar:
    return Registrar(store or NoBindings(), RegistrarSettings(**settings), random.Random(1))


def register(
    *contacts: str, call_id: str = "c1", cseq: int = 1, user: str = "101", expires: str | None = None
) -> Request:
    lines = [
        "REGISTER sip:conf.example.com SIP/2.0",
        "Via: SIP/2.0/UDP 10.0.0.5:5060;branch=z9hG4bKx",
        f"From: <sip:{user}@conf.example.com>;tag=a",
        f"To: <sip:{user}@conf.example.com>",
        f"Call-ID: {call_id}",
        f"CSeq: {cseq} REGISTER",
        "User-Agent: phone/1",
        *(f"Contact: {contact}" for contact in contacts),
        *([f"Expires: {expires}"] if expires is not None else []),
        "Content-Length: 0",
    ]
    message = parse_message("\r\n".join([*lines, "", ""]).encode())
    assert isinstance(message, Request)
    return message


def contacts(response: Response) -> list[str]:
    assert response.status == 200, (response.status, response.reason)
    return response.headers.get_all("Contact")


def test_a_phone_behind_nat_is_reached_where_its_register_came_from() -> None:
    rooms = registrar()
    answer = rooms.register(register("<sip:101@10.0.0.5:5060>", expires="600"), "101", UDP, 0.0)
    assert contacts(answer) == ["<sip:101@10.0.0.5:5060>;expires=600"]
    assert answer.to.tag
    (binding,) = rooms.bindings("101", 0.0)
    assert binding.flow == UDP and binding.expires_at == 600.0
    assert (binding.call_id, binding.cseq, binding.user_agent) == ("c1", 1, "phone/1")
    assert rooms.take_outputs() == [RegistrationChanged("101", 1)] and rooms.take_outputs() == []


@pytest.mark.parametrize(
    ("contact", "echoed"),
    [
        ("<sip:%41lice@192.0.2.9;transport=ws;ob>;expires=600", "<sip:%41lice@192.0.2.9;transport=ws;ob>;expires=600"),
        ("sip:101@10.0.0.5;expires=600", "<sip:101@10.0.0.5>;expires=600"),
        ('"A, <B>" <sip:101-0x55d@10.0.0.5:5060>', "<sip:101-0x55d@10.0.0.5:5060>;expires=600"),
        ('<sip:a@x.invalid>;+sip.instance="<urn:uuid:1>";reg-id=1;q=0.5',
         '<sip:a@x.invalid>;+sip.instance="<urn:uuid:1>";reg-id=1;q=0.5;expires=600'),
    ],
)  # fmt: skip
def test_the_clients_own_contact_is_echoed_as_it_was_written(contact: str, echoed: str) -> None:
    assert contacts(registrar().register(register(contact, expires="600"), "101", UDP, 0.0)) == [echoed]


@pytest.mark.parametrize(
    ("contact", "header", "granted"),
    [
        ("<sip:a@h>", None, 3600),
        ("<sip:a@h>", "300", 300),
        ("<sip:a@h>;expires=120", "300", 120),
        ("<sip:a@h>;expires=99999", None, 7200),
        ("<sip:a@h>;expires=4294967295", None, 7200),
        ("<sip:a@h>;expires=soon", "300", 3600),
        ("<sip:a@h>", "-1", 3600),
        ("<sip:a@h>;expires=60", None, 60),
    ],
)
def test_how_long_a_contact_lives(contact: str, header: str | None, granted: int) -> None:
    answer = registrar().register(register(contact, expires=header), "101", UDP, 0.0)
    assert contacts(answer) == [f"<sip:a@h>;expires={granted}"]


def test_too_brief_an_interval_changes_nothing() -> None:
    rooms = registrar()
    answer = rooms.register(register("<sip:a@h>;expires=600", "<sip:b@h>;expires=59"), "101", UDP, 0.0)
    assert answer.status == 423 and answer.headers.get("Min-Expires") == "60"
    assert rooms.bindings("101", 0.0) == [] and rooms.take_outputs() == []


def test_several_contacts_are_listed_and_preferred_by_q() -> None:
    rooms = registrar()
    rooms.register(register("<sip:a@h1>;q=0.2"), "101", UDP, 0.0)
    rooms.register(register("<sip:b@h2>;q=0.9", call_id="c2"), "101", UDP, 10.0)
    answer = rooms.register(register(call_id="c3"), "101", UDP, 20.0)
    assert contacts(answer) == ["<sip:b@h2>;q=0.9;expires=3590", "<sip:a@h1>;q=0.2;expires=3580"]
    assert [binding.contact.uri.user for binding in rooms.bindings("101", 20.0)] == ["b", "a"]
    assert rooms.bindings("102", 20.0) == []


def test_a_refresh_replaces_and_expires_zero_removes_one_contact() -> None:
    rooms = registrar()
    rooms.register(register("<sip:a@h>", "<sip:b@h>"), "101", UDP, 0.0)
    rooms.take_outputs()
    moved = Flow("udp", ("198.51.100.7", 41000), UDP.local)
    assert len(contacts(rooms.register(register("<sip:a@H>", cseq=2), "101", moved, 1.0))) == 2
    assert rooms.bindings("101", 1.0)[0].flow == moved and rooms.take_outputs() == []
    answer = rooms.register(register("<sip:a@h>;expires=0", cseq=3), "101", UDP, 2.0)
    assert contacts(answer) == ["<sip:b@h>;expires=3598"]
    assert rooms.take_outputs() == [RegistrationChanged("101", 1)]


def test_the_star_removes_everything_and_stands_alone() -> None:
    rooms = registrar()
    rooms.register(register("<sip:a@h>", "<sip:b@h>"), "101", UDP, 0.0)
    with_another = register("*", "<sip:a@h>", cseq=2, expires="0")
    for wrong in (register("*", cseq=2), register("*", cseq=2, expires="60"), with_another):
        assert rooms.register(wrong, "101", UDP, 1.0).status == 400
    assert len(rooms.bindings("101", 1.0)) == 2
    assert rooms.register(register("*", expires="0"), "101", UDP, 1.0).status == 500, "same Call-ID, no higher CSeq"
    assert contacts(rooms.register(register("*", cseq=2, expires="0"), "101", UDP, 1.0)) == []
    assert rooms.take_outputs() == [RegistrationChanged("101", 2), RegistrationChanged("101", 0)]


def test_a_straggler_changes_nothing_but_a_phone_that_restarted_may() -> None:
    rooms = registrar()
    rooms.register(register("<sip:a@h>", cseq=5), "101", UDP, 0.0)
    for cseq in (5, 4):
        assert rooms.register(register("<sip:a@h>;expires=0", cseq=cseq), "101", UDP, 4.9).status == 500
    assert len(rooms.bindings("101", 4.9)) == 1
    assert rooms.register(register("<sip:a@h>", cseq=1, call_id="c2"), "101", UDP, 4.9).status == 200
    assert rooms.register(register("<sip:a@h>", cseq=1, call_id="c2"), "101", UDP, 9.9).status == 200


def test_one_contact_too_many_is_refused_unless_an_older_one_of_that_host_can_go() -> None:
    rooms = registrar(max_bindings=3)
    for number in range(3):
        flow = Flow("udp", (f"198.51.100.{number}", 5060), UDP.local)
        rooms.register(register(f"<sip:{number}@h>", call_id=f"c{number}"), "101", flow, float(number))
    before = rooms.bindings("101", 5.0)
    stranger, neighbour = (Flow("udp", (host, 9), UDP.local) for host in ("203.0.113.1", "198.51.100.1"))
    answer = rooms.register(register("<sip:new@h>", call_id="new"), "101", stranger, 5.0)
    assert answer.status == 403 and rooms.bindings("101", 5.0) == before
    again = rooms.register(register("<sip:new@h>", call_id="new"), "101", neighbour, 6.0)
    assert [text.split(";")[0] for text in contacts(again)] == ["<sip:new@h>", "<sip:2@h>", "<sip:0@h>"]
    many = [f"<sip:{number}@many>" for number in range(4)]
    assert rooms.register(register(*many, user="102"), "102", UDP, 7.0).status == 403
    assert rooms.bindings("102", 7.0) == []


def test_the_same_device_with_a_new_address_is_not_a_second_phone() -> None:
    rooms = registrar()
    for number in range(20):
        contact = f'<sip:101@10.0.0.{number}>;+sip.instance="<urn:uuid:1>"'
        rooms.register(register(contact, call_id=f"c{number}"), "101", UDP, float(number))
    assert len(rooms.bindings("101", 20.0)) == 1
    rooms.register(register('<sip:x@h>;+sip.instance="<urn:uuid:2>"', call_id="other"), "101", UDP, 21.0)
    assert len(rooms.bindings("101", 21.0)) == 2


def test_bindings_expire_and_say_so() -> None:
    rooms = registrar()
    assert rooms.next_timer() is None
    rooms.register(register("<sip:a@h>;expires=60", "<sip:b@h>;expires=100"), "101", UDP, 0.0)
    rooms.take_outputs()
    assert rooms.next_timer() == 60.0
    rooms.handle_timer(59.9)
    assert rooms.take_outputs() == [] and len(rooms.bindings("101", 59.9)) == 2
    assert [b.contact.uri.user for b in rooms.bindings("101", 60.0)] == ["b"]
    rooms.handle_timer(60.0)
    assert rooms.take_outputs() == [RegistrationChanged("101", 1)] and rooms.next_timer() == 100.0
    rooms.handle_timer(500.0)
    assert rooms.take_outputs() == [RegistrationChanged("101", 0)] and rooms.next_timer() is None


def test_refreshing_every_second_fills_no_memory() -> None:
    rooms = registrar()
    for second in range(5000):
        rooms.register(register("<sip:a@h>", cseq=second), "101", UDP, float(second))
    assert len(rooms._expiries) < 200
    rooms.handle_timer(4999.0 + 3600)
    assert rooms.bindings("101", 4999.0) == [] and rooms.next_timer() is None


def test_a_lost_connection_takes_its_bindings_along() -> None:
    rooms = registrar()
    rooms.register(register("<sip:a@h;transport=tcp>"), "101", TCP, 0.0)
    rooms.register(register("<sip:b@h>", call_id="c2"), "101", UDP, 0.0)
    rooms.take_outputs()
    other = Flow("tcp", TCP.remote, TCP.local, connection=4)
    assert rooms.uses(TCP) and not rooms.uses(other) and not rooms.uses(UDP)
    rooms.forget_flow(other, 1.0)
    rooms.forget_flow(UDP, 1.0)
    assert rooms.take_outputs() == []
    rooms.forget_flow(TCP, 1.0)
    assert rooms.take_outputs() == [RegistrationChanged("101", 1)] and not rooms.uses(TCP)
    assert [b.flow for b in rooms.bindings("101", 1.0)] == [UDP]


def test_who_is_no_user_any_more_is_not_rung() -> None:
    rooms = registrar()
    rooms.register(register("<sip:a@h>"), "101", UDP, 0.0)
    rooms.register(register("<sip:b@h>", user="102", call_id="c2"), "102", UDP, 0.0)
    rooms.take_outputs()
    rooms.keep_only({"102", "103"}, 1.0)
    assert rooms.take_outputs() == [RegistrationChanged("101", 0)]
    assert rooms.bindings("101", 1.0) == [] and len(rooms.bindings("102", 1.0)) == 1
    rooms.handle_timer(4000.0)
    assert rooms.next_timer() is None


def test_only_ones_own_extension_and_only_sip_addresses() -> None:
    rooms = registrar()
    assert rooms.register(register("<sip:a@h>", user="102"), "101", UDP, 0.0).status == 403
    assert rooms.register(register("<mailto:a@h>"), "101", UDP, 0.0).status == 400
    assert rooms.bindings("101", 0.0) == [] and rooms.bindings("102", 0.0) == []


def test_a_restart_keeps_what_can_still_be_reached() -> None:
    shelf = Shelf()
    rooms = registrar(shelf)
    rooms.register(register("<sip:%61@h>;q=0.3", expires="600"), "101", UDP, 0.0)
    rooms.register(register("<sip:b@10.1.1.1:5070;transport=tcp>", call_id="c2"), "101", TCP, 1.0)
    rooms.register(register("<sip:c@phone.invalid;transport=tcp>", call_id="c3"), "101", TCP, 1.0)
    rooms.register(register("<sip:d@[2001:db8::1];transport=tcp>", user="102"), "102", TCP, 1.0)
    browser = Flow("ws", ("10.9.9.9", 1), ("", 0), 9)
    rooms.register(register("<sip:e@192.0.2.8;transport=ws>", user="103"), "103", browser, 1.0)
    secure = Flow("tls", ("10.1.1.2", 40000), TCP.local, 4)  # could prove nothing to a connection of ours
    rooms.register(register("<sip:f@10.1.1.2:5071;transport=tls>", user="104"), "104", secure, 1.0)
    rooms = registrar(shelf)
    kept = {b.contact.uri.user: b for b in rooms.bindings("101", 2.0)}
    assert set(kept) == {"a", "b"}
    assert kept["a"].flow == UDP and kept["a"].expires_at == 600.0 and kept["a"].preference == 0.3
    assert kept["b"].flow == Flow("tcp", ("10.1.1.1", 5070), TCP.local, None)
    assert rooms.bindings("102", 2.0)[0].flow.remote == ("2001:db8::1", 5060)
    assert rooms.bindings("103", 2.0) == [] == rooms.bindings("104", 2.0)
    assert rooms.next_timer() == 600.0
    answer = rooms.register(register("<sip:%61@h>", cseq=1), "101", UDP, 3.0)
    assert "<sip:%61@h>;expires=3600" in contacts(answer), "a phone that restarted with us is no straggler"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("sip:a@H", "sip:a@h", True),
        ("sip:%61@h", "sip:a@h", True),
        ("sip:a@h", "sip:A@h", False),
        ("sip:a@h", "sip:a@h:5060", False),
        ("sip:a@h;transport=UDP", "sip:a@h;transport=udp", True),
        ("sip:a@h;transport=udp", "sip:a@h", False),
        ("sip:a@h;ob", "sip:a@h", True),
        ("sip:a@h;x=1", "sip:a@h;x=2", False),
        ("sips:a@h", "sip:a@h", False),
        ("sip:a@h;x=1;y", "sip:a@h;y;x=1", True),
    ],
)
def test_when_two_addresses_are_one(one: str, other: str, same: bool) -> None:
    assert same_address(SipUri.parse(one), SipUri.parse(other)) is same
