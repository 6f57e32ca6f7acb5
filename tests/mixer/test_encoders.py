"""Shared encoders: who is sent which, how many run, and that no receiver hears a change-over."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from sipconf.mixer.codecs.g722 import G722, G722Decoder
from sipconf.mixer.codecs.limiter import CEILING, limit, soft_limit
from sipconf.mixer.codecs.opus import LOSS_CLASSES, Opus, OpusDecoder, OpusSettings, to_int16_scale
from sipconf.mixer.encoders import ALIKE_FRAMES, LOSS_BOUNDS, Encoders
from sipconf.mixer.legs import NOWHERE

SECOND = 50


@dataclass
class Shared:
    """What Encoders ask of a Share: room 0 is the first common frame, silence the last."""

    own: np.ndarray
    slots: np.ndarray
    common: np.ndarray
    numbers: np.ndarray = field(default_factory=lambda: np.array([0, NOWHERE]))


class Receivers:
    """A bank's encoders and the decoder of each of its rows."""

    def __init__(self, codec: Opus | G722, rows: int) -> None:
        self.codec, self.encoders = codec, Encoders(codec)
        self.decoders = [OpusDecoder() if isinstance(codec, Opus) else G722Decoder() for _ in range(rows)]
        for row in range(rows):
            self.encoders.add(row)
        self.rooms = np.zeros(rows, np.int64)
        self.sending = np.ones(rows, bool)
        self.payload = np.zeros((rows, codec.frame_bytes), np.uint8)
        self.lengths = np.zeros(rows, np.int64)
        self.at = 0
        self._share = Shared(np.zeros(0, np.intp), np.zeros(0, np.int64), np.zeros((0, 0), np.float32))

    def tone(self, pitch: float, amplitude: float = 8000.0) -> np.ndarray:
        at = (self.at * self.codec.samples + np.arange(self.codec.samples)) / self.codec.clock_rate
        return (amplitude * np.sin(2 * np.pi * pitch * at)).astype(np.float32)

    def run(self, own: dict[int, np.ndarray], common: np.ndarray) -> np.ndarray:
        """A frame, of what everybody in room 0 hears and some hear instead: what all receivers play."""
        rows = np.array(sorted(own), np.intp)
        slots = np.where(self.rooms >= 0, 0, 1)
        if not np.array_equal(self._share.own, rows) or not np.array_equal(self._share.slots, slots):
            self._share = Shared(rows, slots, common)
        self._share.common = np.stack([common, np.zeros_like(common)])
        pcm = np.full((len(self.rooms), self.codec.samples), np.nan, np.float32)
        for row, frame in own.items():
            pcm[row] = frame
        self.encoders.run(pcm, self._share, self.sending, self.payload, self.lengths)  # type: ignore[arg-type]
        self.at += 1
        played = np.zeros_like(pcm)
        for row, decoder in enumerate(self.decoders):
            if not self.sending[row]:
                continue
            if isinstance(decoder, OpusDecoder):
                place = self.payload.ctypes.data + row * self.payload.strides[0]
                samples = decoder.decode(place, int(self.lengths[row]), played[row].ctypes.data, self.codec.samples)
                assert samples == self.codec.samples
            else:
                decoder.decode(self.payload[row], played[row])
        if isinstance(self.codec, Opus):
            to_int16_scale(played)
        return played


@pytest.mark.parametrize("codec", [Opus(OpusSettings()), G722()], ids=["opus", "g722"])
def test_no_receiver_notices_that_his_encoder_is_another(codec: Opus | G722) -> None:
    """Row 1 talks and hears something else in the meantime; row 0 only listens."""
    receivers, talking, cycle = Receivers(codec, 2), 15, 45
    played = []
    for frame in range(6 * cycle):
        tone, other = receivers.tone(440.0), receivers.tone(440.0) * 0.5 + receivers.tone(700.0, 4000.0)
        talks = {1: other} if frame % cycle < talking else {}
        played.append(receivers.run(talks, tone))
    sound = np.stack(played).reshape(6, cycle, 2, -1)[2:]
    listener, talker = sound[:, :, 0], sound[:, :, 1]
    loudness = np.sqrt((listener**2).mean())
    apart = np.sqrt(((talker - listener) ** 2).mean(axis=2)) / loudness
    assert apart[:, :talking].min() > 0.1
    changed = talking + ALIKE_FRAMES
    assert apart[:, changed - 1].max() < 0.02 + apart[:, changed - 2].max()
    assert apart[:, changed:].max() < 0.02


