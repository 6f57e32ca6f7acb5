"""Target: DTLS, to a handshake that waits for its hello and to one that is done. Nothing escapes, what was heard
elsewhere gives no keys, and a done one ends by its peer's farewell alone."""

import random

from sipconf.rtp.edge import dtls
from tests.fuzz.driver import Target, expect
from tests.fuzz.mutation import mutate
from tests.sim.dtls_noise import noise

OURS, THEIRS = dtls.generate(), dtls.generate()
LONGEST = 2048
MOST_ANSWER = 3
"""Octets that may be answered for each that has come: a hello of 160 asks for our certificate and the key exchange."""


def shaken() -> tuple[dtls.Handshake, dtls.Handshake, list[bytes]]:
    """A client and a server that are done, and what the client said."""
    client, server = THEIRS.handshake("client", [OURS.fingerprint()]), OURS.handshake("server", [THEIRS.fingerprint()])
    client.begin()
    said = []
    for _ in range(4):
        for datagram in client.take_datagrams():
            said.append(datagram)
            server.receive(datagram)
        for datagram in server.take_datagrams():
            client.receive(datagram)
    return client, server, said


class DtlsHandshake(Target):
    name = "dtls"
    ending = "dtls"

    def __init__(self) -> None:
        self._seeds = tuple(datagram for _ in range(3) for datagram in shaken()[2])

    def begin(self, rng: random.Random) -> None:
        self._client, self._done, _ = shaken()
        self._waits = OURS.handshake("server", [THEIRS.fingerprint()])
        self._came = self._went = 0

    def make(self, rng: random.Random) -> bytes:
        return noise(rng) if rng.random() < 0.3 else mutate(rng, rng.choice(self._seeds), self._seeds)[:LONGEST]

    def judge(self, data: bytes) -> None:
        self._came += len(data)
        for handshake in (self._waits, self._done):
            handshake.receive(data)
        self._went += sum(map(len, self._waits.take_datagrams()))
        expect(self._waits.keys is None, "keys of what was heard elsewhere")
        expect(self._went <= MOST_ANSWER * self._came + dtls.MOST_DATAGRAM, "more answered than asked")
        expect(not self._done.closed and not self._done.take_datagrams(), "a stranger was heard after the handshake")

    def end(self) -> None:
        """The peer itself is heard."""
        self._client.close()
        for datagram in self._client.take_datagrams():
            self._done.receive(datagram)
        expect(self._done.closed, "the farewell was not heard")
