"""Legs on the shared port, over real sockets: checks, handshakes, keys, sound, and what strangers get."""

import socket
import struct
from collections.abc import Iterator

import pytest
from aioice import stun

from sipconf.media import protocol
from sipconf.rtp.edge.settled import PASSES
from sipconf.rtp.edge.shared_port import PEER_READ
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


@pytest.mark.parametrize("one_port", [False, True])
def test_what_one_leg_brings_to_a_tick_is_bounded(one_port: bool) -> None:
    rig = Rig(one_port=one_port)
    browser = rig.join(0, 500)
    rig.join(1, 900)
    rig.run(50)
    heard, received = len(browser.heard), int(rig.streams.received[0])
    browser.talks = False
    report = struct.pack("!BBHI", 0x80, 201, 1, browser.ssrc)
    for _ in range(5):
        for _ in range(100):
            browser.speak()
            browser.send(browser.outbound.protect_rtcp(report))
        rig.run(1)
    assert int(rig.streams.received[0]) - received == 5 * PASSES // 2
    assert rig.shared.excess == 5 * (200 - PASSES)
    assert len(browser.heard) - heard == 5 and rig.streams.lost([1]).tolist() == [0]
    rig.close()


def test_forged_checks_from_one_browsers_address_do_not_take_the_others_turn(rig: Rig) -> None:
    victim, other = rig.join(0, 500), rig.join(1, 900)
    rig.run(5)
    victim.checks = other.checks = False
    forged = check("ufrag0:peer0", "a password that is not ours")
    for _ in range(20):
        answers, verified = len(other.answers), rig.shared.agent.verified
        for _ in range(300):
            victim.send(forged)
        other.check()
        rig.run(1)
        assert len(other.answers) == answers + 1
        assert rig.shared.agent.verified - verified == 1 + PEER_READ


def test_what_went_wrong_is_reported_by_the_second(rig: Rig) -> None:
    browser = rig.join(0, 500)
    rig.run(100)
    stranger = rig.stranger()
    for data in (browser.packet(), b"\x16\xfe\xfd" + bytes(60), b"\xff", check("nobody:peer", "x")):
        stranger.sendto(data, (LOCAL, FIRST))
    browser.send(browser.packet())  # in the clear
    browser.send(browser.speak())
    for _ in range(PASSES):
        browser.speak()
    (first, second) = of_kind(rig.run(100), protocol.PlaneReport)
    names = ("strangers", "checks_refused", "srtp_failures", "excess", "malformed", "send_errors")
    assert [getattr(first, name) for name in names] == [3, 1, 2, 4, 0, 0]
    assert [getattr(second, name) for name in names] == [0] * 6


def test_a_restart_moves_the_call_to_another_network_and_loses_nothing(rig: Rig) -> None:
    browser, other = rig.join(0, 500), rig.join(1, 900)
    rig.run(50)
    browser.ours, browser.password, browser.theirs = "restarted", "another-password-00000000", "renewed"
    rig.connect(browser)
    browser.checks = False
    rig.run(10)  # on the old pair until one of the new ones is nominated
    old, browser.socket = browser.socket, rig.stranger()
    browser.check(nominate=False)
    browser.talks = False
    rig.run(1)
    assert not of_kind(rig.run(1), protocol.PairChosen) and len(read_all(old)) == 2
    browser.check()
    browser.talks = True
    assert of_kind(rig.run(1), protocol.PairChosen) == [protocol.PairChosen(0, browser.address)]
    heard = len(other.heard), len(browser.heard)
    rig.run(50)
    assert (len(other.heard), len(browser.heard)) == (heard[0] + 50, heard[1] + 50)
    assert rig.streams.lost([0, 1]).tolist() == [0, 0] and not rig.srtp.forged.any()
    browser.send(check("ufrag0:peer0", "password-of-0-0000000000"))
    answers = len(browser.answers)
    rig.run(1)
    assert len(browser.answers) == answers
    old.close()


