"""Keys in session descriptions (RFC 4568): lines taken to the octet, answers never weaker than offers."""

import base64
import random
from dataclasses import replace

import pytest

from sipconf.sip import crypto_sdp
from sipconf.sip.agreement import Crypto
from sipconf.sip.offer import (
    Capabilities,
    Format,
    Kind,
    LocalMedia,
    OfferError,
    Protection,
    choose,
    make_answer,
    make_offer,
    read_answer,
)

CAPS = Capabilities((Format("PCMU", 8000, 0), Format("PCMA", 8000, 8)))
OVER_TLS = Protection(sdes=True)
REQUIRED = Protection(plain=False, sdes=True)
SHA80, SHA32 = "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"
KEY = base64.b64encode(bytes(range(30))).decode()
LOCAL = LocalMedia("192.0.2.1", 10000, 10001, 77, 1, crypto=(Crypto(7, SHA80, bytes(30)),))


def sdp(*media: str) -> bytes:
    head = ("v=0", "o=- 1 1 IN IP4 198.51.100.7", "s=-", "c=IN IP4 198.51.100.7", "t=0 0")
    return "".join(f"{line}\r\n" for line in (*head, *media)).encode()


LINPHONE = sdp(
    "m=audio 7078 RTP/SAVP 0 8 101", "a=rtpmap:101 telephone-event/8000", f"a=crypto:1 {SHA80} inline:{KEY}",
    f"a=crypto:2 {SHA32} inline:{KEY}", f"a=crypto:3 AES_256_CM_HMAC_SHA1_80 inline:{KEY}",
)
PLAIN = "m=audio 4000 RTP/AVP 0"
SAVP = "m=audio 4002 RTP/SAVP 0"
LINE = f"a=crypto:7 {SHA80} inline:{KEY}"
DTLS = ("a=fingerprint:sha-256 " + ":".join(["AA"] * 32), "a=setup:active")
ICE = ("a=ice-ufrag:abcd", "a=ice-pwd:abcdefghijklmnopqrstuvwxyz")


# --- one line --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("suite", "octets"), [(SHA80, 30), (SHA32, 30), ("AEAD_AES_128_GCM", 28),
                                               ("AEAD_AES_256_GCM", 44)])
def test_keys_have_the_length_of_their_suite(suite: str, octets: int) -> None:
    for length in range(octets - 2, octets + 3):
        line = crypto_sdp.read(f"1 {suite} inline:{base64.b64encode(bytes(length)).decode()}")
        assert (line is not None) == (length == octets)
    assert crypto_sdp.SUITES[suite] == octets


@pytest.mark.parametrize("tail", ["", "|2^20", "|2^48", "|1048576", " WSH=64", " wsh=1024 -X=1", "|2^31 -X"])
def test_a_lifetime_and_a_window_are_understood(tail: str) -> None:
    assert crypto_sdp.read(f"12 {SHA80.lower()} INLINE:{KEY}{tail}") == Crypto(12, SHA80, bytes(range(30)))


@pytest.mark.parametrize("value", [
    f"1 {SHA80} inline:{KEY}|2^20|1:4", f"1 {SHA80} inline:{KEY}|1:4",  # with an identifier (MKI)
    f"1 {SHA80} inline:{KEY}|2^20|1:4;inline:{KEY}|2^20|2:4", f"1 {SHA80} inline:{KEY};inline:{KEY}",
    f"1 {SHA80} inline:{KEY}|2^49", f"1 {SHA80} inline:{KEY}|0", f"1 {SHA80} inline:{KEY}|",
    f"1 {SHA80} inline:{KEY}|2^",
    f"1 {SHA80} inline:{KEY} UNENCRYPTED_SRTP", f"1 {SHA80} inline:{KEY} UNENCRYPTED_SRTCP",
    f"1 {SHA80} inline:{KEY} UNAUTHENTICATED_SRTP", f"1 {SHA80} inline:{KEY} KDR=1", f"1 {SHA80} inline:{KEY} WSH=32",
    f"1 {SHA80} inline:{KEY} FEC_ORDER=FEC_SRTP", f"1 {SHA80} inline:{KEY} WSH",
    f"1 {SHA80} inline:{KEY} WSH=\u0664\u0664",
    f"1 {SHA80} inline:{KEY[:-1]}", f"1 {SHA80} inline:{KEY}=", f"1 {SHA80} inline:{KEY[:-1]}*", f"1 {SHA80} inline:",
    f"1 {SHA80} {KEY}", f"1 {SHA80} outline:{KEY}", f"1 {SHA80}", "1", "", f"x {SHA80} inline:{KEY}",
    f"-1 {SHA80} inline:{KEY}", f"1234567890 {SHA80} inline:{KEY}", f"1 F8_128_HMAC_SHA1_80 inline:{KEY}",
    f"1 NULL_HMAC_SHA1_80 inline:{KEY}", f"1 AES_256_CM_HMAC_SHA1_80 inline:{KEY}", f"1 {SHA80} inline:{'A' * 10000}",
])
def test_a_line_not_understood_is_passed_over_whole(value: str) -> None:
    assert crypto_sdp.read(value) is None


