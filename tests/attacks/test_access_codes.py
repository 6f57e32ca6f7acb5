"""Guessing access codes (trust.md row 19): by keys, by INFO, dialled along, call after call, from one address and many.

Whatever the way, few guesses are looked at; then the right code is no help either, and the room's own people come in as
ever. No code or digit is in any log line, event or record.
"""

import logging
import random
from collections.abc import Callable, Iterator

import pytest

from sipconf.conference.directory import ConferenceSpec
from sipconf.conference.lockouts import LockoutSettings
from tests.sim.house import NUMBER, TRUNK_HOST, House
from tests.sim.rtp_phone import RtpPhone
from tests.sim.siege import Stranger, running_call, status_of

CODE = "83927461"
ROOM = ConferenceSpec("Weekly", "2001", access_code=CODE, administrator_code="64738291")
OTHER = ConferenceSpec("Other", "2002", access_code="4321")
LIMITS = LockoutSettings()
CALLS = {"dialled": 250, "rfc4733": 16, "info": 40}
"""A call that is answered takes long to simulate; those after a lock-out are refused."""


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """Everything that is handed to the log, before anything is hidden in it."""
    lines: list[str] = []
    handler = logging.Handler(logging.DEBUG)
    handler.emit = lambda record: lines.append(record.getMessage())
    ours = logging.getLogger("sipconf")
    level = ours.level
    ours.setLevel(logging.DEBUG)
    ours.addHandler(handler)
    yield lines
    ours.removeHandler(handler)
    ours.setLevel(level)


def assert_nothing_is_told(house: House, codes: list[str], logged: list[str]) -> None:
    records = repr(house.conferences._admission._lockouts._records)
    shown = repr([house.published, house.conferences.participants("2001"), house.switchboard.counters])
    told = "\n".join([*logged, records, shown])
    assert logged and not [code for code in [*codes, CODE] if code in told]


def guesses_by(way: str, house: House, codes: Iterator[str], used: list[str]) -> Callable[[RtpPhone, str], None]:
    """One call with as many guesses as it takes (three); what it does is over when it returns."""

    def next_code() -> str:
        used.append(next(codes))
        return used[-1]

    def dialled(phone: RtpPhone, number: str) -> None:
        phone.invite(f"{number}*{next_code()}", house.now)
        house.run(0.2)

    def keyed(phone: RtpPhone, number: str) -> None:
        phone.invite(number, house.now)
        house.run(0.2)
        for _ in range(3 if phone.in_call else 1):
            code = next_code()
            if not phone.in_call:
                return
            if way == "rfc4733":
                house.run(0.3)
                phone.press(code + "#")
                house.until(lambda: not phone.pressing or not phone.in_call, "said")
            else:
                for digit in code + "#":
                    phone.info(f"Signal={digit}\r\nDuration=100\r\n", house.now)
                    house.run(0.06)
            before = len(house.events("digit-refused"))
            house.run(0.4)
            if len(house.events("digit-refused")) == before:
                house.run(LIMITS.delays[-1])

    def call(phone: RtpPhone, number: str) -> None:
        (dialled if way == "dialled" else keyed)(phone, number)
        if phone.in_call:
            phone.bye(house.now)
        house.run(0.1)

    return call


def wrong_codes() -> Iterator[str]:
    rng = random.Random(3)
    while True:
        yield f"{rng.randrange(10**7, 8 * 10**7)}"


@pytest.mark.parametrize("way", ["dialled", "rfc4733", "info"])
@pytest.mark.parametrize("addresses", [1, 50])
def test_a_users_stolen_password(way: str, addresses: int, logged: list[str]) -> None:
    with House(ROOM, OTHER, max_calls=1000) as house:
        thieves = [house.phone("104") for _ in range(addresses)]
        used: list[str] = []
        guess = guesses_by(way, house, wrong_codes(), used)
        with running_call(house, dialled="2002"):
            began, calls = house.now, 0
            while len(used) < 1000 and calls < CALLS[way]:
                guess(thieves[calls % addresses], "2001")
                calls += 1
            looked_at = len(house.events("digit-refused"))
            locks = 1 + (house.now - began) // LIMITS.first_lock
            assert LIMITS.failures_to_lock <= looked_at <= LIMITS.failures_to_lock * locks
            thief = thieves[0]
            thief.invite(f"2001*{CODE}", house.now)
            house.run(1.0)
            assert "104" not in house.states() and thief.log[-1] == "403 INVITE", "right, too late"
            for name in ("101", "102"):
                house.dial(house.phone(name), f"2001*{CODE}")
            house.until(lambda: house.states() == {"101": "talking", "102": "talking"}, "the room's own are in", 1.0)
            assert_nothing_is_told(house, used, logged)


def outsider_names() -> Iterator[str]:
    """Another caller's number for every call: providers let their customers choose it."""
    number = 0
    while True:
        number += 1
        yield f"+3247{number:07}"


@pytest.mark.parametrize(
    ("way", "numbers"), [("dialled", 1), ("dialled", 50), ("dialled", 10_000), ("rfc4733", 1), ("rfc4733", 50)]
)
def test_an_outsider_by_the_trunk(way: str, numbers: int, logged: list[str]) -> None:
    with House(ROOM, OTHER, max_calls=1000) as house:
        phone = house.phone("+32470000000", host=TRUNK_HOST)
        names = [name for name, _ in zip(outsider_names(), range(numbers), strict=False)]
        used: list[str] = []
        guess = guesses_by(way, house, wrong_codes(), used)
        with running_call(house, dialled="2002"):
            began, calls = house.now, 0
            while len(used) < 1000 and calls < CALLS[way]:
                phone.name = names[calls % numbers]
                guess(phone, NUMBER)
                calls += 1
            looked_at, seconds = len(house.events("digit-refused")), house.now - began
            most = LIMITS.room_budget + LIMITS.longest_turn / LIMITS.room_delay + seconds / LIMITS.room_delay
            if numbers == 1:
                most = LIMITS.failures_to_lock * (1 + seconds // LIMITS.first_lock)
            assert 10 <= looked_at <= most
            house.dial(house.phone("101"), f"2001*{CODE}")
            house.until(lambda: house.states().get("101") == "talking", "users do not wait", 1.0)
            assert_nothing_is_told(house, used, logged)


@pytest.mark.parametrize("number", ["2001", "2002", "2009", "2001*83927461", "2001,,1", "101", "9", "a" * 50, "%00"])
def test_without_a_password_no_room_is_there(number: str) -> None:
    with House(ROOM, OTHER) as house:
        stranger = Stranger(house)
        (answer,) = stranger.ask(stranger.request("INVITE", f"sip:{number}@example.test", body="v=0\r\n"))
        assert status_of(answer) == 401 and house.agent.idle()
