"""Client transactions as tables: RFC 3261 sections 17.1.1 and 17.1.2, corrected by RFC 6026 (Accepted, timer M).

One request, its retransmissions, and the responses that matter. Matching and many at once: transactions.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from sipconf.sip.events import Send
from sipconf.sip.flow import Flow
from sipconf.sip.headers import Headers
from sipconf.sip.message import Request, Response
from sipconf.sip.timers import Running, Timers


class State(Enum):
    """Where a client transaction is; CALLING and ACCEPTED belong to INVITE, TRYING to all others."""

    CALLING = "calling"
    TRYING = "trying"
    PROCEEDING = "proceeding"
    ACCEPTED = "accepted"
    COMPLETED = "completed"
    TERMINATED = "terminated"


UNANSWERED = frozenset({State.CALLING, State.TRYING})
"""Nothing has come back yet."""


class Input(Enum):
    """What can happen to it: responses by class, its timers (A or E, B or F, D, K or M), a broken transport."""

    PROVISIONAL = "1xx"
    SUCCESS = "2xx"
    FAILURE = "3xx-6xx"
    RETRANSMIT = "timer A/E"
    TIMEOUT = "timer B/F"
    END = "timer D/K/M"
    TRANSPORT_ERROR = "transport error"


@dataclass(frozen=True, slots=True)
class Heard:
    """A response for the transaction user."""

    response: Response


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Timer B or F: nobody answered."""


@dataclass(frozen=True, slots=True)
class NoPath:
    """The transport refused."""


Output = Send | Heard | NoAnswer | NoPath


class ClientTransaction:
    """Sends request by flow at once; table is INVITE or NON_INVITE by the request's method."""

    def __init__(self, request: Request, flow: Flow, timers: Timers, now: float) -> None:
        self.request = request
        self.flow = flow
        self.is_invite = request.method == "INVITE"
        self.state = State.CALLING if self.is_invite else State.TRYING
        self._timers = timers
        self._data = request.encode()
        self._ack: bytes | None = None
        self._interval = timers.t1
        self._due = Running({Input.TIMEOUT: now + timers.patience})
        if not flow.reliable:  # sections 17.1.1.2 and 17.1.2.2: timers A and E for UDP alone
            self._due[Input.RETRANSMIT] = now + timers.t1
        self._outputs: list[Output] = [Send(flow, self._data)]

    @property
    def table(self) -> "Table":
        """The table this transaction obeys."""
        return INVITE if self.is_invite else NON_INVITE

    def receive(self, response: Response, now: float) -> None:
        """A response whose branch and CSeq method are ours."""
        if response.status < 200:
            what = Input.PROVISIONAL
        else:
            what = Input.SUCCESS if response.status < 300 else Input.FAILURE
        self._step(what, response, now)

    def transport_failed(self, now: float) -> None:
        """The flow is broken."""
        self._step(Input.TRANSPORT_ERROR, None, now)

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

    def _step(self, what: Input, response: Response | None, now: float) -> None:
        cell = self.table.get((self.state, what))
        if cell is None:  # a response that says nothing new here, such as a 180 after the 200
            return
        action, self.state = cell
        action(self, response, now)
        if self.state is State.TERMINATED:
            self._due.clear()

    def _retransmit(self, response: Response | None, now: float) -> None:
        self._outputs.append(Send(self.flow, self._data))
        if self.is_invite:  # timer A doubles without bound; timer E up to T2, and at T2 once a 1xx came
            self._interval *= 2
        elif self.state is State.PROCEEDING:
            self._interval = self._timers.t2
        else:
            self._interval = min(2 * self._interval, self._timers.t2)
        self._due[Input.RETRANSMIT] = now + self._interval

    def _pass_up(self, response: Response | None, now: float) -> None:
        assert response is not None
        self._outputs.append(Heard(response))

    def _proceed(self, response: Response | None, now: float) -> None:
        self._pass_up(response, now)
        if self.is_invite:  # section 17.1.1.2: in Proceeding an INVITE has no timer
            self._due.clear()

    def _accept(self, response: Response | None, now: float) -> None:
        self._pass_up(response, now)
        self._due.only({Input.END: now + self._timers.patience})  # timer M, RFC 6026 section 8.4

    def _refuse(self, response: Response | None, now: float) -> None:
        assert response is not None
        self._ack = ack_for_refusal(self.request, response).encode()
        self._outputs.append(Send(self.flow, self._ack))
        self._pass_up(response, now)
        self._due.only({Input.END: now + (0.0 if self.flow.reliable else self._timers.linger)})  # timer D

    def _ack_again(self, response: Response | None, now: float) -> None:
        assert self._ack is not None
        self._outputs.append(Send(self.flow, self._ack))

    def _complete(self, response: Response | None, now: float) -> None:
        self._pass_up(response, now)
        self._due.only({Input.END: now + (0.0 if self.flow.reliable else self._timers.t4)})  # timer K

    def _time_out(self, response: Response | None, now: float) -> None:
        self._outputs.append(NoAnswer())

    def _fail(self, response: Response | None, now: float) -> None:
        self._outputs.append(NoPath())

    def _end(self, response: Response | None, now: float) -> None:
        """Nothing but the state's change."""


