"""What the fuzzers begin from: messages of our own, and those of the corpora where they are present.

The corpora are looked for in the folder that SIPCONF_CORPORA names, else beside the repository.
"""

import os
from pathlib import Path

from sipconf.rtp import rtcp_packets
from sipconf.rtp.telephone_event import digit_packets
from tests.sim.desk import request
from tests.sim.rtcp_reports import build_report

CORPORA = Path(os.environ.get("SIPCONF_CORPORA") or Path(__file__).resolve().parents[2].parent / "shared" / "corpora")

OFFER = (
    "v=0\r\no=alice 2890844526 2890844526 IN IP4 203.0.113.9\r\ns=call\r\nc=IN IP4 203.0.113.9\r\nb=AS:84\r\nt=0 0\r\n"
    "a=sendrecv\r\nm=audio 49170 RTP/AVP 8 0 96 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n"
    "a=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1;stereo=1\r\na=rtpmap:101 telephone-event/8000\r\n"
    "a=fmtp:101 0-15\r\na=ptime:20\r\na=rtcp:49171 IN IP4 203.0.113.9\r\na=rtcp-mux\r\n"
)
HELD = OFFER.replace("a=sendrecv", "a=sendonly").replace("c=IN IP4 203.0.113.9", "c=IN IP4 0.0.0.0")
RICH = (
    "v=0\r\no=- 1 2 IN IP6 2001:db8::9\r\ns= \r\ni=all sorts\r\nu=http://x/\r\nc=IN IP6 2001:db8::9\r\nt=0 0\r\n"
    "t=1 2\r\n"
    "r=7d 1h 0 25h\r\nk=clear:x\r\na=group:BUNDLE a v\r\na=ice-lite\r\nm=video 0 RTP/SAVPF 100 101\r\na=mid:v\r\n"
    "a=rtpmap:100 VP8/90000\r\na=inactive\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111 9 13\r\nc=IN IP4 198.51.100.7\r\n"
    "a=mid:a\r\n"
    "a=rtpmap:111 opus/48000/2\r\na=candidate:1 1 udp 2130706431 198.51.100.7 9 typ host\r\na=setup:actpass\r\n"
    "m=audio 4000/2 RTP/AVPF 0 18 97\r\na=rtpmap:97 L16/16000\r\na=recvonly\r\na=maxptime:150\r\na=ptime:30\r\n"
    "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj\r\n"
)
BROWSER = (
    "v=0\r\no=- 4611 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n"
    "m=audio 9 UDP/TLS/RTP/SAVPF 96 0 110\r\nc=IN IP4 0.0.0.0\r\n"
    "a=candidate:1 1 udp 2122260223 a.local 40000 typ host\r\na=ice-ufrag:EsAw\r\n"
    "a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\na=fingerprint:sha-256 " + ":".join(["AB"] * 32) + "\r\na=setup:active\r\n"
    "a=mid:0\r\na=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\na=rtcp-mux\r\na=rtpmap:96 opus/48000/2\r\n"
    "a=rtpmap:110 telephone-event/48000\r\nm=video 9 UDP/TLS/RTP/SAVPF 120\r\na=mid:1\r\n"
)
SECURE = (
    "v=0\r\no=- 1 1 IN IP4 203.0.113.9\r\ns=-\r\nc=IN IP4 203.0.113.9\r\nt=0 0\r\nm=audio 4000 RTP/SAVP 0 8\r\n"
    "a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj|2^31 WSH=64\r\n"
    "a=crypto:4 AES_CM_128_HMAC_SHA1_32 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj|2^20|1:4\r\n"
)
LINE_FEEDS = "v=0\no=- 0 0 IN IP4 203.0.113.9\ns=-\nc=IN IP4 203.0.113.9\nt=0 0\nm=audio 4000 RTP/AVP 0\n"
DESCRIPTIONS = tuple(text.encode() for text in (OFFER, HELD, RICH, BROWSER, SECURE, LINE_FEEDS))

