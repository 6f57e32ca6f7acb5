"""When a leg's RTCP reports are due, what they say, and what the peer's say of us (RFC 3550 sections 6.2 to 6.4).

State by slot. Not here: the octets (rtcp_packets) and whose datagrams are accepted (latching).
"""

import math
import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sipconf.errors import PeerError
from sipconf.rtp.rtcp_packets import (
    Bye,
    ReceiverReport,
    ReportBlock,
    SenderReport,
    build_bye,
    build_reports,
    build_sdes,
    parse_compound,
)
from sipconf.rtp.streams import Streams

NTP_EPOCH = 2_208_988_800
"""Seconds from 1900 to 1970."""
DUE_AT_ONCE = 64
"""Reports sent at one time at most: what is left over is sent the next time."""
PATIENCE = 0.5
"""Seconds that a report waits for company: composing one alone costs as much as composing fifty."""
LOSS_WEIGHT = 0.25
"""Of the newest report in the mean of a peer's losses: browsers report every second or so."""
_MIDDLE = 0xFFFFFFFF
_NOBODY = -1


@dataclass(frozen=True, slots=True)
class Sent:
    """What we have sent to legs: packets, payload octets, and the RTP timestamp of this moment, each int64 (n,)."""

    packets: NDArray[np.int64]
    octets: NDArray[np.int64]
    timestamp: NDArray[np.int64]


