"""Every session's orders go to whoever keeps it: the SIP user agent, or the calls of the join page. Decides nothing."""

from typing import Any

from sipconf.sip.agent import UserAgent
from sipconf.web_calls import WebCalls


class Signalling:
    """What the switchboard orders about: looks like a user agent, whichever way a call came."""

    def __init__(self, agent: UserAgent, web: WebCalls) -> None:
        self._agent = agent
        self._web = web
        self.invite = agent.invite  # we call nobody by a web page
        # The join page makes one offer and never another.
        self.answer_reoffer = agent.answer_reoffer
        self.refuse_reoffer = agent.refuse_reoffer
        # Nor does it refer anybody.
        self.report_referral = agent.report_referral
        self.session_of = agent.session_of

    def ring(self, session: str, now: float) -> None:
        self._keeper(session).ring(session, now)

    def answer(self, session: str, sdp: bytes, now: float) -> None:
        self._keeper(session).answer(session, sdp, now)

    def reject(self, session: str, status: int, reason: str | None, now: float, retry_after: int | None = None) -> None:
        self._keeper(session).reject(session, status, reason, now, retry_after=retry_after)

    def hang_up(self, session: str, now: float, reason: str = "") -> None:
        self._keeper(session).hang_up(session, now, reason=reason)

    def _keeper(self, session: str) -> Any:
        return self._web if session in self._web else self._agent
