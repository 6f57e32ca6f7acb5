"""The TLS certificate: a pair of files read and judged, and the pair in use kept in step with its files.

Faults are told for the person who wrote the file: which of the two, what is wrong, what would be right. Who listens
with it is the transports' business.
"""

import asyncio
import contextlib
import logging
import os
import ssl
import time
from dataclasses import dataclass
from pathlib import Path

from sipconf.clock import SYSTEM_CLOCK, Clock
from sipconf.errors import SipconfError

log = logging.getLogger(__name__)

MAX_FILE_BYTES = 1 << 20
LOOK_EVERY = 1.0           # seconds between two looks at the files; a change is used once it stood still that long
EXPIRY_WARNING = 14 * 86400.0
DAY = 86400.0
NO_CHECK_TIME = 0x200000   # X509_V_FLAG_NO_CHECK_TIME of OpenSSL, which the ssl module does not name
FLIGHTS = 8                # more than any handshake has

_WHY = {
    "KEY_VALUES_MISMATCH": "it does not belong to the certificate; write both files of one pair",
    "EE_KEY_TOO_SMALL": "its key is too short; ask for one of at least 2048 bits (RSA) or 256 bits (EC)",
    "CA_MD_TOO_WEAK": "it is signed with an outdated digest; ask for one signed with SHA-256",
}


class CertificateError(SipconfError):
    """A pair that TLS cannot be spoken with. key: "certificate" or "key", the one at fault."""

    def __init__(self, key: str, file: Path, why: str) -> None:
        super().__init__(f'"{file}": {why}')
        self.key = key


@dataclass(frozen=True, slots=True)
class Certificate:
    """A pair that was read. context: for connections that peers open; names: who it speaks for; not_before, not_after:
    wall-clock seconds."""

    context: ssl.SSLContext
    names: tuple[str, ...]
    not_before: float
    not_after: float

    def fault_at(self, wall: float) -> str | None:
        """Why peers would refuse it at this time, or None."""
        if wall >= self.not_after:
            return f"it expired on {day(self.not_after)}; renew it"
        if wall < self.not_before:
            return f"it is valid from {day(self.not_before)} only; set this machine's clock, or wait"
        return None