class Reports:
    """Reports of all legs. rtt: round trip in s by slot, nan while unknown; loss_fraction: float32, 0 to 1, of what we
    send lately, as the peer reports it, smoothed; bad: datagrams that were no valid compound."""

    def __init__(self, capacity: int, rng: random.Random, interval: float = 5.0) -> None:
        self.rtt = np.full(capacity, np.nan)
        self.loss_fraction = np.zeros(capacity, np.float32)
        self.bad = 0
        self._rng = rng
        self._interval = interval
        self._wall_ahead = 0.0
        self._due_at = np.full(capacity, np.inf)
        self._ssrc = np.zeros(capacity, np.int64)  # ours
        self._descriptions: dict[int, bytes] = {}  # the SDES, which is always the same
        # What the last report spoke of, and the last sender report of the peer.
        self._source = np.full(capacity, _NOBODY, np.int64)
        self._expected = np.zeros(capacity, np.int64)
        self._received = np.zeros(capacity, np.int64)
        self._sent = np.zeros(capacity, np.int64)
        self._sender = np.full(capacity, _NOBODY, np.int64)
        self._sender_report = np.zeros(capacity, np.int64)
        self._sender_report_at = np.zeros(capacity)

    def open(self, slot: int, now: float, cname: str, ssrc: int) -> None:
        """Begin reporting to a leg; ssrc, cname: ours."""
        if slot >= len(self.rtt):
            fresh = Reports(max(slot + 1, 2 * len(self.rtt)), self._rng)
            for name, column in self.__dict__.items():
                if isinstance(column, np.ndarray):
                    wider = getattr(fresh, name)
                    wider[: len(column)] = column
                    setattr(self, name, wider)
        self._descriptions[slot] = build_sdes(ssrc, cname)
        self._ssrc[slot] = ssrc
        self._source[slot] = self._sender[slot] = _NOBODY
        self._sent[slot] = 0
        self.rtt[slot], self.loss_fraction[slot] = math.nan, 0.0
        # The first after half the interval (RFC 3550 section 6.2).
        self._plan(slot, now, self._interval / 2)

    def close(self, slot: int) -> None:
        """Report no more to this leg."""
        if self._descriptions.pop(slot, None) is not None:
            self._due_at[slot] = math.inf

    def _plan(self, slot: int, now: float, interval: float) -> None:
        # 0.5 to 1.5 of the interval, so that legs never fall into step (RFC 3550 section 6.3.1).
        self._due_at[slot] = now + interval * self._rng.uniform(0.5, 1.5)

    def due(self, now: float, limit: int = DUE_AT_ONCE, together: int = 1) -> list[int]:
        """Slots whose report is due, at most limit of them, the longest due first; each is planned anew. None before
        so many are together, or one has waited for long enough."""
        due = np.flatnonzero(self._due_at <= now)
        if len(due) < together and not np.count_nonzero(self._due_at <= now - PATIENCE):
            return []
        if len(due) > limit:
            due = due[np.argsort(self._due_at[due])[:limit]]
        slots: list[int] = due.tolist()
        for slot in slots:
            self._plan(slot, now, self._interval)
        return slots

    def compose(self, slots: list[int], now: float, wall: float, *, streams: Streams, sent: Sent) -> list[bytes]:
        """SR and SDES for each of these legs, or RR and SDES where nothing was sent since its last report (RFC 3550
        section 6.4). wall: seconds since 1970 at the moment now."""
        self._wall_ahead = wall - now
        places = np.array(slots, np.intp)
        blocks = self._blocks(places, now, streams)
        sending = self._sent[places] != sent.packets
        self._sent[places] = sent.packets
        reports = build_reports(
            self._ssrc[places], (_ntp(wall), sent.timestamp, sent.packets, sent.octets), blocks, sending=sending,
            reporting=streams.started[places],
        )  # fmt: skip
        return [report + self._descriptions[slot] for slot, report in zip(slots, reports, strict=True)]

    def compose_bye(self, slot: int, now: float, wall: float, *, streams: Streams, sent: Sent) -> bytes:
        """The last compound of a leg: report, SDES and BYE (RFC 3550 section 6.6)."""
        (report,) = self.compose([slot], now, wall, streams=streams, sent=sent)
        return report + build_bye(int(self._ssrc[slot]))

    def _blocks(self, slots: NDArray[np.intp], now: float, streams: Streams) -> NDArray[np.int64]:
        """What we received since the last report (RFC 3550 A.3): the words of a report block for each, (n, 6)."""
        source = streams.ssrc[slots]
        highest, expected, received = streams.sequence.figures(slots)
        known = self._source[slots] == source
        known &= (expected >= self._expected[slots]) & (received >= self._received[slots])
        expected_now = expected - self._expected[slots] * known
        lost_now = expected_now - (received - self._received[slots] * known)
        self._source[slots], self._expected[slots], self._received[slots] = source, expected, received
        fraction = (np.maximum(lost_now, 0) << 8) // np.maximum(expected_now, 1)
        lost = np.maximum(np.minimum(expected - received, 0x7FFFFF), -0x800000)
        heard = self._sender[slots] == source
        since = ((now - self._sender_report_at[slots]) * 65536).astype(np.int64)
        words = np.empty((len(slots), 6), np.int64)
        words[:, 0] = source
        words[:, 1] = np.minimum(fraction, 255) << 24 | lost & 0xFFFFFF
        words[:, 2] = highest
        words[:, 3] = streams.jitter.mean[slots]
        words[:, 4] = self._sender_report[slots] * heard
        words[:, 5] = np.minimum(since, _MIDDLE) * heard
        return words

    def receive(self, slot: int, data: bytes, now: float, streams: Streams) -> bool:
        """Read a compound from the leg's own peer; True when it says BYE for the stream we take.

        An invalid compound is counted and changes nothing.
        """
        if slot not in self._descriptions:
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
                self._sender[slot] = one.ssrc
                self._sender_report[slot] = (one.info.ntp >> 16) & _MIDDLE
                self._sender_report_at[slot] = now
            if isinstance(one, SenderReport | ReceiverReport):
                for block in one.blocks:
                    if block.ssrc == self._ssrc[slot]:
                        self._hear_of_us(slot, block, now)
            if isinstance(one, Bye) and source in one.sources:
                bye = True
        return bye

    def _hear_of_us(self, slot: int, block: ReportBlock, now: float) -> None:
        """A peer's view of what we send. Its LSR is our own clock's, so the round trip needs no other (6.4.1)."""
        self.loss_fraction[slot] += LOSS_WEIGHT * (block.fraction / 256 - self.loss_fraction[slot])
        if not block.last_report:
            return
        trip = ((_ntp(now + self._wall_ahead) >> 16) - block.last_report - block.since_last) & _MIDDLE
        if trip < 0x80000000:
            self.rtt[slot] = trip / 65536


def _ntp(wall: float) -> int:
    """64-bit NTP timestamp of seconds since 1970 (RFC 3550 section 4)."""
    return int((wall + NTP_EPOCH) * 4294967296) & 0xFFFFFFFFFFFFFFFF
