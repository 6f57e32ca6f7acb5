"""Calls with SRTP and from browsers, from SIP to the commands that the media plane gets: keys mirrored, credentials as
they were told, nothing weaker than before. What media does with them is tested there."""

import pytest

from sipconf.conference import events as fact
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


# --- calls out -------------------------------------------------------------------------------------------------------
def ring_three(house: SecureHouse, winner: str) -> tuple[dict[str, SdesPhone | Browser], SdesPhone]:
    """102 has a telephone of each kind, and the winner's answers; 101 calls."""
    phones = {"udp": house.guest(SdesPhone, "102", suite=None, transport="udp"), "tls": house.guest(SdesPhone, "102"),
              "ws": house.guest(Browser, "102")}
    for name, phone in phones.items():
        phone.pickup = 2.0 if name == winner else None
        phone.register(house.now)
    caller = house.guest(SdesPhone, "101", suite=None, transport="udp")
    house.until(lambda: all("200 REGISTER" in phone.log for phone in phones.values()), "registered")
    dial(house, caller, "102")
    return phones, caller


@pytest.mark.parametrize("winner", ["udp", "tls", "ws"])
def test_every_telephone_gets_the_offer_of_its_transport_and_the_winner_is_read_against_his(winner: str) -> None:
    with SecureHouse() as house:
        phones, caller = ring_three(house, winner)
        offers = {name: phone.bodies[0] for name, phone in phones.items()}
        assert " RTP/AVP 0 " in offers["udp"] and "crypto" not in offers["udp"] and "candidate" not in offers["udp"]
        assert " RTP/SAVP 0 " in offers["tls"] and set(keys_in(offers["tls"])) == set(KEY_OCTETS)
        assert "UDP/TLS/RTP/SAVPF" in offers["ws"] and value(offers["ws"], "setup") == "actpass"
        opened = next(each for each in house.told(OpenLeg) if each.ice is not None)
        assert opened.own_ports and value(offers["ws"], "ice-ufrag") == opened.ice.ufrag
        assert f"m=audio {SHARED_PORT} " in offers["ws"] and f"m=audio {SHARED_PORT} " not in offers["tls"]
        (connect,) = house.told(ConnectLeg, opened.leg)
        if winner == "tls":
            assert connect.srtp.rx == phones["tls"].key
            assert connect.srtp.tx == keys_in(offers["tls"])[SHA1_80][1]
        else:
            assert connect.srtp is None
        if winner == "ws":
            assert connect.webrtc.ice == opened.ice and connect.webrtc.remote_ufrag == phones["ws"].ufrag
        else:
            assert connect.webrtc is None and connect.remote == (phones[winner].address[0], 4000)
        assert all("CANCEL" in phone.log for name, phone in phones.items() if name != winner)
        caller.bye(house.now)
        house.run(0.1)
        assert not phones[winner].in_call and not house.switchboard.lines


def test_a_telephone_over_tls_that_knows_no_srtp_is_asked_again_without() -> None:
    with SecureHouse() as house:
        phone = house.guest(SdesPhone, "102", suite=None, transport="tls")
        phone.register(house.now)
        caller = house.guest(SdesPhone, "101", suite=None, transport="udp")
        house.run(0.1)
        dial(house, caller, "102")
        assert [" RTP/SAVP " in body for body in phone.bodies] == [True, False]
        assert all(each.srtp is None for each in house.told(ConnectLeg)) and phone.in_call
        assert "crypto" not in phone.bodies[1]
        caller.bye(house.now)
        house.run(0.1)
        assert not house.switchboard.lines


def test_no_two_telephones_are_offered_the_same_key() -> None:
    with SecureHouse() as house:
        phones = [house.guest(SdesPhone, "102") for _ in range(2)]
        for phone in phones:
            phone.register(house.now)
        caller = house.guest(SdesPhone, "101", suite=None, transport="udp")
        house.run(0.1)
        dial(house, caller, "102")
        keys = [key for phone in phones for _, key in keys_in(phone.bodies[0]).values()]
        assert len(set(keys)) == len(keys) == 2 * len(KEY_OCTETS)
        winner = next(phone for phone in phones if phone.in_call)
        connect = next(each for each in house.told(ConnectLeg) if each.srtp is not None)
        assert (connect.srtp.rx, connect.srtp.tx) == (winner.key, keys_in(winner.bodies[0])[SHA1_80][1])
        caller.bye(house.now)
        house.run(0.1)
        assert not house.switchboard.lines


