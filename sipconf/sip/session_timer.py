"""How long a call may go on unrefreshed, and who refreshes it: the arithmetic and the headers of RFC 4028.

When the timers fire and what is sent then: refreshing. A peer that says nothing of session timers has none.
"""

from dataclasses import dataclass

from sipconf.errors import PeerError
from sipconf.sip.message import Request, Response
from sipconf.sip.options import TIMER, speaks
from sipconf.sip.tokens import delta_seconds, find_param, parse_params
from sipconf.sip.wire import ExtraHeaders

MIN_SE = 90  # seconds, the floor of RFC 4028 section 4
MAX_RAISES = 3  # how often one request is tried again with a longer interval
FAREWELL = 32.0  # a call ends this long before its interval, or a third of it (section 10)


@dataclass(slots=True)
class SessionTimer:
    """One call's. wanted: the interval that we ask for, seconds; 0 to leave that to peers. interval: what was agreed;
    0 for no timer. we_refresh: who sends the refreshes. least: the shortest interval that peers were heard to take."""

    wanted: int
    interval: int = 0
    we_refresh: bool = True
    least: int = MIN_SE
    raises: int = 0

    # --- requests of the peer ----------------------------------------------------------------------------------------
    def accept(self, request: Request) -> ExtraHeaders:
        """Agree to what an INVITE or UPDATE asks for; the headers of its 2xx (section 9, table 2)."""
        asked, refresher = _session_expires(request)
        capable = speaks(request, TIMER)
        if asked is None and not (capable and self.wanted):
            self.interval = 0
            return ()
        ours = max(self.wanted, delta_seconds(request.headers.get("Min-SE")) or 0) if self.wanted else None
        was_ours = self.we_refresh or not self.interval
        self.interval = max(MIN_SE, min(each for each in (asked, ours) if each is not None))
        if not capable:
            self.we_refresh = True
        elif refresher is not None:
            self.we_refresh = refresher == "uas"
        else:
            self.we_refresh = was_ours
        value = f"{self.interval};refresher={'uas' if self.we_refresh else 'uac'}"
        if self.we_refresh:
            return (("Session-Expires", value),)
        return (("Session-Expires", value), ("Require", TIMER))

    # --- requests of our own -----------------------------------------------------------------------------------------
    def ask(self) -> ExtraHeaders:
        """The headers of an INVITE or UPDATE of ours (sections 7.1 and 7.4): within a running agreement the roles
        stay as they are."""
        seconds = max(self.interval or self.wanted, self.least)
        if not self.interval and not self.wanted:
            return ()
        value = str(seconds)
        if self.interval:
            value += f";refresher={'uac' if self.we_refresh else 'uas'}"
        least = (("Min-SE", str(self.least)),) if self.least > MIN_SE else ()
        return (("Session-Expires", value), *least)

    def agree(self, response: Response) -> None:
        """Take what a 2xx to a request of ours says (section 7.2)."""
        seconds, refresher = _session_expires(response)
        self.raises = 0
        self.interval = 0 if seconds is None else max(MIN_SE, seconds)
        self.we_refresh = refresher != "uas"

    def lengthen(self, response: Response) -> bool:
        """422: True where another try with the interval it names makes sense (section 7.3)."""
        asked = self.interval or self.wanted
        least = delta_seconds(response.headers.get("Min-SE"))
        if not asked or least is None or least <= max(asked, self.least) or self.raises >= MAX_RAISES:
            return False
        self.raises += 1
        self.least = least
        return True

    # --- time --------------------------------------------------------------------------------------------------------
    def refresh_after(self) -> float:
        """Seconds from one refresh to the next (section 10)."""
        return self.interval / 2

    def end_after(self) -> float:
        """Seconds from the last refresh to our BYE (section 10)."""
        return self.interval - min(FAREWELL, self.interval / 3)


def too_brief(request: Request) -> bool:
    """Is the interval that an INVITE or UPDATE asks for below the floor, by a peer who would understand 422?"""
    seconds, _ = _session_expires(request)
    return seconds is not None and seconds < MIN_SE and speaks(request, TIMER)


def _session_expires(message: Request | Response) -> tuple[int | None, str | None]:
    """Seconds and refresher; what cannot be read was not said."""
    text, semicolon, rest = (message.headers.get("Session-Expires") or "").partition(";")
    try:
        refresher = (find_param(parse_params(semicolon + rest), "refresher") or "").lower() if semicolon else ""
    except PeerError:
        refresher = ""
    return delta_seconds(text), refresher if refresher in ("uac", "uas") else None
