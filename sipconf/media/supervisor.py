"""The asyncio side of a media worker: starts it, talks to it, notices its death, starts another.

Implements `protocol.Media`, so that the switchboard cannot tell a worker from a plane in its own process. Not
here: the framing (pipe) and everything about media (worker, plane). No NumPy is imported on this side.
"""

import asyncio
import logging
import os
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable
from dataclasses import dataclass

from sipconf.errors import MisuseError, StartError
from sipconf.media import protocol
from sipconf.media.pipe import Pipe, open_pair
from sipconf.media.priority import lend_priority
from sipconf.media.protocol import Address, Command, Event
from sipconf.media.shared_socket import open_shared, send_to

log = logging.getLogger(__name__)

RESTART_SPACING = 1.0
"""Seconds between two starts of a worker, so that one that dies at once does not spin."""
STOP_TIMEOUT = 0.8
"""Seconds for a worker to end after its pipe closed; then it is killed."""
HANG_TIMEOUT = 5.0
"""Seconds without a report (they come once a second) after which a worker is taken for hung and killed."""
BIRTH_TIMEOUT = 15.0
"""The same until its first report: on a busy machine a start takes its time."""
EVENTS_PER_READ = 4096

_SINGLE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
_ONE_HEAP = {
    "PYTHONMALLOC": "malloc",
    "GLIBC_TUNABLES": ":".join((
        "glibc.malloc.hugetlb=1",
        f"glibc.malloc.mmap_threshold={32 << 20}",  # the most that glibc takes
        f"glibc.malloc.trim_threshold={256 << 20}",
    )),
}  # fmt: skip
"""Everything a worker keeps is in one heap, of huge pages where the system lets a program ask for them, and nothing of
it is given back between two ticks (docs/adr/0013)."""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What a worker is started with.

    first_port, last_port: the RTP range, both included. sounds: the admin's folder of WAV files that replace ours
    by name. silence_timeout: seconds without RTP until LegSilent. max_delay_ms: see PlaneSettings. priority: "normal",
    "nice" (a negative nice value) or "realtime" (SCHED_RR), each as far as the system permits. log_level, log_format:
    as in [log]. opus: bit rate, complexity, forward error correction and DTX, as in [opus]. shared_sockets: whether
    legs may share two sockets, where the system permits it.
    """

    first_port: int = 10_000
    last_port: int = 20_000
    sounds: str | None = None
    silence_timeout: float = 30.0
    max_delay_ms: int | None = None
    priority: str = "nice"
    log_level: str = "info"
    log_format: str = "text"
    opus: tuple[int, int, bool, bool] | None = None
    shared_sockets: bool = True

    def arguments(self) -> list[str]:
        """The worker's command line, without what it inherits."""
        words = [f"--ports={self.first_port}-{self.last_port}", f"--silence-timeout={self.silence_timeout}"]
        words += [] if self.max_delay_ms is None else [f"--max-delay-ms={self.max_delay_ms}"]
        words += [] if self.opus is None else ["--opus={},{},{:d},{:d}".format(*self.opus)]
        words += [] if self.shared_sockets else ["--own-sockets"]
        sounds = [] if self.sounds is None else [f"--sounds={self.sounds}"]
        words += [f"--priority={self.priority}", f"--log-level={self.log_level}", f"--log-format={self.log_format}"]
        return [*words, *sounds]


def worker_environment() -> dict[str, str]:
    """Our environment, with the linear algebra libraries held to one thread, theirs would fight over the tick, and the
    memory arranged for a tick that finds it cold. Whoever says something else about memory is obeyed."""
    return {**_ONE_HEAP, **os.environ, **dict.fromkeys(_SINGLE_THREAD, "1")}