def test_our_keys_are_new_each_time_and_in_no_repr() -> None:
    rng = random.Random(1)
    made = crypto_sdp.fresh_of_all(rng) + crypto_sdp.fresh_of_all(rng)
    assert len({line.key for line in made}) == len(made) == 8
    for line in made:
        assert len(line.key) == crypto_sdp.SUITES[line.suite] and repr(line.key) not in repr(line)
        name, value = crypto_sdp.line(line)
        assert name == "crypto" and crypto_sdp.read(value or "") == line
    assert KEY not in repr(choose(LINPHONE, CAPS, None, OVER_TLS))


# --- offers ----------------------------------------------------------------------------------------------------------
def test_the_first_line_that_we_know_is_answered_under_its_tag() -> None:
    agreed = choose(LINPHONE, CAPS, None, OVER_TLS)
    assert agreed.kind is Kind.SDES and agreed.crypto == Crypto(1, SHA80, bytes(range(30)))
    answer = make_answer(agreed, replace(LOCAL, crypto=(Crypto(1, SHA80, bytes(30)),))).decode()
    assert "m=audio 10000 RTP/SAVP 0 101\r\n" in answer and answer.count("a=crypto:") == 1
    assert f"a=crypto:1 {SHA80} inline:{base64.b64encode(bytes(30)).decode()}\r\n" in answer
    unknown_first = LINPHONE.replace(f"a=crypto:1 {SHA80}".encode(), b"a=crypto:1 AES_192_CM_HMAC_SHA1_80")
    assert choose(unknown_first, CAPS, None, OVER_TLS).crypto.tag == 2


@pytest.mark.parametrize(("offer", "protection", "reason"), [
    (sdp(SAVP, LINE), Protection(), "over TLS only"), (sdp(SAVP), OVER_TLS, "no SRTP key"),
    (sdp(SAVP, LINE + "|1:4"), OVER_TLS, "no SRTP key"), (sdp(PLAIN), REQUIRED, "takes encrypted calls only"),
    (sdp(PLAIN, LINE + " UNENCRYPTED_SRTP"), REQUIRED, "takes encrypted calls only"),
    (sdp("m=audio 1 UDP/TLS/RTP/SAVP 0", LINE), OVER_TLS, "not supported"),
    (sdp("m=audio 1 RTP/SAVP 18", LINE), OVER_TLS, "codec"),
])
def test_refused(offer: bytes, protection: Protection, reason: str) -> None:
    with pytest.raises(OfferError, match=reason) as refused:
        choose(offer, CAPS, None, protection)
    assert refused.value.status == 488


@pytest.mark.parametrize("sections", [(PLAIN, SAVP, LINE), (SAVP, LINE, PLAIN)])
def test_of_two_sections_the_encrypted_one_is_taken_where_it_may_be(sections: tuple[str, ...]) -> None:
    agreed = choose(sdp(*sections), CAPS, None, OVER_TLS)
    assert agreed.kind is Kind.SDES and agreed.remote == ("198.51.100.7", 4002)
    ports = [line.split()[1] for line in make_answer(agreed, LOCAL).decode().split("\r\n") if line.startswith("m=")]
    assert ports == (["0", "10000"] if sections[0] == PLAIN else ["10000", "0"])
    assert choose(sdp(*sections), CAPS).kind is Kind.PLAIN  # over UDP the other


def test_keys_beside_plain_rtp_are_best_effort() -> None:
    """Taken over TLS, where the user has asked for as much encryption as there is; read over elsewhere, or where they
    are of no use."""
    assert choose(sdp(PLAIN, LINE), CAPS, None, OVER_TLS).kind is Kind.SDES
    assert choose(sdp(PLAIN, LINE), CAPS, None, REQUIRED).kind is Kind.SDES
    assert choose(sdp(PLAIN, LINE), CAPS).kind is Kind.PLAIN
    assert choose(sdp(PLAIN, LINE + "|1:4"), CAPS, None, OVER_TLS).kind is Kind.PLAIN


