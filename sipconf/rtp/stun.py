"""STUN as connectivity checks need it: binding requests read, their answers written (RFC 8489, RFC 8445 section 7).

Octets in, octets out. Not here: who may ask (ice) and sockets (edge/shared_port).
"""

import binascii
import hashlib
import hmac
import ipaddress
import struct
from dataclasses import dataclass
from functools import lru_cache

from sipconf.errors import SipconfError

Address = tuple[str, int]

MAGIC_COOKIE = 0x2112A442
HEADER_BYTES = 20
MAX_BYTES = 1500
"""Octets of a message: checks fit one Ethernet frame."""

_BINDING_REQUEST, _BINDING_SUCCESS, _BINDING_ERROR = 0x0001, 0x0101, 0x0111
_USERNAME, _MESSAGE_INTEGRITY, _ERROR_CODE, _XOR_MAPPED_ADDRESS = 0x0006, 0x0008, 0x0009, 0x0020
_PRIORITY, _USE_CANDIDATE = 0x0024, 0x0025
_FINGERPRINT, _ICE_CONTROLLED = 0x8028, 0x8029
_UNDERSTOOD = frozenset({_USERNAME, _MESSAGE_INTEGRITY, _PRIORITY, _USE_CANDIDATE})
"""Of the attributes below 0x8000, which whoever answers must know (RFC 8489 section 14)."""
_INTEGRITY_BYTES, _FINGERPRINT_XOR = 20, 0x5354554E


class StunError(SipconfError):
    """These octets are no binding request that could be answered."""


@dataclass(frozen=True, slots=True)
class Request:
    """A binding request. username: as it stands there; covered: octets before MESSAGE-INTEGRITY; integrity: its value;
    use_candidate: the pair is nominated; controlled: the sender thinks that we are the controlling agent."""

    transaction: bytes
    username: str
    covered: bytes
    integrity: bytes
    priority: int
    use_candidate: bool
    controlled: bool

    def is_authentic(self, password: str) -> bool:
        """Whether the sender knows our password (RFC 8489 section 14.5)."""
        return hmac.compare_digest(self.integrity, _integrity(self.covered, password))


def read_request(data: bytes) -> Request:
    """Read a binding request with USERNAME and MESSAGE-INTEGRITY. Raises StunError for anything else."""
    if not HEADER_BYTES < len(data) <= MAX_BYTES or len(data) % 4:
        raise StunError("not of a message's length")
    kind, length, cookie = struct.unpack_from("!HHI", data)
    if kind != _BINDING_REQUEST or cookie != MAGIC_COOKIE or length != len(data) - HEADER_BYTES:
        raise StunError("no binding request")
    found: dict[int, bytes] = {}
    covered = b""
    at = HEADER_BYTES
    while at + 4 <= len(data):
        attribute, size = struct.unpack_from("!HH", data, at)
        value = data[at + 4 : at + 4 + size]
        if len(value) < size:
            raise StunError("an attribute runs over the end")
        if attribute == _FINGERPRINT:
            if at + 8 != len(data) or value != _fingerprint(data[:at]):
                raise StunError("wrong fingerprint")
        elif not covered:  # what follows MESSAGE-INTEGRITY is nobody's word (RFC 8489 section 14.5)
            if attribute < 0x8000 and attribute not in _UNDERSTOOD:
                raise StunError(f"unknown attribute {attribute:#x}")
            found.setdefault(attribute, value)
            if attribute == _MESSAGE_INTEGRITY:
                covered = data[:at]
        at += 4 + (size + 3 & ~3)
    if not covered or len(found[_MESSAGE_INTEGRITY]) != _INTEGRITY_BYTES or _USERNAME not in found:
        raise StunError("nobody's word")
    try:
        username = found[_USERNAME].decode()
    except UnicodeDecodeError:
        raise StunError("a user name that is no UTF-8") from None
    priority = int.from_bytes(found.get(_PRIORITY, b"")[:4])
    return Request(
        data[8:HEADER_BYTES], username, covered, found[_MESSAGE_INTEGRITY], priority, _USE_CANDIDATE in found,
        _ICE_CONTROLLED in found,
    )  # fmt: skip


def success(request: Request, address: Address, password: str) -> bytes:
    """The answer that tells the sender its address as we see it, host an IPv4 or IPv6 literal."""
    host = _octets(address[0])
    mask = struct.pack("!I", MAGIC_COOKIE) + request.transaction
    hidden = (int.from_bytes(host) ^ int.from_bytes(mask[: len(host)])).to_bytes(len(host))
    family = 1 if len(host) == 4 else 2
    value = struct.pack("!BBH", 0, family, address[1] ^ MAGIC_COOKIE >> 16) + hidden
    return _answer(_BINDING_SUCCESS, request, _XOR_MAPPED_ADDRESS, value, password)


@lru_cache(4096)
def _octets(literal: str) -> bytes:
    """Of an IPv4 or IPv6 literal; kept, for a leg's comes with each of its checks."""
    return ipaddress.ip_address(literal).packed


def role_conflict(request: Request, password: str) -> bytes:
    """487: the sender has to be the controlling agent, for we send no checks (RFC 8445 section 7.3.1.1)."""
    return _answer(_BINDING_ERROR, request, _ERROR_CODE, b"\0\0\x04\x57Role Conflict", password)


def _answer(kind: int, request: Request, attribute: int, value: bytes, password: str) -> bytes:
    body = struct.pack("!HH", attribute, len(value)) + value + bytes(-len(value) % 4)
    message = struct.pack("!HHI", kind, len(body), MAGIC_COOKIE) + request.transaction + body
    message += struct.pack("!HH", _MESSAGE_INTEGRITY, _INTEGRITY_BYTES) + _integrity(message, password)
    message = message[:2] + struct.pack("!H", len(message) - HEADER_BYTES + 8) + message[4:]
    return message + struct.pack("!HH", _FINGERPRINT, 4) + _fingerprint(message)


def _integrity(before: bytes, password: str) -> bytes:
    """HMAC-SHA1 over the message before the attribute, its length such as if it ended with the attribute."""
    length = len(before) - HEADER_BYTES + 4 + _INTEGRITY_BYTES
    covered = before[:2] + struct.pack("!H", length) + before[4:]
    return hmac.digest(password.encode(), covered, hashlib.sha1)


def _fingerprint(before: bytes) -> bytes:
    """CRC32 over the message before the attribute (RFC 8489 section 14.7)."""
    return struct.pack("!I", binascii.crc32(before) ^ _FINGERPRINT_XOR)
