"""The server starts again: whoever had registered can still be called, and of calls nothing is left on either side."""

from typing import Any

import pytest

from sipconf.conference.directory import ConferenceSpec
from tests.sim.house import House

ROOM = ConferenceSpec("Weekly", "2001")
FAREWELL = 1.6


def test_a_telephone_that_registered_before_is_called_after(line: dict[str, Any]) -> None:
    with House(ROOM, **line) as house:
        alice, bob = house.phone("101"), house.phone("102")
        house.register(bob)
        bob.pickup = 0.5
        house.restart(house.directory(ROOM))
        house.dial(alice, "102")
        assert "INVITE" in bob.log, "on the address of his registration"
        house.settle()


def test_a_server_that_stops_says_goodbye(line: dict[str, Any]) -> None:
    with House(ROOM, **line) as house:
        alice = house.dial(house.phone("101"), "2001")
        house.run(1.0)
        house.restart(house.directory(ROOM), farewell=FAREWELL if line else 0.1)
        if not line:  # on a bad line it may be lost, as often as it is said in the time there is
            assert not alice.in_call and alice.log[-1] == "BYE"
        house.settle()


def test_a_server_that_died_knows_no_call_and_takes_the_next(line: dict[str, Any]) -> None:
    with House(ROOM, **line) as house:
        alice = house.dial(house.phone("101"), "2001")
        house.restart(house.directory(ROOM))
        alice.bye(house.now)
        house.until(lambda: "481 BYE" in alice.log, "the server says that there is no such call")
        house.dial(alice, "2001")
        house.until(lambda: house.states().get("101") == "talking", "the new call is in the room")
        assert len(house.conferences.participants("2001")) == 1, "and no ghost of the old one"
        house.settle()


@pytest.mark.parametrize("farewell", [None, FAREWELL])
def test_restarts_one_after_the_other_keep_a_registration(farewell: float | None) -> None:
    with House(ROOM) as house:
        bob = house.phone("102")
        house.register(bob)
        for _ in range(3):
            house.restart(house.directory(ROOM), farewell)
        assert len(house.registrar.bindings("102", house.now)) == 1
        house.settle()
