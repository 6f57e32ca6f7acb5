"""Whole calls through the whole house: dial, key, hear each other, wait, hold, hang up.

Telephones are raw text and raw bytes; each says a tone of its own and is judged by the tones it hears. Every scenario
runs on a clean line and on bad ones, and ends with empty tables.
"""

import re
from dataclasses import replace
from typing import Any

import pytest

from sipconf.conference.directory import ConferenceSpec
from sipconf.conference.lockouts import LockoutSettings
from sipconf.conference.service import ConferenceSettings
from tests.sim.house import House, assert_everyone_hears_the_others
from tests.sim.rtp_phone import RtpPhone

Line = dict[str, Any]
ROOM = ConferenceSpec("Weekly", "2001", access_code="4321")
GUARDED = replace(ROOM, administrator="101", wait_for_administrator=True)
BOUND = 0.12
"""Share of frames that a bad line may cost a listener."""


def gap_share(listener: RtpPhone, speaker: RtpPhone) -> float:
    return listener.gaps(speaker.pitch) / len(listener.frames(speaker.pitch))


def test_four_people_key_the_code_and_hear_each_other(line: Line) -> None:
    with House(ROOM, **line) as house:
        people = [house.enter(house.phone(name)) for name in ("101", "102", "103", "104")]
        house.run(0.7)  # tones and ramps
        house.listen(1.0)
        assert_everyone_hears_the_others(people)
        for listener in people:
            worst = max(gap_share(listener, other) for other in people if other is not listener)
            assert worst <= (BOUND if line else 0.0)
            if not line:
                steps = {((b.sequence - a.sequence) % 2**16, (b.timestamp - a.timestamp) % 2**32)
                         for a, b in zip(listener.packets, listener.packets[1:], strict=False)}
                assert steps == {(1, 160)} and len(listener.packets) == 50
        house.settle()


def test_wrong_code_three_times_ends_the_call(line: Line) -> None:
    with House(ROOM, **line) as house:
        phone = house.dial(house.phone(), "2001")
        house.await_prompt(phone)
        house.until(lambda: house.heard(phone, "enter-code"), "the prompt")
        for tries in (1, 2, 3):
            phone.forget()
            phone.press("1111#")
            house.until(lambda tries=tries: len(house.events("digit-refused")) == tries, f"{tries} refused")
            clip = "wrong-code" if tries < 3 else "too-many-tries"
            house.until(lambda clip=clip: house.heard(phone, clip), clip)
        house.until(lambda: "BYE" in phone.log, "hung up")
        assert not phone.in_call and house.states() == {}
        house.settle()


def test_wrong_codes_add_up_across_calls_to_a_lock_out(line: Line) -> None:
    lockouts = LockoutSettings(delays=(0.0,), failures_to_lock=5)
    with House(ROOM, settings=ConferenceSettings(lockouts=lockouts), **line) as house:
        phone = house.phone()
        for wrong in (3, 2):
            house.dial(phone, "2001")
            house.await_prompt(phone)
            phone.press("1111#" * wrong)
            house.until(lambda: not phone.in_call, "hung up")
            house.run(0.1)
        assert len(house.events("digit-refused")) == 5
        phone.invite("2001*4321", house.now)
        house.until(lambda: "403 INVITE" in phone.log, "locked out, the right code too")
        other = house.enter(house.phone("102"))
        assert other.in_call
        house.settle()


def test_everyone_waits_for_the_administrator(line: Line) -> None:
    with House(GUARDED, **line) as house:
        guests = [house.enter(house.phone(name)) for name in ("102", "103")]
        assert house.states() == {"102": "waiting", "103": "waiting"}
        house.until(lambda: all(house.heard(guest, "wait-for-administrator") for guest in guests), "told to wait")
        house.run(0.6)
        house.listen(0.6)
        for guest, other in (guests, guests[::-1]):
            assert house.heard(guest, "music") and not guest.hears(other.pitch)
        administrator = house.enter(house.phone("101"))
        assert set(house.states().values()) == {"talking"}
        house.run(0.7)
        house.listen(1.0)
        assert_everyone_hears_the_others([administrator, *guests])
        assert not any(house.heard(guest, "music") for guest in guests)
        house.settle()


