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
