"""DTLS-SRTP handshakes: with each other and with aiortc's own transport, over bad networks and among strangers.

The library beneath sends lost flights again by its own clock, a second later at the earliest: what needs that waits for
it, all seeds at once, and nothing is judged by the time.
"""

import asyncio
import os
import random
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from aiortc import RTCCertificate, RTCDtlsTransport
from aiortc.rtcdtlstransport import RTCDtlsFingerprint, RTCDtlsParameters

from sipconf.errors import StartError
from sipconf.rtp.edge import dtls
from tests.sim.dtls_noise import alert, handshake_message, noise, null_hello, record

PATIENCE = 60.0  # seconds until a test is given up; nothing is judged by it
OURS, THEIRS = dtls.generate(), dtls.generate()
LENGTHS = {"AEAD_AES_128_GCM": 28, "AES_CM_128_HMAC_SHA1_80": 30}


def pair(
    client_expects: tuple[tuple[str, str], ...] = (OURS.fingerprint(),),
    server_expects: tuple[tuple[str, str], ...] = (THEIRS.fingerprint(),),
) -> tuple[dtls.Handshake, dtls.Handshake]:
    """A client and a server that know each other."""
    return THEIRS.handshake("client", client_expects), OURS.handshake("server", server_expects)


def exchange(client: dtls.Handshake, server: dtls.Handshake, before: Callable[[dtls.Handshake], None] | None = None,
             rounds: int = 6) -> None:
    """A network that loses nothing. before: what else happens to a side before each datagram."""
    client.begin()
    for _ in range(rounds):
        for sender, receiver in ((client, server), (server, client)):
            for datagram in sender.take_datagrams():
                if before is not None:
                    before(receiver)
                receiver.receive(datagram)


def assert_keyed(client: dtls.Handshake, server: dtls.Handshake) -> None:
    assert client.keys is not None and server.keys is not None, (client.failure, server.failure)
    profile, rx, tx = server.keys
    assert client.keys == (profile, tx, rx) and rx != tx
    assert len(rx) == len(tx) == LENGTHS[profile]


def test_both_ends_get_the_same_keys_crosswise_and_the_cheapest_profile() -> None:
    client, server = pair()
    exchange(client, server)
    assert_keyed(client, server)
    assert client.keys is not None and client.keys[0] == "AEAD_AES_128_GCM"


def test_no_repr_shows_a_key() -> None:
    client, server = pair()
    exchange(client, server)
    assert repr(client) == "<Handshake as client, done>"


def test_every_datagram_fits_any_path() -> None:
    client, server = pair()
    client.begin()
    sent = []
    for _ in range(4):
        for sender, receiver in ((client, server), (server, client)):
            for datagram in sender.take_datagrams():
                sent.append(datagram)
                receiver.receive(datagram)
    assert max(map(len, sent)) <= dtls.MOST_DATAGRAM


@pytest.mark.parametrize("which", ["client", "server"])
def test_another_certificate_than_the_one_told_gives_no_keys_and_both_know(which: str) -> None:
    wrong = (dtls.generate().fingerprint(),)
    client, server = pair(client_expects=wrong) if which == "client" else pair(server_expects=wrong)
    exchange(client, server)
    misled, other = (client, server) if which == "client" else (server, client)
    assert misled.keys is None and misled.failure == "the peer's certificate is not the one that its SDP names"
    assert other.keys is None or other.closed
    assert other.trouble is not None or other.closed
    assert "failed" in repr(misled)


def test_one_of_several_fingerprints_is_enough_in_any_case_of_letters() -> None:
    algorithm, value = THEIRS.fingerprint()
    other = dtls.generate().fingerprint()
    client, server = pair(server_expects=(other, ("SHA-256", value.lower()), ("sha-1", "00:11")))
    exchange(client, server)
    assert_keyed(client, server)
    assert algorithm == "sha-256"


def test_the_stronger_hash_function_decides() -> None:
    """RFC 8122 section 5: only the fingerprints of the preferred one are looked at."""
    client, server = pair(server_expects=(THEIRS.fingerprint(), ("sha-512", "00:11")))
    exchange(client, server)
    assert server.keys is None and server.failure is not None


