"""The media plane: RTP rows to mixer rows and back, twenty milliseconds at a time.

Implements `protocol.Media` in-process; a worker drives the same object over real sockets, tests over a simulated
network. Commands are queued and applied at the top of the tick. Not here: sockets (rtp.edge), arithmetic on
samples (mixer), buffers and reports of RTP (rtp), what a command does (changes), and any clock: `now` is an
argument.
"""

import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sipconf.media import protocol
from sipconf.media.bank import Bank, BankSettings
from sipconf.media.changes import FOLLOWED_KINDS, TRANSLATED_KINDS, Changes, House, sent
from sipconf.media.legs import Legs
from sipconf.media.protocol import Command, Event
from sipconf.media.transport import Transport
from sipconf.media.watch import Watch
from sipconf.mixer.codecs.g711 import a_law_codes, a_law_values, mu_law_codes, mu_law_values
from sipconf.mixer.codecs.opus import OpusSettings
from sipconf.mixer.mix import Mixer
from sipconf.mixer.prompts import ClipLibrary, RoomPlayer
from sipconf.rtp.batches import Batch, Frames
from sipconf.rtp.packet import Drained, parse
from sipconf.rtp.playout import MAX_DELAY_MS
from sipconf.rtp.rtcp import DUE_AT_ONCE, Reports
from sipconf.rtp.streams import Streams
from sipconf.rtp.telephone_event import EventReceiver

TICK_SECONDS = 0.02
FIRST_LEGS = 64
RTCP_TICKS, REPORTS_TOGETHER = 5, 48
"""RTCP is looked after every so many ticks, and so many reports are composed together where as many are soon due."""
LEGS_PER_REPORT = 25
"""Of so many legs one may be sent its report at once: twice as many as fall due on average."""

_TRANSLATION = {
    TRANSLATED_KINDS["PCMA", "PCMU"]: mu_law_codes()[a_law_values().astype(np.int64) + 32768],
    TRANSLATED_KINDS["PCMU", "PCMA"]: a_law_codes()[mu_law_values().astype(np.int64) + 32768],
}
"""By kind: uint8 (256,), the bank's code for each code of the other law."""


@dataclass(frozen=True, slots=True)
class PlaneSettings:
    """silence_timeout: seconds without RTP until LegSilent. wall_offset: what to add to `now` for seconds since
    1970, which RTCP's sender reports carry. capacity: legs that the machine allows, for PlaneReport. max_delay_ms and
    opus: see BankSettings. one_port: everything is behind the shared port, telephones too."""

    silence_timeout: float = 30.0
    wall_offset: float = 0.0
    capacity: int = 0
    max_delay_ms: int = MAX_DELAY_MS
    opus: OpusSettings = OpusSettings()
    one_port: bool = False


