"""Whole calls in which somebody presses Transfer: REFER on the wire, the third telephone rings, everyone hears whom
they should."""

from typing import Any
from urllib.parse import quote

import pytest

from sipconf.conference.directory import ConferenceSpec
from sipconf.media import protocol
from sipconf.media.placement import Placement
from tests.sim.house import PBX_HOST, House, assert_everyone_hears_the_others
from tests.sim.rtp_phone import RtpPhone

Line = dict[str, Any]
OPEN = ConferenceSpec("Open", "2002")
CODED = ConferenceSpec("Board", "2001", access_code="4321")


class TwoWorkers(House):
    """Two media workers, as far as it matters which leg is where. next_worker: where a room that has nobody begins."""

    def __init__(self, *conferences: ConferenceSpec) -> None:
        self.placement, self.next_worker = Placement(2), 0
        super().__init__(*conferences)

    def send(self, command: protocol.Command) -> None:
        if isinstance(command, protocol.OpenLeg):
            self.placement.open(command.leg, command.room, [number == self.next_worker for number in range(2)])
        elif isinstance(command, protocol.PlaceLeg) and command.room is not None:
            assert self.placement.move(command.leg, command.room), "half a room is elsewhere"
        elif isinstance(command, protocol.CloseLeg):
            self.placement.close(command.leg)
        super().send(command)

    def move(self, leg: int, room: int) -> bool:
        return self.placement.move(leg, room)


def test_into_a_conference(line: Line) -> None:
    with House(OPEN, **line) as house:
        alice, bob, carol = house.phone("101"), house.phone("102"), house.phone("103")
        carol.pickup = 0.5
        house.register(carol)
        house.dial(alice, "2002")
        house.dial(bob, "2002")
        alice.refer("sip:103@198.51.100.1", house.now)
        house.until(lambda: carol.remote_media is not None, "the third has answered")
        house.run(2.5)
        house.listen(0.8)
        assert_everyone_hears_the_others([alice, bob, carol])
        house.until(lambda: "SIP/2.0 200 OK" in alice.news, "the good news has come")
        assert "SIP/2.0 100 Trying" in alice.news and house.states("2002").keys() == {"101", "102", "103"}
        for phone in (alice, bob, carol):
            phone.bye(house.now)
        house.settle()


def test_of_two_who_talk_the_one_leaves_as_the_odoo_widget_does(line: Line) -> None:
    with House(**line) as house:
        alice, bob, carol = house.phone("101"), house.phone("102"), house.phone("103")
        bob.pickup, carol.pickup = 0.2, 1.0
        house.register(bob, carol)
        house.dial(alice, "102")
        house.until(lambda: bob.remote_media is not None, "answered")
        alice.refer("sip:103@198.51.100.1", house.now)
        house.until(lambda: any(answer.startswith("202") for answer in alice.log), "accepted")
        alice.bye(house.now)
        house.until(lambda: carol.remote_media is not None, "the third has answered")
        house.run(2.5)
        house.listen(0.8)
        assert_everyone_hears_the_others([bob, carol])
        carol.bye(house.now)
        house.until(lambda: not bob.in_call, "the other end is told")
        house.settle()


@pytest.mark.parametrize("one_worker", [True, False])
def test_after_asking_first(line: Line, one_worker: bool) -> None:
    """A user in two calls puts the other ends together (REFER with Replaces)."""
    with House(**line) as house:
        house.one_worker = one_worker
        asking, first = house.phone("101"), house.phone("101")
        bob, carol = house.phone("102"), house.phone("103")
        bob.pickup = carol.pickup = 0.2
        house.register(bob, carol)
        house.dial(first, "102")
        house.dial(asking, "103")
        house.until(lambda: bob.remote_media is not None and carol.remote_media is not None, "both have answered")
        house.run(5.0)  # every ACK has come
        replaces = f"{asking.call_id};to-tag={asking.peer_tag};from-tag={asking.tag}"
        first.refer(f"sip:103@198.51.100.1?Replaces={quote(replaces, safe='')}", house.now)
        if one_worker:
            house.until(lambda: "BYE" in asking.log and "BYE" in first.log, "who asked is out of both")
            house.run(2.5)
            house.listen(0.8)
            assert_everyone_hears_the_others([bob, carol])
            carol.bye(house.now)
            house.until(lambda: not bob.in_call, "the other end is told")
        else:
            house.until(lambda: any(answer.startswith("503") for answer in first.log), "it is told why not")
            assert all(phone.in_call for phone in (asking, first, bob, carol))
        house.settle()


def test_a_telephone_number_is_refused(line: Line) -> None:
    with House(OPEN, **line) as house:
        alice = house.phone("101")
        house.dial(alice, "2002")
        alice.refer("sip:+3225559999@198.51.100.1;user=phone", house.now)
        house.until(lambda: any(answer.startswith("403") for answer in alice.log), "refused")
        assert alice.news == [] and alice.in_call
        alice.bye(house.now)
        house.settle()


