"""Whole calls of telephones without telephone-event: their keys are tones in the voice, and open the room all the same.
"""

from typing import Any

import pytest

from sipconf.conference.directory import ConferenceSpec
from sipconf.media import protocol
from tests.scenarios.test_media_faults import send_info
from tests.sim.house import House

Line = dict[str, Any]
ROOM = ConferenceSpec("Weekly", "2001", access_code="4321", administrator_code="9876")
FORMATS = [("PCMU", 8000, 20), ("PCMA", 8000, 30), ("L16", 16000, 20), ("L16", 48000, 10)]


def digits(house: House) -> str:
    return "".join(event.digit for event in house.media_events if isinstance(event, protocol.DigitReceived))


@pytest.mark.parametrize(("encoding", "rate", "ptime"), FORMATS)
def test_keys_as_tones_open_the_room(line: Line, encoding: str, rate: int, ptime: int) -> None:
    with House(ROOM, **line) as house:
        phone = house.phone(encoding=encoding, rate=rate, ptime=ptime, in_band=True)
        other = house.enter(house.phone("102"))
        assert house.enter(phone).in_call
        if not line:
            assert digits(house) == "4321#" * 2
        house.run(0.7)
        house.listen(1.0)
        assert other.hears(phone.pitch) and phone.hears(other.pitch)
        house.settle()


def test_a_wrong_code_as_tones_is_refused(line: Line) -> None:
    with House(ROOM, **line) as house:
        phone = house.dial(house.phone(in_band=True), "2001")
        house.await_prompt(phone)
        phone.press("1111#")
        house.until(lambda: len(house.events("digit-refused")) == 1, "refused")
        assert house.states()["101"] == "prompting"
        house.settle()


def test_the_same_key_as_tones_and_by_info_counts_once(line: Line) -> None:
    with House(ROOM, **line) as house:
        phone = house.dial(house.phone(in_band=True), "2001")
        house.await_prompt(phone)
        for key in "4321#":
            phone.press(key)
            send_info(house, phone, key)
            house.until(lambda: not phone.pressing, "the key is keyed")
            house.run(0.8)
        house.until(lambda: house.states()["101"] == "talking", "let in by a code of four digits, not of eight")
        house.settle()


def test_tones_of_a_telephone_with_telephone_event_are_voice() -> None:
    with House(ROOM) as house:
        phone = house.dial(house.phone(), "2001")
        house.await_prompt(phone)
        phone.in_band = True  # from now on its keys are tones, though it has agreed on events
        phone.press("4321#")
        house.run(2.0)
        assert digits(house) == "" and house.states()["101"] == "prompting"
        house.settle()


def test_a_telephone_may_give_up_its_events_within_the_call() -> None:
    with House(ROOM) as house:
        phone = house.dial(house.phone(), "2001")
        house.await_prompt(phone)
        phone.press("43")
        house.until(lambda: digits(house) == "43" and not phone.pressing, "two keys by event")
        phone.in_band = True
        house.reoffer(phone, "sendrecv")
        phone.press("21#")
        house.until(lambda: house.states()["101"] == "talking", "let in")
        assert digits(house) == "4321#"
        house.settle()


def test_in_the_room_a_key_is_told_once_too() -> None:
    with House(ROOM) as house:
        phone = house.enter(house.phone(in_band=True))
        phone.press("*1")
        house.run(1.0)
        assert digits(house) == "4321#*1"
        house.settle()
