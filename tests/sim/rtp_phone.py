"""A telephone with both halves: SIP from raw text (raw_phone) and RTP from raw bytes; keys by RFC 4733, INFO or tones.

It says an amplitude-modulated tone of its own and keeps what it hears. No line of it is shared with what it tests.
"""

import re
import struct
from collections import deque
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from sipconf.sip.flow import Address, Flow
from tests.sim import voice
from tests.sim.raw_phone import RawPhone
from tests.sim.rtp_wire import RtpWire

PAYLOAD_TYPES = {("PCMU", 8000): 0, ("PCMA", 8000): 8, ("L16", 48000): 96, ("L16", 16000): 97, ("L16", 8000): 98}
TELEPHONE_EVENT = 101
KEYS = "0123456789*#ABCD"
KEY_HZ = dict(zip("123A456B789C*0#D", product((697, 770, 852, 941), (1209, 1336, 1477, 1633)), strict=True))
"""ITU-T Q.23."""
KEY_MS, PAUSE_MS = 80, 60
MEDIA_PORT = 4000
SENDING = ("sendrecv", "sendonly")


@dataclass(frozen=True, slots=True)
class Heard:
    """One RTP packet that came."""

    at: float
    sequence: int
    timestamp: int
    payload_type: int
    ssrc: int
    payload: bytes


