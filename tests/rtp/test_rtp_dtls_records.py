"""Which plain DTLS records a handshake gets to see, and how what it writes is packed into datagrams."""

import random

import pytest

from sipconf.rtp.dtls_records import CLIENT_MESSAGES, SERVER_MESSAGES, Sieve, datagrams, records
from tests.sim.dtls_noise import alert, handshake_message, record

HELLO = handshake_message(1, b"x" * 40)


def numbers(octets: bytes) -> list[int]:
    """Sequence numbers of the records."""
    return [int.from_bytes(each[5:11]) for each in records(octets)]


def test_sound_plain_records_pass_with_numbers_of_our_own() -> None:
    sieve = Sieve(CLIENT_MESSAGES)
    first = sieve.sift(record(22, HELLO, number=1 << 40))
    second = sieve.sift(record(22, HELLO) + record(20, b"\1", number=7))
    assert numbers(first) == [1] and numbers(second) == [2, 3]
    assert first[:5] == record(22, HELLO)[:5] and first[11:] == record(22, HELLO)[11:]


@pytest.mark.parametrize("octets", [
    b"", b"\x16", record(22, b""), record(22, b"\1"), record(22, HELLO)[:-1], b"\x80" + record(22, HELLO)[1:],
    record(22, HELLO, version=b"\3\3"),
    record(22, handshake_message(2, b"x")),                     # a server's
    record(22, handshake_message(99, b"x")),
    record(22, handshake_message(1, b"x", number=32)),
    record(22, handshake_message(1, b"x", whole=1 << 20)),
    record(22, handshake_message(1, b"xy", whole=3, offset=2)),  # reaches over the end of its message
    record(22, HELLO + b"\0"), record(22, HELLO[:-1]),           # and over that of its record
    record(20, b"\2"), record(20, b"\1\1"), record(23, b"x"), record(21, b"\1\0"),
])  # fmt: skip
def test_what_would_end_a_handshake_does_not_pass(octets: bytes) -> None:
    sieve = Sieve(CLIENT_MESSAGES)
    assert sieve.sift(octets) == b"" and sieve.alert is None


def test_a_fatal_alert_in_the_clear_is_noted_and_does_not_pass() -> None:
    sieve = Sieve(CLIENT_MESSAGES)
    assert sieve.sift(alert(40) + record(22, HELLO)) == sieve.sift(record(22, HELLO)).replace(b"\2", b"\1", 1)
    assert sieve.alert == "handshake_failure"
    sieve.sift(alert(200))
    assert sieve.alert == "alert 200"


def test_protected_records_pass_as_they_are() -> None:
    protected = record(22, b"whatever", epoch=1, number=9) + record(21, b"sealed", epoch=1)
    assert Sieve(SERVER_MESSAGES).sift(protected) == protected


def test_each_end_says_what_is_its_own() -> None:
    assert Sieve(SERVER_MESSAGES).sift(record(22, HELLO)) == b""
    assert Sieve(SERVER_MESSAGES).sift(record(22, handshake_message(2, b"x")))


@pytest.mark.parametrize("seed", range(5))
def test_datagrams_hold_whole_records_in_order_and_no_more_octets_than_may_be(seed: int) -> None:
    rng = random.Random(seed)
    written = [record(22, rng.randbytes(rng.randrange(1, 400))) for _ in range(30)]
    packed = datagrams(b"".join(written), 1000)
    assert [each for datagram in packed for each in records(datagram)] == written
    assert max(map(len, packed)) <= 1000 and len(packed) < 15


def test_no_octets_make_no_datagram() -> None:
    assert datagrams(b"", 1000) == []
