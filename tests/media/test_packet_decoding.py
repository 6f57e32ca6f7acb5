"""What an Opus leg says, through any packets: lost, long, short, bad, not sent, and not worth decoding."""

from collections.abc import Callable

import av
import numpy as np
import pytest

from sipconf.mixer.codecs.opus import OpusDecoder, OpusSettings
from tests.media.opus_row import SAMPLES, Row, loudness, packets, voice


def whole(payloads: list[bytes]) -> np.ndarray:
    """All packets by a decoder that misses none."""
    decoder, frames = OpusDecoder(), []
    for payload in payloads:
        frame = np.zeros(SAMPLES, np.float32)
        assert decoder.decode(np.frombuffer(payload, np.uint8).ctypes.data, len(payload), frame.ctypes.data, SAMPLES)
        frames.append(frame * 32768)
    return np.concatenate(frames)


def aligned(heard: np.ndarray, sent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both without the frames that the jitter buffer holds back."""
    for late in range(6):
        cut = heard[late * SAMPLES :]
        if np.abs(cut[4800:9600] - sent[4800:9600]).max() < 1:
            return cut, sent[: len(cut)]
    raise AssertionError("not the same sound")


def test_every_packet_is_heard_as_it_was_sent() -> None:
    sent = packets(voice(1.0), OpusSettings())
    heard, expected = aligned(Row().play(list(sent)), whole(sent))
    assert np.abs(heard[SAMPLES:] - expected[SAMPLES:]).max() < 0.01


@pytest.mark.parametrize("packet_ms", [10, 40, 60])
def test_packets_of_any_length_are_the_same_sound(packet_ms: int) -> None:
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format, encoder.bit_rate = 48000, "mono", "s16", 48000
    encoder.options = {"application": "voip", "frame_duration": str(packet_ms)}
    sound, size = voice(1.2), 48 * packet_ms
    row, heard, made = Row(), [], []
    for begin in range(0, len(sound), size):
        frame = av.AudioFrame.from_ndarray(np.rint(sound[begin : begin + size]).astype(np.int16)[None], layout="mono")
        frame.sample_rate, frame.pts = 48000, begin
        made += [bytes(packet) for packet in encoder.encode(frame)]
    sent = 0
    for tick in range(len(sound) // SAMPLES):
        while sent < len(made) and sent * size < (tick + 1) * SAMPLES:
            row.put(made[sent], at=48000 + sent * size)
            sent += 1
        heard.append(row.tick())
    decoder, expected = OpusDecoder(), []
    for payload in made:
        piece = np.zeros(size, np.float32)
        place = np.frombuffer(payload, np.uint8).ctypes.data
        assert decoder.decode(place, len(payload), piece.ctypes.data, size) == size
        expected.append(piece * 32768)
    found, wanted = aligned(np.concatenate(heard), np.concatenate(expected))
    assert np.abs(found[SAMPLES:] - wanted[SAMPLES:]).max() < 0.01


def errors(sent: list[bytes], loss: Callable[[int], bool], early: int) -> float:
    """How far what is heard is from what would be without loss; packets come so many frames early."""
    row, heard = Row(), []
    for number in range(len(sent)):
        for other in range(0 if number == 0 else number + early, number + early + 1):
            if other < len(sent) and not loss(other):
                row.put(sent[other], at=48000 + other * SAMPLES)
        heard.append(row.tick())
    found, expected = aligned(np.concatenate(heard), whole(sent))
    return loudness(found[20000:] - expected[20000:])


def test_what_a_packet_says_of_its_lost_predecessor_is_heard() -> None:
    sent = packets(voice(1.4), OpusSettings(), loss_class=2)
    without = packets(voice(1.4), OpusSettings(forward_error_correction=False), loss_class=2)
    told, made_up = (errors(made, lambda number: number > 20 and number % 5 == 0, early=2) for made in (sent, without))
    assert errors(sent, lambda number: False, early=2) < 0.1
    assert told < made_up / 2 and made_up > 100


def test_a_gap_fades_to_silence_and_then_costs_nothing() -> None:
    sent = packets(voice(2.0), OpusSettings())
    row = Row()
    heard = row.play([*sent[:50], *[None] * 20, *sent[70:]]).reshape(-1, SAMPLES)
    late = next(frame for frame in range(5) if loudness(heard[frame]) > 10)
    gap = heard[50 + late : 70 + late]
    assert loudness(gap[0]) > 1000 and not gap[6:18].any()
    assert [loudness(frame) for frame in gap[:6]] == sorted((loudness(frame) for frame in gap[:6]), reverse=True)
    steps = np.abs(np.diff(heard.reshape(-1)))
    assert steps[50 * SAMPLES : 72 * SAMPLES].max() < 1.5 * steps[20 * SAMPLES : 49 * SAMPLES].max()
    assert loudness(heard[71 + late :]) == pytest.approx(loudness(heard[20:49]), rel=0.3)


def test_silence_that_is_not_sent_is_no_loss_and_the_next_word_is_whole() -> None:
    sound = voice(3.0)
    sound[48000:96000] *= 0
    sent: list[bytes | None] = [
        payload or (b"\x78" if number % 20 == 0 else None)
        for number, payload in enumerate(packets(sound, OpusSettings(dtx=True)))
    ]
    assert sent.count(None) > 20
    row = Row()
    heard = row.play(sent)
    assert row.jitter.late[0] == row.jitter.malformed == 0
    word = slice(96000, 96000 + 48000 // 2)
    apart = [loudness(heard[word.start + 480 * k : word.stop + 480 * k] - sound[word]) for k in range(8)]
    late = int(np.argmin(apart))
    begin = heard[96000 + 480 * late + 400 :][:1920]
    assert loudness(begin) > 0.5 * loudness(sound[96400:98320])


@pytest.mark.parametrize("told", [True, False], ids=["level told", "marked as no voice"])
def test_a_row_that_is_silent_is_not_decoded_and_its_words_are_whole(told: bool) -> None:
    rng = np.random.default_rng(4)
    sound = np.concatenate([30 * rng.standard_normal(96000), voice(0.6), 30 * rng.standard_normal(96000)])
    sent = packets(sound, OpusSettings())
    levels = [min(127, round(-20 * np.log10(loudness(frame) / 32768))) for frame in sound.reshape(-1, SAMPLES)]
    row, plain = Row(), Row(listened=np.array([0]))
    heard = row.play(list(sent), levels if told else None).reshape(-1, SAMPLES)
    expected = plain.play(list(sent)).reshape(-1, SAMPLES)
    assert row.skipped > 120 and plain.skipped == 0
    # The quiet frames are in the noise all the same.
    assert 0.5 < row.levels.floor[0] / plain.levels.floor[0] < 2
    spoken = [number for number, frame in enumerate(expected) if loudness(frame) > 1000]
    first = spoken[0]
    assert loudness(heard[first] - expected[first]) < 0.1 * loudness(expected[first])
    assert loudness(heard[spoken] - expected[spoken]) < 0.05 * loudness(expected[spoken])
    assert loudness(heard[first - 1]) < 200


def test_what_is_wrongly_marked_as_no_voice_is_heard_after_a_fifth_of_a_second() -> None:
    rng = np.random.default_rng(5)
    rustle = packets(np.float64(1000) * rng.standard_normal(4 * 48000), OpusSettings())[-50:]
    marked = [payload for payload in rustle if payload[0] < 0x80 and payload[1] < 0x80]
    assert len(marked) > 30
    row = Row()
    heard = row.play(list(marked)).reshape(-1, SAMPLES)
    assert row.skipped > 0 and row.levels.talking[0]
    assert all(loudness(frame) > 100 for frame in heard[13:])


def test_who_is_listened_to_for_keys_is_decoded_all_the_same() -> None:
    sent = packets(voice(0.5, amplitude=20.0), OpusSettings())
    row = Row(listened=np.array([0]))
    row.play(list(sent), [127] * len(sent))
    assert row.skipped == 0


def test_no_octets_break_the_decoding() -> None:
    """Trust: any octets of any length, in any order of lengths, among good packets."""
    rng = np.random.default_rng(29)
    sent = packets(voice(1.0), OpusSettings())
    row = Row()
    for number in range(1500):
        size = int(rng.integers(1, 1276))
        row.put(sent[number % 50] if number % 7 == 0 else rng.integers(0, 256, size, np.uint8).tobytes())
        row.tick()
    assert row.jitter.malformed > 100
    heard = row.play([*sent, *sent])
    assert loudness(heard[-24000:]) == pytest.approx(loudness(whole([*sent, *sent])[-24000:]), rel=0.3)
