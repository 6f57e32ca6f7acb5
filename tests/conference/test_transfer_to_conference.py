"""Of two who talk one sends the other to a conference: they get where dialling it would have got them, and where that
is nowhere the two talk on."""

import pytest

from sipconf.conference import events as fact
from sipconf.conference.directory import ConferenceSpec

OPEN, CODED = ConferenceSpec("Weekly", "2001"), ConferenceSpec("Secret", "2002", access_code="4321")
BOARD = ConferenceSpec("Board", "2003", administrator="102", administrator_code="9876", wait_for_administrator=True)
SMALL, VAULT = ConferenceSpec("Small", "2004", max_participants=1), ConferenceSpec("Vault", "2005", encrypted=True)


@pytest.fixture
def at(house, callers):
    place = house(OPEN, CODED, BOARD, SMALL, VAULT)
    place.user, place.outsider = callers
    return place


def talk(at, call="a", caller="101", called="102"):
    """Somebody has called a user, by this call; the other's call."""
    at.dial(call, called, at.user(caller) if isinstance(caller, str) else caller)
    out = at.called_out[-1].call
    at.stage[out] = "up"
    at.tell(fact.OutgoingAnswered(out))
    at.connect(call)
    assert at.room[call] == at.room[out] is not None
    return out


def refer(at, call, target, name="r", takes_over=None):
    at.tell(fact.TransferAsked(call, name, target, takes_over))


def assert_put_through(at, transferor="a"):
    assert at.news == [(transferor, "r", 100, None), (transferor, "r", 200, None)]
    assert at.ended == {transferor: "the call was transferred"}


def assert_they_talk_on(at, one, other, conference):
    """And nothing is left of the attempt: a room of nobody, or a call that no further transfer can move."""
    assert at.room[one] == at.room[other] is not None and at.ended == {}
    before = len(at.called_out)
    refer(at, one, "104", "next")
    assert at.news[-1] == (one, "next", 100, None) and len(at.called_out) == before + 1
    assert not any(person["number"] == "102" for person in at.service.participants(conference))


def test_without_a_code_they_are_in_at_once(at):
    at.dial("x", "2001", at.user("104"))
    bob = talk(at)
    refer(at, "a", "2001")
    assert_put_through(at)
    assert at.room[bob] == at.room["x"] == "2001" and at.states("2001") == {"104": "talking", "102": "talking"}
    joined = at.events("joined")[-1].data["participant"]
    assert joined["name"] == "Bob" and joined["joined_at"]
    for call in (bob, "x"):
        at.leave(call)
    assert not at.service.private and not at.service.guests and at.service._rooms == {}


def test_the_receptionist_asks_them_for_the_code(at):
    bob = talk(at)
    at.service.describe_call(bob, codec="opus/48000", transport="wss")
    refer(at, "a", "2002")
    assert_put_through(at)
    assert at.room[bob] is None and at.clip(bob) == ("enter-code",) and at.states("2002") == {"102": "prompting"}
    assert at.events("prompting")[-1].data["participant"]["codec"] == "opus/48000"
    at.key(bob, "1111#")
    assert at.clip(bob) == ("wrong-code",) and at.room[bob] is None
    at.key(bob, "4321#")
    at.wait(10.0)  # a verdict after a wrong code is held back
    assert at.room[bob] == "2002" and at.states("2002") == {"102": "talking"}
    at.leave(bob)
    assert not at.service.private and not at.service.guests and at.service.next_timer() is None


def test_who_keys_nothing_is_sent_away_by_the_receptionist(at):
    bob = talk(at)
    refer(at, "a", "2002")
    at.wait(300.0)
    assert "goodbye" in at.heard[bob]
    at.hear_out(bob)
    assert at.ended[bob] == "no code was keyed" and not at.service.guests and at.service.next_timer() is None


def test_who_called_may_be_sent_by_whom_they_called(at):
    bob = talk(at)
    refer(at, bob, "2002")
    assert_put_through(at, bob)
    assert at.states("2002") == {"101": "prompting"} and at.clip("a") == ("enter-code",)


def test_they_wait_for_the_administrator(at):
    carol = talk(at, called="103")
    refer(at, "a", "2003")
    assert_put_through(at)
    assert at.clip(carol) == ("wait-for-administrator",) and at.states("2003") == {"103": "waiting"}
    at.key(carol, "9876#")
    assert at.states("2003") == {"103": "talking"} and at.room[carol] == "2003"


def test_they_are_administrator_by_who_they_are(at):
    """Not who transfers."""
    bob = talk(at)
    refer(at, "a", "2003")
    assert at.room[bob] == "2003" and at.service.participants("2003")[0]["administrator"]


