"""The nonces of our challenges: made, known again, and good once per answer (RFC 7616 sections 3.3 and 3.4).

A nonce says itself when and for whom it was made, under a seal: a challenge that nobody answers costs no memory. Of a
right answer eight octets and its count are remembered until its nonce is dead. Whether an answer is right: digest.
"""

import hashlib
import hmac
import math
import random
import re

from sipconf.sip.flow import network_of

NONCE_LIFE = 300.0            # seconds; afterwards a right answer is told stale=true
MAX_USED_NONCES = 20_000      # answers remembered so that none is accepted twice

_MAC_DIGITS = 32
_NONCE = re.compile(r"[0-9a-f]{12}[0-9a-f]{16}[0-9a-f]{32}\Z")


class Nonces:
    """Two tables of used answers take turns: what was noted in the younger one outlives its nonce in the elder, which
    is then dropped as a whole."""

    def __init__(self, rng: random.Random, life: float = NONCE_LIFE) -> None:
        """life: seconds for which a nonce is good."""
        self._rng = rng
        self._life = life
        self._secret = rng.randbytes(32)
        self._young: dict[int, int] = {}  # digest of (nonce, answer) -> nc
        self._old: dict[int, int] = {}
        self._newest = self._newest_old = -math.inf  # issue of the newest nonce in either
        self._turned_at = -math.inf
        self._forgotten_until = -math.inf  # nonces issued up to here have lost their memory: no longer good

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def new(self, now: float, source: str) -> str:
        """A nonce that is good for this source host's network alone."""
        self._forget_dead(now)
        stem = f"{int(now * 1000) & 0xFFFFFFFFFFFF:012x}{self._rng.getrandbits(64):016x}"
        return stem + self._mac(stem, source)

    def first_use(self, nonce: str, answer: str, count: int, now: float, source: str) -> bool:
        """Is this right answer new? Its nonce must be ours and alive, its count above the last of the same answer: of
        one user's cnonce."""
        issued = self._issued_at(nonce, source)
        if issued is None or now - issued > self._life:
            return False
        self._forget_dead(now)
        key = self._key(nonce, answer)
        last = self._young.get(key, self._old.get(key))
        if count <= last if last is not None else issued <= self._forgotten_until:
            return False
        if len(self._young) >= MAX_USED_NONCES // 2 and key not in self._young:
            self._take_turns(now)
        self._young[key] = count
        self._newest = max(self._newest, issued)
        return True

    def _key(self, nonce: str, answer: str) -> int:
        seed = f"{nonce} {answer}".encode("utf-8", "surrogateescape")
        return int.from_bytes(hashlib.blake2b(seed, digest_size=8, key=self._secret).digest())

    def _mac(self, stem: str, source: str) -> str:
        seal = f"{stem}{network_of(source)}".encode()
        return hmac.digest(self._secret, seal, "sha256").hex()[:_MAC_DIGITS]

    def _issued_at(self, nonce: str, source: str) -> float | None:
        """When we made this nonce for that source; None for one that is not ours (or of an earlier life of the
        server)."""
        if not _NONCE.match(nonce):
            return None
        stem = nonce[:-_MAC_DIGITS]
        if not hmac.compare_digest(self._mac(stem, source), nonce[-_MAC_DIGITS:]):
            return None
        return int(stem[:12], 16) / 1000

    def _forget_dead(self, now: float) -> None:
        if now - self._turned_at >= self._life:
            idle = now - self._turned_at >= 2 * self._life
            self._take_turns(now)
            if idle:
                self._take_turns(now)

    def _take_turns(self, now: float) -> None:
        """The elder table is dropped, and with it every nonce of its time, where that is still alive."""
        self._forgotten_until = max(self._forgotten_until, self._newest_old)
        self._old, self._young = self._young, {}
        self._newest_old, self._newest = self._newest, -math.inf
        self._turned_at = now
