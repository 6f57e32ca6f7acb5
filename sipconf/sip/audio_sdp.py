"""One audio section of a session description: the formats, digits, packet length, direction and addresses it means,
and ours as it is written (RFC 3264, RFC 4733, RFC 6464).

What makes a section safe is read in `crypto_sdp` and `webrtc_sdp`; which section is taken is decided in `offer`.
"""

import re

from sipconf.sip import crypto_sdp, webrtc_sdp
from sipconf.sip.agreement import Capabilities, Crypto, Format, Kind, LocalMedia, Negotiated, OfferError, WebRtc
from sipconf.sip.sdp import Attribute, Media, Origin, SessionDescription, unicast_address
from sipconf.sip.tokens import MalformedMessage

TELEPHONE_EVENT = "telephone-event"
DIGITS = "0-15"
MIN_PTIME_MS, MAX_PTIME_MS = 10, 60
OUR_EVENT_TYPES = ((8000, 101), (48000, 110))  # payload types of telephone-event in our offers, by clock rate
AUDIO_LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
SENDS = {"sendrecv": True, "sendonly": True, "recvonly": False, "inactive": False}
RECEIVES = {"sendrecv": True, "sendonly": False, "recvonly": True, "inactive": False}
_CHANNELS = {"opus": 2}  # RFC 7587 section 7: opus is always written with two
_EXTMAP = re.compile(r"([0-9]{1,3})(?:/[a-z]+)?[ \t]+(\S+).*", re.ASCII)
_ONE_BYTE_IDS = range(1, 15)  # RFC 8285 section 4.2


def shared_formats(media: Media, caps: Capabilities, answer: bool = False) -> list[tuple[Format, Format]]:
    """(as we receive it, as the peer receives it) per format that both know, in order of preference."""
    maps, fmtps = media.rtpmaps(), media.fmtps()
    by_name = {(f.encoding.lower(), f.clock_rate): (rank, f) for rank, f in reversed(list(enumerate(caps.formats)))}
    found: list[tuple[int, Format, Format]] = []
    seen: set[int] = set()
    for payload_type in media.formats:
        if payload_type not in maps or int(payload_type) > 127:
            continue
        encoding, clock, channels = maps[payload_type]
        rank, ours = by_name.get((encoding.lower(), clock), (0, None))
        # RFC 7587: opus without its "/2" is a mistake that costs nothing; a second channel elsewhere is another format.
        if ours is None or rank in seen or channels > _CHANNELS.get(ours.encoding.lower(), 1):
            continue
        seen.add(rank)
        number = int(payload_type)
        found.append((
            rank,
            Format(ours.encoding, clock, number, ours.fmtp),
            Format(ours.encoding, clock, number, fmtps.get(payload_type, "")),
        ))
    if caps.prefer_ours and not answer:
        found.sort(key=lambda row: row[0])
    return [(ours, theirs) for _, ours, theirs in found]


def read_section(
    description: SessionDescription,
    media: Media,
    index: int,
    rx_formats: tuple[Format, ...],
    tx_format: Format,
    caps: Capabilities,
    *,
    offer_media: tuple[Media, ...],
    crypto: Crypto | None = None,
    webrtc: WebRtc | None = None,
) -> Negotiated:
    """What a section of the peer's means, with the formats and the protection that were chosen. Raises OfferError."""
    address, direction = None, direction_of(*_mirror(description.direction_of(media)))
    if webrtc is None:  # a browser's c= says nothing: the checks tell where it is
        try:
            address = unicast_address(description.connection_of(media))
        except MalformedMessage as fault:
            raise OfferError(fault.reason) from fault
        direction = _mirrored(description, media)
    events, clock = _events(media, tx_format.clock_rate) if caps.telephone_event else (None, 8000)
    remote = None if address is None else (address, media.port)
    mux = media.attribute("rtcp-mux") is not None
    return Negotiated(
        remote=remote,
        remote_rtcp=remote if mux else _rtcp(media, address),
        rx_formats=rx_formats,
        tx_format=tx_format,
        telephone_event=events,
        rtcp_mux=mux,
        direction=direction,
        ptime_ms=_ptime(media, caps.ptime_ms),
        offer_media=offer_media,
        media_index=index,
        telephone_event_clock=clock,
        telephone_event_rx=events,
        crypto=crypto,
        webrtc=webrtc,
        audio_level=_audio_level(media),
    )


def direction_of(sends: bool, receives: bool) -> str:
    if sends:
        return "sendrecv" if receives else "sendonly"
    return "recvonly" if receives else "inactive"


def _mirror(theirs: str) -> tuple[bool, bool]:
    """(we send, we receive) of a peer's direction."""
    return RECEIVES[theirs], SENDS[theirs]


def _mirrored(description: SessionDescription, media: Media) -> str:
    """Our direction from the peer's. c=0.0.0.0 is hold as RFC 2543 phones say it: they take nothing."""
    sends, receives = _mirror(description.direction_of(media))
    address = (description.connection_of(media) or "").partition("/")[0]
    return direction_of(sends and address not in ("0.0.0.0", "::"), receives)


