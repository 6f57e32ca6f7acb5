"""Whole meetings: who hears whom and what everybody is told."""

from dataclasses import replace

import pytest

from sipconf.conference import events as fact
from sipconf.conference.service import ConferenceSettings, UnknownConference, UnknownParticipant
from sipconf.errors import MisuseError
from tests.conference.conftest import GUARDED, LOBBY


# --- coming and going ------------------------------------------------------------------------------------------------
def test_the_first_is_told_to_be_alone_and_the_second_is_announced_by_a_tone(meet):
    at = meet(LOBBY, "101")
    assert at.clip("101") == ("only-person",) and at.to_room == []
    at.hear_out("101")
    at.dial("102", "2001", at.user("102"))
    assert at.to_room == [("2001", "join-tone")] and at.clip("102") == ()
    at.leave("102")
    assert at.to_room[1:] == [("2001", "leave-tone")]
    at.leave("101")
    assert len(at.to_room) == 2, "nobody is left to hear a tone"


def test_tones_and_the_announcement_can_be_switched_off(meet):
    at = meet(replace(LOBBY, tones=False, announce_alone=False), "101", "102")
    at.leave("102")
    assert at.to_room == [] and at.heard == {}


def test_voices_are_treated_as_the_room_says_and_an_edit_is_heard_at_once(meet):
    at = meet(LOBBY, "101")
    at.dial("102", "2001", at.user("102"))
    assert at.treated == {"101": (True, True), "102": (True, True)}
    at.service.replace_directory(at.directory_of(replace(LOBBY, level_matching=False)), at.now)
    at.pump()
    assert at.treated == {"101": (False, True), "102": (False, True)}
    at.service.replace_directory(at.directory_of(replace(LOBBY, guards=False)), at.now)
    at.pump()
    assert at.treated == {"101": (True, False), "102": (True, False)}


def test_a_guarded_voice_is_shown_with_the_reason_and_apart_from_a_mute(meet):
    at = meet(LOBBY, "101")
    at.tell(fact.GuardChanged("101", "hold music"))
    at.tell(fact.GuardChanged("101", "hold music"))
    (shown,) = at.service.participants("2001")
    assert shown["guard"] == "hold music" and shown["muted"] is False
    at.tell(fact.GuardChanged("101", None))
    told = [p.data["participant"]["guard"] for p in at.published if p.event == "guarded"]
    assert told == ["hold music", None]
    assert at.service.participants("2001")[0]["guard"] is None


def test_a_guard_is_forgotten_with_the_room_it_was_in(meet):
    at = meet(replace(GUARDED, when_administrator_leaves="wait"), "101", "102")
    at.tell(fact.GuardChanged("102", "echo"))
    at.leave("101")
    assert at.states() == {"102": "waiting"} and at.service.participants("2001")[0]["guard"] is None
    at.tell(fact.GuardChanged("102", None))
    assert [p.event for p in at.published].count("guarded") == 1


def test_what_is_published(meet):
    at = meet(LOBBY, "101")
    at.service.describe_call("101", codec="PCMA", transport="udp")
    at.tell(fact.SpeakingChanged("101", True, -21.26))
    at.leave("101")
    assert [p.event for p in at.published] == ["joined", "speaking", "left", "ended"]
    spoke = at.published[1].data
    assert spoke == {"conference": "2001", "participant": {
        "id": spoke["participant"]["id"], "name": "Alice", "number": "101", "administrator": False, "muted": False,
        "speaking": True, "level_db": -21.3, "codec": "PCMA", "transport": "udp",
        "joined_at": "2023-11-14T22:30:00.000+00:00", "state": "talking", "held": False, "guard": None,
        "guest": False}}
    assert at.published[3].data == {"conference": "2001"}
    assert at.service._rooms == {} and at.service.guests._guests == {}


def test_speaking_is_published_only_when_it_changes(meet):
    at = meet(LOBBY, "101")
    for speaking, level in ((True, -20.0), (True, -10.0), (False, float("-inf"))):
        at.tell(fact.SpeakingChanged("101", speaking, level))
    assert [p.data["participant"]["speaking"] for p in at.events("speaking")] == [True, False]
    assert at.service.participants("2001")[0]["level_db"] == -127.0


def test_hold_is_shown_and_a_held_telephone_does_not_speak(meet):
    at = meet(LOBBY, "101")
    at.tell(fact.SpeakingChanged("101", True, -20.0))
    at.tell(fact.HoldChanged("101", True))
    at.tell(fact.SpeakingChanged("101", True, -20.0))
    (person,) = at.service.participants("2001")
    assert person["held"] and not person["speaking"] and len(at.events("held")) == 1
    at.tell(fact.HoldChanged("101", False))
    assert not at.service.participants("2001")[0]["held"]


# --- locked and full -------------------------------------------------------------------------------------------------
def test_a_locked_room(meet):
    at = meet(replace(LOBBY, administrator="104"), "101")
    at.service.lock("2001", True, at.now)
    at.service.lock("2001", True, at.now)
    at.dial("102", "2001", at.user("102"))
    assert (at.rejected["102"].status, at.rejected["102"].reason) == (403, "This conference is locked")
    at.dial("t", "+3225551234", at.outsider())
    assert at.clip("t") == ("locked",) and at.states() == {"101": "talking"}
    at.hear_out("t")
    assert "t" in at.ended and len(at.events("left")) == 0
    at.dial("104", "2001", at.user("104"))
    assert at.room["104"] == "2001", "the administrator may enter"
    at.service.lock("2001", False, at.now)
    at.dial("103", "2001", at.user("103"))
    assert at.room["103"] == "2001" and [p.data["locked"] for p in at.events("locked")] == [True, False]


