"""Headers of a block against a plain reader, and golden packets where the corpus is present."""

import random

import numpy as np
import pytest

from sipconf.errors import MisuseError
from sipconf.rtp.packet import ROW, parse
from tests.corpus.index import ABSENT, CORPORA

CORPUS = CORPORA / "rtp"


def block_of(datagrams):
    block = np.full((len(datagrams), ROW), 0xAA, np.uint8)
    for row, datagram in zip(block, datagrams, strict=True):
        row[: len(datagram)] = list(datagram)
    return block, np.array([len(one) for one in datagrams], np.int64)


def plain_parse(data):
    """(payload_type, marker, sequence, timestamp, ssrc, payload), "rtcp", or None."""
    if len(data) >= 8 and data[0] >> 6 == 2 and 192 <= data[1] <= 223:
        return "rtcp"
    if len(data) < 12 or data[0] >> 6 != 2:
        return None
    begin = 12 + 4 * (data[0] & 15)
    if data[0] & 16:
        if begin + 4 > len(data):
            return None
        begin += 4 + 4 * int.from_bytes(data[begin + 2 : begin + 4])
    end = len(data)
    if begin > end:
        return None
    if data[0] & 32:
        if data[-1] == 0 or begin + data[-1] > end:
            return None
        end -= data[-1]
    numbers = (int.from_bytes(data[a:b]) for a, b in ((2, 4), (4, 8), (8, 12)))
    return (data[1] & 127, data[1] > 127, *numbers, data[begin:end])


def read(parsed, block, i):
    if parsed.rtcp[i]:
        assert not parsed.valid[i]
        return "rtcp"
    if not parsed.valid[i]:
        return None
    start, size = int(parsed.offset[i]), int(parsed.size[i])
    columns = (parsed.payload_type, parsed.marker, parsed.sequence, parsed.timestamp, parsed.ssrc)
    return (*(column[i].item() for column in columns), block[i, start : start + size].tobytes())


@pytest.mark.parametrize("seed", range(4))
def test_every_header_reads_as_the_plain_reader_reads_it(seed):
    rng = random.Random(seed)
    datagrams = []
    for _ in range(600):
        data = bytearray(rng.randbytes(rng.choice((0, 3, 8, 11, 12, 13, 16, 40, 172, 172, 172, 1500))))
        if data and rng.random() < 0.9:
            data[0] = 0x80 if rng.random() < 0.5 else 0x80 | rng.randrange(64)
        if len(data) > 30 and rng.random() < 0.7:
            data[-1] = rng.randrange(12)
            data[14:16] = bytes((0, rng.randrange(8)))
        datagrams.append(bytes(data))
    block, lengths = block_of(datagrams)
    parsed = parse(block, lengths)
    for i, data in enumerate(datagrams):
        assert read(parsed, block, i) == plain_parse(data), f"seed {seed}: {data[:40].hex()}"


def test_an_empty_block_is_no_packets():
    assert len(parse(np.zeros((0, ROW), np.uint8), np.zeros(0, np.int64)).valid) == 0


def test_a_block_that_is_not_rows_is_our_mistake():
    with pytest.raises(MisuseError):
        parse(np.zeros((2, 2 * ROW), np.uint8)[:, ::2], np.zeros(2, np.int64))


@pytest.mark.skipif(not CORPUS.is_dir(), reason=ABSENT)
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("rtp.bin", (0, False, 15743, 3937035252, 1831097322, 160)),
        ("rtp_dtmf.bin", (101, True, 24152, 4021352124, 4028317929, 4)),
        ("rtp_with_csrc.bin", (0, False, 16082, 144, 1831097322, 160)),
        ("rtp_only_padding.bin", (120, False, 27759, 4044047131, 3690748223, 0)),
    ],
)
def test_golden_packets(name, expected):
    data = (CORPUS / name).read_bytes()
    block, lengths = block_of([data])
    got = read(parse(block, lengths), block, 0)
    assert got == plain_parse(data)
    assert (got[0], got[1], got[2]) == expected[:3] and len(got[5]) == expected[5]
