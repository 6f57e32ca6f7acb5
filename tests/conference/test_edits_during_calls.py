"""The configuration is edited while people talk."""

from dataclasses import replace

from tests.conference.conftest import GUARDED, LOBBY


def test_an_edit_leaves_running_calls_alone(meet):
    at = meet(LOBBY, "101", "102")
    before = len(at.published)
    at.service.replace_directory(at.directory_of(replace(LOBBY, access_code="77", tones=False)), at.now)
    at.pump()
    assert at.states() == {"101": "talking", "102": "talking"} and len(at.published) == before
    at.dial("103", "2001", at.user("103"))
    assert at.clip("103") == ("enter-code",)


def test_a_removed_conference_goes_on_and_lets_nobody_in(meet):
    at = meet(LOBBY, "101", "102")
    at.service.replace_directory(at.directory_of(), at.now)
    at.dial("103", "2001", at.user("103"))
    assert at.rejected["103"].status == 404 and at.states() == {"101": "talking", "102": "talking"}
    assert at.service.conferences()[0]["removed"]
    at.leave("101")
    at.leave("102")
    assert at.service.conferences() == []


def test_nobody_waits_for_ever_for_a_removed_conference(meet):
    at = meet(replace(GUARDED, access_code="1"), "102", "103", "104")
    at.key("102", "1#")
    at.auto_connect = False
    at.dial("late", "2001", at.user("101"))
    at.leave("104")
    at.service.replace_directory(at.directory_of(), at.now)
    at.pump()
    assert at.clip("102") == ("conference-ended",) and at.clip("103") == ("not-available",)
    at.connect("late")
    assert at.clip("late") == ("not-available",)
    at.wait(12.0)
    assert set(at.ended) == {"102", "103", "late"} and at.service._rooms == {}


def test_an_edit_that_needs_no_administrator_any_more_lets_people_in(meet):
    at = meet(GUARDED, "102", "103")
    at.service.replace_directory(at.directory_of(replace(GUARDED, wait_for_administrator=False)), at.now)
    at.pump()
    assert at.states() == {"102": "talking", "103": "talking"}
    at.service.replace_directory(at.directory_of(GUARDED), at.now)
    assert at.states() == {"102": "talking", "103": "talking"}, "who talks goes on talking"


def test_an_edit_of_an_empty_room_holds_for_the_next_meeting(meet):
    at = meet(LOBBY)
    at.service.lock("2001", True, at.now)
    at.service.replace_directory(at.directory_of(GUARDED), at.now)
    at.service.lock("2001", False, at.now)
    at.dial("102", "2001", at.user("102"))
    assert at.states() == {"102": "waiting"}
