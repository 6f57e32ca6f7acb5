"""Legs on the shared port, over real sockets: checks, handshakes, keys, sound, and what strangers get."""

from collections.abc import Iterator

import pytest
from aioice import stun

from sipconf.media import protocol
from tests.media.browsers import FIRST, Browser, Rig, check, of_kind
from tests.media.loopback import LOCAL, read_all
from tests.sim.voice import loudness


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.close()


def test_browsers_hear_each_other_and_everything_is_encrypted(rig: Rig) -> None:
    for number in range(3):
        rig.join(number, 400 + 150 * number)
    rig.run(150)
    for browser in rig.browsers:
        assert len(browser.heard) > 140
        sound = browser.sound()[-8000:]
        for other in rig.browsers:
            level = loudness(sound, other.pitch, 8000)
            assert level < 60 if other is browser else level > 1500
        assert not browser.others
    chosen = {event.leg: event.address for event in of_kind(rig.events, protocol.PairChosen)}
    assert chosen == {browser.number: browser.address for browser in rig.browsers}
    opened = of_kind(rig.events, protocol.LegOpened)
    assert all((event.port, event.shared_port) == (0, FIRST) for event in opened)


def test_reports_and_the_farewell_are_encrypted_too(rig: Rig) -> None:
    browser = rig.join(0, 500)
    rig.run(400)
    reports = len(browser.rtcp)
    assert reports
    rig.plane.send(protocol.CloseLeg(0))
    rig.run(1)
    assert b"\xcb" in browser.rtcp[-1] and len(browser.rtcp) == reports + 1
    assert not rig.srtp.count and not rig.srtp.has_keys(0)


def test_nothing_but_checks_and_handshakes_passes_before_there_are_keys(rig: Rig) -> None:
    browser = Browser(0, 500, FIRST, rig.rng)
    rig.browsers.append(browser)
    browser.talks = False
    rig.open(browser)
    rig.connect(browser)
    rig.run(2)
    browser.check()
    for _ in range(10):
        browser.send(browser.packet())  # in the clear
        browser.speak()
        rig.run(1)
    assert rig.srtp.early[0] == 20 and not browser.heard and not browser.others and not browser.rtcp
    hello = b"\x16\xfe\xfd" + bytes(60)
    browser.send(hello)
    assert of_kind(rig.run(1), protocol.DtlsReceived) == [protocol.DtlsReceived(0, hello)]
    rig.plane.send(protocol.SecureLeg(0, browser.keys))
    rig.run(5)
    assert browser.heard


def test_an_answer_tells_the_browser_its_address(rig: Rig) -> None:
    browser = rig.join(0, 500)
    rig.run(1)
    answer = stun.parse_message(browser.answers[0])  # judges the fingerprint
    assert answer.check_message_integrity(browser.password.encode())
    assert answer.message_class is stun.Class.RESPONSE
    assert answer.attributes["XOR-MAPPED-ADDRESS"] == browser.address


def test_handshakes_of_strangers_go_nowhere(rig: Rig) -> None:
    """CVE-2023-49786: a stranger's ClientHello must not reach a handshake."""
    browser = rig.join(0, 500)
    rig.run(5)
    stranger = rig.stranger()
    for _ in range(100):
        stranger.sendto(b"\x16\xfe\xfd" + bytes(60), (LOCAL, FIRST))
    assert not of_kind(rig.run(3), protocol.DtlsReceived)
    assert rig.shared.strange_handshakes == 100 and not read_all(stranger)
    for _ in range(100):  # and its peer's are bounded
        browser.send(b"\x16\xfe\xfd" + bytes(60))
    assert len(of_kind(rig.run(1), protocol.DtlsReceived)) == 16


def test_forged_checks_get_nothing_and_the_call_loses_nothing(rig: Rig) -> None:
    """50,000 of them, a third of them with the right user name."""
    browser, other = rig.join(0, 500), rig.join(1, 900)
    rig.run(50)
    stranger = rig.stranger()
    forged = [check(name, "a password that is not ours") for name in ("ufrag0:peer0", "nobody:peer", "x" * 500)]
    answered, heard, lost = rig.shared.answered, len(other.heard), rig.streams.lost([0, 1]).tolist()
    for _ in range(334):
        for n in range(150):
            stranger.sendto(forged[n % 3], (LOCAL, FIRST))
        rig.run(1)
    assert not read_all(stranger)
    assert rig.shared.answered - answered in (26, 28)  # the browsers' own, twice a second
    assert len(other.heard) - heard == 334
    assert rig.streams.lost([0, 1]).tolist() == lost == [0, 0]
    assert browser.number not in [event.leg for event in of_kind(rig.events, protocol.LegSilent)]
