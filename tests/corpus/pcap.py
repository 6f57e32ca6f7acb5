"""The UDP datagrams of a packet capture (libpcap format), as far as the test files need.

IPv4 under Ethernet, cooked or raw; layout as in draft-ietf-opsawg-pcap. Fragments and other protocols are passed over.
"""

import struct
from dataclasses import dataclass

_LINK_BYTES = {0: 4, 1: 14, 101: 0, 113: 16, 228: 0, 276: 20}
"""Octets in front of the IP header, by link type."""


@dataclass(frozen=True, slots=True)
class Datagram:
    """One UDP datagram and when it was seen (s)."""

    at: float
    source: tuple[str, int]
    target: tuple[str, int]
    payload: bytes


def datagrams(data: bytes) -> list[Datagram]:
    """Raises ValueError for what is no capture."""
    order, ticks = {b"\xd4\xc3\xb2\xa1": ("<", 1e6), b"\xa1\xb2\xc3\xd4": (">", 1e6),
                    b"\x4d\x3c\xb2\xa1": ("<", 1e9)}.get(data[:4], ("", 0.0))  # fmt: skip
    if not order:
        raise ValueError("no packet capture")
    skipped = _LINK_BYTES[struct.unpack_from(order + "I", data, 20)[0] & 0xFFFF]
    found, at = [], 24
    while at + 16 <= len(data):
        seconds, fraction, size, _ = struct.unpack_from(order + "4I", data, at)
        frame = data[at + 16 + skipped : at + 16 + size]
        at += 16 + size
        if (datagram := _udp(frame, seconds + fraction / ticks)) is not None:
            found.append(datagram)
    return found


def _udp(packet: bytes, at: float) -> Datagram | None:
    if len(packet) < 28 or packet[0] >> 4 != 4 or packet[9] != 17 or struct.unpack_from("!H", packet, 6)[0] & 0x1FFF:
        return None
    begin = 4 * (packet[0] & 0x0F)
    source, target, size, _ = struct.unpack_from("!4H", packet, begin)
    hosts = [".".join(map(str, packet[i : i + 4])) for i in (12, 16)]
    return Datagram(at, (hosts[0], source), (hosts[1], target), packet[begin + 8 : begin + size])
