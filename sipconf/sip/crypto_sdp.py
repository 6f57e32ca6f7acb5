"""Keys in session descriptions: a=crypto lines read and written (SDES, RFC 4568; suites of RFC 4568 and RFC 7714).

A line of which any part is not understood is passed over whole, as RFC 4568 section 5.1.2 asks. Where such lines may
be used at all is decided in `offer`.
"""

import base64
import binascii
import random
import re

from sipconf.sip.agreement import Crypto
from sipconf.sip.sdp import Attribute, Media

SUITES = {
    "AEAD_AES_256_GCM": 32 + 12, "AEAD_AES_128_GCM": 16 + 12,
    "AES_CM_128_HMAC_SHA1_80": 16 + 14, "AES_CM_128_HMAC_SHA1_32": 16 + 14,
}  # fmt: skip
"""Octets of master key and master salt together, by suite; the strongest first, as we offer them."""
MOST_PACKETS = 1 << 48  # RFC 4568 section 6.1: what SRTP's index can count
LEAST_WINDOW = 64  # RFC 4568 section 6.3.6

_LINE = re.compile(r"([0-9]{1,9})[ \t]+(\w{1,64})[ \t]+(\S{1,512})((?:[ \t]+\S{1,64}){0,16})[ \t]*", re.ASCII)
_KEY = re.compile(r"inline:([A-Za-z0-9+/]{1,128}={0,2})(?:\|(2\^[0-9]{1,2}|[0-9]{1,15}))?", re.ASCII | re.IGNORECASE)


def offered(media: Media) -> list[Crypto]:
    """The lines that we can take, in the order of the section, which is the peer's order of preference."""
    lines = (read(value) for name, value in media.attributes if name == "crypto" and value is not None)
    return [line for line in lines if line is not None]


def read(value: str) -> Crypto | None:
    """One line's value; None for a suite, a key or a parameter that we do not take.

    Key parameters: one key of exactly the suite's length, with a lifetime or without; several keys, or a key with an
    identifier (MKI), would have to be told apart in every packet. A lifetime is longer than any call: the least that is
    seen, 2^20 packets, is five hours.
    """
    found = _LINE.fullmatch(value)
    if found is None:
        return None
    tag, suite, parameters, session = found.groups()
    suite = suite.upper()
    key = _KEY.fullmatch(parameters)
    if suite not in SUITES or key is None or not _lasts(key[2]) or not all(map(_harmless, session.split())):
        return None
    try:
        octets = base64.b64decode(key[1], validate=True)
    except binascii.Error:
        return None
    exact = len(octets) == SUITES[suite] and base64.b64encode(octets).decode() == key[1]
    return Crypto(int(tag), suite, octets) if exact else None


def _lasts(lifetime: str | None) -> bool:
    """A lifetime is a number of packets, written out or as a power of two (RFC 4568 section 6.1)."""
    if lifetime is None:
        return True
    packets = 1 << int(lifetime[2:]) if lifetime.startswith("2^") else int(lifetime)
    return 0 < packets <= MOST_PACKETS


def _harmless(parameter: str) -> bool:
    """Session parameters that change nothing for us: a window's size, and what may be ignored (RFC 4568 section 6.3.7).
    Never those that take protection away (UNENCRYPTED_SRTP, UNENCRYPTED_SRTCP, UNAUTHENTICATED_SRTP)."""
    if parameter.startswith("-"):
        return True
    name, _, size = parameter.partition("=")
    return name.upper() == "WSH" and size.isascii() and size.isdigit() and int(size) >= LEAST_WINDOW


def fresh(suite: str, tag: int, rng: random.Random) -> Crypto:
    """A key of ours. rng must be fit for keys: the system's, save in a simulation."""
    return Crypto(tag, suite, rng.randbytes(SUITES[suite]))


def fresh_of_all(rng: random.Random) -> tuple[Crypto, ...]:
    """A key of every suite, for an offer."""
    return tuple(fresh(suite, tag, rng) for tag, suite in enumerate(SUITES, 1))


def line(crypto: Crypto) -> Attribute:
    """The line as it is written."""
    return "crypto", f"{crypto.tag} {crypto.suite} inline:{base64.b64encode(crypto.key).decode()}"
