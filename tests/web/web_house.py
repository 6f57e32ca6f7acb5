"""A small house for the web tests: a real ConferenceService and a real Reloader behind the Operations of the API."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sipconf.conference import events
from sipconf.conference.commands import HangUp
from sipconf.conference.lockouts import MemoryLockoutStore
from sipconf.conference.service import ConferenceService, ConferenceSettings
from sipconf.config import Config
from sipconf.dial_plan import directory_of
from sipconf.metrics import Metrics
from sipconf.reload import Change, Reloader
from sipconf.web.events import EventFeed

PASSWORD = "a password of its own"
TEXT = f"""
[http]
admin_password = "{PASSWORD}"
[[users]]
extension = "101"
name = "Alice"
password = "user-secret"
[[conferences]]
name = "Stand-up"
extension = "2001"
[[conferences]]
name = "Locked away"
extension = "2002"
access_code = "4321"
[[incoming_numbers]]
number = "+3225551234"
conference = "2001"
[[trunks]]
name = "provider"
host = "sip.provider.example"
username = "account"
password = "trunk-secret"
"""


class House:
    """Implements web.api.Operations; time stands still."""

    def __init__(self, folder: Path, feed: EventFeed | None = None) -> None:
        self.file = folder / "sipconf.toml"
        self.file.write_text(TEXT)
        self.reloader = Reloader(self.file, self._use)
        self.metrics = Metrics()
        self.feed = feed or EventFeed()
        self.up = True
        directory = directory_of(self.reloader.current)
        self.service = ConferenceService(
            directory, ConferenceSettings(), random.Random(1), MemoryLockoutStore()
        )

    def _use(self, config: Config) -> None:
        self.service.replace_directory(directory_of(config), 0.0)

    def join(self, call: str) -> str:
        """Alice calls 2001 and is connected. Returns her participant id."""
        caller = events.Caller(number="101", name="Alice", user="101", trunk=None, source="127.0.0.1")
        before = {person["id"] for person in self.participants("2001")}
        self.service.receive(events.CallArrived(call, "2001", caller), 0.0)
        self.service.receive(events.CallConnected(call), 0.0)
        (new,) = [person["id"] for person in self.participants("2001") if person["id"] not in before]
        return new

    def hung_up(self) -> list[str]:
        """Calls that the service wants ended, once every farewell had its time."""
        self.service.handle_timer(100.0)
        return [output.call for output in self.service.take_outputs() if isinstance(output, HangUp)]

    # --- Operations
    @property
    def events(self) -> EventFeed:
        return self.feed

    def healthy(self) -> bool:
        return self.up

    def metrics_page(self) -> bytes:
        return self.metrics.page()

    def count_http(self, status: int) -> None:
        self.metrics.http_request(status)

    def config(self) -> Config:
        return self.reloader.current

    def admin_password(self) -> str:
        return self.config().http.admin_password or "made at the start"

    def conferences(self) -> list[dict[str, Any]]:
        return self.service.conferences()

    def participants(self, extension: str) -> list[dict[str, Any]]:
        return self.service.participants(extension)

    def lock(self, extension: str, locked: bool) -> None:
        self.service.lock(extension, locked, 0.0)

    def mute(self, extension: str, participant: str, muted: bool) -> None:
        self.service.mute(extension, participant, muted, 0.0)

    def kick(self, extension: str, participant: str) -> None:
        self.service.kick(extension, participant, 0.0)

    def apply(self) -> Sequence[Change]:
        return self.reloader.apply()

    def awaiting_restart(self) -> Sequence[str]:
        return self.reloader.awaiting_restart()