@pytest.mark.parametrize("behaviour", ["continue", "wait", "end"])
def test_the_administrator_leaves(behaviour: Any, line: Line) -> None:
    with House(replace(GUARDED, when_administrator_leaves=behaviour), **line) as house:
        administrator, *guests = [house.enter(house.phone(name)) for name in ("101", "102", "103")]
        for guest in guests:
            guest.forget()
        administrator.bye(house.now)
        house.until(lambda: "101" not in house.states(), "the administrator has left")
        if behaviour == "continue":
            house.run(0.7)
            house.listen(0.6)
            assert_everyone_hears_the_others(guests)
        elif behaviour == "wait":
            house.until(lambda: all(house.heard(guest, "music") for guest in guests), "music")
            assert all(house.heard(guest, "administrator-left") for guest in guests)
            assert house.states() == {"102": "waiting", "103": "waiting"}
            house.enter(administrator, "2001")
            house.run(0.6)
            house.listen(0.6)
            assert_everyone_hears_the_others([administrator, *guests])
        else:
            house.until(lambda: not any(guest.in_call for guest in guests), "hung up")
            assert all(house.heard(guest, "conference-ended") for guest in guests)
        house.settle()


@pytest.mark.parametrize("dialled", ["2001*4321", "2001,,4321"])
def test_the_code_dialled_with_the_number(dialled: str, line: Line) -> None:
    with House(ROOM, **line) as house:
        phone = house.dial(house.phone(), dialled)
        house.until(lambda: house.states() == {"101": "talking"}, "in")
        house.until(lambda: house.heard(phone, "only-person"), "told of being alone")
        assert not house.heard(phone, "enter-code")
        house.settle()


@pytest.mark.parametrize(("mode", "host"), [("sendonly", None), ("inactive", None), ("sendrecv", "0.0.0.0")])
def test_hold_and_resume(mode: str, host: str | None, line: Line) -> None:
    with House(ROOM, **line) as house:
        one, two = people = [house.enter(house.phone(name)) for name in ("101", "102")]
        house.reoffer(one, mode, host=host)
        one.mode = "sendonly"  # music on hold, whatever was signalled
        house.until(lambda: house.participant("101")["held"], "held")
        house.run(0.4)
        house.listen(0.6)
        assert not two.hears(one.pitch) and not two.hears(two.pitch)
        assert not one.packets, "somebody on hold is sent nothing"
        house.reoffer(one, "sendrecv")
        house.until(lambda: not house.participant("101")["held"], "resumed")
        house.run(0.7)
        house.listen(0.6)
        assert_everyone_hears_the_others(people)
        house.settle()


def test_a_re_invite_changes_codec_port_address_and_type_of_digits(line: Line) -> None:
    with House(ROOM, **line) as house:
        other = house.enter(house.phone("102"))
        phone = house.dial(house.phone("101"), "2001")
        house.await_prompt(phone)
        phone.move_media(("198.51.100.77", 4600), "PCMA", 97)
        house.reoffer(phone, "sendrecv", host="198.51.100.77")
        house.until(lambda: house.trusted(phone), "believed at its new address")
        phone.press("4321#")
        house.until(lambda: house.states()["101"] == "talking", "its digits are understood")
        assert house.participant("101")["codec"] == "PCMA"
        house.run(0.7)
        house.listen(0.6)
        assert_everyone_hears_the_others([phone, other])
        house.settle()


