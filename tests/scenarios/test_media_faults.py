"""What goes wrong with media in whole calls: dead telephones, a dead worker, no ports, strangers; and what is merely
unusual: keys by INFO, other codecs and packet lengths in one room."""

import struct
from typing import Any

import pytest

from sipconf.conference.directory import ConferenceSpec
from sipconf.media import protocol
from tests.sim import voice
from tests.sim.house import House, assert_everyone_hears_the_others
from tests.sim.rtp_phone import RtpPhone

Line = dict[str, Any]
ROOM = ConferenceSpec("Weekly", "2001", access_code="4321")
STRANGER = ("203.0.113.66", 4000)


def send_info(house: House, phone: RtpPhone, keys: str) -> None:
    """Keys by INFO, each when the one before has been answered."""
    for count, key in enumerate(keys, start=phone.log.count("200 INFO") + 1):
        phone.info(f"Signal={key}\r\nDuration=160\r\n", house.now)
        house.until(lambda count=count: phone.log.count("200 INFO") == count, "INFO is answered")


def press_both_ways(house: House, keys: str) -> None:
    """Somebody calls whose telephone sends each key as events in RTP and by INFO."""
    phone = house.dial(house.phone(), "2001")
    house.await_prompt(phone)
    for key in keys:
        phone.press(key)
        phone.info(f"Signal={key}\r\nDuration=80\r\n", house.now)
        house.until(lambda: not phone.pressing, "pressed")
        house.run(0.1)


# --- keys ------------------------------------------------------------------------------------------------------------
def test_keys_by_info_open_the_room(line: Line) -> None:
    with House(ROOM, **line) as house:
        phone = house.dial(house.phone(), "2001")
        house.until(lambda: house.states() == {"101": "prompting"}, "prompted")
        send_info(house, phone, "432")
        assert house.states() == {"101": "prompting"}, "the code is not whole"
        send_info(house, phone, "1#")
        house.until(lambda: house.states() == {"101": "talking"}, "in")
        assert not house.events("digit-refused")
        house.settle()


def test_keys_by_both_ways_at_once_count_once() -> None:
    with House(ROOM) as house:
        press_both_ways(house, "4321#")
        house.until(lambda: house.states() == {"101": "talking"}, "in")
        assert not house.events("digit-refused")
        house.settle()


def test_one_key_twice_by_both_ways_counts_twice() -> None:
    with House(ConferenceSpec("Doubles", "2001", access_code="4411")) as house:
        press_both_ways(house, "4411#")
        house.until(lambda: house.states() == {"101": "talking"}, "in")
        assert not house.events("digit-refused")
        house.settle()


# --- the dead --------------------------------------------------------------------------------------------------------
def test_a_dead_telephone_is_hung_up_after_the_time_out(line: Line) -> None:
    with House(ROOM, silence_timeout=2.0, **line) as house:
        dead, alive = [house.enter(house.phone(name)) for name in ("101", "102")]
        since = house.now
        dead.talks = False
        house.until(lambda: not dead.in_call, "hung up")
        assert 1.9 < house.now - since < (8.0 if line else 3.3)
        assert house.states() == {"102": "talking"} and alive.in_call
        house.settle()


def test_a_telephone_on_hold_may_be_silent() -> None:
    with House(ROOM, silence_timeout=1.0) as house:
        phone = house.enter(house.phone())
        house.reoffer(phone, "inactive")
        house.run(3.0)
        assert phone.in_call
        phone.talks = False
        house.reoffer(phone, "sendrecv")
        house.until(lambda: not phone.in_call, "hung up", limit=4.0)
        house.settle()


def test_a_dead_worker_ends_its_calls_and_the_next_one_serves(line: Line) -> None:
    with House(ROOM, **line) as house:
        people = [house.enter(house.phone(name)) for name in ("101", "102")]
        house.kill_worker()
        house.until(lambda: not any(phone.in_call for phone in people), "hung up")
        assert house.states() == {}
        for phone in people:
            house.enter(phone)
        house.run(0.7)
        house.listen(0.6)
        assert_everyone_hears_the_others(people)
        house.settle()