def test_a_lock_ends_with_the_meeting_and_waits_for_one(meet):
    at = meet()
    at.service.lock("2001", True, at.now)
    assert at.service.conferences()[0]["locked"]
    at.dial("102", "2001", at.user("102"))
    assert "102" in at.rejected
    at.service.lock("2001", False, at.now)
    at.dial("101", "2001", at.user("101"))
    at.service.lock("2001", True, at.now)
    at.leave("101")
    assert not at.service.conferences()[0]["locked"]


def test_a_full_room(meet):
    at = meet(replace(LOBBY, max_participants=2), "101", "102")
    at.dial("103", "2001", at.user("103"))
    assert (at.rejected["103"].status, at.rejected["103"].reason) == (403, "This conference is full")
    at.dial("t", "+3225551234", at.outsider())
    assert at.clip("t") == ("full",)
    at.wait(12.0)
    assert "t" in at.ended
    at.leave("101")
    at.dial("104", "2001", at.user("104"))
    assert at.room["104"] == "2001"


def test_a_room_locked_or_filled_while_the_code_is_keyed(meet):
    at = meet(replace(LOBBY, access_code="1", max_participants=1), "101", "102", "103")
    at.key("101", "1#")
    at.key("102", "1#")
    assert at.clip("102") == ("full",)
    at.service.lock("2001", True, at.now)
    at.key("103", "1#")
    assert at.clip("103") == ("locked",)


def test_a_room_locked_between_a_dialled_code_and_the_connection(meet):
    at = meet(replace(LOBBY, access_code="1"), auto_connect=False)
    at.dial("101", "2001*1", at.user("101"))
    at.service.lock("2001", True, at.now)
    at.connect("101")
    assert at.clip("101") == ("locked",) and [p.event for p in at.published] == ["locked"]


# --- the console -----------------------------------------------------------------------------------------------------
def test_mute_and_unmute_are_told_to_the_person(meet):
    at = meet(LOBBY, "101", "102")
    someone = at.id_of("102")
    at.service.mute("2001", someone, True, at.now)
    at.service.mute("2001", someone, True, at.now)
    at.pump()
    assert at.muted["102"] and at.clip("102") == ("muted",) and len(at.events("muted")) == 1
    at.service.mute("2001", someone, False, at.now)
    at.pump()
    assert not at.muted["102"] and at.clip("102") == ("unmuted",)


def test_a_mute_while_waiting_holds_in_the_room_and_the_music_comes_back(meet):
    at = meet(GUARDED, "102")
    at.hear_out("102")
    at.service.mute("2001", at.id_of("102"), True, at.now)
    at.pump()
    assert at.clip("102") == ("muted",)
    at.hear_out("102")
    assert at.clip("102") == ("music",)
    at.muted.clear()
    at.dial("101", "2001", at.user("101"))
    assert at.muted["102"], "said once more in the room"


def test_kick(meet):
    at = meet(LOBBY, "101", "102")
    at.service.kick("2001", at.id_of("102"), at.now)
    at.pump()
    assert at.room["102"] is None and at.clip("102") == ("kicked",) and at.states() == {"101": "talking"}
    assert at.to_room[-1] == ("2001", "leave-tone")
    at.hear_out("102")
    assert at.ended["102"] and len(at.events("left")) == 1


def test_kick_of_the_administrator_and_of_somebody_with_the_receptionist(meet):
    at = meet(replace(GUARDED, access_code="1", when_administrator_leaves="end"), "101", "102", "103")
    at.key("101", "1#")
    at.key("102", "1#")
    at.service.kick("2001", at.id_of("103"), at.now)
    at.service.kick("2001", at.id_of("101"), at.now)
    at.pump()
    assert at.clip("101") == at.clip("103") == ("kicked",) and at.clip("102") == ("conference-ended",)
    at.key("103", "1#")
    at.wait(12.0)
    assert set(at.ended) == {"101", "102", "103"} and at.service._rooms == {}


def test_unknown_names(meet):
    at = meet(LOBBY, "101")
    for verb in (at.service.kick, lambda c, p, now: at.service.mute(c, p, True, now)):
        with pytest.raises(UnknownConference):
            verb("2009", at.id_of("101"), at.now)
        with pytest.raises(UnknownParticipant):
            verb("2001", "p-0", at.now)
    with pytest.raises(UnknownConference):
        at.service.lock("2009", True, at.now)
    with pytest.raises(UnknownConference):
        at.service.participants("2009")
    with pytest.raises(MisuseError):
        at.service.receive(fact.CallArrived("101", "2001", at.user("101")), at.now)


def test_the_list_of_conferences(meet):
    at = meet(replace(LOBBY, access_code="1"), "101", "102")
    at.key("101", "1#")
    assert at.service.conferences() == [{
        "extension": "2001", "name": "Lobby", "participants": 2, "waiting": 0, "talking": 1, "locked": False,
        "recording": False, "removed": False}]


def test_more_calls_than_the_house_holds(meet):
    at = meet(LOBBY, "101", settings=ConferenceSettings(max_calls=1))
    at.dial("102", "2001", at.user("102"))
    assert at.rejected["102"].status == 503 and at.rejected["102"].retry_after


def test_a_number_that_is_nobodys(meet):
    at = meet()
    at.dial("101", "2999", at.user("101"))
    at.dial("t", "+32999999999", at.outsider())
    assert at.rejected["101"].status == at.rejected["t"].status == 404
