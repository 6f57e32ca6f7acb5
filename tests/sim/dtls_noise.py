"""What strangers send to a DTLS port: records made from raw octets, good, bad and random."""

import random


def record(kind: int, body: bytes, epoch: int = 0, number: int = 0, version: bytes = b"\xfe\xfd") -> bytes:
    """A DTLS record (RFC 6347 section 4.1)."""
    return bytes((kind,)) + version + epoch.to_bytes(2) + number.to_bytes(6) + len(body).to_bytes(2) + body


def handshake_message(kind: int, body: bytes, number: int = 0, whole: int | None = None, offset: int = 0) -> bytes:
    """A handshake message, or a fragment of one (section 4.2.2)."""
    whole = len(body) if whole is None else whole
    return bytes((kind,)) + whole.to_bytes(3) + number.to_bytes(2) + offset.to_bytes(3) + len(body).to_bytes(3) + body


def alert(description: int, level: int = 2) -> bytes:
    """An alert in the clear."""
    return record(21, bytes((level, description)))


def null_hello(rng: random.Random) -> bytes:
    """The ClientHello of CVE-2023-49786: its one cipher suite is TLS_NULL_WITH_NULL_NULL."""
    hello = b"\xfe\xfd" + rng.randbytes(32) + b"\0" + b"\0" + b"\0\2" + b"\0\0" + b"\1\0"
    return record(22, handshake_message(1, hello), number=rng.randrange(1 << 48))


def noise(rng: random.Random) -> bytes:
    """One datagram of a stranger's."""
    number, epoch = rng.randrange(1 << 48), rng.choice((0, 0, 0, 1, 2))
    match rng.randrange(7):
        case 0:
            return null_hello(rng)
        case 1:
            return alert(rng.randrange(121))
        case 2:
            return alert(0, level=1)
        case 3:
            return record(20, b"\1", epoch, number)
        case 4:
            return record(22, rng.randbytes(rng.randrange(100)), epoch, number)
        case 5:
            return record(rng.randrange(256), rng.randbytes(rng.randrange(100)), epoch, number)
        case _:
            return bytes((rng.randrange(20, 64),)) + rng.randbytes(rng.randrange(200))