def test_an_own_encoder_of_opus_goes_on_exactly_where_the_shared_one_was() -> None:
    receivers = Receivers(Opus(OpusSettings()), 2)
    for frame in range(SECOND):
        tone = receivers.tone(300.0 + 10 * frame)
        receivers.run({}, tone)
    tone = receivers.tone(777.0)
    receivers.run({1: tone}, tone)
    assert receivers.lengths[0] == receivers.lengths[1] > 20
    assert np.array_equal(receivers.payload[0], receivers.payload[1])


def test_only_talkers_and_one_for_all_the_others_are_encoded() -> None:
    receivers = Receivers(Opus(OpusSettings()), 40)
    quiet = receivers.tone(440.0)
    for _ in range(ALIKE_FRAMES + 2):
        receivers.run({}, quiet)
    assert len(receivers.encoders._plan.encoders) == 1
    talkers = {row: receivers.tone(500.0 + row) for row in (3, 7)}
    receivers.run(talkers, quiet)
    assert len(receivers.encoders._plan.encoders) == 3
    for _ in range(ALIKE_FRAMES):
        receivers.run({}, quiet)
    assert len(receivers.encoders._plan.encoders) == 3
    receivers.run({}, quiet)
    assert len(receivers.encoders._plan.encoders) == 1
    everyone = {row: receivers.tone(500.0 + row) for row in range(40)}
    receivers.run(everyone, quiet)
    assert len(receivers.encoders._plan.encoders) == 40  # and none for a frame that nobody hears
    receivers.sending[:] = False
    receivers.run({}, quiet)
    assert not (receivers.encoders._plan.encoders or receivers.encoders._own or receivers.encoders._shared)


def test_rooms_and_receivers_that_lose_much_have_encoders_of_their_own() -> None:
    receivers = Receivers(Opus(OpusSettings()), 6)
    receivers.rooms[:] = [0, 0, 0, 0, -1, -1]
    tone = receivers.tone(440.0)
    for row in (2, 3):
        receivers.encoders.lose(row, 0.2)
    for _ in range(ALIKE_FRAMES + 2):
        receivers.run({}, tone)
    assert len(receivers.encoders._plan.encoders) == 3
    assert receivers.encoders.loss_class.tolist()[:6] == [0, 0, 2, 2, 0, 0]
    assert not np.array_equal(receivers.payload[0], receivers.payload[2])
    assert np.array_equal(receivers.payload[2], receivers.payload[3])
    for row in (2, 3, 4, 5):
        receivers.encoders.remove(row)
        receivers.sending[row] = False
    receivers.run({}, tone)
    assert len(receivers.encoders._plan.encoders) == 1


def test_a_loss_class_is_kept_until_the_loss_is_half_of_what_began_it() -> None:
    encoders = Encoders(Opus(OpusSettings()))
    encoders.add(0)
    seen = []
    for fraction in (0.0, 0.019, 0.021, 0.011, 0.0099, 0.11, 0.06, 0.049, 0.5, 0.0):
        encoders.lose(0, fraction)
        seen.append(int(encoders.loss_class[0]))
    assert seen == [0, 0, 1, 1, 0, 2, 2, 1, 2, 0]
    assert len(LOSS_BOUNDS) + 1 == len(LOSS_CLASSES)


def test_frames_are_limited_as_tables_are() -> None:
    frames = np.random.default_rng(3).normal(0, 25000, (9, 320)).astype(np.float32)
    frames[4] *= 0.1
    frames[5, 0] = -1e6
    expected = soft_limit(frames)
    limit(frames)
    assert np.abs(frames - expected).max() < 0.02 and np.abs(frames).max() <= CEILING
    limit(np.zeros((0, 320), np.float32))


def test_what_is_too_loud_is_bent_not_broken() -> None:
    for codec in (Opus(OpusSettings(bit_rate=64000)), G722()):
        receivers = Receivers(codec, 1)
        frames = [receivers.run({}, receivers.tone(440.0, 90000.0)) for _ in range(SECOND)]
        sound = np.concatenate(frames, axis=1)[0]
        assert np.abs(sound).max() <= 32768 and np.sqrt((sound**2).mean()) > 20000
