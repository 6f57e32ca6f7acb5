"""Server transactions as tables: RFC 3261 sections 17.2.1 and 17.2.2, corrected by RFC 6026 (Accepted, timer L).

One request, its absorbed retransmissions and our responses to it. The 2xx of an INVITE is retransmitted by session.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from sipconf.errors import MisuseError
from sipconf.sip.events import Send
from sipconf.sip.flow import Flow
from sipconf.sip.message import Request
from sipconf.sip.timers import Running, Timers


class State(Enum):
    """Where a server transaction is; CONFIRMED and ACCEPTED belong to INVITE, TRYING to all others."""

    TRYING = "trying"
    PROCEEDING = "proceeding"
    COMPLETED = "completed"
    CONFIRMED = "confirmed"
    ACCEPTED = "accepted"
    TERMINATED = "terminated"


class Input(Enum):
    """What can happen to it: the peer's messages, our responses by class, timers G, H and I, J or L, the transport."""

    REQUEST = "request again"
    ACK = "ACK"
    SEND_PROVISIONAL = "send 1xx"
    SEND_SUCCESS = "send 2xx"
    SEND_FAILURE = "send 3xx-6xx"
    RETRANSMIT = "timer G"
    TIMEOUT = "timer H"
    END = "timer I/J/L"
    TRANSPORT_ERROR = "transport error"


OURS = frozenset({Input.SEND_PROVISIONAL, Input.SEND_SUCCESS, Input.SEND_FAILURE})


@dataclass(frozen=True, slots=True)
class AckHeard:
    """The ACK of our 2xx came with the INVITE's own branch (RFC 6026 section 7.1: it belongs to the user)."""

    ack: Request


@dataclass(frozen=True, slots=True)
class PathLost:
    """The peer can no longer be answered."""


Output = Send | AckHeard | PathLost


class ServerTransaction:
    """Answers request by flow (already the return path of RFC 3581)."""

    def __init__(self, request: Request, flow: Flow, timers: Timers) -> None:
        self.request = request
        self.flow = flow
        self.is_invite = request.method == "INVITE"
        self.state = State.PROCEEDING if self.is_invite else State.TRYING
        self._timers = timers
        self._last: bytes | None = None
        self._interval = timers.t1
        self._due: Running[Input] = Running()
        self._outputs: list[Output] = []

    @property
    def table(self) -> "Table":
        """The table this transaction obeys."""
        return INVITE if self.is_invite else NON_INVITE

    def receive(self, request: Request, now: float) -> None:
        """The request again, or its ACK."""
        self._step(Input.ACK if request.method == "ACK" else Input.REQUEST, request, now)

    def respond(self, status: int, data: bytes, now: float) -> None:
        """Send a response. Raises MisuseError where the request has had its final answer."""
        if status < 200:
            what = Input.SEND_PROVISIONAL
        else:
            what = Input.SEND_SUCCESS if status < 300 else Input.SEND_FAILURE
        self._step(what, data, now)

    def transport_failed(self, now: float) -> None:
        """The flow is broken."""
        self._step(Input.TRANSPORT_ERROR, None, now)

    def reroute(self, flow: Flow) -> None:
        """Answer by another flow from now on. What was said last is said again: whether anybody is there is known at
        once."""
        self.flow = flow
        if self._last is not None:
            self._outputs.append(Send(flow, self._last))

    def handle_timer(self, now: float) -> None:
        """Fire every timer whose time has come, earliest first."""
        self._due.fire(now, lambda what: self._step(what, None, now))

    def next_timer(self) -> float | None:
        """The earliest running timer."""
        return self._due.next()

    def take_outputs(self) -> list[Output]:
        """Bytes to send and news for the transaction user, in order."""
        taken, self._outputs = self._outputs, []
        return taken

    def _step(self, what: Input, payload: Request | bytes | None, now: float) -> None:
        cell = self.table.get((self.state, what))
        if cell is None:
            if what in OURS:
                raise MisuseError(f"{what.value} in a server transaction that is {self.state.value}")
            return
        action, self.state = cell
        action(self, payload, now)
        if self.state is State.TERMINATED:
            self._due.clear()

    def _send(self, payload: Request | bytes | None, now: float) -> None:
        assert isinstance(payload, bytes)
        self._last = payload
        self._outputs.append(Send(self.flow, payload))

    def _send_again(self, payload: Request | bytes | None, now: float) -> None:
        if self._last is not None:
            self._outputs.append(Send(self.flow, self._last))

    def _accept(self, payload: Request | bytes | None, now: float) -> None:
        self._send(payload, now)
        self._due.only({Input.END: now + self._timers.patience})  # timer L, RFC 6026 section 8.7

    def _refuse(self, payload: Request | bytes | None, now: float) -> None:
        self._send(payload, now)
        self._due.only({Input.TIMEOUT: now + self._timers.patience})  # timer H
        if not self.flow.reliable:
            self._due[Input.RETRANSMIT] = now + self._interval  # timer G

    def _retransmit(self, payload: Request | bytes | None, now: float) -> None:
        self._send_again(payload, now)
        self._interval = min(2 * self._interval, self._timers.t2)
        self._due[Input.RETRANSMIT] = now + self._interval

    def _confirm(self, payload: Request | bytes | None, now: float) -> None:
        self._due.only({Input.END: now + (0.0 if self.flow.reliable else self._timers.t4)})  # timer I

    def _complete(self, payload: Request | bytes | None, now: float) -> None:
        self._send(payload, now)
        self._due.only({Input.END: now + (0.0 if self.flow.reliable else self._timers.patience)})  # timer J

    def _pass_ack(self, payload: Request | bytes | None, now: float) -> None:
        assert isinstance(payload, Request)
        self._outputs.append(AckHeard(payload))

    def _lose(self, payload: Request | bytes | None, now: float) -> None:
        self._outputs.append(PathLost())

    def _absorb(self, payload: Request | bytes | None, now: float) -> None:
        """Nothing but the state's change, if any."""


