"""Jitter, loss, wrong clocks and digits on simulated lines, through the whole plane: the delay added and the sound."""

import numpy as np
import pytest

from benchmarks.lines import Line, Lines, encoded, longest_gap_ms, roughness, voiced
from sipconf.media.plane import PlaneSettings
from sipconf.mixer.codecs.g711 import mu_law_values
from sipconf.mixer.slip import Slipper

VOICE = encoded(voiced(4, 1))
SOFT = encoded(voiced(4, 2, 700.0))
"""Without high tones: a step is far rougher than anything in it."""


def many(line: Line, seconds: float, legs: int = 10, **traits: object) -> Lines:
    sounds = np.stack([np.roll(VOICE, -1600 * k) for k in range(legs)])
    return Lines([line] * legs, sounds, seconds=seconds, seed=1, room=legs, **traits)  # type: ignore[arg-type]


def run(lines: Lines, seconds: float) -> tuple[np.ndarray, float]:
    """Delays in ms (ticks, legs), and the part of the halves that had not come when they were due."""
    delays, filled = [], []
    legs = len(lines.senders.phase)
    for _ in range(round(seconds * 50)):
        lines.tick()
        delays.append(lines.delays())
        filled.append(lines.bank.jitter._filled[:legs].mean())
    return 1e3 * np.array(delays), 1 - float(np.mean(filled))


def test_a_clean_line_is_played_at_the_next_tick() -> None:
    lines = many(Line(), 4)
    run(lines, 2.5)
    delays, unfilled = run(lines, 1)
    assert np.percentile(delays, 50) <= 15 and np.percentile(delays, 95) <= 25
    assert unfilled == 0


def test_jitter_of_40_ms_adds_little_more_than_itself_and_loses_nothing() -> None:
    lines = many(Line(jitter=0.04), 7)
    run(lines, 1)  # the first packets find an empty buffer
    delays, unfilled = run(lines, 5.5)
    assert unfilled <= 0.005 and lines.bank.jitter.late.sum() == 0
    assert np.percentile(delays[50:], 95) <= 70


def test_the_delay_shrinks_again_after_a_bad_time() -> None:
    lines = many(Line(jitter=0.1, bad=(0.5, 3.0)), 15, legs=4)
    bad, _ = run(lines, 3)
    run(lines, 10)
    after, unfilled = run(lines, 1)
    assert np.percentile(bad[100:], 50) > 80 and np.percentile(after, 50) <= 40 and unfilled == 0


def test_no_line_is_worse_than_the_bound() -> None:
    lines = many(Line(jitter=0.3, bad=(0.5, 9)), 5, legs=4, settings=PlaneSettings(1e9, max_delay_ms=80))
    delays, _ = run(lines, 4)
    ahead = lines.bank.jitter.playout.end[:4] - lines.bank.jitter.playout.play(np.arange(4))
    assert np.percentile(delays[50:], 99) <= 80 + 300 and ahead.max() <= 8 + 2 and lines.bank.jitter.late.sum() > 50


def test_the_delay_that_is_told_is_that_of_the_sound() -> None:
    lines = Lines([Line(), Line()], np.stack([VOICE, VOICE]), seconds=3, seed=1, room=2, recorded=[1])
    run(lines, 2.5)
    at = int(lines.played()[0])
    sound = mu_law_values()[VOICE[np.arange(at, at + 160) % len(VOICE)]]
    assert np.abs(lines.heard(1)[-160:] - sound).max() < 0.05 * np.abs(sound).max()


class Cut(Slipper):
    """What a slip is measured against: a frame is left out, or heard twice, at once."""

    def run(self, pcm: np.ndarray, heard: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = np.flatnonzero(self._way)
        self._way[rows] = self._held[rows] = 0
        self.busy = False
        return rows, rows[:0]


def listen(line: Line, seconds: float, cut: bool = False) -> tuple[np.ndarray, Lines]:
    """What is heard of a soft voice, second for second, by somebody who says nothing."""
    sounds = np.stack([SOFT, np.full_like(SOFT, 0xFF)])
    lines = Lines([line, Line()], sounds, seconds=seconds, seed=4, room=2, recorded=[1])
    if cut:
        lines.bank.slipper = Cut(8000)
        for row in (0, 1):
            lines.bank.slipper.clear(row)
    run(lines, seconds - 0.5)
    return lines.heard(1)[4000:], lines


def rough(heard: np.ndarray) -> float:
    """The roughest place, beside the roughest of the voice itself."""
    return float(roughness(heard).max() / roughness(mu_law_values()[SOFT]).max())


@pytest.mark.parametrize("skew", [0.008, -0.008])
def test_a_clock_that_is_wrong_is_not_heard(skew: float) -> None:
    heard, lines = listen(Line(skew=skew), 12)
    playout = lines.bank.jitter.playout
    assert (playout.dropped[0] if skew > 0 else playout.grown[0]) >= 3
    assert longest_gap_ms(heard) == 0 and rough(heard) < 1.5
    assert lines.delays()[0] < 0.06


def test_the_measure_of_clicks_finds_frames_that_are_cut_out() -> None:
    heard, _ = listen(Line(skew=0.008), 9, cut=True)
    assert rough(heard) > 3


@pytest.mark.parametrize("skew", [0.008, -0.008])
def test_loss_jitter_and_a_wrong_clock_together_leave_no_gap(skew: float) -> None:
    heard, _ = listen(Line(loss=0.05, jitter=0.04, skew=skew), 8)
    assert longest_gap_ms(heard) <= 60
