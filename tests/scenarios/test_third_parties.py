"""Calls that name a third party's address for their media: what that one gets, and who may name any address."""

from typing import Any

import pytest

from sipconf.conference.directory import ConferenceSpec
from sipconf.media.unproven import UNPROVEN_PACKETS
from tests.sim.house import NUMBER, TRUNK_HOST, House
from tests.sim.rtp_phone import RtpPhone

Line = dict[str, Any]
ROOM = ConferenceSpec("Weekly", "2001")
VICTIM = "203.0.113.99"


def received(house: House) -> int:
    """All that went to the victim, RTP and RTCP."""
    return sum(len(box) for (host, _), box in house.wire.inboxes.items() if host == VICTIM)


def pointing(house: House, name: str = "101", **where: Any) -> RtpPhone:
    """A telephone whose SDP names the victim, and which says nothing itself."""
    phone = house.phone(name, **where)
    phone.shown_host, phone.talks = VICTIM, False
    return phone


@pytest.mark.parametrize("dialled", ["2001", "102"])
def test_a_user_can_have_a_second_of_voice_sent_and_no_more(dialled: str, line: Line) -> None:
    with House(ROOM, silence_timeout=1e9, **line) as house:
        others = [house.dial(house.phone("103"), "2001")]
        called = house.phone("102")
        house.register(called)
        phone = house.dial(pointing(house), dialled)
        house.run(8.0)
        assert 0 < received(house) <= UNPROVEN_PACKETS * (1.2 if line else 1)  # the network doubles some
        before = received(house)
        for _ in range(5):
            house.reoffer(phone, "sendrecv", host=VICTIM)
            house.run(1.0)
        assert received(house) <= max(before, UNPROVEN_PACKETS) + 3
        assert others[0].in_call
        house.settle()
        assert received(house) <= UNPROVEN_PACKETS * (1.2 if line else 1)


def test_a_trunks_media_may_be_anywhere() -> None:
    with House(ROOM, silence_timeout=1e9) as house:
        house.dial(pointing(house, "+32475", host=TRUNK_HOST), NUMBER)
        house.run(8.0)
        assert received(house) > 380
        house.settle()


def test_a_stranger_reaches_nobody_with_it() -> None:
    with House(ROOM) as house:
        phone = pointing(house, "999")
        phone.password = "guessed"
        phone.invite("2001", house.now)
        house.run(3.0)
        assert not phone.in_call and received(house) == 0
        house.settle()
