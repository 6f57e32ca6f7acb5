"""When a leg's RTCP reports are due, what they say, and what the peer's say of us (RFC 3550 sections 6.2 to 6.4).

State by slot. Not here: the octets (rtcp_packets) and whose datagrams are accepted (latching).
"""

import math
import random
from dataclasses import dataclass
from heapq import heappop, heappush, heapreplace

import numpy as np

from sipconf.errors import PeerError
from sipconf.rtp.rtcp_packets import (
    Bye,
    ReceiverReport,
    ReportBlock,
    SenderInfo,
    SenderReport,
    build_bye,
    build_report,
    build_sdes,
    parse_compound,
)
from sipconf.rtp.streams import Streams

NTP_EPOCH = 2_208_988_800
"""Seconds from 1900 to 1970."""
DUE_AT_ONCE = 32
"""Reports sent in one tick at most: what is left over is sent in the next ones."""
_MIDDLE = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Sent:
    """What we have sent to a leg: packets, payload octets, and the RTP timestamp of this moment."""

    packets: int
    octets: int
    timestamp: int


@dataclass(slots=True)
class _Leg:
    ssrc: int
    generation: int
    description: bytes  # the SDES, which is always the same
    source: int | None = None
    expected: int = 0
    received: int = 0
    sender_report_of: int = 0
    sender_report: int = 0
    sender_report_at: float = 0.0


class Reports:
    """Reports of all legs. rtt: round trip in s by slot, nan while unknown; peer_fraction_lost: 0 to 1, as the peer
    reported of what we send; bad: datagrams that were no valid compound."""

    def __init__(self, capacity: int, rng: random.Random, interval: float = 5.0) -> None:
        self.rtt = np.full(capacity, np.nan)
        self.peer_fraction_lost = np.zeros(capacity)
        self.bad = 0
        self._rng = rng
        self._interval = interval
        self._legs: dict[int, _Leg] = {}
        self._queue: list[tuple[float, int, int]] = []
        self._generation = 0
        self._wall_ahead = 0.0

    def open(self, slot: int, now: float, cname: str, ssrc: int) -> None:
        """Begin reporting to a leg; ssrc, cname: ours."""
        if slot >= len(self.rtt):
            more = max(slot + 1, 2 * len(self.rtt)) - len(self.rtt)
            self.rtt = np.concatenate([self.rtt, np.full(more, np.nan)])
            self.peer_fraction_lost = np.concatenate([self.peer_fraction_lost, np.zeros(more)])
        self._generation += 1
        self._legs[slot] = _Leg(ssrc, self._generation, build_sdes(ssrc, cname))
        self.rtt[slot], self.peer_fraction_lost[slot] = math.nan, 0.0
        # The first after half the interval (RFC 3550 section 6.2).
        heappush(self._queue, self._planned(slot, self._generation, now, self._interval / 2))

    def close(self, slot: int) -> None:
        """Report no more to this leg."""
        self._legs.pop(slot, None)

    def _planned(self, slot: int, generation: int, now: float, interval: float) -> tuple[float, int, int]:
        # 0.5 to 1.5 of the interval, so that legs never fall into step (RFC 3550 section 6.3.1).
        return now + interval * self._rng.uniform(0.5, 1.5), slot, generation

    def due(self, now: float, limit: int = DUE_AT_ONCE) -> list[int]:
        """Slots whose report is due, at most limit of them; each is planned anew."""
        slots: list[int] = []
        while self._queue and self._queue[0][0] <= now and len(slots) < limit:
            _, slot, generation = self._queue[0]
            leg = self._legs.get(slot)
            if leg is not None and leg.generation == generation:
                slots.append(slot)
                heapreplace(self._queue, self._planned(slot, generation, now, self._interval))
            else:
                heappop(self._queue)
        return slots

    def compose(self, slot: int, now: float, wall: float, *, streams: Streams, sent: Sent | None) -> bytes:
        """SR (or RR when sent is None) and SDES for a leg. wall: seconds since 1970 at the moment now."""
        leg = self._legs[slot]
        self._wall_ahead = wall - now
        blocks = (self._block(slot, leg, now, streams),) if streams.started[slot] else ()
        info = None
        if sent is not None:
            info = SenderInfo(_ntp(wall), sent.timestamp & 0xFFFFFFFF, sent.packets, sent.octets)
        return build_report(leg.ssrc, info, blocks) + leg.description

    def compose_bye(self, slot: int, now: float, wall: float, streams: Streams, sent: Sent | None) -> bytes:
        """The last compound of a leg: report, SDES and BYE (RFC 3550 section 6.6)."""
        return self.compose(slot, now, wall, streams=streams, sent=sent) + build_bye(self._legs[slot].ssrc)

    def _block(self, slot: int, leg: _Leg, now: float, streams: Streams) -> ReportBlock:
        """What we received since the last report (RFC 3550 A.3)."""
        source = int(streams.ssrc[slot])
        highest, expected, received = streams.sequence.figures(slot)
        if leg.source != source or expected < leg.expected or received < leg.received:
            leg.source, leg.expected, leg.received = source, 0, 0
        expected_now, received_now = expected - leg.expected, received - leg.received
        leg.expected, leg.received = expected, received
        lost_now = expected_now - received_now
        fraction = (lost_now << 8) // expected_now if lost_now > 0 else 0
        since = 0
        last = leg.sender_report if leg.sender_report_of == source else 0
        if last:
            since = min(int((now - leg.sender_report_at) * 65536), _MIDDLE)
        return ReportBlock(
            ssrc=source,
            fraction=min(fraction, 255),
            lost=max(min(expected - received, 0x7FFFFF), -0x800000),
            highest=highest & 0xFFFFFFFF,
            jitter=int(streams.jitter[slot]),
            last_report=last,
            since_last=since,
        )

    def receive(self, slot: int, data: bytes, now: float, streams: Streams) -> bool:
        """Read a compound from the leg's own peer; True when it says BYE for the stream we take.

        An invalid compound is counted and changes nothing.
        """
        leg = self._legs.get(slot)
        if leg is None:
            return False
        try:
            packets = parse_compound(data)
        except PeerError:
            self.bad += 1
            return False
        bye = False
        source = int(streams.ssrc[slot]) if streams.started[slot] else None
        for one in packets:
            if isinstance(one, SenderReport) and one.ssrc == source:
                leg.sender_report_of = one.ssrc
                leg.sender_report = (one.info.ntp >> 16) & _MIDDLE
                leg.sender_report_at = now
            if isinstance(one, SenderReport | ReceiverReport):
                for block in one.blocks:
                    if block.ssrc == leg.ssrc:
                        self._hear_of_us(slot, block, now)
            if isinstance(one, Bye) and source in one.sources:
                bye = True
        return bye

    def _hear_of_us(self, slot: int, block: ReportBlock, now: float) -> None:
        """A peer's view of what we send. Its LSR is our own clock's, so the round trip needs no other (6.4.1)."""
        self.peer_fraction_lost[slot] = block.fraction / 256
        if not block.last_report:
            return
        trip = ((_ntp(now + self._wall_ahead) >> 16) - block.last_report - block.since_last) & _MIDDLE
        if trip < 0x80000000:
            self.rtt[slot] = trip / 65536


def _ntp(wall: float) -> int:
    """64-bit NTP timestamp of seconds since 1970 (RFC 3550 section 4)."""
    return int((wall + NTP_EPOCH) * 4294967296) & 0xFFFFFFFFFFFFFFFF
