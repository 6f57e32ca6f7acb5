"""A telephone's media half in plain Python, for SIPp (which has no ears): sends mu-law RTP in real time, keys digits
(RFC 4733, or as tones), records what comes. Written from the standards (RFC 3550, RFC 4733, G.711, ITU-T Q.23) and
independent of the product."""

import random
import socket
import struct
import threading
import time

import numpy as np

FRAME = 160
KEYS = "0123456789*#ABCD"
PAD = ("123A", "456B", "789C", "*0#D")
LOW_HZ, HIGH_HZ = (697, 770, 852, 941), (1209, 1336, 1477, 1633)
SILENCE = 0xFF


def to_mu_law(samples: np.ndarray) -> bytes:
    """Float samples (full scale 1.0) as G.711 mu-law, by the segment formula of G.711."""
    magnitude = np.minimum(np.abs(np.round(samples * 32767)).astype(int), 32635) + 132
    segment = np.floor(np.log2(magnitude)).astype(int) - 7
    step = (magnitude >> (segment + 3)) & 15
    sign = np.where(samples < 0, 0x80, 0)
    return (~(sign | segment << 4 | step) & 0xFF).astype(np.uint8).tobytes()


def from_mu_law(codes: bytes) -> np.ndarray:
    """G.711 mu-law as float samples."""
    code = ~np.frombuffer(codes, np.uint8).astype(int) & 0xFF
    magnitude = (((code & 15) << 3) + 132 << (code >> 4 & 7)) - 132
    return np.where(code & 0x80, -magnitude, magnitude) / 32768


def key_sound(key: str) -> np.ndarray:
    """What a telephone says for a key: 100 ms of two tones at -13 dBFS each, then 100 ms of silence."""
    row = next(row for row, keys in enumerate(PAD) if key in keys)
    at = 2 * np.pi * np.arange(5 * FRAME) / 8000
    tones = np.sin(LOW_HZ[row] * at) + np.sin(HIGH_HZ[PAD[row].index(key)] * at)
    return np.concatenate([0.3 * tones, np.zeros(5 * FRAME)])


class RtpLine:
    """One RTP port that talks and listens in a thread until `stop`. in_band: keys are tones in the voice."""

    def __init__(
        self, port: int, samples: np.ndarray, address: str = "127.0.0.1", seed: int = 1, in_band: bool = False
    ) -> None:
        self.port = port
        self._in_band = in_band
        self._codes = to_mu_law(samples)
        self._random = random.Random(seed)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, port))
        self._socket.settimeout(0.002)
        self._peer: tuple[str, int] | None = None
        self._digits: list[str] = []
        self._tones: list[bytes] = []
        self._packets: dict[int, bytes] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self, peer: tuple[str, int]) -> None:
        """Begin to talk to peer and to listen."""
        self._peer = peer
        self._thread.start()

    def press(self, digits: str) -> None:
        """Key digits; they are sent one after the other, 100 ms each, 100 ms apart."""
        if self._in_band:
            codes = to_mu_law(np.concatenate([key_sound(digit) for digit in digits]))
            self._tones += [codes[at: at + FRAME] for at in range(0, len(codes), FRAME)]
        else:
            self._digits.extend(digits)

    def stop(self) -> None:
        """End the thread and close the port."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._socket.close()

    def heard(self) -> tuple[np.ndarray, int]:
        """What came, laid out by RTP timestamp (lost packets are silence): samples and rate."""
        packets = self._packets.copy()  # in one step, for the line's thread goes on filling it
        if not packets:
            return np.zeros(0), 8000
        first, last = min(packets), max(packets)
        out = np.zeros(last - first + FRAME)
        for at, payload in packets.items():
            piece = from_mu_law(payload)
            out[at - first: at - first + len(piece)] = piece[: len(out) - (at - first)]
        return out, 8000

    def _run(self) -> None:
        sequence, stamp = self._random.randrange(1 << 16), self._random.randrange(1 << 31)
        ssrc = self._random.randrange(1 << 32)
        started, frame, event = time.monotonic(), 0, None
        while not self._stop.is_set():
            due = started + frame * 0.02
            self._listen()  # also where we are late: on a busy machine this line would be deaf otherwise
            while time.monotonic() < due:
                self._listen()
            position = frame * FRAME % len(self._codes)
            if event is None and self._digits:
                event = (KEYS.index(self._digits.pop(0)), stamp, 0)
            if self._tones:
                body, kind, at = self._tones.pop(0), 0, stamp
            elif event is None:
                body, kind, at = self._codes[position: position + FRAME].ljust(FRAME, b"\xff"), 0, stamp
            else:
                code, at, count = event
                kind, end = 101, count >= 5
                body = struct.pack("!BBH", code, (0x80 if end else 0) | 10, min((count + 1), 6) * FRAME)
                marker = 0x80 if count == 0 else 0
                kind |= marker
                # Seven packets of the digit, the last three with the end bit, then four frames of voice as a gap.
                event = (code, at, count + 1) if count < 7 else None
            packet = struct.pack("!BBHII", 0x80, kind, sequence, at & 0xFFFFFFFF, ssrc) + body
            self._socket.sendto(packet, self._peer)
            sequence, stamp, frame = (sequence + 1) & 0xFFFF, stamp + FRAME, frame + 1

    def _listen(self) -> None:
        try:
            data = self._socket.recv(2048)
        except (TimeoutError, ConnectionRefusedError):
            return
        if len(data) < 12 or data[0] >> 6 != 2 or 192 <= data[1] <= 223:
            return
        stamp = struct.unpack_from("!I", data, 4)[0]
        self._packets[stamp] = data[12:]
