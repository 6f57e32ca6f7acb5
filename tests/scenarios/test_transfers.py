"""Whole calls in which somebody presses Transfer: REFER on the wire, the third telephone rings, everyone hears whom
they should."""

from typing import Any
from urllib.parse import quote

import pytest

from sipconf.conference.directory import ConferenceSpec
from tests.sim.house import House, assert_everyone_hears_the_others

Line = dict[str, Any]
OPEN = ConferenceSpec("Open", "2002")


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
