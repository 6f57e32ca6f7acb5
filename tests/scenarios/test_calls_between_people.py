"""Whole calls that are no plain conference: a user who dials a user, and callers from outside by a trunk."""

from dataclasses import replace
from typing import Any

import pytest

from sipconf.conference.directory import ConferenceSpec
from sipconf.sip.offer import Capabilities, Format
from tests.sim.house import NUMBER, PBX_HOST, TRUNK_HOST, House, assert_everyone_hears_the_others

Line = dict[str, Any]
ROOM = ConferenceSpec("Weekly", "2001", access_code="4321")
OPEN = ConferenceSpec("Open", "2002")
CALLER = "+32475000001"


WIDE = Capabilities((Format("opus", 48000, 111), Format("G722", 8000, 9), Format("PCMU", 8000, 0),
                     Format("PCMA", 8000, 8)))  # fmt: skip


# --- a user calls a user ---------------------------------------------------------------------------------------------
def test_a_user_calls_a_user_and_they_hear_each_other(line: Line) -> None:
    with House(**line) as house:
        caller, called = house.phone("101"), house.phone("102")
        called.pickup = 0.3
        house.register(called)
        house.dial(caller, "102")
        assert "180" in caller.log or line
        house.until(lambda: called.remote_media is not None, "answered")
        house.run(0.7)
        house.listen(0.8)
        assert_everyone_hears_the_others([caller, called])
        called.bye(house.now)
        house.until(lambda: not caller.in_call, "the other end is told")
        house.settle()


@pytest.mark.parametrize("listed", ["9 G722/8000", "111 opus/48000/2"])
def test_a_telephone_that_answers_with_several_formats_may_send_any(listed: str, line: Line) -> None:
    with House(capabilities=WIDE, silence_timeout=5.0, **line) as house:
        caller, called = house.phone("101"), house.phone("102")
        called.pickup, called.listed = 0.3, (listed,)
        house.register(called)
        house.dial(caller, "102")
        house.until(lambda: called.remote_media is not None, "answered")
        house.run(1.5)
        house.listen(0.8)
        assert_everyone_hears_the_others([caller, called])
        house.run(8.0)
        assert caller.in_call and called.in_call
        called.bye(house.now)
        house.settle()


def test_the_first_of_two_telephones_to_answer_has_the_call(line: Line) -> None:
    with House(**line) as house:
        caller = house.phone("101")
        desk, mobile = house.phone("102"), house.phone("102")
        desk.pickup, mobile.pickup = None, 2.0
        house.register(desk, mobile)
        house.dial(caller, "102")
        assert mobile.in_call and not desk.in_call
        house.until(lambda: "CANCEL" in desk.log, "the other stops ringing")
        assert any(b"\r\nReason: SIP;cause=200;" in data for _, _, target, data in house.network.sent
                   if target == desk.address and data.startswith(b"CANCEL")), "or it would list a missed call"
        house.run(0.7)
        house.listen(0.8)
        assert_everyone_hears_the_others([caller, mobile])
        house.settle()
        assert not desk.in_call and "BYE" not in desk.log


def test_both_telephones_answer_at_the_same_moment(line: Line) -> None:
    with House(**line) as house:
        caller = house.phone("101")
        telephones = [house.phone("102"), house.phone("102")]
        for phone in telephones:
            phone.pickup = 0.2
        house.register(*telephones)
        house.dial(caller, "102")
        house.until(lambda: sum("BYE" in phone.log for phone in telephones) == 1
                    or any("CANCEL" in phone.log for phone in telephones), "one is let go")
        house.until(lambda: sum(phone.in_call for phone in telephones) == 1, "one has the call")
        house.run(0.7)
        house.listen(0.6)
        (winner,) = [phone for phone in telephones if phone.in_call]
        assert_everyone_hears_the_others([caller, winner])
        house.settle()


@pytest.mark.parametrize(("answer", "told"), [(486, "486"), (603, "603"), (404, "480"), (488, "480")])
def test_the_called_person_refuses(answer: int, told: str, line: Line) -> None:
    with House(**line) as house:
        caller, called = house.phone("101"), house.phone("102")
        called.final_status, called.pickup = answer, 0.1
        house.register(called)
        caller.invite("102", house.now)
        house.until(lambda: f"{told} INVITE" in caller.log, "refused")
        assert called.log.count("INVITE") == 1 and not called.in_call, "nobody who refused is called again"
        house.settle()
        assert not caller.in_call and "200 INVITE" not in caller.log


