"""DTLS-SRTP handshakes (RFC 5764) and the certificate that they show: the only file that knows aiortc.

From aiortc come the configuration of the library (cipher suites, use_srtp, a certificate asked for), the SRTP profiles
with their key lengths and the digests of fingerprints. Its RTCDtlsTransport is not used: it wants every fingerprint to
match where RFC 8122 wants one, ends for ever at the first malformed or plain fatal record that anybody sends, keeps
its keys in private attributes, and holds a task and two SRTP sessions in this process for each call. So the
connection of pyOpenSSL is driven here, by its public API and without a socket: datagrams in, datagrams out.

Relied on and not documented by aiortc, which is pinned for it: `RTCCertificate(key, cert)`, its
`_create_ssl_context(srtp_profiles)`, and `rtcdtlstransport`'s certificate_digest, X509_DIGEST_ALGORITHMS and
SRTPProtectionProfile with its two instances. Not here: which leg it is for (media.handshakes), and SRTP itself.
"""

import contextlib
import datetime
import logging
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from aiortc import RTCCertificate, rtcdtlstransport
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL, crypto

from sipconf.errors import StartError
from sipconf.rtp import dtls_records

log = logging.getLogger(__name__)

_PROFILES = (rtcdtlstransport.SRTP_AEAD_AES_128_GCM, rtcdtlstransport.SRTP_AES128_CM_SHA1_80)
"""In the order that we prefer: AES-GCM costs the worker least. The second is every browser's duty (RFC 8827 6.5)."""
_NAMES = {
    b"SRTP_AEAD_AES_128_GCM": "AEAD_AES_128_GCM",
    b"SRTP_AES128_CM_SHA1_80": "AES_CM_128_HMAC_SHA1_80",
}
"""Of the profiles, as RFC 4568 and RFC 7714 call them."""
_DTLS_1_2 = 0xFEFD
_DIGESTS = ("sha-512", "sha-384", "sha-256")
"""Hash functions of fingerprints that are believed, the one we prefer first."""
MOST_DATAGRAM = 1200
"""Octets that we send at once: fits any path that calls are made over (RFC 8261 section 5)."""
MOST_BEGINNINGS = 256
"""Times that one handshake begins, the first included; it begins anew when something that anybody can send ended it."""
MOST_READ = 4096
"""Octets taken at once of what the library has to say."""
MOST_READS = 64
"""Application data that is read, and thrown away, from one datagram."""
VALID_FOR = datetime.timedelta(days=3650)
"""Of a certificate of ours. Nobody should mind: peers go by its fingerprint, which every call tells anew."""
RENEWED_BEFORE = datetime.timedelta(days=30)


class DtlsCertificate:
    """Our key and certificate, and the configuration of the library that goes with them."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self._context = RTCCertificate(key, certificate)._create_ssl_context(list(_PROFILES))
        self._context.set_min_proto_version(_DTLS_1_2)
        self._context.set_max_proto_version(_DTLS_1_2)
        self._context.set_options(SSL.OP_NO_QUERY_MTU | SSL.OP_NO_RENEGOTIATION)
        self._context.set_session_cache_mode(SSL.SESS_CACHE_OFF)  # a resumed session shows no certificate
        self._context.set_mode(SSL.MODE_RELEASE_BUFFERS)  # an association is silent for as long as its call lasts
        self._fingerprint = rtcdtlstransport.certificate_digest(certificate, "sha-256")

    def fingerprint(self) -> tuple[str, str]:
        """For a=fingerprint (RFC 8122): the hash function's name and the value."""
        return "sha-256", self._fingerprint

    def handshake(self, role: str, fingerprints: Iterable[tuple[str, str]]) -> "Handshake":
        """A handshake not begun yet. role: ours, "server" or "client"; fingerprints: those told of the peer."""
        return Handshake(self._context, role, fingerprints)