class MediaPlane:
    """All legs and rooms of one worker. streams: the receive columns, shared with the transport, which asks them
    whose a datagram is."""

    def __init__(
        self,
        transport: Transport,
        streams: Streams,
        clips: ClipLibrary,
        settings: PlaneSettings,
        rng: random.Random,
    ) -> None:
        self._transport, self._streams, self._settings = transport, streams, settings
        self._legs = Legs()
        room_player = RoomPlayer(clips)
        self._mixer = Mixer(room_player)
        self._digits = EventReceiver()
        self._reports = Reports(FIRST_LEGS, rng)
        self._house = House(
            transport=transport, streams=streams, reports=self._reports, digits=self._digits, mixer=self._mixer,
            room_player=room_player, clips=clips, rng=rng, legs=self._legs, banks=[], unlatched=set(),
        )  # fmt: skip
        self._banks = self._house.banks
        self._changes = Changes(self._house, settings.wall_offset, BankSettings(settings.max_delay_ms, settings.opus),
                                settings.one_port)
        self._watch = Watch(
            self._legs, streams, self._banks, settings.silence_timeout, settings.capacity, transport.counts
        )
        self._ticks = 0
        self._commands: list[Command] = []
        self._events: list[Event] = []
        self._followed: dict[int, int] = {}  # slots whose peers send another agreed format, its kind

    @property
    def legs(self) -> int:
        """How many are open."""
        return len(self._legs)

    def send(self, command: Command) -> None:
        """Queue a command; it is applied at the top of the next tick."""
        self._commands.append(command)

    def take_events(self) -> list[Event]:
        """Everything that happened since the last call, in order."""
        events, self._events = self._events, []
        return events

    def together(self, leg: int, other: int) -> bool:
        """All legs of a plane can be placed in one room."""
        return True

    def move(self, leg: int, room: int) -> bool:
        """Any leg of a plane can be placed in any room."""
        return True

    def tick(self, now: float) -> None:
        """One frame in and out. now: monotonic seconds, 20 ms after the last call."""
        self._apply_changes(now)
        self._accept(now)
        banks = self._working
        pcm = [bank.decode() for bank in banks]
        self._listen(banks, pcm)
        self._hear_keys(banks)
        mixed = self._mixer.mix(pcm, [bank.player.rows for bank in banks])
        self._play_over(banks, mixed)
        self._guard(banks, mixed)
        for bank, frame, share in zip(banks, mixed, self._mixer.shares, strict=True):
            self._transport.send(*bank.packetise(frame, share))
        self._report(now)

    @property
    def _working(self) -> list[Bank]:
        """The banks that have rows: in others nothing goes on."""
        return [bank for bank in self._banks if bank.size]

    def skip(self, ticks: int) -> None:
        """Time went on for so many ticks without a tick: nobody's timestamps stand still."""
        for bank in self._banks:
            bank.jitter.skip(ticks)
            bank.sender.skip(ticks)
        self._watch.skip(ticks)

    def account(self, busy: float, late: bool) -> None:
        """What whoever keeps the clock noticed about the last tick, for PlaneReport. busy: processor seconds."""
        self._watch.account(busy, late)

    def close(self) -> None:
        """Every port is free again; nobody is told."""
        for leg in list(self._legs):
            self._changes.drop(leg)
        self._transport.close_all()

    def _apply_changes(self, now: float) -> None:
        commands, self._commands = self._commands, []
        for command in commands:
            self._events += self._changes.apply(command, now)

    def _accept(self, now: float) -> None:
        """Datagrams to jitter buffers, digits to events, RTCP to the reports."""
        for drained in self._transport.drain(now):
            if len(drained.slots):
                self._receive_block(drained, now)
        for slot, data in self._transport.drain_rtcp(now):
            if self._hear_rtcp(slot, data, now):
                self._changes.hear_rtcp(slot)
        if self._house.unlatched:
            self._changes.watch_unlatched()
        if self._changes.checked:
            self._events += self._changes.checked.hear(now)

    def _receive_block(self, drained: Drained, now: float) -> None:
        """What was expected the short way, everything else the long one."""
        others: list[NDArray[np.intp]] = []
        for frames, rest in self._streams.receive_expected(drained, now):
            if frames is not None:
                self._store_frames(frames, drained.block)
            if len(rest):
                others.append(rest)
        if not others:
            return
        chosen = others[0] if len(others) == 1 else np.concatenate(others)
        slots, block, lengths, lines = drained
        if len(chosen) == len(slots) and lines is None:
            self._receive(slots, block, lengths, now)
        else:
            self._receive(slots[chosen], block[chosen if lines is None else lines[chosen]], lengths[chosen], now)

    def _receive(
        self, slots: NDArray[np.intp], block: NDArray[np.uint8], lengths: NDArray[np.int64], now: float
    ) -> None:
        """Datagrams of any kind."""
        parsed = parse(block[: len(slots)], lengths, self._streams.level_ids(slots))
        received = self._streams.receive(slots, parsed, now)
        for batch in received.batches:
            self._store(batch, block)
        while self._followed:  # at last: all that came is for the banks that were
            self._events += self._changes.follow(*self._followed.popitem(), now)
        if len(received.events):
            for slot, digit in self._digits.receive(slots, received.events, parsed, block, now):
                self._events.append(protocol.DigitReceived(self._legs.number_at(slot), digit))
        for index in received.rtcp.tolist():
            self._hear_rtcp(int(slots[index]), block[index, : lengths[index]].tobytes(), now)

    def _hear_rtcp(self, slot: int, data: bytes, now: float) -> bool:
        """A report of a leg's peer; what it lost decides what it is sent. Whether it was one."""
        bad = self._reports.bad
        self._reports.receive(slot, data, now, self._streams)
        leg = self._legs.at(slot)
        if leg is not None and leg.bank is not None and leg.bank.encoders is not None:
            leg.bank.encoders.lose(leg.row, float(self._reports.loss_fraction[slot]))
        return self._reports.bad == bad

    def _store_frames(self, frames: Frames, block: NDArray[np.uint8]) -> None:
        """Packets that were just what was expected into their banks' jitter buffers."""
        banks = self._working
        for bank in banks:
            mine = frames
            if len(banks) > 1:
                mine = frames.where(self._legs.bank_of[frames.slots] == bank.index)
            rows = self._legs.row_of[mine.slots]
            if len(rows) and not bank.jitter.put_next(rows, mine.lines, block):
                bank.jitter.put(rows, self._streams.as_batch(mine), block)

    def _store(self, batch: Batch, block: NDArray[np.uint8]) -> None:
        """One packet of each of many legs into their banks' jitter buffers."""
        if np.count_nonzero(batch.kinds):
            batch = self._translate(batch, block)
        banks = self._working
        if len(banks) == 1:
            banks[0].jitter.put(self._legs.row_of[batch.slots], batch, block)
            return
        bank_of = self._legs.bank_of[batch.slots]
        for bank in banks:
            mine = bank_of == bank.index
            if mine.any():
                part = batch.where(mine)
                bank.jitter.put(self._legs.row_of[part.slots], part, block)

    def _translate(self, batch: Batch, block: NDArray[np.uint8]) -> Batch:
        """Packets in the other law of G.711 to their bank's, in place; those of other banks are noted and left out. Few
        legs mix formats: one by one."""
        for position in np.nonzero(batch.kinds)[0].tolist():
            kind = int(batch.kinds[position])
            if kind in FOLLOWED_KINDS:
                self._followed[int(batch.slots[position])] = kind
                continue
            begin = int(batch.offsets[position])
            payload = block[batch.index[position], begin : begin + int(batch.sizes[position])]
            payload[:] = _TRANSLATION[kind][payload]
        return batch.where(batch.kinds < FOLLOWED_KINDS.start) if self._followed else batch

    def _listen(self, banks: list[Bank], pcm: list[NDArray[np.float32]]) -> None:
        """Levels, and who began or ended talking. Who does not talk adds nothing to the mix."""
        for bank, frame in zip(banks, pcm, strict=True):
            for row in bank.hear(frame).tolist():
                slot = int(bank.seats.slots[row])
                if slot >= 0:
                    talking, level = bool(bank.levels.talking[row]), round(bank.levels.level_db(row), 1)
                    self._events.append(protocol.TalkingChanged(self._legs.number_at(slot), talking, level))
            bank.mix.open_gates(bank.levels.talking[: bank.size])
            bank.guards.hear(frame)
            if bank.levels.block_is_full and bank.matching.learn():
                bank.mix.set_gains(bank.matching.gain)

    def _hear_keys(self, banks: list[Bank]) -> None:
        """Digits that came as tones."""
        for bank in banks:
            for row, digit in bank.take_keyed():
                number = self._legs.number_at(int(bank.seats.slots[row]))
                self._events.append(protocol.DigitReceived(number, digit))

    def _play_over(self, banks: list[Bank], mixed: list[NDArray[np.float32]]) -> None:
        """Add what is played to single legs."""
        for bank, frame in zip(banks, mixed, strict=True):
            bank.player.add(frame)
            for row, playback in bank.player.take_finished():
                leg = self._legs.at(int(bank.seats.slots[row]))
                if leg is None:
                    continue
                if leg.playing is not None and leg.playing.playback == playback:
                    leg.playing = None
                self._events.append(protocol.PlaybackEnded(leg.number, playback))

    def _guard(self, banks: list[Bank], sent: list[NDArray[np.float32]]) -> None:
        """Take music on hold and echoes out of the rooms, from the next frame on, and put back what has ended."""
        for bank, frame, share in zip(banks, sent, self._mixer.shares, strict=True):
            if not bank.guards.busy:
                continue
            rows = bank.guards.rows
            for row, reason in bank.guards.listen(frame[rows] if share is None else share.heard(frame, rows)):
                leg = self._legs.at(int(bank.seats.slots[row]))
                if leg is not None:
                    self._events += self._changes.guard(leg, reason)

    def _report(self, now: float) -> None:
        """RTCP that is due, some ticks' together, and the reports to the switchboard."""
        self._ticks += 1
        if self._ticks % RTCP_TICKS == 0:
            self._send_reports(now)
        self._events += self._watch.tick(now)

    def _send_reports(self, now: float) -> None:
        due = self._reports.due(now, max(DUE_AT_ONCE, len(self._legs) // LEGS_PER_REPORT), REPORTS_TOGETHER)
        legs = [leg for leg in map(self._legs.at, due) if leg is not None and leg.terms is not None]
        if legs:
            slots, wall = [leg.slot for leg in legs], now + self._settings.wall_offset
            reports = self._reports.compose(slots, now, wall, streams=self._streams, sent=sent(legs))
            for leg, data in zip(legs, reports, strict=True):
                self._changes.send_rtcp(leg, data)
