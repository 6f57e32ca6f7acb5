"""What the web side may ask of the running server: implements web.api.Operations over the rooms it concerns.

What lives here: reading conferences and the configuration, the live switches (lock, mute, kick), apply, and what the
join page does. What does not: building, starting and stopping the rooms (app), and how a request looks (web).
"""

from collections.abc import Callable, Sequence

from sipconf.conference.service import ConferenceService
from sipconf.config import Config
from sipconf.meters import Meters
from sipconf.reload import Change, Reloader
from sipconf.sip.flow import Flow
from sipconf.web.events import EventFeed
from sipconf.web_calls import WebCalls

Act = Callable[[Callable[[float], None]], None]
"""Runs an action with the time, and what follows from it."""


class VisitorCalls:
    """What the visitors of the join page may ask: implements web.visitors.Calls. Every method returns at once."""

    def __init__(self, calls: WebCalls, conferences: ConferenceService, act: Act) -> None:
        self.participant_of = conferences.participant_of
        self.participants = conferences.participants
        self._calls = calls
        self._conferences = conferences
        self._act = act

    def arrive(self, session: str, extension: str, name: str, offer: bytes, flow: Flow) -> None:
        self._act(lambda now: self._calls.arrive(session, extension, name, offer, flow))

    def confirm(self, session: str) -> None:
        self._act(lambda now: self._calls.confirm(session))

    def leave(self, session: str, reason: str) -> None:
        self._act(lambda now: self._calls.leave(session, reason))

    def conference_name(self, extension: str) -> str:
        return next((each["name"] for each in self._conferences.conferences() if each["extension"] == extension), "")


class ServerOperations:
    """The console's hands. Every method returns at once.

    healthy: are all listeners bound and does the media worker live? own_password: the administrator's where the file
    names none.
    """

    def __init__(
        self,
        reloader: Reloader,
        conferences: ConferenceService,
        meters: Meters,
        events: EventFeed,
        *,
        act: Act,
        healthy: Callable[[], bool],
        own_password: str,
    ) -> None:
        self.events = events
        self.healthy = healthy
        self.metrics_page = meters.page
        self.count_http = meters.metrics.http_request
        self.conferences = conferences.conferences
        self.participants = conferences.participants
        self._reloader = reloader
        self._rooms = conferences
        self._act = act
        self._own_password = own_password

    def config(self) -> Config:
        return self._reloader.current

    def admin_password(self) -> str:
        return self.config().http.admin_password or self._own_password

    def lock(self, extension: str, locked: bool) -> None:
        self._act(lambda now: self._rooms.lock(extension, locked, now))

    def mute(self, extension: str, participant: str, muted: bool) -> None:
        self._act(lambda now: self._rooms.mute(extension, participant, muted, now))

    def kick(self, extension: str, participant: str) -> None:
        self._act(lambda now: self._rooms.kick(extension, participant, now))

    def apply(self) -> Sequence[Change]:
        return self._reloader.apply()

    def awaiting_restart(self) -> Sequence[str]:
        return self._reloader.awaiting_restart()
