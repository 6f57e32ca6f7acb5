"""Visitors of the join page in whole calls: the same receptionist, the same rules, the same room as everybody's."""

import pytest

from sipconf.conference.directory import NO_GUESTS, NO_SUCH_CONFERENCE, ConferenceSpec
from sipconf.conference.lockouts import LockoutSettings
from tests.sim.house import CLIP_PITCH, House, assert_everyone_hears_the_others
from tests.sim.web_phone import WebPhone

CODED = ConferenceSpec("Stand-up", "2001", "4321", administrator_code="9876")
OPEN = ConferenceSpec("Open", "2002")


def enter(house: House, visitor: WebPhone, code: str = "4321") -> None:
    house.until(lambda: house.trusted(visitor), "the visitor is heard")
    visitor.press(code + "#")
    house.until(lambda: "prompting" not in house.states().values(), "judged")


def test_a_visitor_keys_the_code_and_talks_with_a_telephone() -> None:
    with House(CODED) as house:
        phone = house.enter(house.phone("101"))
        visitor = house.visitor()
        house.until(lambda: visitor.heard_clip(CLIP_PITCH["enter-code"]), "she is asked for the code")
        assert house.states() == {"101": "talking", "web": "prompting"}
        enter(house, visitor)
        house.run(1.5)
        house.listen(0.5)
        assert_everyone_hears_the_others([phone, visitor])
        shown = house.participant("web")
        assert (shown["name"], shown["guest"], shown["transport"], shown["administrator"]) == (
            "Vera", True, "ws", False)
        house.settle()


def test_a_visitor_is_the_administrator_by_code() -> None:
    with House(ConferenceSpec("Board", "2001", "4321", None, "9876", wait_for_administrator=True)) as house:
        phone = house.enter(house.phone("101"))
        assert house.states() == {"101": "waiting"}
        visitor = house.visitor()
        house.until(lambda: house.states().get("web") == "prompting", "asked")
        enter(house, visitor, "9876")
        assert house.states() == {"101": "talking", "web": "talking"}
        assert house.participant("web")["administrator"]
        visitor.bye(house.now)
        assert house.states() == {"101": "talking"}
        assert phone.in_call
        house.settle()


def test_three_wrong_codes_end_the_call_and_guessing_is_paid_for_by_address() -> None:
    with House(CODED) as house:
        for number in range(LockoutSettings().failures_to_lock // 3 + 1):
            guesser = house.visitor(host=f"2001:db8::{number}")  # one subscriber's network
            house.until(lambda guesser=guesser: guesser.in_call and house.trusted(guesser), "heard")
            while guesser.in_call:
                guesser.press("1111#")
                house.run(12.0)
            assert guesser.log == ["answered", "over: too many wrong codes"]
        assert house.visitor(host="2001:db8::99").log == ["403 Too many wrong access codes; try again in 5 minutes"]
        other = house.visitor()
        house.run(0.1)
        assert other.log == ["answered"], "others may try"
        house.settle()


@pytest.mark.parametrize(("guests", "code", "status"), [
    (None, "4321", "answered"), (None, None, f"403 {NO_GUESTS}"), (True, None, "answered"), (True, "4321", "answered"),
    (False, "4321", f"403 {NO_GUESTS}"), (False, None, f"403 {NO_GUESTS}"),
])
def test_who_may_come_by_link(guests: bool | None, code: str | None, status: str) -> None:
    with House(ConferenceSpec("Room", "2001", code, guests=guests)) as house:
        visitor = house.visitor()
        house.run(0.1)
        assert visitor.log == [status]
        house.settle()


@pytest.mark.parametrize("dialled", ["2009", "101", "+3225551234", "2001*4321", "2001,4321", "2001#", ""])
def test_a_visitor_reaches_conferences_by_their_extension_and_nothing_else(dialled: str) -> None:
    with House(CODED, OPEN) as house:
        house.register(house.phone("101"))
        visitor = house.visitor(dialled)
        house.run(0.1)
        assert visitor.log == [f"404 {NO_SUCH_CONFERENCE}"]
        assert "INVITE" not in house.phones[0].log, "nobody's telephone rings"
        house.settle()


def test_a_locked_room_and_a_server_that_stops() -> None:
    with House(CODED) as house:
        inside = house.visitor()
        house.run(0.5)
        house.conferences.lock("2001", True, house.now)
        late = house.visitor()
        house.run(0.1)
        assert late.log == ["403 This conference is locked"]
        house.switchboard.hang_up_all("the server is stopping", house.now)
        house.pump()
        assert inside.log == ["answered", "over: the server is stopping"]
        house.conferences.lock("2001", False, house.now)
        refused = house.visitor()
        assert refused.log == ["503 All lines are busy, please try again in a moment"]
        house.settle()


def test_what_is_kicked_is_told_so() -> None:
    with House(CODED) as house:
        visitor = house.visitor()
        house.until(lambda: house.trusted(visitor), "the visitor is heard")
        enter(house, visitor)
        house.conferences.kick("2001", house.participant("web")["id"], house.now)
        house.switchboard.carry_out(house.now)
        house.until(lambda: not visitor.in_call, "hung up")
        assert visitor.log[-1] == "over: removed by the administrator"
        house.settle()


def test_nothing_is_played_before_the_page_has_its_answer() -> None:
    with House(CODED) as house:
        visitor = house.visitor()
        visitor.comes_for_events = False
        house.run(2.0)
        assert visitor.log == ["answered"] and house.states() == {}
        visitor.bye(house.now)
        house.settle()
