"""Offer and answer (RFC 3264): which format is spoken, where packets go, which way. 488 is decided here.

Text is `sdp`'s; whether a leg has room is for the media plane. Plain RTP only (RTP/AVP, RTP/AVPF).
"""

from dataclasses import dataclass, replace

from sipconf.errors import MisuseError, PeerError
from sipconf.sip.sdp import Attribute, Media, Origin, SessionDescription, unicast_address
from sipconf.sip.tokens import MalformedMessage

PLAIN_PROFILES = ("RTP/AVP", "RTP/AVPF")
TELEPHONE_EVENT = "telephone-event"
DIGITS = "0-15"
MIN_PTIME_MS, MAX_PTIME_MS = 10, 60
OUR_EVENT_TYPES = ((8000, 101), (48000, 110))  # payload types of telephone-event in our offers, by clock rate
NO_STREAM = -1  # media_index of an agreement to send nothing for now
_SENDS = {"sendrecv": True, "sendonly": True, "recvonly": False, "inactive": False}
_RECEIVES = {"sendrecv": True, "sendonly": False, "recvonly": True, "inactive": False}
_CHANNELS = {"opus": 2}  # RFC 7587 section 7: opus is always written with two


class OfferError(PeerError):
    """An offer or answer that we cannot take, with a reason for people."""

    def __init__(self, reason: str, *, status: int = 488) -> None:
        super().__init__(reason, status=status, metric="offer_refused")


@dataclass(frozen=True, slots=True)
class Format:
    """One codec under one payload type. clock_rate in Hz as rtpmap says (8000 for G722); fmtp without the type."""

    encoding: str
    clock_rate: int
    payload_type: int
    fmtp: str = ""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What we speak, in our order of preference. prefer_ours: our order decides, not the offer's."""

    formats: tuple[Format, ...]
    telephone_event: bool = True
    ptime_ms: int = 20
    prefer_ours: bool = False


@dataclass(frozen=True, slots=True)
class LocalMedia:
    """Our end of a leg as the peer is to see it, and the o= line's numbers. version grows by one with every change."""

    address: str
    port: int
    rtcp_port: int
    session_id: int
    version: int


@dataclass(frozen=True, slots=True)
class Negotiated:
    """What was agreed.

    remote, remote_rtcp: where to send; None while the peer named no address that packets can go to (hold by
    0.0.0.0, a host name). rx_formats: what may arrive, under the payload types that it arrives with, fmtp ours.
    tx_format: what we send, fmtp the peer's. telephone_event: the peer's payload type of digits, at
    telephone_event_clock Hz; telephone_event_rx: the one under which digits arrive (the same, save where an answer
    renumbers our offer). direction is ours. ptime_ms: packet length that the peer asks for, 10 to 60. offer_media,
    media_index: the m= sections answered and which of them is the call, or NO_STREAM (for `make_answer`).
    """

    remote: tuple[str, int] | None
    remote_rtcp: tuple[str, int] | None
    rx_formats: tuple[Format, ...]
    tx_format: Format
    telephone_event: int | None
    rtcp_mux: bool
    direction: str
    ptime_ms: int
    offer_media: tuple[Media, ...]
    media_index: int = 0
    telephone_event_clock: int = 8000
    telephone_event_rx: int | None = None


def choose(offer: bytes, caps: Capabilities, running: Negotiated | None = None) -> Negotiated:
    """Read a peer's offer and pick the first audio stream and format that we share.

    running: what a call that is up has agreed; then an offer that stops every stream is a hold (RFC 3264 section 8.2).
    Raises OfferError: 488 without a stream, 400 for text that is no session description.
    """
    description = _parse(offer)
    reason = "no audio stream offered"
    for index, media in enumerate(description.media):
        if media.kind.lower() != "audio" or media.port == 0:
            continue
        if media.protocol.upper() not in PLAIN_PROFILES:
            reason = f"media profile {media.protocol[:32]} is not supported"
            continue
        shared = _shared(media, caps)
        if not shared:
            reason = "no codec in common"
            continue
        ours, theirs = shared[0]
        return _negotiated(description, media, index, (ours,), theirs, caps, offer_media=description.media)
    streams = description.media
    if running is not None and any(each.kind.lower() == "audio" for each in streams):
        if all(each.port == 0 for each in streams):
            return replace(running, remote=None, remote_rtcp=None, direction="inactive", offer_media=streams,
                           media_index=NO_STREAM)
    raise OfferError(reason)


def make_answer(negotiated: Negotiated, local: LocalMedia) -> bytes:
    """The answer to the offer that was chosen from: same sections in the same order, one of them taken."""
    sections = []
    for index, offered in enumerate(negotiated.offer_media):
        if index != negotiated.media_index:
            sections.append(Media(offered.kind, 0, offered.protocol, offered.formats))  # RFC 3264 section 6
            continue
        number = negotiated.telephone_event
        events = () if number is None else ((negotiated.telephone_event_clock, number),)
        sections.append(
            _audio(offered.protocol, negotiated.rx_formats, events, local, negotiated.direction, negotiated.rtcp_mux)
        )
    return _description(tuple(sections), local)


