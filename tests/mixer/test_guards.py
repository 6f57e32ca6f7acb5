"""Music on hold and echoes are found and let go, people are not: a quick part of benchmarks/bench_guards.py."""

import numpy as np
import pytest

from sipconf.mixer.echo import find_echo
from sipconf.mixer.edge.wavfile import load_sounds
from sipconf.mixer.guards import ECHO, HOLD_MUSIC, SEATS, Guards
from sipconf.mixer.levels import Levels
from sipconf.mixer.repetition import find_repetition
from sipconf.mixer.resample import convert
from sipconf.mixer.tonality import SCORE, score, spectra

RATE, FRAME = 8000, 160


@pytest.fixture(scope="module")
def clips():
    return {name: convert(pcm, rate, RATE) for name, (rate, pcm) in load_sounds().clips.items()}


@pytest.fixture(scope="module")
def speech(clips):
    """Two voices, half a minute of each: the prompts, and the same in another order, higher and faster."""
    parts = [pcm for name, pcm in clips.items() if "tone" not in name and name != "music"]
    low = np.concatenate([np.concatenate([pcm, np.zeros(2400, np.float32)]) for pcm in parts])
    high = convert(np.concatenate(parts[::-1]), 9600, RATE)
    return low[: 30 * RATE], np.resize(high, 30 * RATE)


@pytest.fixture(scope="module")
def music(clips):
    return np.tile(clips["music"], 2)[: 25 * RATE]


