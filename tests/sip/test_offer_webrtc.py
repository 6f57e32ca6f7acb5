"""Browsers' offers, in the shape of Chromium's, SIP.js's and Firefox's: what is answered, what is refused, and our own."""



from sipconf.sip.offer import (
    Capabilities,
    Credentials,
    Format,
    Kind,
    LocalMedia,
    Protection,
    choose,
    make_answer,
)

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
