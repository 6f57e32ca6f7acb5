"""What the web side may ask of the running server: implements web.api.Operations over the rooms it concerns.

What lives here: reading conferences and the configuration, the live switches (lock, mute, kick), apply. What does not:
building, starting and stopping the rooms (app), and how a request looks (web).
"""

from collections.abc import Callable, Sequence

from sipconf.conference.service import ConferenceService
from sipconf.config import Config
from sipconf.meters import Meters
from sipconf.reload import Change, Reloader
from sipconf.web.events import EventFeed


class ServerOperations:
    """The console's hands. Every method returns at once.

    act(action): runs the action with the time and lets the switchboard carry out what follows from it. healthy: are all
    listeners bound and does the media worker live? own_password: the administrator's where the file names none.
    """

    def __init__(
        self,
        reloader: Reloader,
        conferences: ConferenceService,
        meters: Meters,
        events: EventFeed,
        *,
        act: Callable[[Callable[[float], None]], None],
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
