"""What is logged of calls: how they began and ended, and never a code."""

import logging
import re
from dataclasses import replace

import pytest

from sipconf.conference.directory import ConferenceSpec
from sipconf.media import protocol as media
from tests.sim.house import NUMBER, TRUNK_HOST, House

ROOM = ConferenceSpec("Open", "2001")
SDP = (b"v=0\r\no=- 1 1 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n")
NO_CODEC = SDP.replace(b"RTP/AVP 0", b"RTP/AVP 18")
CODES = ("4321", "9876", "5555", "5432")


def over(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged about the ends of calls, without the seconds, since the last time."""
    told = [record.getMessage() for record in caplog.records if record.getMessage().startswith("call over")]
    assert all(record.call for record in caplog.records if record.name == "sipconf.line")
    assert not any(code in caplog.text for code in CODES)
    caplog.clear()
    return [re.sub(r" [0-9]+\.[0-9] s", " N s", text) for text in told]


@pytest.mark.parametrize(("by_peer", "level"), [(True, logging.INFO), (False, logging.WARNING)])
def test_a_browser_that_goes_in_order_is_nothing_to_be_warned_of(
    by_peer: bool, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with House(ROOM) as house:
        phone = house.phone("101")
        house.dial(phone, "2001")
        house.run(0.5)
        (line,) = house.switchboard.lines
        house.switchboard.receive_media([media.LegFailed(line.leg, "that is how it ended", by_peer)], house.now)
        house.run(0.1)
        assert not phone.in_call
        (record,) = [each for each in caplog.records if each.getMessage().startswith("no media")]
        assert record.levelno == level


def test_every_end_of_a_call_is_logged_with_its_reason_and_never_a_code(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    room = replace(ROOM, access_code="4321", administrator_code="9876")
    with House(room) as house:
        phone, other, outside = house.phone("101"), house.phone("102"), house.phone("+32475000001", TRUNK_HOST)
        for dialled in ("2001*4321", "2001%2A4321", "2001,,9876", "2001*5555", "2001*4321#"):
            house.dial(phone, dialled)
            house.run(3.0)
            phone.press("5432#")
            house.run(1.0)
            phone.bye(house.now)
            house.run(0.1)
            assert len(over(caplog)) == 1
        house.dial(phone, "2001")
        house.run(2.5)
        (start,) = [record for record in caplog.records if record.getMessage().startswith("call from")]
        assert start.getMessage() == "call from 101 (user 101) to 2001" and start.call == phone.call_id
        phone.bye(house.now)
        house.run(0.1)
        (end,) = [record for record in caplog.records if record.getMessage().startswith("call over")]
        assert end.getMessage() == "call over after 2.5 s: hung up" and end.call == phone.call_id
        caplog.clear()
        for dialled in ("2001p4321", "102*4321", "2001%204321"):
            other.invite(dialled, house.now)
            house.run(0.2)
            assert len(over(caplog)) == 1
        house.console(house.conferences.lock, "2001", True)
        other.invite("2001", house.now)
        house.run(0.2)
        assert over(caplog) == ["call over after N s, not answered: 403 This conference is locked"]
        other.sdp = lambda mode=None: NO_CODEC.decode()
        other.invite("2001", house.now)
        house.run(0.2)
        assert over(caplog) == ["call over after N s, not answered: 488 no codec in common"]
        house.dial(outside, NUMBER + "*4321")
        house.until(lambda: not outside.in_call, "sent away")
        house.run(0.1)
        assert over(caplog) == ["call over after N s: This conference is locked"]
        said = caplog.text + repr(house.published) + repr(house.switchboard.counters)
        assert not any(code in said for code in CODES)
        house.console(house.conferences.lock, "2001", False)
        house.settle()


def test_both_ends_of_a_call_between_people_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with House() as house:
        caller, called = house.phone("101"), house.phone("102")
        house.register(called)
        called.final_status, called.pickup = 486, 0.1
        caller.invite("102", house.now)
        house.until(lambda: "486 INVITE" in caller.log, "busy")
        assert over(caplog) == ["call over after N s, not answered: 486",
                                "call over after N s, not answered: 486 User 102 is busy"]
        called.final_status = 200
        house.dial(caller, "102")
        assert any(record.getMessage() == "calling extension 102 for 101" for record in caplog.records)
        called.bye(house.now)
        house.until(lambda: not caller.in_call, "over")
        assert over(caplog) == ["call over after N s: hung up", "call over after N s: the other person hung up"]
        house.settle()
