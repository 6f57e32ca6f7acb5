"""A user dials a user: two telephones, one private room."""

import pytest

from sipconf.conference import events as fact
from sipconf.conference.directory import ConferenceSpec


@pytest.fixture
def at(house, callers):
    place = house(ConferenceSpec("Lobby", "2001"))
    place.user, place.outsider = callers
    return place


def ring(at, caller=None):
    at.dial("a", "102", caller or at.user("101"))
    (out,) = at.called_out
    assert out.extension == "102" and "a" not in at.ringing, "no telephone rings yet"
    at.tell(fact.OutgoingRinging(out.call))
    assert "a" in at.ringing
    return out


def test_the_caller_hears_ringing_when_the_telephone_rings_or_says_nothing_for_long(at):
    at.dial("a", "102", at.user("101"))
    at.wait(3.9)
    assert at.ringing == set()
    at.wait(0.2)
    assert at.ringing == {"a"}, "many telephones give no sign of life of their own"
    (out,) = at.called_out
    at.ringing.clear()
    for _ in range(2):
        at.tell(fact.OutgoingRinging(out.call))
    assert at.ringing == set(), "once is enough"
    at.stage[out.call] = "up"
    at.tell(fact.OutgoingAnswered(out.call))
    at.connect("a")
    assert at.room["a"] == at.room[out.call] is not None and at.service.next_timer() is None


def test_a_telephone_that_answers_or_refuses_at_once_never_rang(at):
    for call, event in (("a", fact.OutgoingAnswered), ("b", lambda out: fact.OutgoingFailed(out, 486))):
        at.dial(call, "102", at.user("101"))
        out = at.called_out[-1]
        at.stage[out.call] = "up" if call == "a" else "over"
        at.tell(event(out.call))
        at.wait(10.0)
    assert at.ringing == set() and at.service.next_timer() is None
    assert (at.stage["a"], at.rejected["b"].status) == ("answered", 486)


def test_what_a_trunk_may_dial_unproven(at):
    serves = at.service.serves
    assert serves("+3225551234", "provider", False) and serves("+3225551234*4321", "provider", False)
    assert not any(serves(dialled, "provider", False) for dialled in ("2001", "102", "+3225559999", ""))
    assert serves("2001*4321", "pbx", True) and serves("102", "pbx", True) and not serves("2999", "pbx", True)


def test_two_people_talk_without_code_or_tones(at):
    out = ring(at)
    assert (out.caller_number, out.caller_name) == ("101", "Alice"), "the name is the directory's, not the telephone's"
    at.stage[out.call] = "up"
    at.tell(fact.OutgoingAnswered(out.call))
    assert at.stage["a"] == "answered"
    at.connect("a")
    assert at.room["a"] == at.room[out.call] and at.room["a"] not in ("2001", None)
    assert at.heard == {} and at.to_room == []
    at.wait(3600.0)
    assert at.ended == {}


@pytest.mark.parametrize("first", ["caller", "called"])
def test_one_hangs_up_and_the_other_is_hung_up(at, first):
    out = ring(at)
    at.stage[out.call] = "up"
    at.tell(fact.OutgoingAnswered(out.call))
    at.connect("a")
    first, other = ("a", out.call) if first == "caller" else (out.call, "a")
    at.leave(first)
    assert set(at.ended) == {other} and not at.service.private


@pytest.mark.parametrize("status, answer, word", [
    (486, 486, "busy"), (600, 486, "busy"), (603, 603, "does not want"), (480, 480, "cannot be reached"),
    (408, 480, "does not answer"), (404, 480, "cannot be reached"), (488, 480, "cannot be reached"),
    (401, 480, "cannot be reached"), (503, 480, "cannot be reached"),
])
def test_the_caller_is_told_why_not(at, status, answer, word):
    out = ring(at)
    at.stage[out.call] = "over"
    at.tell(fact.OutgoingFailed(out.call, status))
    assert at.rejected["a"].status == answer and word in at.rejected["a"].reason
    assert "Bob" in at.rejected["a"].reason and not at.service.private and at.service.next_timer() is None


def test_the_caller_gives_up(at):
    out = ring(at)
    at.leave("a")
    assert set(at.ended) == {out.call} and not at.service.private and at.service.next_timer() is None


def test_a_minute_of_ringing_is_enough(at):
    out = ring(at)
    at.wait(59.9)
    assert not at.rejected
    at.wait(0.2)
    assert at.rejected["a"].status == 480 and set(at.ended) == {out.call} and not at.service.private


@pytest.mark.parametrize("who", ["caller", "called"])
def test_an_end_between_answer_and_connection(at, who):
    out = ring(at)
    at.stage[out.call] = "up"
    at.tell(fact.OutgoingAnswered(out.call))
    at.leave("a" if who == "caller" else out.call)
    assert set(at.ended) == {out.call if who == "caller" else "a"} and not at.service.private


def test_nobody_rings_his_own_telephone(at):
    at.dial("a", "101", at.user("101"))
    assert at.rejected["a"].status == 486 and at.called_out == []


def test_a_stranger_rings_nobody_and_the_companys_exchange_does(at):
    at.dial("t", "102", at.outsider())
    assert at.rejected["t"].status == 404 and at.called_out == []
    ring(at, at.outsider(peer=True))


def test_events_of_media_do_not_disturb(at):
    out = ring(at)
    at.stage[out.call] = "up"
    at.tell(fact.OutgoingAnswered(out.call))
    at.connect("a")
    at.key("a", "123#")
    at.tell(fact.SpeakingChanged("a", True, -20.0))
    at.tell(fact.HoldChanged(out.call, True))
    at.service.describe_call("a", codec="PCMA", transport="udp")
    assert at.published == []
