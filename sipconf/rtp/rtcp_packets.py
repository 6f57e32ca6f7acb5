"""The octets of RTCP compounds: parsed strictly, built plainly (RFC 3550 section 6.4 to 6.6, validity as in A.2).

Not here: when reports are due and what they say (rtcp).
"""

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sipconf.errors import PeerError

SR, RR, SDES, BYE = 200, 201, 202, 203
MAX_PACKETS = 32
"""Packets of one compound that are read."""
CNAME = 1
SR_WORDS, RR_WORDS, BLOCK_WORDS = 7, 2, 6
"""Of a report without blocks, header included, and of one block."""
_HEADER = struct.Struct(">BBH")
_BLOCK = struct.Struct(">IIIIII")


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """One source's reception (section 6.4.1). fraction: of 256; lost: signed; jitter: timestamp units; last_report:
    middle 32 bits of the NTP timestamp of its last SR; since_last: 1/65536 s."""

    ssrc: int
    fraction: int
    lost: int
    highest: int
    jitter: int
    last_report: int
    since_last: int


@dataclass(frozen=True, slots=True)
class SenderInfo:
    """ntp: 64 bits; timestamp: the same moment in RTP units; packets and octets sent."""

    ntp: int
    timestamp: int
    packets: int
    octets: int


@dataclass(frozen=True, slots=True)
class SenderReport:
    """SR (section 6.4.1)."""

    ssrc: int
    info: SenderInfo
    blocks: tuple[ReportBlock, ...]


@dataclass(frozen=True, slots=True)
class ReceiverReport:
    """RR (section 6.4.2)."""

    ssrc: int
    blocks: tuple[ReportBlock, ...]


@dataclass(frozen=True, slots=True)
class SourceDescription:
    """SDES (section 6.5): (ssrc, item type, text) for every item."""

    items: tuple[tuple[int, int, bytes], ...]


@dataclass(frozen=True, slots=True)
class Bye:
    """BYE (section 6.6)."""

    sources: tuple[int, ...]


RtcpPacket = SenderReport | ReceiverReport | SourceDescription | Bye


def _bad(reason: str) -> PeerError:
    return PeerError(f"RTCP: {reason}", metric="bad_rtcp")


def parse_compound(data: bytes) -> list[RtcpPacket]:
    """The packets of a compound; unknown types are passed over. PeerError when anything in it does not add up."""
    packets: list[RtcpPacket] = []
    at = 0
    for number in range(MAX_PACKETS):
        if at == len(data):
            if not number:
                raise _bad("empty")
            return packets
        if at + 4 > len(data):
            raise _bad("a header is cut off")
        lead, kind, words = struct.unpack_from(">BBH", data, at)
        end = at + 4 + 4 * words
        if lead >> 6 != 2 or end > len(data):
            raise _bad("version or length")
        if number == 0 and kind not in (SR, RR):
            raise _bad("a compound begins with a report")  # RFC 3550 section 6.1
        body = data[at + 4 : end]
        if lead & 0x20:
            body = _unpad(body, end == len(data))
        packet = _parse_packet(kind, lead & 0x1F, body)
        if packet is not None:
            packets.append(packet)
        at = end
    raise _bad("too many packets")


def _unpad(body: bytes, last: bool) -> bytes:
    """Take the padding off, which only the last packet of a compound may have (RFC 3550 section 6.4.1)."""
    if not last or not body or body[-1] == 0 or body[-1] % 4 or body[-1] > len(body):
        raise _bad("padding")
    return body[: -body[-1]]


def _parse_packet(kind: int, count: int, body: bytes) -> RtcpPacket | None:
    if kind == SR:
        if len(body) < 24 + 24 * count:
            raise _bad("a sender report is too short")
        ssrc, ntp, timestamp, packets, octets = struct.unpack_from(">IQIII", body)
        return SenderReport(ssrc, SenderInfo(ntp, timestamp, packets, octets), _parse_blocks(body[24:], count))
    if kind == RR:
        if len(body) < 4 + 24 * count:
            raise _bad("a receiver report is too short")
        return ReceiverReport(int.from_bytes(body[:4]), _parse_blocks(body[4:], count))
    if kind == SDES:
        return SourceDescription(_parse_items(body, count))
    if kind == BYE:
        if len(body) < 4 * count:
            raise _bad("a BYE is too short")
        return Bye(struct.unpack_from(f">{count}I", body))
    return None


