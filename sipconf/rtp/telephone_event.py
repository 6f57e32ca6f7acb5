"""Digits as named telephone events (RFC 4733): read from packets, and built.

A digit lasts many packets that share one timestamp; it is reported once, at the first of them that comes, however long
it lasts: a lost end leaves nothing open, a stuck key says one digit. Screening by payload type has already been done
for a whole block (streams). Not here: in-band tones, and what a digit means.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sipconf.errors import MisuseError
from sipconf.rtp.packet import Parsed

DIGITS = "0123456789*#ABCD"
"""Events 0 to 15 (RFC 4733 section 3.2)."""
PAYLOAD_BYTES = 4
REMEMBERED = 4
"""Recent digits of a leg whose stray packets are still known as theirs."""
END_REPEATS = 3
"""How often the last packet of an event is sent (RFC 4733 section 2.5.1.4)."""
OVER_AFTER = 2.0
"""Seconds without a packet after which an event is over, its end heard or not."""
MAX_DURATION = 0xFFFF
MAX_SEGMENTS = 16
"""So many segments may be missing between two packets of one long event."""


@dataclass(slots=True)
class _Event:
    """An event that is going on, or was of late. heard: when its last packet came (s)."""

    ssrc: int
    timestamp: int
    code: int
    heard: float


class EventReceiver:
    """Which events have been reported, by slot."""

    def __init__(self) -> None:
        self._recent: dict[int, list[_Event]] = {}

    def close(self, slot: int) -> None:
        """Forget a leg."""
        self._recent.pop(slot, None)

    def receive(
        self, slots: NDArray[np.intp], events: NDArray[np.intp], parsed: Parsed, block: NDArray[np.uint8], now: float
    ) -> list[tuple[int, str]]:
        """The new digits among a block's event packets as (slot, digit), in order of arrival.

        events: positions (E,) in the block; slots: int (P,), the leg of every packet of the block.
        """
        digits = []
        for i in events.tolist():
            offset = int(parsed.offset[i])
            if int(parsed.size[i]) < PAYLOAD_BYTES or block[i, offset] >= len(DIGITS):
                continue
            slot, code = int(slots[i]), int(block[i, offset])
            duration = int(block[i, offset + 2]) << 8 | int(block[i, offset + 3])
            came = _Event(int(parsed.ssrc[i]), int(parsed.timestamp[i]), code, now)
            if self._is_new(slot, came, duration):
                digits.append((slot, DIGITS[code]))
        return digits

    def _is_new(self, slot: int, came: _Event, duration: int) -> bool:
        recent = self._recent.setdefault(slot, [])
        # An event whose end was lost is over when nothing more of it comes.
        recent[:] = [each for each in recent if came.heard - each.heard <= OVER_AFTER]
        for each in recent:
            # One event, one (source, timestamp) however many packets (RFC 4733 section 2.5.1.2).
            if (each.ssrc, each.timestamp, each.code) == (came.ssrc, came.timestamp, came.code):
                each.heard = came.heard
                return False
        last = recent[-1] if recent else None
        new = last is None or (last.ssrc, last.code) != (came.ssrc, came.code)
        elapsed = 0 if last is None else (came.timestamp - last.timestamp) & 0xFFFFFFFF
        if not new and 0 < elapsed < duration:
            # Some telephones move the timestamp along within a digit: it then differs from the begin by the duration
            # that the packet itself states.
            last.heard = came.heard
            return False
        # A key held for more than 0xFFFF units begins a new segment (RFC 4733 section 2.5.1.3): still the same digit.
        goes_on = not new and elapsed in range(MAX_DURATION, MAX_SEGMENTS * MAX_DURATION, MAX_DURATION)
        recent.append(came)
        del recent[:-REMEMBERED]
        return not goes_on


def build(digit: str, duration: int, end: bool, volume: int = 10) -> bytes:
    """An event's payload (RFC 4733 section 2.3). duration in timestamp units, volume in -dBm0 (0 to 63)."""
    event = DIGITS.find(digit)
    if event < 0 or len(digit) != 1 or not 0 <= volume <= 63:
        raise MisuseError(f"no telephone event {digit!r} at volume {volume}")
    return bytes((event, (0x80 if end else 0) | volume)) + min(duration, MAX_DURATION).to_bytes(2)


def digit_packets(
    digit: str,
    *,
    payload_type: int,
    sequence: int,
    timestamp: int,
    ssrc: int,
    duration_ms: int = 100,
    clock_rate: int = 8000,
    interval_ms: int = 20,
) -> Iterator[bytes]:
    """The packets of one digit, to be sent one every interval_ms; the last END_REPEATS carry the end bit.

    The marker is on the first; all share the timestamp; sequence numbers count from `sequence`.
    """
    steps = max(-(-duration_ms // interval_ms), 1)
    for n in range(steps + END_REPEATS - 1):
        end = n >= steps - 1
        duration = min(n + 1, steps) * interval_ms * clock_rate // 1000
        header = bytes((0x80, (0x80 if n == 0 else 0) | payload_type)) + ((sequence + n) & 0xFFFF).to_bytes(2)
        header += (timestamp & 0xFFFFFFFF).to_bytes(4) + (ssrc & 0xFFFFFFFF).to_bytes(4)
        yield header + build(digit, duration, end)
