"""Slips: against a plain loop, by how much they move, and by what is heard of them."""

import numpy as np
import pytest

from benchmarks.lines import roughness, voiced
from sipconf.mixer.slip import FADE, FAINT, LONGEST, PLACES, SHORTEST, Slipper, likeness

ALL = np.array([0])


def frames(sound: np.ndarray, samples: int = 160) -> np.ndarray:
    return sound[: len(sound) // samples * samples].astype(np.float32).reshape(-1, 1, samples)


def slip(sound: np.ndarray, gain: bool, rate: int = 8000) -> tuple[np.ndarray, list[int]]:
    """Let one row lose or gain a frame; everything that is played, and what is held after each tick of slipping."""
    slipper, incoming, played, held = Slipper(rate), list(frames(sound, rate // 50)), [], []
    slipper.clear(0)
    last = incoming.pop(0)
    played.append(last[0].copy())
    if gain:
        slipper.gain(ALL)
    else:
        slipper.lose(ALL, incoming.pop(0))
    owed = False
    while incoming:
        pcm = (last if owed else incoming.pop(0)).copy()
        last = pcm.copy()
        if slipper.busy:
            if owed:
                slipper.give(ALL)
            done, owing = slipper.run(pcm, np.array([True]))
            owed = len(owing) > 0
            held.append(int(slipper._held[0]))
            assert bool(len(done)) != slipper.busy
        played.append(pcm[0])
    assert not slipper.busy
    return np.concatenate(played), held


def test_likeness_is_what_a_plain_loop_finds() -> None:
    sound = np.random.default_rng(3).normal(0, 3000, (2, 160)).cumsum(axis=1) / 5
    found = likeness(sound.astype(np.float32))
    for row, p, lag in ((0, 0, SHORTEST), (1, 4, LONGEST), (0, 2, 23), (1, 1, 31)):
        a = sound[row, PLACES[p] : PLACES[p] + FADE]
        b = sound[row, PLACES[p] + lag : PLACES[p] + lag + FADE]
        dot = aa = bb = FADE * FAINT**2
        for x, y in zip(a.tolist(), b.tolist(), strict=True):
            dot, aa, bb = dot + x * y, aa + x * x, bb + y * y
        assert found[row, p, lag - SHORTEST] == pytest.approx(dot / (aa * bb) ** 0.5, abs=1e-4)
    assert likeness(np.zeros((1, 160), np.float32)).min() == 1


@pytest.mark.parametrize("gain", [False, True])
@pytest.mark.parametrize(("rate", "seed"), [(8000, 0), (8000, 1), (16000, 2), (48000, 3)])
def test_a_frame_is_lost_or_gained_in_steps_of_at_most_5_ms_and_nobody_hears_it(
    gain: bool, rate: int, seed: int
) -> None:
    voice = np.repeat(voiced(2, seed, 700.0), rate // 8000)
    if rate > 8000:
        smooth = np.hanning(2 * (rate // 8000) + 1)
        voice = np.convolve(voice, smooth / smooth.sum(), "same")
    voice = voice[: rate * 3 // 2]
    heard, held = slip(voice, gain, rate)
    frame = rate // 50
    steps = np.abs(np.diff([0 if gain else frame, *held[: -1 if gain else None]]))
    assert len(heard) == len(voice) // frame * frame + (frame if gain else -frame)
    assert steps.sum() == frame and steps.max() <= 5 * rate // 1000 and steps[steps > 0].min() >= 2 * rate // 1000
    assert np.count_nonzero(steps) < len(held) <= 70
    assert roughness(heard).max() < 1.1 * roughness(voice).max()


def test_a_row_that_nobody_hears_lets_go_of_what_it_holds() -> None:
    slipper = Slipper(8000)
    for row in (0, 1):
        slipper.clear(row)
    slipper.lose(np.array([0, 1]), np.full((2, 160), 9, np.float32))
    pcm = np.random.default_rng(1).normal(0, 3000, (2, 160)).astype(np.float32)
    before = pcm.copy()
    done, owed = slipper.run(pcm, np.array([False, True]))
    assert done.tolist() == [0] and not len(owed) and slipper.busy
    assert (pcm[0] == before[0]).all() and (pcm[1, :60] == 9).all()
