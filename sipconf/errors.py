"""The project's own exceptions: what a peer got wrong (an answer and a counter) and what we got wrong (raise).

No other module invents a base class. A peer's error knows the SIP status that answers it and its metric label.
"""


class SipconfError(Exception):
    """Root of every exception this project raises on purpose."""


class MisuseError(SipconfError):
    """Our own code called something in a state where it makes no sense: a bug, never a peer's doing."""


class PeerError(SipconfError):
    """A peer sent something we refuse.

    status: the SIP status code that answers it; reason: a phrase a person understands; metric: the counter label.
    """

    def __init__(self, reason: str, *, status: int = 400, metric: str = "peer_error") -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.metric = metric


class StartError(SipconfError):
    """The server cannot start (busy port, missing folder): one clear line and exit status 1."""
