"""Whole visits to the receptionist, in virtual time."""

import pytest

from sipconf.conference import events as fact
from sipconf.conference.directory import ConferenceSpec

ROOM = ConferenceSpec("Stand-up", "2001", access_code="4321", administrator="101", administrator_code="987654")


@pytest.fixture
def at(house, callers):
    """A house with one coded room, and the makers of callers."""
    place = house(ROOM)
    place.user, place.outsider = callers
    return place


def test_the_right_code_lets_in(at):
    at.dial("b", "2001", at.user("102"))
    assert at.clip("b") == ("enter-code",) and at.states() == {"102": "prompting"}
    at.key("b", "4")
    assert at.clip("b") == (), "the first digit stops the prompt"
    at.key("b", "321")
    assert at.room.get("b") is None
    at.key("b", "#")
    assert at.room["b"] == "2001" and at.states() == {"102": "talking"}


def test_the_administrator_keys_the_access_code_too(at):
    at.dial("a", "2001", at.user("101"))
    assert at.clip("a") == ("enter-code",)
    at.key("a", "4321#")
    (person,) = at.service.participants("2001")
    assert person["administrator"] and person["state"] == "talking"


def test_the_administrator_code_makes_an_outsider_administrator(at):
    at.dial("t", "+3225551234", at.outsider())
    at.key("t", "987654#")
    (person,) = at.service.participants("2001")
    assert person["administrator"] and person["number"] == "+32477000001"


def test_star_clears_and_pound_alone_is_no_try(at):
    at.dial("b", "2001", at.user("102"))
    at.key("b", "##*#99*4321#")
    assert at.room["b"] == "2001" and not at.events("digit-refused")


def test_three_wrong_codes_end_the_call_once_the_farewell_is_heard(at):
    at.dial("b", "2001", at.user("102"))
    at.key("b", "1111#")
    assert at.clip("b") == ("wrong-code",)
    at.key("b", "2222#")
    assert at.clip("b") == (), "the second answer comes a second later"
    at.wait(1.1)
    assert at.clip("b") == ("wrong-code",)
    at.key("b", "3333#")
    at.wait(2.1)
    assert at.clip("b") == ("too-many-tries",) and "b" not in at.ended and at.states() == {}
    at.hear_out("b")
    assert at.ended["b"] == "too many wrong codes"
    assert len(at.events("digit-refused")) == 3 and len(at.events("left")) == 1


def test_a_farewell_that_is_never_reported_heard_ends_all_the_same(at):
    at.dial("b", "2001", at.user("102"))
    for _ in range(3):
        at.key("b", "1111#")
        at.wait(3.0)
    assert at.clip("b") == ("too-many-tries",)
    at.wait(12.0)
    assert "b" in at.ended


def test_a_farewell_reported_heard_after_the_hang_up_does_not_disturb(at):
    at.prompt_ends = False
    at.dial("b", "2001", at.user("102"))
    at.wait(4 * 27.0 + 13.0)
    assert at.stage["b"] == "ending"
    at.tell(fact.PlaybackFinished("b", at.playing["b"].playback))
    at.tell_ends()
    assert at.service.guests._guests == {}


def test_a_digit_keyed_while_wrong_code_plays_counts_for_the_next_try(at):
    at.dial("b", "2001", at.user("102"))
    at.key("b", "1111#4")
    assert at.clip("b") == ()
    at.key("b", "321#")
    assert at.room["b"] == "2001"


def test_what_is_keyed_before_the_verdict_is_spoken_counts_for_the_next_try(at):
    at.dial("b", "2001", at.user("102"))
    at.key("b", "1111#2222#4321#")  # the second verdict is held back for a second
    assert at.room.get("b") is None
    at.wait(1.0)
    assert at.room["b"] == "2001"


def test_an_unfinished_entry_of_a_codes_length_is_submitted(at):
    at.dial("b", "2001", at.user("102"))
    at.key("b", "4321")
    at.wait(7.9)
    assert at.room.get("b") is None
    at.wait(0.2)
    assert at.room["b"] == "2001"


def test_an_unfinished_entry_of_another_length_is_forgotten_and_asked_for_again(at):
    at.dial("b", "2001", at.user("102"))
    at.key("b", "432")
    at.wait(8.1)
    assert at.clip("b") == ("enter-code",) and not at.events("digit-refused")
    at.key("b", "4321#")
    assert at.room["b"] == "2001"


def test_silence_is_asked_three_times_more_and_then_ends(at):
    at.dial("b", "2001", at.user("102"))
    for repeat in range(3):
        at.hear_out("b")
        at.wait(14.9)
        assert at.clip("b") == (), repeat
        at.wait(0.2)
        assert at.clip("b") == ("enter-code",)
    at.hear_out("b")
    at.wait(15.1)
    assert at.clip("b") == ("goodbye",)
    at.hear_out("b")
    assert at.ended["b"] == "no code was keyed" and at.service.next_timer() is None


