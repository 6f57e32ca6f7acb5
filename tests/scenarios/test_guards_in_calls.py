"""A line that plays something steady into a conference: taken out, told with the reason, put back; and an edit that
switches guards on and off in the middle of the call."""

import logging

import pytest

from sipconf.conference.directory import ConferenceSpec, Directory, UserSpec
from tests.sim.house import House, assert_everyone_hears_the_others

ROOM = ConferenceSpec("Open", "2001")


def test_hold_music_is_taken_out_told_and_put_back_and_an_edit_switches_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "sipconf.line")
    with House(ROOM) as house:
        phones = [house.dial(house.phone(name), "2001") for name in ("101", "102")]
        house.run(12.0)
        assert not house.events("guarded"), "the room's guards are off"
        guarded = Directory([UserSpec("101", "A"), UserSpec("102", "B")], [ROOM])
        house.console(house.conferences.replace_directory, guarded)
        house.run(10.0)
        told = [event.data["participant"] for event in house.published if event.event == "guarded"]
        assert {(person["number"], person["guard"], person["muted"]) for person in told} == {
            ("101", "hold music", False), ("102", "hold music", False)}
        lines = [record for record in caplog.records if "hold music" in record.getMessage()]
        assert len(lines) == 2 and all(record.call for record in lines)
        assert lines[0].getMessage() == "taken out of the room's sound: the line plays hold music into it"
        house.console(house.conferences.replace_directory, house.directory(ROOM))
        house.run(0.2)
        assert [person["guard"] for person in house.conferences.participants("2001")] == [None, None]
        assert sum("heard in the room again" in record.getMessage() for record in caplog.records) == 2
        house.listen(1.5)
        assert_everyone_hears_the_others(phones)
