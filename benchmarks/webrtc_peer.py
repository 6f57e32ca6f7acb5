"""One browser of the load generator, as far as the wire knows: connectivity checks, a DTLS handshake as the client, and
SRTP sessions at the end of it. One socket, nothing blocks.

It checks the server's one candidate and nominates it (the server is an ICE-lite agent), or, asked to be the lite one
itself, answers the checks of a full agent. STUN is aioice's, the handshake the server's own code in the other role:
that is tested against aiortc's elsewhere, and here it costs least.
"""

import contextlib
import secrets
import time
from typing import Any

from aioice import stun
from pylibsrtp import Policy, Session

from benchmarks.batched import open_socket
from sipconf.rtp.edge import dtls

CHECK_SPACING = 2.5
"""Seconds between two checks, which are also the consent: as browsers do."""
IMPATIENCE = 0.1
"""The same until the first answer."""
MOST_OCTETS = 2048
PROFILES = {
    "AEAD_AES_128_GCM": Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    "AES_CM_128_HMAC_SHA1_80": Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
}
CERTIFICATE = dtls.generate()
"""One for all: making them is not what is measured."""


class Peer:
    """Ours are ufrag and password. asked: when it began; secured: when it had keys, None: not yet."""

    def __init__(self, host: str) -> None:
        self.socket = open_socket(host, buffer_bytes=1 << 17)
        self.ufrag, self.password = secrets.token_hex(4), secrets.token_hex(12)
        self.asked: float | None = None
        self.secured: float | None = None
        self.inbound: Session | None = None
        self.outbound: Session | None = None
        self._handshake: dtls.Handshake | None = None
        self._check = b""
        self._check_due = 0.0

    def call(self, port: int, ufrag: str, password: str, fingerprint: tuple[str, str], lite: bool) -> None:
        """Begin. fingerprint: the server's; lite: the server sends the checks."""
        self.asked = time.monotonic()
        self.socket.connect(("127.0.0.1", port))
        self._handshake = CERTIFICATE.handshake("client", [fingerprint])
        request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
        request.attributes["USERNAME"] = f"{ufrag}:{self.ufrag}"
        request.attributes["PRIORITY"] = 1845501695
        request.attributes["ICE-CONTROLLING"] = secrets.randbits(64)
        request.attributes["USE-CANDIDATE"] = None
        request.add_message_integrity(password.encode())
        request.add_fingerprint()
        self._check = b"" if lite else bytes(request)
        self.tick()

    def tick(self) -> None:
        """What is due: a check, a lost flight."""
        now = time.monotonic()
        if self._check and now >= self._check_due:
            self._check_due = now + (IMPATIENCE if self.secured is None else CHECK_SPACING)
            self._send(self._check)
        if self.secured is None and self._handshake is not None:
            self._handshake.handle_timer()
            self._flush()

    def receive(self, data: bytes) -> None:
        """A datagram that is no media."""
        if data[0] < 4:
            self._receive_stun(data)
        elif 20 <= data[0] < 64 and self._handshake is not None:
            self._handshake.receive(data)
            self._flush()

    def close(self) -> None:
        if self._handshake is not None:
            self._handshake.close()
            self._flush()
        self.socket.close()

    def _receive_stun(self, data: bytes) -> None:
        message = stun.parse_message(data)
        if message.message_class == stun.Class.REQUEST:
            answer = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, message.transaction_id)
            answer.attributes["XOR-MAPPED-ADDRESS"] = self.socket.getpeername()
            answer.add_message_integrity(self.password.encode())
            answer.add_fingerprint()
            self._send(bytes(answer))
        if self.secured is None and self._handshake is not None:
            self._handshake.begin()
            self._flush()

    def _flush(self) -> None:
        handshake = self._handshake
        if handshake is None:
            return
        for datagram in handshake.take_datagrams():
            self._send(datagram)
        if handshake.failure is not None:
            raise RuntimeError(handshake.failure)
        if handshake.keys is not None and self.secured is None:
            self.secured = time.monotonic()
            profile, rx, tx = handshake.keys
            self.inbound = _session(profile, rx, Policy.SSRC_ANY_INBOUND)
            self.outbound = _session(profile, tx, Policy.SSRC_ANY_OUTBOUND)

    def _send(self, data: bytes) -> None:
        with contextlib.suppress(ConnectionError, BlockingIOError):  # the server may not be there yet, or any more
            self.socket.send(data)


def handle(session: Session) -> Any:
    """libsrtp's own handle, for calls without a copy."""
    return session._srtp[0]


def _session(profile: str, key: bytes, sources: int) -> Session:
    policy = Policy(key=key, ssrc_type=sources, srtp_profile=PROFILES[profile])
    policy.window_size = 1024
    return Session(policy)
