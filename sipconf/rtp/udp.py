"""IPv4 and UDP headers for many datagrams at once (RFC 791 section 3.1, RFC 768), as a raw socket wants them.

The kernel itself fills in the whole length and the checksum of the IP header. Not here: sockets (edge/raw).
"""

import ipaddress

import numpy as np
from numpy.typing import NDArray

from sipconf.rtp.latching import Address

HEADERS_BYTES = 28
_UDP_BYTES = 8
_VERSION, _DO_NOT_FRAGMENT, _TIME_TO_LIVE, _UDP = 0x45, 0x40, 64, 17
_ALL_ONES = np.uint64(0xFFFF)


class UdpHeaders:
    """Headers of N datagrams on their way, each between two addresses. octets: uint8 (N, HEADERS_BYTES)."""

    def __init__(self, ways: list[tuple[Address, Address]]) -> None:
        """ways: from where to where, IPv4 literals."""
        self.octets = np.zeros((len(ways), HEADERS_BYTES), np.uint8)
        for row, ((host, port), (peer, peer_port)) in zip(self.octets, ways, strict=True):
            row[0], row[6], row[8], row[9] = _VERSION, _DO_NOT_FRAGMENT, _TIME_TO_LIVE, _UDP
            row[12:16], row[16:20] = (list(ipaddress.IPv4Address(each).packed) for each in (host, peer))
            row[20:24] = list(port.to_bytes(2) + peer_port.to_bytes(2))
        self._lengths = self.octets.view(">u2")[:, 12]
        words = self.octets.view(np.uint16)
        self._length_words, self._checksums = words[:, 12], words[:, 13]
        # Of the pseudo header and the header, without the length, which is in both.
        protocol = int(np.array(_UDP, ">u2").view(np.uint16))
        self._constant = words[:, 6:12].sum(axis=1, dtype=np.uint64) + protocol

    def fill_in(self, payloads: NDArray[np.uint8], sizes: NDArray[np.int64]) -> None:
        """These are the datagrams' payloads: uint8 (N, whole words of four octets), of which the first sizes, (N,),
        count."""
        self._lengths[:] = sizes + _UDP_BYTES
        total = sums(payloads, sizes)
        total += self._constant
        total += self._length_words
        total += self._length_words
        # What is 0 but for the carries has the checksum 65535, as UDP sends it: 0 would say that there is none.
        self._checksums[:] = _ALL_ONES - total % _ALL_ONES


def sums(payloads: NDArray[np.uint8], sizes: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Of each payload, as for `fill_in`, the sum of its 16-bit words as this machine reads them, padded with zeros, but
    for multiples of 65535: of such sums the Internet checksum is made in any order of octets (RFC 1071 section 2)."""
    words = -(-int(sizes.max(initial=0)) // 4)
    covered = payloads[:, : 4 * words]
    if int(sizes.min(initial=4 * words)) != 4 * words:
        covered = np.where(np.arange(4 * words) < sizes[:, None], covered, np.uint8(0))
    return np.einsum("ij->i", covered.view(np.uint32), dtype=np.uint64, casting="safe")
