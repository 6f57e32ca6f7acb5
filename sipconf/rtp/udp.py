"""IPv4 and UDP headers for many datagrams at once (RFC 791 section 3.1, RFC 768), as a raw socket wants them.

The kernel itself fills in the whole length and the checksum of the IP header. Not here: sockets (edge/raw_sends).
"""

import ipaddress
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sipconf.rtp.latching import Address

HEADERS_BYTES = 28
_UDP_BYTES = 8
_HOSTS_AT = 12
_VERSION, _DO_NOT_FRAGMENT, _TIME_TO_LIVE, _UDP = 0x45, 0x40, 64, 17
_ALL_ONES = 0xFFFF
_REMEMBERED = 8192
"""Ways whose headers are kept, more than a worker has legs: the reports of each go the same one again and again."""


def headers(local: Address, peer: Address) -> bytes:
    """Both headers of a datagram from here to there, IPv4 literals, without length and checksum."""
    ip = bytes([_VERSION, 0, 0, 0, 0, 0, _DO_NOT_FRAGMENT, 0, _TIME_TO_LIVE, _UDP, 0, 0])
    hosts = b"".join(ipaddress.IPv4Address(host).packed for host, _ in (local, peer))
    return ip + hosts + local[1].to_bytes(2) + peer[1].to_bytes(2) + bytes(4)


def datagram(local: Address, peer: Address, payload: bytes) -> bytes:
    """A single one, whole. Octets of one number, which modulo 65535 is the sum of its 16-bit words."""
    begin, total = _way(local, peer)
    length = _UDP_BYTES + len(payload)
    total += 2 * length + int.from_bytes(payload if length % 2 == 0 else payload + b"\0")
    return begin + length.to_bytes(2) + (_ALL_ONES - total % _ALL_ONES).to_bytes(2) + payload


@lru_cache(_REMEMBERED)
def _way(local: Address, peer: Address) -> tuple[bytes, int]:
    """What all datagrams from here to there begin with, and the sum of what they have in common."""
    octets = headers(local, peer)
    return octets[:-4], int.from_bytes(octets[_HOSTS_AT:-4]) + _UDP


class UdpHeaders:
    """Headers of N datagrams on their way. octets: uint8 (N, HEADERS_BYTES), made by `headers` and kept."""

    def __init__(self, octets: NDArray[np.uint8]) -> None:
        self.octets = octets
        self._lengths = octets.view(">u2")[:, 12]
        words = octets.view(np.uint16)
        self._length_words, self._checksums = words[:, 12], words[:, 13]
        # Sums of 16-bit words as this machine reads them: of such the checksum is made in any order of octets.
        protocol = int(np.array(_UDP, ">u2").view(np.uint16))
        self._of_ways = words[:, 6:12].sum(axis=1, dtype=np.uint64) + protocol
        self._of_headers = self._of_ways

    def set_sizes(self, sizes: NDArray[np.int64]) -> None:
        """So many octets, (N,), have the datagrams' payloads from now on."""
        self._lengths[:] = sizes + _UDP_BYTES
        lengths = self._length_words.astype(np.uint64)  # which are in the pseudo header and in the header
        self._of_headers = self._of_ways + lengths + lengths

    def cover(self, payloads: NDArray[np.uint8]) -> None:
        """Write the checksums (RFC 1071) over headers and payloads: uint8 (N, whole words of four octets), 0 behind
        what counts."""
        total = np.einsum("ij->i", payloads.view(np.uint32), dtype=np.uint64, casting="safe")
        total += self._of_headers
        # 0, which would say that there is no checksum, does not come of it: UDP sends 65535 in its place.
        self._checksums[:] = _ALL_ONES - total % _ALL_ONES


def padded(payloads: NDArray[np.uint8], sizes: NDArray[np.int64]) -> NDArray[np.uint8]:
    """What `cover` wants of payloads of so many octets, (N,), which stand in rows of whole words: a view where all fill
    their words."""
    octets = -(-int(sizes.max(initial=0)) // 4) * 4
    if int(sizes.min(initial=octets)) == octets:
        return payloads[:, :octets]
    return np.where(np.arange(octets) < sizes[:, None], payloads[:, :octets], np.uint8(0))