def _audio_level(media: Media) -> int | None:
    """Id of the header extension that tells how loud each packet is (RFC 6464)."""
    for name, value in media.attributes:
        found = _EXTMAP.fullmatch(value) if name == "extmap" and value is not None else None
        if found is not None and found[2] == AUDIO_LEVEL and int(found[1]) in _ONE_BYTE_IDS:
            return int(found[1])
    return None


def _events(media: Media, clock: int) -> tuple[int | None, int]:
    """Payload type and clock of telephone-event: the chosen format's clock, else 8000 (phones offer one per clock)."""
    maps = media.rtpmaps()
    by_clock: dict[int, int] = {}
    for payload_type in media.formats:
        encoding, rate, _ = maps.get(payload_type, ("", 0, 1))
        if encoding.lower() == TELEPHONE_EVENT and int(payload_type) <= 127:
            by_clock.setdefault(rate, int(payload_type))
    for rate in (clock, 8000):
        if rate in by_clock:
            return by_clock[rate], rate
    return None, 8000


def our_events(caps: Capabilities) -> tuple[tuple[int, int], ...]:
    """(clock rate, payload type) of telephone-event in our offers: at 8000, and at 48000 where a format has that clock.

    A payload type that a format already has is passed over for the next free one.
    """
    if not caps.telephone_event:
        return ()
    taken = {each.payload_type for each in caps.formats}
    clocks = {each.clock_rate for each in caps.formats}
    found = []
    for clock, number in OUR_EVENT_TYPES:
        if clock == 8000 or clock in clocks:
            while number in taken:
                number += 1
            taken.add(number)
            found.append((clock, number))
    return tuple(found)


def _rtcp(media: Media, address: str | None) -> tuple[str, int] | None:
    """Where RTCP goes: a=rtcp (RFC 3605), else the next port. Another address in it is not followed."""
    if address is None:
        return None
    word = (media.attribute("rtcp") or "").partition(" ")[0]
    port = int(word) if word.isascii() and word.isdigit() and len(word) <= 5 else 0
    if not 1 <= port <= 65535:
        port = media.port + 1
    return (address, port) if port <= 65535 else None


def _ptime(media: Media, ours: int) -> int:
    """Packet length in ms that the peer asks for, within limits; our own where it says nothing readable."""
    value = (media.attribute("ptime") or "").partition(".")[0]
    if not (value.isascii() and value.isdigit()) or len(value) > 6:
        return ours
    return min(max(int(value), MIN_PTIME_MS), MAX_PTIME_MS)


def write_section(
    protocol: str,
    port: int,
    formats: tuple[Format, ...],
    events: tuple[tuple[int, int], ...],
    direction: str,
    transport: list[Attribute],
    audio_level: int | None = None,
) -> Media:
    """Our audio section. Every payload type has its rtpmap, static ones too: some phones need it. transport: the lines
    of `transport_lines`."""
    numbers: list[int] = []
    attributes: list[Attribute] = []
    for each in formats:
        numbers.append(each.payload_type)
        channels = _CHANNELS.get(each.encoding.lower(), 1)
        suffix = f"/{channels}" if channels > 1 else ""
        attributes.append(("rtpmap", f"{each.payload_type} {each.encoding}/{each.clock_rate}{suffix}"))
        if each.fmtp:
            attributes.append(("fmtp", f"{each.payload_type} {each.fmtp}"))
    for clock, number in events:
        numbers.append(number)
        attributes.append(("rtpmap", f"{number} {TELEPHONE_EVENT}/{clock}"))
        attributes.append(("fmtp", f"{number} {DIGITS}"))
    attributes += [("ptime", "20"), (direction, None), *transport]
    if audio_level is not None:  # RFC 8285 section 5: under the id of the offer
        attributes.append(("extmap", f"{audio_level} {AUDIO_LEVEL}"))
    return Media("audio", port, protocol, tuple(str(number) for number in numbers), tuple(attributes))


def transport_lines(
    kind: Kind, local: LocalMedia, direction: str, *, mux: bool, setup: str = "", mid: str | None = None
) -> list[Attribute]:
    """How our end is reached and what protects it, as lines of its section. setup, mid: of a browser's section."""
    if kind is Kind.WEBRTC:
        return [("rtcp-mux", None), *webrtc_sdp.transport_lines(local, setup, mid, SENDS[direction])]
    lines: list[Attribute] = []
    if mux:
        lines.append(("rtcp-mux", None))
    elif local.rtcp_port != local.port + 1:
        lines.append(("rtcp", str(local.rtcp_port)))
    return lines + [crypto_sdp.line(each) for each in local.crypto] if kind is Kind.SDES else lines


def port_of(kind: Kind, local: LocalMedia) -> int:
    """What stands in m=: a browser's candidates have a port of their own."""
    return local.candidates[0][1] if kind is Kind.WEBRTC and local.candidates else local.port


def describe(sections: tuple[Media, ...], local: LocalMedia, attributes: tuple[Attribute, ...] = ()) -> bytes:
    """One c= line, at session level: some phones read no other."""
    origin = Origin("-", str(local.session_id), str(local.version), local.address)
    return SessionDescription(origin, local.address, sections, attributes).encode()
