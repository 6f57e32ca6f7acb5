"""The minus-one: everyone in a room hears the room's sum less themselves.

    out_i = h_i * (S_r - w_i x_i + sum over the room's other rates q of resample(S_q -> r) + what the room is
    played)

Resampling is linear and a leg is part of its own rate's sum only, so sums are resampled, never legs. What is
subtracted is the very array that was added: a leg that is being muted never hears itself inverted. Weights come
from `legs`.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sipconf.mixer.frame import RATES, Pcm, Rows, ramp, samples_per_frame
from sipconf.mixer.legs import NOWHERE, MixBank, Weights
from sipconf.mixer.resample import Resampler
from sipconf.mixer.sharing import Share, Sharing, room_product

BLOCK_ROWS = 256
RAMP_OPENING = 8  # times as fast as other ramps does a closed gate open: within 2.5 ms


class RoomSound(Protocol):
    """What rooms are played: adds itself into the sums, once per rate, then moves on by a frame."""

    def add(self, rate: int, rooms: NDArray[np.int64], sums: Pcm) -> None:
        """Add to sums (len(rooms), samples) in place; row k is the room rooms[k], in ascending order."""

    def advance(self) -> None:
        """The frame has been added at every rate."""


class Mixer:
    """All banks of a plane and the rooms that span them."""

    def __init__(self, room_player: RoomSound | None = None) -> None:
        self._room_player = room_player
        self._banks: list[MixBank] = []
        self._membership: list[int] = []
        self._working: list[int] = []  # places of the banks that have rows
        self._plans: dict[int, _BankPlan] = {}
        self._rooms: dict[int, NDArray[np.int64]] = {}  # rate -> room numbers that have a leg at it, ascending
        self._bridges: dict[tuple[int, int], _Bridge] = {}
        self._outs: list[Pcm] = []
        self._sharings: list[Sharing] = []
        self.shares: list[Share | None] = []
        """Of the last frame, as mix() answers it: how a bank's listeners share what they hear, None where they do
        not."""
        self._ramps = {rate: ramp(samples_per_frame(rate)) for rate in RATES}
        # A word that begins in this frame must not be faded in across it.
        self._openings = {rate: np.minimum(1, RAMP_OPENING * rise) for rate, rise in self._ramps.items()}

    def add_bank(self, bank: MixBank, always_share: bool = False) -> None:
        """Mix this bank too, from the next frame on that it has rows in; its place in the lists of mix() is behind the
        others. always_share: what its rows hear is told by shares, however few share."""
        self._banks.append(bank)
        self._outs.append(np.zeros((0, bank.samples), np.float32))
        self._sharings.append(Sharing(always_share))

    def mix(self, pcm: list[Pcm], played: list[Rows] | None = None) -> list[Pcm]:
        """One frame. pcm: of each bank that has rows, in their order, what its legs said, float32 (size, samples),
        used up. The answer, one array of the same shape for each, is what each leg hears: perhaps the same array, or
        one overwritten by the next call.

        played: of the same banks, rows that will hear something over the mix. With it, where the bank's place in shares
        is not None only its own rows of the answer count, and the others hear its common frames."""
        if self._membership != [bank.membership for bank in self._banks]:
            self._plan()
        working = self._working
        weights = [self._banks[b].weights() for b in working]
        self.shares = [None] * len(pcm) if played is None else [
            self._sharings[b].choose(weight, self._plans[b].slots, self._rooms[self._banks[b].clock_rate], rows)
            for b, weight, rows in zip(working, weights, played, strict=True)
        ]  # fmt: skip
        parts = list(zip(working, pcm, weights, self.shares, strict=True))
        totals = self._sum([self._talk(*part) for part in parts])
        answer = [self._listen(*part, totals) for part in parts]
        for b in working:
            self._banks[b].settle()
        return answer

    def _talk(self, b: int, pcm: Pcm, weights: Weights, share: Share | None) -> Pcm | float:
        """What a bank's rows add to the rooms of its rate, (rooms, samples)."""
        rate = self._banks[b].clock_rate
        if share is not None:
            return share.sum(pcm, self._ramps[rate], self._openings[rate])
        if weights.column is not None:
            np.multiply(pcm, weights.column, out=pcm)
        else:
            if len(weights.silent):
                pcm[weights.silent] = 0
            if len(weights.scaled):
                pcm[weights.scaled] *= weights.factor
        if len(weights.ramping):
            before, after = weights.before[:, None], weights.after[:, None]
            shape = np.where(before == 0, self._openings[rate], self._ramps[rate])
            pcm[weights.ramping] *= before + (after - before) * shape
        return self._plans[b].sum(pcm)

    def _sum(self, added: list[Pcm | float]) -> dict[int, Pcm]:
        """added: what each bank with rows adds to its rate's rooms. Answers rate -> what the rooms of that rate hear,
        float32 (rooms + 1, samples); the last row is no room: silence."""
        own: dict[int, Pcm] = {}
        for rate, rooms in self._rooms.items():
            own[rate] = np.zeros((len(rooms) + 1, samples_per_frame(rate)), np.float32)
        for b, sums in zip(self._working, added, strict=True):
            own[self._banks[b].clock_rate][:-1] += sums
        totals = own
        if self._bridges:
            totals = {rate: sums.copy() for rate, sums in own.items()}
            for (rate_in, rate_out), bridge in self._bridges.items():
                totals[rate_out][bridge.rows_out] += bridge.resampler.process(own[rate_in][bridge.rows_in])
        if self._room_player is not None:
            for rate, rooms in self._rooms.items():
                self._room_player.add(rate, rooms, totals[rate][:-1])
            self._room_player.advance()
        return totals

    def _listen(
        self, b: int, pcm: Pcm, weights: Weights, share: Share | None, totals: dict[int, Pcm]
    ) -> Pcm:
        bank, size = self._banks[b], len(pcm)
        slots, sums = self._plans[b].slots, totals[bank.clock_rate]
        if share is not None:
            share.listen(pcm, sums, self._ramps[bank.clock_rate])
            return pcm
        ramping, goal = weights.listening, weights.goal
        if len(sums) == 2 and self._plans[b].everyone:
            out = np.subtract(sums[0], pcm, out=pcm)  # where it stands: another array would be fetched into the cache
        else:
            if len(self._outs[b]) < size:
                self._outs[b] = np.empty((2 * size, bank.samples), np.float32)
            out = self._outs[b][:size]
            for first in range(0, size, BLOCK_ROWS):
                part = slice(first, min(size, first + BLOCK_ROWS))
                sums.take(slots[part], axis=0, out=out[part], mode="clip")
                np.subtract(out[part], pcm[part], out=out[part])
        if len(ramping):
            rise = self._ramps[bank.clock_rate]
            out[ramping] *= np.where(goal[:, None] == 1, rise, 1 - rise)
        return out

    def _plan(self) -> None:
        """Who is where has changed: number the rooms of each rate and prepare sums and bridges for them."""
        self._membership = [bank.membership for bank in self._banks]
        members: dict[int, list[NDArray[np.int64]]] = {}
        self._working = [b for b, bank in enumerate(self._banks) if bank.size]
        banks = {b: self._banks[b] for b in self._working}
        for bank in banks.values():
            room = bank.room[: bank.size]
            members.setdefault(bank.clock_rate, []).append(room[room != NOWHERE])
        self._rooms = {rate: np.unique(np.concatenate(rooms)) for rate, rooms in members.items()}
        self._plans = {b: _BankPlan(bank, self._rooms[bank.clock_rate]) for b, bank in banks.items()}
        bridges: dict[tuple[int, int], _Bridge] = {}
        for rate_in, rooms_in in self._rooms.items():
            for rate_out, rooms_out in self._rooms.items():
                both, rows_in, rows_out = np.intersect1d(rooms_in, rooms_out, return_indices=True)
                if rate_in == rate_out or not len(both):
                    continue
                known = self._bridges.get((rate_in, rate_out))
                resampler = known.resampler if known else Resampler(rate_in, rate_out)
                resampler.keep(both)
                bridges[rate_in, rate_out] = _Bridge(resampler, rows_in, rows_out)
        self._bridges = bridges


class _Bridge:
    """The resampler that carries sums of the rooms that have both rates, and where these stand in each rate's
    sums."""

    def __init__(self, resampler: Resampler, rows_in: NDArray[np.intp], rows_out: NDArray[np.intp]) -> None:
        self.resampler = resampler
        self.rows_in = rows_in
        self.rows_out = rows_out


class _BankPlan:
    """How a bank's rows add up to the rooms of its rate; good until someone joins or leaves."""

    def __init__(self, bank: MixBank, rooms: NDArray[np.int64]) -> None:
        room = bank.room[: bank.size].copy()
        inside = room != NOWHERE
        self.slots = np.where(inside, np.searchsorted(rooms, room), len(rooms))
        self.everyone = bool(inside.all())
        self._size = bank.size
        self._product = room_product(self.slots, len(rooms))

    def sum(self, pcm: Pcm) -> Pcm:
        """float32 (size, samples) to the sum of each room, (rooms, samples)."""
        return self._product @ pcm[: self._size]