@pytest.mark.parametrize("fingerprints", [(), (("sha-1", "AA:BB"),), (("md5", "AA"),)])
def test_without_a_fingerprint_that_can_be_believed_nothing_begins(fingerprints: tuple[tuple[str, str], ...]) -> None:
    client = THEIRS.handshake("client", fingerprints)
    client.begin()
    assert client.failure is not None and "sha-256" in client.failure
    assert client.take_datagrams() == []


def test_two_of_the_same_role_come_to_nothing() -> None:
    one, other = (certificate.handshake("client", [peer.fingerprint()])
                  for certificate, peer in ((OURS, THEIRS), (THEIRS, OURS)))
    other.begin()
    exchange(one, other)
    assert one.keys is None and other.keys is None
    quiet, still = (OURS.handshake("server", [THEIRS.fingerprint()]) for _ in range(2))
    exchange(quiet, still)
    assert quiet.keys is None and quiet.take_datagrams() == []


# --- strangers -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("seed", range(100))
def test_a_stranger_who_sends_ten_datagrams_to_each_of_ours_ends_nothing(seed: int) -> None:
    rng = random.Random(seed)
    client, server = pair()

    def annoy(side: dtls.Handshake) -> None:
        for _ in range(10):
            side.receive(noise(rng))

    exchange(client, server, before=annoy)
    assert_keyed(client, server)


def test_a_hello_without_ciphers_is_survived_and_answered_with_nothing() -> None:
    """CVE-2023-49786: the stranger's hello comes first and is bad; our complaint would reach the true peer."""
    client, server = pair()
    rng = random.Random(1)
    for _ in range(50):
        server.receive(null_hello(rng))
    assert server.take_datagrams() == [] and server.failure is None
    assert server.trouble is not None and "no shared cipher" in server.trouble
    exchange(client, server)
    assert_keyed(client, server)


def test_fragments_that_contradict_each_other_are_survived() -> None:
    """The library gives up on them without a word why."""
    client, server = pair()
    for whole in (20, 30):
        server.receive(record(22, handshake_message(11, bytes(10), number=1, whole=whole)))
    assert server.trouble == "the DTLS handshake failed (Unexpected EOF)"
    exchange(client, server)
    assert_keyed(client, server)


def test_a_flood_of_such_hellos_has_an_end() -> None:
    _, server = pair()
    rng = random.Random(2)
    for _ in range(dtls.MOST_BEGINNINGS + 1):
        server.receive(null_hello(rng))
    assert server.failure is not None


def test_an_alert_in_the_clear_is_remembered_and_ends_nothing() -> None:
    client, server = pair()
    exchange(client, server, before=lambda side: side.receive(alert(40)))
    assert_keyed(client, server)
    assert server.trouble == "the peer refused the DTLS handshake (handshake_failure)"


def test_after_the_handshake_strangers_change_nothing() -> None:
    client, server = pair()
    exchange(client, server)
    rng = random.Random(3)
    for _ in range(2000):
        server.receive(noise(rng))
    assert not server.closed and server.failure is None and server.take_datagrams() == []
    client.close()
    for datagram in client.take_datagrams():
        server.receive(datagram)
    assert server.closed


# --- bad networks ----------------------------------------------------------------------------------------------------
async def through_bad_network(seed: int) -> tuple[dtls.Handshake, dtls.Handshake]:
    """Loss of 15 %, duplicates and reordering, until both have keys."""
    rng = random.Random(seed)
    client, server = pair()
    client.begin()
    held: list[tuple[dtls.Handshake, bytes]] = []
    while client.keys is None or server.keys is None:
        for sender, receiver in ((client, server), (server, client)):
            sender.handle_timer()
            for datagram in sender.take_datagrams():
                if rng.random() >= 0.15:
                    held += [(receiver, datagram)] * (2 if rng.random() < 0.1 else 1)
        rng.shuffle(held)
        for receiver, datagram in held:
            receiver.receive(datagram)
        held = [item for item in held if rng.random() < 0.02]  # comes once more, late
        await asyncio.sleep(0.02)
    return client, server


async def test_loss_duplicates_and_reordering_cost_time_only() -> None:
    async with asyncio.timeout(PATIENCE):
        ended = await asyncio.gather(*map(through_bad_network, range(40)))
    for client, server in ended:
        assert_keyed(client, server)