# --- of two who talk one sends the other to a conference -------------------------------------------------------------
def talk(house: House, who: str, called: str, **traits: Any) -> tuple[RtpPhone, RtpPhone]:
    """Two telephones in a call between two people."""
    caller, other = house.phone(who, **traits), house.phone(called)
    other.pickup = 0.2
    house.register(other)
    house.dial(caller, called)
    house.until(lambda: other.remote_media is not None, "answered")
    house.run(5.0)  # every ACK has come
    return caller, other


def assert_they_talk_on(house: House, one: RtpPhone, other: RtpPhone) -> None:
    house.run(1.0)
    house.listen(0.8)
    assert_everyone_hears_the_others([one, other])
    assert "BYE" not in one.log and "BYE" not in other.log


def test_to_a_conference_whose_receptionist_asks_for_the_code(line: Line) -> None:
    with House(CODED, **line) as house:
        carol = house.enter(house.phone("103"))
        alice, bob = talk(house, "101", "102")
        house.listen(0.2)
        alice.refer("sip:2001@198.51.100.1", house.now)
        house.until(lambda: "BYE" in alice.log, "who transferred is released")
        house.until(lambda: house.heard(bob, "enter-code"), "the receptionist asks")
        house.until(lambda: len(alice.news) >= 2, "the news has come")
        assert set(alice.news) == {"SIP/2.0 100 Trying", "SIP/2.0 200 OK"}
        assert house.states() == {"103": "talking", "102": "prompting"} and not bob.hears(carol.pitch)
        bob.press("4321#")
        house.until(lambda: house.states()["102"] == "talking", "the code is right")
        house.run(2.5)
        house.listen(0.8)
        assert_everyone_hears_the_others([bob, carol])
        bob.bye(house.now)
        carol.bye(house.now)
        house.settle()


def test_a_caller_of_the_own_exchange_is_sent_to_a_conference(line: Line) -> None:
    """By whom it has called; nobody is there yet."""
    with House(CODED, OPEN, **line) as house:
        outside, bob = talk(house, "+32477000001", "102", host=PBX_HOST)
        bob.refer("sip:2002@198.51.100.1", house.now)
        house.until(lambda: "BYE" in bob.log, "who transferred is released")
        carol = house.dial(house.phone("103"), "2002")
        house.run(2.5)
        house.listen(0.8)
        assert_everyone_hears_the_others([outside, carol])
        assert house.states("2002") == {"+32477000001": "talking", "103": "talking"}
        outside.bye(house.now)
        carol.bye(house.now)
        house.settle()


@pytest.mark.parametrize(("target", "status", "words"), [
    ("2001", 403, b"This conference is locked"), ("2003", 488, b"This conference takes encrypted calls only"),
    ("2001*4321", 403, b"Please transfer to the conference without its access code"),
])  # fmt: skip
def test_a_conference_that_does_not_take_them_leaves_the_two_as_they_were(
    target: str, status: int, words: bytes
) -> None:
    with House(CODED, OPEN, ConferenceSpec("Vault", "2003", encrypted=True)) as house:
        carol = house.enter(house.phone("103"))
        house.console(house.conferences.lock, "2001", True)
        alice, bob = talk(house, "101", "102")
        alice.refer(f"sip:{target}@198.51.100.1", house.now)
        house.until(lambda: any(answer.startswith(str(status)) for answer in alice.log), "it is told why not")
        assert words in house.refusal(status) and alice.news == []
        assert_they_talk_on(house, alice, bob)
        assert house.states() == {"103": "talking"}
        for phone in (alice, carol):
            phone.bye(house.now)
        house.until(lambda: not bob.in_call, "the other end is told")
        house.settle()


def test_who_comes_to_a_conference_later_is_where_the_first_was_sent() -> None:
    with TwoWorkers(CODED, OPEN) as house:
        alice, bob = talk(house, "101", "102")
        alice.refer("sip:2001@198.51.100.1", house.now)
        house.until(lambda: "BYE" in alice.log, "who transferred is released")
        house.next_worker = 1
        elsewhere, carol = house.dial(house.phone("104"), "2002"), house.enter(house.phone("103"))
        bob.press("4321#")
        house.until(lambda: house.states()["102"] == "talking", "the code is right")
        house.run(2.5)
        house.listen(0.8)
        assert_everyone_hears_the_others([bob, carol])
        for phone in (bob, carol, elsewhere):
            phone.bye(house.now)
        house.settle()


def test_a_conference_in_another_worker_leaves_the_two_as_they_were() -> None:
    with TwoWorkers(CODED) as house:
        alice, bob = talk(house, "101", "102")
        house.next_worker = 1
        carol = house.enter(house.phone("103"))
        alice.refer("sip:2001@198.51.100.1", house.now)
        house.until(lambda: any(answer.startswith("503") for answer in alice.log), "it is told why not")
        assert b"The other one cannot be put through to this conference from here" in house.refusal(503)
        assert_they_talk_on(house, alice, bob)
        for phone in (alice, carol):
            phone.bye(house.now)
        house.settle()