def _parse_blocks(body: bytes, count: int) -> tuple[ReportBlock, ...]:
    blocks = []
    for n in range(count):
        ssrc, loss, highest, jitter, last, since = _BLOCK.unpack_from(body, 24 * n)
        lost = loss & 0xFFFFFF
        blocks.append(
            ReportBlock(ssrc, loss >> 24, lost - ((lost & 0x800000) << 1), highest, jitter, last, since)
        )
    return tuple(blocks)


def _parse_items(body: bytes, count: int) -> tuple[tuple[int, int, bytes], ...]:
    """Chunks of items, each chunk ended by a zero octet and filled up to a word (section 6.5)."""
    items = []
    at = 0
    for _ in range(count):
        if at + 4 > len(body):
            raise _bad("an SDES chunk is cut off")
        ssrc = int.from_bytes(body[at : at + 4])
        at += 4
        while True:
            if at >= len(body):
                raise _bad("an SDES chunk has no end")
            kind = body[at]
            if kind == 0:
                at = (at // 4 + 1) * 4
                break
            if at + 2 > len(body) or at + 2 + body[at + 1] > len(body):
                raise _bad("an SDES item is cut off")
            items.append((ssrc, kind, body[at + 2 : at + 2 + body[at + 1]]))
            at += 2 + body[at + 1]
    return tuple(items)


def build_reports(
    ssrc: NDArray[np.int64],
    sender: tuple[int, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    blocks: NDArray[np.int64],
    *,
    sending: NDArray[np.bool_],
    reporting: NDArray[np.bool_],
) -> list[bytes]:
    """Many reports at once, as SRs where sending and as RRs elsewhere. ssrc: ours, int64 (n,). sender: what SenderInfo
    says, the moment once and a column of everything else. blocks: the words of one report block each, int64 (n, 6);
    reporting: which have one."""
    words = np.empty((len(ssrc), SR_WORDS + BLOCK_WORDS), ">u4")
    ntp, timestamp, packets, octets = sender
    words[:, 1], words[:, 2], words[:, 3] = ssrc, ntp >> 32, ntp & 0xFFFFFFFF
    words[:, 4], words[:, 5], words[:, 6] = timestamp, packets, octets
    words[:, SR_WORDS:] = blocks
    block = reporting * (1 << 24 | BLOCK_WORDS)  # one more, and longer by it
    words[:, 0] = (0x80000000 | SR << 16 | SR_WORDS - 1) + block
    # An RR is the end of such a row: its header and SSRC stand right before the block.
    receivers = np.flatnonzero(~sending)
    words[receivers, SR_WORDS - RR_WORDS] = (0x80000000 | RR << 16 | RR_WORDS - 1) + block[receivers]
    words[receivers, SR_WORDS - 1] = ssrc[receivers]
    begins = np.where(sending, 0, SR_WORDS - RR_WORDS).tolist()
    ends = np.where(reporting, SR_WORDS + BLOCK_WORDS, SR_WORDS).tolist()
    return [row[begin:end].tobytes() for row, begin, end in zip(words, begins, ends, strict=True)]


def build_sdes(ssrc: int, cname: str) -> bytes:
    """An SDES with our CNAME (at most 255 octets of it)."""
    text = cname.encode()[:255]
    chunk = struct.pack(">IBB", ssrc, CNAME, len(text)) + text
    return _packet(SDES, 1, chunk + bytes(4 - len(chunk) % 4))


def build_bye(ssrc: int) -> bytes:
    """A BYE of one source."""
    return _packet(BYE, 1, struct.pack(">I", ssrc))


def _packet(kind: int, count: int, body: bytes) -> bytes:
    return _HEADER.pack(0x80 | count, kind, len(body) // 4) + body