class Handshake:
    """One DTLS association, from our side: its handshake, then whatever else comes until its end.

    keys: (profile, rx, tx) once the handshake is done, master key and salt of a direction joined. failure: why
    there will be none. closed: the association has ended, by the peer's word or by ours. trouble: what went wrong
    that need not be its end, for anybody may have sent it; whoever waits for the peer may wait less.

    The library keeps the time of its retransmissions itself (section 4.2.4 of RFC 6347: 1 s, doubled each time), by
    its own clock.
    """

    def __init__(self, context: SSL.Context, role: str, fingerprints: Iterable[tuple[str, str]]) -> None:
        self._context, self._role = context, role
        self._digest, self._accepted = _preferred(fingerprints)
        theirs = dtls_records.CLIENT_MESSAGES if role == "server" else dtls_records.SERVER_MESSAGES
        self._sieve = dtls_records.Sieve(theirs)
        self._beginnings = 0
        self._mismatch = False
        self.keys: tuple[str, bytes, bytes] | None = None
        self.failure: str | None = None
        self.closed = False
        self.trouble: str | None = None
        if not self._accepted:
            self.failure = "the peer names no certificate fingerprint of a kind that is secure (sha-256)"
        self._connect()

    def __repr__(self) -> str:
        state = "failed" if self.failure else "closed" if self.closed else "done" if self.keys else "under way"
        return f"<Handshake as {self._role}, {state}>"

    def begin(self) -> None:
        """Say what there is to say without having heard anything: a client's first flight."""
        if self.failure is None:
            self._advance()

    def receive(self, datagram: bytes) -> None:
        """A datagram from the peer's address. One that is none of the peer's changes nothing."""
        if self.failure is not None or self.closed:
            return
        if self.keys is None:
            datagram = self._sieve.sift(datagram)
            if self._sieve.alert is not None:
                self.trouble = f"the peer refused the DTLS handshake ({self._sieve.alert})"
        if datagram:
            self._connection.bio_write(datagram)
            self._advance()

    def handle_timer(self) -> None:
        """Send the last flight again where its time has come."""
        if self.failure is None and not self.closed:
            try:
                self._connection.DTLSv1_handle_timeout()
            except SSL.Error:  # the library has sent it for the last time
                self.failure = self.trouble or "the peer does not answer the DTLS handshake"

    def take_datagrams(self) -> list[bytes]:
        """What is to be sent to the peer now."""
        return dtls_records.datagrams(self._written(), MOST_DATAGRAM)

    def close(self) -> None:
        """Tell the peer that this is the end (close_notify), where it has come to something."""
        if self.keys is not None and not self.closed:
            self.closed = True
            with contextlib.suppress(SSL.Error):
                self._connection.shutdown()

    def _connect(self) -> None:
        """The library's connection, at its beginning."""
        self._beginnings += 1
        self._connection = SSL.Connection(self._context)
        self._connection.set_ciphertext_mtu(MOST_DATAGRAM)
        self._connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, self._verify)
        if self._role == "server":
            self._connection.set_accept_state()
        else:
            self._connection.set_connect_state()

    def _advance(self) -> None:
        """Let the library work on what it has been given."""
        try:
            if self.keys is None:
                self._connection.do_handshake()
                self._export()
            if self.keys is not None:
                self._drain()
        except SSL.WantReadError:
            return
        except SSL.ZeroReturnError:
            self.closed = True
        except SSL.Error as error:
            self._stumble(_reason(error))

    def _drain(self) -> None:
        """After the handshake: alerts, and flights of the peer's that say ours was lost; no data is expected."""
        for _ in range(MOST_READS):
            self._connection.recv(dtls_records.MOST_MESSAGE)

    def _stumble(self, reason: str) -> None:
        """The library has given up. What follows depends on who can have caused it."""
        if self._mismatch:
            self.failure = "the peer's certificate is not the one that its SDP names"
        elif self.keys is not None:
            self.closed = True  # protected: it was the peer
        elif self._beginnings >= MOST_BEGINNINGS:
            self.failure = f"the DTLS handshake failed ({reason})"
        else:
            self.trouble = f"the DTLS handshake failed ({reason})"
            self._connect()
            if self._role == "client":
                with contextlib.suppress(SSL.WantReadError):
                    self._connection.do_handshake()

    def _verify(self, _: SSL.Connection, certificate: crypto.X509, __: int, depth: int, ___: int) -> bool:
        """The library's question whether it trusts the peer's certificate (RFC 8122 section 5)."""
        if depth == 0:
            shown = rtcdtlstransport.certificate_digest(certificate.to_cryptography(), self._digest)
            self._mismatch = shown not in self._accepted
        return not self._mismatch

    def _export(self) -> None:
        """Keys of both directions (RFC 5764 section 4.2)."""
        chosen = self._connection.get_selected_srtp_profile()
        profile = next((each for each in _PROFILES if each.openssl_profile == chosen), None)
        if profile is None:
            self.failure = "the peer shares no SRTP protection profile with us"
            return
        octets = 2 * (profile.key_length + profile.salt_length)
        exported = self._connection.export_keying_material(b"EXTRACTOR-dtls_srtp", octets)
        client, server = (profile.get_key_and_salt(exported, end) for end in (0, 1))
        rx, tx = (client, server) if self._role == "server" else (server, client)
        self.keys = _NAMES[chosen], rx, tx

    def _written(self) -> bytes:
        written = b""
        with contextlib.suppress(SSL.WantReadError):
            while True:
                written += self._connection.bio_read(MOST_READ)
        return written