def watch(said, sent=None, rate=RATE, after=lambda frame, guards: None):
    """(seconds, row, reason) of what is found in sounds (rows, samples)."""
    said = np.atleast_2d(said)
    sent = np.zeros_like(said) if sent is None else np.atleast_2d(sent)
    levels = Levels()
    guards = Guards(levels, rate)
    for row in range(len(said)):
        levels.add(row)
        guards.watch(row, True)
    found, samples = [], rate // 50
    for frame in range(said.shape[1] // samples):
        part = slice(frame * samples, (frame + 1) * samples)
        pcm = np.ascontiguousarray(said[:, part], np.float32)
        levels.hear(pcm)
        guards.hear(pcm)
        if guards.busy:
            heard = sent[guards.rows, part].astype(np.float32)
            found += [(frame / 50, row, reason) for row, reason in guards.listen(heard)]
        after(frame, guards)
    return found


def late(sound, seconds, loudness=1.0):
    gap = np.zeros(int(seconds * RATE), np.float32)
    return np.concatenate([gap, sound])[: len(sound)] * np.float32(loudness)


def test_music_is_found_within_10_s_and_heard_again_soon_after_its_end(music, speech):
    found = watch(np.concatenate([music, np.zeros(5 * RATE), speech[0]]))
    assert [(row, reason) for _, row, reason in found] == [(0, HOLD_MUSIC), (0, None)]
    assert found[0][0] < 10 and 25 < found[1][0] < 30


def test_music_that_gives_way_to_a_person_gives_way_at_once(music, speech):
    found = watch(np.concatenate([music, speech[1]]))
    assert [reason for _, _, reason in found] == [HOLD_MUSIC, None] and found[1][0] < 29


@pytest.mark.parametrize("rate", [16000, 48000])
def test_music_is_found_at_other_clock_rates(music, rate):
    found = watch(convert(music[: 12 * RATE], RATE, rate), rate=rate)
    assert [reason for _, _, reason in found] == [HOLD_MUSIC]


def test_people_who_talk_all_the_time_or_take_turns_are_left_alone(speech):
    one, other = speech
    turns = (np.arange(len(one)) // (4 * RATE) % 2).astype(np.float32)
    said = np.stack([one, other, one * turns, other * (1 - turns)])
    sent = np.stack([other, one, other * (1 - turns), one * turns])
    assert watch(said, sent) == []


def test_a_line_of_a_song_is_left_alone(music, speech):
    assert watch(np.concatenate([speech[0][: 10 * RATE], music[: 4 * RATE], speech[0][10 * RATE :]])) == []


@pytest.mark.parametrize(("delay", "loudness"), [(0.06, 1.0), (0.2, 0.2), (0.45, 0.06)])
def test_an_echo_is_found_and_the_leg_is_heard_when_it_speaks_itself(speech, delay, loudness):
    other, own = speech[0][: 15 * RATE], speech[1][: 10 * RATE]
    sent = np.concatenate([other, np.zeros_like(own)])
    found = watch(np.concatenate([late(other, delay, loudness), own]), sent)
    assert [reason for _, _, reason in found] == [ECHO, None]
    assert found[0][0] < 10 and 15 < found[1][0] < 19


def test_an_echo_that_stops_while_the_others_go_on_is_over(speech):
    other = speech[0]
    echo = late(other, 0.2)
    echo[15 * RATE :] = 0
    found = watch(echo, other)
    assert [reason for _, _, reason in found] == [ECHO, None] and found[1][0] < 20


def test_an_announcement_over_and_over_is_found_and_over_when_somebody_speaks(clips, speech):
    once = np.concatenate([clips["wait-for-administrator"], clips["not-available"], np.zeros(3333, np.float32)])
    found = watch(np.concatenate([np.resize(once, 40 * RATE), speech[1]]))
    assert [reason for _, _, reason in found] == [HOLD_MUSIC, None]
    assert found[0][0] < 25 + len(once) / RATE and 40 < found[1][0] < 58


def test_who_says_one_word_now_and_then_is_left_alone(speech):
    word = np.concatenate([speech[0][2 * RATE : int(2.5 * RATE)], np.zeros(int(6.5 * RATE), np.float32)])
    assert watch(np.resize(word, 60 * RATE)) == []


def test_a_repetition_is_found_where_it_is_and_fresh_words_are_none():
    random = np.random.default_rng(4)
    course = (-55 + 35 * np.repeat(random.random(600), 5)).astype(np.float32)
    assert find_repetition(course, 3000).alike < 0.7
    course[-900:] = course[-2100:-1200]
    lag, alike = find_repetition(course, 3000)
    assert lag == 1200 and alike > 0.99
    assert find_repetition(course, 600).alike == 0 and find_repetition(np.full(3000, -30, np.float32), 3000).alike == 0


def test_nobody_is_watched_who_is_not_to_be_and_what_was_found_is_forgotten(music):
    def unwatch(frame, guards):
        if frame == 9 * 50:
            guards.watch(0, False)

    assert [reason for _, _, reason in watch(music, after=unwatch)] == [HOLD_MUSIC]


def test_music_is_found_among_more_talkers_than_there_are_seats(music, speech):
    rows = [np.roll(speech[k % 2], 7919 * k) for k in range(2 * SEATS)]
    found = watch(np.stack([*rows, 2 * np.resize(music, len(rows[0]))]))
    assert [(row, reason) for _, row, reason in found] == [(2 * SEATS, HOLD_MUSIC)] and found[0][0] < 20


def test_the_delay_of_an_echo_is_measured_and_two_voices_have_none(speech):
    heard, other = (sound[: 20 * RATE].reshape(-1, 2).mean(axis=1) for sound in speech)
    sent = heard[4000:10000]
    for delay_ms in (20, 137, 500):
        echo = find_echo(heard[6000 - 4 * delay_ms : 10000 - 4 * delay_ms] * 0.3, sent)
        assert echo.lag_ms == delay_ms and echo.strength > 20 and echo.share > 0.95
    for first in range(0, 60000, 4000):
        assert find_echo(other[first : first + 4000], sent).share < 0.3


def test_the_score_is_that_of_plain_loops():
    random = np.random.default_rng(2)
    alike, power = random.random((3, 20)).astype(np.float32), (10 ** random.uniform(-4, 0, (3, 20))).astype(np.float32)
    extremes = np.sort(10 ** random.uniform(-3, 0, (3, 10, 2)), axis=2).astype(np.float32)
    for row, value in enumerate(score(alike, power, extremes)):
        loud = [k for k in range(20) if power[row, k] > 1e-3 * max(power[row])]
        held = sum(alike[row, k] > 0.8 for k in loud) / max(len(loud), 10)
        usual = sorted(extremes[row, :, 1])[8]
        dips = sum(extremes[row, k, 0] < usual * 10**-1.5 for k in range(10)) / 10
        assert value == pytest.approx(held - 0.5 * dips, abs=1e-6)


def test_a_held_tone_is_alike_and_noise_is_not():
    at = np.arange(480) / RATE
    tones = np.stack([np.sin(2 * np.pi * 440 * (at + shift)) for shift in (0, 0.1)]).astype(np.float32)
    hiss = np.random.default_rng(1).standard_normal((2, 480)).astype(np.float32)
    for sound, least, most in ((tones, 0.95, 1.01), (hiss, -1, 0.5)):
        shapes, _ = spectra(sound)
        assert least < float(shapes[0] @ shapes[1]) < most
    assert SCORE > 0