class MediaSupervisor:
    """Keeper of one worker process. on_events is called in the loop's thread whenever take_events() has news."""

    def __init__(self, settings: WorkerSettings, on_events: Callable[[], None]) -> None:
        self._settings = settings
        self._on_events = on_events
        self._legs: set[int] = set()
        self._events: list[Event] = []
        self._pipe: Pipe | None = None
        self._worker_end: socket.socket | None = None
        self._shared: socket.socket | None = None
        self._process: Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._gone = asyncio.Event()
        self._stopping = False
        self._flush_due = False
        self._hung_at = 0.0
        self.heard = 0.0  # when the worker last said something, on the loop's clock
        self.up = False  # a worker runs and has reported
        self.restarts = 0

    @property
    def pid(self) -> int | None:
        """Process id of the running worker."""
        return self._process.pid if self._process else None

    async def start(self, timeout: float = BIRTH_TIMEOUT) -> None:
        """Start the worker and wait for its first report. Raises StartError when none comes, or its shared port is
        taken."""
        if self._keeper is not None:
            raise MisuseError("the media supervisor is started already")
        self._open_pipe()
        try:
            self._shared = await open_shared(self._settings.first_port)
        except StartError:
            await self.stop()
            raise
        self._keeper = asyncio.create_task(self._keep(), name="media-supervisor")
        waiter = asyncio.create_task(self._ready.wait())
        await asyncio.wait({waiter, self._keeper}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        waiter.cancel()
        if not self._ready.is_set():
            failed = self._keeper.done() and not self._keeper.cancelled() and self._keeper.exception()
            await self.stop()
            raise StartError(f"the media worker did not start: {failed or 'its own message is above'}")

    async def stop(self) -> None:
        """Close the pipe, which ends the worker; after STOP_TIMEOUT it is killed."""
        self._stopping = True
        self._gone.set()
        if self._keeper is not None:
            await asyncio.gather(self._keeper, return_exceptions=True)
        for end in (self._pipe, self._worker_end, self._shared):
            if end is not None:
                end.close()

    def send(self, command: Command) -> None:
        """Queue a command for the worker. One for a leg that went down with a former worker is left out: its
        LegFailed is on the way."""
        if isinstance(command, protocol.OpenLeg):
            self._legs.add(command.leg)
        elif not isinstance(command, protocol.PlayToRoom) and command.leg not in self._legs:
            return
        if isinstance(command, protocol.CloseLeg):
            self._legs.discard(command.leg)
        if self._pipe is None:
            raise MisuseError("the media supervisor is not running")
        self._pipe.put((command,))
        if self._pipe.dropped and self._process is not None:
            log.error("media worker %s does not read its commands", self.pid)
            self._kill()
        elif not self._flush_due:
            self._flush_due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def reply(self, address: Address, datagram: bytes) -> bool:
        """Send a datagram from the shared port; False where the kernel does not take it now."""
        return self._shared is not None and send_to(self._shared, address, datagram)

    def take_events(self) -> list[Event]:
        """Everything that the worker told since the last call, in order."""
        events, self._events = self._events, []
        return events

    def together(self, leg: int, other: int) -> bool:
        """One worker has all legs."""
        return True

    def move(self, leg: int, room: int) -> bool:
        """One worker has all rooms."""
        return True

    def _open_pipe(self) -> None:
        """A pipe for the next worker. It takes commands at once; the worker reads them when it is up."""
        ours, self._worker_end = open_pair()
        self._pipe = Pipe(ours)
        self._gone.clear()

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._stopping:
            started_at = loop.time()
            try:
                await self._run_worker()
            except OSError as error:
                log.error("media worker cannot be started: %s", error)
            if self._stopping:
                break
            if not self._ready.is_set():
                raise StartError("it ended before its first report")
            self._lose_legs()
            await self._wait_gone(max(0.0, started_at + RESTART_SPACING - loop.time()))

    def _lose_legs(self) -> None:
        """What a worker's death means to the callers above: every leg it had has failed."""
        self.restarts += 1
        self.up = False
        lost, self._legs = self._legs, set()
        self._open_pipe()
        log.error("media worker ended by itself; %d legs lost, starting another", len(lost))
        self._events.extend(protocol.LegFailed(leg, "the media worker ended") for leg in sorted(lost))
        if lost:
            self._on_events()

    async def _run_worker(self) -> None:
        """One worker's life, from its start to its end."""
        loop = asyncio.get_running_loop()
        pipe, theirs, shared = self._pipe, self._worker_end, self._shared
        if pipe is None or theirs is None or shared is None:
            raise MisuseError("a worker is started before its pipe")
        try:
            with theirs:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "sipconf.media.worker", f"--fd={theirs.fileno()}",
                    f"--shared-fd={shared.fileno()}", *self._settings.arguments(),
                    pass_fds=(theirs.fileno(), shared.fileno()), stdin=DEVNULL,
                    env=worker_environment(), start_new_session=True,
                )  # fmt: skip
            lend_priority(self._settings.priority, self._process.pid)
            self._hung_at = loop.time() + BIRTH_TIMEOUT
            loop.add_reader(pipe.fileno(), self._read, pipe)
            if self._stopping:
                self._gone.set()
            await self._watch()
        finally:
            loop.remove_reader(pipe.fileno())
            loop.remove_writer(pipe.fileno())
            pipe.close()
            await self._reap()

    async def _watch(self) -> None:
        """Until the worker is gone; kill it when it hangs."""
        loop = asyncio.get_running_loop()
        while not self._gone.is_set():
            patience = self._hung_at - loop.time()
            if patience <= 0:
                log.error("media worker %s has been silent for too long: killed", self.pid)
                self._kill()
                patience = HANG_TIMEOUT
            await self._wait_gone(min(patience, HANG_TIMEOUT))

    async def _wait_gone(self, timeout: float) -> None:
        try:
            await asyncio.wait_for(self._gone.wait(), timeout)
        except TimeoutError:
            return

    async def _reap(self) -> None:
        if self._process is None:
            return
        try:
            await asyncio.wait_for(self._process.wait(), STOP_TIMEOUT)
        except TimeoutError:
            self._kill()
            await self._process.wait()
        self._process = None

    def _kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    def _flush(self) -> None:
        self._flush_due = False
        pipe = self._pipe
        if pipe is None or pipe.closed:
            return
        loop = asyncio.get_running_loop()
        if pipe.flush():
            loop.remove_writer(pipe.fileno())
        elif not pipe.closed:
            loop.add_writer(pipe.fileno(), self._flush)

    def _read(self, pipe: Pipe) -> None:
        messages = pipe.receive(EVENTS_PER_READ)
        if pipe.closed:
            self._gone.set()
        if not messages:
            return
        self.heard = asyncio.get_running_loop().time()
        self._hung_at = self.heard + HANG_TIMEOUT
        self.up = True
        self._ready.set()
        for event in messages:
            if isinstance(event, protocol.PlaneReport | protocol.LegReports):
                self._events.append(event)
            elif event.leg in self._legs:  # what concerns a leg closed meanwhile is of no use to anyone
                self._events.append(event)
                if isinstance(event, protocol.LegFailed):
                    self._legs.discard(event.leg)
        if self._events:
            self._on_events()
