"""The pictures of docs/sound.md: waveforms around lost packets, PESQ by loss, delay over time."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402

from benchmarks.sound_line import FRAME, RATE, Heard  # noqa: E402
from benchmarks.sound_measures import SPEECH_DB, best_lag, delays, levels_db  # noqa: E402
from sipconf.mixer.frame import Pcm  # noqa: E402

INK, LOST = "#1f4e79", "#f6d5d5"
SHOWN = 0.16  # seconds of a waveform


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, dpi=110, bbox_inches="tight")
    plt.close(figure)


def _loud_loss(said: Pcm, lost: np.ndarray) -> int:
    """The first packet of the run of losses amid the loudest speech."""
    levels = levels_db(said).reshape(-1, 2).mean(axis=1)
    firsts = np.flatnonzero(lost[1:] & ~lost[:-1]) + 1
    firsts = firsts[(firsts > 5) & (firsts < len(lost) - 10)]
    return int(max(firsts, key=lambda first: min(levels[first - 1 : first + 4])))


def waveforms(path: Path, said: Pcm, calls: dict[str, Heard]) -> None:
    """Around one run of lost packets: what was said, and what each concealer played."""
    lost = next(iter(calls.values())).lost
    first = _loud_loss(said, lost)
    begin, samples = (first - 2) * FRAME, int(SHOWN * RATE)
    at = np.arange(samples) / RATE * 1000
    figure, axes = plt.subplots(len(calls) + 1, 1, figsize=(9, 6.4), sharex=True, sharey=True)
    shown = {"said": said[begin : begin + samples]}
    for name, heard in calls.items():
        before = said[begin - 6 * FRAME : begin]
        place, _ = best_lag(before, heard.sound, begin - 6 * FRAME, 2400)
        shown[name] = heard.sound[place + len(before) : place + len(before) + samples]
    for axis, (name, sound) in zip(axes, shown.items(), strict=True):
        for packet in range(first - 2, first + 8):
            if packet < len(lost) and lost[packet]:
                left = (packet * FRAME - begin) / RATE * 1000
                axis.axvspan(left, min(left + 20, 1000 * SHOWN), color=LOST, lw=0)
        axis.plot(at, sound / 32768, color=INK, lw=1)
        axis.set_title(name, loc="left", fontsize=10, pad=2)
        axis.set_ylabel("amplitude", fontsize=8)
        axis.spines[["top", "right"]].set_visible(False)
        axis.axhline(0, color="#bbbbbb", lw=0.5, zorder=0)
    axes[-1].set_xlabel("ms; the shaded packets were lost")
    axes[-1].set_xlim(0, 1000 * SHOWN)
    figure.tight_layout(h_pad=0.4)
    _save(figure, path)


def quality(path: Path, found: dict[tuple, Any], concealers: tuple[str, ...], losses: tuple[float, ...]) -> None:
    """PESQ by loss, one panel for each length of runs."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True)
    clean = found[concealers[0], 0.0, 1].pesq
    for axis, burst in zip(axes, (1, 3), strict=True):
        for name, style in zip(concealers, ("o-", "s--", "^:"), strict=True):
            scores = [clean] + [found[name, loss, burst].pesq for loss in losses[1:]]
            axis.plot([100 * loss for loss in losses], scores, style, label=name, lw=1.5, ms=5)
        axis.set_title("single packets lost" if burst == 1 else f"{burst} packets lost in a row", fontsize=10)
        axis.set_xlabel("loss, %")
        axis.set_xticks([100 * loss for loss in losses])
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("PESQ (MOS-LQO)")
    axes[0].set_ylim(1, 4.5)
    axes[1].legend(frameon=False)
    figure.tight_layout()
    _save(figure, path)


def delay(path: Path, said: Pcm, calls: dict[str, tuple[Heard, float]]) -> None:
    """Delay from packet to packet over the call, as far as it can be told from the sound."""
    figure, axes = plt.subplots(len(calls), 1, figsize=(9, 1.7 * len(calls)), sharex=True, sharey=True)
    top = 0.0
    for axis, (name, (heard, skew)) in zip(axes, calls.items(), strict=True):
        times, found = delays(said, heard, skew)
        axis.plot(times, 1000 * found, ".", color=INK, ms=3)
        top = max(top, float(np.percentile(1000 * found, 99)) if len(found) else 0)
        axis.set_title(name, loc="left", fontsize=10, pad=2)
        axis.set_ylabel("delay, ms", fontsize=8)
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    axes[-1].set_xlabel(f"seconds of the call; only where someone speaks above {SPEECH_DB:.0f} dBFS")
    axes[-1].set_ylim(0, max(40.0, 1.2 * top))
    axes[-1].set_xlim(0, len(said) / RATE)
    figure.tight_layout(h_pad=0.4)
    _save(figure, path)
