"""Target: the media plane with a conference going on. Members of it send anything at all as RTP and RTCP, and so do
strangers. Nothing escapes; the two who talk properly lose nothing and get a frame every tick, strangers get nothing."""

import random

from sipconf.media import protocol
from sipconf.rtp.packet import ROW
from tests.fuzz.driver import Target, expect
from tests.fuzz.rtcp_compound import RtcpCompound
from tests.fuzz.rtp_block import RtpBlock, datagrams, framed
from tests.media.conftest import House

HONEST = (1, 2)
HOSTILE = ((3, "PCMU", 8000, 0), (4, "PCMA", 8000, 8), (5, "L16", 16000, 97))
FOLLOWED = (("PCMU", 8000, 0), ("PCMA", 8000, 8), ("G722", 8000, 9), ("opus", 48000, 111))
PER_TICK = 16
SETTLED = 10  # ticks
STRANGER = ("203.0.113.66", 4000)


class Plane(Target):
    """An input is a datagram behind its length (RFC 4571); its place says whose it is and which port it goes to."""

    name = "plane"
    ending = "block"

    def __init__(self) -> None:
        self._rtp, self._rtcp = RtpBlock(), RtcpCompound()

    def begin(self, rng: random.Random) -> None:
        self._rtp.begin(rng)
        self._count = 0
        self._kept: list[bytes] = []
        self._house = House(seed=rng.getrandbits(16))
        for number in HONEST:
            self._house.phone(number, room=1)
        for number, encoding, clock_rate, payload_type in HOSTILE:
            formats = tuple(protocol.RtpFormat(*each) for each in FOLLOWED)
            if encoding == "L16":
                formats = (protocol.RtpFormat(encoding, clock_rate, payload_type),)
            phone = self._house.phone(
                number, room=1, connect=False, encoding=encoding, clock_rate=clock_rate, payload_type=payload_type
            )
            self._house.connect(phone, rx_formats=formats, tx_formats=formats)
        for _ in range(SETTLED):
            self._tick()
        self._sent = self._packets()

    def make(self, rng: random.Random) -> bytes:
        if rng.random() < 0.2:
            return framed([self._rtcp.make(rng)])
        return self._rtp.make(rng)

    def judge(self, data: bytes) -> None:
        house = self._house
        for datagram in datagrams(data):
            self._kept = [*self._kept[-3 * PER_TICK :], datagram]
            self._count += 1
            number = HOSTILE[self._count % len(HOSTILE)][0]
            phone = house.phones[number]
            source = STRANGER if self._count % 5 == 0 else phone.address
            control = self._count % 7 == 0
            address = (source[0], source[1] + 1) if control else source
            house.network.throw(address, phone.port + control, datagram[:ROW], house.now)
            if self._count % PER_TICK == 0:
                self._tick()
                sent = self._packets()
                expect(sent == [count + 1 for count in self._sent], "a frame is missing")
                self._sent = sent

    def evidence(self, data: bytes) -> bytes:
        return framed(self._kept)

    def _packets(self) -> list[int]:
        """RTP sent so far to each who talks properly."""
        phones = [self._house.phones[number] for number in HONEST]
        return [len(phone.packets()) for phone in phones]

    def _tick(self) -> None:
        for number in HONEST:
            self._house.phones[number].speak_until(self._house.now)
        self._house.tick()

    def end(self) -> None:
        """Both lost nothing, and no stranger was sent anything."""
        house = self._house
        for number in HONEST:
            slot = house.network.slot_of_port[house.phones[number].port]
            lost, heard = house.network.streams.lost(slot), house.network.streams.received[slot]
            expect(lost == 0 and heard >= SETTLED, "a good stream lost packets")
        expect(not any(host == STRANGER[0] for host, _ in house.network.outbox), "a stranger was sent something")
        house.plane.close()
