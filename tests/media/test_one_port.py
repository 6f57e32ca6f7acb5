"""Everything on one UDP port: whose a telephone's packets are, and that nobody's are ever guessed."""

import struct
from collections.abc import Iterator

import pytest

from sipconf.media import protocol
from sipconf.rtp.one_port import PlainLegs
from tests.media.browsers import EVENTS, FIRST, Browser, Rig, check, of_kind
from tests.media.loopback import ELSEWHERE, LOCAL, PCMU, open_socket
from tests.sim.voice import loudness

PRIVATE = "192.168.1.10"


class Telephone(Browser):
    """In the clear, on one of this machine's hosts. named: the address that its signalling names."""

    def __init__(self, rig: Rig, number: int, pitch: int, host: str = LOCAL, named: tuple[str, int] | None = None,
                 mux: bool = True) -> None:  # fmt: skip
        super().__init__(number, pitch, FIRST, rig.rng)
        self.socket.close()
        self.socket, self.rtcp_socket = open_socket(host), open_socket(host)
        self.checks = False
        rig._strangers.append(self.rtcp_socket)
        rig.plane.send(protocol.OpenLeg(number, "0.0.0.0", "us@conf"))
        remote = named or self.address
        rig.plane.send(
            protocol.ConnectLeg(
                number, remote, None if mux else self.rtcp_socket.getsockname(), host, (PCMU,), PCMU, EVENTS, mux,
                "sendrecv",
            )  # fmt: skip
        )
        rig.plane.send(protocol.PlaceLeg(number, 1))
        rig.browsers.append(self)

    def speak(self) -> bytes:
        data = self.packet()
        self.send(data)
        return data

    def listen(self) -> None:
        while True:
            try:
                data = self.socket.recv(2048)
            except BlockingIOError:
                return
            (self.rtcp if 192 <= data[1] <= 223 else self.heard).append(data)


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig(one_port=True)
    yield rig
    rig.close()


def test_telephones_and_browsers_meet_on_one_port(rig: Rig) -> None:
    phones = [Telephone(rig, 0, 400), Telephone(rig, 1, 700), rig.join(2, 1000)]
    rig.run(150)
    assert {(event.port, event.shared_port) for event in of_kind(rig.events, protocol.LegOpened)} == {
        (FIRST, FIRST), (0, FIRST),
    }  # fmt: skip
    for phone in phones:
        assert len(phone.heard) > 140
        for other in phones:
            level = loudness(phone.sound()[-8000:], other.pitch, 8000)
            assert level < 60 if other is phone else level > 1500
    assert rig.streams.lost([0, 1, 2]).tolist() == [0, 0, 0]


def test_behind_a_nat_the_only_one_of_its_host_is_found_and_a_second_waits(rig: Rig) -> None:
    first = Telephone(rig, 0, 400, named=(PRIVATE, 4000))
    first.talks = False
    second = Telephone(rig, 1, 700, named=(PRIVATE, 4002))
    rig.run(100)  # the second may be either's: nobody's
    assert rig.streams.latched(0) is None and rig.streams.latched(1) is None and not second.heard
    elsewhere = Telephone(rig, 2, 1000, host=ELSEWHERE, named=(PRIVATE, 4000))
    rig.run(60)
    assert rig.streams.latched(2) == elsewhere.address and elsewhere.heard
    rig.plane.send(protocol.CloseLeg(0))
    rig.browsers.remove(first)
    rig._strangers.append(first.socket)
    rig.run(100)
    assert rig.streams.latched(1) == second.address and second.heard
    assert loudness(elsewhere.sound()[-4000:], 700, 8000) > 1500


def test_who_is_bound_stays_so_whatever_others_name(rig: Rig) -> None:
    victim = Telephone(rig, 0, 400)
    rig.run(50)
    thief = Telephone(rig, 1, 700, host=ELSEWHERE, named=victim.address)
    thief.talks = False
    rig.run(50)
    assert rig.streams.latched(1) is None and rig.streams.lost([0]).tolist() == [0]
    sound = victim.sound()
    thief.talks = True
    rig.run(50)
    assert rig.streams.latched(1) == thief.address
    assert len(victim.sound()) > len(sound)