def test_a_telephone_that_stops_its_stream_is_on_hold_until_it_offers_it_again(line: Line) -> None:
    with House(ROOM, **line) as house:
        one, two = people = [house.enter(house.phone(name)) for name in ("101", "102")]
        whole = one.sdp
        one.sdp = lambda mode=None: re.sub(r"m=audio \d+", "m=audio 0", whole(mode))
        house.reoffer(one, "inactive")
        assert re.search(r"^m=audio 0 ", one.bodies[-1], re.MULTILINE)
        house.until(lambda: house.participant("101")["held"], "held")
        house.run(0.4)
        house.listen(0.6)
        assert not one.packets and not two.hears(one.pitch)
        del one.sdp
        house.reoffer(one, "sendrecv")
        house.run(0.7)
        house.listen(0.6)
        assert not house.participant("101")["held"]
        assert_everyone_hears_the_others(people)
        house.settle()


def test_an_invite_without_an_offer(line: Line) -> None:
    with House(ROOM, **line) as house:
        asker = house.phone("101")
        house.dial(asker, "2001*4321", offer=False)
        other = house.enter(house.phone("102"))
        house.until(lambda: len(house.states()) == 2, "both are in")
        house.run(0.7)
        house.listen(0.6)
        assert_everyone_hears_the_others([asker, other])
        house.settle()


def test_a_re_invite_without_an_offer(line: Line) -> None:
    with House(ROOM, **line) as house:
        people = [house.enter(house.phone(name)) for name in ("101", "102")]
        house.reoffer(people[0], "sendrecv", offer=False)
        house.run(0.7)
        house.listen(0.6)
        assert_everyone_hears_the_others(people)
        versions = [body.split("o=- ")[1].split()[1] for body in people[0].bodies]
        assert [int(version) for version in versions] == [1, 2]
        house.settle()


def test_the_console_mutes_and_removes(line: Line) -> None:
    with House(ROOM, **line) as house:
        one, two = people = [house.enter(house.phone(name)) for name in ("101", "102")]
        house.run(0.7)
        one.forget()
        house.console(house.conferences.mute, "2001", house.participant("101")["id"], True)
        house.run(0.6)
        assert house.heard(one, "muted")
        house.listen(0.6)
        assert not two.hears(one.pitch) and one.hears(two.pitch)
        house.console(house.conferences.mute, "2001", house.participant("101")["id"], False)
        house.run(0.6)
        house.listen(0.6)
        assert_everyone_hears_the_others(people)
        house.console(house.conferences.kick, "2001", house.participant("102")["id"])
        house.until(lambda: not two.in_call, "removed")
        assert house.heard(two, "kicked") and house.states() == {"101": "talking"}
        house.settle()


def test_a_locked_room_refuses_users_before_they_are_answered(line: Line) -> None:
    with House(ROOM, **line) as house:
        house.enter(house.phone("101"))
        house.console(house.conferences.lock, "2001", True)
        late = house.phone("102")
        late.invite("2001", house.now)
        house.until(lambda: "403 INVITE" in late.log, "refused")
        assert "200 INVITE" not in late.log and list(house.states()) == ["101"]
        house.console(house.conferences.lock, "2001", False)
        house.enter(late)
        assert sorted(house.states()) == ["101", "102"], "the lock is off"
        house.settle()


def test_an_edited_directory_leaves_running_calls_alone(line: Line) -> None:
    with House(ROOM, **line) as house:
        one, two = people = [house.enter(house.phone(name)) for name in ("101", "102")]
        edited = house.directory(replace(ROOM, access_code="999999"))
        house.console(house.conferences.replace_directory, edited)
        late = house.dial(house.phone("103"), "2001")
        house.await_prompt(late)
        late.press("4321#")
        house.until(lambda: len(house.events("digit-refused")) == 1, "the old code is refused")
        late.press("999999#")
        house.until(lambda: house.states()["103"] == "talking", "the new code is taken")
        house.console(house.conferences.replace_directory, house.directory())
        house.run(0.6)
        house.listen(0.6)
        assert_everyone_hears_the_others([one, two, late])
        gone = house.phone("104")
        gone.invite("2001", house.now)
        house.until(lambda: "404 INVITE" in gone.log, "removed for newcomers")
        assert all(phone.in_call for phone in people)
        house.settle()
