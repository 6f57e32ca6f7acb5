"""Who hears whom: a tone for each leg, rooms of mixed rates, ramps, and a twin of plain loops."""

import numpy as np
import pytest

from sipconf.errors import MisuseError
from sipconf.mixer.legs import NOWHERE, MixBank
from sipconf.mixer.mix import Mixer
from tests.mixer.tones import modulated_tone, tone_level_db

SECONDS = 1.2
SETTLED = 0.2


def build(*layout: tuple[int, list[int | None]]) -> tuple[Mixer, list[MixBank]]:
    mixer, banks = Mixer(), []
    for rate, rooms in layout:
        bank = MixBank(rate)
        for row, room in enumerate(rooms):
            bank.add(row)
            bank.place(row, room)
        mixer.add_bank(bank)
        banks.append(bank)
    return mixer, banks


def run(mixer, banks, voices, each_frame=lambda frame: None):
    """voices[b]: float32 (rows, samples of the whole run). Answers what each bank's rows heard, same shapes."""
    frames = voices[0].shape[1] // banks[0].samples
    heard = [np.zeros_like(voice) for voice in voices]
    for frame in range(frames):
        each_frame(frame)
        parts = [slice(frame * bank.samples, (frame + 1) * bank.samples) for bank in banks]
        pcm = [voice[:, part].copy() for voice, part in zip(voices, parts, strict=True)]
        for out, part, block in zip(heard, parts, mixer.mix(pcm), strict=True):
            out[:, part] = block
    return heard


def tones(rate, frequencies, level_db=-20.0):
    return np.stack([modulated_tone(f, rate, SECONDS, level_db) for f in frequencies])


def test_a_room_of_three_rates_hears_everyone_but_oneself():
    frequencies = ([500.0, 700.0], [1100.0, 1300.0], [1700.0, 1900.0])
    mixer, banks = build((8000, [1, 1]), (16000, [1, 1]), (48000, [1, 1]))
    voices = [tones(bank.clock_rate, f) for bank, f in zip(banks, frequencies, strict=True)]
    heard = run(mixer, banks, voices)
    for b, bank in enumerate(banks):
        for row in range(2):
            signal = heard[b][row, int(SETTLED * bank.clock_rate) :]
            for c in range(3):
                for other in range(2):
                    level = tone_level_db(signal, frequencies[c][other], bank.clock_rate)
                    if (b, row) == (c, other):
                        assert level < -20 - 50
                    else:
                        assert level == pytest.approx(-20, abs=0.5)


def test_what_a_narrow_leg_cannot_carry_does_not_fold_back():
    for rate, tone in ((16000, 4600.0), (48000, 5500.0), (48000, 9000.0), (48000, 20000.0)):
        mixer, banks = build((8000, [1]), (rate, [1]))
        heard = run(mixer, banks, [tones(8000, [300.0]) * 0, tones(rate, [tone], -10.0)])
        residue = heard[0][0, 1600:]
        assert 10 * np.log10((residue**2).mean() / 32768**2 + 1e-12) < -10 - 50


def test_rooms_do_not_hear_each_other_and_nowhere_is_silent():
    mixer, banks = build((8000, [7, 7, 9, 9, None]), (16000, [9]))
    heard = run(mixer, banks, [tones(8000, [500, 700, 900, 1100, 1300]), tones(16000, [1500])])
    assert tone_level_db(heard[0][0, 1600:], 700, 8000) == pytest.approx(-20, abs=0.5)
    assert tone_level_db(heard[0][2, 1600:], 1500, 8000) == pytest.approx(-20, abs=0.5)
    for foreign in (900, 1100, 1300, 1500):
        assert tone_level_db(heard[0][0, 1600:], foreign, 8000) < -75
    assert not heard[0][4].any()
    assert tone_level_db(heard[1][0, 3200:], 1300, 16000) < -75


@pytest.mark.parametrize("rates", [(8000, 8000), (8000, 16000), (48000, 16000)])
def test_frames_join_without_a_step(rates):
    """A tone's second difference is bounded; a step at a frame's edge would stand out."""
    mixer, banks = build((rates[0], [1]), (rates[1], [1]))
    voices = [np.zeros((1, int(SECONDS * rates[0])), np.float32), tones(rates[1], [440])]
    heard = run(mixer, banks, voices)[0][0, int(SETTLED * rates[0]) :]
    bend = np.abs(np.diff(heard, 2))
    assert bend.max() < 1.3 * (2 * np.pi * 440 / rates[0]) ** 2 * np.abs(heard).max()


def test_muting_ramps_and_nobody_ever_hears_oneself():
    mixer, banks = build((8000, [1, 1]), (16000, [1]))
    voices = [tones(8000, [440, 1000]), np.zeros((1, int(SECONDS * 16000)), np.float32)]
    changes = {20: True, 40: False, 45: True, 46: False}

    def change(frame):
        if frame in changes:
            banks[0].mute(0, changes[frame])

    heard = run(mixer, banks, voices, change)
    other = heard[0][1]
    assert np.abs(other[21 * 160 : 40 * 160]).max() == 0  # muted: gone after one frame
    assert np.abs(heard[0][0] - voices[0][1])[160:].max() < 1  # and still hears all of the other, none of itself
    assert np.abs(np.diff(other, 2)).max() < 1.3 * (2 * np.pi * 440 / 8000) ** 2 * np.abs(voices[0][0]).max()
    assert np.abs(heard[1][0, 16000:]).max() > 1000


