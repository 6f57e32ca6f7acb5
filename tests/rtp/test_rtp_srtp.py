"""SRTP against the RFCs' vectors by way of a plain twin, and what replayed, forged and cut packets do: nothing."""

import hashlib
import hmac
import random
import socket
import struct
from collections.abc import Callable

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pylibsrtp import Policy, Session
from pylibsrtp._binding import lib

from sipconf.rtp.packet import ROW
from sipconf.rtp.srtp import MOST_SOURCES, PROFILES, WINDOW, KeysError, Lines, SrtpColumns

CM = "AES_CM_128_HMAC_SHA1_80"
# RFC 3711 appendix B.3.
MASTER_KEY = bytes.fromhex("E1F97A0D3E018BE0D64FA32C06DE4139")
MASTER_SALT = bytes.fromhex("0EC675AD498AFEEBB6960B3AABE6")
B3 = {
    0: bytes.fromhex("C61E7A93744F39EE10734AFE3FF7A087"),
    1: bytes.fromhex("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"),
    2: bytes.fromhex("30CBBC08863D8C85D49DB34A9AE1"),
}
# RFC 7714 section 16.1.1.
GCM_SALT = bytes.fromhex("517569642070726f2071756f")
GCM_PACKET = bytes.fromhex("8040f17b8041f8d35501a0b2") + b"Gallia est omnis divisa in partes tres"
GCM_SEALED = bytes.fromhex(
    "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833899d7f27beb1"
    "6a9152cf765ee4390cce"
)


def counter_mode(key: bytes, iv: bytes, data: bytes) -> bytes:
    return Cipher(algorithms.AES(key), modes.CTR(iv)).encryptor().update(data)


def derived(master: bytes, salt: bytes, label: int, size: int) -> bytes:
    """RFC 3711 section 4.3."""
    start = bytearray(salt.ljust(14, b"\0"))
    start[7] ^= label
    return counter_mode(master, bytes(start) + b"\0\0", bytes(size))


def seal_cm(packet: bytes, tag_bytes: int) -> bytes:
    """RFC 3711 section 4, first roll-over."""
    key, auth, salt = (derived(MASTER_KEY, MASTER_SALT, label, size) for label, size in ((0, 16), (1, 20), (2, 14)))
    iv = int.from_bytes(salt) << 16 ^ int.from_bytes(packet[8:12]) << 64 ^ int.from_bytes(packet[2:4]) << 16
    sealed = packet[:12] + counter_mode(key, iv.to_bytes(16), packet[12:])
    return sealed + hmac.digest(auth, sealed + bytes(4), hashlib.sha1)[:tag_bytes]


def seal_gcm(key: bytes, salt: bytes, packet: bytes) -> bytes:
    """RFC 7714 section 8, first roll-over."""
    iv = int.from_bytes(bytes(2) + packet[8:12] + bytes(4) + packet[2:4]) ^ int.from_bytes(salt)
    return packet[:12] + AESGCM(key).encrypt(iv.to_bytes(12), packet[12:], packet[:12])


def rtp(sequence: int, ssrc: int = 0xCAFE, octets: int = 160) -> bytes:
    return struct.pack("!BBHII", 0x80, 0, sequence & 0xFFFF, 160 * sequence & 0xFFFFFFFF, ssrc) + bytes(octets)


class Leg:
    """A guarded slot, and its peer by pylibsrtp."""

    def __init__(self, profile: str = CM, slot: int = 3) -> None:
        rng = random.Random(2)
        self.slot, number, size = slot, *PROFILES[profile]
        self.profile, self.rx, self.tx = profile, rng.randbytes(size), rng.randbytes(size)
        self.columns = SrtpColumns()
        self.columns.set_keys(slot, profile, self.rx, self.tx)
        self.outbound = Session(Policy(self.rx, Policy.SSRC_ANY_OUTBOUND, srtp_profile=number))
        self.inbound = Session(Policy(self.tx, Policy.SSRC_ANY_INBOUND, srtp_profile=number))

    def hear(self, *datagrams: bytes) -> list[bytes]:
        """What is left of one drain's datagrams."""
        return unprotect(self.columns, [(self.slot, data) for data in datagrams])

    @property
    def counts(self) -> tuple[int, int]:
        return int(self.columns.replayed[self.slot]), int(self.columns.forged[self.slot])


