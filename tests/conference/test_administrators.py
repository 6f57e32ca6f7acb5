"""Meetings with an administrator: who waits for him, what his code opens, and what happens when he leaves."""

from dataclasses import replace

import pytest

from tests.conference.conftest import GUARDED


def test_people_wait_with_music_until_the_administrator_comes(meet):
    at = meet(GUARDED, "102", "103")
    assert at.clip("102") == ("wait-for-administrator",) and at.room.get("102") is None
    at.hear_out("102")
    assert at.clip("102") == ("music",) and at.playing["102"].loop
    assert at.states() == {"102": "waiting", "103": "waiting"} and at.to_room == []
    at.dial("101", "2001", at.user("101"))
    assert at.room == {"101": "2001", "102": "2001", "103": "2001"} and at.clip("102") == at.clip("103") == ()
    assert at.to_room == [("2001", "join-tone")]
    at.dial("104", "2001", at.user("104"))
    assert at.room["104"] == "2001"


def test_an_administrator_who_comes_first_is_alone_and_the_next_talks_at_once(meet):
    at = meet(GUARDED, "101", "102")
    assert at.heard == {"101": ["only-person"]} and at.room["102"] == "2001"


def test_the_administrator_code_may_be_keyed_while_waiting(meet):
    at = meet(GUARDED, "102")
    at.hear_out("102")
    at.key("102", "12*1111#")
    assert at.clip("102") == ("wrong-code",) and len(at.events("digit-refused")) == 1
    at.hear_out("102")
    assert at.clip("102") == ("music",)
    at.key("102", "9876#")
    assert at.room["102"] == "2001" and at.service.participants("2001")[0]["administrator"]


def guess_while_waiting(at):
    at.key("102", "1111#2222#9876#")
    assert at.room.get("102") is None, "keys are not looked at for a second after the second wrong code"
    for _ in range(8):
        at.wait(10.0)
        at.key("102", "3333#")


def test_guessing_while_waiting_locks_out_of_a_coded_room(meet):
    at = meet(replace(GUARDED, access_code="4"), "102")
    at.key("102", "4#4#")
    assert not at.events("digit-refused"), "the access code once more is no guess"
    guess_while_waiting(at)
    assert at.clip("102") == ("too-many-tries",)
    at.hear_out("102")
    at.dial("again", "2001*9876", at.user("102"))
    assert at.rejected["again"].status == 403


def test_guessing_while_waiting_in_a_room_without_a_code_is_in_vain(meet):
    at = meet(GUARDED, "102")
    guess_while_waiting(at)
    at.wait(10.0)
    at.key("102", "9876#")
    at.dial("again", "2001*9876", at.user("102"))
    assert set(at.states().values()) == {"waiting"}, "locked out: a code is not even looked at"
    at.wait(300.0)
    at.key("102", "9876#")
    assert set(at.states().values()) == {"talking"}


@pytest.mark.parametrize("spec", [GUARDED, replace(GUARDED, wait_for_administrator=False)])
def test_wait_when_the_administrator_leaves(meet, spec):
    at = meet(replace(spec, when_administrator_leaves="wait"), "101", "102", "103")
    at.leave("101")
    assert at.room["102"] is None and at.clip("102") == ("administrator-left",)
    assert at.states() == {"102": "waiting", "103": "waiting"}
    at.hear_out("102")
    assert at.clip("102") == ("music",)
    at.dial("104", "2001", at.user("104"))
    assert at.states()["104"] == "waiting"
    at.dial("back", "2001", at.user("101"))
    assert set(at.states().values()) == {"talking"}


def test_an_open_room_that_went_back_to_waiting_is_open_again_for_the_next_meeting(meet):
    spec = replace(GUARDED, wait_for_administrator=False, when_administrator_leaves="wait")
    at = meet(spec, "101", "102")
    at.leave("101")
    at.dial("103", "2001", at.user("103"))
    assert at.states() == {"102": "waiting", "103": "waiting"}
    at.auto_connect = False
    at.dial("104", "2001", at.user("104"))
    at.leave("102")
    at.leave("103")
    at.connect("104")
    assert at.states() == {"104": "talking"}


def test_end_when_the_administrator_leaves(meet):
    at = meet(replace(GUARDED, when_administrator_leaves="end"), "101", "102", "103")
    at.leave("101")
    assert at.clip("102") == at.clip("103") == ("conference-ended",) and at.room["102"] is None
    assert at.service.participants("2001") == [] and len(at.events("ended")) == 1 and len(at.events("left")) == 3
    at.hear_out("102")
    at.wait(12.0)
    assert set(at.ended) == {"102", "103"}
    at.dial("late", "2001", at.user("104"))
    assert at.states() == {"104": "waiting"}


def test_continue_when_the_administrator_leaves(meet):
    at = meet(GUARDED, "101", "102", "103")
    at.leave("101")
    at.dial("104", "2001", at.user("104"))
    assert set(at.states().values()) == {"talking"} and at.to_room[-2] == ("2001", "leave-tone")
    for call in ("102", "103", "104"):
        at.leave(call)
    at.dial("next", "2001", at.user("102"))
    assert at.states() == {"102": "waiting"}, "the next meeting waits for the administrator again"


def test_a_second_administrator_keeps_the_meeting_going(meet):
    at = meet(replace(GUARDED, when_administrator_leaves="end"), "101", "102")
    at.dial("t", "+3225551234*9876", at.outsider())
    at.leave("101")
    assert at.room["102"] == "2001" and at.room["t"] == "2001"
    at.leave("t")
    assert at.clip("102") == ("conference-ended",)


def test_the_administrator_is_not_shut_out_by_those_who_wait_for_him(meet):
    at = meet(replace(GUARDED, max_participants=2), "102", "103", "101")
    assert set(at.states().values()) == {"talking"}
