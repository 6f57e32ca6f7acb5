"""Calls with SRTP and from browsers, from SIP to the commands that the media plane gets: keys mirrored, credentials as
they were told, nothing weaker than before. What media does with them is tested there."""

import pytest

from sipconf.conference.directory import ConferenceSpec
from sipconf.media.protocol import CloseLeg, ConnectLeg, OpenLeg
from tests.sim.house import FINGERPRINT, HOST
from tests.sim.secure_phones import KEY_OCTETS, SHARED_PORT, Browser, SdesPhone, SecureHouse, keys_in, value

ROOM = ConferenceSpec("Open", "2001")
SECRET_ROOM = ConferenceSpec("Board", "2002", encrypted=True)
SHA1_80 = "AES_CM_128_HMAC_SHA1_80"


def dial(house: SecureHouse, phone: SdesPhone | Browser, dialled: str = "2001", offer: bool = True) -> None:
    phone.invite(dialled, house.now, offer)
    house.until(lambda: phone.in_call, f"{phone.name} is answered")
    house.run(0.1)


def reinvite(house: SecureHouse, phone: SdesPhone | Browser, mode: str = "sendrecv") -> None:
    before = len(phone.log)
    phone.reinvite(mode, house.now)
    house.until(lambda: any("INVITE" in each for each in phone.log[before:]), "the re-INVITE is answered")
    house.run(0.1)


def rejected(house: SecureHouse, phone: SdesPhone | Browser, dialled: str = "2001") -> str:
    """The first line of what a caller is refused with."""
    phone.invite(dialled, house.now)
    house.until(lambda: "488 INVITE" in phone.log, "refused")
    house.run(0.1)
    assert not house.switchboard.lines
    return house.refusal(488).decode().split("\r\n")[0]


# --- SDES ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("suite", KEY_OCTETS)
def test_keys_of_an_srtp_call_reach_both_ends_mirrored(suite: str) -> None:
    with SecureHouse(ROOM) as house:
        phone = house.guest(SdesPhone, "101", suite=suite)
        dial(house, phone)
        (answered,) = keys_in(phone.bodies[-1]).items()
        (connect,) = house.told(ConnectLeg)
        assert answered == (suite, (1, connect.srtp.tx)) and "RTP/SAVP 0" in phone.bodies[-1]
        assert (connect.srtp.profile, connect.srtp.rx) == (suite, phone.key)
        assert len(connect.srtp.tx) == KEY_OCTETS[suite] and connect.srtp.tx != connect.srtp.rx
        assert house.told(OpenLeg)[0].ice is None and connect.webrtc is None
        phone.bye(house.now)
        house.settle()


def test_hold_keeps_our_key_and_a_new_key_of_theirs_makes_a_new_one_of_ours() -> None:
    with SecureHouse(ROOM) as house:
        phone = house.guest(SdesPhone, "101")
        dial(house, phone)
        reinvite(house, phone, "sendonly")
        first, held = house.told(ConnectLeg)
        assert held.direction == "recvonly" and held.srtp == first.srtp
        phone.key = phone.new_key()
        reinvite(house, phone)
        renewed = house.told(ConnectLeg)[-1]
        assert renewed.srtp.rx == phone.key and renewed.srtp.tx != first.srtp.tx
        assert keys_in(phone.bodies[-1])[SHA1_80][1] == renewed.srtp.tx
        phone.bye(house.now)
        house.settle()


def test_an_encrypted_call_is_never_taken_on_in_the_clear() -> None:
    with SecureHouse(ROOM) as house:
        phone = house.guest(SdesPhone, "101")
        dial(house, phone)
        phone.profile, phone.lists_keys = "RTP/AVP", False
        reinvite(house, phone)
        assert "488 INVITE" in phone.log
        assert b"488 This call is encrypted and cannot go on unencrypted\r\n" in house.refusal(488)
        assert len(house.told(ConnectLeg)) == 1 and not house.told(CloseLeg) and len(house.switchboard.lines) == 1
        phone.profile, phone.lists_keys = "RTP/SAVP", True
        reinvite(house, phone, "sendonly")
        first, after = house.told(ConnectLeg)
        assert after.srtp == first.srtp
        phone.bye(house.now)
        house.settle()