def unprotect(columns: SrtpColumns, rows: list[tuple[int, bytes]]) -> list[bytes]:
    block = np.zeros((len(rows), ROW), np.uint8)
    for row, (_, data) in zip(block, rows, strict=True):
        row[: len(data)] = np.frombuffer(data, np.uint8)
    slots, lengths = np.array([slot for slot, _ in rows]), np.array([len(data) for _, data in rows])
    columns.unprotect(slots, block, lengths)
    return [row[:size].tobytes() for row, size in zip(block, lengths.tolist(), strict=True)]


def protect(columns: SrtpColumns, rows: list[tuple[int, bytes]]) -> list[bytes]:
    block = np.zeros((len(rows), ROW), np.uint8)
    lines = Lines(block)
    for i, (_, data) in enumerate(rows):
        block[i, : len(data)] = np.frombuffer(data, np.uint8)
        lines.lengths[i] = len(data)
    columns.protect([slot for slot, _ in rows], lines)
    return [row[:size].tobytes() for row, size in zip(block, lines.lengths.tolist(), strict=True)]


def test_the_twin_agrees_with_the_rfcs() -> None:
    assert {label: derived(MASTER_KEY, MASTER_SALT, label, len(key)) for label, key in B3.items()} == B3
    assert seal_gcm(bytes(range(16)), GCM_SALT, GCM_PACKET) == GCM_SEALED


@pytest.mark.parametrize(("profile", "tag"), [(CM, 10), ("AES_CM_128_HMAC_SHA1_32", 4)])
def test_counter_mode_is_the_rfcs(profile: str, tag: int) -> None:
    columns = SrtpColumns()
    columns.set_keys(0, profile, MASTER_KEY + MASTER_SALT, MASTER_KEY + MASTER_SALT)
    sealed = seal_cm(rtp(7), tag)
    assert protect(columns, [(0, rtp(7))]) == [sealed]
    assert unprotect(columns, [(0, sealed)]) == [rtp(7)]


@pytest.mark.parametrize(("profile", "key_bytes"), [("AEAD_AES_128_GCM", 16), ("AEAD_AES_256_GCM", 32)])
def test_galois_counter_mode_is_the_rfcs(profile: str, key_bytes: int) -> None:
    master, salt = bytes(range(key_bytes)), bytes(range(40, 52))
    columns = SrtpColumns()
    columns.set_keys(0, profile, master + salt, master + salt)
    key, session_salt = derived(master, salt, 0, key_bytes), derived(master, salt, 2, 12)
    sealed = seal_gcm(key, session_salt, GCM_PACKET)
    assert protect(columns, [(0, GCM_PACKET)]) == [sealed]
    assert unprotect(columns, [(0, sealed)]) == [GCM_PACKET]


@pytest.mark.parametrize("profile", PROFILES)
def test_each_packet_counts_once_and_in_any_order(profile: str) -> None:
    leg = Leg(profile)
    sealed = [leg.outbound.protect(rtp(n)) for n in range(65_500, 65_600)]  # across a roll-over
    order = list(range(100))
    random.Random(1).shuffle(order)
    order = [0, *[n for n in order if n]]
    for begin in range(0, 100, 10):
        chosen = order[begin : begin + 10]
        heard = leg.hear(*[sealed[n] for n in chosen], *[sealed[n] for n in chosen])
        assert heard == [rtp(65_500 + n) for n in chosen] + [b""] * 10
    assert leg.counts == (100, 0)
    leg.hear(*[leg.outbound.protect(rtp(n)) for n in range(65_600, 65_700 + WINDOW)][-1:])
    assert leg.hear(sealed[5]) == [b""]  # long ago
    assert leg.counts == (101, 0)


