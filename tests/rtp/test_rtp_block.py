"""What came from several places stands in one block, each datagram where its slot says, however the block grows."""

import random

import numpy as np
import pytest

from sipconf.rtp.edge.block import Block
from sipconf.rtp.packet import ROW, Drained


def came(rng: random.Random, count: int, scattered: bool) -> Drained:
    rows = count + 5
    block = np.frombuffer(rng.randbytes(rows * ROW), np.uint8).reshape(rows, ROW).copy()
    lines = np.array(rng.sample(range(rows), count), np.intp) if scattered else None
    lengths = np.array([rng.choice([-1, 0, 12, 172, 301]) for _ in range(count)], np.int64)
    return Drained(np.arange(count), block if scattered else block[:count], lengths, lines)


def datagrams(drained: Drained) -> list[tuple[int, bytes]]:
    lines = range(len(drained.slots)) if drained.lines is None else drained.lines.tolist()
    return [
        (slot, drained.block[line, : max(length, 0)].tobytes())
        for slot, line, length in zip(drained.slots.tolist(), lines, drained.lengths.tolist(), strict=True)
    ]


@pytest.mark.parametrize("seed", range(30))
def test_nothing_is_lost_or_mixed_up(seed: int) -> None:
    rng = random.Random(seed)
    block = Block(4)
    for _ in range(10):
        first = block.hold(came(rng, rng.randrange(12), scattered=True))
        second, third = (came(rng, rng.randrange(12), rng.random() < 0.5) for _ in range(2))
        wanted = [*datagrams(first), *datagrams(second), *datagrams(third)]
        assert datagrams(block.extend(block.extend(first, second), third)) == wanted


def test_what_came_alone_is_not_copied() -> None:
    block, scattered = Block(4), came(random.Random(1), 9, scattered=True)
    nothing = Drained(scattered.slots[:0], block.octets[:0], scattered.lengths[:0])
    assert block.extend(nothing, scattered) is scattered and block.extend(scattered, nothing) is scattered
    assert len(block.octets) == 4
    assert datagrams(scattered.in_line()) == datagrams(scattered)
    assert datagrams(scattered.part(2, 7)) == datagrams(scattered)[2:7]
