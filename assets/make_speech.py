"""Makes the speech in benchmarks/speech again: four voices, each with sentences of its own, for the sound measures.

Needs Debian's festival, festvox-us-slt-hts, flite and espeak-ng. Run from the repository: python
assets/make_speech.py. Files are 8 kHz, 16 bits, mono, level-matched. The sentences are of the Harvard lists (IEEE
Recommended Practice for Speech Quality Measurements, 1969), as is usual for measures of this kind.
"""

import subprocess
import tempfile
from pathlib import Path

import numpy as np
from make_prompts import RATE, VOICE, finish_speech, read_wav, write_wav

from sipconf.mixer.resample import convert

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks" / "speech"
SPEECH_RATE = 8000
PAUSE_S = 0.5
"""Before, between and behind the sentences."""
VOICES = {
    "woman-hts": (
        ["text2wave", "-eval", VOICE, "-o"],
        "The birch canoe slid on the smooth planks. Glue the sheet to the dark blue background. "
        "It's easy to tell the depth of a well.",
    ),
    "man-american": (
        ["flite", "-voice", "rms", "-o"],
        "These days a chicken leg is a rare dish. Rice is often served in round bowls. "
        "The juice of lemons makes fine punch.",
    ),
    "man-scottish": (
        ["flite", "-voice", "awb", "-o"],
        "The box was thrown beside the parked truck. The hogs were fed chopped corn and garbage. "
        "Four hours of steady work faced us.",
    ),
    "woman-formants": (
        ["espeak-ng", "-v", "en-us+f4", "-s", "150", "--stdin", "-w"],
        "A large size in stockings is hard to sell. The boy was there when the sun rose. "
        "A rod is used to catch pink salmon.",
    ),
}
"""By name of the file: the synthesiser with the option that takes the file to write, and what it says."""


def speak(command: list[str], sentence: str) -> np.ndarray:
    """A sentence spoken, float32 at RATE, level-matched."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        text = Path(folder) / "text"
        text.write_text(sentence)
        source = ["-f", str(text)] if command[0] == "flite" else []
        subprocess.run([*command, str(path), *source], input=sentence, text=True, check=True)
        rate, pcm = read_wav(path)
    return finish_speech(convert(pcm, rate, RATE))


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    pause = np.zeros(int(PAUSE_S * RATE), np.float32)
    for name, (command, text) in VOICES.items():
        parts = [pause]
        for sentence in text.split(". "):
            parts += [speak(command, sentence.rstrip(".") + "."), pause]
        pcm = convert(np.concatenate(parts), RATE, SPEECH_RATE)
        write_wav(FOLDER / f"{name}.wav", pcm, SPEECH_RATE)
        print(f"{name:16s} {len(pcm) / SPEECH_RATE:6.2f} s")


if __name__ == "__main__":
    main()
