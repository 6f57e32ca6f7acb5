"""IPv4 and UDP headers against a reader and a checksum written in plain Python."""

import random

import numpy as np
import pytest

from sipconf.rtp.udp import HEADERS_BYTES, UdpHeaders, datagram, headers, padded

WAYS = [(("192.0.2.1", 10_000), ("198.51.100.7", 49_170)), (("10.0.0.255", 65_534), ("255.255.255.254", 1))]


def folded(octets: bytes) -> int:
    """The sum of RFC 1071, whose complement is the checksum."""
    octets += bytes(len(octets) % 2)
    total = sum(int.from_bytes(octets[place : place + 2]) for place in range(0, len(octets), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def covered(head: bytes, payload: bytes) -> bytes:
    """What the checksum of UDP covers, with itself in its place (RFC 768)."""
    return head[12:20] + b"\0\x11" + (8 + len(payload)).to_bytes(2) + head[20:] + payload


def made(ways: list) -> UdpHeaders:
    octets = b"".join(headers(*way) for way in ways)
    return UdpHeaders(np.frombuffer(octets, np.uint8).reshape(-1, HEADERS_BYTES).copy())


def fill_in(heads: UdpHeaders, rows: np.ndarray, sizes: np.ndarray) -> None:
    heads.set_sizes(sizes)
    heads.cover(padded(rows, sizes))


@pytest.mark.parametrize("size", [0, 1, 2, 3, 12, 171, 172, 173, 1400])
def test_headers_tell_the_way_and_cover_the_payload(size: int) -> None:
    rng = random.Random(size)
    heads = made(WAYS)
    for _ in range(20):
        rows = np.frombuffer(rng.randbytes(2 * 1600), np.uint8).reshape(2, 1600)
        sizes = np.array([size, rng.choice([0, size])])
        fill_in(heads, rows, sizes)
        for (ours, theirs), octets, row, length in zip(WAYS, heads.octets, rows, sizes.tolist(), strict=True):
            data, payload = octets.tobytes(), row[:length].tobytes()
            assert len(data) == HEADERS_BYTES
            assert (data[0], data[1], data[6] & 0xE0, data[9]) == (0x45, 0, 0x40, 17)
            assert data[6] & 0x1F == data[7] == 0, "no fragment of anything"
            assert ".".join(map(str, data[12:16])) == ours[0] and ".".join(map(str, data[16:20])) == theirs[0]
            assert [int.from_bytes(data[at : at + 2]) for at in (20, 22, 24)] == [ours[1], theirs[1], 8 + length]
            assert folded(covered(data, payload)) == 0xFFFF and data[26:28] != b"\0\0"


@pytest.mark.parametrize("size", [0, 1, 2, 3, 28, 60, 171, 1400])
def test_a_single_datagram_is_what_many_at_once_are(size: int) -> None:
    rng = random.Random(size)
    heads = made(WAYS)
    for _ in range(20):
        payload = rng.randbytes(size)
        rows = np.frombuffer(2 * payload.ljust(1600, b"?"), np.uint8).reshape(2, 1600)
        fill_in(heads, rows, np.array([size, size]))
        for way, octets in zip(WAYS, heads.octets, strict=True):
            assert datagram(*way, payload) == octets.tobytes() + payload


def test_a_checksum_of_zero_is_sent_as_ones() -> None:
    """Zero would say that there is none (RFC 768)."""
    heads = made(WAYS[:1])
    row = np.zeros((1, 4), np.uint8)
    fill_in(heads, row, np.array([2]))
    wanted = heads.octets[0, 26:28].copy()  # with this payload the sum becomes 65535
    row[0, :2] = wanted
    fill_in(heads, row, np.array([2]))
    assert heads.octets[0, 26:28].tolist() == [0xFF, 0xFF]
    assert datagram(*WAYS[0], wanted.tobytes())[26:28] == b"\xff\xff"


def test_no_datagram_is_no_header() -> None:
    heads = made([])
    fill_in(heads, np.zeros((0, 8), np.uint8), np.zeros(0, np.int64))
    assert heads.octets.shape == (0, HEADERS_BYTES)