@pytest.mark.parametrize("profile", ["RTP/SAVP", "RTP/SAVPF"])
def test_a_fingerprint_alone_makes_no_browser(profile: str) -> None:
    """Of a telephone that does DTLS or keys, without ICE, the keys are taken."""
    caps, section = Protection(sdes=True, webrtc=True), f"m=audio 4002 {profile} 0"
    assert choose(sdp(*DTLS, section, LINE), CAPS, None, caps).kind is Kind.SDES
    with pytest.raises(OfferError, match="a=crypto"):
        choose(sdp(*DTLS, section), CAPS, None, caps)
    assert choose(sdp(*DTLS, *ICE, section, LINE, "a=rtcp-mux"), CAPS, None, caps).kind is Kind.WEBRTC


def test_a_running_call_gains_encryption_and_never_loses_it() -> None:
    plain, secure = choose(sdp(PLAIN), CAPS, None, OVER_TLS), choose(sdp(SAVP, LINE), CAPS, None, OVER_TLS)
    assert choose(sdp(SAVP, LINE), CAPS, plain, OVER_TLS).kind is Kind.SDES
    with pytest.raises(OfferError, match="cannot go on unencrypted"):
        choose(sdp(PLAIN), CAPS, secure, OVER_TLS)
    stopped = choose(sdp("m=audio 0 RTP/SAVP 0"), CAPS, secure, OVER_TLS)
    assert stopped.direction == "inactive" and stopped.kind is Kind.SDES


# --- ours ------------------------------------------------------------------------------------------------------------
OURS = replace(LOCAL, crypto=crypto_sdp.fresh_of_all(random.Random(3)))


def test_our_offer_has_a_key_of_every_suite_the_strongest_first() -> None:
    offer = make_offer(CAPS, OURS, kind=Kind.SDES).decode()
    assert "m=audio 10000 RTP/SAVP 0 8 101\r\n" in offer
    suites = [line.split()[1] for line in offer.split("\r\n") if line.startswith("a=crypto:")]
    assert suites == ["AEAD_AES_256_GCM", "AEAD_AES_128_GCM", SHA80, SHA32]
    assert "a=crypto" not in make_offer(CAPS, OURS).decode()


def test_an_answer_with_one_of_our_suites_is_read() -> None:
    answer = sdp("m=audio 4000 RTP/SAVP 0", f"a=crypto:3 {SHA80} inline:{KEY}")
    agreed = read_answer(CAPS, make_offer(CAPS, OURS, kind=Kind.SDES), answer)
    assert agreed.crypto == Crypto(3, SHA80, bytes(range(30)))


@pytest.mark.parametrize("section", [
    ("m=audio 4000 RTP/SAVP 0",), ("m=audio 4000 RTP/AVP 0",),
    ("m=audio 4000 RTP/AVP 0", f"a=crypto:3 {SHA80} inline:{KEY}"),
    ("m=audio 4000 RTP/SAVP 0", f"a=crypto:1 {SHA80} inline:{KEY}"),  # a tag of another suite
    ("m=audio 4000 RTP/SAVP 0", f"a=crypto:9 {SHA80} inline:{KEY}"),
    ("m=audio 4000 RTP/SAVP 0", f"a=crypto:3 {SHA80} inline:{KEY} UNENCRYPTED_SRTP"),
    ("m=audio 4000 RTP/SAVP 0", f"a=crypto:3 {SHA80} inline:{KEY}|1:4"),
])
def test_an_answer_weaker_than_our_offer_is_refused(section: tuple[str, ...]) -> None:
    with pytest.raises(OfferError):
        read_answer(CAPS, make_offer(CAPS, OURS, kind=Kind.SDES), sdp(*section))


@pytest.mark.parametrize("lines", [DTLS, DTLS + ICE])
def test_an_answer_to_our_keys_is_of_keys_whatever_else_its_session_speaks_of(lines: tuple[str, ...]) -> None:
    """Else it could talk us out of our keys: DTLS was not offered, and what follows would be in the clear."""
    offer = make_offer(CAPS, OURS, kind=Kind.SDES)
    section = ("m=audio 4000 RTP/SAVP 0", "a=rtcp-mux")
    with pytest.raises(OfferError, match="no SRTP key"):
        read_answer(CAPS, offer, sdp(*lines, *section))
    agreed = read_answer(CAPS, offer, sdp(*lines, *section, f"a=crypto:3 {SHA80} inline:{KEY}"))
    assert agreed.kind is Kind.SDES