def test_a_prompt_that_is_never_reported_heard_does_not_hold_the_call(at):
    at.dial("b", "2001", at.user("102"))
    at.wait(4 * 27.0 + 13.0)
    assert "b" in at.ended


def test_the_code_in_the_dialled_number(at):
    at.dial("b", "2001*4321", at.user("102"))
    at.dial("c", "2001,,4321", at.user("103"))
    at.dial("t", "+3225551234*987654", at.outsider())
    assert at.room == {"b": "2001", "c": "2001", "t": "2001"}
    assert not at.events("prompting") and "enter-code" not in sum(at.heard.values(), [])
    assert [p["administrator"] for p in at.service.participants("2001")] == [False, False, True]


def test_a_wrong_code_in_the_dialled_number_is_a_try(at):
    at.dial("b", "2001*1111", at.user("102"))
    assert at.clip("b") == ("wrong-code", "enter-code")
    at.key("b", "2222#")
    at.wait(1.1)
    assert at.clip("b") == ("wrong-code",)
    at.key("b", "3333#")
    at.wait(2.1)
    assert at.clip("b") == ("too-many-tries",)


def test_an_endless_entry_is_wrong_though_it_begins_right(house, callers):
    place = house(ConferenceSpec("Long", "2001", access_code="1" * 32))
    place.dial("b", "2001", callers[0]("102"))
    place.key("b", "1" * 33 + "#")
    assert place.clip("b") == ("wrong-code",)
    place.key("b", "1" * 32 + "#")
    assert place.room["b"] == "2001"


def test_a_room_without_a_code_asks_nothing(house, callers):
    place = house(ConferenceSpec("Lobby", "2001"))
    place.dial("b", "2001", callers[0]("102"))
    place.dial("t", "+3225551234", callers[1]())
    place.dial("c", "2001*77", callers[0]("103"))
    assert place.room == {"b": "2001", "t": "2001", "c": "2001"} and not place.events("digit-refused")


def test_a_guess_at_the_administrators_code_of_an_open_room_is_charged(house, callers):
    place = house(ConferenceSpec("Lobby", "2001", administrator_code="9876"))
    place.dial("b", "2001*1111", callers[0]("102"))
    assert place.room["b"] == "2001" and len(place.events("digit-refused")) == 1
    place.dial("c", "2001*9876", callers[0]("103"))
    assert [p["administrator"] for p in place.service.participants("2001")] == [False, True]


def test_codes_changed_by_an_edit_count_at_once(at):
    at.dial("b", "2001", at.user("102"))
    at.key("b", "55")
    at.service.replace_directory(at.directory_of(ConferenceSpec("Stand-up", "2001", access_code="55")), at.now)
    at.wait(8.1)
    assert at.room["b"] == "2001"


def test_a_caller_who_gives_up_at_any_moment_leaves_nothing_behind(at):
    at.auto_connect = False
    for number, keys in enumerate(["", None, "4", "1111#", "11#11#", "11#11#11#"]):
        call = f"c{number}"
        at.dial(call, "2001", at.user(str(102 + number % 3)))
        if keys is not None:
            at.connect(call)
            at.key(call, keys)
        at.leave(call)
        at.wait(60.0)
        assert at.service.next_timer() is None and at.service.participants("2001") == []
    assert "c0" not in at.ended


def test_late_words_about_a_call_that_is_over_are_ignored(at):
    at.dial("b", "2001", at.user("102"))
    at.leave("b")
    at.key("b", "4321#")
    assert at.service.take_outputs() == []


def test_digits_never_reach_what_is_published_or_shown(at):
    at.dial("b", "2001*999111", at.user("102"))
    at.key("b", "888222#")
    at.wait(2.0)
    at.key("b", "4321#")
    words = repr(at.published) + repr(vars(at.service)) + repr(at.service.guests._guests["b"].person.keypad)
    assert not any(code in words for code in ("999111", "888222", "4321", "987654"))


def test_a_farewell_that_ends_late_does_not_take_the_next_meeting_along(house, callers):
    at = house(ConferenceSpec("Lobby", "2001"))
    user, _ = callers
    at.dial("a", "2001", user("101"))
    at.service.kick("2001", at.id_of("101"), at.now)
    at.pump()
    at.dial("b", "2001", user("102"))
    at.hear_out("a")
    assert at.stage["a"] == "over" and at.states() == {"102": "talking"}
    at.dial("c", "2001", user("103"))
    assert at.states() == {"102": "talking", "103": "talking"}