@pytest.mark.parametrize("profile", PROFILES)
def test_forged_and_cut_packets_change_nothing(profile: str) -> None:
    leg = Leg(profile)
    sealed = leg.outbound.protect(rtp(1))
    flipped = [sealed[:-1] + bytes([sealed[-1] ^ 1]), sealed[:20] + bytes([sealed[20] ^ 128]) + sealed[21:]]
    cut = [sealed[:n] for n in range(1, 12)] + [sealed[:n] for n in (12, 13, 20, len(sealed) - 1)]
    assert leg.hear(*flipped, *cut, rtp(2), rtp(3)) == [b""] * (len(flipped) + len(cut) + 2)
    assert leg.counts == (0, len(flipped) + len(cut) + 2)
    assert leg.hear(sealed, b"") == [rtp(1), b""]


@pytest.mark.parametrize("profile", PROFILES)
def test_control_packets_are_sealed_with_a_long_tag(profile: str) -> None:
    leg = Leg(profile)
    report = bytes.fromhex("80c9000100002000") + bytes.fromhex("81cb000100002000")
    sealed = leg.outbound.protect_rtcp(report)
    assert leg.hear(sealed, sealed, report) == [report, b"", b""]
    assert leg.counts == (1, 1)
    ours = leg.columns.protect_rtcp(leg.slot, report)
    assert ours is not None and len(ours) == len(report) + 4 + (16 if "GCM" in profile else 10)
    assert leg.inbound.unprotect_rtcp(ours) == report
    again = leg.outbound.protect_rtcp(report)
    assert leg.columns.unprotect_rtcp(leg.slot, again) == report
    assert leg.columns.unprotect_rtcp(leg.slot, again) is None


def test_rows_of_many_legs_and_of_none_lie_together() -> None:
    legs = [Leg(slot=slot) for slot in (1, 4, 9, 70)]
    columns = SrtpColumns()
    for leg in legs:
        columns.set_keys(leg.slot, CM, leg.rx, leg.tx)
    columns.guard(5)
    rows, expected = [], []
    for n in range(6):
        for leg in legs:
            rows.append((leg.slot, leg.outbound.protect(rtp(n, leg.slot))))
            expected.append(rtp(n, leg.slot))
        rows += [(2, rtp(n)), (5, rtp(n)), (4, rtp(100 + n, 4))]
        expected += [rtp(n), b"", b""]  # in the clear: fine of a leg that is not guarded, and of no other
    assert unprotect(columns, rows) == expected
    assert (columns.early[5], columns.forged[4]) == (6, 6)
    sealed = protect(columns, [(leg.slot, rtp(1)) for leg in legs])
    assert [leg.inbound.unprotect(data) for leg, data in zip(legs, sealed, strict=True)] == [rtp(1)] * 4


def test_the_same_keys_again_go_on_and_others_begin_anew() -> None:
    leg = Leg()
    sealed = [leg.outbound.protect(rtp(n)) for n in range(65_530, 65_545)]
    leg.hear(*sealed)
    leg.columns.set_keys(leg.slot, CM, bytes(leg.rx), bytes(leg.tx))
    assert leg.hear(sealed[3], leg.outbound.protect(rtp(65_545))) == [b"", rtp(65_545)]
    leg.columns.set_keys(leg.slot, CM, leg.tx, leg.rx)
    assert leg.hear(leg.outbound.protect(rtp(65_546))) == [b""]
    leg.columns.forget(leg.slot)
    assert leg.columns.count == 0 and not leg.columns.has_keys(leg.slot)
    assert leg.hear(rtp(1)) == [rtp(1)]


