"""Reports built one by one, field after field: what tests send, and the referee of those that are built by columns."""

import struct

from sipconf.rtp.rtcp_packets import RR, SR, ReportBlock, SenderInfo


def build_report(ssrc: int, info: SenderInfo | None, blocks: tuple[ReportBlock, ...]) -> bytes:
    """An SR, or an RR where info is None (RFC 3550 section 6.4)."""
    body = ssrc.to_bytes(4)
    if info is not None:
        body += struct.pack(">QIII", info.ntp, info.timestamp, info.packets, info.octets)
    for one in blocks:
        loss = one.fraction << 24 | one.lost & 0xFFFFFF
        body += struct.pack(">IIIIII", one.ssrc, loss, one.highest, one.jitter, one.last_report, one.since_last)
    return struct.pack(">BBH", 0x80 | len(blocks), RR if info is None else SR, len(body) // 4) + body