def test_a_caller_of_the_own_exchange_goes_by_his_number(at):
    bob = talk(at, caller=at.outsider(peer=True))
    refer(at, bob, "2002")
    assert_put_through(at, bob)
    assert at.states("2002") == {"+32477000001": "prompting"}


@pytest.mark.parametrize("dialled", ["+3225551234", "2001#"])
def test_the_conference_may_be_named_as_it_may_be_dialled(at, dialled):
    bob = talk(at)
    refer(at, "a", dialled)
    assert_put_through(at)
    assert at.room[bob] == "2001"


@pytest.mark.parametrize(("conference", "reason"), [("2001", "This conference is locked"),
                                                    ("2004", "This conference is full")])
def test_closed_doors_leave_the_two_as_they_were(at, conference, reason):
    at.dial("x", conference, at.user("104"))
    if conference == "2001":
        at.service.lock("2001", True, at.now)
        at.pump()
    bob = talk(at)
    refer(at, "a", conference)
    assert at.news == [("a", "r", 403, reason)]
    assert_they_talk_on(at, "a", bob, conference)


def test_a_locked_conference_lets_its_administrator_be_sent(at):
    at.service.lock("2003", True, at.now)
    bob = talk(at)
    refer(at, "a", "2003")
    assert at.room[bob] == "2003"


def test_who_is_locked_out_stays_where_they_are(at):
    """It is the other one's guesses that count, not the transferor's."""
    for number in range(10):
        at.dial(f"guess{number}", "2002*0000", at.user("102"))
        at.leave(f"guess{number}")
    bob = talk(at)
    refer(at, bob, "2002", "own")
    assert at.states("2002") == {"101": "prompting"}, "who has not guessed may come, whoever sends them"
    at.leave("a")
    at.ended.clear()
    at.news.clear()
    bob = talk(at, "b")
    refer(at, "b", "2002")
    (_, _, status, reason), = at.news
    assert status == 403 and reason.startswith("Too many wrong access codes")
    assert_they_talk_on(at, "b", bob, "2002")


def test_a_code_cannot_come_along(at):
    """A wrong one would be charged to who has not keyed it."""
    bob = talk(at)
    refer(at, "a", "2002*4321")
    (_, _, status, reason), = at.news
    assert status == 403 and "without its access code" in reason and "4321" not in reason
    assert_they_talk_on(at, "a", bob, "2002")


@pytest.mark.parametrize("clear", [True, False])
def test_an_encrypted_conference_takes_encrypted_calls(at, clear):
    bob = talk(at)
    if clear:
        at.in_the_clear.add(bob)
    at.in_the_clear.add("a")  # of no interest
    refer(at, "a", "2005")
    if clear:
        assert at.news == [("a", "r", 488, "not encrypted")]
        assert_they_talk_on(at, "a", bob, "2005")
    else:
        assert_put_through(at)
        assert at.room[bob] == "2005"


def test_a_conference_in_another_worker(at):
    bob = talk(at)
    at.far.add(bob)
    refer(at, "a", "2001")
    assert at.news == [("a", "r", 503, "far away")]
    assert_they_talk_on(at, "a", bob, "2001")


def test_who_was_held_is_shown_so_in_the_conference(at):
    bob = talk(at)
    at.tell(fact.HoldChanged(bob, True))
    refer(at, "a", "2001")
    assert at.service.participants("2001")[0]["held"]
    at.leave(bob)
    assert not at.service.private._carriages


@pytest.mark.parametrize("first", ["a", "bob"])
def test_one_of_the_two_hangs_up_before_it_is_done(at, first):
    """What was on its way is not done to people who no longer talk."""
    bob = talk(at)
    gone = "a" if first == "a" else bob
    at.service.receive(fact.TransferAsked("a", "r", "2002"), at.now)
    at.stage[gone], at.room[gone] = "over", None
    at.service.receive(fact.CallOver(gone, "hung up"), at.now)
    commands = at.service.take_outputs()
    for command in commands:
        if at.stage[command.call] != "over":
            at.obey(command)
    at.pump()
    assert set(at.ended) == {"a", bob} - {gone} and at.news == [] and at.states("2002") == {}
    assert not at.service.private and not at.service.guests and at.service.next_timer() is None


def test_no_transfer_to_a_conference_while_another_is_under_way(at):
    bob = talk(at)
    refer(at, "a", "103")
    for call in ("a", bob):
        refer(at, call, "2001", "second")
        assert at.news[-1][2] == 403
    assert at.states("2001") == {}


def test_a_conference_is_put_into_no_other(at):
    at.dial("a", "2001", at.user("101"))
    refer(at, "a", "2002")
    assert at.news == [("a", "r", 403, "A conference cannot be put into another one")] and at.room["a"] == "2001"
