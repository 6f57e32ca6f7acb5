"""Target: connectivity checks, to an agent with a leg that runs and restarts and one that rings. Only who knows a
password is answered, with a few octets; nobody else moves anything, and the running leg's own peer is heard still."""

import binascii
import hashlib
import hmac
import random
import struct

from aioice import stun

from sipconf.rtp.ice import MAX_PAIRS, Credentials, IceAgent
from tests.fuzz.driver import Target, expect
from tests.fuzz.mutation import mutate

OURS = Credentials("ours", "password-of-ours-0000000")
FRESH = Credentials("anew", "password-of-anew-0000000")
RINGING = Credentials("ring", "password-of-ring-0000000")
PASSWORDS = {each.ufrag: each.password for each in (OURS, FRESH, RINGING)}
RUNS, RINGS = 4, 5
HOME = ("192.0.2.1", 4000)
ELSEWHERE = tuple((host, port) for host in ("192.0.2.9", "2001:db8::7") for port in range(1, 101))
GOOD_NAMES = (b"ours:theirs", b"anew:renewed", b"ring:any", b"ours:", b"anew", b"ring:\0:")
BAD_NAMES = (b":", b"", b"nobody:x", b"\xff:\xff", b"x" * 513)
KINDS, BAD_KINDS = (0x0024, 0x0025, 0x8022, 0x8029, 0x802A, 0xC057), (0x0001, 0x0020, 0x8028)
USERNAME, INTEGRITY, USE_CANDIDATE = 0x0006, 0x0008, 0x0025
MOST_ANSWER = 100


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)


def message(kind: int, transaction: bytes, body: bytes) -> bytes:
    return struct.pack("!HHI", kind, len(body) & 0xFFFF, 0x2112A442) + transaction + body


def integrity(before: bytes, password: str) -> bytes:
    """RFC 8489 section 14.5."""
    length = struct.pack("!H", len(before) + 4 & 0xFFFF)
    return hmac.digest(password.encode(), before[:2] + length + before[4:], hashlib.sha1)


def signed(kind: int, transaction: bytes, body: bytes, password: str) -> bytes:
    """With MESSAGE-INTEGRITY and FINGERPRINT behind these attributes."""
    body += attribute(INTEGRITY, integrity(message(kind, transaction, body), password))
    whole = message(kind, transaction, body + bytes(8))[:-8]
    return whole + attribute(0x8028, struct.pack("!I", binascii.crc32(whole) ^ 0x5354554E))


def nominating(name: bytes, password: str) -> bytes:
    body = attribute(USERNAME, name) + attribute(0x0024, b"\0\0\1\0") + attribute(USE_CANDIDATE, b"")
    return signed(1, b"a peer's own", body + attribute(0x802A, bytes(8)), password)


def asker(data: bytes) -> str | None:
    """Whose password the sender knows, read one attribute after the other: a user name fragment."""
    at, name = 20, b""
    while at + 4 <= len(data):
        kind, size = struct.unpack_from("!HH", data, at)
        value = data[at + 4 : at + 4 + size]
        if kind == INTEGRITY:
            ufrag = name.partition(b":")[0].decode("utf-8", "replace")
            known = PASSWORDS.get(ufrag)
            return ufrag if known is not None and value == integrity(data[:at], known) else None
        if kind == USERNAME and not name:
            name = value
        at += 4 + (size + 3 & ~3)
    return None


class StunChecks(Target):
    name = "stun"
    ending = "stun"

    def __init__(self) -> None:
        self._seeds = tuple(
            nominating(name, PASSWORDS[ufrag])
            for name in GOOD_NAMES[:3] for ufrag in PASSWORDS
        )  # fmt: skip

    def begin(self, rng: random.Random) -> None:
        self._now = 100.0
        self._agent = agent = IceAgent()
        agent.open(RUNS, OURS, self._now)
        agent.open(RINGS, RINGING, self._now)
        agent.choose(RUNS, OURS, "theirs", self._now)
        agent.check(nominating(b"ours:theirs", OURS.password), HOME, self._now)
        agent.choose(RUNS, FRESH, "renewed", self._now)
        expect(agent.take_changes() == [(RUNS, HOME)], "no pair to begin with")

    def make(self, rng: random.Random) -> bytes:
        if rng.random() < 0.4:
            return mutate(rng, rng.choice(self._seeds), self._seeds)
        body = b""
        for _ in range(rng.randrange(4)):
            kinds = KINDS if rng.random() < 0.9 else BAD_KINDS
            body += attribute(rng.choice(kinds), rng.randbytes(rng.choice((0, 0, 3, 4, 4, 8, 21))))
        name = attribute(USERNAME, rng.choice(GOOD_NAMES if rng.random() < 0.8 else BAD_NAMES))
        body = rng.choice((name + body, body + name, name + body + attribute(USE_CANDIDATE, b"")))
        kind = 1 if rng.random() < 0.95 else rng.choice((0x0011, 0x0101, 0x0111, 0x3FFF))
        return signed(kind, rng.randbytes(12), body, rng.choice(tuple(PASSWORDS.values())))

    def judge(self, data: bytes) -> None:
        self._now += 0.01
        address = ELSEWHERE[binascii.crc32(data) % len(ELSEWHERE)]
        owner = self._agent.owner(address)
        answered = self._agent.check(data, address, self._now)
        changes = self._agent.take_changes()
        ufrag = asker(data)
        if ufrag is None:
            expect(answered is None, "an answer to who knows no password")
            expect(not changes and self._agent.owner(address) == owner, "a stranger has moved something")
        if answered is not None and ufrag is not None:
            expect(answered[0] == (RINGS if ufrag == RINGING.ufrag else RUNS), "an answer for another leg")
            _judge_answer(answered[1], data, address, PASSWORDS[ufrag])
        self._agent.take_forgotten()
        for slot, leg in self._agent._legs.items():
            expect(len(leg.pairs) <= MAX_PAIRS, "more pairs than the limit")
            expect(leg.chosen is None or leg.chosen in leg.pairs, "a chosen pair that is none")
            expect(all(self._agent.owner(each) == slot for each in leg.pairs), "a pair of another leg")

    def end(self) -> None:
        """The running leg has its peer still, wherever that has gone."""
        leg = self._agent._legs[RUNS]
        expect(leg.chosen is not None, "the running leg has lost its pair")
        name = f"{leg.credentials.ufrag}:{leg.remote_ufrag}".encode()
        mine = self._agent.check(nominating(name, leg.credentials.password), leg.chosen or HOME, self._now)
        expect(mine is not None and mine[0] == RUNS, "the peer itself is not heard")
        expect(self._agent.take_lost(self._now) == [], "consent has ended early")


def _judge_answer(answer: bytes, data: bytes, address: tuple[str, int], password: str) -> None:
    """As another coder reads it."""
    expect(len(answer) <= MOST_ANSWER, "a long answer")
    read = stun.parse_message(answer)
    expect(read.transaction_id == data[8:20], "an answer to something else")
    expect(read.check_message_integrity(password.encode()), "an answer that is nobody's")
    if read.message_class is stun.Class.RESPONSE:
        expect(read.attributes["XOR-MAPPED-ADDRESS"] == address, "another address")
    else:
        expect(read.attributes["ERROR-CODE"][0] == 487, "another error")