def test_no_free_port_is_a_busy_server(line: Line) -> None:
    with House(ROOM, pairs=1, **line) as house:
        first, second = house.phone("101"), house.phone("102")
        house.enter(first)
        second.invite("2001", house.now)
        house.until(lambda: "503 INVITE" in second.log, "refused")
        assert b"\r\nRetry-After: " in house.refusal(503)
        first.bye(house.now)
        house.until(lambda: not len(house.switchboard.lines), "free again")
        house.enter(second)
        house.settle()


def test_no_free_port_for_the_called_person() -> None:
    with House(pairs=1) as house:
        caller, called = house.phone("101"), house.phone("102")
        house.register(called)
        busy = house.phone("103")
        house.conferences.replace_directory(house.directory(ROOM), house.now)
        house.dial(busy, "2001*4321")
        caller.invite("102", house.now)
        house.until(lambda: "503 INVITE" in caller.log, "refused")
        assert "INVITE" not in called.log
        assert b"\r\nRetry-After: " in house.refusal(503)
        house.settle()


# --- strangers -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("knows", ["the port", "everything"])
def test_a_strangers_voice_is_not_heard_and_gets_no_answer(knows: str, line: Line) -> None:
    with House(ROOM, **line) as house:
        one, two = people = [house.enter(house.phone(name)) for name in ("101", "102")]
        house.run(0.7)
        for phone in people:
            phone.forget()
        tone = voice.endless_tone(1950, "PCMU", 8000)
        for index in range(30):
            ssrc = one._ssrc if knows == "everything" else 0xBAD
            sequence, timestamp = (one._sequence + 3, one._timestamp + 160) if ssrc != 0xBAD else (index, 160 * index)
            head = struct.pack("!BBHII", 0x80, 0, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc)
            house.wire.throw(STRANGER, one.remote_media, head + tone[160 * index : 160 * index + 160], house.now)
            house.tick()
        assert not two.hears(1950) and not one.hears(1950)
        assert_everyone_hears_the_others(people)
        assert STRANGER not in house.wire.inboxes
        (leg,) = [line.leg for line in house.switchboard.lines if one.remote_media[1] == line.local.port]
        house.run(2.1)  # every leg reports within two seconds
        batches = [e for e in house.media_events if isinstance(e, protocol.LegReports)]
        reports = [report for batch in batches for report in batch.each() if report.leg == leg]
        assert reports[-1].strangers >= (20 if line else 30)
        house.settle()


def test_a_stranger_who_comes_first_is_not_latched(line: Line) -> None:
    with House(ROOM, **line) as house:
        phone = house.phone()
        phone.talks = False
        house.dial(phone, "2001")
        tone = voice.endless_tone(1950, "PCMU", 8000)
        for index in range(80):
            head = struct.pack("!BBHII", 0x80, 0, index, 160 * index, 0xBAD)
            house.wire.throw(STRANGER, phone.remote_media, head + tone[:160], house.now)
            house.tick()
        phone.talks = True
        house.await_prompt(phone)
        phone.press("4321#")
        house.until(lambda: house.states() == {"101": "talking"}, "in")
        assert STRANGER not in house.wire.inboxes
        house.settle()


# --- formats ---------------------------------------------------------------------------------------------------------
def test_all_formats_meet_in_one_room(line: Line) -> None:
    formats = [("PCMU", 8000, 20), ("PCMA", 8000, 20), ("L16", 16000, 20), ("L16", 48000, 10)]
    with House(ROOM, **line) as house:
        people = []
        for name, (encoding, rate, ptime) in zip(("101", "102", "103", "104"), formats, strict=True):
            people.append(house.enter(house.phone(name, encoding=encoding, rate=rate, ptime=ptime)))
        house.run(0.8)
        house.listen(0.8)
        assert_everyone_hears_the_others(people)
        codecs = {number: house.participant(number)["codec"] for number in house.states()}
        assert codecs == {"101": "PCMU", "102": "PCMA", "103": "L16/16000", "104": "L16/48000"}
        house.settle()


@pytest.mark.parametrize("ptime", [10, 30, 40, 60])
def test_other_packet_lengths_are_heard_without_gaps(ptime: int, line: Line) -> None:
    with House(ROOM, **line) as house:
        usual, unusual = people = [house.enter(house.phone("101")), house.enter(house.phone("102", ptime=ptime))]
        house.run(0.9)
        house.listen(1.2)
        assert_everyone_hears_the_others(people)
        share = usual.gaps(unusual.pitch) / len(usual.frames(unusual.pitch))
        assert share <= (0.15 if line else 0.0)
        house.settle()
