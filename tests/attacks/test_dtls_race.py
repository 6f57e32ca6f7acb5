"""Strangers race the browser to its DTLS handshake (docs/trust.md, CVE-2023-49786): bad hellos, random records and
alerts, a thousand a second, before and during. A hundred of a hundred browsers are secured, nobody who talks loses a
frame, the strangers get no octet."""

import asyncio
import random
from collections.abc import Callable, Iterator

import pytest
from aiortc import RTCCertificate, RTCDtlsTransport
from aiortc.rtcdtlstransport import RTCDtlsFingerprint, RTCDtlsParameters

from sipconf.media import protocol
from sipconf.media.handshakes import Handshakes
from sipconf.rtp.edge import dtls
from tests.media.browsers import EVENTS, FIRST, Browser, Rig, of_kind
from tests.media.loopback import LOCAL, PCMU, read_all
from tests.media.plane_as_workers import PlaneAsWorkers
from tests.sim.dtls_noise import noise, null_hello
from tests.sim.loop import Loop

OURS, THEIRS = dtls.generate(), dtls.generate()
CLIENTS, AT_ONCE = 100, 5
EACH_TICK = 20
"""Datagrams of strangers: a thousand a second."""
MOST_TICKS = 100
"""In which a handshake has to be done: 2 s."""


class Siege:
    """Two browsers who talk, the front, and four strangers."""

    def __init__(self) -> None:
        self.rig = Rig()
        for number in range(2):
            self.rig.join(number, 400 + 150 * number)
        self.rng = random.Random(5)
        self.strangers = [self.rig.stranger() for _ in range(4)]
        self.loop = Loop()
        self.told: list[protocol.Event] = []

        def make(on_events: Callable[[], None]) -> PlaneAsWorkers:
            self.workers = PlaneAsWorkers(self.rig, on_events)
            return self.workers

        def hear() -> None:
            self.told += self.front.take_events()

        self.front = Handshakes(make, OURS.handshake, hear, self.loop)  # type: ignore[arg-type]

    def call(self, number: int) -> tuple[Browser, dtls.Handshake]:
        """A browser comes."""
        browser = Browser(number, 700, FIRST, self.rig.rng)
        browser.talks = False
        self.rig.browsers.append(browser)
        ice = browser.terms.ice
        terms = protocol.WebRtcTerms(ice, browser.theirs, "server", (THEIRS.fingerprint(),))
        self.front.send(protocol.OpenLeg(number, LOCAL, "us@conf", None, ice, own_ports=False))
        self.front.send(protocol.ConnectLeg(number, None, None, LOCAL, (PCMU,), PCMU, EVENTS, True, "sendrecv",
                                            webrtc=terms))  # fmt: skip
        return browser, THEIRS.handshake("client", [OURS.fingerprint()])

    def tick(self, clients: list[tuple[Browser, dtls.Handshake]]) -> None:
        for number in range(EACH_TICK):
            stranger = self.strangers[number % len(self.strangers)]
            said = null_hello(self.rng) if number % 4 == 0 else noise(self.rng)
            stranger.sendto(said, (LOCAL, FIRST))
        for browser, handshake in clients:
            for datagram in handshake.take_datagrams():
                browser.send(datagram)
        self.workers.tell(self.rig.run(1))
        self.loop.run(0.02)
        for browser, handshake in clients:
            for datagram in browser.others:
                handshake.receive(datagram)
            browser.others.clear()


@pytest.fixture
def siege() -> Iterator[Siege]:
    siege = Siege()
    yield siege
    siege.rig.close()


def numbers(browser: Browser) -> list[int]:
    """Sequence numbers heard."""
    return [int.from_bytes(packet[2:4]) for packet in browser.heard]


def test_a_hundred_of_a_hundred_browsers_are_secured(siege: Siege) -> None:
    talkers = list(siege.rig.browsers)
    siege.rig.run(10)
    secured = 0
    for first in range(10, 10 + CLIENTS, AT_ONCE):
        clients = [siege.call(number) for number in range(first, first + AT_ONCE)]
        siege.tick([])
        for browser, _ in clients:
            browser.check()
        siege.tick([])
        for _, handshake in clients:
            handshake.begin()
        for _ in range(MOST_TICKS):
            siege.tick(clients)
            if all(handshake.keys is not None for _, handshake in clients):
                break
        secured += sum(handshake.keys is not None for _, handshake in clients)
        siege.tick(clients)
        for browser, _ in clients:
            leg = siege.rig.plane._house.legs.get(browser.number)
            assert leg is not None and siege.rig.srtp.has_keys(leg.slot)
            siege.front.send(protocol.CloseLeg(browser.number))
            siege.rig.browsers.remove(browser)
            browser.socket.close()
    assert secured == CLIENTS == siege.front.completed
    assert not of_kind(siege.told, protocol.LegFailed) and not siege.front.failed
    assert siege.rig.shared.strange_handshakes > 500, "the worker has told them from the peers"
    assert len(talkers) == 2
    for talker in talkers:
        heard = numbers(talker)
        assert heard == [(heard[0] + step) & 0xFFFF for step in range(len(heard))], "no frame is lost"
    assert [read_all(stranger) for stranger in siege.strangers] == [[]] * len(siege.strangers)


async def test_the_attack_works_against_a_handshake_that_takes_what_comes() -> None:
    """What the browser's worker keeps away, and our own handshake would survive, ends aiortc's transport."""
    incoming: asyncio.Queue[bytes] = asyncio.Queue()

    class Wire:
        role = "controlling"

        async def _recv(self) -> bytes:
            return await incoming.get()

        async def _send(self, data: bytes) -> None: ...

    naive = RTCDtlsTransport(Wire(), [RTCCertificate.generateCertificate()])  # type: ignore[arg-type]
    naive._set_role("server")
    incoming.put_nowait(null_hello(random.Random(1)))
    async with asyncio.timeout(60.0):
        await naive.start(RTCDtlsParameters([RTCDtlsFingerprint(*THEIRS.fingerprint())]))
    assert naive.state == "failed"
