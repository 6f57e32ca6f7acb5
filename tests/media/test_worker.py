"""The worker's clock, its accounting, and the process itself: what it imports, ignores, and when it ends."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from sipconf.media import protocol
from sipconf.media.pipe import Pipe, open_pair
from sipconf.media.plane import TICK_SECONDS
from sipconf.media.supervisor import WorkerSettings, worker_environment
from sipconf.media.worker import COMMANDS_PER_TICK, RunQueueWait, TickClock, raise_file_limit, run

PORTS = WorkerSettings(28_600, 28_639)


class Machine:
    """Time that passes when it is told to: monotonic clock, sleep, and the wait for a processor."""

    def __init__(self) -> None:
        self.now, self.waited, self.oversleep, self.queue = 1000.0, 0.0, 0.0, 0.0

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds + self.oversleep
        self.waited += self.queue

    def clock(self) -> TickClock:
        return TickClock(lambda: self.now, self.sleep, lambda: self.waited)


def test_the_clock_ticks_every_20_ms_whatever_a_tick_takes() -> None:
    machine = Machine()
    clock = machine.clock()
    for number in range(1, 10):
        now, skipped, late = clock.wait()
        assert now == pytest.approx(1000 + number * TICK_SECONDS)
        assert (skipped, late) == (0, False)
        machine.now += 0.001 * number


def test_a_tick_that_starts_over_5_ms_after_its_time_is_late() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.oversleep = 0.004
    assert clock.wait()[1:] == (0, False)
    machine.oversleep = 0.006
    assert clock.wait()[1:] == (0, True)


def test_the_wait_for_a_processor_is_not_counted_as_lateness() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.oversleep, machine.queue = 0.009, 0.008
    assert clock.wait()[1:] == (0, False)
    machine.queue = 0.001
    assert clock.wait()[1:] == (0, True)


def test_after_an_overload_ticks_are_left_out_and_the_phase_is_kept() -> None:
    machine = Machine()
    clock = machine.clock()
    clock.wait()
    machine.now += 0.075  # three whole periods and 15 ms into the fourth
    now, skipped, late = clock.wait()
    assert (skipped, late) == (2, True)
    assert now == pytest.approx(1000.095)
    now, skipped, late = clock.wait()
    assert now == pytest.approx(1000.1) and (skipped, late) == (0, False)


def test_it_never_runs_back_to_back_to_catch_up() -> None:
    machine = Machine()
    clock = machine.clock()
    ticks, left_out = 0, 0
    while machine.now < 1010.0:
        _, skipped, _ = clock.wait()
        ticks, left_out = ticks + 1, left_out + skipped
        machine.now += 0.030
    assert ticks + left_out == pytest.approx(500, abs=3)
    assert ticks <= 10.0 / 0.030 + 1


def test_run_queue_wait_reads_the_second_figure(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "schedstat"
    path.write_text("123456789 2500000000 77\n")
    wait = RunQueueWait(str(path))
    assert wait.read() == 2.5
    path.write_text("123456789 2600000000 78\n")
    assert wait.read() == 2.6
    assert RunQueueWait(str(tmp_path / "absent")).read() == 0.0


def test_the_file_limit_is_raised_as_far_as_permitted() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, soft), hard))
        assert raise_file_limit(300) >= min(300, hard)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= min(300, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Bench:
    """Plane, pipe and clock for a few ticks of the loop; notes how many commands each tick is ready for."""

    def __init__(self, skipped: list[int]) -> None:
        self._skipped = skipped
        self.closed, self.legs = False, 0
        self.budgets: list[int] = []
        self.left_out = 0

    def wait(self) -> tuple[float, int, bool]:
        skipped = self._skipped.pop(0)
        self.closed = not self._skipped
        return 1000.0, skipped, False

    def receive(self, budget: int) -> list[protocol.Command]:
        self.budgets.append(budget)
        return []

    def skip(self, ticks: int) -> None:
        self.left_out += ticks

    def take_events(self) -> list[protocol.Event]:
        return []

    def nothing(self, *_: object) -> None: ...

    send = tick = put = flush = account = close = nothing


def test_the_commands_of_ticks_left_out_are_made_up_for_but_not_without_end() -> None:
    bench = Bench([0, 1, 0, 2, 50])
    run(bench, bench, bench)  # type: ignore[arg-type]
    assert bench.budgets == [COMMANDS_PER_TICK * times for times in (1, 2, 1, 3, 4)]
    assert bench.left_out == 53


def test_the_worker_imports_no_event_loop_and_no_framework() -> None:
    listed = subprocess.run(
        [sys.executable, "-c", "import sipconf.media.worker, sys; print(*sys.modules)"],
        env=worker_environment(), capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert "numpy" in listed
    strangers = {"asyncio", "uvloop", "aiohttp", "aiortc", "av", "pydantic", "tomlkit", "click", "sqlite3"}
    assert not strangers & set(listed)
    ours = {name for name in listed if name.startswith("sipconf.")}
    above = ("sipconf.sip", "sipconf.conference", "sipconf.web", "sipconf.app", "sipconf.config")
    assert not [name for name in ours if name.startswith(above)]


@pytest.fixture
def worker() -> Iterator[tuple[subprocess.Popen[bytes], Pipe]]:
    ours, theirs = open_pair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "sipconf.media.worker", f"--fd={theirs.fileno()}", *PORTS.arguments()],
            pass_fds=(theirs.fileno(),), env=worker_environment(),
        )  # fmt: skip
    pipe = Pipe(ours)
    yield process, pipe
    pipe.close()
    if process.poll() is None:
        process.kill()
        process.wait()


def events_until(pipe: Pipe, kind: type) -> list[protocol.Event]:
    """Events up to the first of a kind; the test's own time-out is the limit."""
    os.set_blocking(pipe.fileno(), True)
    events: list[protocol.Event] = []
    while not any(isinstance(event, kind) for event in events):
        assert not pipe.closed, events
        events += pipe.receive(1)  # type: ignore[arg-type]
    os.set_blocking(pipe.fileno(), False)
    return events


def test_signals_are_the_fronts_business_and_the_pipes_end_is_the_workers(
    worker: tuple[subprocess.Popen[bytes], Pipe],
) -> None:
    process, pipe = worker
    events_until(pipe, protocol.PlaneReport)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    pipe.put([protocol.OpenLeg(1, "127.0.0.1", "x")])
    pipe.flush()
    opened = events_until(pipe, protocol.LegOpened)[-1]
    assert isinstance(opened, protocol.LegOpened) and 28_600 <= opened.port <= 28_638
    pipe.close()
    assert process.wait(timeout=60) == 0


def test_a_worker_holds_its_libraries_to_one_thread(worker: tuple[subprocess.Popen[bytes], Pipe]) -> None:
    process, pipe = worker
    events_until(pipe, protocol.PlaneReport)
    assert len(os.listdir(f"/proc/{process.pid}/task")) == 1