class RtpPhone(RawPhone):
    """pitch: of its tone, a multiple of 50 Hz; ptime: milliseconds per packet. talks: False for a dead line.
    in_band: no telephone-event; keys are tones in the voice."""

    def __init__(
        self, address: Address, server: Address, name: str, password: str, seed: int, wire: RtpWire, *, pitch: int,
        encoding: str = "PCMU", rate: int = 8000, ptime: int = 20, in_band: bool = False,
    ) -> None:
        self.wire = wire
        self.pitch, self.encoding, self.rate, self.ptime = pitch, encoding, rate, ptime
        self.payload_type = PAYLOAD_TYPES[encoding, rate]
        self.media_address = (address[0], MEDIA_PORT)
        self.event_type = TELEPHONE_EVENT
        self.in_band = in_band
        self.listed: tuple[str, ...] = ()  # in front of what it speaks, as in rtpmap
        self.shown_host = address[0]    # in c=, "0.0.0.0" is the old way to hold
        self.mode = "sendrecv"
        self.talks = True
        self.packets: list[Heard] = []
        self.rtcp: list[bytes] = []
        self.remote_media: Address | None = None
        self.sdp_version = 0
        self._invites: dict[str, list[str]] = {}
        super().__init__(address, server, name, password, seed)

    def _reset(self) -> None:
        super()._reset()
        self._begin_media()

    def _begin_media(self) -> None:
        self.remote_media = None
        self._bodies_read = len(self.bodies)
        self._sequence = self._rng.getrandbits(16)
        self._timestamp = self._rng.getrandbits(32)
        self._ssrc = self._rng.getrandbits(32)
        self._said = 0
        self._next_at: float | None = None
        self._keys: deque[str] = deque()
        self._key: tuple[int, int, int] | None = None   # code, its timestamp, packets sent
        self._pause = 0

    # --- SIP ---------------------------------------------------------------------------------------------------------
    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        super().receive(data, flow, now)
        for body in self.bodies[self._bodies_read:]:
            self._read(body)
        self._bodies_read = len(self.bodies)

    def _read(self, body: str) -> None:
        if not body:
            return
        host = re.search(r"^c=IN IP4 (\S+)", body, re.MULTILINE).group(1)
        port, numbers = re.search(r"^m=audio (\d+) RTP/AVP ([\d ]+)", body, re.MULTILINE).groups()
        assert str(self.payload_type) in numbers.split(), body
        self.remote_media = (host, int(port))

    def _request(self, method: str, uri: str, now: float, **parts: str) -> None:
        super()._request(method, uri, now, **parts)
        if method == "INVITE":
            self._invites[self._invite_branch] = self._invite_text.split("\r\n")

    def _hear_response(self, status: int, fields: dict[str, list[str]], body: str, now: float) -> None:
        """What still comes for an earlier call must not be taken for this one's."""
        if fields["call-id"][0] == self.call_id:
            super()._hear_response(status, fields, body, now)
            return
        branch = re.search(r"branch=([^;,\s]+)", fields["via"][0]).group(1)
        number, method = fields["cseq"][0].split()
        if status >= 200:
            self._repeated.pop(f"{method} {branch}", None)
        if status >= 300 and method == "INVITE":
            self._send(self._ack_refusal(self._invites[branch], fields["to"][0], int(number)).encode())

    def _final_to_invite(self, status: int, number: int, branch: str, *rest: Any) -> None:
        self._old_invite = self._invites[branch]  # what an ACK of a refusal is made of
        super()._final_to_invite(status, number, branch, *rest)

    def _ring(self, fields: dict[str, list[str]], now: float) -> None:
        if "tag=" not in fields["to"][0]:
            offer = self.bodies[-1]
            self._begin_media()
            self._read(offer)
        super()._ring(fields, now)

    def sdp(self, mode: str | None = None) -> str:
        self.sdp_version += 1
        event_type = "" if self.in_band else f" {self.event_type}"
        events = (f"a=rtpmap:{self.event_type} telephone-event/8000\r\na=fmtp:{self.event_type} 0-15\r\n"
                  if event_type else "")
        listed = "".join(each.split()[0] + " " for each in self.listed)
        maps = "".join(f"a=rtpmap:{each}\r\n" for each in self.listed)
        return (
            f"v=0\r\no=- 7 {self.sdp_version} IN IP4 {self.address[0]}\r\ns=-\r\nc=IN IP4 {self.shown_host}\r\n"
            f"t=0 0\r\nm=audio {self.media_address[1]} RTP/AVP {listed}{self.payload_type}{event_type}\r\n"
            f"{maps}"
            f"a=rtpmap:{self.payload_type} {self.encoding}/{self.rate}\r\n"
            f"{events}a=ptime:{self.ptime}\r\na={mode or self.mode}\r\n"
        )

    def move_media(self, address: Address, encoding: str, event_type: int) -> None:
        """Another address, codec and payload type of digits from the next offer on."""
        self.media_address, self.shown_host = address, address[0]
        self.encoding, self.payload_type = encoding, PAYLOAD_TYPES[encoding, self.rate]
        self.event_type = event_type

    def reinvite(self, mode: str, now: float, *, offer: bool = True, host: str | None = None) -> None:
        """A new offer; offer=False asks for the server's. host: what c= shows."""
        self.mode, self.shown_host = mode, host or self.address[0]
        if offer:
            super().reinvite(mode, now)
            return
        self.cseq += 1
        self._reinviting = True
        self._offer = ""
        self._request("INVITE", self.target, now)

    # --- RTP, out ----------------------------------------------------------------------------------------------------
    def press(self, keys: str) -> None:
        """Keys one after the other, by RFC 4733 or as tones."""
        self._keys.extend(keys)

    @property
    def pressing(self) -> bool:
        """Some key is not yet said."""
        return bool(self._keys or self._key)

    def speak(self, now: float) -> None:
        """Send the packets that are due by now."""
        if not (self.in_call and self.talks and self.remote_media and self.mode in SENDING):
            self._next_at = None
            return
        if self._next_at is None:
            self._next_at = now
        while self._next_at <= now:
            self._speak_once(self._next_at)
            self._next_at += self.ptime / 1000

    def _speak_once(self, now: float) -> None:
        samples = self.rate * self.ptime // 1000
        if self._key is None and self._keys and self._pause <= 0:
            self._key = (KEYS.index(self._keys.popleft()), self._timestamp, 0)
        self._pause -= self.ptime
        if self._key is not None:
            self._say_key(now, samples)
        else:
            width = 2 if self.encoding == "L16" else 1
            tone = voice.endless_tone(self.pitch, self.encoding, self.rate)
            start = self._said * width % len(tone)
            payload = (tone + tone)[start : start + samples * width]
            self._packet(self.payload_type, payload, self._timestamp, now)
        self._said += samples
        self._timestamp += samples

    def _say_key(self, now: float, samples: int) -> None:
        code, timestamp, sent = self._key
        duration = samples * (sent + 1)
        over = self.ptime * (sent + 1) >= KEY_MS
        self._key = None if over else (code, timestamp, sent + 1)
        self._pause = PAUSE_MS if over else 0
        if self.in_band:
            width = 2 if self.encoding == "L16" else 1
            tone = voice.key_tone(*KEY_HZ[KEYS[code]], self.encoding, self.rate)
            self._packet(self.payload_type, tone[sent * samples * width :][: samples * width], self._timestamp, now)
            return
        for _ in range(3 if over else 1):  # RFC 4733 section 2.5.1.4: the last packet comes three times
            payload = struct.pack("!BBH", code, 0x80 * over | 10, min(duration, 0xFFFF))
            self._packet(self.event_type, payload, timestamp, now, marker=sent == 0)

    def _packet(self, payload_type: int, payload: bytes, timestamp: int, now: float, marker: bool = False) -> None:
        head = struct.pack("!BBHII", 0x80, marker << 7 | payload_type, self._sequence & 0xFFFF,
                           timestamp & 0xFFFFFFFF, self._ssrc)  # fmt: skip
        self._sequence += 1
        self.wire.throw(self.media_address, self.remote_media, head + payload, now)

    # --- RTP, in -----------------------------------------------------------------------------------------------------
    def listen(self) -> None:
        """Take what has come."""
        host, port = self.media_address
        for at, _, data in self.wire.inboxes.pop((host, port), ()):
            if 192 <= data[1] <= 223:
                self.rtcp.append(data)
                continue
            first, second, sequence, timestamp, ssrc = struct.unpack("!BBHII", data[:12])
            assert first == 0x80, "our phones read no extensions"
            self.packets.append(Heard(at, sequence, timestamp, second & 0x7F, ssrc, data[12:]))
        self.rtcp += [data for _, _, data in self.wire.inboxes.pop((host, port + 1), ())]

    def forget(self) -> None:
        """Judge only what comes from now on."""
        self.packets.clear()

    def sound(self) -> np.ndarray:
        """What was heard since `forget` (of the newest stream), by timestamp; gaps are zeros."""
        if not self.packets:
            return np.zeros(0)
        packets = [packet for packet in self.packets if packet.ssrc == self.packets[-1].ssrc]
        first = packets[0].timestamp
        places = [(((packet.timestamp - first + 2**31) % 2**32) - 2**31, packet) for packet in packets]
        earliest = min(place for place, _ in places)
        size = self.rate // 50
        stream = np.zeros(max(place for place, _ in places) - earliest + size)
        for place, packet in places:
            samples = voice.decode(packet.payload, self.encoding)
            assert len(samples) == size and packet.payload_type == self.payload_type
            stream[place - earliest : place - earliest + size] = samples
        return stream

    def loudness(self, pitch: int) -> float:
        """Mean amplitude of a tone in all that was heard since `forget`."""
        return voice.loudness(self.sound(), pitch, self.rate)

    def frames(self, pitch: int) -> np.ndarray:
        """Amplitude of a tone in every 20 ms since `forget`."""
        return voice.frame_loudness(self.sound(), pitch, self.rate)

    def hears(self, pitch: int) -> bool:
        """Whether a tone is there; doubt is a failure."""
        level = self.loudness(pitch)
        assert level > voice.HEARD or level < voice.NOTHING, f"{self.name}: {level:.0f} at {pitch} Hz, neither nor"
        return level > voice.HEARD

    def gaps(self, pitch: int) -> int:
        """Frames of 20 ms without the tone."""
        return int((self.frames(pitch) < voice.GAP).sum())

    def heard_clip(self, pitch: int) -> bool:
        """Whether a clip of this pitch was played since `forget`, at least a tenth of a second of it."""
        return bool(self.packets) and int((self.frames(pitch) > voice.HEARD).sum()) >= 5