def _preferred(fingerprints: Iterable[tuple[str, str]]) -> tuple[str, frozenset[str]]:
    """Of the hash functions told the one that we prefer, and its fingerprints: the certificate must have one of them
    (RFC 8122 section 5)."""
    told: dict[str, set[str]] = {}
    for algorithm, value in fingerprints:
        told.setdefault(algorithm.lower(), set()).add(value.upper())
    digest = next((each for each in _DIGESTS if each in told), "")
    return digest, frozenset(told.get(digest, ()))


def _reason(error: SSL.Error) -> str:
    """The library's own words, one line; where its queue of errors was empty those of pyOpenSSL."""
    if isinstance(error, SSL.SysCallError):
        return str(error.args[-1])
    return "; ".join(str(entry[-1]) for entry in error.args[0]) if error.args and error.args[0] else "no reason given"


# --- the certificate -------------------------------------------------------------------------------------------------
def generate() -> DtlsCertificate:
    """A new one, kept nowhere."""
    return DtlsCertificate(*_generate())


def keep(path: Path) -> DtlsCertificate:
    """The certificate in this PEM file, made now where there is none or its time is over. Raises StartError."""
    try:
        pem = path.read_bytes()
    except FileNotFoundError:
        return _write(path)
    except OSError as error:
        raise StartError(f"cannot read the DTLS certificate {path}: {error.strerror}; let the server's user read it, "
                         f"or delete it: another is made") from error
    try:
        key = serialization.load_pem_private_key(pem, None)
        certificate = x509.load_pem_x509_certificate(pem)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise ValueError("key and certificate are no pair")
        usable = DtlsCertificate(key, certificate)
    except (ValueError, TypeError, SSL.Error) as error:
        raise StartError(f"the DTLS certificate {path} is damaged; delete it: another is made") from error
    if certificate.not_valid_after_utc - RENEWED_BEFORE < datetime.datetime.now(datetime.UTC):
        log.info("the DTLS certificate %s is near its end; another takes its place", path)
        return _write(path)
    return usable


def _generate() -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """ECDSA with P-256 and SHA-256, signed by itself; its name tells nothing (RFC 8827 section 6.5)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, secrets.token_hex(16))])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + VALID_FOR)
    return key, builder.sign(key, hashes.SHA256())


def _write(path: Path) -> DtlsCertificate:
    """Make one and keep it, whole or not at all, for the eyes of the server's user only."""
    key, certificate = _generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                            serialization.NoEncryption()) + certificate.public_bytes(serialization.Encoding.PEM)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(pem)
        os.replace(fresh, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise StartError(f"cannot write the DTLS certificate {path}: {error.strerror}; let the server's user write "
                         f"into that folder") from error
    return DtlsCertificate(key, certificate)
