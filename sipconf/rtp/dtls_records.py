"""DTLS records (RFC 6347) as far as they can be judged without a key: which may be shown to a handshake at all.

In epoch 0 anybody can write a record, and the library beneath ends a handshake at the first that is malformed or that
says it is over. So the plain ones are looked at here first. Not here: the handshake (edge/dtls).
"""

from collections.abc import Iterator

HEADER = 13
"""Octets of a record's header: type, version, epoch, sequence number, length (section 4.1)."""
MESSAGE_HEADER = 12
"""Octets of a handshake message's: type, length, number, offset and length of the fragment (section 4.2.2)."""
MOST_MESSAGE = 16_384
"""Octets of a handshake message; a chain of certificates is the longest that there is."""
MOST_MESSAGES = 32
"""Handshake messages from one end: it has six."""

CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE = 20, 21, 22
_TYPES = range(20, 26)

CLIENT_MESSAGES = frozenset((1, 11, 15, 16, 20))
"""client_hello, certificate, certificate_verify, client_key_exchange, finished."""
SERVER_MESSAGES = frozenset((2, 3, 11, 12, 13, 14, 20))
"""server_hello, hello_verify_request, certificate, server_key_exchange, certificate_request, server_hello_done,
finished."""

ALERTS = {0: "close_notify", 40: "handshake_failure", 42: "bad_certificate", 43: "unsupported_certificate",
          45: "certificate_expired", 46: "certificate_unknown", 47: "illegal_parameter", 48: "unknown_ca",
          50: "decode_error", 51: "decrypt_error", 70: "protocol_version", 71: "insufficient_security",
          80: "internal_error"}  # fmt: skip
"""Names of the alerts that a handshake ends with (RFC 5246 section 7.2)."""


def records(octets: bytes) -> Iterator[bytes]:
    """The records of a datagram, one after another, until something is none."""
    at = 0
    while at + HEADER <= len(octets):
        end = at + HEADER + int.from_bytes(octets[at + 11 : at + HEADER])
        if octets[at] not in _TYPES or octets[at + 1] != 0xFE or end > len(octets):
            return
        yield octets[at:end]
        at = end


class Sieve:
    """What may be shown to a handshake that is under way. messages: types that the other end may send, CLIENT_ or
    SERVER_MESSAGES. alert: the name of the latest fatal one in the clear, None: none has come."""

    def __init__(self, messages: frozenset[int]) -> None:
        self._messages = messages
        self._passed = 0
        self.alert: str | None = None

    def sift(self, datagram: bytes) -> bytes:
        """The records of a datagram that are in order. One of a later epoch is: whoever has the key judges it.

        Plain ones get numbers of our own. Nothing protects theirs, and one too large by far would make the library
        take all that follow for old (section 4.1.2.6).
        """
        kept = []
        for record in records(datagram):
            if record[3:5] != b"\0\0":
                kept.append(record)
            elif record[0] == HANDSHAKE and self._is_sound(record) or _changes_cipher(record):
                self._passed += 1
                kept.append(record[:5] + self._passed.to_bytes(6) + record[11:])
            elif record[0] == ALERT and record[HEADER : HEADER + 1] == b"\x02" and len(record) == HEADER + 2:
                self.alert = ALERTS.get(record[-1], f"alert {record[-1]}")
        return b"".join(kept)

    def _is_sound(self, record: bytes) -> bool:
        """Whether a plain handshake record holds whole fragments of messages that may be."""
        at = HEADER
        while at + MESSAGE_HEADER <= len(record):
            whole, number, offset, length = (
                int.from_bytes(record[at + first : at + last]) for first, last in ((1, 4), (4, 6), (6, 9), (9, 12))
            )  # fmt: skip
            kind = record[at]
            if kind not in self._messages or whole > MOST_MESSAGE or number >= MOST_MESSAGES or offset + length > whole:
                return False
            at += MESSAGE_HEADER + length
        return HEADER < at == len(record)


def datagrams(octets: bytes, most: int) -> list[bytes]:
    """What the library wrote, records one after another, as datagrams of at most so many octets."""
    packed: list[bytes] = []
    for record in records(octets):
        if packed and len(packed[-1]) + len(record) <= most:
            packed[-1] += record
        else:
            packed.append(record)
    return packed


def _changes_cipher(record: bytes) -> bool:
    return record[0] == CHANGE_CIPHER_SPEC and record[HEADER:] == b"\x01"
