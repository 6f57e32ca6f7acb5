"""Transfers: into a conference somebody is invited, of two who talk one is put through to a third, or to the other end
of a second call."""

import pytest

from sipconf.conference import events as fact
from sipconf.conference.directory import ConferenceSpec

ROOM, CODED = ConferenceSpec("Weekly", "2001"), ConferenceSpec("Secret", "2002", access_code="4321")
LIMITED = ConferenceSpec("Small", "2003", administrator="104", max_participants=1)


NOT_RUNG = [
    (503, fact.NotRung.NO_LINE, (503, "All lines are busy, please try again in a moment")),
    (480, fact.NotRung.NOT_CONNECTED, (480, "No telephone of Bob is connected")),
    (480, fact.NotRung.NOT_ENCRYPTED, (480, "No telephone of Bob can be called encrypted")),
]
"""Status and reason of an outgoing call that rang nowhere, and what becomes of them."""


@pytest.fixture
def at(house, callers):
    place = house(ROOM, CODED, LIMITED)
    place.user, place.outsider = callers
    return place


def refer(at, call, target, name="r", takes_over=None):
    at.tell(fact.TransferAsked(call, name, target, takes_over))


def statuses(at):
    return [(call, status) for call, _, status, _ in at.news]


def talk(at, call="a", caller="101", called="102"):
    """A user has called another; the other's call."""
    at.dial(call, called, at.user(caller))
    out = at.called_out[-1].call
    pick_up(at, out)
    at.connect(call)
    assert at.room[call] == at.room[out] is not None
    return out


def pick_up(at, out):
    at.stage[out] = "up"
    at.tell(fact.OutgoingAnswered(out))


def fail(at, out, status):
    at.stage[out] = "over"
    at.tell(fact.OutgoingFailed(out, status))


# --- into a conference -----------------------------------------------------------------------------------------------
def test_the_invited_person_is_in_without_a_code(at):
    at.dial("a", "2002*4321", at.user("101"))
    at.hear_out("a")
    refer(at, "a", "102")
    (out,) = at.called_out
    assert (out.extension, out.caller_number, out.caller_name, out.room) == ("102", "2002", "Secret", "2002")
    assert at.states("2002") == {"101": "talking", "102": "ringing"}
    assert at.events("ringing")[-1].data["participant"]["name"] == "Bob"
    at.tell(fact.OutgoingRinging(out.call))
    pick_up(at, out.call)
    assert statuses(at) == [("a", 100), ("a", 180), ("a", 200)] and at.room[out.call] == "2002"
    assert at.states("2002") == {"101": "talking", "102": "talking"}
    joined = at.events("joined")[-1].data["participant"]
    assert joined["number"] == "102" and joined["joined_at"] and at.service.next_timer() is None


def test_the_invited_person_is_rung_encrypted_where_the_conference_is(house, callers):
    at = house(ConferenceSpec("Vault", "2001", encrypted=True))
    at.dial("a", "2001", callers[0]("101"))
    refer(at, "a", "102")
    assert at.called_out[0].encrypted


def test_who_transferred_may_leave_at_once(at):
    """As the Odoo widget does; then nobody is told, and the other comes all the same."""
    at.dial("a", "2001", at.user("101"))
    refer(at, "a", "102")
    at.leave("a")
    (out,) = at.called_out
    pick_up(at, out.call)
    assert at.room[out.call] == "2001" and at.clip(out.call) == ("only-person",)
    at.leave(out.call)
    assert not at.service.guests and at.service._rooms == {}


@pytest.mark.parametrize(
    ("status", "why", "told"),
    [(486, None, (486, "Bob is busy")), (480, None, (480, "Bob cannot be reached at the moment")),
     (603, None, (603, "Bob does not want to take the call")), *NOT_RUNG],
)
def test_who_does_not_come(at, status, why, told):
    at.dial("a", "2001", at.user("101"))
    refer(at, "a", "102")
    (out,) = at.called_out
    at.stage[out.call] = "over"
    at.tell(fact.OutgoingFailed(out.call, status, why))
    assert at.news[-1][2:] == told
    assert at.states() == {"101": "talking"} and at.events("left")[-1].data["participant"]["number"] == "102"
    assert at.service.next_timer() is None


