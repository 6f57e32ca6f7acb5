"""Hours of speech and music to measure by: several synthesisers reading English prose, and pieces made by sums.

Speech needs Debian's espeak-ng, flite and festival (with festvox-kallpc16k and festvox-us-slt-hts); whichever is
missing is left out, and `voices` says which are there. The prose is the language reference that every CPython has.
"""

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np

from sipconf.mixer.edge.wavfile import read_wav
from sipconf.mixer.frame import Pcm
from sipconf.mixer.resample import convert

RATE = 8000
SPEECH_RMS = 2000.0  # at int16 scale, pauses included: about -24 dBFS
WORDS_PER_MINUTE = 150
PASSAGE_WORDS = 400


@dataclass(frozen=True, slots=True)
class Voice:
    """One voice of one synthesiser. command: reads {text} (a file), writes {wav}."""

    name: str
    command: tuple[str, ...]

    @property
    def is_here(self) -> bool:
        return shutil.which(self.command[0]) is not None


def _espeak(voice: str, *more: str) -> Voice:
    return Voice(f"espeak-ng {voice}", ("espeak-ng", "-v", voice, *more, "-f", "{text}", "-w", "{wav}"))


def _flite(voice: str) -> Voice:
    return Voice(f"flite {voice}", ("flite", "-voice", voice, "-f", "{text}", "-o", "{wav}"))


def _festival(voice: str) -> Voice:
    return Voice(f"festival {voice}", ("text2wave", "-eval", f"(voice_{voice})", "{text}", "-o", "{wav}"))


VOICES = (
    _espeak("en-us"), _espeak("en-gb+f3"), _espeak("en-gb-scotland+m3", "-p", "30"), _espeak("de+f5", "-p", "70"),
    _espeak("fr+croak"), _espeak("es+f2", "-p", "90", "-s", "190"), _espeak("en-us+whisper"),
    _flite("slt"), _flite("rms"), _flite("awb"), _flite("kal16"),
    _festival("kal_diphone"), _festival("cmu_us_slt_arctic_hts"),
)  # fmt: skip


def voices() -> list[Voice]:
    """Those of VOICES that this machine has."""
    return [voice for voice in VOICES if voice.is_here]


@cache
def _words() -> list[str]:
    prose = " ".join(text for _, text in sorted(topics.items()))
    kept = (word.strip("*`\"'()[]{}<>|=_") for word in prose.split())
    return [word for word in kept if word.strip(".,;:!?-").isalpha()]


def speech(voice: Voice, passage: int) -> Pcm:
    """One passage of the prose, some three minutes, float32 at RATE and SPEECH_RMS."""
    words = _words()
    first = passage * PASSAGE_WORDS % (len(words) - PASSAGE_WORDS)
    with tempfile.TemporaryDirectory() as folder:
        text, wav = Path(folder) / "passage.txt", Path(folder) / "passage.wav"
        text.write_text(" ".join(words[first : first + PASSAGE_WORDS]) + ".\n")
        command = [each.format(text=text, wav=wav) for each in voice.command]
        subprocess.run(command, check=True, capture_output=True)
        rate, pcm = read_wav(wav)
    spoken = convert(pcm, rate, RATE)
    return spoken * np.float32(SPEECH_RMS / np.sqrt(np.mean(spoken.astype(np.float64) ** 2)))


# --- music -----------------------------------------------------------------------------------------------------------
SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9))
# The harmonics of an instrument, how fast a note dies away (per second) and how far its pitch swings (of it).
INSTRUMENTS = {
    "strings": ((1.0, 0.5, 0.35, 0.25, 0.2, 0.12), 0.5, 0.006),
    "piano": ((1.0, 0.4, 0.2, 0.1, 0.05), 3.0, 0.0),
    "organ": ((1.0, 0.8, 0.5, 0.4, 0.0, 0.3), 0.0, 0.0),
    "flute": ((1.0, 0.15, 0.05), 0.2, 0.004),
    "bells": ((1.0, 0.0, 0.6, 0.0, 0.35), 4.0, 0.0),
    "brass": ((1.0, 0.9, 0.8, 0.6, 0.4, 0.3, 0.2), 0.3, 0.003),
}


def _note(midi: float, seconds: float, instrument: str) -> np.ndarray:
    harmonics, decay, swing = INSTRUMENTS[instrument]
    at = np.arange(int(seconds * RATE)) / RATE
    frequency = 440 * 2 ** ((midi - 69) / 12)
    phase = 2 * np.pi * frequency * (at - swing / (2 * np.pi * 5.5) * np.cos(2 * np.pi * 5.5 * at))
    heard = [(k, loud) for k, loud in enumerate(harmonics, 1) if k * frequency < RATE / 2.2]
    tone = sum((loud * np.sin(k * phase) for k, loud in heard), np.zeros(len(at)))
    return tone * np.minimum(at / 0.01, 1) * np.exp(-decay * at) * np.clip((seconds - at) / 0.02, 0, 1)


def music(rng: np.random.Generator, seconds: float) -> Pcm:
    """A piece of chords, bass, melody and sometimes drums, float32 at RATE and SPEECH_RMS."""
    sound = np.zeros(int(seconds * RATE) + 8 * RATE)
    beat, scale, key = rng.uniform(0.3, 0.8), SCALES[rng.integers(len(SCALES))], rng.integers(45, 57)
    lead, back = rng.choice(list(INSTRUMENTS), 2)
    drums = rng.random() < 0.4

    def pitch(step: int) -> float:
        return key + 12 * (step // len(scale)) + scale[step % len(scale)]

    def lay(tone: np.ndarray, at: float, loudness: float) -> None:
        first = int(at * RATE)
        sound[first : first + len(tone)] += loudness * tone[: len(sound) - first]

    step = len(scale)
    for bar in range(int(seconds / (4 * beat))):
        root = int(rng.choice([0, 3, 4, 5, 1]))
        for voice in (0, 2, 4):
            lay(_note(pitch(root + voice + len(scale)), 4 * beat, back), 4 * beat * bar, 0.3)
        lay(_note(pitch(root), 4 * beat, back), 4 * beat * bar, 0.5)
        at = 0.0
        while at < 4:
            length = float(rng.choice([0.5, 1.0, 2.0]))
            step = int(np.clip(step + rng.integers(-3, 4), 0, 4 * len(scale)))
            lay(_note(pitch(step + len(scale)), length * beat, lead), (4 * bar + at) * beat, 0.6)
            if rng.random() < 0.3:
                lay(_note(pitch(step + len(scale) + 2), length * beat, lead), (4 * bar + at) * beat, 0.5)
            at += length
        for hit in range(8 if drums else 0):
            noise = rng.normal(0, 0.5, RATE // 10) * np.exp(-np.arange(RATE // 10) / (0.02 * RATE))
            lay(noise, (4 * bar + hit / 2) * beat, 0.6)
    sound = sound[: int(seconds * RATE)]
    return (sound * (SPEECH_RMS / np.sqrt(np.mean(sound**2)))).astype(np.float32)
