"""SRTP by keys of the signalling (RFC 4568) on ports of a telephone's own: whom it latches onto, what it lets by."""

from collections.abc import Iterator

import pytest

from sipconf.media import protocol
from tests.media.browsers import EVENTS, Browser, Rig, of_kind
from tests.media.loopback import ELSEWHERE, LOCAL, PCMU, read_all
from tests.sim.voice import loudness


class Telephone(Browser):
    """Speaks to a port of its own and is found by latching."""

    def __init__(self, rig: Rig, number: int, pitch: int) -> None:
        super().__init__(number, pitch, 0, rig.rng)
        self.checks = False
        rig.plane.send(protocol.OpenLeg(number, LOCAL, "us@conf"))
        rig.run(1)
        self.port = of_kind(rig.events, protocol.LegOpened)[-1].port
        self.connect(rig)
        rig.plane.send(protocol.PlaceLeg(number, 1))
        rig.browsers.append(self)

    def connect(self, rig: Rig, host: str = LOCAL) -> None:
        rig.plane.send(
            protocol.ConnectLeg(
                self.number, (host, self.address[1]), None, host, (PCMU,), PCMU, EVENTS, True, "sendrecv",
                srtp=self.keys,
            )  # fmt: skip
        )


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.close()


def test_telephones_and_a_browser_hear_each_other_encrypted(rig: Rig) -> None:
    phones = [Telephone(rig, 0, 400), Telephone(rig, 1, 700), rig.join(2, 1000)]
    rig.run(150)
    for phone in phones:
        assert len(phone.heard) > 140 and not phone.others
        for other in phones:
            level = loudness(phone.sound()[-8000:], other.pitch, 8000)
            assert level < 60 if other is phone else level > 1500
    assert rig.streams.lost([0, 1, 2]).tolist() == [0, 0, 0]
    assert not rig.srtp.replayed.any() and not rig.srtp.forged.any()


def test_what_is_replayed_forged_or_plain_neither_latches_nor_is_heard(rig: Rig) -> None:
    victim, other = Telephone(rig, 0, 400), Telephone(rig, 1, 700)
    victim.talks = False
    rig.run(5)
    thieves = [rig.stranger(), rig.stranger(), rig.stranger(ELSEWHERE)]  # on the victim's host, and elsewhere
    for _ in range(80):
        plain = victim.packet()
        thieves[0].sendto(plain, (LOCAL, victim.port))  # a faultless stream, which would latch if it were believed
        for thief in thieves[1:]:
            thief.sendto(plain + bytes(10), (LOCAL, victim.port))
            for size in range(12):
                thief.sendto(plain[:size], (LOCAL, victim.port))
        rig.run(1)
    assert rig.streams.latched(0) is None
    victim.talks = True
    rig.run(60)
    assert rig.streams.latched(0) == victim.address
    heard = len(other.heard)
    for _ in range(20):  # and what it says comes again from elsewhere
        data = victim.speak()
        for thief in thieves:
            thief.sendto(data, (LOCAL, victim.port))
        victim.send(data)
        rig.run(1)
    assert len(other.heard) == heard + 20
    rig.run(10)  # until the last of them has been read
    assert rig.srtp.replayed[0] == 20
    assert rig.streams.strangers[0] > 20  # which the leg's reports tell
    assert all(not read_all(thief) for thief in thieves)
    assert rig.streams.lost([0]).tolist() == [0]


def test_a_new_address_with_the_same_keys_goes_on_where_it_was(rig: Rig) -> None:
    phone = Telephone(rig, 0, 400)
    phone.sequence = 65_500
    rig.run(100)  # across a roll-over, which only a session that goes on knows of
    assert rig.srtp.forged[0] == 0 and phone.sequence > 65_536
    old, phone.socket = phone.socket, rig.stranger()
    phone.connect(rig)
    rig.run(80)
    assert rig.streams.latched(0) == phone.address and rig.srtp.forged[0] == 0
    old.close()
    heard = len(phone.heard)
    phone.connect(rig)  # a re-INVITE for other reasons
    rig.run(20)
    assert len(phone.heard) == heard + 20 and not phone.others


def test_an_offer_without_keys_weakens_nothing(rig: Rig) -> None:
    phone = Telephone(rig, 0, 400)
    rig.run(30)
    rig.plane.send(
        protocol.ConnectLeg(0, phone.address, None, LOCAL, (PCMU,), PCMU, EVENTS, True, "sendrecv")
    )
    phone.heard.clear()
    rig.run(30)
    assert len(phone.heard) == 30 and not phone.others


def test_keys_that_cannot_be_used_end_the_leg(rig: Rig) -> None:
    rig.plane.send(protocol.OpenLeg(0, LOCAL, "us@conf"))
    keys = protocol.SrtpKeys("F8_128_HMAC_SHA1_80", bytes(30), bytes(30))
    rig.plane.send(
        protocol.ConnectLeg(0, (LOCAL, 4000), None, LOCAL, (PCMU,), PCMU, EVENTS, True, "sendrecv", srtp=keys)
    )
    (failed,) = of_kind(rig.run(1), protocol.LegFailed)
    assert failed.leg == 0 and rig.plane.legs == 0


def test_a_leg_that_rang_both_ways_lives_where_its_answer_says(rig: Rig) -> None:
    for number, webrtc in ((0, True), (1, False)):
        peer = Browser(number, 400, rig.shared.port, rig.rng)
        rig.browsers.append(peer)
        peer.talks = peer.checks = False
        rig.plane.send(protocol.OpenLeg(number, LOCAL, "us@conf", None, peer.terms.ice))
        rig.run(1)
        opened = of_kind(rig.events, protocol.LegOpened)[-1]
        assert opened.port and opened.shared_port == rig.shared.port
        if webrtc:
            rig.connect(peer)
        else:
            rig.plane.send(
                protocol.ConnectLeg(number, peer.address, None, LOCAL, (PCMU,), PCMU, EVENTS, True, "sendrecv")
            )
        rig.run(1)
        peer.check()
        rig.run(1)
        assert bool(peer.answers) is webrtc


def test_a_browsers_leg_cannot_become_a_telephones(rig: Rig) -> None:
    browser = Browser(0, 400, rig.shared.port, rig.rng)
    rig.browsers.append(browser)
    browser.talks = browser.checks = False
    rig.plane.send(protocol.OpenLeg(0, LOCAL, "us@conf", None, browser.terms.ice))
    rig.connect(browser)
    rig.run(1)
    rig.plane.send(
        protocol.ConnectLeg(0, browser.address, None, LOCAL, (PCMU,), PCMU, EVENTS, True, "sendrecv")
    )
    (failed,) = of_kind(rig.run(1), protocol.LegFailed)
    assert failed.leg == 0 and rig.plane.legs == 0