def test_who_checks_no_more_is_sent_nothing_and_is_lost(rig: Rig) -> None:
    browser = rig.join(0, 500)
    rig.run(20)
    browser.checks = False
    events = rig.run(29 * 50)
    assert not of_kind(events, protocol.LegSilent)
    assert of_kind(rig.run(100), protocol.LegSilent) == [protocol.LegSilent(0)]
    heard = len(browser.heard)
    rig.run(50)
    assert len(browser.heard) == heard
    browser.check()  # it is back before it was hung up
    rig.run(10)
    assert len(browser.heard) > heard


@pytest.mark.parametrize("sound_ends_first", [True, False])
def test_who_falls_silent_and_checks_no_more_is_told_of_once(sound_ends_first: bool) -> None:
    rig = Rig(silence_timeout=15.0)
    browser = rig.join(0, 500)
    rig.run(20)
    browser.checks, browser.talks = False, not sound_ends_first
    rig.run(33 * 50)
    browser.talks = False
    rig.run(40 * 50)
    assert of_kind(rig.events, protocol.LegSilent) == [protocol.LegSilent(0)]
    browser.check()
    rig.run(60)
    assert len(of_kind(rig.events, protocol.LegSilent)) == 1
    browser.talks = browser.checks = True
    rig.run(100)
    browser.talks = False
    rig.run(17 * 50)
    assert len(of_kind(rig.events, protocol.LegSilent)) == 2
    rig.close()


def test_hold_and_resume(rig: Rig) -> None:
    browser, other = rig.join(0, 500), rig.join(1, 900)
    rig.run(30)
    rig.connect(browser, "inactive")
    rig.run(5)
    heard = len(browser.heard)
    rig.run(30)
    assert len(browser.heard) == heard
    rig.connect(browser)
    rig.run(60)
    assert len(browser.heard) >= heard + 58 and not browser.others
    assert loudness(other.sound()[-4000:], 500, 8000) > 1500


def test_of_several_telephones_that_ring_the_one_that_answers_is_chosen(rig: Rig) -> None:
    ringing = [Browser(0, 500, FIRST, rig.rng) for _ in range(3)]
    rig.open(ringing[0])
    rig.run(1)
    for number, browser in enumerate(ringing):
        browser.theirs = f"telephone{number}"
        browser.check()
    assert not of_kind(rig.run(1), protocol.PairChosen)
    rig.connect(ringing[1])
    assert of_kind(rig.run(1), protocol.PairChosen) == [protocol.PairChosen(0, ringing[1].address)]
    ringing[2].check()
    ringing[2].send(b"\x16\xfe\xfd" + bytes(60))
    assert not of_kind(rig.run(2), (protocol.PairChosen, protocol.DtlsReceived))  # type: ignore[arg-type]
    rig.browsers += ringing
    for browser in ringing:
        browser.talks = browser.checks = False


def test_both_kinds_of_ip_reach_the_one_socket(rig: Rig) -> None:
    browser = Browser(0, 500, FIRST, rig.rng)
    browser.socket.close()
    try:
        browser.socket = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        browser.socket.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 here")
    browser.socket.setblocking(False)
    browser.send = lambda data: browser.socket.sendto(data, ("::1", FIRST))  # type: ignore[method-assign]
    rig.browsers.append(browser)
    rig.open(browser)
    rig.connect(browser)
    rig.run(1)
    message = check("ufrag0:peer0", browser.password)
    browser.send(message)
    rig.run(1)
    answer = stun.parse_message(browser.answers[0])
    assert answer.attributes["XOR-MAPPED-ADDRESS"] == browser.address[:2]
    rig.plane.send(protocol.SecureLeg(0, browser.keys))
    rig.run(20)
    assert len(browser.heard) > 15
    assert of_kind(rig.events, protocol.PairChosen) == [protocol.PairChosen(0, browser.address[:2])]
