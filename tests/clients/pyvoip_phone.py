"""pyVoIP as a telephone: an independent SIP and RTP stack in Python, in this process, with threads of its own."""

import struct
import threading
import time

import numpy as np
from pyVoIP.VoIP import CallState, VoIPPhone

from tests.clients.telephones import Telephone, free_port, wait_for
from tests.clients.tones import voice


class PyVoip(Telephone):
    """pyVoIP 1.6.8. Its audio is unsigned 8 bit at 8 kHz; it keys no digits by itself, so they are written through
    its RTP client's socket."""

    phone: VoIPPhone | None = None

    def start(self) -> None:
        """Start the stack; it registers by itself."""
        rtp = free_port()
        self.phone = VoIPPhone(self.server[0], self.server[1], self.extension, self.password, myIP="127.0.0.1",
                               sipPort=free_port(), rtpPortLow=rtp, rtpPortHigh=rtp + 20)
        self.phone.start()
        self._stopping = threading.Event()
        self._pieces: list[bytes] = []
        self._threads: list[threading.Thread] = []

    def wait_registered(self) -> None:
        """Wait until the registrar has said yes."""
        wait_for("pyVoIP to register", lambda: "REGISTERED" in str(self.phone.get_status()))

    def call(self, number: str) -> None:
        """Dial, wait for the answer, then talk and listen."""
        self.active = self.phone.call(number)
        wait_for(f"pyVoIP to be answered by {number}", lambda: self.active.state == CallState.ANSWERED)
        self._threads = [threading.Thread(target=self._talk), threading.Thread(target=self._listen)]
        for thread in self._threads:
            thread.start()

    @property
    def ended(self) -> bool:
        """True once the other end has hung up."""
        return self.active.state == CallState.ENDED

    def press(self, digits: str) -> None:
        """Key digits (RFC 4733) with sequence numbers of their own block, through its RTP socket."""
        client = self.active.RTPClients[0]
        for digit in digits:
            stamp = client.outTimestamp & 0xFFFFFFFF
            for count in range(7):
                body = struct.pack("!BBH", "0123456789*#".index(digit), (0x80 if count >= 4 else 0) | 10,
                                   160 * (min(count, 4) + 1))
                kind = 101 | (0x80 if count == 0 else 0)
                header = struct.pack("!BBHII", 0x80, kind, client.outSequence & 0xFFFF, stamp, client.outSSRC)
                client.outSequence += 1
                client.sout.sendto(header + body, (client.outIP, client.outPort))
                time.sleep(0.02)
            time.sleep(0.1)

    def hang_up(self) -> None:
        """End the call."""
        self.active.hangup()

    def stop(self) -> None:
        if self.phone is None:
            return
        self._stopping.set()
        for thread in self._threads:
            thread.join(5)
        self.phone.stop()

    def heard(self) -> tuple[np.ndarray, int]:
        return (np.frombuffer(b"".join(self._pieces), np.uint8).astype(float) - 128) / 128, 8000

    def _talk(self) -> None:
        tone = (voice(self.tone_hz, 1.0) * 127 + 128).astype(np.uint8).tobytes()
        written, began = 0, time.monotonic()
        while not self._stopping.is_set() and self.active.state == CallState.ANSWERED:
            # A quarter of a second ahead of time: its buffer plays silence when it runs dry.
            while written < (time.monotonic() - began + 0.25) * 8000:
                self.active.write_audio(tone[written % 8000: written % 8000 + 800])
                written += 800
            time.sleep(0.02)

    def _listen(self) -> None:
        while not self._stopping.is_set() and self.active.state == CallState.ANSWERED:
            piece = self.active.read_audio(160, blocking=True)
            self._pieces.append(piece)
