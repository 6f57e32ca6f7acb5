"""What comes in, leg by leg: which source is believed, order, loss (RFC 3550 sections 6.4, A.1).

Everything is a column by slot, the leg's number in the whole plane. Packets pass in rounds that hold every slot at most
once, so that a round is a handful of array operations. Not here: playing them out (jitter), reading sockets (edge).
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from sipconf.errors import MisuseError
from sipconf.rtp.batches import Batch, Frames, Received, gapless
from sipconf.rtp.interarrival import InterarrivalJitter
from sipconf.rtp.latching import STILL_TALKING, Address, Latch, Verdict, plain
from sipconf.rtp.packet import HEADER_BYTES, NO_LEVEL, Drained, Parsed
from sipconf.rtp.probation import Probation
from sipconf.rtp.sequence import SequenceColumns
from sipconf.rtp.successors import Successors

MAX_KIND = 15
"""Highest number a caller may give a format."""
COMFORT_NOISE = 13
"""Payload type of RFC 3389: counted in the sequence, never played."""

SHORT_ROUNDS = 3
"""Rounds of one block in which packets are looked for that were expected: each costs the same, however few it holds."""

Datagram = memoryview | bytes

_EVENT, _PASSED_OVER, _UNKNOWN = 253, 254, 255
_NOBODY = -1
_WRAP = 0xFFFFFFFF


class Streams:
    """Receive columns of all legs. received, duplicated, strangers, bad: packets; started: a source is believed.

    is_authentic: asked of a leg's packet before its source is believed; a stranger's moves nothing, and is counted by
    note_stranger, as are those found later."""

    def __init__(self, capacity: int = 64, is_authentic: Callable[[int, Datagram], bool] | None = None) -> None:
        self._is_authentic = is_authentic
        self.sequence = SequenceColumns(capacity)
        self.ssrc = np.zeros(capacity, np.int64)
        self.started = np.zeros(capacity, bool)
        self._believed = np.full(capacity, _NOBODY, np.int64)  # ssrc where started
        self.strangers = np.zeros(capacity, np.int64)
        self.bad = np.zeros(capacity, np.int64)
        self.last_packet = np.full(capacity, -np.inf)
        self.connected_at = np.full(capacity, -np.inf)
        self.jitter = InterarrivalJitter(capacity)
        self._successors = Successors(capacity)
        self._numbers = np.arange(capacity)
        self._ascending: tuple[NDArray[np.intp], ...] = ()  # the slots last found so
        self._probations: dict[int, Probation] = {}
        self._leader = np.zeros(capacity, np.intp)
        self._kinds = np.full((capacity, 128), _UNKNOWN, np.uint8)
        self._level_ids = np.zeros(capacity, np.int64)
        self._some_tell = 0  # legs that have such an id
        self._latches: list[Latch | None] = [None] * capacity

    # --- slots -------------------------------------------------------------------------------------------------------
    def reserve(self, slot: int) -> None:
        """Make sure that a slot exists."""
        old = len(self.ssrc)
        if slot < old:
            return
        capacity = max(slot + 1, 2 * old)
        fresh = Streams(capacity)
        self.sequence.grow(capacity)
        self._successors.grow(capacity)
        self.jitter.grow(capacity)
        for name, column in self.__dict__.items():
            if isinstance(column, np.ndarray):
                wider = getattr(fresh, name)
                wider[:old] = column
                setattr(self, name, wider)
        self._latches += [None] * (capacity - old)

    def open(self, slot: int) -> None:
        """Begin a leg: counters at zero, and every packet is a stranger's until it is connected."""
        self.reserve(slot)
        self.close(slot)
        self.sequence.clear(slot)
        self.jitter.clear(slot)
        self.strangers[slot] = self.bad[slot] = 0
        self.last_packet[slot] = self.connected_at[slot] = -np.inf

    def connect(
        self,
        slot: int,
        *,
        remote: Address | None,
        signalling_host: str,
        clock_rate: int,
        kinds: dict[int, int],
        telephone_event: int | None,
        remote_rtcp: Address | None,
        now: float,
        frame: tuple[int, int] = (0, 0),
        audio_level: int | None = None,
    ) -> bool:
        """Tell a leg its peer and what it may send; kinds: payload type -> 0..MAX_KIND, returned in batches. frame:
        octets and samples of one frame of kind 0, if all are alike; such packets may then be taken by
        `receive_expected`. audio_level: id of the header extension that tells it (RFC 6464).

        Returns True when a source has to prove itself anew. The latch stays when the same peer, still talking, is named
        again (a re-INVITE for other reasons), or when the first question is still open.
        """
        if any(not 0 <= kind <= MAX_KIND for kind in kinds.values()):
            raise MisuseError("kinds are 0 to 15")
        table = self._kinds[slot]
        table[:] = _UNKNOWN
        table[COMFORT_NOISE] = _PASSED_OVER
        for payload_type, kind in kinds.items():
            table[payload_type] = kind
        if telephone_event is not None:
            table[telephone_event] = _EVENT
        self.jitter.rate_is(slot, clock_rate)
        self._successors.frame_is(slot, *frame)
        self._tell_levels(slot, audio_level or 0)
        remote = plain(remote) if remote else None
        host = plain((signalling_host, 0))[0]
        latch = self._latches[slot]
        if latch is not None and (latch.remote, latch.host) == (remote, host):
            if latch.latched is None or now - self.last_packet[slot] < STILL_TALKING:
                latch.remote_rtcp = plain(remote_rtcp) if remote_rtcp else None
                return False
        self._latches[slot] = Latch(remote, host, plain(remote_rtcp) if remote_rtcp else None, now)
        self.started[slot] = False
        self._believed[slot] = _NOBODY
        self._probations.pop(slot, None)
        self.connected_at[slot] = now
        return True

    def _tell_levels(self, slot: int, number: int) -> None:
        self._some_tell += (number > 0) - int(self._level_ids[slot] > 0)
        self._level_ids[slot] = number

    def level_ids(self, slots: NDArray[np.intp]) -> NDArray[np.int64] | None:
        """For packets of these slots the ids of the extensions that tell levels, 0 for none; None: no leg has one."""
        return self._level_ids.take(slots) if self._some_tell else None

    def close(self, slot: int) -> None:
        """Nothing that comes for this slot is taken any more; its counters stay readable."""
        self._latches[slot] = None
        self._kinds[slot] = _UNKNOWN
        self._successors.forget(slot)
        self._tell_levels(slot, 0)
        self.started[slot] = False
        self._believed[slot] = _NOBODY
        self._probations.pop(slot, None)

    # --- sources -----------------------------------------------------------------------------------------------------
    def latched(self, slot: int) -> Address | None:
        """The source this leg has settled on."""
        latch = self._latches[slot]
        return latch.latched if latch else None

    def signalling_host(self, slot: int) -> str:
        """Where the leg's signalling came from; "" before it is connected."""
        latch = self._latches[slot]
        return latch.host if latch else ""

    def source_of(self, slot: int, address: tuple, datagram: Datagram, now: float) -> Verdict:
        """Judge the source of a datagram that came to a leg's RTP port; only for sockets not yet connected."""
        latch = self._latches[slot]
        address = plain(address)
        if latch is None or not latch.allows(address):
            self.strangers[slot] += 1
            return Verdict.DROP
        if latch.latched is not None:
            return Verdict.ACCEPT
        kind = self._kinds[slot, datagram[1] & 0x7F] if len(datagram) >= HEADER_BYTES else _UNKNOWN
        if kind == _UNKNOWN or datagram[0] >> 6 != 2:
            self.bad[slot] += 1
            return Verdict.DROP
        if self._is_authentic is not None and not self._is_authentic(slot, datagram):
            return Verdict.DROP
        sequence = int.from_bytes(datagram[2:4])
        ssrc = int.from_bytes(datagram[8:12])
        verdict = latch.consider(address, ssrc, sequence, now)
        if verdict is Verdict.LATCH:
            assert latch.proven is not None
            self._probations[slot] = latch.proven  # `receive` asks no other of its SSRC
        return verdict

    def note_stranger(self, slot: int) -> None:
        """Count a packet that was found not to be the leg's peer's, or not to be new."""
        self.strangers[slot] += 1

    def rtcp_source_of(self, slot: int, address: tuple, datagram: Datagram) -> bool:
        """Whether a datagram on a leg's RTCP port comes from its peer."""
        latch = self._latches[slot]
        ssrc_known = (
            len(datagram) >= 8
            and bool(self.started[slot])
            and int.from_bytes(datagram[4:8]) == self.ssrc[slot]
        )
        if latch is not None and latch.allows_rtcp(plain(address), ssrc_known):
            return True
        self.strangers[slot] += 1
        return False

    # --- packets -----------------------------------------------------------------------------------------------------
    def receive_expected(self, drained: Drained, now: float) -> Iterator[tuple[Frames | None, NDArray[np.intp]]]:
        """Take those packets whose whole header was expected. Yields them round by round, to be stored before the next
        is asked for, each with the positions of the others that came, which `receive` is for."""
        slots, begin = drained.slots, 0
        for _ in range(SHORT_ROUNDS):
            end = begin + self._round_length(slots[begin:] if begin else slots)
            yield self._take_expected(drained, now, begin, end)
            begin = end
            if begin == len(slots):
                return
        yield None, np.flatnonzero(drained.lengths[begin:] > 0) + begin

    def _round_length(self, slots: NDArray[np.intp]) -> int:
        """How many of the slots, from the first on, are in ascending order."""
        if self._ascending and slots is self._ascending[0]:
            return len(slots)
        falls = (slots[1:] <= slots[:-1]).nonzero()[0]
        if len(falls):
            return int(falls[0]) + 1
        self._ascending = (slots,)
        return len(slots)

    def _take_expected(
        self, drained: Drained, now: float, begin: int, end: int
    ) -> tuple[Frames | None, NDArray[np.intp]]:
        """The same for one round, which is at these positions."""
        slots, block, lengths, lines = drained.part(begin, end)
        came, everyone = self._successors.compare(slots, block, lengths, lines)
        count, top = len(slots), len(came)
        if not everyone and not np.count_nonzero(came):
            return None, self._left(slots, lengths > 0) + begin
        self.jitter.measure_expected(self._successors.timestamps_of(top), came, everyone, now)
        self._successors.advance(came, everyone)
        self.sequence.advance_expected(came)
        if everyone:
            self.last_packet[:top] = now
            if lines is None:
                lines = np.arange(begin, end) if begin else self._numbers[:count]
            return Frames(lines, slots), _EMPTY
        np.copyto(self.last_packet[:top], now, where=came)
        expected = came.take(slots)
        if lines is not None and np.count_nonzero(expected) == count:
            return Frames(lines, slots), _EMPTY
        index = expected.nonzero()[0]
        others = lengths > 0
        others &= ~expected
        frames = Frames(index + begin if lines is None else lines.take(index), slots.take(index))
        return frames, self._left(slots, others) + begin

    def _left(self, slots: NDArray[np.intp], others: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Positions of packets for the long way; what else their slots brought has to wait for them."""
        left = others.nonzero()[0]
        if len(left):
            self._successors.forget(slots.take(left))
        return left

    def as_batch(self, frames: Frames) -> Batch:
        """The packets that `receive_expected` has just found, told as `receive` tells of any others."""
        count = len(frames.slots)
        timestamps, sizes = self._successors.taken(frames.slots)
        nothing = np.zeros(count, bool)
        offsets = np.full(count, HEADER_BYTES)
        kinds, levels = np.zeros(count, np.uint8), np.full(count, NO_LEVEL, np.uint8)
        return Batch(frames.index, frames.slots, kinds, timestamps & _WRAP, offsets, sizes, nothing, nothing, levels)

    def receive(self, slots: NDArray[np.intp], parsed: Parsed, now: float) -> Received:
        """Sort a block's packets into streams. slots: int (P,), the leg of each; now: when the block was read (s)."""
        kinds = self._kinds.reshape(-1).take(slots * 128 + parsed.payload_type, mode="clip")
        usable = parsed.valid & (kinds != _UNKNOWN)
        rtcp = _EMPTY
        if np.count_nonzero(usable) == len(slots):
            positions = np.arange(len(slots))
        else:
            positions = np.flatnonzero(usable)
            rtcp = np.flatnonzero(parsed.rtcp)
            np.add.at(self.bad, slots[~usable & ~parsed.rtcp], 1)
        batches: list[Batch] = []
        events: list[NDArray[np.intp]] = []
        for round_ in self._rounds(positions, slots):
            self._receive_round(round_, slots, kinds, parsed, now, batches, events)
        return Received(batches, np.concatenate(events) if events else _EMPTY, rtcp)

    def _rounds(
        self, positions: NDArray[np.intp], slots: NDArray[np.intp]
    ) -> Iterator[NDArray[np.intp]]:
        """Split positions into rounds in which no slot comes twice, each slot's packets in order."""
        leader = self._leader
        while len(positions):
            legs = slots[gapless(positions)]
            if np.count_nonzero(legs[1:] > legs[:-1]) == len(legs) - 1:
                yield positions
                return
            leader[legs[::-1]] = positions[::-1]  # of equal slots the last written, so the earliest packet, stays
            leads = leader.take(legs) == positions
            first = np.count_nonzero(leads)
            if first == len(positions):
                yield positions
                return
            if np.count_nonzero(leads[:first]) == first:  # second packets stand behind all the first ones
                yield positions[:first]
                positions = positions[first:]
                continue
            yield positions[leads]
            positions = positions[~leads]

    def _receive_round(
        self,
        positions: NDArray[np.intp],
        all_slots: NDArray[np.intp],
        all_kinds: NDArray[np.uint8],
        parsed: Parsed,
        now: float,
        batches: list[Batch],
        events: list[NDArray[np.intp]],
    ) -> None:
        """Probation, sequence and jitter of one round; its audio becomes a batch."""
        chosen = gapless(positions)
        slots, ssrc = all_slots[chosen], parsed.ssrc[chosen]
        fresh = np.zeros(len(positions), bool)
        known = ssrc == self._believed.take(slots)
        if np.count_nonzero(known) != len(known):
            for i in np.flatnonzero(~known).tolist():
                fresh[i] = self._try_source(int(slots[i]), int(ssrc[i]), int(parsed.sequence[positions[i]]))
            known |= fresh
            positions, slots, fresh = positions[known], slots[known], fresh[known]
            chosen = gapless(positions)
        self.last_packet[slots] = now
        sequence = parsed.sequence[chosen]
        if not self.sequence.advance_in_order(slots, sequence):
            taken, restarted = self.sequence.advance(slots, sequence)
            fresh |= restarted
            positions, slots, fresh = positions[taken], slots[taken], fresh[taken]
            chosen = gapless(positions)
        self._successors.forget(slots)
        kinds = all_kinds[chosen]
        audio = kinds <= MAX_KIND
        if np.count_nonzero(audio) != len(audio):
            events.append(positions[kinds == _EVENT])
            positions, slots, kinds, fresh = positions[audio], slots[audio], kinds[audio], fresh[audio]
            chosen = gapless(positions)
        if not len(positions):
            return
        timestamps = parsed.timestamp[chosen]
        self.jitter.measure(slots, timestamps, fresh, now)
        offsets, sizes, markers = parsed.offset[chosen], parsed.size[chosen], parsed.marker[chosen]
        levels = parsed.levels[chosen]
        batches.append(Batch(positions, slots, kinds, timestamps, offsets, sizes, markers, fresh, levels))
        self._expect_successors(batches[-1], parsed.sequence[chosen], parsed.payload_type[chosen])

    def _expect_successors(
        self, batch: Batch, sequence: NDArray[np.int64], payload_types: NDArray[np.int64]
    ) -> None:
        """Behind the packets that are their streams' newest, of kind 0 and with a plain header."""
        newest = (self.sequence.highest.take(batch.slots) ^ sequence) & 0xFFFF == 0
        newest &= (batch.kinds == 0) & (batch.offsets == HEADER_BYTES)
        slots = batch.slots[newest]
        self._successors.expect(
            slots, payload_types=payload_types[newest], sequence=sequence[newest], timestamps=batch.timestamps[newest],
            ssrc=self._believed.take(slots), sizes=batch.sizes[newest],
        )  # fmt: skip

    def _try_source(self, slot: int, ssrc: int, sequence: int) -> bool:
        """Probation of an SSRC that is not the leg's: True when it has just become it."""
        if not self._probations.setdefault(slot, Probation()).hear(ssrc, sequence):
            return False
        del self._probations[slot]
        self.ssrc[slot] = ssrc
        self.started[slot] = True
        self._believed[slot] = ssrc
        self.sequence.begin(slot, sequence)
        return True

    # --- figures -----------------------------------------------------------------------------------------------------
    @property
    def received(self) -> NDArray[np.int64]:
        """Packets of believed sources, by slot."""
        return self.sequence.arrived

    @property
    def duplicated(self) -> NDArray[np.int64]:
        """Packets that came again, by slot."""
        return self.sequence.duplicated

    def lost(self, slots: NDArray[np.intp] | int) -> NDArray[np.int64]:
        """Packets that never came, since the leg was opened."""
        return self.sequence.lost(slots)

    def silent_since(self, slots: NDArray[np.intp] | int) -> NDArray[np.float64]:
        """When the last packet was taken, or the leg was connected if that is later or none came (s)."""
        return np.maximum(self.last_packet[slots], self.connected_at[slots])


_EMPTY = np.zeros(0, np.intp)
