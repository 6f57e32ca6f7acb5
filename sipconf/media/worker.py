"""A media worker's main: one process, one plane, one plain blocking loop on its own 20 ms clock.

`python -m sipconf.media.worker --fd N --ports 10000-20000`; the front starts it through `supervisor` and talks to
it over the inherited socket. It ends by itself when that closes; signals are the front's business. Not here: what
a tick does (plane), framing (pipe). Only NumPy, SciPy and the standard library are imported, no asyncio: a busy
event loop in the same process would make the tick late.
"""

import argparse
import contextlib
import gc
import logging
import os
import random
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

from sipconf import log as logs
from sipconf.errors import StartError
from sipconf.media.pipe import Pipe
from sipconf.media.placement import MOST_LEGS
from sipconf.media.plane import TICK_SECONDS, MediaPlane, PlaneSettings
from sipconf.media.priority import take_priority
from sipconf.mixer.codecs import libopus
from sipconf.mixer.codecs.opus import OpusSettings
from sipconf.mixer.edge.wavfile import load_sounds
from sipconf.mixer.frame import RATES
from sipconf.mixer.prompts import ClipLibrary
from sipconf.rtp.edge.binding import SMALL_BUFFER, bind_shared, enlarge_buffer
from sipconf.rtp.edge.carrier import Carrier
from sipconf.rtp.edge.ports import Ports
from sipconf.rtp.edge.shared_port import SharedPort
from sipconf.rtp.edge.steered import Steered
from sipconf.rtp.playout import MAX_DELAY_MS
from sipconf.rtp.srtp import SrtpColumns
from sipconf.rtp.streams import Streams

log = logging.getLogger("sipconf.media.worker")

COMMANDS_PER_TICK, MOST_COMMANDS = 100, 400
"""Commands applied at the top of one tick; opening a leg's sockets takes some 50 us. Those of ticks left out are made
up for, as far as the most: a leg whose peer is unknown costs more in every tick than the command that tells it."""
LATE_SECONDS = 0.005
"""A tick that starts later than this after it was due is late, the wait for a processor not counted."""
OTHER_FILES = 64
"""Open files besides the legs' sockets."""


class RunQueueWait:
    """Seconds that this process has been ready to run but had no processor, by the kernel's accounting."""

    def __init__(self, path: str = "/proc/self/schedstat") -> None:
        try:
            self._fd: int | None = os.open(path, os.O_RDONLY)
        except OSError:
            self._fd = None

    def read(self) -> float:
        """Seconds since the process began; 0.0 where the kernel does not tell."""
        if self._fd is None:
            return 0.0
        return int(os.pread(self._fd, 64, 0).split()[1]) * 1e-9


class TickClock:
    """When the next tick is due. After an overload it leaves out ticks and never runs back to back to catch up."""

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        run_queue_wait: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._monotonic, self._sleep, self._run_queue_wait = monotonic, sleep, run_queue_wait
        self._due = monotonic()
        self._waited = run_queue_wait()

    def wait(self) -> tuple[float, int, bool]:
        """Sleep until the next tick. Returns (now in monotonic seconds, ticks left out, whether this one is
        late)."""
        self._due += TICK_SECONDS
        pause = self._due - self._monotonic()
        if pause > 0:
            self._sleep(pause)
        now = self._monotonic()
        waited = self._run_queue_wait()
        late = now - self._due - (waited - self._waited) > LATE_SECONDS
        self._waited = waited
        skipped = max(0, int((now - self._due) / TICK_SECONDS))
        self._due += skipped * TICK_SECONDS
        return now, skipped, late


def run(plane: MediaPlane, pipe: Pipe, clock: TickClock) -> None:
    """Tick until the pipe closes."""
    had_legs = False
    while not pipe.closed:
        now, skipped, late = clock.wait()
        began = time.process_time()  # others who take the processor from us do not make us busy
        if skipped:
            plane.skip(skipped)
        for command in pipe.receive(min(MOST_COMMANDS, COMMANDS_PER_TICK * (1 + skipped))):
            plane.send(command)
        plane.tick(now)
        pipe.put(plane.take_events())
        pipe.flush()
        plane.account(time.process_time() - began, late)
        has_legs = plane.legs > 0
        if had_legs and not has_legs:
            gc.collect()  # automatic collection is off; nobody is listening now
        had_legs = has_legs
    plane.close()