def test_who_does_not_answer(at):
    at.dial("a", "2001", at.user("101"))
    refer(at, "a", "102")
    at.wait(61.0)
    (out,) = at.called_out
    assert at.ended == {out.call: "nobody answered"} and at.states() == {"101": "talking"}
    assert [status for _, status in statuses(at)] == [100, 480]


def test_who_is_kicked_while_it_rings(at):
    at.dial("a", "2001", at.user("101"))
    refer(at, "a", "102")
    at.service.kick("2001", at.id_of("102"), at.now)
    at.pump()
    assert list(at.ended) == [at.called_out[0].call] and at.states() == {"101": "talking"}


def test_a_room_that_has_filled_or_gone_while_it_rang(at):
    at.dial("a", "2001", at.user("101"))
    refer(at, "a", "102")
    at.service.lock("2001", True, at.now)
    pick_up(at, at.called_out[0].call)
    assert at.clip(at.called_out[0].call) == ("locked",) and at.states() == {"101": "talking"}


@pytest.mark.parametrize(
    ("target", "status", "words"),
    [("101", 486, "your own"), ("2002*4321", 403, "conference"), ("+3225559999", 403, "numbers"),
     ("003225559999", 403, "numbers"), ("0475123456", 403, "numbers"), ("199", 403, "no such extension"),
     ("", 403, "no such extension"), ("102*4321", 403, "no such extension"), ("x" * 500, 403, "no such extension")],
)
def test_whom_nobody_can_be_put_through_to(at, target, status, words):
    for conference in (True, False):
        at.news.clear()
        if conference:
            at.dial("a", "2001", at.user("101"))
        else:
            at.leave("a")
            talk(at, "b", called="103")
            at.called_out.clear()
        refer(at, "a" if conference else "b", target)
        (_, _, told, reason), = at.news
        assert told == status and words in reason and at.called_out == []


def test_who_may_not_transfer(at):
    at.dial("waiting", "2002", at.user("101"))
    at.dial("outside", "+3225551234", at.outsider())
    for call, words in (("waiting", "once you are connected"), ("outside", "an extension of ours")):
        refer(at, call, "102")
        assert at.news[-1][2] == 403 and words in at.news[-1][3]
    refer(at, "nobody's", "102")
    assert at.called_out == []


def test_closed_doors_are_closed_to_the_invited_too(at):
    at.dial("a", "2003", at.user("101"))
    refer(at, "a", "102")
    assert at.news == [("a", "r", 403, "This conference is full")] and at.called_out == []
    at.dial("d", "2003", at.user("104"))
    refer(at, "d", "102")
    assert len(at.called_out) == 1, "its administrator decides"


def test_nobody_is_invited_twice(at):
    at.dial("a", "2001", at.user("101"))
    for _ in range(2):
        refer(at, "a", "102")
    assert len(at.called_out) == 1 and at.news[-1][2:] == (486, "Bob is being called already")


# --- of two who talk -------------------------------------------------------------------------------------------------
def test_put_through_while_the_one_who_wants_it_stays(at):
    bob = talk(at)
    refer(at, "a", "103")
    carol = at.called_out[-1]
    assert (carol.extension, carol.caller_number, carol.caller_name) == ("103", "102", "Bob")
    at.tell(fact.OutgoingRinging(carol.call))
    assert at.room["a"] == at.room[bob], "they talk on"
    pick_up(at, carol.call)
    assert statuses(at) == [("a", 100), ("a", 180), ("a", 200)]
    assert list(at.ended) == ["a"] and at.room[bob] == at.room[carol.call] is not None
    at.leave(carol.call)
    assert bob in at.ended and not at.service.private and at.service.next_timer() is None


def test_put_through_by_one_who_leaves_at_once(at):
    """The called one does it, for a change, and the other hears music until somebody is there."""
    bob = talk(at)
    refer(at, bob, "103")
    at.leave(bob)
    assert at.room["a"] is None and at.playing["a"].loop and at.clip("a") == ("music",)
    carol = at.called_out[-1].call
    at.tell(fact.OutgoingRinging(carol))
    pick_up(at, carol)
    assert at.playing["a"] is None and at.room["a"] == at.room[carol] is not None
    at.leave("a")
    assert carol in at.ended and not at.service.private


