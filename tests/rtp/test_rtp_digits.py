"""Keys through the receive path, packet for packet from raw bytes: whatever is lost, each press counts exactly once."""

import random
import struct
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from sipconf.rtp.formats import lookup
from sipconf.rtp.packet import ROW, parse
from sipconf.rtp.packet_jitter import PacketJitter
from sipconf.rtp.streams import Streams
from sipconf.rtp.telephone_event import OVER_AFTER, EventReceiver
from tests.corpus.index import Row, rows
from tests.corpus.pcap import datagrams

HOME = ("192.0.2.1", 4000)
KEYS = "0123456789*#ABCD"
EVENT, AUDIO, SSRC = 101, 0, 0x1234


class Line:
    """One leg's receive path. say: packets into it (None: one is lost), 20 ms apart, and the digits that come out.
    jitter: of whole packets, where the leg has one."""

    def __init__(
        self, event_type: int | None = EVENT, audio: Sequence[int] = (AUDIO,), jitter: PacketJitter | None = None
    ) -> None:
        self.streams, self.events, self.now, self.jitter = Streams(1), EventReceiver(), 100.0, jitter
        rate = jitter.format.clock_rate if jitter else 8000
        self.streams.open(0)
        self.streams.connect(
            0, remote=HOME, signalling_host=HOME[0], clock_rate=rate, kinds=dict.fromkeys(audio, 0),
            telephone_event=event_type, remote_rtcp=None, now=self.now,
        )  # fmt: skip

    def say(self, packets: Sequence[bytes | None], gap: float = 0.02) -> str:
        heard = ""
        for data in packets:
            data = data or b""  # lost
            block = np.zeros((1, ROW), np.uint8)
            block[0, : len(data)] = np.frombuffer(data, np.uint8)
            slots, parsed = np.zeros(1, np.intp), parse(block, np.array([len(data)]))
            received = self.streams.receive(slots, parsed, self.now)
            if self.jitter is not None:
                for batch in received.batches:
                    self.jitter.put(slots, batch, block)
                if gap:
                    self.jitter.take(1)
            heard += "".join(d for _, d in self.events.receive(slots, received.events, parsed, block, self.now))
            self.now += gap
        return heard


class Handset:
    """Makes audio and presses of one stream. samples: of a frame, on the stream's clock."""

    def __init__(self, seed: int = 1, samples: int = 160, frame: bytes = bytes(160)) -> None:
        self.samples, self.frame = samples, frame
        rng = random.Random(seed)
        self.sequence, self.timestamp = rng.getrandbits(16), rng.getrandbits(32)

    def packet(self, payload_type: int, payload: bytes, timestamp: int) -> bytes:
        self.sequence += 1
        return struct.pack("!BBHII", 0x80, payload_type, self.sequence & 0xFFFF, timestamp & 0xFFFFFFFF, SSRC) + payload

    def audio(self, count: int) -> list[bytes]:
        made = []
        for _ in range(count):
            made.append(self.packet(AUDIO, self.frame, self.timestamp))
            self.timestamp += self.samples
        return made

    def press(self, key: str, packets: int = 5, event_type: int = EVENT, samples: int = 0) -> list[bytes]:
        """So many packets of 20 ms, and the last one twice more. samples: of 20 ms in durations, if not those of a
        frame."""
        code, begin, made, step = KEYS.index(key), self.timestamp, [], samples or self.samples
        for n in [*range(packets), packets - 1, packets - 1]:
            end = 0x80 if n == packets - 1 else 0
            made.append(self.packet(event_type, struct.pack("!BBH", code, end | 10, step * (n + 1)), begin))
        self.timestamp += self.samples * packets
        return made


def begun() -> tuple[Line, Handset]:
    """A stream that is believed."""
    line, handset = Line(), Handset()
    line.say(handset.audio(10))
    return line, handset


@pytest.mark.parametrize("lost", [0.0, 0.2])
def test_keys_of_a_browser_come_at_either_clock_and_delay_nothing(lost: float) -> None:
    """Opus at 48000, events at the same clock or with durations at 8000. The end packets that are said again count in
    the sequence and take no time."""
    rng, jitter = random.Random(4), PacketJitter(lookup("opus", 48000), 1)
    jitter.open(0)
    line, handset = Line(jitter=jitter), Handset(samples=960, frame=b"\x08" + bytes(30))
    line.say(handset.audio(300))
    before, heard = float(jitter.delay_ms(0)), ""
    for n, key in enumerate(KEYS + "1155##"):
        packets = handset.press(key, packets=rng.choice((5, 10, 60)), samples=(160, 960)[n % 2])
        heard += line.say([one if rng.random() >= lost else None for one in packets[:-2]])
        heard += line.say(packets[-2:], gap=0.0)
        heard += line.say(handset.audio(50))
    assert heard == KEYS + "1155##"
    assert float(jitter.delay_ms(0)) <= before + 1 and jitter.playout.grown[0] == 0
    assert jitter.playout.resynced[0] == 0 and jitter.late[0] == 0


@pytest.mark.parametrize("dropped", range(7))
def test_any_one_packet_of_every_press_may_be_lost(dropped: int) -> None:
    line, handset = begun()
    heard = ""
    for key in KEYS + "1155##":
        packets = handset.press(key)
        del packets[dropped]
        heard += line.say(packets) + line.say(handset.audio(3))
    assert heard == KEYS + "1155##"


