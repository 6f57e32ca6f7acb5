"""What each command does to legs, banks, streams and ports: the changes at the top of a tick.

Not here: the tick itself (plane) and what rooms sound like (mixer).
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sipconf.errors import MisuseError, SipconfError
from sipconf.media import protocol
from sipconf.media.bank import Bank, BankSettings
from sipconf.media.checked import CheckedLegs
from sipconf.media.legs import SENDING, Leg, Legs
from sipconf.media.protocol import Command, ConnectLeg, Event
from sipconf.media.transport import Transport
from sipconf.media.unproven import UNPROVEN_PACKETS, is_proven, usable
from sipconf.mixer.mix import Mixer
from sipconf.mixer.prompts import ClipLibrary, RoomPlayer
from sipconf.rtp.formats import FrameFormat, lookup
from sipconf.rtp.latching import plain
from sipconf.rtp.rtcp import Reports, Sent
from sipconf.rtp.streams import MAX_KIND, Streams
from sipconf.rtp.telephone_event import EventReceiver

OWN_KIND = 0
"""Kind of a packet that is in the format of its leg's bank."""
TRANSLATED_KINDS = {("PCMA", "PCMU"): 1, ("PCMU", "PCMA"): 2}
"""(encoding that comes, encoding of the bank) -> kind of a packet that is translated code by code when it
arrives."""
FOLLOWED_KINDS = range(3, MAX_KIND + 1)
"""Kinds of packets in another format of ConnectLeg.rx_formats, by its place there, for which the leg changes banks."""
FOLLOW_SECONDS = 0.2
"""A leg follows its peer to another format no sooner after it has done so."""


@dataclass(slots=True)
class House:
    """Everything of a plane that a change may touch."""

    transport: Transport
    streams: Streams
    reports: Reports
    digits: EventReceiver
    mixer: Mixer
    room_player: RoomPlayer
    clips: ClipLibrary
    rng: random.Random
    legs: Legs
    banks: list[Bank]
    unlatched: set[int]
    """Slots that may send but whose peer has not shown itself: they send nothing, or little (media.unproven)."""


def sent(legs: Sequence[Leg]) -> Sent:
    """What the sender reports of connected legs say they have sent."""
    packets, octets, timestamp = (np.empty(len(legs), np.int64) for _ in range(3))
    for i, leg in enumerate(legs):
        assert leg.bank is not None
        sender = leg.bank.sender
        packets[i], timestamp[i] = sender.packets[leg.row], sender.timestamp[leg.row]
        octets[i] = sender.octets_of(leg.row)
    return Sent(packets, octets, timestamp)


