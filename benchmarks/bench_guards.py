"""What the guards find and what they must not: music on hold, echoes, hours of speech by several synthesisers.

Everything passes through mu-law first. Run: python -m benchmarks.bench_guards [--hours H] [--pieces N]
"""

import argparse
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from benchmarks.speech import RATE, music, speech, voices
from sipconf.mixer.codecs.catalogue import codec
from sipconf.mixer.edge.wavfile import load_sounds
from sipconf.mixer.frame import Pcm
from sipconf.mixer.guards import ECHO, HOLD_MUSIC, SEATS, Guards
from sipconf.mixer.levels import Levels
from sipconf.mixer.resample import convert

FRAME = RATE // 50
MUSIC_S, AFTER_S = 25.0, 12.0
TURN_S = (1.5, 20.0)
PASSAGES = 3
DELAYS_MS = (60, 180, 420)
LOSSES_DB = (0, 12, 24)


def by_mu_law(sound: NDArray) -> Pcm:
    """As it comes over a telephone line; whole frames."""
    line = codec("PCMU", RATE)
    frames = np.ascontiguousarray(sound[: len(sound) // FRAME * FRAME].reshape(-1, FRAME), np.float32)
    codes, out = np.zeros(frames.shape, np.uint8), np.empty_like(frames)
    line.encode(frames, codes)
    line.decode(codes, out)
    return out.ravel()


def watch(said: NDArray[np.float32], sent: NDArray[np.float32]) -> list[tuple[float, int, str | None]]:
    """(seconds, row, reason) of all that the guards find in sounds (rows, samples), at most SEATS rows."""
    levels = Levels()
    guards = Guards(levels, RATE)
    for row in range(len(said)):
        levels.add(row)
        guards.watch(row, True)
    found = []
    for first in range(0, said.shape[1] - FRAME + 1, FRAME):
        frame = np.ascontiguousarray(said[:, first : first + FRAME])
        levels.hear(frame)
        guards.hear(frame)
        events = guards.listen(sent[guards.rows, first : first + FRAME]) if guards.busy else []
        found += [(first / RATE, row, reason) for row, reason in events]
    return found


def pieces(count: int) -> Iterator[tuple[str, Pcm]]:
    """Music: our own, and made ones, at several loudnesses."""
    own = convert(load_sounds().clips["music"][1], 16000, RATE)
    yield "our own", np.tile(own, 3)[: int(MUSIC_S * RATE)]
    for number in range(count):
        rng = np.random.default_rng(number)
        yield f"piece {number}", music(rng, MUSIC_S) * np.float32(10 ** (rng.uniform(-14, 6) / 20))


def talk_then(sound: Pcm, spoken: Pcm) -> Pcm:
    """Some words, the sound, and words again."""
    words = spoken[: int(AFTER_S * RATE)]
    return np.concatenate([words, sound, words])


def measure_music(count: int, spoken: list[Pcm]) -> None:
    times, released, missed, early, again = [], [], [], 0, 0
    batch = list(pieces(count))
    for first in range(0, len(batch), SEATS):
        part = batch[first : first + SEATS]
        said = np.stack([by_mu_law(talk_then(piece, spoken[k % len(spoken)])) for k, (_, piece) in enumerate(part)])
        found = watch(said, np.zeros_like(said))
        for row, (name, _) in enumerate(part):
            mine = [(at - AFTER_S, reason) for at, other, reason in found if other == row]
            early += any(at < 0 for at, _ in mine)
            hits = [at for at, reason in mine if reason == HOLD_MUSIC]
            again += len(hits) > 1
            if not hits or hits[0] > 10:
                missed.append(f"{name} ({hits[0]:.1f} s)" if hits else name)
            times += hits[:1]
            released += [at - MUSIC_S for at, reason in mine if reason is None][-1:]
    print(f"music: {len(batch)} pieces, found within 10 s: {100 * (1 - len(missed) / len(batch)):.1f} %")
    print(f"  seconds until found: median {np.median(times):.1f}, 95 % {np.percentile(times, 95):.1f}")
    print(f"  heard again after the music's end: median {np.median(released):.1f} s, worst {max(released):.1f} s")
    print(f"  found more than once: {again}, before it began: {early}, late or missed: {', '.join(missed) or 'none'}")


def conversation(rng: np.random.Generator, voice: Pcm, other: Pcm) -> tuple[Pcm, Pcm]:
    """Two that take turns, now and then into each other's words: both sounds, equally long."""
    length = min(len(voice), len(other))
    turns = np.zeros((2, length), np.float32)
    at, who = 0, 0
    while at < length:
        end = min(length, at + int(rng.uniform(*TURN_S) * RATE))
        turns[who, at:end] = 1
        at, who = max(at + 1, end - int(rng.uniform(-1.0, 0.6) * RATE)), 1 - who
    return voice[:length] * turns[0], other[:length] * turns[1]


def measure_speech(hours: float, spoken: list[Pcm]) -> None:
    """Conversations of two, and half of the time people who never let anybody else speak. No two of
    them read the same text: one synthesiser's voices would say it in step, which is indeed an echo."""
    rng = np.random.default_rng(1)
    seconds, alarms, turn = 0.0, [], 0
    while seconds < hours * 3600:
        rows, sent = [], []
        for pair in range(SEATS // 2):
            one = spoken[(turn + 2 * pair) % len(spoken)]
            other = spoken[(turn + 2 * pair + 1 + len(spoken) // PASSAGES) % len(spoken)]  # of another text
            a, b = conversation(rng, one, other) if pair % 2 else (one, other)
            rows += [a, b]
            sent += [b, a]
        length = min(map(len, rows)) // FRAME * FRAME
        said = np.stack([by_mu_law(row[:length]) for row in rows])
        heard = np.stack([by_mu_law(row[:length]) for row in sent])
        for at, row, reason in watch(said, heard):
            if reason is not None:
                alarms.append(f"{reason} at {at:.0f} s in row {row} of turn {turn}")
        seconds += sum(float((np.abs(row).reshape(-1, FRAME).max(axis=1) > 0).sum()) / 50 for row in said)
        turn += 5
    print(f"speech: {seconds / 3600:.2f} hours, {len(spoken)} passages, false alarms: {len(alarms)}")
    for alarm in alarms:
        print(f"  {alarm}")


def returned(sound: Pcm, delay_ms: int, loss_db: float, room: bool, rng: np.random.Generator) -> Pcm:
    """What comes back: late, quieter, and where `room` through loudspeaker, room and microphone."""
    late = np.concatenate([np.zeros(delay_ms * RATE // 1000, np.float32), sound])[: len(sound)]
    if room:
        decay = rng.standard_normal(RATE // 5) * np.exp(-np.arange(RATE // 5) / (0.03 * RATE))
        decay[0] = 5
        late = np.convolve(late, decay / np.sqrt((decay**2).sum()))[: len(sound)]
    return (late * 10 ** (-loss_db / 20)).astype(np.float32)


def measure_announcements(spoken: list[Pcm]) -> None:
    """Eight to twenty seconds of speech, over and over with pauses, then somebody who speaks."""
    rng = np.random.default_rng(3)
    times, released, count = [], [], 0
    for first in range(0, len(spoken), SEATS):
        part = spoken[first : first + SEATS]
        lengths = [int(rng.uniform(8, 20) * RATE) for _ in part]
        said = np.stack([
            by_mu_law(np.concatenate([
                np.resize(np.concatenate([voice[RATE : RATE + length], np.zeros(2 * RATE, np.float32)]), 60 * RATE),
                voice[40 * RATE : 65 * RATE],
            ]))
            for voice, length in zip(part, lengths, strict=True)
        ])  # fmt: skip
        found = watch(said, np.zeros_like(said))
        for row, length in enumerate(lengths):
            mine = [(at, reason) for at, other, reason in found if other == row]
            times += [at - length / RATE - 2 for at, reason in mine if reason is not None][:1]
            released += [at - 60 for at, reason in mine if reason is None][-1:]
            count += 1
    print(f"announcements in a loop: found {len(times)} of {count}")
    print(f"  seconds of the second time until found: median {np.median(times):.1f}, worst {max(times):.1f}")
    print(f"  a person is heard after: median {np.median(released):.1f} s, worst {max(released):.1f} s")


def sung(rng: np.random.Generator, seconds: float) -> Pcm:
    """A voice that sings: notes of a third of a second to one, vibrato, formants, a breath between lines."""
    out = []
    while sum(map(len, out)) < seconds * RATE:
        length, note = rng.choice([0.33, 0.5, 1.0]), rng.integers(48, 65)
        at = np.arange(int(length * RATE)) / RATE
        frequency = 440 * 2 ** ((note - 69) / 12)
        phase = 2 * np.pi * frequency * (at - 0.025 / (2 * np.pi * 5.5) * np.cos(2 * np.pi * 5.5 * at))
        formants = rng.choice([(700, 1200), (350, 2100), (450, 800), (300, 2300)])
        tone = np.zeros(len(at))
        for k in range(1, int(3400 / frequency) + 1):
            loud = sum(1 / (1 + ((k * frequency - formant) / 150) ** 2) for formant in formants)
            tone += (loud + 0.03) * np.sin(k * phase) / np.sqrt(k)
        out += [tone * np.minimum(at / 0.04, 1) * np.minimum((length - at) / 0.06, 1), np.zeros(int(0.05 * RATE))]
        if rng.random() < 0.15:
            out.append(np.zeros(int(0.4 * RATE)))
    sound = np.concatenate(out)[: int(seconds * RATE)]
    return (sound * (2000 / np.sqrt(np.mean(sound**2)))).astype(np.float32)


def measure_singing(spoken: list[Pcm]) -> None:
    for seconds in (3, 5, 7, 10, 20):
        rng = np.random.default_rng(6)
        said = np.stack([by_mu_law(talk_then(sung(rng, seconds), spoken[k])) for k in range(SEATS)])
        found = {row for _, row, reason in watch(said, np.zeros_like(said)) if reason is not None}
        print(f"singing: {len(found)} of {SEATS} guarded who sing for {seconds} s")


def measure_echo(spoken: list[Pcm]) -> None:
    """Half a minute of others' voices that come back; then the leg itself speaks while the others are silent."""
    rng = np.random.default_rng(2)
    print("echo: looked for in 30 s of others' voices, then the leg's own for 12 s")
    for room in (False, True):
        for loss_db in LOSSES_DB:
            times, released, rows, sent = [], [], [], []
            for number in range(SEATS):
                other = spoken[number % len(spoken)][: 30 * RATE]
                own = spoken[(number + 3) % len(spoken)][: 12 * RATE]
                echo = returned(other, DELAYS_MS[number % len(DELAYS_MS)], loss_db, room, rng)
                rows.append(by_mu_law(np.concatenate([echo, own])))
                sent.append(by_mu_law(np.concatenate([other, np.zeros_like(own)])))
            found = watch(np.stack(rows), np.stack(sent))
            for row in range(SEATS):
                mine = [(at, reason) for at, other_row, reason in found if other_row == row]
                times += [at for at, reason in mine if reason == ECHO][:1]
                released += [at - 30 for at, reason in mine if reason is None][-1:]
            way = "through a room" if room else "plain"
            print(
                f"  {way:15} {loss_db:3} dB: found {len(times)} of {SEATS}, after {np.median(times or [0]):4.1f} s; "
                f"own voice heard again after {np.median(released or [0]):4.1f} s"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=3.0)
    parser.add_argument("--pieces", type=int, default=59)
    arguments = parser.parse_args()
    spoken = [speech(voice, passage) for passage in range(PASSAGES) for voice in voices()]
    measure(spoken, arguments.hours, arguments.pieces)


def measure(spoken: list[Pcm], hours: float, count: int) -> None:
    """All tables."""
    measure_music(count, spoken)
    measure_announcements(spoken)
    measure_singing(spoken)
    measure_echo(spoken)
    measure_speech(hours, spoken)


if __name__ == "__main__":
    main()
