"""Telephones that speak of SRTP and browsers, as far as SIP goes: from raw text, and no packet of media."""

import base64
import re

from sipconf.media import protocol
from sipconf.sip.flow import Address
from tests.sim.house import SERVER, House
from tests.sim.raw_phone import RawPhone

SHARED_PORT = 10000
KEY_OCTETS = {"AES_CM_128_HMAC_SHA1_80": 30, "AES_CM_128_HMAC_SHA1_32": 30, "AEAD_AES_128_GCM": 28,
              "AEAD_AES_256_GCM": 44}
CRYPTO = re.compile(r"^a=crypto:(\d+) (\w+) inline:(\S+)\r$", re.MULTILINE)


def keys_in(body: str) -> dict[str, tuple[int, bytes]]:
    """Suite -> tag and key of every a=crypto line."""
    return {suite: (int(tag), base64.b64decode(key)) for tag, suite, key in CRYPTO.findall(body)}


def value(body: str, name: str) -> str:
    """The one value of an attribute."""
    (found,) = re.findall(rf"^a={name}:(.*)\r$", body, re.MULTILINE)
    return found


class SdesPhone(RawPhone):
    """suite: the only one that it knows; None: it knows no SRTP, and refuses what asks for it. profile: of its offers.
    lists_keys: its offers have a=crypto."""

    def __init__(self, *where: object, suite: str | None = "AES_CM_128_HMAC_SHA1_80", transport: str = "tls") -> None:
        super().__init__(*where)  # type: ignore[arg-type]
        self.transport = transport
        self.suite = suite
        self.profile = "RTP/AVP" if suite is None else "RTP/SAVP"
        self.lists_keys = suite is not None
        self.key = self.new_key()

    def new_key(self) -> bytes:
        return self._rng.randbytes(KEY_OCTETS[self.suite or "AES_CM_128_HMAC_SHA1_80"])

    def _ring(self, fields: dict[str, list[str]], now: float) -> None:
        self.final_status = 488 if self.suite is None and "SAVP" in self.bodies[-1] else 200
        super()._ring(fields, now)

    def sdp(self, mode: str = "sendrecv") -> str:
        host, tag = self.address[0], 1
        if self.log and self.log[-1] == "INVITE":  # theirs waits for an answer
            tag, _ = keys_in(self.bodies[-1]).get(self.suite, (1, b""))
        key = base64.b64encode(self.key).decode()
        line = f"a=crypto:{tag} {self.suite} inline:{key}|2^31\r\n" if self.lists_keys else ""
        return (f"v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
                f"m=audio 4000 {self.profile} 0\r\n{line}a={mode}\r\n")


class Browser(RawPhone):
    """What SIP.js sends for Chromium. fingerprint: of its certificate."""

    transport = "ws"

    def __init__(self, *where: object) -> None:
        super().__init__(*where)  # type: ignore[arg-type]
        self.fingerprint = ":".join(["AB"] * 32)
        self.restart_ice()

    def restart_ice(self) -> None:
        self.ufrag = f"{self._rng.getrandbits(32):08x}"
        self.ice_password = f"{self._rng.getrandbits(128):032x}"

    def sdp(self, mode: str = "sendrecv") -> str:
        asked = self.log and self.log[-1] == "INVITE" or self.in_call and not self._offer
        setup = "active" if asked else "actpass"
        return (
            "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n"
            "m=audio 9 UDP/TLS/RTP/SAVPF 0 8 126\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\n"
            "a=candidate:1 1 udp 2122260223 f00d.local 40000 typ host\r\n"
            f"a=ice-ufrag:{self.ufrag}\r\na=ice-pwd:{self.ice_password}\r\na=fingerprint:sha-256 {self.fingerprint}\r\n"
            f"a=setup:{setup}\r\na=mid:0\r\na=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n"
            f"a={mode}\r\na=rtcp-mux\r\na=rtpmap:126 telephone-event/8000\r\n"
        )


class SecureHouse(House):
    """A house whose media plane is told of keys and browsers; what it is told is kept."""

    def __init__(self, *conferences: object, **traits: object) -> None:
        self.commands: list[protocol.Command] = []
        super().__init__(*conferences, **traits)  # type: ignore[arg-type]

    def send(self, command: protocol.Command) -> None:
        self.commands.append(command)
        super().send(command)

    def take_events(self) -> list[protocol.Event]:
        """A plane without a socket for browsers: here it has one."""
        ice = {each.leg for each in self.told(protocol.OpenLeg) if each.ice is not None}
        return [protocol.LegOpened(each.leg, each.port, SHARED_PORT)
                if isinstance(each, protocol.LegOpened) and each.leg in ice else each
                for each in super().take_events()]

    def told(self, kind: type, leg: int | None = None) -> list:
        """Commands of a kind, oldest first; of one leg, or all."""
        return [each for each in self.commands if isinstance(each, kind) and leg in (None, each.leg)]

    def guest(self, kind: type[RawPhone], name: str, **traits: object) -> RawPhone:
        """A telephone at an address of its own."""
        self._guests_here = getattr(self, "_guests_here", 0) + 1
        address: Address = (f"198.51.100.{100 + self._guests_here}", 5062)
        phone = kind(address, SERVER, name, f"secret-{name}", self._guests_here, **traits)
        self.network.attach(address, phone)
        return phone
