"""The door of offer and answer (RFC 3264): which stream, format and protection of an offer is taken, and offers of our
own. 488 is decided here.

Answers are `answer`'s, text is `sdp`'s, one section's meaning is `audio_sdp`'s; whether a leg has room is for the media
plane.
"""

from dataclasses import replace

from sipconf.errors import MisuseError
from sipconf.sip import crypto_sdp, webrtc_sdp
from sipconf.sip.agreement import (
    NO_STREAM,
    PLAIN_ONLY,
    Capabilities,
    Credentials,
    Crypto,
    Format,
    Kind,
    LocalMedia,
    Negotiated,
    OfferError,
    Protection,
    WebRtc,
    parse,
)
from sipconf.sip.answer import make_answer, read_answer
from sipconf.sip.audio_sdp import (
    SENDS,
    describe,
    our_events,
    port_of,
    read_section,
    shared_formats,
    transport_lines,
    write_section,
)
from sipconf.sip.sdp import Media, SessionDescription

__all__ = [
    "PLAIN_ONLY", "Capabilities", "Credentials", "Crypto", "Format", "Kind", "LocalMedia", "Negotiated", "OfferError",
    "Protection", "WebRtc", "choose", "make_answer", "make_offer", "read_answer",
]  # fmt: skip

PLAIN_PROFILES = ("RTP/AVP", "RTP/AVPF")
SECURE_PROFILES = ("RTP/SAVP", "RTP/SAVPF")
OUR_PROFILES = {Kind.PLAIN: "RTP/AVP", Kind.SDES: "RTP/SAVP", Kind.WEBRTC: "UDP/TLS/RTP/SAVPF"}
OUR_MID = "0"
ENCRYPTED_ONLY = "This server takes encrypted calls only: use SRTP, over TLS, in your telephone"
STAYS_ENCRYPTED = "This call is encrypted and cannot go on unencrypted"
KEYS_IN_THE_OPEN = "SRTP keys are taken over TLS only: use the transport TLS, or switch SRTP off"

Protected = tuple[Crypto | None, WebRtc | None]


def choose(
    offer: bytes, caps: Capabilities, running: Negotiated | None = None, protection: Protection = PLAIN_ONLY
) -> Negotiated:
    """Read a peer's offer and pick an audio stream and a format that we share: the first stream that is encrypted, else
    the first.

    running: what a call that is up has agreed. What it has of protection it keeps; an offer that stops every stream is
    a hold then (RFC 3264 section 8.2). protection: what this call may have. Raises OfferError: 488 without a stream,
    400 for text that is no session description.
    """
    description = parse(offer)
    first: Negotiated | None = None
    reason = "no audio stream offered"
    for index, media in enumerate(description.media):
        if media.kind.lower() != "audio" or media.port == 0:
            continue
        try:
            found = _agree(description, index, media, caps, running, protection)
        except OfferError as error:
            reason = error.reason
            continue
        if found.kind is not Kind.PLAIN:
            return found
        first = first or found
    if first is not None:
        return first
    streams = description.media
    if running is not None and any(each.kind.lower() == "audio" for each in streams):
        if all(each.port == 0 for each in streams):
            return replace(running, remote=None, remote_rtcp=None, direction="inactive", offer_media=streams,
                           media_index=NO_STREAM)
    raise OfferError(reason)


def _agree(
    description: SessionDescription, index: int, media: Media, caps: Capabilities, running: Negotiated | None,
    protection: Protection,
) -> Negotiated:
    """One audio section, as far as we can take it. Raises OfferError."""
    before = None if running is None else running.webrtc
    crypto, webrtc = _protected(media, description, protection, before)
    if running is not None:
        _keeps_its_kind(running, crypto, webrtc)
    shared = shared_formats(media, caps)
    if not shared:
        raise OfferError("no codec in common")
    ours, theirs = shared[0]
    return read_section(description, media, index, (ours,), theirs, caps, offer_media=description.media, crypto=crypto,
                        webrtc=webrtc)


def _protected(
    media: Media, description: SessionDescription, protection: Protection, before: WebRtc | None
) -> Protected:
    """What protects a section's packets. Raises OfferError where that is too little, or nothing that we know.

    Keys beside RTP/AVP (best effort, as some telephones offer it) are taken where keys may be: its user has asked for
    encryption. Elsewhere they are read over, for everybody on the way has read them.
    """
    protocol = media.protocol.upper()
    if protection.webrtc and webrtc_sdp.is_browsers(media, description):
        return None, webrtc_sdp.read(media, description, before)
    if protocol not in PLAIN_PROFILES + SECURE_PROFILES:
        raise OfferError(f"media profile {media.protocol[:32]} is not supported")
    if protocol in SECURE_PROFILES and not protection.sdes:
        raise OfferError(KEYS_IN_THE_OPEN)
    keys = crypto_sdp.offered(media) if protection.sdes else []
    if keys:
        return keys[0], None
    if protocol in SECURE_PROFILES:
        raise OfferError("no SRTP key that is understood (a=crypto)")
    if not protection.plain:
        raise OfferError(ENCRYPTED_ONLY)
    return None, None


def _keeps_its_kind(running: Negotiated, crypto: Crypto | None, webrtc: WebRtc | None) -> None:
    """A running call is never less encrypted than it was, nor moved between a port of its own and the browsers'."""
    if running.kind is not Kind.PLAIN and crypto is None and webrtc is None:
        raise OfferError(STAYS_ENCRYPTED)
    if (running.webrtc is None) != (webrtc is None):
        raise OfferError("a call cannot change between a browser's media and a telephone's")


def make_offer(
    caps: Capabilities, local: LocalMedia, direction: str = "sendrecv", kind: Kind = Kind.PLAIN
) -> bytes:
    """An offer of one audio stream with everything that we speak. local has what the kind needs: keys, or ICE and a
    certificate. Raises MisuseError for a direction unknown."""
    if direction not in SENDS:
        raise MisuseError(f"no such direction: {direction}")
    browser = kind is Kind.WEBRTC
    lines = transport_lines(kind, local, direction, mux=True, setup="actpass", mid=OUR_MID)
    section = write_section(OUR_PROFILES[kind], port_of(kind, local), caps.formats, our_events(caps), direction, lines)
    return describe((section,), local, webrtc_sdp.session_lines(OUR_MID, bundled=True) if browser else ())