def test_a_packet_by_which_its_source_was_judged_is_heard_once() -> None:
    leg = Leg()
    sealed = leg.outbound.protect(rtp(1))
    assert not leg.columns.is_authentic(leg.slot, rtp(1))
    assert not leg.columns.is_authentic(leg.slot, b"\x80")
    assert leg.columns.is_authentic(leg.slot, memoryview(sealed))
    assert leg.hear(sealed) == [rtp(1)]
    assert leg.hear(sealed) == [b""]
    assert leg.columns.is_authentic(60, rtp(1))  # not guarded: nothing to tell it by


def streams_of(leg: Leg) -> int:
    """SSRCs whose windows libsrtp keeps for what comes: of those that are kept no more it says so."""
    session = leg.columns._sessions[leg.slot]
    assert session is not None
    return sum(lib.srtp_remove_stream(session.inbound._srtp[0], socket.htonl(ssrc)) == 0 for ssrc in range(1000))


def by_rows(leg: Leg, ssrc: int) -> bool:
    return leg.hear(leg.outbound.protect(rtp(1, ssrc))) == [rtp(1, ssrc)]


def by_judging(leg: Leg, ssrc: int) -> bool:
    return leg.columns.is_authentic(leg.slot, leg.outbound.protect(rtp(1, ssrc)))


def report(ssrc: int) -> bytes:
    return struct.pack("!BBHI", 0x80, 201, 1, ssrc)


def by_rows_of_reports(leg: Leg, ssrc: int) -> bool:
    return leg.hear(leg.outbound.protect_rtcp(report(ssrc))) == [report(ssrc)]


def by_reports(leg: Leg, ssrc: int) -> bool:
    return leg.columns.unprotect_rtcp(leg.slot, leg.outbound.protect_rtcp(report(ssrc))) == report(ssrc)


@pytest.mark.parametrize("take", [by_rows, by_judging, by_rows_of_reports, by_reports])
def test_any_number_of_sources_is_heard_and_few_are_remembered(take: Callable[[Leg, int], bool]) -> None:
    """An exchange may take another SSRC at each re-INVITE. What its owner still uses is not forgotten for others."""
    leg = Leg()
    for turn in range(5 * MOST_SOURCES):
        assert leg.hear(leg.outbound.protect(rtp(turn, 7))) == [rtp(turn, 7)]
        assert take(leg, 100 + turn)
    sealed = leg.outbound.protect(rtp(1000, 7))
    assert leg.hear(sealed, sealed) == [rtp(1000, 7), b""] and leg.counts == (1, 0)
    assert streams_of(leg) == MOST_SOURCES


def test_sources_may_come_and_go_in_one_drain() -> None:
    leg, rng = Leg(), random.Random(5)
    for turn in range(200):
        packets = [rtp(turn, ssrc) for ssrc in rng.sample(range(3 * MOST_SOURCES), rng.randint(1, 16))]
        assert leg.hear(*map(leg.outbound.protect, packets)) == packets
    assert streams_of(leg) <= MOST_SOURCES


def test_forged_sources_displace_nobody() -> None:
    leg = Leg()
    sealed = leg.outbound.protect(rtp(1, 7))
    assert leg.hear(sealed) == [rtp(1, 7)]
    leg.hear(*[sealed[:8] + struct.pack("!I", ssrc) + sealed[12:] for ssrc in range(100, 100 + 3 * MOST_SOURCES)])
    assert leg.counts == (0, 3 * MOST_SOURCES) and streams_of(leg) == 1


@pytest.mark.parametrize(("profile", "size"), [(CM, 29), ("AEAD_AES_256_GCM", 30), ("F8_128_HMAC_SHA1_80", 30)])
def test_keys_that_cannot_be_used_are_refused(profile: str, size: int) -> None:
    columns = SrtpColumns()
    with pytest.raises(KeysError):
        columns.set_keys(0, profile, bytes(size), bytes(size))
    assert columns.count == 0


def test_keys_show_nowhere() -> None:
    leg = Leg()
    for text in (repr(leg.columns), repr(leg.columns._sessions[leg.slot])):
        assert repr(leg.rx)[2:10] not in text and leg.rx.hex() not in text