def test_keys_are_not_taken_where_everybody_can_read_them() -> None:
    with SecureHouse(ROOM) as house:
        reason = rejected(house, house.guest(SdesPhone, "101", transport="udp"))
        assert reason == "SIP/2.0 488 SRTP keys are taken over TLS only: use the transport TLS, or switch SRTP off"
        best_effort = house.guest(SdesPhone, "102", transport="tcp")
        best_effort.profile = "RTP/AVP"
        dial(house, best_effort)
        assert house.told(ConnectLeg)[0].srtp is None and "a=crypto" not in best_effort.bodies[-1]
        best_effort.bye(house.now)
        house.settle()


def test_keys_beside_plain_rtp_are_taken_over_tls() -> None:
    with SecureHouse(ROOM) as house:
        phone = house.guest(SdesPhone, "101")
        phone.profile = "RTP/AVP"
        dial(house, phone)
        assert house.told(ConnectLeg)[0].srtp.rx == phone.key
        assert "RTP/AVP 0" in phone.bodies[-1] and SHA1_80 in keys_in(phone.bodies[-1])
        phone.bye(house.now)
        house.settle()


# --- browsers --------------------------------------------------------------------------------------------------------
def test_a_browsers_leg_is_opened_and_connected() -> None:
    with SecureHouse(ROOM) as house:
        browser = house.guest(Browser, "101")
        dial(house, browser)
        (opened,), (connect,) = house.told(OpenLeg), house.told(ConnectLeg)
        answer = browser.bodies[-1]
        assert not opened.own_ports and (value(answer, "ice-ufrag"), value(answer, "ice-pwd")) == (
            opened.ice.ufrag, opened.ice.password)
        assert f"m=audio {SHARED_PORT} UDP/TLS/RTP/SAVPF 0 126\r\n" in answer
        assert value(answer, "candidate") == f"1 1 udp 2130706431 {HOST} {SHARED_PORT} typ host"
        assert value(answer, "fingerprint") == f"sha-256 {FINGERPRINT}" and value(answer, "setup") == "passive"
        terms = connect.webrtc
        assert (terms.ice, terms.remote_ufrag, terms.dtls_role) == (opened.ice, browser.ufrag, "server")
        assert terms.fingerprints == (("sha-256", browser.fingerprint),)
        assert (connect.remote, connect.srtp, connect.audio_level, connect.telephone_event) == (None, None, 1, 126)
        assert house.participant("101")["state"] == "talking"
        browser.bye(house.now)
        house.settle()


def test_hold_keeps_a_browsers_terms_and_a_restart_or_another_certificate_changes_them() -> None:
    with SecureHouse(ROOM) as house:
        browser = house.guest(Browser, "101")
        dial(house, browser)
        for mode in ("sendonly", "inactive", "sendrecv"):
            reinvite(house, browser, mode)
        first, *same = (each.webrtc for each in house.told(ConnectLeg))
        assert same == [first] * 3
        assert [each.direction for each in house.told(ConnectLeg)] == ["sendrecv", "recvonly", "inactive", "sendrecv"]
        browser.restart_ice()
        reinvite(house, browser)
        restarted = house.told(ConnectLeg)[-1].webrtc
        assert restarted.remote_ufrag == browser.ufrag and restarted.ice != first.ice
        assert value(browser.bodies[-1], "ice-ufrag") == restarted.ice.ufrag
        assert (restarted.fingerprints, restarted.dtls_role) == (first.fingerprints, first.dtls_role)
        browser.fingerprint = ":".join(["CD"] * 32)
        reinvite(house, browser)
        other = house.told(ConnectLeg)[-1].webrtc
        assert other.ice == restarted.ice and other.fingerprints == (("sha-256", browser.fingerprint),)
        browser.bye(house.now)
        house.settle()


def test_a_browser_that_asks_for_our_offer_gets_one_for_browsers() -> None:
    with SecureHouse(ROOM) as house:
        browser = house.guest(Browser, "101")
        dial(house, browser, offer=False)
        assert value(browser.bodies[-1], "setup") == "actpass" and "UDP/TLS/RTP/SAVPF" in browser.bodies[-1]
        (connect,) = house.told(ConnectLeg)
        assert (connect.webrtc.dtls_role, connect.webrtc.remote_ufrag) == ("server", browser.ufrag)
        browser.bye(house.now)
        house.settle()