def test_who_declines_on_one_telephone_declines_on_all(line: Line) -> None:
    """RFC 3261 section 16.7 step 5: a 6xx is the person's word; a busy telephone's is its own."""
    with House(**line) as house:
        caller = house.phone("101")
        desk, mobile = house.phone("102"), house.phone("102")
        desk.final_status, desk.pickup, mobile.pickup = 486, 0.1, None
        house.register(desk, mobile)
        caller.invite("102", house.now)
        house.until(lambda: "INVITE" in mobile.log, "ringing")
        house.run(2.0)
        assert "CANCEL" not in mobile.log and "486 INVITE" not in caller.log, "the other goes on ringing"
        caller.cancel(house.now)
        house.until(lambda: "CANCEL" in mobile.log, "given up")
        house.run(1.0)
        desk.final_status = 603
        caller.invite("102", house.now)
        house.until(lambda: "603 INVITE" in caller.log, "the caller is told")
        house.until(lambda: mobile.log.count("CANCEL") == 2, "the other stops ringing")
        house.settle()


def test_nobody_is_registered(line: Line) -> None:
    with House(**line) as house:
        caller = house.phone("101")
        caller.invite("102", house.now)
        house.until(lambda: "480 INVITE" in caller.log, "refused")
        assert "180" not in caller.log and not caller.in_call, "nothing rings"
        house.settle()


def test_the_caller_gives_up_while_it_rings(line: Line) -> None:
    with House(**line) as house:
        caller = house.phone("101")
        telephones = [house.phone("102"), house.phone("102")]
        for phone in telephones:
            phone.pickup = None
        house.register(*telephones)
        caller.invite("102", house.now)
        house.until(lambda: all("INVITE" in phone.log for phone in telephones), "ringing")
        caller.cancel(house.now)
        house.until(lambda: "487 INVITE" in caller.log, "over for the caller")
        house.until(lambda: all("CANCEL" in phone.log for phone in telephones), "over for the called")
        house.settle()
        assert not any(phone.in_call for phone in house.phones)


def test_the_media_worker_dies_while_a_telephone_rings(line: Line) -> None:
    with House(**line) as house:
        caller, called = house.phone("101"), house.phone("102")
        called.pickup = None
        house.register(called)
        caller.invite("102", house.now)
        house.until(lambda: "INVITE" in called.log, "ringing")
        house.kill_worker()
        house.until(lambda: "480 INVITE" in caller.log, "the caller is told")
        house.until(lambda: "CANCEL" in called.log, "it stops ringing")
        house.settle()
        assert not caller.in_call and not called.in_call


def test_nobody_answers_in_time(line: Line) -> None:
    with House(**line) as house:
        caller, called = house.phone("101"), house.phone("102")
        called.pickup = None
        house.register(called)
        caller.invite("102", house.now)
        house.until(lambda: "INVITE" in called.log, "ringing")
        house.network.run(59.0)  # nothing to hear: no need of ticks
        house.until(lambda: "480 INVITE" in caller.log, "the caller is told")
        house.until(lambda: "CANCEL" in called.log, "it stops ringing")
        house.settle()


def test_hold_between_two_people(line: Line) -> None:
    with House(**line) as house:
        caller, called = house.phone("101"), house.phone("102")
        called.pickup = 0.1
        house.register(called)
        house.dial(caller, "102")
        house.run(0.5)
        called.cseq = 100
        house.reoffer(called, "sendonly")
        house.run(0.4)
        house.listen(0.5)
        assert not caller.hears(called.pitch) and not called.packets
        house.reoffer(called, "sendrecv")
        house.run(0.7)
        house.listen(0.5)
        assert_everyone_hears_the_others([caller, called])
        house.settle()


# --- callers from outside --------------------------------------------------------------------------------------------
def test_a_caller_from_outside_keys_the_code_and_is_heard(line: Line) -> None:
    with House(ROOM, **line) as house:
        user = house.enter(house.phone("101"))
        outside = house.phone(CALLER, TRUNK_HOST)
        house.dial(outside, NUMBER)
        house.await_prompt(outside)
        outside.press("4321#")
        house.until(lambda: house.states()[CALLER] == "talking", "in")
        assert "401 INVITE" not in outside.log
        house.run(0.7)
        house.listen(0.6)
        assert_everyone_hears_the_others([user, outside])
        house.settle()


