"""A real `sipconf serve` to be measured from outside: its configuration, its processes, what the kernel says of them.

Everything is on loopback and in a fresh folder. Memory, descriptors and CPU time are read from /proc, the rest from
the server's own /metrics.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.telephones import Address, Telephone, free_ports

HOST = "127.0.0.1"
PASSWORD = "only for this benchmark"
FIRST_USER = 10_001
TALKS_IN = "2000"
"""The room of those who stay; the others come and go in the rooms behind it."""
ROOMS = 10
PATIENCE = 30.0
FRONT_NICE = -5
"""Rank of a server that is measured on a core of its own, so that what else runs on the machine disturbs less."""

CONFIGURATION = """
[sip]
domain = "{host}"
listen = [{listen}]
[rtp]
ports = "20000-29999"
[media]
workers = 1
[http]
listen = "{host}:{http}"
admin_password = "{password}"
[log]
level = "warning"
"""
USER = '[[users]]\nextension = "{0}"\npassword = "secret of {0}"\n'
ROOM = '[[conferences]]\nname = "Room {0}"\nextension = "{0}"\nmax_participants = 2000\nguards = false\n'


class NotStarted(RuntimeError):
    """The server ended at once, or was not healthy in time; says what it wrote."""


class Server:
    """A running server with `users` users, 10001 and on, and rooms without access codes, 2000 and on."""

    def __init__(self, folder: Path, users: int, listen: tuple[str, ...] = ("udp", "tcp"), more: str = "") -> None:
        self.users = users
        ports = free_ports(1 + len(set(listen) - {"udp"}))
        self.http, self.sip = ports[0], ports[1] if len(ports) > 1 else free_ports(1)[0]
        self.ports = {"udp": self.sip, **dict(zip((each for each in listen if each != "udp"), ports[1:], strict=True))}
        urls = ", ".join(f'"{each}://{HOST}:{self.ports[each]}"' for each in listen)
        text = CONFIGURATION.format(host=HOST, listen=urls, http=self.http, password=PASSWORD) + more
        text += "".join(USER.format(FIRST_USER + number) for number in range(users))
        text += "".join(ROOM.format(int(TALKS_IN) + number) for number in range(ROOMS))
        self.file = folder / "conferences.toml"
        self.file.touch(mode=0o600)
        self.file.write_text(text)
        self.log = folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.pid = 0

    @property
    def address(self) -> Address:
        """Where it takes SIP over UDP."""
        return HOST, self.ports["udp"]

    def start(self, core: int | None = None) -> None:
        """Start it, all of it on one core where that is named; it is healthy when this returns."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen([sys.executable, "-m", "sipconf", "serve", "--config", str(self.file)],
                                             stdout=log, stderr=subprocess.STDOUT,
                                             start_new_session=True)  # fmt: skip
        self.pid = self._process.pid
        deadline = time.monotonic() + PATIENCE
        while not self.healthy():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise NotStarted(f"the server did not start:\n{self.log.read_text()}")
            time.sleep(0.05)
        if core is not None:
            with contextlib.suppress(OSError):  # no right to it; the worker ranks higher still, as it always does
                os.setpriority(os.PRIO_PROCESS, self.pid, FRONT_NICE)
                Path(f"/proc/{self.pid}/autogroup").write_text(str(FRONT_NICE))
            for pid in (self.pid, self.worker):
                for task in Path(f"/proc/{pid}/task").iterdir():
                    os.sched_setaffinity(int(task.name), {core})

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()

    def adopt(self) -> None:
        """The server runs in this very process."""
        self.pid = os.getpid()

    @property
    def worker(self) -> int:
        """Process id of the media worker."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return next(int(pid) for pid in children if b"media.worker" in Path(f"/proc/{pid}/cmdline").read_bytes())

    def healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.http}/healthz", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def metrics(self) -> dict[str, float]:
        """Every figure of /metrics by name (with labels)."""
        with urllib.request.urlopen(f"http://{HOST}:{self.http}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        return {name: float(value) for name, value in re.findall(r"^(\w[^ #]*(?:\{.*\})?) (\S+)$", text, re.MULTILINE)}

    def telephone(self, number: int, host: str, t1: float = 0.5) -> Telephone:
        """One of the users at an address, not open yet."""
        return telephone_of(self.address, number % self.users, host, t1)


@contextlib.contextmanager
def running(users: int, core: int | None = None, **settings: object) -> Iterator[Server]:
    """A server for as long as the block lasts, also where that is ended by SIGTERM. Says what the server logged."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with TemporaryDirectory() as folder:
        server = Server(Path(folder), users, **settings)  # type: ignore[arg-type]
        try:
            server.start(core)
            yield server
        finally:
            server.stop()
            if written := server.log.read_text().partition("sipconf is ready.")[0].strip():
                print(written[-2000:], file=sys.stderr)


def telephone_of(server: Address, number: int, host: str, t1: float = 0.5) -> Telephone:
    """The telephone of the user with this number, 0 and on, not open yet."""
    user = str(FIRST_USER + number)
    return Telephone(server, HOST, user, f"secret of {user}", host, t1)


def own_host(number: int, net: int = 1) -> str:
    """An address of loopback for each telephone, for limits are counted per address. net: 1 to 250."""
    return f"127.{net}.{number // 250 % 250}.{number % 250 + 1}"


def memory_mb(pid: int) -> float:
    """What a process holds in RAM."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def descriptors(pid: int) -> int:
    """How many files and sockets a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))
