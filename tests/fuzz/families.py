"""What is put in a field's place: the families of anomalies that broke SIP parsers before (those of PROTOS c07-sip).

Where the fields are: `fields`. Damage to single octets wherever they stand: `mutation`.
"""

import random
from collections.abc import Iterator

LENGTHS = tuple(1024 << step for step in range(7))
"""1 to 64 KiB."""

FAMILIES: dict[str, tuple[bytes, ...]] = {
    "empty": (b"", b" ", b"\t", b"\r\n ", b"\r\n\t\r\n "),
    "short": tuple(bytes((octet,)) for octet in b"aA0%;<>\"\\,:=@?*/()[]{}'`~-._+&$!|^#"),
    "format": (b"%s" * 8, b"%n" * 8, b"%x" * 8, b"%d", b"%999999d", b"{0}", b"{self}", b"%(name)s", b"$(id)", b"%00"),
    "numbers": (
        b"0", b"-1", b"255", b"256", b"257", b"65535", b"65536", b"65537", b"2147483647", b"2147483648", b"2147483649",
        b"4294967295", b"4294967296", b"4294967297", b"9223372036854775808", b"1" + b"0" * 400, b"00000000000000000007",
        b"+7", b" 7", b"7 ", b"0x7", b"7.5", b"1e9", b"7 7", b"5, 13", b"\xd9\xa7", b"\xef\xbc\x97", b"1_000",
    ),
    "letters": (
        b"\xc0\x80", b"\xc0\xaf", b"\xe0\x80\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe9t\xe9", b"\xff\xfe",
        b"\xef\xbb\xbf", b"\xc3\xa9", b"\xe2\x80\xa8", b"\xc2\x85", b"\xc2\xa0", b"\x00", b"\x00\x00a", b"\x1b[2J",
        b"\x9b31m", b"\r", b"\n", b"\r\n", b"\x0b", b"\x0c", b"\x1c", b"\x7f", b"\xc5\xbf", b"\xc4\xb0",
        b"\xe1\xba\x9e",
    ),
    "escapes": (
        b"%", b"%4", b"%zz", b"%00", b"%0D%0A", b"%0d%0aVia: x", b"%25%30%44", b"%C3%A9", b"%E9", b"%22", b"%3C%3E",
        b"%40", b"%3A", b"%3B", b"%ED%A0%80", b"%u0041",
    ),
    "quotes": (
        b'"', b'""', b'"a', b'a"', b'"\\', b'"\\"', b'"\\\\"', b'""a""', b'"a"b', b'"\x00"', b'"\r\n "', b"((((",
        b"(a(b)c)",
        b"<", b">", b"<>", b"<<a>>", b"<sip:a@b", b"sip:a@b>", b'"<sip:a@b>"', b'"a" "b" <sip:a@b>', b"a <b> <sip:c@d>",
    ),
    "lines": (
        b"x\r\nVia: SIP/2.0/UDP 203.0.113.66;branch=z9hG4bKevil", b"x\nTo: <sip:evil@evil>", b"x\rCall-ID: evil",
        b"x\r\nContent-Length: 0\r\n\r\nOPTIONS sip:a@b SIP/2.0", b"x\r\n\r\n", b"x\r\n 2026-01-01 ban 192.0.2.1",
    ),
    "addresses": (
        b"sip:", b"sips:a@b", b"sip:a@", b"sip:@b", b"sip:a:b:c@d", b"sip:a@b:0", b"sip:a@b:65536", b"sip:a@b:99999999",
        b"sip:a@[::1]", b"sip:a@[", b"sip:a@[::1", b"sip:a@[:::::]", b"sip:a@1.2.3.4.5", b"sip:a@b;lr;lr=on",
        b"sip:a@b;=x",
        b"sip:a@b?Route=%3Csip:evil%3E", b"tel:+3212", b"tel:%0D%0A", b"tel:%3Bx=%22;y", b"urn:service:sos",
        b"http://a/b",
        b"<sip:a@b>", b"*", b"<sip:a@b;transport=tcp>;expires=0;q=0.5", b"<sip:a@255.255.255.255>",
        b"<sip:a@224.0.0.1>",
        b"0.0.0.0", b"255.255.255.255", b"::", b"fe80::1%eth0", b"224.2.1.1/127/3",
    ),
    "words": (
        b"INVITE", b"ACK", b"CANCEL", b"BYE", b"invite", b"SIP/2.0", b"SIP/9.9", b"sip/2.0", b"Digest", b"Basic eA==",
        b"MD5",
        b"SHA-256", b"MD5-sess", b"auth-int", b"auth", b"100rel", b"gzip", b"multipart/mixed;boundary=x", b"text/plain",
        b"application/sdp;x=\"", b"true", b"stale=true", b"q=1.1", b"tag=a;tag=b", b"branch=z9hG4bK", b"rport=99999",
    ),
    "repeated pieces": tuple(piece * count for count in (2, 20, 100) for piece in (
        b"a,", b"a;", b"a=b;", b"<sip:a@b>,", b'"a",', b"a ", b"\r\n b", b"(", b"%41", b"a=b,",
    )),
    "long": tuple(letter * length for length in LENGTHS for letter in (b"a", b"%", b";", b"<", b'"', b"\\")),
}
"""Name of a family -> its values."""

_SMALL = tuple(name for name in FAMILIES if name != "long")
_VALUES = tuple(value for name in _SMALL for value in FAMILIES[name])


def anomalies() -> Iterator[bytes]:
    """Every value of every family."""
    for values in FAMILIES.values():
        yield from values


def anomaly(rng: random.Random) -> bytes:
    """One of them. The long ones, of which a few tell as much as many, come seldom."""
    return rng.choice(_VALUES if rng.random() < 0.99 else FAMILIES["long"])
