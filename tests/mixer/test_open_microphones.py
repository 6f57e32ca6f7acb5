"""Levels, gates, gains and the limiter together: open microphones in numbers, one voice alone, many loud ones."""

import numpy as np
import pytest

from sipconf.mixer.codecs.catalogue import codec
from sipconf.mixer.frame import FULL_SCALE
from sipconf.mixer.legs import MixBank
from sipconf.mixer.levels import Levels
from sipconf.mixer.mix import Mixer

FRAME = 160


class Room:
    """One room of G.711 legs, from samples said to samples heard, as a tick does it."""

    def __init__(self, legs):
        self.line, self.bank, self.levels, self.mixer = codec("PCMU", 8000), MixBank(8000), Levels(), Mixer()
        for row in range(legs):
            self.bank.add(row)
            self.bank.place(row, 1)
            self.levels.add(row)
        self.mixer.add_bank(self.bank)
        self._codes = np.zeros((legs, FRAME), np.uint8)

    def hear(self, said):
        """said (legs, FRAME): encoded by the telephones, mixed, encoded and decoded by the telephones."""
        pcm = self._through(np.clip(said, -32768, 32767).astype(np.float32))
        self.levels.hear(pcm)
        self.bank.open_gates(self.levels.talking)
        return self._through(self.mixer.mix([pcm])[0])

    def _through(self, pcm):
        self.line.encode(np.ascontiguousarray(pcm), self._codes)
        out = np.empty_like(self._codes, np.float32)
        self.line.decode(self._codes, out)
        return out


def heard_of(legs, seconds, said):
    room = Room(legs)
    return np.concatenate([room.hear(said(frame)) for frame in range(int(seconds * 50))], axis=1)


@pytest.mark.parametrize("level_db", [-55, -40])
def test_five_hundred_noisy_microphones_are_as_quiet_as_one(level_db):
    rng = np.random.default_rng(8)
    hiss = rng.standard_normal(8000 * 5) * FULL_SCALE * 10 ** (level_db / 20)

    def said(frame):
        starts = (frame * FRAME + 137 * np.arange(500)) % (len(hiss) - FRAME)
        return hiss[starts[:, None] + np.arange(FRAME)]

    heard = heard_of(500, 6.0, said)
    assert np.count_nonzero(heard[:, 8000 * 2 :]) == 0


def test_one_voice_at_full_scale_is_as_good_as_plain_g711():
    at = np.arange(8000 * 3) / 8000
    swell = 0.6 + 0.4 * np.sin(2 * np.pi * 4 * at)
    voice = 32767 * swell * np.sin(2 * np.pi * 433 * at + 0.3)
    heard = heard_of(2, 3.0, lambda f: np.stack([voice[f * FRAME : f * FRAME + FRAME], np.zeros(FRAME)]))[1]
    line, codes, plain = codec("PCMU", 8000), np.zeros((1, len(voice)), np.uint8), np.empty((1, len(voice)), np.float32)
    for first in range(0, len(voice), FRAME):
        part = slice(first, first + FRAME)
        line.encode(voice[None, part].astype(np.float32), codes[:, part])
    line.decode(codes, plain)
    assert np.array_equal(heard[FRAME:], plain[0, FRAME:])


def test_loud_voices_together_never_wrap():
    """Five at full scale: the sum is bent where it is beyond full scale, and only there."""
    at = np.arange(8000 * 3) / 8000
    swell = 0.6 + 0.4 * np.sin(2 * np.pi * 4 * at)
    voices = np.stack([30000 * swell * np.sin(2 * np.pi * f * at) for f in (310, 433, 557, 671, 809)])
    said = np.concatenate([voices, np.zeros((1, len(at)))])
    heard = heard_of(6, 3.0, lambda f: said[:, f * FRAME : f * FRAME + FRAME])[5]
    total = voices.sum(axis=0)
    settled = slice(8000, None)
    steps = 6 * 512  # what the encodings of five voices and of their sum may be off
    loud = np.abs(total[settled]) > steps
    assert (np.sign(heard[settled][loud]) == np.sign(total[settled][loud])).all()
    assert (np.abs(heard[settled]) >= np.minimum(np.abs(total[settled]), 30000) - steps).all()
