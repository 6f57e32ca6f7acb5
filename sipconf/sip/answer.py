"""Answers (RFC 3264 section 6): ours as they are written, and a peer's read against the offer that it answers."""

from dataclasses import replace

from sipconf.errors import MisuseError
from sipconf.sip import crypto_sdp, webrtc_sdp
from sipconf.sip.agreement import Capabilities, Crypto, Format, LocalMedia, Negotiated, OfferError, WebRtc, parse
from sipconf.sip.audio_sdp import (
    RECEIVES,
    SENDS,
    describe,
    direction_of,
    our_events,
    port_of,
    read_section,
    shared_formats,
    transport_lines,
    write_section,
)
from sipconf.sip.sdp import Attribute, Media, SessionDescription


def make_answer(negotiated: Negotiated, local: LocalMedia) -> bytes:
    """The answer to the offer that was chosen from: same sections in the same order, one of them taken. local has our
    key of the chosen suite, or ICE and a certificate."""
    sections = []
    session: tuple[Attribute, ...] = ()
    for index, offered in enumerate(negotiated.offer_media):
        mid = offered.attribute("mid")
        if index != negotiated.media_index:
            named: tuple[Attribute, ...] = () if mid is None else (("mid", mid),)
            sections.append(Media(offered.kind, 0, offered.protocol, offered.formats, named))  # RFC 3264 section 6
            continue
        kind, browser = negotiated.kind, negotiated.webrtc
        setup = "" if browser is None else browser.setup
        if browser is not None:
            session = webrtc_sdp.session_lines(mid, browser.bundled)
        number = negotiated.telephone_event
        events = () if number is None else ((negotiated.telephone_event_clock, number),)
        lines = transport_lines(kind, local, negotiated.direction, mux=negotiated.rtcp_mux, setup=setup, mid=mid)
        sections.append(write_section(offered.protocol, port_of(kind, local), negotiated.rx_formats, events,
                                      negotiated.direction, lines, negotiated.audio_level))
    return describe(tuple(sections), local, session)


def read_answer(caps: Capabilities, offered: bytes, answer: bytes) -> Negotiated:
    """Read a peer's answer to our own offer.

    Raises OfferError where it refuses the stream, protects it less than was offered, breaks RFC 3264 section 6 or
    cannot be read.
    """
    ours, theirs = SessionDescription.parse(offered), parse(answer)
    if len(ours.media) != len(theirs.media):
        raise OfferError("answer has another number of media streams than the offer")
    for index, (mine, media) in enumerate(zip(ours.media, theirs.media, strict=True)):
        if mine.kind != "audio" or mine.port == 0:
            continue
        if media.kind.lower() != "audio" or media.port == 0:
            raise OfferError("audio stream refused")
        crypto, webrtc = _protected(mine, media, theirs)
        shared = shared_formats(media, caps, answer=True)
        if not shared:
            raise OfferError("no codec in common")
        # What arrives carries the payload types of our offer; what we send, those of the answer (RFC 3264 section 6.1).
        rx = tuple(_capability(caps, pair[0]) for pair in shared)
        agreed = read_section(theirs, media, index, rx, shared[0][1], caps, offer_media=ours.media, crypto=crypto,
                              webrtc=webrtc)
        agreed = replace(agreed, tx_formats=tuple(pair[1] for pair in shared))
        return _limited(agreed, ours.direction_of(mine), caps)
    raise MisuseError("our offer had no audio stream")


def _protected(mine: Media, media: Media, theirs: SessionDescription) -> tuple[Crypto | None, WebRtc | None]:
    """What protects the answer: what was offered, in the profile that was offered, whatever else the answer speaks of.
    Feedback (AVPF) may be left out, or promised though it was not offered, as some telephones do. Raises OfferError."""
    if _base(media) != _base(mine):
        raise OfferError("answer changes the media profile")
    if mine.protocol.upper() in webrtc_sdp.PROFILES:
        return None, webrtc_sdp.read_answer(media, theirs)
    keys = crypto_sdp.offered(mine)
    if not keys:
        return None, None
    answered = crypto_sdp.offered(media)
    for line in answered[:1]:  # RFC 4568 section 7.1.3: one line, of one of ours
        if any((line.tag, line.suite) == (key.tag, key.suite) for key in keys):
            return line, None
    raise OfferError("the answer has no SRTP key that fits our offer")


def _base(media: Media) -> str:
    return media.protocol.upper().removesuffix("F")


def _capability(caps: Capabilities, wanted: Format) -> Format:
    return next(f for f in caps.formats if (f.encoding, f.clock_rate) == (wanted.encoding, wanted.clock_rate))


def _limited(agreed: Negotiated, offered: str, caps: Capabilities) -> Negotiated:
    """An agreement after our own offer: no wider direction than we offered, digits under the type that we offered, and
    no header extension, for we offer none."""
    sends = SENDS[agreed.direction] and SENDS[offered]
    receives = RECEIVES[agreed.direction] and RECEIVES[offered]
    rx = None if agreed.telephone_event is None else dict(our_events(caps)).get(agreed.telephone_event_clock)
    return replace(agreed, direction=direction_of(sends, receives), telephone_event_rx=rx, audio_level=None)
