"""A plane over real ports on loopback, with telephones and strangers of raw sockets, in counted time.

Floods are bounded: a few hundred datagrams in each of some ticks. Nothing is sent but to loopback.
"""

import contextlib
import random
import socket
import struct

import numpy as np

from sipconf.media import protocol
from sipconf.media.plane import TICK_SECONDS, MediaPlane, PlaneSettings
from sipconf.mixer.prompts import ClipLibrary
from sipconf.rtp.edge.carrier import Carrier
from sipconf.rtp.edge.ports import Ports
from sipconf.rtp.srtp import SrtpColumns
from sipconf.rtp.streams import Streams
from tests.sim import voice

LOCAL = "127.0.0.1"
ELSEWHERE = "127.0.0.66"
FIRST, LAST = 28_800, 28_819
THEIR_TONE = 1000
PCMU = protocol.RtpFormat("PCMU", 8000, 0)
MINUS_50_DB = 4000 * 10 ** (-50 / 20)
"""Amplitude 50 dB below a telephone's tone."""


def open_socket(host: str = LOCAL) -> socket.socket:
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind((host, 0))
    one.setblocking(False)
    return one


def read_all(one: socket.socket) -> list[bytes]:
    found = []
    with contextlib.suppress(BlockingIOError):
        while True:
            found.append(one.recv(2048))
    return found


class Phone:
    """A telephone with two sockets and a tone; what it hears is kept."""

    def __init__(self, number: int, pitch: int) -> None:
        self.number, self.pitch = number, pitch
        self.rtp, self.rtcp = open_socket(), open_socket()
        self.ssrc, self.sequence, self.timestamp = 0x1000 + number, 100 * number, 0
        self.talks = True
        self.port = 0
        self.heard: list[bytes] = []
        self._tone = voice.endless_tone(pitch, "PCMU", 8000)

    @property
    def address(self) -> tuple[str, int]:
        return self.rtp.getsockname()

    def speak(self) -> None:
        start = self.timestamp % len(self._tone)
        payload = (self._tone * 2)[start : start + 160]
        if self.talks:
            head = struct.pack("!BBHII", 0x80, 0, self.sequence & 0xFFFF, self.timestamp, self.ssrc)
            self.rtp.sendto(head + payload, (LOCAL, self.port))
            self.sequence += 1
        self.timestamp += 160

    def sound(self) -> np.ndarray:
        return np.concatenate([voice.decode(packet[12:], "PCMU") for packet in self.heard])


class Strangers:
    """On the telephones' own host and elsewhere, each with a tone of 1 kHz in a faultless stream: of the victim's SSRC
    and going on where it is, or of an SSRC of their own."""

    def __init__(self) -> None:
        self.sockets = [open_socket(host) for host in (LOCAL, LOCAL, ELSEWHERE, ELSEWHERE)]
        self._tone = voice.endless_tone(THEIR_TONE, "PCMU", 8000)[:160]
        self._sent = 0
        self.neighbours = True  # those on the telephones' own host take part

    def attack(self, victim: Phone, copies: int = 10) -> None:
        """To every port: an empty datagram, and so many packets of each stream."""
        for index, one in enumerate(self.sockets):
            if index < 2 and not self.neighbours:
                continue
            ssrc = victim.ssrc if index % 2 else 0xBAD0 + index
            for port in range(FIRST, LAST + 1):
                one.sendto(b"", (LOCAL, port))
                for n in range(self._sent, self._sent + copies):
                    head = struct.pack("!BBHII", 0x80, 0, (victim.number * 100 + n) & 0xFFFF, 160 * n, ssrc)
                    one.sendto(head + self._tone, (LOCAL, port))
        self._sent += copies

    def attack_rtcp(self, victim: Phone) -> None:
        """BYE, reports and SDES in the victim's name, and what is no RTCP at all."""
        ssrc = struct.pack("!I", victim.ssrc)
        report = b"\x80\xc9\x00\x01" + ssrc
        sdes = b"\x81\xca\x00\x03" + ssrc + b"\x01\x04evil\0\0"
        for one in self.sockets:
            for port in range(FIRST, LAST + 1):
                for data in (report + b"\x81\xcb\x00\x01" + ssrc, report + sdes * 8, b"\x9f\xc8\xff\xff", b"\x80", b"",
                             bytes(1400)):
                    one.sendto(data, (LOCAL, port))

    def received(self) -> int:
        return sum(len(read_all(one)) for one in self.sockets)


class Rig:
    """A plane over real ports, and telephones in one room."""

    def __init__(self) -> None:
        self.streams = Streams()
        rng = random.Random(5)
        self.ports = Ports(FIRST, LAST, rng, self.streams)
        settings = PlaneSettings(silence_timeout=1e9)
        self.plane = MediaPlane(Carrier(self.ports, None, SrtpColumns()), self.streams, ClipLibrary({}), settings, rng)
        self.now = 100.0
        self.phones: list[Phone] = []
        self.events: list[protocol.Event] = []
        self.strangers = Strangers()

    def phone(self, pitch: int) -> Phone:
        phone = Phone(len(self.phones) + 1, pitch)
        self.phones.append(phone)
        self.plane.send(protocol.OpenLeg(phone.number, LOCAL, "c"))
        self.tick()
        phone.port = next(each.port for each in self.events if isinstance(each, protocol.LegOpened)
                          and each.leg == phone.number)  # fmt: skip
        self.plane.send(protocol.PlaceLeg(phone.number, 1))
        return phone

    def connect(self, phone: Phone, direction: str = "sendrecv", remote: tuple[str, int] | None = None) -> None:
        self.plane.send(protocol.ConnectLeg(
            phone.number, remote or phone.address, phone.rtcp.getsockname(), LOCAL, (PCMU,), PCMU, 101, False,
            direction))  # fmt: skip

    def tick(self) -> None:
        self.plane.tick(self.now)
        self.events += self.plane.take_events()
        self.now += TICK_SECONDS
        for phone in self.phones:
            phone.heard += [data for data in read_all(phone.rtp) if not 192 <= data[1] <= 223]

    def run(self, seconds: float, attack: int = 0, rtcp: bool = False) -> None:
        """attack: copies of each datagram, in every tick; rtcp: the same at the RTCP ports."""
        for _ in range(round(seconds / TICK_SECONDS)):
            for phone in self.phones:
                if phone.port:
                    phone.speak()
            if attack:
                self.strangers.attack(self.phones[0], attack)
            if rtcp:
                self.strangers.attack_rtcp(self.phones[0])
            self.tick()

    def listen(self, seconds: float, **attacks: int) -> None:
        """Run, and judge: everybody hears the other without a gap, and nobody the strangers."""
        for phone in self.phones:
            phone.heard.clear()
        self.run(seconds, **attacks)
        for phone, other in (self.phones, self.phones[::-1]):
            assert len(phone.heard) == round(seconds / TICK_SECONDS)
            levels = voice.frame_loudness(phone.sound(), other.pitch, 8000)
            assert int((levels < voice.GAP).sum()) == 0, f"phone {phone.number} misses frames"
            assert voice.loudness(phone.sound(), THEIR_TONE, 8000) < MINUS_50_DB
        assert self.strangers.received() == 0

    def close(self) -> None:
        self.plane.close()
        for one in [each for phone in self.phones for each in (phone.rtp, phone.rtcp)] + self.strangers.sockets:
            one.close()