Action = Callable[[ClientTransaction, Response | None, float], None]
Table = Mapping[tuple[State, Input], tuple[Action, State]]

INVITE: Table = {  # RFC 3261 figure 5 as RFC 6026 section 7.2 redraws it
    (State.CALLING, Input.RETRANSMIT): (ClientTransaction._retransmit, State.CALLING),
    (State.CALLING, Input.TIMEOUT): (ClientTransaction._time_out, State.TERMINATED),
    (State.CALLING, Input.PROVISIONAL): (ClientTransaction._proceed, State.PROCEEDING),
    (State.CALLING, Input.SUCCESS): (ClientTransaction._accept, State.ACCEPTED),
    (State.CALLING, Input.FAILURE): (ClientTransaction._refuse, State.COMPLETED),
    (State.CALLING, Input.TRANSPORT_ERROR): (ClientTransaction._fail, State.TERMINATED),
    (State.PROCEEDING, Input.PROVISIONAL): (ClientTransaction._proceed, State.PROCEEDING),
    (State.PROCEEDING, Input.SUCCESS): (ClientTransaction._accept, State.ACCEPTED),
    (State.PROCEEDING, Input.FAILURE): (ClientTransaction._refuse, State.COMPLETED),
    (State.PROCEEDING, Input.TRANSPORT_ERROR): (ClientTransaction._fail, State.TERMINATED),
    (State.ACCEPTED, Input.SUCCESS): (ClientTransaction._pass_up, State.ACCEPTED),
    (State.ACCEPTED, Input.END): (ClientTransaction._end, State.TERMINATED),
    (State.COMPLETED, Input.FAILURE): (ClientTransaction._ack_again, State.COMPLETED),
    (State.COMPLETED, Input.END): (ClientTransaction._end, State.TERMINATED),
    (State.COMPLETED, Input.TRANSPORT_ERROR): (ClientTransaction._end, State.TERMINATED),
}

NON_INVITE: Table = {  # RFC 3261 figure 6
    (State.TRYING, Input.RETRANSMIT): (ClientTransaction._retransmit, State.TRYING),
    (State.TRYING, Input.TIMEOUT): (ClientTransaction._time_out, State.TERMINATED),
    (State.TRYING, Input.PROVISIONAL): (ClientTransaction._proceed, State.PROCEEDING),
    (State.TRYING, Input.SUCCESS): (ClientTransaction._complete, State.COMPLETED),
    (State.TRYING, Input.FAILURE): (ClientTransaction._complete, State.COMPLETED),
    (State.TRYING, Input.TRANSPORT_ERROR): (ClientTransaction._fail, State.TERMINATED),
    (State.PROCEEDING, Input.RETRANSMIT): (ClientTransaction._retransmit, State.PROCEEDING),
    (State.PROCEEDING, Input.TIMEOUT): (ClientTransaction._time_out, State.TERMINATED),
    (State.PROCEEDING, Input.PROVISIONAL): (ClientTransaction._proceed, State.PROCEEDING),
    (State.PROCEEDING, Input.SUCCESS): (ClientTransaction._complete, State.COMPLETED),
    (State.PROCEEDING, Input.FAILURE): (ClientTransaction._complete, State.COMPLETED),
    (State.PROCEEDING, Input.TRANSPORT_ERROR): (ClientTransaction._fail, State.TERMINATED),
    (State.COMPLETED, Input.END): (ClientTransaction._end, State.TERMINATED),
}


def ack_for_refusal(request: Request, response: Response) -> Request:
    """The ACK of a 3xx-6xx: same branch and Request-URI, To from the response (RFC 3261 section 17.1.1.3)."""
    headers = Headers()
    headers.add("Via", str(request.via))
    for route in request.headers.get_all("Route"):
        headers.add("Route", route)
    headers.add("Max-Forwards", "70")
    headers.add("From", request.headers.get("From") or "")
    headers.add("To", response.headers.get("To") or "")
    headers.add("Call-ID", request.call_id)
    headers.add("CSeq", f"{request.cseq.number} ACK")
    return Request("ACK", request.uri, headers, b"")
