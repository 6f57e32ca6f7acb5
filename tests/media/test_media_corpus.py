"""Packets of crash reports, fuzzers and other people's tests, thrown at a running leg over real sockets.

They come from the telephone's own address and from strangers', to the RTP and to the RTCP port. The leg lives, and both
people hear each other again without a gap.
"""

import re
from collections.abc import Iterator

import pytest

from tests.corpus.index import Row, rows
from tests.corpus.pcap import datagrams
from tests.media.loopback import LOCAL, Rig

MAX_DATAGRAMS = 300
MAX_BYTES = 65507  # of one datagram over IPv4
_HEX_BLOCK = re.compile(r"(?:^ +(?:[0-9a-f]{4,8} ?)+\n)+", re.MULTILINE)


def packets_of(row: Row) -> list[bytes]:
    """The datagrams in a file: a capture's, those printed in an RFC, or the file itself."""
    if row.path.suffix == ".pcap":
        return [each.payload for each in datagrams(row.data)][:MAX_DATAGRAMS]
    if row.path.suffix == ".txt":
        found = [bytes.fromhex("".join(each.split())) for each in _HEX_BLOCK.findall(row.data.decode())]
        assert len(found) > 3
        return found[:MAX_DATAGRAMS]
    return [row.data[:MAX_BYTES]]


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    built = Rig()
    for pitch in (450, 650):
        built.connect(built.phone(pitch))
    built.run(1.5)
    yield built
    built.close()


@pytest.mark.parametrize("row", rows("rtp", "rtcp", "fuzz_seeds"))
def test_a_leg_outlives(row: Row, rig: Rig) -> None:
    first, second = rig.phones
    stranger = rig.strangers.sockets[0]
    for number, data in enumerate(packets_of(row)):
        for _ in range(4):  # once each would be on probation only
            for one in (first.rtp, stranger):
                one.sendto(data, (LOCAL, first.port))
            for one in (first.rtcp, stranger):
                one.sendto(data, (LOCAL, first.port + 1))
        if number % 8 == 7:
            rig.run(0.02)
    heard = len(first.heard)
    rig.run(0.1)
    assert len(first.heard) - heard == 5, "our packets go on"
    rig.run(0.9)
    rig.listen(0.2)
    assert rig.streams.latched(0) == first.address and rig.plane.legs == 2


@pytest.mark.parametrize("row", rows("rtp", "rtcp"))
def test_a_leg_that_has_heard_nobody_yet_outlives_it_too(row: Row) -> None:
    rig = Rig()
    try:
        phone = rig.phone(450)
        rig.connect(phone)
        phone.talks = False
        for data in packets_of(row)[:50]:
            for _ in range(5):
                phone.rtp.sendto(data, (LOCAL, phone.port))
                phone.rtcp.sendto(data, (LOCAL, phone.port + 1))
        rig.run(0.2)
        phone.talks = True
        rig.run(0.5)
        assert rig.streams.latched(0) == phone.address and rig.streams.ssrc[0] == phone.ssrc
    finally:
        rig.close()
