"""The media half of `sipconf call`: one RTP leg that says a sound file, keys digits and keeps what it hears.

One leg of the same floors that the plane is made of (rtp, mixer), ticked every 20 ms. No SIP.
"""

import random
from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sipconf.media.protocol import ConnectLeg, RtpFormat
from sipconf.media.transport import Transport
from sipconf.mixer.codecs.catalogue import codec
from sipconf.rtp import formats, packet, telephone_event
from sipconf.rtp.jitter import JitterBank
from sipconf.rtp.streams import Streams
from sipconf.rtp.transmit import Sender

SLOT = 0
ROW = np.zeros(1, np.int64)
PAUSE_FRAMES = 50
"""What a comma among the keys waits: a second."""
GAP_FRAMES = 5
KEY_FRAMES = 6


class Handset:
    """One RTP port, one peer. `tick` every 20 ms; samples are float32 at int16 scale, at the format's clock rate."""

    def __init__(self, streams: Streams, ports: Transport, address: str, rng: random.Random) -> None:
        """Bind a port on the address; ports judge their senders by streams. Raises SipconfError when there is none."""
        self._rng = rng
        self._streams = streams
        self._ports = ports
        self._streams.open(SLOT)
        self.port = self._ports.open(SLOT, address)
        self.connected = False
        self._keys: deque[str] = deque()
        self._event: deque[bytes] = deque()
        self._quiet_frames = 0
        self._said: NDArray[np.float32] = np.zeros(0, np.float32)
        self._position = 0
        self.heard: list[NDArray[np.float32]] = []

    def connect(self, agreed: ConnectLeg, now: float) -> None:
        """Take what SDP has agreed."""
        chosen = agreed.tx_format
        self.format = formats.lookup(chosen.encoding, chosen.clock_rate)
        self._codec = codec(chosen.encoding, chosen.clock_rate)
        self._telephone_event = agreed.telephone_event
        restart = self._streams.connect(
            SLOT, remote=agreed.remote, signalling_host=agreed.signalling_host, clock_rate=chosen.clock_rate,
            kinds={each.payload_type: 0 for each in agreed.rx_formats if _name(each) == _name(chosen)},
            telephone_event=agreed.telephone_event, remote_rtcp=agreed.remote_rtcp, now=now)
        self._ports.connect(SLOT, agreed.remote, agreed.remote_rtcp, agreed.rtcp_mux, restart)
        self._jitter = JitterBank(self.format, 1)
        self._sender = Sender(self.format, 1)
        self._jitter.open(0)
        self._sender.open(0, payload_type=chosen.payload_type, sequence=self._rng.getrandbits(16),
                          timestamp=self._rng.getrandbits(32), ssrc=self._rng.getrandbits(32))
        self._frame = np.zeros((1, self.format.samples), np.float32)
        self._codes = np.zeros((1, self.format.frame_bytes), np.uint8)
        self.connected = True

    def say(self, samples: NDArray[np.float32]) -> None:
        """Say these samples once, then silence."""
        self._said, self._position = samples, 0

    def press(self, keys: str) -> None:
        """Press keys one after the other; a comma waits a second."""
        self._keys.extend(keys)

    @property
    def pressing(self) -> bool:
        """True while keys are still being pressed."""
        return bool(self._keys or self._event or self._quiet_frames)

    def tick(self, now: float) -> None:
        """Hear what has come, say the next frame."""
        slots, block, lengths, _ = self._ports.drain(now).in_line()
        if len(slots):
            received = self._streams.receive(slots, packet.parse(block, lengths), now)
            for batch in received.batches:
                self._jitter.put(np.zeros(len(batch.slots), np.int64), batch, block)
        taken = self._jitter.take(1)
        self._codec.decode(taken.codes, self._frame)
        self.heard.append(self._frame[0].copy())
        self._ports.send([SLOT], [self._next_packet()])

    def close(self) -> None:
        """Free the port."""
        self._ports.close_all()

    def counters(self) -> dict[str, float]:
        """What the summary shows."""
        slots: Sequence[int] = [SLOT]
        lost = int(self._streams.lost(np.asarray(slots))[0])
        return {"received": int(self._streams.received[SLOT]), "lost": lost,
                "jitter_ms": float(self._streams.jitter.milliseconds(np.asarray(slots))[0])}

    def _next_packet(self) -> memoryview:
        if self._quiet_frames:
            self._quiet_frames -= 1
        elif not self._event and self._keys:
            self._begin_key(self._keys.popleft())
        piece = self._said[self._position: self._position + self.format.samples]
        self._position += self.format.samples
        frame = np.zeros((1, self.format.samples), np.float32)
        frame[0, : len(piece)] = piece
        self._codec.encode(frame, self._codes)
        self._sender.packetise(self._codes, np.ones(1, bool))
        (voice,) = self._sender.packets_of(np.zeros(1, np.intp))
        if not self._event:
            return voice
        # The event takes the voice's place and its sequence number (RFC 4733 section 2.5.1.2).
        event = bytearray(self._event.popleft())
        event[2:4] = voice[2:4]
        if not self._event:
            self._quiet_frames = GAP_FRAMES
        return memoryview(event)

    def _begin_key(self, key: str) -> None:
        if key == ",":
            self._quiet_frames = PAUSE_FRAMES
        elif self._telephone_event is not None:
            self._event.extend(telephone_event.digit_packets(
                key, payload_type=self._telephone_event, sequence=0,
                timestamp=int(self._sender.timestamp[0]), ssrc=int(self._sender.ssrc[0]),
                duration_ms=KEY_FRAMES * 20, clock_rate=self.format.clock_rate))


def _name(format: RtpFormat) -> tuple[str, int]:
    return format.encoding, format.clock_rate
