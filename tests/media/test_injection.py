"""Strangers at the RTP ports of running calls, over real sockets on loopback and in counted time.

RTP bleed and injection: they send to every port of the range before, during and after the telephones prove themselves.
They are to get nothing, not to be heard, and to cost the call nothing. Floods are bounded: a few hundred datagrams in
each of some ticks.
"""

import contextlib
import random
import socket
import struct
from collections.abc import Iterator

import numpy as np
import pytest

from sipconf.media import protocol
from sipconf.media.plane import TICK_SECONDS, MediaPlane, PlaneSettings
from sipconf.mixer.prompts import ClipLibrary
from sipconf.rtp.edge.ports import Ports
from sipconf.rtp.streams import Streams
from tests.sim import voice

LOCAL = "127.0.0.1"
ELSEWHERE = "127.0.0.66"
FIRST, LAST = 42800, 42819
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
        self.plane = MediaPlane(self.ports, self.streams, ClipLibrary({}), settings, rng)
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


@pytest.fixture
def rig() -> Iterator[Rig]:
    built = Rig()
    yield built
    built.plane.close()
    for one in [each for phone in built.phones for each in (phone.rtp, phone.rtcp)] + built.strangers.sockets:
        one.close()


def talking(rig: Rig, attack: int = 0) -> list[Phone]:
    """Two people in a call."""
    phones = [rig.phone(450), rig.phone(650)]
    for phone in phones:
        rig.connect(phone)
    rig.run(1.5, attack=attack)
    return phones


def test_strangers_after_the_call_is_up(rig: Rig) -> None:
    talking(rig)
    rig.listen(1.0, attack=10)
    rig.listen(1.0, attack=10, rtcp=True)
    assert all(rig.streams.started[:2])


def test_strangers_before_and_while_the_telephones_prove_themselves(rig: Rig) -> None:
    phones = [rig.phone(450), rig.phone(650)]
    for phone in phones:
        rig.connect(phone)
        phone.talks = False
    rig.run(0.3, attack=10)
    assert rig.strangers.received() == 0 and not any(rig.streams.started[:2])
    for phone in phones:
        phone.talks = True
    rig.run(0.5, attack=10)
    assert [rig.streams.latched(slot) for slot in range(2)] == [phone.address for phone in phones]
    rig.run(0.6, attack=10)
    rig.listen(1.0, attack=10)
    assert int(rig.streams.strangers[:2].min()) > 100


def test_strangers_elsewhere_while_a_telephone_is_silent_from_the_beginning(rig: Rig) -> None:
    """Nobody of another host is believed, however long the telephone keeps them waiting."""
    phones = [rig.phone(450), rig.phone(650)]
    for phone in phones:
        rig.connect(phone)
        phone.talks = False
    rig.strangers.neighbours = False
    rig.run(5.0, attack=4)
    assert not any(rig.streams.started[:2]) and rig.strangers.received() == 0
    for phone in phones:
        phone.talks = True
    rig.run(1.0, attack=4)
    rig.listen(1.0, attack=4)


def test_strangers_around_a_hold(rig: Rig) -> None:
    first, _ = talking(rig)
    for direction in ("recvonly", "sendrecv"):
        rig.connect(first, direction)
        rig.run(0.4, attack=10)
        assert rig.strangers.received() == 0
    rig.run(1.0, attack=10)
    rig.listen(1.0, attack=10)


def test_strangers_while_a_telephone_says_nothing_for_half_a_minute(rig: Rig) -> None:
    first, second = talking(rig)
    first.talks = False
    rig.run(29.0)
    first.heard.clear()
    second.heard.clear()
    rig.run(1.0, attack=10, rtcp=True)
    assert voice.loudness(second.sound(), THEIR_TONE, 8000) < MINUS_50_DB
    assert len(first.heard) == 50 and rig.strangers.received() == 0, "it still hears the other"
    first.talks = True
    rig.run(0.5, attack=10)
    rig.listen(1.0, attack=10)


def test_strangers_when_new_signalling_finds_the_telephone_silent(rig: Rig) -> None:
    """A re-INVITE of a telephone that says nothing opens the question again; who answers it is still the telephone."""
    first, _ = talking(rig)
    first.talks = False
    rig.run(2.0)
    rig.connect(first)
    rig.run(0.4, attack=10)
    assert rig.strangers.received() == 0 and not rig.streams.started[0]
    first.talks = True
    rig.run(1.5, attack=10)
    assert rig.streams.latched(0) == first.address
    rig.listen(1.0, attack=10)


def test_rtcp_of_strangers_is_counted_and_changes_nothing(rig: Rig) -> None:
    first, _ = talking(rig)
    report = b"\x80\xc9\x00\x01" + struct.pack("!I", first.ssrc)
    first.rtcp.sendto(report, (LOCAL, first.port + 1))
    rig.run(0.1)
    before = int(rig.streams.strangers[0])
    rig.listen(1.0, rtcp=True)
    assert rig.streams.strangers[0] > before + 100 and rig.streams.started[0]
    read_all(first.rtcp)
    rig.listen(15.0)
    assert len(read_all(first.rtcp)) >= 2, "our reports still go to the telephone"


@pytest.mark.parametrize("other", ["itself", "another leg", "its control port"])
def test_legs_are_not_fed_by_each_other(rig: Rig, other: str) -> None:
    """c= and m= may name one of our own ports: nothing is sent there."""
    first, second = talking(rig)
    third = rig.phone(850)
    target = {"itself": third.port, "another leg": second.port, "its control port": second.port + 1}[other]
    third.talks = False
    rig.connect(third, remote=(LOCAL, target))
    rig.run(1.0)
    assert rig.streams.latched(2) is None and int(rig.streams.strangers.sum() + rig.streams.bad.sum()) == 0
    rig.phones.remove(third)
    rig.listen(0.5)
    third.rtp.close(), third.rtcp.close()


@pytest.mark.parametrize("remote", [("239.1.2.3", 5004), ("255.255.255.255", 5004), ("0.0.0.0", 5004), ("::1", 5004)])
def test_nothing_is_sent_to_groups_or_everybody(rig: Rig, remote: tuple[str, int]) -> None:
    phone = rig.phone(450)
    phone.talks = False
    rig.connect(phone, remote=remote)
    rig.run(0.5)
    assert rig.ports.send_errors == 0 and phone.heard == []