def read(certificate: Path, key: Path) -> Certificate:
    """Reads a pair of PEM files and tries it in a handshake with itself. Raises CertificateError."""
    if b"-----BEGIN CERTIFICATE-----" not in _content("certificate", certificate):
        raise CertificateError("certificate", certificate, "it holds no certificate; PEM is needed, the server's own "
                               "certificate first, then those of its issuers")
    secret = _content("key", key)
    if b"PRIVATE KEY-----" not in secret:
        raise CertificateError("key", key, "it holds no private key; PEM is needed")
    if b"ENCRYPTED" in secret:
        raise CertificateError("key", key, f"it is protected by a passphrase; write it without one: openssl pkey -in "
                               f"{key.name} -out plain.pem")
    context = server_context()
    try:
        context.load_cert_chain(certificate, key)
        shown = _rehearse(context, certificate)
    except (OSError, ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or str(error)
        at_fault = ("key", key) if reason == "KEY_VALUES_MISMATCH" else ("certificate", certificate)
        raise CertificateError(*at_fault, _WHY.get(reason) or f"it cannot be used: {reason}") from error
    names = tuple(value for kind, value in shown.get("subjectAltName", ()) if kind in ("DNS", "IP Address"))
    _note_names(context, names)
    return Certificate(context, names, ssl.cert_time_to_seconds(shown["notBefore"]),
                       ssl.cert_time_to_seconds(shown["notAfter"]))


def server_context() -> ssl.SSLContext:
    """What every TLS listener of ours demands: version 1.2 at least, no compression, no renegotiation."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    return context


def speaks_for(names: tuple[str, ...], asked: str) -> bool:
    """Is the asked name one of a certificate's, exactly or by a wildcard for its first label (RFC 6125)?"""
    asked = asked.lower().rstrip(".")
    wild = f"*.{asked.partition('.')[2]}"
    return any(name.lower() in (asked, wild) for name in names)


def _note_names(context: ssl.SSLContext, names: tuple[str, ...]) -> None:
    """Each connection gets an attribute `called`: the name that its peer asked for, where we go by it."""
    def note(connection: ssl.SSLObject, asked: str | None, _: ssl.SSLContext) -> None:
        connection.called = asked if asked is not None and speaks_for(names, asked) else None  # type: ignore

    context.sni_callback = note  # type: ignore[assignment]


def day(wall: float) -> str:
    """A date as logs and faults write it."""
    return time.strftime("%Y-%m-%d", time.gmtime(wall))


def _content(key: str, file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(MAX_FILE_BYTES)
    except FileNotFoundError:
        raise CertificateError(key, file, "there is no such file; TLS is listened on and needs it") from None
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise CertificateError(key, file, f"it cannot be read ({why}); let the server's user read it") from None


def _rehearse(context: ssl.SSLContext, certificate: Path) -> dict:
    """Shakes hands with ourselves, trusting that very certificate, and returns what the peer is shown.

    Its dates are left out of account: they are judged apart, by a clock that is handed in.
    """
    peer = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    peer.check_hostname = False
    peer.load_verify_locations(cafile=certificate)
    peer.verify_flags |= ssl.VerifyFlags(ssl.VERIFY_X509_PARTIAL_CHAIN | NO_CHECK_TIME)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = peer.wrap_bio(there, back)
    server = context.wrap_bio(back, there, server_side=True)
    for _ in range(FLIGHTS):
        for side in (client, server):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    return client.getpeercert() or {}


class CertificateKeeper:
    """The pair in use. A changed pair takes its place for new connections; a broken one changes nothing and is logged.

    Connections that stand keep what they were opened with.
    """

    def __init__(self, certificate: Path, key: Path, clock: Clock = SYSTEM_CLOCK) -> None:
        """Raises CertificateError for a pair that cannot be used. One that has expired is used, and complained of."""
        self._files = (certificate, key)
        self._clock = clock
        self._used = self._seen = _signatures(self._files)
        self._told = -DAY
        self.current = read(certificate, key)
        self.refused = 0
        self._alarm()

    def context(self) -> ssl.SSLContext:
        """For the next connection."""
        return self.current.context

    def door(self) -> ssl.SSLContext:
        """A context for a listener that takes one for good: each handshake is handed to the pair in use."""
        def hand_over(connection: ssl.SSLObject, name: str | None, door: ssl.SSLContext) -> None:
            connection.context = self.current.context

        door = server_context()
        door.load_cert_chain(*self._files)
        door.sni_callback = hand_over  # type: ignore[assignment]
        return door

    def seconds_left(self) -> float:
        """Until the pair in use expires; negative afterwards."""
        return self.current.not_after - self._clock.wall()

    def move(self, certificate: Path, key: Path) -> None:
        """The configuration names other files now."""
        if (certificate, key) != self._files:
            self._files = (certificate, key)
            self._used = ()
            self.look(settled=True)

    def look(self, *, settled: bool = False) -> None:
        """Reads the files again where they changed and then stood still for one look (or settled: at once)."""
        last, self._seen = self._seen, _signatures(self._files)
        if self._seen != self._used and (settled or self._seen == last):
            self._used = self._seen
            self._read_again()
        self._alarm()

    async def watch(self) -> None:
        """Looks until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            self.look()

    def _read_again(self) -> None:
        try:
            self.current = read(*self._files)
        except CertificateError as error:
            self.refused += 1
            log.error("TLS certificate not taken into use, the old one stays: %s", error)
            return
        self._told = -DAY
        log.info("TLS certificate read again: for %s, until %s", ", ".join(self.current.names) or "nobody",
                 day(self.current.not_after))

    def _alarm(self) -> None:
        """Once a day while the pair in use has expired or is about to."""
        left, now = self.seconds_left(), self._clock.monotonic()
        if left > EXPIRY_WARNING or now - self._told < DAY:
            return
        self._told = now
        if left <= 0:
            log.error('the TLS certificate "%s" expired on %s: telephones refuse it; renew it', self._files[0],
                      day(self.current.not_after))
        else:
            log.warning('the TLS certificate "%s" expires on %s; renew it', self._files[0], day(self.current.not_after))


def _signatures(files: tuple[Path, Path]) -> tuple[object, ...]:
    """Changes when one of the files does; a symbolic link counts as what it leads to."""
    found: list[object] = []
    for file in files:
        try:
            stat = os.stat(file)
        except OSError:
            found.append(None)
        else:
            found.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
    return tuple(found)
