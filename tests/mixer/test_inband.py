"""Presses keyed as tones: each is told once, whatever the line does to it, and nothing else is taken for one."""

from collections.abc import Sequence

import numpy as np
import pytest

from sipconf.mixer.codecs.catalogue import codec
from sipconf.mixer.edge.wavfile import SOUNDS, read_wav
from sipconf.mixer.inband import InbandDigits
from sipconf.mixer.resample import convert
from tests.mixer import keyed

FRAME = 160
Loss = np.ndarray | None


def heard(lines: Sequence[np.ndarray], strict: bool = False, law: str = "PCMU", lost: Loss = None) -> list[str]:
    """What is told of each line. lost: bool (lines, halves), those that do not come."""
    frames = max(map(len, lines)) // FRAME + 4
    sound = np.zeros((len(lines), frames * FRAME), np.float32)
    for row, line in enumerate(lines):
        sound[row, : len(line)] = line
    came = np.ones((len(lines), 2 * frames), np.uint8)
    if lost is not None:
        came[:, : lost.shape[1]] -= lost[:, : 2 * frames]
    coder, digits = codec(law, 8000), InbandDigits(8000)
    codes, pcm = np.zeros((len(lines), FRAME), np.uint8), np.zeros((len(lines), FRAME), np.float32)
    told = [""] * len(lines)
    for row in range(len(lines)):
        digits.listen(row, True, strict)
    for frame in range(frames):
        filled = came[:, 2 * frame : 2 * frame + 2]
        coder.encode(sound[:, frame * FRAME : (frame + 1) * FRAME].copy(), codes)
        codes.reshape(len(lines), 2, -1)[filled == 0] = coder.silence
        coder.decode(codes, pcm)
        for row, key in digits.hear(pcm, filled):
            told[row] += key
    return told


def one_key(key: str, ms: float, rng: np.random.Generator, before: int = 0) -> np.ndarray:
    """A key, after some samples of silence."""
    return np.concatenate([np.zeros(before), keyed.tone(key, ms, rng)])


@pytest.fixture(scope="module")
def sounds() -> list[np.ndarray]:
    """Our own prompts and music on hold, 8 kHz."""
    return [convert(pcm, rate, 8000) for rate, pcm in map(read_wav, sorted(SOUNDS.glob("*.wav")))]


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("law", ["PCMU", "PCMA"])
def test_no_digit_of_forty_milliseconds_is_lost(law: str, strict: bool) -> None:
    """At +-1.5 %, at every twist that Q.24 allows, down to -25 dBm0, in noise of 15 dB, at any alignment."""
    rng = np.random.default_rng(3)
    keys = ["".join(rng.choice(list(keyed.KEYS), 16)) for _ in range(40)]
    assert heard([keyed.line_of_keys(each, rng) for each in keys], strict, law) == keys


@pytest.mark.parametrize("strict", [False, True])
def test_what_is_too_far_off_or_too_short_is_no_digit(strict: bool) -> None:
    rng = np.random.default_rng(4)
    keys = keyed.KEYS * 2
    off = [keyed.line_of_keys(keys, rng, off=0.035) for _ in range(10)]
    short = [keyed.line_of_keys(keys, rng, ms=20, off=0) for _ in range(10)]
    assert heard(off + short, strict) == [""] * 20


@pytest.mark.parametrize("strict", [False, True])
def test_a_key_held_for_long_is_one_press(strict: bool) -> None:
    rng = np.random.default_rng(5)
    assert heard([one_key(key, 3000, rng, int(rng.integers(160))) for key in keyed.KEYS], strict) == list(keyed.KEYS)


