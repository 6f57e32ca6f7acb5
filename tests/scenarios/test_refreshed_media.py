"""What people hear while their call is refreshed (RFC 4028): nothing of it, unless their telephone moved meanwhile."""

from typing import Any

import pytest

from sipconf.conference.directory import ConferenceSpec
from sipconf.media import protocol
from tests.sim.house import House, assert_everyone_hears_the_others

ROOM = ConferenceSpec("Open", "2002")
TIMER = "Supported: timer\r\nSession-Expires: 90"


class Connections:
    """Every ConnectLeg that the plane is told."""

    def __init__(self, house: House) -> None:
        self.seen: list[protocol.ConnectLeg] = []
        send = house.send

        def watched(command: protocol.Command) -> None:
            if isinstance(command, protocol.ConnectLeg):
                self.seen.append(command)
            send(command)

        house.send = watched


def talking(house: House, says: str) -> list[Any]:
    one, two = house.phone("101"), house.phone("102")
    one.says = f"{says}\r\n"
    for phone in (one, two):
        house.dial(phone, "2002")
    one.says, one.timer = "", "uas"
    house.run(1.0)
    return [one, two]


@pytest.mark.parametrize("refresher", ["uas", "uac"])
def test_a_refresh_is_not_heard(refresher: str) -> None:
    with House(ROOM) as house:
        connections = Connections(house)
        people = one, two = talking(house, f"{TIMER};refresher={refresher}")
        assert len(connections.seen) == 2
        house.run(43.0)
        for phone in people:
            phone.forget()
        if refresher == "uac":
            one.reinvite("sendrecv", house.now)
        house.run(3.0)
        assert one.log.count("200 INVITE") + one.log.count("INVITE") == 2, "refreshed once"
        assert [phone.gaps(other.pitch) for phone, other in ((one, two), (two, one))] == [0, 0]
        assert_everyone_hears_the_others(people)
        *_, last = connections.seen
        assert last in connections.seen[:2] and len(connections.seen) == (2 if refresher == "uas" else 3)
        house.settle()


def test_a_telephone_whose_nat_forgot_it_is_found_again_though_it_says_nothing_new() -> None:
    with House(ROOM) as house:
        people = one, _ = talking(house, TIMER)
        said = one.sdp()
        one.talks = False
        house.run(10.0)
        one.talks, one.media_address = True, (one.address[0], 5004)  # the way through the NAT is another now
        one.sdp = lambda mode=None: said
        one.reinvite("sendrecv", house.now)
        house.run(2.0)
        house.listen(1.0)
        assert_everyone_hears_the_others(people)
        house.settle()


def test_a_telephone_may_move_its_media_when_we_refresh() -> None:
    with House(ROOM) as house:
        people = one, _ = talking(house, f"{TIMER};refresher=uas")
        house.run(43.0)
        one.move_media((one.address[0], 5004), "PCMU", 101)
        house.run(3.0)
        assert "INVITE" in one.log
        house.listen(1.0)
        assert_everyone_hears_the_others(people)
        house.settle()
