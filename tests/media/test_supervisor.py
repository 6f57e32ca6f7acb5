"""The asyncio side: a worker that starts, answers, dies, comes back and stops."""

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from sipconf.errors import MisuseError, StartError
from sipconf.media import protocol, supervisor
from sipconf.media.supervisor import MediaSupervisor, WorkerSettings

PORTS = WorkerSettings(28_640, 28_679)
PATIENCE = 60.0  # seconds until a test is given up; nothing is judged by it


class Front:
    """Collects what the supervisor tells."""

    def __init__(self, settings: WorkerSettings = PORTS) -> None:
        self.media = MediaSupervisor(settings, self.on_events)
        self.events: list[protocol.Event] = []
        self.news = asyncio.Event()

    def on_events(self) -> None:
        taken = self.media.take_events()
        assert taken, "called without news"
        self.events += taken
        self.news.set()

    async def until(self, wanted: protocol.Event | type) -> protocol.Event:
        """The first event that is, or is of the kind that is, wanted."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for event in self.events:
                    if event == wanted or (isinstance(wanted, type) and isinstance(event, wanted)):
                        return event
                self.news.clear()
                await self.news.wait()


async def test_a_leg_is_opened_in_another_process_and_the_worker_stops_within_a_second() -> None:
    front = Front()
    await front.media.start()
    try:
        assert front.media.pid not in (None, os.getpid())
        front.media.send(protocol.OpenLeg(3, "127.0.0.1", "x"))
        opened = await front.until(protocol.LegOpened)
        assert isinstance(opened, protocol.LegOpened) and opened.leg == 3 and opened.port % 2 == 0
        await front.until(protocol.PlaneReport)
    finally:
        before = time.monotonic()
        pid = front.media.pid
        await front.media.stop()
    assert time.monotonic() - before < 1.0
    assert pid is not None and not os.path.exists(f"/proc/{pid}")
    assert front.media.restarts == 0


async def test_a_dead_worker_fails_its_legs_and_another_takes_over() -> None:
    front = Front()
    await front.media.start()
    try:
        for leg in (1, 2, 3):
            front.media.send(protocol.OpenLeg(leg, "127.0.0.1", "x"))
        front.media.send(protocol.CloseLeg(2))
        await front.until(protocol.LegOpened(3, 0).__class__)
        first = front.media.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await front.until(protocol.LegFailed)
        failed = {event.leg for event in front.events if isinstance(event, protocol.LegFailed)}
        assert failed == {1, 3}
        front.media.send(protocol.MuteLeg(1, True))  # of a lost leg: left out
        front.events.clear()
        front.media.send(protocol.OpenLeg(4, "127.0.0.1", "x"))
        opened = await front.until(protocol.LegOpened)
        assert isinstance(opened, protocol.LegOpened) and opened.leg == 4
        assert front.media.pid != first and front.media.restarts == 1
    finally:
        await front.media.stop()


async def test_a_hung_worker_is_killed_and_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "HANG_TIMEOUT", 2.5)
    front = Front()
    await front.media.start()
    try:
        front.media.send(protocol.OpenLeg(1, "127.0.0.1", "x"))
        await front.until(protocol.LegOpened)
        first = front.media.pid
        assert first is not None
        os.kill(first, signal.SIGSTOP)
        await front.until(protocol.LegFailed)
        assert front.media.restarts == 1
    finally:
        await front.media.stop()


async def test_a_worker_that_is_slow_to_start_is_not_taken_for_hung(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "slow-python"
    slow.write_text(f'#!/bin/sh\nsleep 2\nexec {sys.executable} "$@"\n')
    slow.chmod(0o755)
    monkeypatch.setattr(supervisor.sys, "executable", str(slow))
    monkeypatch.setattr(supervisor, "HANG_TIMEOUT", 1.0)
    front = Front()
    await front.media.start()
    assert front.media.restarts == 0
    await front.media.stop()


async def test_a_worker_that_cannot_start_is_one_clear_error(capfd: pytest.CaptureFixture[str]) -> None:
    front = Front(WorkerSettings(28_640, 28_679, sounds="/nonexistent/sounds"))
    with pytest.raises(StartError):
        await front.media.start()
    assert "Traceback" not in capfd.readouterr().err


async def test_commands_before_the_start_are_our_mistake() -> None:
    front = Front()
    with pytest.raises(MisuseError):
        front.media.send(protocol.OpenLeg(1, "127.0.0.1", "x"))


async def test_the_workers_log_lines_are_of_the_servers_format(capfd: pytest.CaptureFixture[str]) -> None:
    broken = WorkerSettings(28_700, 28_719, sounds="there-is-no-such-folder", log_format="json")
    with pytest.raises(StartError):
        await MediaSupervisor(broken, lambda: None).start()
    (line,) = [text for text in capfd.readouterr().err.splitlines() if "there-is-no-such-folder" in text]
    entry = json.loads(line)
    assert entry["level"] == "error" and "no such folder of sounds" in entry["message"]


def heap_flags(pid: int | None) -> list[str]:
    """What the kernel has been told of a process's heap (proc_pid_smaps(5), VmFlags)."""
    heap = Path(f"/proc/{pid}/smaps").read_text().partition("[heap]")[2]
    return heap.partition("VmFlags:")[2].splitlines()[0].split()


HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.mark.skipif(
    not HUGE_PAGES.exists() or "[madvise]" not in HUGE_PAGES.read_text(),
    reason="huge pages are not there for the asking: all have them, or nobody",
)
async def test_a_worker_asks_for_huge_pages_unless_the_user_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    front = Front()
    await front.media.start()
    flags = heap_flags(front.media.pid)
    await front.media.stop()
    assert "hg" in flags
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=0")
    front = Front()
    await front.media.start()
    flags = heap_flags(front.media.pid)
    await front.media.stop()
    assert "hg" not in flags