def make_offer(caps: Capabilities, local: LocalMedia, direction: str = "sendrecv") -> bytes:
    """An offer of one audio stream with everything that we speak. Raises MisuseError for a direction unknown."""
    if direction not in _SENDS:
        raise MisuseError(f"no such direction: {direction}")
    return _description((_audio("RTP/AVP", caps.formats, _our_events(caps), local, direction, True),), local)


def read_answer(caps: Capabilities, offered: bytes, answer: bytes) -> Negotiated:
    """Read a peer's answer to our own offer.

    Raises OfferError where it refuses the stream, breaks RFC 3264 section 6 or cannot be read.
    """
    ours, theirs = SessionDescription.parse(offered), _parse(answer)
    if len(ours.media) != len(theirs.media):
        raise OfferError("answer has another number of media streams than the offer")
    for index, (mine, media) in enumerate(zip(ours.media, theirs.media, strict=True)):
        if mine.kind != "audio" or mine.port == 0:
            continue
        if media.kind.lower() != "audio" or media.port == 0:
            raise OfferError("audio stream refused")
        if media.protocol.upper() not in PLAIN_PROFILES:
            raise OfferError("answer changes the media profile")
        shared = _shared(media, caps, answer=True)
        if not shared:
            raise OfferError("no codec in common")
        # What arrives carries the payload types of our offer; what we send, those of the answer (RFC 3264 section 6.1).
        rx = tuple(_capability(caps, pair[0]) for pair in shared)
        agreed = _negotiated(theirs, media, index, rx, shared[0][1], caps, offer_media=ours.media)
        return _limited(agreed, ours.direction_of(mine), caps)
    raise MisuseError("our offer had no audio stream")


def _parse(data: bytes) -> SessionDescription:
    try:
        return SessionDescription.parse(data)
    except MalformedMessage as fault:
        raise OfferError(fault.reason, status=fault.status) from fault


def _shared(media: Media, caps: Capabilities, answer: bool = False) -> list[tuple[Format, Format]]:
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


def _capability(caps: Capabilities, wanted: Format) -> Format:
    return next(f for f in caps.formats if (f.encoding, f.clock_rate) == (wanted.encoding, wanted.clock_rate))


def _negotiated(
    description: SessionDescription,
    media: Media,
    index: int,
    rx_formats: tuple[Format, ...],
    tx_format: Format,
    caps: Capabilities,
    *,
    offer_media: tuple[Media, ...],
) -> Negotiated:
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
    )


def _limited(agreed: Negotiated, offered: str, caps: Capabilities) -> Negotiated:
    """An agreement after our own offer: no wider direction than we offered, digits under the type that we offered."""
    sends = _SENDS[agreed.direction] and _SENDS[offered]
    receives = _RECEIVES[agreed.direction] and _RECEIVES[offered]
    rx = None if agreed.telephone_event is None else dict(_our_events(caps)).get(agreed.telephone_event_clock)
    return replace(agreed, direction=_direction(sends, receives), telephone_event_rx=rx)


def _direction(sends: bool, receives: bool) -> str:
    if sends:
        return "sendrecv" if receives else "sendonly"
    return "recvonly" if receives else "inactive"


def _mirrored(description: SessionDescription, media: Media) -> str:
    """Our direction from the peer's. c=0.0.0.0 is hold as RFC 2543 phones say it: they take nothing."""
    theirs = description.direction_of(media)
    address = (description.connection_of(media) or "").partition("/")[0]
    takes = _RECEIVES[theirs] and address not in ("0.0.0.0", "::")
    return _direction(takes, _SENDS[theirs])


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


def _our_events(caps: Capabilities) -> tuple[tuple[int, int], ...]:
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


def _audio(
    protocol: str,
    formats: tuple[Format, ...],
    events: tuple[tuple[int, int], ...],
    local: LocalMedia,
    direction: str,
    mux: bool,
) -> Media:
    """Our audio section. Every payload type has its rtpmap, static ones too: some phones need it."""
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
    attributes += [("ptime", "20"), (direction, None)]
    if mux:
        attributes.append(("rtcp-mux", None))
    elif local.rtcp_port != local.port + 1:
        attributes.append(("rtcp", str(local.rtcp_port)))
    return Media("audio", local.port, protocol, tuple(str(number) for number in numbers), tuple(attributes))


def _description(sections: tuple[Media, ...], local: LocalMedia) -> bytes:
    """One c= line, at session level: some phones read no other."""
    origin = Origin("-", str(local.session_id), str(local.version), local.address)
    return SessionDescription(origin, local.address, sections).encode()