def test_thirty_percent_of_all_packets_may_be_lost() -> None:
    """Four thousand presses in 40 streams: at least 99.9 % come through, and none twice."""
    right = wrong = 0
    for seed in range(40):
        rng = random.Random(seed)
        line, handset = Line(), Handset(seed)
        line.say(handset.audio(10))
        for _ in range(100):
            key = rng.choice(KEYS)
            packets = handset.press(key) + handset.audio(2)
            heard = line.say([packet for packet in packets if rng.random() >= 0.3])
            right += heard == key
            wrong += heard not in ("", key)
    assert wrong == 0 and right >= 0.999 * 4_000


@pytest.mark.parametrize("seed", range(20))
def test_loss_repetition_and_order_change_nothing(seed: int) -> None:
    rng = random.Random(seed)
    line, handset = begun()
    heard = ""
    for key in "4711*#0099":
        packets = [packet for packet in handset.press(key) for _ in range(rng.choice((1, 1, 2)))]
        keep = [packet for packet in packets if rng.random() < 0.8] or packets
        for _ in range(2):
            at = rng.randrange(len(keep))
            keep[at : at + 2] = keep[at : at + 2][::-1]
        heard += line.say(keep) + line.say(handset.audio(2))
    assert heard == "4711*#0099"


def test_lost_ends_leave_nothing_open() -> None:
    line, handset = begun()
    for _ in range(3):
        assert line.say(handset.press("1")[:2]) == "1"
        line.say(handset.audio(1))
    # A telephone whose clock stands still while nobody talks uses a timestamp again: the event before was over by time.
    handset.timestamp -= 160
    again = handset.press("1")
    handset.timestamp = again and handset.timestamp - 5 * 160
    assert line.say(again) == "1"
    line.now += OVER_AFTER + 0.1
    assert line.say(handset.press("1")) == "1"


def test_a_stuck_key_is_one_digit_however_long() -> None:
    """Five minutes in segments of 0xFFFF units, each with packets of its own (RFC 4733 section 2.5.1.3)."""
    line, handset = begun()
    begin, heard = handset.timestamp, ""
    for segment in range(37):
        if segment in (5, 6, 7):  # lost
            continue
        for n in range(8):
            payload = struct.pack("!BBH", 5, 10, min(8000 * (n + 1), 0xFFFF))
            handset.sequence += 0 if n else 40
            heard += line.say([handset.packet(EVENT, payload, begin + 0xFFFF * segment)], gap=1.0)
    assert heard == "5"
    handset.timestamp = begin + 37 * 0xFFFF + 1000
    assert line.say(handset.press("5")) == "5"


def test_events_under_a_payload_type_that_was_not_agreed_are_no_digits() -> None:
    line, handset = begun()
    before = int(line.streams.bad[0])
    assert line.say(handset.press("5", event_type=100)) == "" and line.streams.bad[0] == before + 7
    deaf = Line(event_type=None)
    handset = Handset()
    deaf.say(handset.audio(10))
    assert deaf.say(handset.press("5")) == ""


def test_a_stranger_in_the_same_stream_of_datagrams_presses_nothing() -> None:
    """An SSRC that has not proved itself, three packets at a time."""
    line, handset = begun()
    for _ in range(10):
        forged = [packet[:8] + b"evil" + packet[12:] for packet in Handset(7).press("9")[:3]]
        assert line.say(forged) == ""
        line.say(handset.audio(1))
    assert line.say(handset.press("1")) == "1"


# --- captures of real calls ------------------------------------------------------------------------------------------
CAPTURES = {"keys": "*12#", "dtmf_2833_4": "4", "ulaw-2013785496": "2013785496", "opus-2013785496": "2013785496"}
CAPTURED = [row for row in rows("rtp") if row.values[0] is None or row.values[0].name in CAPTURES]


def captured(row: Row) -> Iterator[bytes]:
    first = datagrams(row.data)[0].source
    return (each.payload for each in datagrams(row.data) if each.source == first)


def hear(packets: Sequence[bytes]) -> str:
    """What a leg in a call that has been going on hears: the stream has proved itself."""
    line = Line(audio=(0, 96))
    sequence, ssrc = int.from_bytes(packets[0][2:4]), packets[0][8:12]
    before = [struct.pack("!BBHI", 0x80, 0, (sequence - 20 + n) & 0xFFFF, 160 * n) + ssrc for n in range(10)]
    line.say([packet + bytes(160) for packet in before])
    return line.say(packets)


@pytest.mark.parametrize("row", CAPTURED)
def test_keys_of_a_capture(row: Row) -> None:
    """As it was, without any one of its event packets, and without 30 % of all its packets."""
    packets, expected = list(captured(row)), CAPTURES[row.name]
    assert hear(packets) == expected
    packets = [packet for n, packet in enumerate(packets) if packet[1] & 0x7F == EVENT or n % 10 == 0]
    for at, packet in enumerate(packets):
        if packet[1] & 0x7F == EVENT:
            assert hear(packets[:at] + packets[at + 1 :]) == expected
    missed = 0
    for seed in range(10):
        rng = random.Random(seed)
        heard = hear([packet for packet in packets if rng.random() >= 0.3])
        rest = iter(expected)
        assert all(digit in rest for digit in heard), "none too many, all in order"
        missed += len(expected) - len(heard)
    # A press of four packets, as one of the telephones sends it, is lost as a whole in 0.8 % of all cases.
    assert missed <= 0.03 * 10 * len(expected)