def raise_file_limit(wanted: int) -> int:
    """Let this process have wanted open files, or as many as the system permits. Returns how many it may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in ((max(soft, wanted), max(hard, wanted)), (hard, hard)):
        with contextlib.suppress(OSError, ValueError):  # an unprivileged process cannot raise the hard limit
            resource.setrlimit(resource.RLIMIT_NOFILE, limit)
            return limit[0]
    return soft


def opus_settings(words: str) -> OpusSettings:
    """What --opus says."""
    bit_rate, complexity, forward_error_correction, dtx = map(int, words.split(","))
    return OpusSettings(bit_rate, complexity, bool(forward_error_correction), bool(dtx))


def read_arguments(words: list[str]) -> argparse.Namespace:
    """The command line. The front writes it; a person need not."""
    parser = argparse.ArgumentParser(prog="sipconf.media.worker", description="One media worker.")
    parser.add_argument("--fd", type=int, required=True, help="inherited end of the control socket pair")
    parser.add_argument("--shared-fd", type=int, help="inherited UDP socket on the first port, which browsers share")
    parser.add_argument("--ports", required=True, help="RTP port range, FIRST-LAST")
    parser.add_argument("--sounds", type=Path, help="the admin's folder of WAV files that replace ours by name")
    parser.add_argument("--silence-timeout", type=float, default=30.0)
    parser.add_argument("--max-delay-ms", type=int, default=MAX_DELAY_MS)
    parser.add_argument("--opus", type=opus_settings, default=OpusSettings(),
                        help="BIT_RATE,COMPLEXITY,FEC,DTX, the last two 0 or 1")
    parser.add_argument("--priority", choices=("normal", "nice", "realtime"), default="nice")
    parser.add_argument("--own-sockets", action="store_true", help="for every leg, even where they could share two")
    parser.add_argument("--log-level", default="info")
    parser.add_argument("--log-format", choices=("text", "json"), default="text")
    return parser.parse_args(words)


def open_shared(fd: int | None, port: int, streams: Streams) -> SharedPort:
    """The port that browsers reach: the inherited socket, or one bound here. Raises StartError."""
    try:
        one = bind_shared(port) if fd is None else socket.socket(fileno=fd)
    except OSError as error:
        raise StartError(f"UDP port {port}, the first of [rtp] ports, cannot be opened: {error.strerror}") from None
    size = enlarge_buffer(one)
    if size < SMALL_BUFFER:
        log.warning("the receive buffer of UDP port %d has %d octets, too few for a burst of hundreds of browsers; "
                    "set net.core.rmem_max to %d or more", one.getsockname()[1], size, SMALL_BUFFER)  # fmt: skip
    return SharedPort(one, streams)


def build_plane(arguments: argparse.Namespace) -> MediaPlane:
    """A plane over sockets of the port range, as many as the system permits; a range of one port is everybody's."""
    first, last = (int(word) for word in arguments.ports.split("-"))
    one_port = first == last
    libopus.library()  # opened now, or said now that there is none
    rng = random.Random()
    srtp = SrtpColumns()
    streams = Streams(is_authentic=srtp.is_authentic)
    srtp.on_failure = streams.note_stranger
    shared = open_shared(arguments.shared_fd, first, streams)
    first += shared.port == first
    pairs = (last + 1 - first - first % 2) // 2
    capacity = MOST_LEGS if one_port else fitting_legs(pairs)
    clips = ClipLibrary(load_sounds(arguments.sounds).clips)
    for rate in RATES:
        clips.store(rate)  # resampled now, not in a tick
    ports = None
    if not one_port:
        steered = None if arguments.own_sockets else steered_legs(first, last)
        ports = Ports(first, last, rng, streams, srtp=srtp, steered=steered)
    return MediaPlane(
        Carrier(ports, shared, srtp),
        streams,
        clips,
        PlaneSettings(
            arguments.silence_timeout, time.time() - time.monotonic(), capacity, arguments.max_delay_ms, arguments.opus,
            one_port,
        ),
        rng,
    )


def steered_legs(first: int, last: int) -> Steered | None:
    """What lets all legs of these ports share two sockets, where this process may have it."""
    try:
        return Steered(first, last)
    except OSError as error:
        log.debug("every call has sockets of its own: %s", error.strerror)
        return None


def fitting_legs(pairs: int) -> int:
    """How many of so many pairs of ports the system's limit of open files permits, which is raised for them."""
    files = raise_file_limit(2 * pairs + OTHER_FILES)
    capacity = min(pairs, (files - OTHER_FILES) // 2)
    if capacity < pairs:
        log.warning("%d open files permitted: room for %d of %d legs", files, capacity, pairs)
    return capacity


def main(words: list[str]) -> int:
    """Build the plane, free it of the garbage collector, and tick until the front is gone."""
    arguments = read_arguments(words)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    logs.setup(arguments.log_level, arguments.log_format)
    try:
        plane = build_plane(arguments)
    except StartError as error:
        log.error("%s", error)
        return 1
    take_priority(arguments.priority)
    gc.collect()
    gc.freeze()
    gc.disable()
    pipe = Pipe(socket.socket(fileno=arguments.fd))
    run(plane, pipe, TickClock(run_queue_wait=RunQueueWait().read))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