def test_two_srtp_telephones_have_a_key_each_way_on_each_side() -> None:
    with SecureHouse() as house:
        called, caller = house.guest(SdesPhone, "102", suite="AEAD_AES_128_GCM"), house.guest(SdesPhone, "101")
        called.register(house.now)
        house.run(0.1)
        dial(house, caller, "102")
        keys = {each.srtp.profile: each.srtp for each in house.told(ConnectLeg)}
        assert keys[SHA1_80].rx == caller.key and keys["AEAD_AES_128_GCM"].rx == called.key
        assert keys[SHA1_80].tx == keys_in(caller.bodies[-1])[SHA1_80][1]
        assert keys["AEAD_AES_128_GCM"].tx == keys_in(called.bodies[0])["AEAD_AES_128_GCM"][1]
        caller.bye(house.now)
        house.run(0.1)
        assert not house.switchboard.lines


# --- where encryption is required ------------------------------------------------------------------------------------
def test_a_server_that_takes_encrypted_calls_only() -> None:
    with SecureHouse(ROOM, encrypted=True) as house:
        plain = house.guest(SdesPhone, "101", suite=None, transport="tls")
        assert rejected(house, plain).startswith("SIP/2.0 488 This server takes encrypted calls only")
        assert not house.told(OpenLeg)
        for guest in (house.guest(SdesPhone, "102"), house.guest(Browser, "103")):
            dial(house, guest)
            guest.bye(house.now)
        house.settle()


def test_a_conference_that_takes_encrypted_calls_only() -> None:
    with SecureHouse(ROOM, SECRET_ROOM) as house:
        plain = house.guest(SdesPhone, "101", suite=None, transport="udp")
        assert rejected(house, plain, "2002").startswith("SIP/2.0 488 This conference takes encrypted calls only")
        assert not house.told(OpenLeg) and not house.conferences.participants("2002")
        dial(house, plain, "2001")
        for guest in (house.guest(SdesPhone, "102"), house.guest(Browser, "103")):
            dial(house, guest, "2002")
        assert len(house.conferences.participants("2002")) == 2
        for guest in (plain, *(phone for phone in house.everyone if phone.in_call)):
            guest.bye(house.now)
        house.settle()


def test_an_encrypted_call_between_two_can_be_sent_to_such_a_conference_and_stays_encrypted() -> None:
    with SecureHouse(ROOM, SECRET_ROOM) as house:
        alice, bob = house.guest(SdesPhone, "101"), house.guest(SdesPhone, "102")
        bob.pickup = 0.2
        house.register(bob)
        dial(house, alice, "102")
        house.run(1.0)
        alice.refer("sip:2002@198.51.100.1", house.now)
        house.until(lambda: "BYE" in alice.log, "who transferred is released")
        assert house.states("2002") == {"102": "talking"} and "SIP/2.0 200 OK" in alice.news
        bob.profile, bob.lists_keys = "RTP/AVP", False
        reinvite(house, bob)
        assert "488 INVITE" in bob.log and house.states("2002") == {"102": "talking"}
        bob.bye(house.now)
        house.settle()


def test_an_offer_of_ours_is_for_srtp_where_encryption_is_required() -> None:
    with SecureHouse(ROOM, SECRET_ROOM) as house:
        for dialled, profile in (("2001", "RTP/AVP"), ("2002", "RTP/SAVP")):
            phone = house.guest(SdesPhone, "101")
            phone.profile, phone.lists_keys = profile, profile == "RTP/SAVP"
            dial(house, phone, dialled, offer=False)
            assert f" {profile} " in phone.bodies[-1]
            connect = house.told(ConnectLeg)[-1]
            assert (connect.srtp is not None) == (profile == "RTP/SAVP")
            phone.bye(house.now)
            house.run(0.1)
        house.settle()


def test_only_telephones_that_can_be_called_encrypted_ring_where_that_is_required(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with SecureHouse(encrypted=True) as house:
        phones = {name: house.guest(SdesPhone, "102", transport=name) for name in ("udp", "tls")}
        for phone in phones.values():
            phone.register(house.now)
        house.run(0.1)
        caller = house.guest(SdesPhone, "101")
        dial(house, caller, "102")
        assert phones["tls"].in_call and "INVITE" not in phones["udp"].log
        caller.bye(house.now)
        in_the_clear = house.guest(SdesPhone, "103", transport="udp")
        in_the_clear.register(house.now)
        house.run(0.1)
        told, take = [], house.conferences.receive
        monkeypatch.setattr(house.conferences, "receive", lambda event, now: told.append(event) or take(event, now))
        caller.invite("103", house.now)
        house.until(lambda: "480 INVITE" in caller.log, "refused")
        caller.invite("104", house.now)
        house.run(0.2)
        why = [event.why for event in told if isinstance(event, fact.OutgoingFailed)]
        assert why == [fact.NotRung.NOT_ENCRYPTED, fact.NotRung.NOT_CONNECTED] and not house.switchboard.lines
        house.settle()