@pytest.mark.parametrize("bound", [True, False])
def test_a_check_with_a_telephones_address_takes_nothing(rig: Rig, bound: bool) -> None:
    """A visitor has good credentials; where a datagram comes from anybody can forge."""
    visitor, phone = rig.join(0, 500), Telephone(rig, 1, 700)
    phone.talks = bound
    rig.run(20)
    refused = rig.shared.agent.refused["taken"]
    for _ in range(10):
        phone.send(check(f"{visitor.ours}:{visitor.theirs}", visitor.password))
        rig.run(1)
    assert rig.shared.agent.refused["taken"] - refused == 10
    phone.talks = True
    rig.run(20)
    heard, received = len(phone.heard), int(rig.streams.received[1])
    rig.run(50)
    assert (len(phone.heard), int(rig.streams.received[1])) == (heard + 50, received + 50)
    assert len(visitor.heard) > 60 and of_kind(rig.events, protocol.PairChosen) == [
        protocol.PairChosen(0, visitor.address)]  # fmt: skip


def test_naming_a_browsers_address_does_not_stop_its_checks(rig: Rig) -> None:
    browser = rig.join(0, 500)
    Telephone(rig, 1, 700, host=ELSEWHERE, named=browser.address).talks = False
    answers = len(browser.answers)
    rig.run(100)
    assert len(browser.answers) - answers == 4


def test_reports_come_and_go_on_the_one_port(rig: Rig) -> None:
    phone, muxed = Telephone(rig, 0, 400, mux=False), Telephone(rig, 1, 700)
    rig.run(60)
    report = struct.pack("!BBHI", 0x80, 201, 1, phone.ssrc)
    bad = rig.plane._reports.bad
    phone.rtcp_socket.sendto(report, (LOCAL, FIRST))
    rig.run(400)
    assert rig.plane._reports.bad == bad
    assert muxed.rtcp and not phone.rtcp and phone.rtcp_socket.recv(2048)[1] == 200


def test_an_address_is_claimed_by_one_or_by_nobody() -> None:
    legs = PlainLegs()
    home, private = ("192.0.2.1", 4000), (PRIVATE, 4000)
    legs.wait(0, private, "192.0.2.1")
    assert legs.claimant(home) == 0 and legs.claimant(private) == 0 and legs.claimant(("192.0.2.2", 4000)) is None
    legs.wait(1, home, "203.0.113.5")  # names an address of somebody else's host
    assert legs.claimant(home) is None and legs.claimant(("192.0.2.1", 5000)) == 0
    legs.wait(2, home, "192.0.2.1")  # its own host's
    assert legs.claimant(home) == 2 and legs.claimant(("192.0.2.1", 5000)) is None
    assert legs.is_held(home, None) and not legs.is_held(private, None)
    legs.bind(2, home)
    assert legs.is_held(home, 2) and not legs.is_held(home, None) and not legs.is_held(private, 7)
    assert legs.claimant(("192.0.2.1", 5000)) == 0
    assert legs.wait(2, None, "192.0.2.1") == home and 2 in legs
    legs.expect_rtcp(0, home)
    legs.expect_rtcp(1, home)
    assert legs.rtcp_claimant(home) == 0
    assert legs.close(1) is None and legs.rtcp_claimant(home) == 0
    legs.close(0)
    legs.close(2)
    assert len(legs) == 0 and legs.rtcp_claimant(home) is None and not legs._by_host and not legs._by_remote


@pytest.mark.parametrize("browser_answers", [False, True])
def test_a_leg_that_rang_both_ways_is_its_answers(rig: Rig, browser_answers: bool) -> None:
    peer = Browser(0, 400, FIRST, rig.rng)
    rig.browsers.append(peer)
    peer.talks = peer.checks = False
    rig.plane.send(protocol.OpenLeg(0, "0.0.0.0", "us@conf", None, peer.terms.ice))
    rig.run(1)
    assert of_kind(rig.events, protocol.LegOpened) == [protocol.LegOpened(0, FIRST, FIRST)]
    if browser_answers:
        rig.connect(peer)
    else:
        rig.plane.send(
            protocol.ConnectLeg(0, peer.address, None, LOCAL, (PCMU,), PCMU, EVENTS, True, "sendrecv")
        )
    rig.run(1)
    peer.check()
    for _ in range(20):
        peer.send(peer.packet())
        rig.run(1)
    assert bool(peer.answers) is browser_answers
    assert (rig.streams.latched(0) is None) is browser_answers
    rig.browsers.remove(peer)  # it hears a telephone's farewell, in the clear
    rig._strangers.append(peer.socket)
    rig.plane.send(protocol.CloseLeg(0))
    rig.run(2)
    assert not rig.shared._slot_of and not rig.shared._aims and not len(rig.shared._plain)
