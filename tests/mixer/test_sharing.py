"""Shared frames: byte for byte what every row would have been sent by a minus-one and an encoder of its own."""

import numpy as np
import pytest

from sipconf.mixer import sharing
from sipconf.mixer.codecs.catalogue import codec
from sipconf.mixer.legs import MixBank, Weights
from sipconf.mixer.mix import Mixer
from sipconf.mixer.prompts import ClipLibrary, Player, RoomPlayer

BEEP = ClipLibrary({"beep": (8000, np.full(1000, 5000, np.float32))})


class Side:
    """A mixer with banks at 8, 8 and 16 kHz, and a player on each; told what the other side is told."""

    def __init__(self, sizes: tuple[int, ...], shares: bool) -> None:
        self.shares = shares
        self.rooms = RoomPlayer(BEEP)
        self.mixer = Mixer(self.rooms)
        self.codecs = [codec("PCMU", 8000), codec("L16", 8000), codec("L16", 16000)]
        self.banks = [MixBank(line.clock_rate) for line in self.codecs]
        self.players = [Player(BEEP.store(line.clock_rate)) for line in self.codecs]
        self.shared_frames = 0
        for bank, size in zip(self.banks, sizes, strict=True):
            self.mixer.add_bank(bank)
            for row in range(size):
                bank.add(row)

    def tick(self, pcm: list[np.ndarray]) -> list[np.ndarray]:
        """What each bank's rows are sent."""
        played = [player.rows for player in self.players]
        heard = self.mixer.mix([block.copy() for block in pcm], played if self.shares else None)
        sent = []
        for line, player, frame, share in zip(self.codecs, self.players, heard, self.mixer.shares, strict=True):
            player.add(frame)
            packets = np.zeros((len(frame), 12 + line.frame_bytes), np.uint8)
            if share is None:
                line.encode(frame, packets[:, 12:])
            else:
                self.shared_frames += 1
                share.encode(line, frame, packets[:, 12:])
            samples = np.zeros(frame.shape, np.float32)
            line.decode(np.ascontiguousarray(packets[:, 12:]), samples)
            sent.append(samples)
        return sent


@pytest.mark.parametrize("rooms", [1, 2, 9])
@pytest.mark.parametrize("talking", [0.0, 0.02, 0.3, 0.9])
def test_what_is_shared_is_what_each_would_have_heard(
    rooms: int, talking: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "LEAST_SPARED", 1)
    rng = np.random.default_rng(rooms)
    sizes = (40, 25, 12)
    sides = [Side(sizes, shares) for shares in (False, True)]
    gates = [np.ones(size, bool) for size in sizes]
    for frame in range(60):
        for b, size in enumerate(sizes):
            if frame % 3 == 0:
                gates[b] = rng.random(size) < talking
            row, room = int(rng.integers(size)), int(rng.integers(rooms + 1))
            gains = rng.choice([1.0, 0.5, 2.0], size).astype(np.float32)
            muted, beeps, stops = rng.random() < 0.3, rng.random() < 0.2, rng.random() < 0.2
            for side in sides:
                places = range(size) if frame == 0 else [row] if frame % 4 == 1 else []
                for each in places:
                    side.banks[b].place(each, None if room == rooms else (each + room) % rooms)
                side.banks[b].open_gates(gates[b])
                if frame % 5 == 2:
                    side.banks[b].mute(row, muted)
                if frame % 7 == 3:
                    side.banks[b].set_gains(gains)
                if beeps:
                    side.players[b].play(row, frame, ["beep"], loop=frame % 2 == 0)
                elif stops:
                    side.players[b].stop(row)
        if frame in (20, 40):
            for side in sides:
                side.rooms.play(0, ["beep"])
        pcm = [rng.integers(-9000, 9000, (n, bank.samples)).astype(np.float32)
               for n, bank in zip(sizes, sides[0].banks, strict=True)]  # fmt: skip
        plain, shared = (side.tick(pcm) for side in sides)
        for b, (one, other) in enumerate(zip(plain, shared, strict=True)):
            # Sums are added up in another order: a code may be the neighbour (of a sample in L16, of a step in PCMU).
            allowed = 1 if b else np.maximum(8, np.abs(one) / 16)
            assert (np.abs(one - other) <= allowed).all(), (frame, b)
    assert sides[1].shared_frames or talking > 0.5
    assert not sides[0].shared_frames


def silent_rows(rows: np.ndarray) -> Weights:
    """Nobody else's weight is anything but 1."""
    nobody, ones, none = np.zeros(0, np.intp), np.zeros(0, np.float32), np.zeros((0, 1), np.float32)
    return Weights(rows, nobody, none, None, nobody, ones, ones, nobody, ones)


def test_the_plain_way_is_taken_where_most_talk_or_little_is_spared() -> None:
    size = 3 * sharing.LEAST_SPARED
    nobody, slots = np.zeros(0, np.intp), np.zeros(size, np.int64)

    def share(silent: int, rooms: int = 1) -> sharing.Share | None:
        return sharing.Sharing().choose(silent_rows(np.arange(silent)), slots, np.arange(rooms), nobody)

    assert share(0) is None and share(size // 2 - 2) is None
    chosen = share(size - 3)
    assert chosen is not None and chosen.own.tolist() == [size - 3, size - 2, size - 1]
    assert share(size - 3, rooms=size) is None


def test_the_choice_is_made_anew_only_when_something_has_changed() -> None:
    size = 3 * sharing.LEAST_SPARED
    nobody = np.zeros(0, np.intp)
    weights, slots = silent_rows(np.arange(size)), np.zeros(size, np.int64)
    chooser = sharing.Sharing()
    room = np.array([7])
    first = chooser.choose(weights, slots, room, nobody)
    assert first is chooser.choose(weights, slots, room, np.zeros(0, np.intp)) and first is not None
    played = chooser.choose(weights, slots, room, np.array([5]))
    assert played is not None and played.own.tolist() == [5]
    assert chooser.choose(weights, slots.copy(), room, nobody) is not first
