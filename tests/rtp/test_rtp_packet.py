"""Headers of a block against a plain reader, and golden packets where the corpus is present."""

import random

import numpy as np
import pytest

from sipconf.errors import MisuseError
from sipconf.rtp.extensions import MAX_ELEMENTS
from sipconf.rtp.packet import NO_LEVEL, ROW, parse
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


def plain_level(data, number):
    """The level that an extension tells, element by element (RFC 8285 sections 4.2 and 4.3), or NO_LEVEL."""
    if not number or plain_parse(data) in (None, "rtcp") or data[0] & 0x3F != 0x10:
        return NO_LEVEL
    profile, rest = int.from_bytes(data[12:14]), data[16 : 16 + 4 * int.from_bytes(data[14:16])]
    if profile != 0xBEDE and profile >> 4 != 0x100:
        return NO_LEVEL
    for _ in range(MAX_ELEMENTS):
        if not rest:
            return NO_LEVEL
        if rest[0] == 0:
            rest = rest[1:]
            continue
        if profile == 0xBEDE:
            element, length, head = rest[0] >> 4, (rest[0] & 15) + 1, 1
            if element in (0, 15):
                return NO_LEVEL
        elif len(rest) < 2:
            return NO_LEVEL
        else:
            element, length, head = rest[0], rest[1], 2
        if element == number and length and len(rest) >= head + length:
            return rest[head] & 127
        rest = rest[head + length :]
    return NO_LEVEL


def extension(rng, form):
    """An extension of some elements and padding, sound or not."""
    body = b""
    for _ in range(rng.randrange(5)):
        number, data = rng.choice((0, 1, 3, 3, 3, 14, 15)), rng.randbytes(rng.choice((1, 1, 1, 3, 16)))
        if form == 0xBEDE:
            body += bytes([number << 4 | len(data) - 1]) + data
        else:
            body += bytes([number, rng.choice((len(data), len(data), 0))]) + data
        body += bytes(rng.choice((0, 0, 1, 2, 20)))
    body = body[: rng.randrange(len(body) + 1)] if rng.random() < 0.2 else body
    body += bytes(-len(body) % 4)
    words = len(body) // 4 + (rng.choice((-1, 1, 300)) if rng.random() < 0.1 else 0)
    return form.to_bytes(2) + max(words, 0).to_bytes(2) + body


@pytest.mark.parametrize("seed", range(4))
def test_extensions_and_the_levels_in_them_read_as_the_plain_reader_reads_them(seed):
    rng = random.Random(seed)
    datagrams, ids = [], []
    for _ in range(500):
        first = rng.choice((0x80, 0x90, 0x90, 0x90, 0x90, 0x91, 0xB0))
        whole = extension(rng, rng.choice((0xBEDE, 0xBEDE, 0x1000, 0x100F, 0x4242))) if first & 0x10 else b""
        data = bytes([first]) + rng.randbytes(11) + whole + rng.randbytes(rng.randrange(30))
        datagrams.append(data[: rng.randrange(len(data))] if rng.random() < 0.1 else data)
        ids.append(rng.choice((0, 1, 3, 3, 14)))
    block, lengths = block_of(datagrams)
    parsed = parse(block, lengths, np.array(ids))
    told = 0
    for i, data in enumerate(datagrams):
        assert read(parsed, block, i) == plain_parse(data), f"seed {seed}: {data[:60].hex()}"
        level = plain_level(data, ids[i])
        assert parsed.levels[i] == level, f"seed {seed} id {ids[i]}: {data[:60].hex()}"
        told += level != NO_LEVEL
    assert told > 20
    assert (parse(block, lengths).levels == NO_LEVEL).all()


def test_what_browsers_send_tells_its_level():
    one, two = "bede0001" "30859500" "11", "10000001" "03018500" "22"
    heads = [bytes.fromhex("906f0001" "00000002" "00000003" + each) for each in (one, two)]
    block, lengths = block_of(heads)
    assert parse(block, lengths, np.array([3, 3])).levels.tolist() == [5, 5]
    assert parse(block, lengths, np.array([9, 0])).levels.tolist() == [NO_LEVEL, NO_LEVEL]


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