class Changes:
    """Applies commands, in order. wall_offset: added to `now` it gives seconds since 1970. one_port: all legs are
    behind the shared port, telephones too."""

    def __init__(self, house: House, wall_offset: float, banks: BankSettings, one_port: bool) -> None:
        self._house, self._wall_offset, self._bank_settings, self._one_port = house, wall_offset, banks, one_port
        self.checked = CheckedLegs(house.transport, house.legs, self.direct)

    def apply(self, command: Command, now: float) -> list[Event]:
        """One command's effect, and the events it causes. A command for a leg that is not open (any more) does
        nothing: its LegFailed crossed the command."""
        if isinstance(command, protocol.PlayToRoom):
            self._house.room_player.play(command.room, command.clips)
            return []
        if isinstance(command, protocol.OpenLeg):
            return self._open(command, now)
        leg = self._house.legs.get(command.leg)
        if leg is None:
            return []
        match command:
            case protocol.ConnectLeg():
                return self._connect(leg, command, now)
            case protocol.SecureLeg():
                return self._secure(leg, command.keys)
            case protocol.CloseLeg():
                self._close(leg, now)
            case protocol.PlaceLeg():
                leg.room = command.room
                return self._place(leg)
            case protocol.MuteLeg():
                leg.muted = command.muted
                return self._place(leg)
            case protocol.TreatLeg():
                leg.level_matching, leg.guards = command.level_matching, command.guards
                return self._place(leg)
            case protocol.PlayToLeg():
                leg.playing = command
                self._play(leg)
            case protocol.StopLegPlayback():
                leg.playing = None
                if leg.bank is not None:
                    leg.bank.player.stop(leg.row)
        return []

    def _open(self, command: protocol.OpenLeg, now: float) -> list[Event]:
        house, rng = self._house, self._house.rng
        if house.legs.get(command.leg) is not None:
            raise MisuseError(f"leg {command.leg} is open already")
        # RFC 3550 section 5.1: random start of sequence, timestamp and SSRC.
        leg = house.legs.open(
            command.leg, command.cname, rng.getrandbits(32), rng.getrandbits(16), rng.getrandbits(32)
        )
        leg.allowance, leg.own_ports = UNPROVEN_PACKETS, command.own_ports
        port = shared_port = 0
        try:
            if command.ice is not None:
                shared_port = self.checked.open(leg, command.ice, now)
            if command.own_ports:
                port = house.transport.open(leg.slot, command.address)
        except SipconfError as error:
            if shared_port:
                house.transport.leave_shared(leg.slot)
            self.checked.close(leg)
            house.legs.close(leg)
            return [protocol.LegFailed(command.leg, str(error))]
        house.streams.open(leg.slot)
        house.reports.open(leg.slot, now, leg.cname, leg.ssrc)
        return [protocol.LegOpened(command.leg, port, max(port, shared_port) if self._one_port else shared_port)]

    def _secure(self, leg: Leg, keys: protocol.SrtpKeys) -> list[Event]:
        try:
            self.checked.secure(leg, keys)
        except SipconfError as error:
            self.drop(leg)
            return [protocol.LegFailed(leg.number, str(error))]
        self.direct(leg)
        return []

    def _connect(self, leg: Leg, terms: ConnectLeg, now: float) -> list[Event]:
        if not self.checked.connect(leg, terms, now):
            self.drop(leg)
            return [protocol.LegFailed(leg.number, "the call's media has no port")]
        if terms.srtp is not None and (failed := self._secure(leg, terms.srtp)):
            return failed
        before, terms = leg.terms, _addressed(terms)
        if before is not None and terms.tx_formats and (
            (before.rx_formats, before.tx_formats) == (terms.rx_formats, terms.tx_formats)
        ):  # fmt: skip
            terms = replace(terms, tx_format=before.tx_format)  # where it was followed to
        return self._agree(leg, terms, now)

    def follow(self, slot: int, kind: int, now: float) -> list[Event]:
        """The leg's peer sends another of the formats that were agreed on: it is sent that too (RFC 3264 section 7)."""
        leg = self._house.legs.at(slot)
        if leg is None or leg.terms is None or now - leg.followed_at < FOLLOW_SECONDS:
            return []
        leg.followed_at = now
        return self._agree(leg, replace(leg.terms, tx_format=leg.terms.tx_formats[FOLLOWED_KINDS.index(kind)]), now)

    def _agree(self, leg: Leg, terms: ConnectLeg, now: float) -> list[Event]:
        """Seat a leg in the bank of what it is sent, and let it hear what it may be sent."""
        house = self._house
        leg.terms = terms
        format = lookup(terms.tx_format.encoding, terms.tx_format.clock_rate)
        events: list[Event] = []
        if leg.bank is None or leg.bank.format != format:
            events = self.guard(leg, None)  # what was found stays with the bank that is left
            self._move(leg, self._bank(format), terms, now)
        assert leg.bank is not None
        leg.bank.sender.set_payload_type(leg.row, terms.tx_format.payload_type)
        restart = house.streams.connect(
            leg.slot, remote=terms.remote, signalling_host=terms.signalling_host, clock_rate=format.clock_rate,
            kinds=_kinds(terms, format), telephone_event=terms.telephone_event, remote_rtcp=terms.remote_rtcp, now=now,
            frame=(0, 0) if format.varies else (format.frame_bytes, format.samples), audio_level=terms.audio_level,
        )  # fmt: skip
        if not leg.checked:
            house.transport.connect(leg.slot, terms.remote, terms.remote_rtcp, terms.rtcp_mux, restart)
        house.legs.should_send[leg.slot] = leg.should_send
        house.legs.reported_silent[leg.slot] = False
        self.direct(leg)
        return events + self._place(leg)

    def _bank(self, format: FrameFormat) -> Bank:
        for bank in self._house.banks:
            if bank.format == format:
                return bank
        bank = Bank(format, self._house.clips, len(self._house.banks), self._bank_settings)
        self._house.banks.append(bank)
        self._house.mixer.add_bank(bank.mix, always_share=bank.encoders is not None)
        return bank

    def _move(self, leg: Leg, bank: Bank, terms: ConnectLeg, now: float) -> None:
        """Seat a leg in a bank; its stream goes on there when the clock rate is the same."""
        house = self._house
        if leg.bank is not None:
            former = leg.bank
            leg.sequence = int(former.sender.sequence[leg.row])
            leg.timestamp = int(former.sender.timestamp[leg.row])
            former.close(leg.row)
            if former.format.clock_rate != bank.format.clock_rate:
                # A stream keeps one clock rate for its life (RFC 7160 section 4.1): this is another stream.
                leg.ssrc = house.rng.getrandbits(32)
                house.reports.close(leg.slot)
                house.reports.open(leg.slot, now, leg.cname, leg.ssrc)
        row = bank.open(
            leg.slot, payload_type=terms.tx_format.payload_type, sequence=leg.sequence, timestamp=leg.timestamp,
            ssrc=leg.ssrc,
        )  # fmt: skip
        house.legs.seat(leg, bank, row)
        if leg.playing is not None:
            self._play(leg)

    def direct(self, leg: Leg) -> None:
        """Let the leg's packets go out if its direction says so and there is somebody to send to."""
        house = self._house
        if leg.bank is None or leg.terms is None:
            return
        wants = leg.terms.direction in SENDING
        leg.bank.send_from(leg.row, wants and self._may_send(leg))
        if leg.checked or self._is_settled(leg):
            house.unlatched.discard(leg.slot)
        else:
            house.unlatched.add(leg.slot)

    def _is_settled(self, leg: Leg) -> bool:
        """Whether the leg knows whom it talks to, and on the shared port has keys to do so."""
        assert leg.terms is not None
        if leg.checked:
            return leg.pair is not None and leg.keyed
        if self._house.streams.latched(leg.slot) is not None:
            return True
        return leg.terms.remote is not None and is_proven(leg)

    def _may_send(self, leg: Leg) -> bool:
        """Whether there is an address to send to, and it may have another packet."""
        assert leg.terms is not None
        return self._is_settled(leg) or (leg.terms.remote is not None and leg.allowance > 0)

    def watch_unlatched(self) -> None:
        """Every tick: who has latched meanwhile, and who has sent all that he may."""
        for slot in list(self._house.unlatched):
            leg = self._house.legs.at(slot)
            if leg is None or leg.bank is None:
                continue
            if (latched := self._house.streams.latched(slot)) is not None:
                leg.heard_from.add(latched)
                self.direct(leg)
            elif leg.bank.sending[leg.row]:
                self._spend(leg)

    def _spend(self, leg: Leg) -> None:
        leg.allowance -= 1
        if leg.allowance <= 0:
            self.direct(leg)

    def hear_rtcp(self, slot: int) -> None:
        """The leg's peer has sent a report: where it was sent from is a place that wants our packets."""
        leg = self._house.legs.at(slot)
        if slot in self._house.unlatched and leg is not None and leg.terms is not None and leg.terms.remote is not None:
            leg.heard_from.add(plain(leg.terms.remote))
            self.direct(leg)

    def send_rtcp(self, leg: Leg, data: bytes) -> None:
        """Send a report to the leg's peer, if it may have one."""
        if not self._is_settled(leg):
            if not self._may_send(leg):
                return
            self._spend(leg)
        self._house.transport.send_rtcp(leg.slot, data)

    def guard(self, leg: Leg, reason: str | None) -> list[Event]:
        """A guard has found something of a leg, or (None) has nothing against it any more."""
        if reason == leg.guard:
            return []
        leg.guard = reason
        if leg.bank is not None:
            leg.bank.mix.mute(leg.row, not leg.heard)
        return [protocol.GuardChanged(leg.number, reason)]

    def _place(self, leg: Leg) -> list[Event]:
        events: list[Event] = []
        if leg.bank is not None:
            watched = leg.guards and leg.room is not None and leg.may_speak
            leg.bank.guards.watch(leg.row, watched)
            if not watched:
                events = self.guard(leg, None)
            leg.bank.mix.mute(leg.row, not leg.heard)
            leg.bank.mix.place(leg.row, leg.room)
            leg.bank.inband.listen(leg.row, leg.keys_in_band, strict=leg.room is not None)
            leg.bank.matching.match(leg.row, leg.level_matching and leg.room is not None)
            leg.bank.mix.set_gains(leg.bank.matching.gain)
        return events

    def _play(self, leg: Leg) -> None:
        if leg.bank is not None and leg.playing is not None:
            leg.bank.player.play(leg.row, leg.playing.playback, leg.playing.clips, leg.playing.loop)

    def _close(self, leg: Leg, now: float) -> None:
        house, slot = self._house, leg.slot
        if leg.terms is not None:
            wall = now + self._wall_offset
            self.send_rtcp(leg, house.reports.compose_bye(slot, now, wall, streams=house.streams, sent=sent([leg])))
        self.drop(leg)

    def drop(self, leg: Leg) -> None:
        """Forget a leg and free its ports, without a word to its peer."""
        house, slot = self._house, leg.slot
        house.transport.close(slot)
        house.streams.close(slot)
        house.reports.close(slot)
        house.digits.close(slot)
        house.unlatched.discard(slot)
        if leg.bank is not None:
            leg.bank.close(leg.row)
        self.checked.close(leg)
        house.legs.close(leg)


def _kinds(terms: ConnectLeg, format: FrameFormat) -> dict[int, int]:
    """Payload type -> kind, of what a leg in the bank of this format may be sent."""
    kinds = {}
    for place, offered in enumerate(terms.rx_formats):
        pair = (offered.encoding.upper(), format.encoding.upper())
        kind = OWN_KIND if pair[0] == pair[1] else TRANSLATED_KINDS.get(pair)
        if kind is not None and offered.clock_rate == format.clock_rate:
            kinds[offered.payload_type] = kind
        elif place < min(len(terms.tx_formats), len(FOLLOWED_KINDS)):
            kinds[offered.payload_type] = FOLLOWED_KINDS[place]
    return kinds


def _addressed(terms: ConnectLeg) -> ConnectLeg:
    """The terms with those addresses alone that may be sent to; none of a leg whose checks tell its address."""
    if terms.webrtc is not None:
        return replace(terms, remote=None, remote_rtcp=None, signalling_host="")
    remote, remote_rtcp = (usable(address, terms.signalling_host) for address in (terms.remote, terms.remote_rtcp))
    return replace(terms, remote=remote, remote_rtcp=remote_rtcp)
