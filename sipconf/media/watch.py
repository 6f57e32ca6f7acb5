"""What a plane tells about itself: a report per leg and second, a leg that fell silent, the plane's own second.

The legs' reports are spread over the second, so that no tick carries them all. Not here: RTCP (rtp.rtcp).
"""

import numpy as np

from sipconf.media import protocol
from sipconf.media.legs import Leg, Legs
from sipconf.media.protocol import Event
from sipconf.rtp.streams import Streams

TICKS_PER_SECOND = 50


class Watch:
    """Counts ticks and writes reports. silence_timeout: seconds without RTP until LegSilent."""

    def __init__(self, legs: Legs, streams: Streams, silence_timeout: float) -> None:
        self._legs, self._streams, self._silence_timeout = legs, streams, silence_timeout
        self._ticks = 0
        self._late = 0
        self._skipped = 0
        self._busy = 0.0

    def account(self, busy: float, late: bool) -> None:
        """A tick took busy seconds and was late or not."""
        self._busy += busy
        self._late += late

    def skip(self, ticks: int) -> None:
        """So many ticks were left out."""
        self._skipped += ticks

    def tick(self, now: float) -> list[Event]:
        """Reports due in this tick."""
        due = range(self._ticks % TICKS_PER_SECOND, self._legs.highest, TICKS_PER_SECOND)
        legs = [leg for leg in map(self._legs.at, due) if leg is not None and leg.bank is not None]
        events = self._leg_reports(legs, now) if legs else []
        self._ticks += 1
        if self._ticks % TICKS_PER_SECOND == 1:
            events.append(self._plane_report())
        return events

    def _plane_report(self) -> Event:
        ticks = TICKS_PER_SECOND if self._ticks > 1 else 0
        report = protocol.PlaneReport(
            len(self._legs), ticks, self._late, self._skipped, round(self._busy / max(1, ticks) * 1e3, 3)
        )
        self._late, self._skipped, self._busy = 0, 0, 0.0
        return report

    def _leg_reports(self, legs: list[Leg], now: float) -> list[Event]:
        streams = self._streams
        slots = np.array([leg.slot for leg in legs])
        silent = (now - streams.silent_since(slots) > self._silence_timeout).tolist()
        columns = zip(
            streams.received[slots].tolist(),
            streams.lost(slots).tolist(),
            streams.duplicated[slots].tolist(),
            streams.strangers[slots].tolist(),
            streams.jitter_ms(slots).round(2).tolist(),
            strict=True,
        )
        events: list[Event] = []
        for leg, is_silent, (received, lost, duplicated, strangers, jitter_ms) in zip(
            legs, silent, columns, strict=True
        ):
            bank, row = leg.bank, leg.row
            assert bank is not None
            level_db, packets_tx, late, delay_ms = bank.figures(row)
            events.append(
                protocol.LegReport(
                    leg.number, level_db, received, packets_tx, lost, late, duplicated, strangers, jitter_ms, delay_ms
                )
            )
            if is_silent and leg.should_send and not leg.reported_silent:
                events.append(protocol.LegSilent(leg.number))
            leg.reported_silent = is_silent and leg.should_send
        return events
