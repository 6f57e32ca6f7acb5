"""Damage to octets wherever they stand: what a bad line, a bad pointer or a patient stranger does to a message."""

import random
from collections.abc import Iterator, Sequence

INTERESTING = bytes((0, 1, 9, 10, 13, 27, 32, 34, 37, 44, 58, 59, 60, 61, 62, 64, 92, 127, 128, 160, 192, 254, 255))


def each_octet(data: bytes) -> Iterator[bytes]:
    """The message with every single octet left out, doubled, with each bit flipped, and cut short there."""
    for at in range(len(data)):
        yield data[:at] + data[at + 1 :]
        yield data[: at + 1] + data[at:]
        yield data[:at]
        for bit in range(8):
            yield data[:at] + bytes((data[at] ^ 1 << bit,)) + data[at + 1 :]


def mutate(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """The message after a few accidents. others: messages that pieces may come from."""
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 5, 9))):
        data = _ACCIDENTS[int(rng.random() * len(_ACCIDENTS))](rng, data, others)
    return data


def _flip(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    if not data:
        return data
    at = int(rng.random() * len(data))
    return data[:at] + bytes((data[at] ^ 1 << int(rng.random() * 8),)) + data[at + 1 :]


def _replace(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    if not data:
        return data
    at = int(rng.random() * len(data))
    return data[:at] + bytes((rng.choice(INTERESTING),)) + data[at + 1 :]


def _drop(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    at = int(rng.random() * (len(data) + 1))
    return data[:at] + data[at + rng.choice((1, 1, 1, 2, 4, 16, 64)) :]


def _repeat(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    at = int(rng.random() * (len(data) + 1))
    piece = data[at : at + rng.choice((1, 1, 2, 4, 16, 64))]
    return data[:at] + piece * rng.choice((2, 2, 2, 3, 8, 40)) + data[at + len(piece) :]


def _insert(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    at = int(rng.random() * (len(data) + 1))
    return data[:at] + bytes(rng.choices(INTERESTING, k=rng.choice((1, 1, 1, 2, 4)))) + data[at:]


def _cut_short(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    return data[: int(rng.random() * (len(data) + 1))]


def _swap_lines(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    lines = data.split(b"\n")
    one, other = int(rng.random() * len(lines)), int(rng.random() * len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return b"\n".join(lines)


def _transplant(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """A piece of another message in the place of a piece of this one."""
    donor = rng.choice(others)
    at, start = int(rng.random() * (len(data) + 1)), int(rng.random() * (len(donor) + 1))
    length = rng.choice((1, 2, 4, 16, 64, 256))
    return data[:at] + donor[start : start + length] + data[at + rng.choice((0, length)) :]


def _number(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """A binary field at the edge of its range."""
    width = rng.choice((1, 2, 2, 4))
    at = int(rng.random() * (len(data) + 1))
    value = rng.choice((0, 1, (1 << 8 * width) - 1, 1 << 8 * width - 1, (1 << 8 * width - 1) - 1, len(data) & 0xFF))
    return data[:at] + (value & (1 << 8 * width) - 1).to_bytes(width) + data[at + width :]


_ACCIDENTS = (_flip, _flip, _replace, _replace, _drop, _repeat, _insert, _insert, _cut_short, _swap_lines, _transplant,
              _number)
