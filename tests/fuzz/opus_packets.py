"""Target: Opus packets, from the jitter buffer to samples. No octets raise, and none is louder than a sample can be."""

import random

import numpy as np

from sipconf.mixer.codecs.opus import MOST_BYTES, OpusSettings
from tests.fuzz.driver import Target, expect
from tests.fuzz.mutation import mutate
from tests.media.opus_row import Row, packets, voice


class OpusPackets(Target):
    name = "opus"
    ending = "opus"

    def __init__(self) -> None:
        self._seeds = packets(voice(1.0), OpusSettings()) + packets(voice(0.5), OpusSettings(bit_rate=96000), 2)

    def begin(self, rng: random.Random) -> None:
        self._row = Row()

    def make(self, rng: random.Random) -> bytes:
        if rng.random() < 0.6:
            return rng.randbytes(rng.randint(1, MOST_BYTES))
        return mutate(rng, rng.choice(self._seeds), self._seeds)[:MOST_BYTES]

    def judge(self, data: bytes) -> None:
        self._row.put(data)
        self._row.tick()

    def end(self) -> None:
        """Good packets are heard again."""
        heard = self._row.play(list(self._seeds[:50]))
        expect(float(np.abs(heard[-9600:]).max()) > 1000, "deaf")
