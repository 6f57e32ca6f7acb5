"""A real `sipconf serve` per module, on free ports of loopback, and the telephones that call it."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from tests.clients.telephones import PATIENCE, free_port, wait_for

PASSWORD = "only-for-this-test"
TRUNK_ADDRESS = "127.0.0.2"

CONFIGURATION = """
[sip]
domain = "127.0.0.1"
listen = ["udp://127.0.0.1:{sip}", "tcp://127.0.0.1:{sip}", "udp://[::1]:{sip}"]

[rtp]
ports = "{first_rtp}-{last_rtp}"

[http]
listen = "127.0.0.1:{http}"
admin_password = "{password}"

[[users]]
extension = "101"
name = "Alice Martin"
password = "secret-101"

[[users]]
extension = "102"
name = "Bruno Petit"
password = "secret-102"

[[users]]
extension = "103"
name = "Carla Rossi"
password = "secret-103"

[[users]]
extension = "104"
name = "Dirk Janssens"
password = "secret-104"

[[conferences]]
name = "Open room"
extension = "2000"
tones = false
announce_alone = false
guards = false

[[conferences]]
name = "Weekly stand-up"
extension = "2001"
access_code = "4321"
tones = false
announce_alone = false
guards = false

[[conferences]]
name = "Board"
extension = "2002"
access_code = "2468"
administrator = "101"
administrator_code = "9876"
wait_for_administrator = true
tones = false
announce_alone = false
guards = false

[[incoming_numbers]]
number = "+3225551234"
destination = "conference"
conference = "2001"

[[trunks]]
name = "provider"
host = "{trunk}"
"""


class Server:
    """A running `sipconf serve`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sip, self.http = free_port(), free_port()
        first_rtp = 20000 + os.getpid() % 20 * 400  # below those that tests beside these bind
        self.config = folder / "conferences.toml"
        self.config.write_text(CONFIGURATION.format(
            sip=self.sip, http=self.http, first_rtp=first_rtp, last_rtp=first_rtp + 399, password=PASSWORD,
            trunk=TRUNK_ADDRESS))
        self.log = folder / "server.log"
        self.process: subprocess.Popen | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of its SIP."""
        return "127.0.0.1", self.sip

    def __enter__(self) -> Self:
        """Run as long as the block lasts."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait until it is healthy."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([sys.executable, "-m", "sipconf", "serve", "--config", str(self.config)],
                                            stdout=log, stderr=subprocess.STDOUT)
        wait_for("the server to be healthy", self.healthy)

    def healthy(self) -> bool:
        """True where /healthz says so. Fails the test when the server has ended."""
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/healthz", timeout=10) as answer:
                return answer.status == 200
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """One call of the HTTP API; its JSON."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.http}{path}", method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {PASSWORD}", "Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            content = answer.read()
        return json.loads(content) if content else None

    def people(self, extension: str) -> dict[str, dict[str, Any]]:
        """Who is in a conference, by number."""
        return {person["number"]: person for person in self.ask("GET", f"/api/conferences/{extension}/participants")}

    def wait_state(self, extension: str, number: str, state: str) -> dict[str, Any]:
        """Wait until a person is in this state, and return the entry."""
        def there() -> dict[str, Any] | None:
            person = self.people(extension).get(number)
            return person if person is not None and person["state"] == state else None

        return wait_for(f"{number} to be {state} in {extension}", there)  # type: ignore[return-value]

    def wait_empty(self, extension: str) -> None:
        """Wait until nobody is left in a conference."""
        wait_for(f"{extension} to be empty", lambda: not self.people(extension))

    def stop(self) -> None:
        """SIGTERM. Fails the test on a trace in its log."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                pytest.fail("the server did not end after SIGTERM")
        text = self.log.read_text()
        assert "Traceback" not in text, text
        assert self.process.returncode == 0, text


@pytest.fixture
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Server]:
    """A running server. Its parameter, where it has one, is more of its configuration."""
    running = Server(tmp_path)
    with running.config.open("a") as file:
        file.write(getattr(request, "param", ""))
    with running:
        yield running


Call = Callable[..., subprocess.Popen]


@pytest.fixture
def call(server: Server) -> Iterator[Call]:
    """Starts `sipconf call`s to a URI, or to a number of the server, as one of its users; none outlives its test."""
    started: list[subprocess.Popen] = []

    def start(target: str, *words: str, user: str = "101") -> subprocess.Popen:
        uri = target if ":" in target else f"sip:{target}@127.0.0.1:{server.sip}"
        started.append(subprocess.Popen(
            [sys.executable, "-m", "sipconf", "call", uri, *words, "--user", user, "--password", f"secret-{user}"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()