def test_joining_leaving_and_changing_rooms_ramp():
    mixer, banks = build((8000, [1, 1, 2]))
    voices = [tones(8000, [300, 440, 520])]
    places = {10: (0, None), 20: (0, 2), 30: (0, 1), 40: (1, None), 41: (1, 1)}
    heard = run(mixer, banks, voices, lambda f: banks[0].place(*places[f]) if f in places else None)[0]
    for row, tone in enumerate((520, 300, 300)):
        assert np.abs(np.diff(heard[row], 2)).max() < 2 * (2 * np.pi * tone / 8000) ** 2 * 6000
    assert not heard[0, 11 * 160 : 20 * 160].any()
    assert tone_level_db(heard[0, 21 * 160 : 30 * 160], 520, 8000) > -25
    assert tone_level_db(heard[0, 21 * 160 : 30 * 160], 300, 8000) < -70
    assert banks[0].room[0] != NOWHERE


def test_a_leg_that_comes_and_goes_before_a_frame_leaves_no_trace():
    mixer, banks = build((8000, [1, 1]))
    banks[0].place(0, None)
    mixer.mix([np.ones((2, 160), np.float32)])
    assert banks[0].room[0] == NOWHERE
    banks[0].remove(0)
    banks[0].remove(1)
    assert banks[0].size == 0
    assert mixer.mix([]) == []
    banks[0].add(0)
    with pytest.raises(MisuseError):
        banks[0].add(0)
    with pytest.raises(MisuseError):
        banks[0].mute(1, True)


def test_closed_gates_add_nothing_and_still_hear():
    mixer, banks = build((8000, [1, 1, 1]))
    pcm = np.full((3, 160), 100, np.float32)
    mixer.mix([pcm.copy()])
    banks[0].open_gates(np.array([True, False, False]))
    mixer.mix([pcm.copy()])
    assert [int(row[5]) for row in mixer.mix([pcm.copy()])[0]] == [0, 100, 100]


def test_an_opening_gate_lets_a_word_begin_at_once_and_a_closing_one_fades():
    mixer, banks = build((8000, [1, 1]))
    pcm = np.full((2, 160), 100, np.float32)
    mixer.mix([pcm.copy()])
    banks[0].open_gates(np.array([False, True]))
    closing = mixer.mix([pcm.copy()])[0][1].copy()
    banks[0].open_gates(np.array([True, True]))
    opening = mixer.mix([pcm.copy()])[0][1].copy()
    assert (np.diff(closing) < 0).all() and closing[0] > 99 and closing[-1] == 0
    assert opening[0] == 5 and (np.diff(opening[:20]) > 0).all() and (opening[20:] == 100).all()


def test_a_gain_ramps_and_what_was_added_is_what_is_subtracted():
    mixer, banks = build((8000, [1, 1, 1]))
    pcm = np.full((3, 160), 100, np.float32)
    mixer.mix([pcm.copy()])
    banks[0].set_gains(np.array([2.0, 1.0, 0.5], np.float32))
    moving = mixer.mix([pcm.copy()])[0][1].copy()
    assert np.allclose(moving, 200 + 50 * np.arange(1, 161) / 160, atol=0.01)
    assert [int(row[80]) for row in mixer.mix([pcm.copy()])[0]] == [150, 250, 300]
    banks[0].open_gates(np.array([False, True, True]))
    mixer.mix([pcm.copy()])
    assert [int(row[80]) for row in mixer.mix([pcm.copy()])[0]] == [150, 50, 100]


def test_the_sums_are_those_of_plain_loops():
    random = np.random.default_rng(11)
    for matched in (0, 0.05, 0.5, 1, 1, 1):
        n, rooms = int(random.integers(1, 700)), int(random.integers(1, 30))
        places = [int(r) if r < rooms else None for r in random.integers(0, rooms + 2, n)]
        half = n // 2
        mixer, banks = build((8000, places[:half]), (8000, places[half:]))
        muted = [bool(m) for m in random.random(n) < 0.2]
        gain = np.where(random.random(n) < matched, random.choice([0.25, 2.0, 4.0], n), 1.0).astype(np.float32)
        banks[0].set_gains(gain[:half])
        banks[1].set_gains(gain[half:])
        for leg in range(n):
            (banks[0] if leg < half else banks[1]).mute(leg if leg < half else leg - half, muted[leg])
        pcm = random.integers(-20000, 20000, (n, 160)).astype(np.float32)
        for _ in range(3):
            heard = np.concatenate(mixer.mix([pcm[:half].copy(), pcm[half:].copy()]))
        for leg in range(0, n, max(1, n // 12)):
            others = [k for k in range(n) if k != leg and places[k] == places[leg] and not muted[k]]
            twin = (pcm[others] * gain[others, None]).astype(np.float64).sum(axis=0)
            twin = twin if places[leg] is not None else np.zeros(160)
            assert np.allclose(heard[leg], twin, atol=2, rtol=1e-5)


def test_membership_changes_keep_the_other_rooms_histories():
    """While legs of another room come and go, a bridged room hears an unbroken tone."""
    mixer, banks = build((8000, [5, 9, 9]), (16000, [5]))
    voices = [np.zeros((3, int(SECONDS * 8000)), np.float32), tones(16000, [440])]
    heard = run(mixer, banks, voices, lambda f: banks[0].place(1, None if f % 7 else 3))[0][0, 1600:]
    assert np.abs(np.diff(heard, 2)).max() < 1.3 * (2 * np.pi * 440 / 8000) ** 2 * np.abs(heard).max()
