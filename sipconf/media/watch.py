"""What a plane tells about itself: each leg's report every two seconds, a leg that fell silent, the plane's own second.

The legs' reports come in as few groups as a tick can carry, each one gather of columns and one message: waking the
process that reads them costs more than writing them. Not here: RTCP (rtp.rtcp).
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from sipconf.media import protocol
from sipconf.media.bank import Bank
from sipconf.media.legs import Legs
from sipconf.media.protocol import Event
from sipconf.rtp.streams import Streams

TICKS_PER_SECOND = 50
REPORT_TICKS = 2 * TICKS_PER_SECOND
"""Ticks in which every leg reports once."""
LEGS_TOGETHER = 250
"""Legs in one report, which takes about a millisecond of the tick that carries it."""


class Watch:
    """Counts ticks and writes reports. banks: the plane's, all of them and those to come. silence_timeout: seconds
    without RTP until LegSilent. capacity: as in PlaneReport. counts: the transport's."""

    def __init__(
        self, legs: Legs, streams: Streams, banks: Sequence[Bank], silence_timeout: float, capacity: int,
        counts: Callable[[], dict[str, int]],
    ) -> None:  # fmt: skip
        self._legs, self._streams, self._banks = legs, streams, banks
        self._silence_timeout, self._capacity = silence_timeout, capacity
        self._counts: Callable[[], dict[str, int]] = counts
        self._counted: dict[str, int] = {}
        self._ticks = 0
        self._late = 0
        self._skipped = 0
        self._busy = 0.0

    def account(self, busy: float, late: bool) -> None:
        """A tick took busy seconds of processor time and was late or not."""
        self._busy += busy
        self._late += late

    def skip(self, ticks: int) -> None:
        """So many ticks were left out."""
        self._skipped += ticks

    def tick(self, now: float) -> list[Event]:
        """Reports due in this tick."""
        events: list[Event] = []
        turn = self._ticks % REPORT_TICKS
        groups = max(1, -(-self._legs.highest // LEGS_TOGETHER))
        # With one or two groups each comes with the plane's own report, and the reader wakes once for both.
        group, between = divmod(turn * groups, REPORT_TICKS)
        if between < groups:
            slots = self._in_use(np.arange(group, self._legs.highest, groups))
            if len(slots):
                events.append(self._leg_reports(slots))
        if self._ticks % TICKS_PER_SECOND == 0:
            events += self._newly_silent(self._in_use(np.arange(self._legs.highest)), now)
            events.append(self._plane_report())
        self._ticks += 1
        return events

    def _in_use(self, slots: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of the slots whose leg has a bank."""
        return slots[self._legs.bank_of[slots] >= 0]

    def _plane_report(self) -> Event:
        ticks = TICKS_PER_SECOND if self._ticks else 0
        counted = {**self._counts(), "malformed": sum([bank.malformed for bank in self._banks])}
        before, self._counted = self._counted, counted
        report = protocol.PlaneReport(
            len(self._legs), ticks, self._late, self._skipped, round(self._busy / max(1, ticks) * 1e3, 3),
            self._capacity, **{name: count - before.get(name, 0) for name, count in counted.items()},
        )  # fmt: skip
        self._late, self._skipped, self._busy = 0, 0, 0.0
        return report

    def _leg_reports(self, slots: NDArray[np.int64]) -> Event:
        """One message about the legs of these slots, all of which have a bank."""
        legs, streams = self._legs, self._streams
        level_db, delay_ms, packets_tx, late = np.empty((4, len(slots)))
        bank_of, rows = legs.bank_of[slots], legs.row_of[slots]
        for bank in self._banks:
            mine = bank_of == bank.index
            own = rows[mine]
            level_db[mine] = bank.levels.levels_db(own)
            delay_ms[mine] = bank.jitter.delay_ms(own)
            packets_tx[mine] = bank.sender.packets[own]
            late[mine] = bank.jitter.late[own]
        columns = np.stack((
            legs.number_of[slots], level_db.round(1), streams.received[slots], packets_tx, streams.lost(slots), late,
            streams.duplicated[slots], streams.strangers[slots], streams.jitter.milliseconds(slots).round(2),
            delay_ms.round(1),
        ), dtype=np.float64, casting="safe")  # fmt: skip
        return protocol.LegReports(columns.tobytes())

    def _newly_silent(self, slots: NDArray[np.int64], now: float) -> list[Event]:
        """Legs whose peer should send and has sent nothing for too long, each told of once."""
        legs = self._legs
        silent = legs.should_send[slots] & (now - self._streams.silent_since(slots) > self._silence_timeout)
        news = slots[silent & ~legs.reported_silent[slots]]
        legs.reported_silent[slots] = silent
        return [protocol.LegSilent(number) for number in legs.number_of[news].tolist()]