@pytest.mark.parametrize("gone", [False, True])
@pytest.mark.parametrize("how", ["busy", "no answer"])
def test_the_third_does_not_come(at, gone, how):
    bob = talk(at)
    refer(at, "a", "103")
    if gone:
        at.leave("a")
    carol = at.called_out[-1].call
    if how == "busy":
        fail(at, carol, 486)
    else:
        at.wait(61.0)
        assert carol in at.ended
    if gone:
        assert bob in at.ended and not at.service.private
    else:
        assert statuses(at)[-1] == ("a", 486 if how == "busy" else 480) and at.room["a"] == at.room[bob] is not None
        refer(at, "a", "103", "again")  # it is the call that it was
        pick_up(at, at.called_out[-1].call)
        assert at.room[at.called_out[-1].call] == at.room[bob]
    assert at.service.next_timer() is None


@pytest.mark.parametrize(("status", "why", "told"), NOT_RUNG)
def test_where_no_telephone_rings_it_is_said_why(at, status, why, told):
    talk(at, called="103")
    refer(at, "a", "102")
    at.stage[at.called_out[-1].call] = "over"
    at.tell(fact.OutgoingFailed(at.called_out[-1].call, status, why))
    assert at.news[-1][2:] == told
    at.dial("d", "102", at.user("104"))
    at.stage[at.called_out[-1].call] = "over"
    at.tell(fact.OutgoingFailed(at.called_out[-1].call, status, why))
    assert (at.rejected["d"].status, at.rejected["d"].reason) == told


@pytest.mark.parametrize("gone", [False, True])
def test_who_was_to_be_put_through_hangs_up(at, gone):
    bob = talk(at)
    refer(at, "a", "103")
    if gone:
        at.leave("a")
    at.leave(bob)
    assert at.called_out[-1].call in at.ended and ("a" in at.ended) is not gone
    assert not at.service.private and at.service.next_timer() is None


def test_no_second_transfer_while_one_is_under_way(at):
    bob = talk(at)
    refer(at, "a", "103")
    for call in ("a", bob):
        refer(at, call, "104")
        assert at.news[-1][2] == 403
    assert len(at.called_out) == 2


# --- two calls of one user come together -----------------------------------------------------------------------------
def test_two_private_calls(at):
    bob, carol = talk(at, "a"), talk(at, "b", called="103")
    refer(at, "a", "103", takes_over="b")
    assert set(at.ended) == {"a", "b"} and at.room[bob] == at.room[carol] is not None
    assert at.news == [("a", "r", 200, None)]
    at.leave(bob)
    assert carol in at.ended and not at.service.private


@pytest.mark.parametrize("asked_in", ["conference", "private"])
def test_a_private_call_comes_into_a_conference(at, asked_in):
    at.dial("a", "2002*4321", at.user("101"))
    at.dial("x", "2002*4321", at.user("104"))
    at.hear_out("a")
    bob = talk(at, "b")
    call, second = ("a", "b") if asked_in == "conference" else ("b", "a")
    refer(at, call, "102", takes_over=second)
    assert at.room[bob] == at.room["x"] == "2002" and set(at.ended) == {"a", "b"}
    assert at.states("2002") == {"104": "talking", "102": "talking"} and statuses(at) == [(call, 100), (call, 200)]
    at.leave(bob)
    at.leave("x")
    assert not at.service.guests and not at.service.private


@pytest.mark.parametrize("clear", [True, False])
def test_nobody_is_put_into_an_encrypted_conference_in_the_clear(house, callers, clear):
    at = house(ConferenceSpec("Vault", "2001", encrypted=True))
    at.user, _ = callers
    at.dial("a", "2001", at.user("101"))
    bob = talk(at, "b")
    if clear:
        at.in_the_clear.add(bob)
    refer(at, "a", "102", takes_over="b")
    if clear:
        assert at.news == [("a", "r", 488, "not encrypted")] and at.room[bob] == at.room["b"] != "2001"
    else:
        assert statuses(at) == [("a", 100), ("a", 200)] and at.room[bob] == "2001" and set(at.ended) == {"a", "b"}