@pytest.mark.parametrize("dialled", ["0032 2 555 12 34".replace(" ", ""), "3225551234", NUMBER])
def test_an_incoming_number_without_a_code_leads_straight_in(dialled: str, line: Line) -> None:
    with House(OPEN, **line) as house:
        user = house.dial(house.phone("101"), "2002")
        outside = house.dial(house.phone(CALLER, TRUNK_HOST), dialled)
        house.until(lambda: house.states("2002") == {"101": "talking", CALLER: "talking"}, "both are in")
        house.run(0.7)
        house.listen(0.6)
        assert_everyone_hears_the_others([user, outside])
        house.settle()


def test_a_locked_room_is_spoken_to_a_caller_from_outside(line: Line) -> None:
    with House(ROOM, **line) as house:
        house.enter(house.phone("101"))
        house.console(house.conferences.lock, "2001", True)
        outside = house.dial(house.phone(CALLER, TRUNK_HOST), NUMBER)
        house.until(lambda: not outside.in_call, "hung up")
        assert house.heard(outside, "locked") and "BYE" in outside.log
        assert house.states() == {"101": "talking"}
        house.settle()


def test_a_full_room_is_spoken_to_a_caller_from_outside(line: Line) -> None:
    with House(replace(OPEN, max_participants=1), **line) as house:
        house.dial(house.phone("101"), "2002")
        house.until(lambda: house.states("2002") == {"101": "talking"}, "in")
        outside = house.dial(house.phone(CALLER, TRUNK_HOST), NUMBER)
        house.until(lambda: not outside.in_call, "hung up")
        assert house.heard(outside, "full")
        house.settle()


@pytest.mark.parametrize("dialled", ["2001", "101", "+3225559999"])
def test_a_trunk_reaches_nothing_but_incoming_numbers(dialled: str, line: Line) -> None:
    with House(ROOM, **line) as house:
        outside = house.phone(CALLER, TRUNK_HOST)
        outside.invite(dialled, house.now)
        house.until(lambda: outside.log.count("401 INVITE") == 2, "challenged, and refused with what it says")
        assert "100" not in outside.log
        house.settle()


def test_a_user_behind_the_trunks_address_proves_himself_and_is_let_in(line: Line) -> None:
    with House(ROOM, **line) as house:
        user = house.phone("101", TRUNK_HOST)
        house.register(user)
        house.enter(user)
        assert user.log.count("401 INVITE") == 1 and house.participant("101")["name"] == "User 101"
        house.settle()


def test_a_locked_room_is_spoken_to_a_caller_of_the_companys_own_exchange(line: Line) -> None:
    with House(ROOM, **line) as house:
        house.enter(house.phone("101"))
        house.console(house.conferences.lock, "2001", True)
        inside = house.dial(house.phone("33", PBX_HOST), "2001")
        house.until(lambda: not inside.in_call, "hung up")
        assert house.heard(inside, "locked") and "BYE" in inside.log
        house.settle()


@pytest.mark.parametrize("silent", [False, True])
def test_the_caller_hears_ringing_once_the_telephone_rings(silent: bool, line: Line) -> None:
    with House(**line) as house:
        caller, called = house.phone("101"), house.phone("102")
        called.pickup = None
        called.rings = not silent
        house.register(called)
        caller.invite("102", house.now)
        house.until(lambda: "INVITE" in called.log, "called")
        assert "180" not in caller.log, "nothing rings before the telephone says so"
        before = house.now
        house.until(lambda: "180" in caller.log, "the caller hears it")
        assert silent == (house.now - before > 3.0) or line
        caller.cancel(house.now)
        house.until(lambda: "CANCEL" in called.log, "it stops ringing")
        house.settle()


def test_the_companys_own_exchange_reaches_extensions(line: Line) -> None:
    with House(ROOM, **line) as house:
        inside = house.phone("33", PBX_HOST)
        house.dial(inside, "2001*4321")
        house.until(lambda: house.states() == {"33": "talking"}, "in")
        assert "401 INVITE" not in inside.log, "the exchange proves itself by its address"
        house.settle()
