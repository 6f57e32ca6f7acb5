"""The watchdog of the event loop, with a clock that a test moves."""

import pytest

from sipconf.clock import Clock
from sipconf.watchdog import LATE, TELL_EVERY, Watchdog


def test_lag_is_counted_and_told_of_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = [100.0]
    dog = Watchdog(Clock(lambda: now[0], lambda: now[0]))
    dog.note(100.0 - LATE)
    assert (dog.stalls, dog.stalled) == (0, 0.0), "on the edge is not late"
    for _ in range(1000):
        now[0] += 0.1
        dog.note(now[0] - 0.2)
    assert dog.stalls == 1000 and dog.stalled == pytest.approx(200.0)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2 and "200 ms late (1 times" in lines[0]
    now[0] += TELL_EVERY
    dog.note(now[0] - 1.0)
    assert "1000 ms late" in caplog.records[-1].getMessage()


async def test_it_notices_somebody_who_holds_up_the_loop() -> None:
    import asyncio
    import time

    dog = Watchdog()
    task = asyncio.create_task(dog.watch())
    await asyncio.sleep(0)
    time.sleep(0.2)
    async with asyncio.timeout(60):
        while not dog.stalls:
            await asyncio.sleep(0.01)
    task.cancel()
    assert dog.stalled > LATE
