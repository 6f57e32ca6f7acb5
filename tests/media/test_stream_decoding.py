"""G.722 from jitter buffer to samples: what is concealed goes on from what was played last."""

from dataclasses import dataclass

import numpy as np

from sipconf.media.decoding import StreamDecoding
from sipconf.mixer.codecs.g722 import G722Encoder
from sipconf.mixer.levels import Levels
from sipconf.rtp.jitter import Taken
from sipconf.rtp.ring import Moves

NOBODY = np.zeros(0, np.intp)
WHOLE, NOTHING = np.ones((1, 2), np.uint8), np.zeros((1, 2), np.uint8)


@dataclass
class Buffer:
    """In a jitter buffer's place: gives what it is told to."""

    next: Taken

    def take(self, n: int, heard: np.ndarray) -> Taken:
        return self.next


def loudness(pcm: np.ndarray) -> float:
    return float(np.sqrt((pcm**2).mean()))


def test_a_loss_behind_a_frame_given_twice_is_concealed_by_sound() -> None:
    encoder, levels = G722Encoder(), Levels()
    levels.add(0)
    tone = (8000 * np.sin(2 * np.pi * 400 * np.arange(320 * 12) / 16000)).astype(np.int16)
    frames = [np.frombuffer(encoder.encode(each), np.uint8)[None] for each in tone.reshape(-1, 320)]
    lost = np.zeros((1, 160), np.uint8)
    again = Moves(NOBODY, np.zeros((0, 160), np.uint8), NOBODY, np.array([0]))
    taken = [Taken(frame, WHOLE, None) for frame in frames]
    taken += [Taken(frames[-1], WHOLE, again), Taken(lost, NOTHING, None)]
    buffer = Buffer(taken[0])
    decoding, pcm = StreamDecoding(buffer), np.zeros((1, 320), np.float32)
    decoding.add(0)
    heard = []
    for buffer.next in taken:
        decoding.take(pcm, levels, NOBODY)
        decoding.conceal(pcm)
        heard.append(loudness(pcm))
    assert heard[-3] == heard[-2] > 4000
    assert heard[-1] > 0.7 * heard[-3]