def test_an_interruption_of_ten_milliseconds_is_bridged_and_a_pause_of_forty_is_not() -> None:
    rng = np.random.default_rng(6)
    bridged, apart = [], []
    for at in range(0, FRAME, 10):
        whole = keyed.tone("7", 180, rng)
        whole[720 + at : 720 + at + 80] = 0
        bridged.append(whole)
        apart.append(np.concatenate([one_key("7", 60, rng, at), one_key("7", 60, rng, 320)]))
    assert heard(bridged) == ["7"] * len(bridged)
    assert heard(apart) == ["77"] * len(apart)


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("lost_ms", [20, 40, 60])
def test_lost_packets_do_not_split_a_press(lost_ms: int, strict: bool) -> None:
    rng = np.random.default_rng(7)
    lines = [one_key("2", 300, rng, int(rng.integers(160))) for _ in range(12)]
    lost = np.zeros((12, 60), bool)
    for row in range(12):
        lost[row, 2 * row : 2 * row + lost_ms // 10] = True
    assert heard(lines, strict, lost=lost) == ["2"] * 12


def test_a_packet_lost_in_the_pause_does_not_join_two_presses() -> None:
    rng = np.random.default_rng(8)
    lines, lost = [], np.zeros((32, 60), bool)
    for row in range(32):
        before = int(rng.integers(160))
        lines.append(np.concatenate([one_key("5", 80, rng, before), one_key("5", 80, rng, 480)]))
        end = (before + 640) // 80
        lost[row, end // 2 * 2 + 2 : end // 2 * 2 + 4] = True
    assert heard(lines, lost=lost) == ["55"] * 32


@pytest.mark.parametrize("strict", [False, True])
def test_what_did_not_come_is_no_digit_whatever_is_played_for_it(strict: bool) -> None:
    rng = np.random.default_rng(16)
    digits, sound = InbandDigits(8000), keyed.tone("6", 400, rng).astype(np.float32)[None]
    digits.listen(0, True, strict)
    for filled in ((0, 0), (0, 1), (1, 0)):
        for at in range(0, 10 * FRAME, FRAME):
            assert digits.hear(sound[:, at : at + FRAME], np.array([filled], np.uint8)) == []
        for _ in range(3):
            assert digits.hear(np.zeros((1, FRAME), np.float32), np.ones((1, 2), np.uint8)) == []


def test_a_pause_with_a_voice_in_it_is_a_pause() -> None:
    rng = np.random.default_rng(17)
    at = 2 * np.pi * np.arange(400) / 8000
    voice = sum(6000 / k * np.sin(k * 140 * at) for k in range(1, 12))
    lines = [np.concatenate([one_key("3", 70, rng, begin), voice, one_key("3", 70, rng)]) for begin in range(0, 160, 8)]
    assert heard(lines) == ["33"] * len(lines)


def test_after_a_long_gap_the_same_digit_is_another_press() -> None:
    rng = np.random.default_rng(9)
    lost = np.zeros((1, 60), bool)
    lost[0, 10:30] = True
    assert heard([np.concatenate([one_key("9", 100, rng), one_key("9", 100, rng, 1600)])], lost=lost) == ["99"]


@pytest.mark.parametrize("strict", [False, True])
def test_speech_and_music_with_losses_hold_no_digit(sounds: list[np.ndarray], strict: bool) -> None:
    rng = np.random.default_rng(10)
    lost = np.repeat(rng.random((len(sounds), 2000)) < 0.1, 2, axis=1)
    assert heard(sounds, strict) == [""] * len(sounds)
    assert heard(sounds, strict, lost=lost) == [""] * len(sounds)


def test_in_a_room_a_moment_like_a_digit_within_a_voice_is_none() -> None:
    """Told in the prompt, where somebody is asked for digits; in a room it needs an end."""
    rng = np.random.default_rng(11)
    at = 2 * np.pi * np.arange(1200) / 8000
    voice = sum(3000 / k * np.sin(k * 130 * at) for k in range(1, 12))
    lines = [np.concatenate([voice[: 640 + at], keyed.tone("8", 34, rng), voice]) for at in range(0, 160, 10)]
    assert heard(lines).count("8") >= 12
    assert heard(lines, strict=True) == [""] * 16


def test_in_a_room_a_short_digit_is_known_by_its_end() -> None:
    rng = np.random.default_rng(12)
    lines = [one_key("0", 40, rng, at) for at in range(0, 160, 5)]
    assert heard(lines, strict=True) == ["0"] * len(lines)


@pytest.mark.parametrize("rate", [16000, 48000])
def test_wideband_legs_are_heard_too(rate: int) -> None:
    rng = np.random.default_rng(13)
    digits, told, samples = InbandDigits(rate), "", rate // 50
    digits.listen(0, True)
    parts = [np.concatenate([keyed.tone(key, 40, rng, rate=rate), np.zeros(rate // 25)]) for key in keyed.KEYS]
    sound = np.concatenate([np.zeros(rate // 30), *parts, np.zeros(4 * samples)]).astype(np.float32)
    for at in range(0, len(sound) - samples, samples):
        told += "".join(key for _, key in digits.hear(sound[None, at : at + samples], np.ones((1, 2), np.uint8)))
    assert told == keyed.KEYS


def test_many_legs_at_once_are_heard_as_each_alone() -> None:
    """Any keys, losses and noise; and rows that come and go do not disturb their neighbours."""
    rng = np.random.default_rng(14)
    keys = ["".join(rng.choice(list(keyed.KEYS), 8)) for _ in range(30)]
    lines = [keyed.line_of_keys(each, rng, ms=rng.uniform(20, 90), pause_ms=rng.uniform(15, 80),
                                snr_db=rng.uniform(5, 25)) for each in keys]  # fmt: skip
    lost = np.repeat(rng.random((30, 200)) < 0.1, 2, axis=1)
    for strict in (False, True):
        alone = [heard([line], strict, lost=lost[row : row + 1]) for row, line in enumerate(lines)]
        assert heard(lines, strict, lost=lost) == [told for (told,) in alone]


def test_only_rows_that_want_it_are_heard() -> None:
    rng = np.random.default_rng(15)
    digits = InbandDigits(8000)
    sound = np.array([keyed.tone(key, 500, rng) for key in "1234"], np.float32)
    filled = np.ones((4, 2), np.uint8)
    told: list[tuple[int, str]] = []

    def run(first: int) -> list[tuple[int, str]]:
        told.clear()
        for at in range(first, first + 800, FRAME):
            told.extend(digits.hear(sound[:, at : at + FRAME], filled))
        return sorted(told)

    digits.listen(2, True)
    assert run(0) == [(2, "3")]
    digits.listen(0, True, True)
    digits.listen(3, True)
    assert run(800) == [(0, "1"), (3, "4")], "the third is told already"
    digits.listen(2, False)
    digits.listen(3, False)
    assert run(1600) == []
    digits.listen(2, True)
    assert run(2400) == [(2, "3")], "a new leg in the row"
    digits.listen(1, True)
    digits.listen(1, False)
    assert digits.rows.tolist() == [0, 2]