ADDRESS = (
    '"Alice \\"A\\" M\u00fcller" <sip:+32%2D475:pw@203.0.113.9:5062;transport=udp;lr;ob?Subject=x>;tag=88sja8x;q=0.7;'
    'expires=60;+sip.instance="<urn:uuid:0000>"'
)
RICH_HEADERS = (
    "Via: SIP/2.0/TCP 203.0.113.10:5070;branch=z9hG4bK77;received=203.0.113.10;rport=5070\r\n"
    "v: SIP / 2.0 / UDP [2001:db8::9]:5060;branch=z9hG4bK78\r\nRecord-Route: <sip:p1.example.com;lr>, <sip:p2;lr>\r\n"
    "Route: <sip:192.0.2.1;lr>\r\nSupported: timer, 100rel, replaces\r\nAllow: INVITE, ACK, BYE\r\nk: path\r\n"
    "Session-Expires: 1800;refresher=uac\r\nMin-SE: 90\r\nExpires: 3600\r\n"
    "Accept: application/sdp, text/plain;q=0.5\r\n"
    'P-Asserted-Identity: "Al" <tel:+32475;cpc=ordinary>, <sip:al@x>\r\nUser-Agent: phone/1 (a (b))\r\n'
    "Subject: one\r\n two\r\n\tthree\r\nDate: Wed, 25 Nov 2026 21:00:00 GMT\r\nX-Unknown: ;;,,;;,;\r\n"
    "Warning: 399 x \"y\"\r\n"
    'Authorization: Digest username="101",realm="example.test",nonce="0",uri="sip:x",response="0",algorithm=MD5,'
    'cnonce="a\\"b",qop=auth,nc=00000001,opaque=""\r\nReason: Q.850;cause=16;text="bye"\r\nTimestamp: 54\r\n'
)
STATUS = (
    "SIP/2.0 200 OK f\u00fcr dich\r\n"
    "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKours;rport=5060;received=192.0.2.1\r\n"
    'From: <sip:2001@example.test>;tag=ours\r\nTo: "B" <sip:102@203.0.113.9>;tag=theirs\r\nCall-ID: 9a8b@192.0.2.1\r\n'
    "CSeq: 1 INVITE\r\nContact: <sip:102@203.0.113.9>;expires=60\r\n"
    "WWW-Authenticate: Digest realm=\"them\", nonce=\"n\", "
    "algorithm=SHA-256, qop=\"auth,auth-int\", opaque=\"o\", stale=true\r\nContent-Type: application/sdp\r\n"
)


def _messages() -> tuple[bytes, ...]:
    rich = request("INVITE", uri="sip:2001*4321@192.0.2.1;transport=udp", extra=RICH_HEADERS, body=OFFER)
    compact = rich
    for name, short in (("From", "f"), ("To", "t"), ("Call-ID", "i"), ("Contact", "m"), ("Content-Type", "c"),
                        ("Content-Length", "l"), ("Subject", "s")):
        compact = compact.replace(f"\r\n{name}:", f"\r\n{short} :")
    texts = [
        rich,
        compact,
        request("REGISTER", uri="sip:x", to=ADDRESS, extra=f"Contact: {ADDRESS}, <sip:b@c>\r\nm: *\r\n"),
        request("INFO", extra="Content-Type: application/dtmf-relay\r\n", body="Signal=5\r\nDuration=160\r\n"),
        request("MESSAGE", uri="tel:+3212;phone-context=x", extra="Content-Type: multipart/mixed;boundary=b\r\n",
                body=f"--b\r\nContent-Type: application/sdp\r\n\r\n{OFFER}\r\n--b--\r\n"),
        request("OPTIONS").replace("\r\n", "\n"),
        f"{STATUS}Content-Length: {len(OFFER)}\r\n\r\n{OFFER}",
    ]
    return tuple(text.encode() for text in texts)


MESSAGES = _messages()

_AUDIO = b"\x80\x00\x00\x01\x00\x00\x00\xa0\x00\x00\x00\x05" + bytes(range(160))
RTP = (
    _AUDIO,
    b"\x80\x88" + _AUDIO[2:],
    b"\xb3" + _AUDIO[1:12] + bytes(12) + b"\xbe\xde\x00\x02" + bytes(8) + bytes(160) + b"\x00\x00\x00\x04",
    b"\x90" + _AUDIO[1:12] + b"\x10\x00\x00\x01" + bytes(4) + bytes(80),
    b"\x80\x0d" + _AUDIO[2:12] + b"\x40",
    *digit_packets("5", payload_type=101, sequence=2, timestamp=320, ssrc=5),
)
_BLOCK = rtcp_packets.ReportBlock(5, 12, -3, 70000, 33, 0x12345678, 65536)
_SENDER = rtcp_packets.SenderInfo(0xE9A1B2C3D4E5F607, 160, 100, 16000)
_SDES = rtcp_packets.build_sdes(5, "alice@203.0.113.9")
RTCP = (
    build_report(5, _SENDER, (_BLOCK,)) + _SDES,
    build_report(5, None, (_BLOCK,) * 3) + _SDES + rtcp_packets.build_bye(5),
    build_report(5, None, ()) + b"\xa3\xcb\x00\x06" + bytes(12) + b"\x03bye" + b"\x00" * 4 + b"\0\0\0\4",
    build_report(5, None, ()) + b"\x81\xce\x00\x02" + bytes(8) + b"\x80\xcc\x00\x02" + bytes(4) + b"name",
    b"\x80\xc9\x00\x01\x00\x00\x00\x05",
)


def corpus(*patterns: str) -> tuple[bytes, ...]:
    """Contents of the corpora's files that match, in the order of their names; none where the corpora are absent."""
    found = (path for pattern in patterns for path in sorted(CORPORA.glob(pattern)) if path.is_file())
    return tuple(data for data in (path.read_bytes() for path in found) if data)


def lengthened(message: bytes) -> bytes:
    """The message with a Content-Length that is right, where it has one."""
    head, blank, body = message.partition(b"\r\n\r\n")
    before, name, after = head.partition(b"\r\nContent-Length:")
    if not name:
        return message
    digits, line, rest = after.partition(b"\r\n")
    return before + name + b" %d" % len(body) + line + rest + blank + body
