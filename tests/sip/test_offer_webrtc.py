"""Browsers' offers in the shape of Chromium's and Firefox's: what is answered, what is refused, and ours to them."""

import random
from dataclasses import replace

import pytest

from sipconf.sip import webrtc_sdp
from sipconf.sip.offer import (
    Capabilities,
    Credentials,
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
from sipconf.sip.sdp import SessionDescription

PCMU, PCMA, G722 = Format("PCMU", 8000, 0), Format("PCMA", 8000, 8), Format("G722", 8000, 9)
OPUS = Format("opus", 48000, 96, "minptime=10;useinbandfec=1")
NARROW, WIDE = Capabilities((PCMU, PCMA)), Capabilities((OPUS, G722, PCMU, PCMA), prefer_ours=True)
BROWSERS = Protection(webrtc=True)
HASH = ":".join(f"{i:02X}" for i in range(32))
OTHER_HASH = ":".join(f"{i:02X}" for i in range(32, 64))
LOCAL = LocalMedia("192.0.2.1", 0, 1, 77, 1, ice=Credentials("ourufrag", "our-password/of/24/chars"),
                   candidates=(("192.0.2.1", 10000), ("2001:db8::1", 10000)), fingerprint=("sha-256", OTHER_HASH))


def lines(*text: str) -> bytes:
    return "".join(f"{line}\r\n" for line in text).encode()


CHROMIUM_CODECS = (
    "a=rtpmap:111 opus/48000/2", "a=rtcp-fb:111 transport-cc", "a=fmtp:111 minptime=10;useinbandfec=1",
    "a=rtpmap:63 red/48000/2", "a=fmtp:63 111/111", "a=rtpmap:9 G722/8000", "a=rtpmap:0 PCMU/8000",
    "a=rtpmap:8 PCMA/8000", "a=rtpmap:13 CN/8000", "a=rtpmap:110 telephone-event/48000",
    "a=rtpmap:126 telephone-event/8000",
)  # fmt: skip
CHROMIUM = lines(
    "v=0", "o=- 4611731400430051336 2 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=group:BUNDLE 0", "a=extmap-allow-mixed",
    "a=msid-semantic: WMS 1f0e", "m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126", "c=IN IP4 0.0.0.0",
    "a=rtcp:9 IN IP4 0.0.0.0",
    "a=candidate:1 1 udp 2122260223 7ad4c1c2-0a5f-4a4a-9a0a-0c6b5d0b8a55.local 40000 typ host generation 0",
    "a=candidate:2 1 tcp 1518280447 198.51.100.7 9 typ host tcptype active generation 0",
    "a=ice-ufrag:EsAw", "a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1", "a=ice-options:trickle",
    f"a=fingerprint:sha-256 {HASH}", "a=setup:actpass", "a=mid:0",
    "a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level",
    "a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
    "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid", "a=sendrecv", "a=msid:1f0e 6a7b", "a=rtcp-mux", "a=rtcp-rsize",
    *CHROMIUM_CODECS, "a=ssrc:3570614608 cname:4TOk42mSjXCkVIa6", "a=ssrc:3570614608 msid:1f0e 6a7b",
)  # fmt: skip


def without(offer: bytes, *starts: str) -> bytes:
    return b"".join(line for line in offer.splitlines(keepends=True) if not line.startswith(tuple(
        start.encode() for start in starts)))


def answer_to(offer: bytes, caps: Capabilities = WIDE) -> str:
    return make_answer(choose(offer, caps, None, BROWSERS), LOCAL).decode()


def test_chromiums_offer_as_it_is_answered() -> None:
    assert answer_to(CHROMIUM).split("\r\n") == [
        "v=0", "o=- 77 1 IN IP4 192.0.2.1", "s=-", "c=IN IP4 192.0.2.1", "t=0 0", "a=group:BUNDLE 0", "a=ice-lite",
        "m=audio 10000 UDP/TLS/RTP/SAVPF 111 110", "a=rtpmap:111 opus/48000/2",
        "a=fmtp:111 minptime=10;useinbandfec=1", "a=rtpmap:110 telephone-event/48000", "a=fmtp:110 0-15", "a=ptime:20",
        "a=sendrecv", "a=rtcp-mux", "a=mid:0", "a=ice-ufrag:ourufrag", "a=ice-pwd:our-password/of/24/chars",
        f"a=fingerprint:sha-256 {OTHER_HASH}", "a=setup:passive",
        "a=candidate:1 1 udp 2130706431 192.0.2.1 10000 typ host",
        "a=candidate:2 1 udp 2130706175 2001:db8::1 10000 typ host", "a=end-of-candidates",
        "a=msid:sipconf sipconf-audio", "a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level", "",
    ]  # fmt: skip


def test_what_is_agreed_with_chromium() -> None:
    agreed = choose(CHROMIUM, WIDE, None, BROWSERS)
    assert agreed.kind is Kind.WEBRTC and agreed.crypto is None and agreed.rtcp_mux
    assert (agreed.remote, agreed.direction) == (None, "sendrecv")  # its 0.0.0.0 is no hold: ICE finds it
    assert (agreed.telephone_event, agreed.telephone_event_clock, agreed.audio_level) == (110, 48000, 1)
    browser = agreed.webrtc
    assert browser is not None and browser.ice == Credentials("EsAw", "P2uYro0UCOQ4zxjKXaWCBui1")
    assert (browser.fingerprints, browser.setup, browser.bundled) == ((("sha-256", HASH),), "passive", True)


def test_at_8000_the_digits_of_that_clock() -> None:
    agreed = choose(CHROMIUM, NARROW, None, BROWSERS)
    assert (agreed.tx_format, agreed.telephone_event, agreed.telephone_event_clock) == (PCMU, 126, 8000)
    assert "m=audio 10000 UDP/TLS/RTP/SAVPF 0 126\r\n" in answer_to(CHROMIUM, NARROW)


FIREFOX = lines(
    "v=0", "o=mozilla...THIS_IS_SDPARTA-99.0 5167262189436023412 0 IN IP4 0.0.0.0", "s=-", "t=0 0",
    f"a=fingerprint:sha-256 {HASH}", "a=group:BUNDLE 0 1", "a=ice-options:trickle", "a=msid-semantic:WMS *",
    "m=audio 40000 UDP/TLS/RTP/SAVPF 109 9 0 8 101", "c=IN IP4 198.51.100.7",
    "a=candidate:0 1 UDP 2122252543 198.51.100.7 40000 typ host", "a=sendrecv", "a=end-of-candidates",
    "a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level",
    "a=extmap:2/recvonly urn:ietf:params:rtp-hdrext:csrc-audio-level", "a=fmtp:109 maxplaybackrate=48000;stereo=1",
    "a=fmtp:101 0-15", "a=ice-pwd:6f9cf8cc91e3c5ee2a7e27e1a9b44b75", "a=ice-ufrag:c3b0bd40", "a=mid:0",
    "a=msid:{0c3b} {f0f4}", "a=rtcp-mux", "a=rtpmap:109 opus/48000/2", "a=rtpmap:9 G722/8000/1",
    "a=rtpmap:0 PCMU/8000", "a=rtpmap:8 PCMA/8000", "a=rtpmap:101 telephone-event/8000/1", "a=setup:actpass",
    "a=ssrc:2655508255 cname:{735484ea}",
    "m=video 9 UDP/TLS/RTP/SAVPF 120", "c=IN IP4 0.0.0.0", "a=mid:1", "a=rtpmap:120 VP8/90000", "a=bundle-only",
)  # fmt: skip


def test_firefoxs_offer_with_its_fingerprint_at_session_level_and_video_beside() -> None:
    agreed = choose(FIREFOX, WIDE, None, BROWSERS)
    assert agreed.webrtc is not None and agreed.webrtc.fingerprints == (("sha-256", HASH),)
    assert (agreed.tx_format.payload_type, agreed.telephone_event, agreed.telephone_event_clock) == (109, 101, 8000)
    answer = answer_to(FIREFOX)
    assert "a=group:BUNDLE 0\r\n" in answer and answer.count("\r\nc=") == 1
    assert answer.endswith("m=video 0 UDP/TLS/RTP/SAVPF 120\r\na=mid:1\r\n")


def test_no_bundle_no_mid_and_no_level_where_none_was_offered() -> None:
    answer = answer_to(without(CHROMIUM, "a=group", "a=mid", "a=extmap"))
    assert "BUNDLE" not in answer and "a=mid" not in answer and "extmap" not in answer
    assert "BUNDLE" not in answer_to(CHROMIUM.replace(b"BUNDLE 0", b"BUNDLE 7"))
    for number in (b"0", b"15", b"300", b"x"):
        assert "extmap" not in answer_to(CHROMIUM.replace(b"extmap:1 ", b"extmap:%s " % number))


def test_an_application_section_is_refused_in_its_place() -> None:
    data = lines("m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "a=mid:1", "a=sctp-port:5000")
    answer = SessionDescription.parse(answer_to(CHROMIUM.replace(b"BUNDLE 0", b"BUNDLE 0 1") + data).encode())
    assert [(media.kind, media.port) for media in answer.media] == [("audio", 10000), ("application", 0)]
    assert answer.attribute("group") == "BUNDLE 0"


@pytest.mark.parametrize(("offered", "ours"), [("actpass", "passive"), ("active", "passive"), ("passive", "active")])
def test_who_begins_the_handshake(offered: str, ours: str) -> None:
    assert f"a=setup:{ours}\r\n" in answer_to(CHROMIUM.replace(b"setup:actpass", f"setup:{offered}".encode()))


def test_a_browser_put_on_hold_is_sent_no_stream() -> None:
    held = answer_to(CHROMIUM.replace(b"a=sendrecv", b"a=sendonly"))
    assert "a=recvonly\r\n" in held and "a=msid:" not in held
    assert "a=inactive\r\n" in answer_to(CHROMIUM.replace(b"a=sendrecv", b"a=inactive"))


@pytest.mark.parametrize(("offer", "reason"), [
    (without(CHROMIUM, "a=rtcp-mux"), "rtcp-mux"), (without(CHROMIUM, "a=ice-ufrag"), "ICE"),
    (without(CHROMIUM, "a=ice-pwd"), "ICE"), (CHROMIUM.replace(b"EsAw", b"E w"), "ICE"),
    (CHROMIUM.replace(b"EsAw", b"E" * 257), "ICE"), (without(CHROMIUM, "a=fingerprint"), "fingerprint is missing"),
    (CHROMIUM.replace(b"sha-256", b"sha-1"), "too weak"), (CHROMIUM.replace(b"sha-256", b"md5"), "too weak"),
    (CHROMIUM.replace(HASH.encode(), HASH[:-3].encode()), "malformed"),
    (CHROMIUM.replace(HASH.encode(), HASH.encode() + b":00"), "malformed"),
    (CHROMIUM.replace(HASH.encode(), HASH.replace(":", "").encode()), "malformed"),
    (CHROMIUM.replace(b"actpass", b"holdconn"), "handshake"),
    (CHROMIUM.replace(b"UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126", b"UDP/TLS/RTP/SAVPF 63"), "codec"),
])
def test_refused_with_a_reason_for_its_user(offer: bytes, reason: str) -> None:
    with pytest.raises(OfferError, match=reason) as refused:
        choose(offer, WIDE, None, BROWSERS)
    assert refused.value.status == 488


def test_stronger_fingerprints_are_taken_and_weak_ones_beside_them_left_out() -> None:
    long = ":".join(["EE"] * 64)
    offer = CHROMIUM.replace(b"a=setup", f"a=fingerprint:SHA-1 {HASH[:59]}\r\na=fingerprint:SHA-512 {long.lower()}"
                             "\r\na=setup".encode())
    browser = choose(offer, WIDE, None, BROWSERS).webrtc
    assert browser is not None and browser.fingerprints == (("sha-256", HASH), ("sha-512", long))


def test_dtls_under_the_profiles_old_name() -> None:
    agreed = choose(CHROMIUM.replace(b"UDP/TLS/RTP/SAVPF", b"RTP/SAVPF"), WIDE, None, BROWSERS)
    assert agreed.kind is Kind.WEBRTC and b"m=audio 10000 RTP/SAVPF 111 110\r\n" in make_answer(agreed, LOCAL)


def test_candidates_are_not_looked_at_however_many() -> None:
    """Names, TCP and nonsense included; what no datagram could hold is refused before it is read."""
    line = b"a=candidate:1 1 udp 1 a.local 9 typ host\r\n"
    many = CHROMIUM.replace(b"a=setup", line * 1400 + b"a=candidate:nonsense\r\na=setup")
    agreed, few = choose(many, WIDE, None, BROWSERS), choose(CHROMIUM, WIDE, None, BROWSERS)
    assert (agreed.webrtc, agreed.rx_formats) == (few.webrtc, few.rx_formats)
    candidates = [name for name, _ in agreed.offer_media[0].attributes if name == "candidate"]
    assert len(candidates) <= 100
    with pytest.raises(OfferError, match="too large"):
        choose(CHROMIUM.replace(b"a=setup", line * 10_000 + b"a=setup"), WIDE, None, BROWSERS)


# --- a running call --------------------------------------------------------------------------------------------------
def test_our_part_in_the_handshake_stays_while_the_certificate_does() -> None:
    """A browser that let us begin offers actpass ever after: the same handshake goes on (RFC 8842 section 5.5)."""
    running = choose(CHROMIUM.replace(b"actpass", b"passive"), WIDE, None, BROWSERS)
    again = choose(CHROMIUM, WIDE, running, BROWSERS)
    assert again.webrtc is not None and again.webrtc.setup == "active"
    another = choose(CHROMIUM.replace(HASH.encode(), OTHER_HASH.encode()), WIDE, running, BROWSERS)
    assert another.webrtc is not None and another.webrtc.setup == "passive"


def test_a_call_stays_a_browsers_or_a_telephones() -> None:
    plain = lines("v=0", "c=IN IP4 198.51.100.7", "m=audio 4000 RTP/AVP 0")
    browser, telephone = choose(CHROMIUM, WIDE, None, BROWSERS), choose(plain, WIDE)
    with pytest.raises(OfferError, match="cannot go on unencrypted"):
        choose(plain, WIDE, browser, BROWSERS)
    with pytest.raises(OfferError, match="cannot change"):
        choose(CHROMIUM, WIDE, telephone, BROWSERS)


# --- ours to a browser -----------------------------------------------------------------------------------------------
ANSWER = CHROMIUM.replace(b"actpass", b"active").replace(b"111 63 9 0 8 13 110 126", b"96 110").replace(
    b"rtpmap:111 ", b"rtpmap:96 ")


def test_our_offer_to_a_browser() -> None:
    offer = make_offer(WIDE, LOCAL, kind=Kind.WEBRTC).decode()
    assert "a=group:BUNDLE 0\r\na=ice-lite\r\nm=audio 10000 UDP/TLS/RTP/SAVPF 96 9 0 8 101 110\r\n" in offer
    assert "a=setup:actpass\r\n" in offer and offer.count("a=rtcp-mux\r\n") == 1 and "a=mid:0\r\n" in offer
    assert offer.count("a=candidate:") == 2 and "extmap" not in offer


@pytest.mark.parametrize(("setup", "ours"), [("active", "passive"), ("passive", "active")])
def test_a_browsers_answer_is_read(setup: str, ours: str) -> None:
    offer = make_offer(WIDE, LOCAL, kind=Kind.WEBRTC)
    agreed = read_answer(WIDE, offer, ANSWER.replace(b"setup:active", f"setup:{setup}".encode()))
    assert agreed.webrtc is not None and agreed.webrtc.setup == ours and agreed.webrtc.ice.ufrag == "EsAw"
    assert (agreed.remote, agreed.telephone_event_rx, agreed.audio_level) == (None, 110, None)


@pytest.mark.parametrize("answer", [
    ANSWER.replace(b"UDP/TLS/RTP/SAVPF", b"RTP/AVP"), ANSWER.replace(b"UDP/TLS/RTP/SAVPF", b"RTP/SAVPF"),
    without(ANSWER, "a=fingerprint"), without(ANSWER, "a=rtcp-mux"), ANSWER.replace(b"active", b"actpass"),
    ANSWER.replace(b"m=audio 9", b"m=audio 0"), ANSWER.replace(b"sha-256", b"sha-1"),
])
def test_an_answer_that_is_less_than_our_offer_is_refused(answer: bytes) -> None:
    with pytest.raises(OfferError):
        read_answer(WIDE, make_offer(WIDE, LOCAL, kind=Kind.WEBRTC), answer)


def test_credentials_are_long_enough_and_in_no_repr() -> None:
    made = webrtc_sdp.fresh_credentials(random.Random(1))
    assert len(made.ufrag) >= 4 and len(made.password) >= 22 and made != webrtc_sdp.fresh_credentials(random.Random(2))
    agreed = choose(CHROMIUM, WIDE, None, BROWSERS)
    assert "P2uYro0UCOQ4zxjKXaWCBui1" not in repr(agreed) and made.password not in repr(replace(LOCAL, ice=made))
