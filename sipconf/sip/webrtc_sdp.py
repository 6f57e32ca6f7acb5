"""What browsers need in a session description: ICE, DTLS and BUNDLE, read and written (RFC 8839, 8842, 8122, 9143).

We are ICE-lite: the peer's candidates are not read at all, host names (mDNS) and TCP ones included; its checks tell
where it is. Trickled candidates are neither awaited nor sent.
"""

import random
import re
import string

from sipconf.sip.agreement import Credentials, LocalMedia, OfferError, WebRtc
from sipconf.sip.sdp import Attribute, Media, SessionDescription

PROFILES = ("UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP")
DIGESTS = {"sha-256": 32, "sha-384": 48, "sha-512": 64}
"""Octets of a fingerprint by algorithm. RFC 8122 section 5 has weaker ones, which prove nothing any more."""
MAX_FINGERPRINTS = 8
UFRAG_LENGTH, PASSWORD_LENGTH = 8, 24  # RFC 8445 section 5.3: at least 24 and 128 random bits
STREAM = "sipconf sipconf-audio"
"""Names of our stream and its track (RFC 8830): with a stream, a browser's ontrack has one to play."""

_ICE_CHARACTERS = string.ascii_letters + string.digits + "+/"
_UFRAG = re.compile(r"[A-Za-z0-9+/]{4,256}", re.ASCII)
_PASSWORD = re.compile(r"[A-Za-z0-9+/]{22,256}", re.ASCII)
_FINGERPRINT = re.compile(r"(\S{1,16})[ \t]+([0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2})*)[ \t]*", re.ASCII)
_OURS = {"actpass": "passive", "active": "passive", "passive": "active"}
"""a=setup of an offer -> ours in the answer (RFC 5763 section 5)."""
_HOST_PREFERENCE = 126  # RFC 8445 section 5.1.2.2


def is_browsers(media: Media, description: SessionDescription) -> bool:
    """Is this section of an offer a browser's: DTLS by its profile, or by a fingerprint and ICE under the profile's old
    name? A fingerprint alone stands there in offers of telephones that take keys (a=crypto) as well."""
    protocol = media.protocol.upper()
    return protocol in PROFILES or (
        protocol in ("RTP/SAVPF", "RTP/SAVP")
        and all(_either(media, description, name) is not None for name in ("fingerprint", "ice-ufrag"))
    )


def fresh_credentials(rng: random.Random) -> Credentials:
    """Ours for one leg. rng must be fit for secrets."""
    drawn = "".join(rng.choice(_ICE_CHARACTERS) for _ in range(UFRAG_LENGTH + PASSWORD_LENGTH))
    return Credentials(drawn[:UFRAG_LENGTH], drawn[UFRAG_LENGTH:])


def read(media: Media, description: SessionDescription, running: WebRtc | None = None) -> WebRtc:
    """The browser's end as an offer tells it. running: as it was before, whose handshake goes on (RFC 8842 section 5.5)
    where the offer leaves the parts open and the certificate is the same. Raises OfferError."""
    end = _read(media, description)
    setup = (_either(media, description, "setup") or "actpass").strip().lower()
    if setup not in _OURS:
        raise OfferError("the DTLS handshake has no side that begins (a=setup)")
    kept = running is not None and setup == "actpass" and running.fingerprints == end[1]
    ours = running.setup if running is not None and kept else _OURS[setup]
    return WebRtc(end[0], end[1], ours, _bundled(media, description))


def read_answer(media: Media, description: SessionDescription) -> WebRtc:
    """The browser's end as its answer to our actpass tells it. Raises OfferError."""
    end = _read(media, description)
    theirs = (_either(media, description, "setup") or "active").strip().lower()
    if theirs not in ("active", "passive"):
        raise OfferError("the answer leaves open who begins the DTLS handshake (a=setup)")
    return WebRtc(end[0], end[1], _OURS[theirs], _bundled(media, description))


def _read(media: Media, description: SessionDescription) -> tuple[Credentials, tuple[tuple[str, str], ...]]:
    if media.attribute("rtcp-mux") is None:
        raise OfferError("a browser's call needs RTP and RTCP on one port (a=rtcp-mux is missing)")
    ufrag = _either(media, description, "ice-ufrag") or ""
    password = _either(media, description, "ice-pwd") or ""
    if not _UFRAG.fullmatch(ufrag) or not _PASSWORD.fullmatch(password):
        raise OfferError("DTLS-SRTP is taken with ICE only (a=ice-ufrag or a=ice-pwd is missing or malformed)")
    return Credentials(ufrag, password), _fingerprints(media, description)


def _fingerprints(media: Media, description: SessionDescription) -> tuple[tuple[str, str], ...]:
    """Every usable one, the section's own before the session's; raises OfferError where there is none."""
    found: list[tuple[str, str]] = []
    seen = False
    for attributes in (media.attributes, description.attributes):
        values = [value for name, value in attributes if name == "fingerprint" and value is not None]
        seen = seen or bool(values)
        for value in values[:MAX_FINGERPRINTS]:
            read = _FINGERPRINT.fullmatch(value)
            if read is not None and len(read[2]) == 3 * DIGESTS.get(read[1].lower(), 0) - 1:
                found.append((read[1].lower(), read[2].upper()))
        if values:
            break
    if not found:
        raise OfferError("the certificate's fingerprint is too weak or malformed; sha-256 is taken" if seen else
                         "the certificate's fingerprint is missing (a=fingerprint)")
    return tuple(found)


def _bundled(media: Media, description: SessionDescription) -> bool:
    mid = media.attribute("mid")
    groups = (value.split() for name, value in description.attributes if name == "group" and value is not None)
    return mid is not None and any(group[:1] == ["BUNDLE"] and mid in group for group in groups)


def _either(media: Media, description: SessionDescription, name: str) -> str | None:
    own = media.attribute(name)
    return own if own is not None else description.attribute(name)


def session_lines(mid: str | None, bundled: bool) -> tuple[Attribute, ...]:
    """At session level: a bundle of the one section that was taken, and that we only answer checks."""
    group: tuple[Attribute, ...] = (("group", f"BUNDLE {mid}"),) if bundled and mid is not None else ()
    return (*group, ("ice-lite", None))


def transport_lines(local: LocalMedia, setup: str, mid: str | None, sends: bool) -> list[Attribute]:
    """In the section: where and under which names we are reached, with which certificate. sends: we have a stream."""
    assert local.ice is not None and local.fingerprint is not None
    lines: list[Attribute] = [] if mid is None else [("mid", mid)]
    lines += [
        ("ice-ufrag", local.ice.ufrag), ("ice-pwd", local.ice.password),
        ("fingerprint", " ".join(local.fingerprint)), ("setup", setup),
    ]
    for index, (host, port) in enumerate(local.candidates):
        # RFC 8445 section 5.1.2.1; one component, for RTCP is on the same port.
        priority = _HOST_PREFERENCE << 24 | (65535 - index) << 8 | 255
        lines.append(("candidate", f"{index + 1} 1 udp {priority} {host} {port} typ host"))
    lines.append(("end-of-candidates", None))
    if sends:
        lines.append(("msid", STREAM))
    return lines