Action = Callable[[ServerTransaction, Request | bytes | None, float], None]
Table = Mapping[tuple[State, Input], tuple[Action, State]]

INVITE: Table = {  # RFC 3261 figure 7 as RFC 6026 section 7.1 redraws it
    (State.PROCEEDING, Input.REQUEST): (ServerTransaction._send_again, State.PROCEEDING),
    (State.PROCEEDING, Input.SEND_PROVISIONAL): (ServerTransaction._send, State.PROCEEDING),
    (State.PROCEEDING, Input.SEND_SUCCESS): (ServerTransaction._accept, State.ACCEPTED),
    (State.PROCEEDING, Input.SEND_FAILURE): (ServerTransaction._refuse, State.COMPLETED),
    (State.PROCEEDING, Input.TRANSPORT_ERROR): (ServerTransaction._lose, State.TERMINATED),
    (State.COMPLETED, Input.REQUEST): (ServerTransaction._send_again, State.COMPLETED),
    (State.COMPLETED, Input.ACK): (ServerTransaction._confirm, State.CONFIRMED),
    (State.COMPLETED, Input.RETRANSMIT): (ServerTransaction._retransmit, State.COMPLETED),
    (State.COMPLETED, Input.TIMEOUT): (ServerTransaction._absorb, State.TERMINATED),
    (State.COMPLETED, Input.TRANSPORT_ERROR): (ServerTransaction._absorb, State.TERMINATED),
    (State.CONFIRMED, Input.REQUEST): (ServerTransaction._absorb, State.CONFIRMED),
    (State.CONFIRMED, Input.ACK): (ServerTransaction._absorb, State.CONFIRMED),
    (State.CONFIRMED, Input.END): (ServerTransaction._absorb, State.TERMINATED),
    (State.ACCEPTED, Input.REQUEST): (ServerTransaction._absorb, State.ACCEPTED),
    (State.ACCEPTED, Input.ACK): (ServerTransaction._pass_ack, State.ACCEPTED),
    (State.ACCEPTED, Input.SEND_SUCCESS): (ServerTransaction._send, State.ACCEPTED),
    (State.ACCEPTED, Input.END): (ServerTransaction._absorb, State.TERMINATED),
}

NON_INVITE: Table = {  # RFC 3261 figure 8
    (State.TRYING, Input.REQUEST): (ServerTransaction._absorb, State.TRYING),
    (State.TRYING, Input.SEND_PROVISIONAL): (ServerTransaction._send, State.PROCEEDING),
    (State.TRYING, Input.SEND_SUCCESS): (ServerTransaction._complete, State.COMPLETED),
    (State.TRYING, Input.SEND_FAILURE): (ServerTransaction._complete, State.COMPLETED),
    (State.TRYING, Input.TRANSPORT_ERROR): (ServerTransaction._absorb, State.TERMINATED),
    (State.PROCEEDING, Input.REQUEST): (ServerTransaction._send_again, State.PROCEEDING),
    (State.PROCEEDING, Input.SEND_PROVISIONAL): (ServerTransaction._send, State.PROCEEDING),
    (State.PROCEEDING, Input.SEND_SUCCESS): (ServerTransaction._complete, State.COMPLETED),
    (State.PROCEEDING, Input.SEND_FAILURE): (ServerTransaction._complete, State.COMPLETED),
    (State.PROCEEDING, Input.TRANSPORT_ERROR): (ServerTransaction._absorb, State.TERMINATED),
    (State.COMPLETED, Input.REQUEST): (ServerTransaction._send_again, State.COMPLETED),
    (State.COMPLETED, Input.END): (ServerTransaction._absorb, State.TERMINATED),
    (State.COMPLETED, Input.TRANSPORT_ERROR): (ServerTransaction._absorb, State.TERMINATED),
}
