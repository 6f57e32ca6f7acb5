"""A plane behind a shared port on loopback, and browsers of raw sockets: checks by aioice, ciphers by pylibsrtp.

Nothing of ours is used on their side. Nothing is sent but to loopback.
"""

import random
import socket
import struct

import numpy as np
from aioice import stun
from pylibsrtp import Error, Policy, Session

from sipconf.media import protocol
from sipconf.media.plane import TICK_SECONDS, MediaPlane, PlaneSettings
from sipconf.mixer.prompts import ClipLibrary
from sipconf.rtp.edge.binding import bind_shared, enlarge_buffer
from sipconf.rtp.edge.carrier import Carrier
from sipconf.rtp.edge.ports import Ports
from sipconf.rtp.edge.shared_port import SharedPort
from sipconf.rtp.srtp import SrtpColumns
from sipconf.rtp.streams import Streams
from tests.media.loopback import LOCAL, PCMU, open_socket, read_all
from tests.sim import voice

FIRST, LAST = 28_840, 28_879
PROFILE = "AES_CM_128_HMAC_SHA1_80"
EVENTS = 101


def check(username: str, password: str, nominate: bool = True, priority: int = 1000) -> bytes:
    """A binding request."""
    message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    message.attributes["USERNAME"] = username
    message.attributes["PRIORITY"] = priority
    message.attributes["ICE-CONTROLLING"] = 7
    if nominate:
        message.attributes["USE-CANDIDATE"] = None
    message.add_message_integrity(password.encode())
    message.add_fingerprint()
    return bytes(message)


class Browser:
    """One peer: an address, credentials, keys, a tone. heard: RTP in the clear; rtcp: RTCP in the clear; raw: all other
    datagrams; clear: those that could not be decrypted."""

    def __init__(self, number: int, pitch: int, port: int, rng: random.Random) -> None:
        self.number, self.pitch, self.port = number, pitch, port
        self.socket = open_socket()
        self.ours, self.password, self.theirs = f"ufrag{number}", f"password-of-{number}-0000000000", f"peer{number}"
        self.keys = protocol.SrtpKeys(PROFILE, rng.randbytes(30), rng.randbytes(30))
        self.ssrc, self.sequence, self.timestamp = 0x2000 + number, 50 * number, 0
        self.talks = self.checks = True
        self.heard: list[bytes] = []
        self.rtcp: list[bytes] = []
        self.answers: list[bytes] = []
        self.others: list[bytes] = []
        self._tone = voice.endless_tone(pitch, "PCMU", 8000)
        self.start_sessions(self.keys)

    def start_sessions(self, keys: protocol.SrtpKeys) -> None:
        """Encrypt with these keys, which are seen from the server."""
        self.keys = keys
        self.outbound = Session(Policy(keys.rx, Policy.SSRC_ANY_OUTBOUND))
        self.inbound = Session(Policy(keys.tx, Policy.SSRC_ANY_INBOUND))

    @property
    def address(self) -> tuple[str, int]:
        return self.socket.getsockname()

    @property
    def terms(self) -> protocol.WebRtcTerms:
        return protocol.WebRtcTerms(protocol.IceCredentials(self.ours, self.password), self.theirs, "server", ())

    def send(self, data: bytes) -> None:
        self.socket.sendto(data, (LOCAL, self.port))

    def check(self, nominate: bool = True) -> None:
        self.send(check(f"{self.ours}:{self.theirs}", self.password, nominate))

    def packet(self) -> bytes:
        """The next one of its tone, in the clear."""
        start = self.timestamp % len(self._tone)
        payload = (self._tone * 2)[start : start + 160]
        head = struct.pack("!BBHII", 0x80, 0, self.sequence & 0xFFFF, self.timestamp, self.ssrc)
        self.sequence += 1
        self.timestamp += 160
        return head + payload

    def speak(self) -> bytes:
        """Send the next packet; as it was sent."""
        data = self.outbound.protect(self.packet())
        self.send(data)
        return data

    def listen(self) -> None:
        for data in read_all(self.socket):
            if data[0] < 4:
                self.answers.append(data)
            elif data[0] >> 6 != 2:
                self.others.append(data)
            elif 192 <= data[1] <= 223:
                self.rtcp.append(self.inbound.unprotect_rtcp(data))
            else:
                try:
                    self.heard.append(self.inbound.unprotect(data))
                except Error:
                    self.others.append(data)

    def sound(self) -> np.ndarray:
        return np.concatenate([voice.decode(packet[12:], "PCMU") for packet in self.heard])


class Rig:
    """A plane whose shared port is the first of its range, or in one-port mode all of it, and browsers in one room."""

    def __init__(self, browsers: int = 0, one_port: bool = False, silence_timeout: float = 1e9) -> None:
        self.rng = random.Random(11)
        self.srtp = SrtpColumns()
        self.streams = Streams(is_authentic=self.srtp.is_authentic)
        self.srtp.on_failure = self.streams.note_stranger
        bound = bind_shared(FIRST)
        enlarge_buffer(bound)
        self.shared = SharedPort(bound, self.streams)
        ports = None if one_port else Ports(FIRST + 1, LAST, self.rng, self.streams, srtp=self.srtp)
        self.carrier = Carrier(ports, self.shared, self.srtp)
        settings = PlaneSettings(silence_timeout, one_port=one_port)
        self.plane = MediaPlane(self.carrier, self.streams, ClipLibrary({}), settings, self.rng)
        self.now = 100.0
        self.browsers: list[Browser] = []
        self._strangers: list[socket.socket] = []
        self.events: list[protocol.Event] = []
        for number in range(browsers):
            self.join(number, 400 + 150 * number)

    def join(self, number: int, pitch: int) -> Browser:
        """A browser calls, checks, has keys, and is in the room."""
        browser = Browser(number, pitch, FIRST, self.rng)
        self.open(browser)
        self.connect(browser)
        browser.check()
        self.run(1)
        self.plane.send(protocol.SecureLeg(number, browser.keys))
        self.plane.send(protocol.PlaceLeg(number, 1))
        self.browsers.append(browser)
        return browser

    def open(self, browser: Browser) -> None:
        self.plane.send(
            protocol.OpenLeg(browser.number, LOCAL, "us@conf", None, browser.terms.ice, own_ports=False)
        )

    def connect(self, browser: Browser, direction: str = "sendrecv") -> None:
        self.plane.send(
            protocol.ConnectLeg(
                browser.number, browser.address, None, LOCAL, (PCMU,), PCMU, EVENTS, True, direction,
                webrtc=browser.terms,
            )  # fmt: skip
        )

    def run(self, ticks: int = 1) -> list[protocol.Event]:
        """So many ticks; what happened in them."""
        events: list[protocol.Event] = []
        for _ in range(ticks):
            for browser in self.browsers:
                if browser.talks:
                    browser.speak()
                if browser.checks and int(self.now / TICK_SECONDS) % 25 == 0:
                    browser.check()
            self.now += TICK_SECONDS
            self.plane.tick(self.now)
            events += self.plane.take_events()
            for browser in self.browsers:
                browser.listen()
        self.events += events
        return events

    def stranger(self, host: str = LOCAL) -> socket.socket:
        """A socket of nobody's."""
        one = open_socket(host)
        self._strangers.append(one)
        return one

    def close(self) -> None:
        self.plane.close()
        for one in [browser.socket for browser in self.browsers] + self._strangers:
            one.close()


def of_kind(events: list[protocol.Event], kind: type) -> list:
    return [event for event in events if isinstance(event, kind)]