@pytest.mark.parametrize("state", ["prompting", "waiting"])
def test_after_dialling_the_conference_first(house, callers, state):
    """Its receptionist asks the other one for the code, unless who transfers has keyed it: then they wait at once."""
    at = house(ConferenceSpec("Board", "2001", access_code="4321", administrator="104", wait_for_administrator=True))
    at.user, _ = callers
    bob = talk(at, "a")
    at.dial("b", "2001*4321" if state == "waiting" else "2001", at.user("101"))
    assert at.states() == {"101": state}
    refer(at, "a", "2001", takes_over="b")
    assert statuses(at) == [("a", 100), ("a", 200)] and set(at.ended) == {"a", "b"}
    assert at.states() == {"102": state}
    at.leave(bob)
    assert not at.service.guests and not at.service.private and at.service.next_timer() is None


def test_closed_doors_are_closed_after_dialling_first_too(at):
    bob = talk(at, "a")
    at.dial("b", "2002", at.user("101"))
    at.service.lock("2002", True, at.now)
    at.pump()
    refer(at, "a", "2002", takes_over="b")
    assert at.news == [("a", "r", 403, "This conference is locked")] and at.ended == {}
    assert at.room[bob] == at.room["a"] is not None and at.states("2002") == {"101": "prompting"}


def test_whose_second_call_it_is_not(at):
    talk(at, "a")
    other = talk(at, "b", caller="104", called="103")
    for second in ("b", other, "", "a", "unknown"):
        refer(at, "a", "103", takes_over=second)
        assert at.news[-1][2:] == (403, "The call to be put through is not here"), second
    at.dial("c", "2001", at.user("101"))
    at.dial("d", "2001", at.user("101"))
    refer(at, "c", "2001", takes_over="d")
    assert at.news[-1][2] == 403 and at.ended == {}


def test_nobody_is_put_through_to_himself(at):
    """101 talks with 102, who would have him talk with 101: with another telephone of his own."""
    bob = talk(at, "a")
    refer(at, bob, "101")
    assert at.news == [(bob, "r", 486, "You are talking with Alice already")] and len(at.called_out) == 1
    assert at.room["a"] == at.room[bob] is not None


def test_both_ends_of_one_call_cannot_be_put_together(at):
    """Two calls of which each has 102 at its other end, joined, are one call with one user at both ends."""
    one, two = talk(at, "a"), talk(at, "b")
    refer(at, "a", "102", takes_over="b")
    assert at.room[one] == at.room[two] is not None
    refer(at, one, "102", takes_over=two)
    assert at.news[-1] == (one, "r", 403, "The call to be put through is not here")
    at.leave(one)
    assert two in at.ended and not at.service.private


def test_how_a_call_is_carried_comes_along_into_the_conference(at):
    """The list of participants shows it, and who is on hold, of calls that were private until then."""
    at.dial("a", "2001", at.user("101"))
    bob = talk(at, "b")
    at.service.describe_call(bob, codec="opus/48000", transport="wss")
    at.tell(fact.HoldChanged(bob, True))
    refer(at, "a", "102", takes_over="b")
    joined = at.events("joined")[-1].data["participant"]
    assert (joined["number"], joined["codec"], joined["transport"]) == ("102", "opus/48000", "wss") and joined["held"]
    at.tell(fact.HoldChanged(bob, False))
    assert [each["held"] for each in at.service.participants("2001")] == [False]
    at.leave(bob)
    assert not at.service.private._carriages


def test_how_a_call_is_carried_outlives_transfers_between_people(at):
    bob, carol = talk(at, "a"), talk(at, "b", called="103")
    at.service.describe_call(bob, codec="G722", transport="tls")
    refer(at, "a", "103", takes_over="b")
    at.dial("c", "2001", at.user("103"))
    refer(at, "c", "102", takes_over=carol)
    assert at.states("2001") == {"102": "talking"} and at.service.participants("2001")[0]["codec"] == "G722"
    at.leave(bob)
    assert not at.service.private._carriages


@pytest.mark.parametrize(("state", "words"), [
    ("ringing", "Bob is being called already"), ("prompting", "Bob is about to join this conference already"),
    ("talking", "Bob is in this conference already"),
])
def test_who_is_on_the_way_already_is_not_called_again(at, state, words):
    at.dial("a", "2002*4321", at.user("101"))
    at.hear_out("a")
    if state == "ringing":
        refer(at, "a", "102")
    else:
        at.dial("b", "2002*4321" if state == "talking" else "2002", at.user("102"))
    assert at.states("2002")["102"] == state
    refer(at, "a", "102")
    assert at.news[-1][2:] == (486, words)
