"""Makes every sound in sipconf/sounds again: speech by festival's HTS voice from prompts.toml, tones and music by
sums.

Needs Debian's festival and festvox-us-slt-hts (32 kHz statistical voice; flite's voices stop at 16 kHz). Run from
the repository: python assets/make_prompts.py. Sounds are 16 kHz, 16 bits, mono, trimmed and level-matched.
"""

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sipconf.mixer.edge.wavfile import SOUNDS, read_wav, write_wav  # noqa: E402
from sipconf.mixer.frame import FULL_SCALE, Pcm, db_to_power  # noqa: E402
from sipconf.mixer.resample import convert  # noqa: E402

RATE = 16000
SPEECH_DB = -20.0  # rms of the parts where someone speaks
PEAK_DB = -3.5
EDGE_MS = 20  # kept before the first and after the last sound
MUSIC_DB = -30.0
BEAT_S = 0.625
VOICE = "(voice_cmu_us_slt_arctic_hts)"
# Four slow bars and their answer: the notes of each bar's chord in MIDI numbers, bass first.
BARS = ((41, 57, 60, 64), (38, 57, 60, 65), (43, 58, 62, 65), (36, 55, 58, 64)) + (
    (41, 57, 60, 67), (34, 53, 58, 62), (43, 55, 58, 65), (36, 52, 58, 60)
)  # fmt: skip
ARPEGGIO = (1, 3, 2, 3)
NOTE_S = 0.15
NOTE_DB = -26.0
JOIN_HZ = (523.25, 783.99)  # C5 then G5
LEAVE_HZ = (783.99, 523.25)


def decibels(pcm: Pcm) -> float:
    return 10 * float(np.log10(np.mean(pcm.astype(np.float64) ** 2) / FULL_SCALE**2 + 1e-12))


def notes(frequencies: tuple[float, ...]) -> Pcm:
    """Soft notes one after the other, float32 (samples,), each with a quick rise and a round fall to silence."""
    at = np.arange(int(NOTE_S * RATE)) / RATE
    shape = np.sin(np.pi * np.minimum(at / 0.02, 1) / 2) ** 2 * np.cos(np.pi * at / (2 * NOTE_S)) ** 2
    amplitude = np.sqrt(2 * db_to_power(NOTE_DB))
    voice = [np.sin(2 * np.pi * f * at) + 0.15 * np.sin(4 * np.pi * f * at) for f in frequencies]
    return np.concatenate([amplitude * 1.8 * shape * v for v in voice]).astype(np.float32)


def speak(text: str) -> Pcm:
    """The text spoken, float32 at RATE."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        command = ["text2wave", "-eval", VOICE, "-o", str(path)]
        subprocess.run(command, input=text, text=True, check=True)
        rate, pcm = read_wav(path)
    return convert(pcm, rate, RATE)


def frame_levels(pcm: Pcm, size: int) -> np.ndarray:
    frames = pcm[: len(pcm) // size * size].reshape(-1, size)
    return 10 * np.log10((frames.astype(np.float64) ** 2).mean(axis=1) / FULL_SCALE**2 + 1e-12)


def finish_speech(pcm: Pcm) -> Pcm:
    """Trimmed to EDGE_MS around the sound, faded at the edges, at SPEECH_DB with no peak above PEAK_DB."""
    pcm = pcm - pcm.mean()
    levels = frame_levels(pcm, RATE // 100)
    loud = np.flatnonzero(levels > levels.max() - 38)
    edge = EDGE_MS * RATE // 1000
    pcm = pcm[max(0, loud[0] * RATE // 100 - edge) : (loud[-1] + 1) * RATE // 100 + edge].copy()
    fade = np.sin(np.linspace(0, np.pi / 2, RATE // 100)) ** 2
    pcm[: len(fade)] *= fade
    pcm[-len(fade) :] *= fade[::-1]
    levels = frame_levels(pcm, RATE // 50)
    active = levels[levels > levels.max() - 25]
    pcm = pcm * 10 ** ((SPEECH_DB - 10 * np.log10(np.mean(10 ** (active / 10)))) / 20)
    return soften_peaks(pcm).astype(np.float32)


def soften_peaks(pcm: Pcm) -> Pcm:
    """The few peaks above the limit bent under it; everything 6 dB below passes untouched."""
    limit = FULL_SCALE * 10 ** (PEAK_DB / 20)
    knee = limit / 2
    over = np.maximum(np.abs(pcm) - knee, 0)
    return np.sign(pcm) * (np.minimum(np.abs(pcm), knee) + (limit - knee) * np.tanh(over / (limit - knee)))


def pluck(midi: int, seconds: float, attack: float) -> Pcm:
    """A mellow note that dies away, float64 at RATE."""
    at = np.arange(int(seconds * RATE)) / RATE
    frequency = 440 * 2 ** ((midi - 69) / 12)
    tone = sum(np.sin(2 * np.pi * frequency * k * at) * np.exp(-at * k * 0.9) / k**2 for k in (1, 2, 3))
    return tone * (1 - np.exp(-at / attack)) * np.exp(-at * 1.1) * np.clip((seconds - at) / 0.5, 0, 1)


def compose() -> Pcm:
    """The loop: BARS of four beats, a bass note and an arpeggio each; tails wrap round, so that there is no
    seam."""
    length = int(len(BARS) * 4 * BEAT_S * RATE)
    loop = np.zeros(length)

    def lay(note: Pcm, beat: float, loudness: float) -> None:
        np.add.at(loop, (int(beat * BEAT_S * RATE) + np.arange(len(note))) % length, loudness * note)

    for bar, chord in enumerate(BARS):
        lay(pluck(chord[0] + 12, 3.5, 0.03), bar * 4, 0.9)
        for midi in chord[1:]:
            lay(pluck(midi, 4.0, 0.35), bar * 4, 0.35)
        for step in range(8):
            lay(pluck(chord[ARPEGGIO[step % 4]] + 12, 2.0, 0.012), bar * 4 + step / 2, 0.30 if step % 2 else 0.42)
    loop *= 10 ** ((MUSIC_DB - decibels(loop)) / 20)
    return loop.astype(np.float32)


def main() -> None:
    texts = tomllib.loads((SOUNDS / "prompts.toml").read_text())["speech"]
    made = {name: finish_speech(speak(text)) for name, text in texts.items()}
    made |= {"join-tone": notes(JOIN_HZ), "leave-tone": notes(LEAVE_HZ), "music": compose()}
    for name, pcm in made.items():
        write_wav(SOUNDS / f"{name}.wav", pcm, RATE)
        peak = 20 * np.log10(np.abs(pcm).max() / FULL_SCALE)
        print(f"{name:24s} {len(pcm) / RATE:6.2f} s  rms {decibels(pcm):6.1f}  peak {peak:6.1f} dBFS")


if __name__ == "__main__":
    main()