async def test_a_lost_last_flight_is_sent_again() -> None:
    client, server = pair()
    client.begin()
    while server.keys is None:
        for sender, receiver in ((client, server), (server, client)):
            for datagram in sender.take_datagrams():
                if receiver is server or server.keys is None:
                    receiver.receive(datagram)
    assert client.keys is None
    async with asyncio.timeout(PATIENCE):
        while client.keys is None:
            wait = client._connection.DTLSv1_get_timeout()
            assert wait is not None
            await asyncio.sleep(wait)
            client.handle_timer()
            for datagram in client.take_datagrams():
                server.receive(datagram)
            for datagram in server.take_datagrams():
                client.receive(datagram)
    assert_keyed(client, server)


def test_what_is_said_after_the_end_is_not_heard() -> None:
    client, server = pair()
    exchange(client, server)
    client.close()
    assert client.closed
    (farewell,) = client.take_datagrams()
    server.receive(farewell)
    assert server.closed and "closed" in repr(server)
    server.receive(record(22, b"x", epoch=1))
    server.handle_timer()
    assert server.take_datagrams() == []


# --- aiortc's own transport ------------------------------------------------------------------------------------------
class Wire:
    """The ICE transport that aiortc's DTLS transport asks for."""

    role = "controlling"

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self.incoming: asyncio.Queue[bytes] = asyncio.Queue()
        self.send = send

    async def _recv(self) -> bytes:
        return await self.incoming.get()

    async def _send(self, data: bytes) -> None:
        self.send(data)


@pytest.mark.parametrize("role", ["client", "server"])
async def test_aiortcs_transport_is_a_peer_in_either_role(role: str) -> None:
    certificate = RTCCertificate.generateCertificate()
    theirs = next(each for each in certificate.getFingerprints() if each.algorithm == "sha-256")
    ours = OURS.handshake(role, [(theirs.algorithm, theirs.value)])

    def deliver(data: bytes) -> None:
        ours.receive(data)
        flush()

    wire = Wire(deliver)

    def flush() -> None:
        for datagram in ours.take_datagrams():
            wire.incoming.put_nowait(datagram)

    transport = RTCDtlsTransport(wire, [certificate])  # type: ignore[arg-type]
    transport._set_role("server" if role == "client" else "client")
    ours.begin()
    flush()
    async with asyncio.timeout(PATIENCE):
        await transport.start(RTCDtlsParameters([RTCDtlsFingerprint(*OURS.fingerprint())]))
        assert transport.state == "connected" and ours.keys is not None and ours.failure is None
        await transport.stop()
    assert ours.closed


# --- the certificate -------------------------------------------------------------------------------------------------
def test_the_certificate_is_kept_for_its_owners_eyes_only(tmp_path: Path) -> None:
    file = tmp_path / "dtls.pem"
    first = dtls.keep(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and os.listdir(tmp_path) == ["dtls.pem"]
    again = dtls.keep(file)
    assert first.fingerprint() == again.fingerprint()
    client, server = again.handshake("client", [first.fingerprint()]), first.handshake("server", [again.fingerprint()])
    exchange(client, server)
    assert_keyed(client, server)


def test_a_certificate_near_its_end_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "dtls.pem"
    monkeypatch.setattr(dtls, "VALID_FOR", dtls.RENEWED_BEFORE)
    first = dtls.keep(file).fingerprint()
    assert dtls.keep(file).fingerprint() != first


@pytest.mark.parametrize(
    "content", [b"", b"\xff\x00", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_a_damaged_certificate_is_a_clear_error_with_its_remedy(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "dtls.pem"
    file.write_bytes(content)
    with pytest.raises(StartError, match=r"dtls\.pem is damaged; delete it"):
        dtls.keep(file)
    assert file.read_bytes() == content


def test_key_and_certificate_of_two_files_are_no_pair(tmp_path: Path) -> None:
    one, other = tmp_path / "1.pem", tmp_path / "2.pem"
    dtls.keep(one)
    dtls.keep(other)
    end = b"-----END PRIVATE KEY-----\n"
    one.write_bytes(one.read_bytes().split(end)[0] + end + other.read_bytes().split(end)[1])
    with pytest.raises(StartError, match="damaged"):
        dtls.keep(one)


def test_a_place_that_cannot_be_written_or_read_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="cannot write"):
        dtls.keep(tmp_path / "missing" / "dtls.pem")
    with pytest.raises(StartError, match="cannot read"):
        dtls.keep(tmp_path)
