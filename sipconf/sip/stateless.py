"""Answers that leave no memory behind (RFC 3261 section 8.2.7): to OPTIONS, and refusals; how many of those a source
gets.

What is refused and why is admission's and the agent's to say.
"""

from sipconf.errors import PeerError
from sipconf.sip.admission import Gate, Refused
from sipconf.sip.caps import TooMuch
from sipconf.sip.events import CloseFlow, Counted, Send
from sipconf.sip.flow import Flow
from sipconf.sip.message import Request, Response
from sipconf.sip.parser import parse_message
from sipconf.sip.return_path import stamp
from sipconf.sip.settings import AgentSettings
from sipconf.sip.tokens import MalformedMessage
from sipconf.sip.wire import SDP, SUPPORTED, Wire


class StatelessAnswers:
    """Speaks by the wire of one user agent."""

    def __init__(self, wire: Wire, gate: Gate, settings: AgentSettings) -> None:
        self._wire = wire
        self._gate = gate
        self._settings = settings

    def send(self, response: Response, reply: Flow) -> None:
        """A response without a transaction."""
        self._wire.outputs.append(Send(reply, response.encode()))

    def answer_options(self, request: Request, reply: Flow) -> None:
        """200, and what we understand (section 11.2)."""
        extra = (("Accept", SDP), ("Accept-Encoding", "identity"), ("Supported", SUPPORTED))
        self.send(self._wire.response(request, 200, tag=self._gate.stateless_tag(request), extra=extra), reply)

    def refuse(self, request: Request, reply: Flow, refused: Refused) -> None:
        """A final answer; nothing answers an ACK."""
        if request.method == "ACK":
            return
        tag = self._gate.stateless_tag(request)
        self.send(self._wire.response(request, refused.status, reason=refused.reason, tag=tag, extra=refused.headers),
                  reply)

    def refuse_bad(self, request: Request, flow: Flow, error: PeerError, now: float) -> None:
        """Answer a bad request as far as it can be read, and as often as its sender may be answered."""
        if isinstance(error, TooMuch) and not self._gate.sources.may_refuse(flow.remote, now):
            return
        if self._settings.drop_unknown and not self._gate.knows(flow):
            return
        headers = (("Retry-After", str(self._settings.retry_after)),) if error.status == 503 else ()
        reply = flow
        try:
            request, reply = stamp(request, flow)
        except PeerError:  # a Via beyond reading: the answer goes to the packet's source as it is
            self._wire.outputs.append(Counted("unreadable_via"))
        self.refuse(request, reply, Refused(error.status, error.reason, headers))

    def turn_away(self, data: bytes, flow: Flow, now: float) -> None:
        """Too much comes from this source: some 503 a second, then silence; a stream is closed."""
        if not self._gate.sources.may_refuse(flow.remote, now):
            if flow.reliable:
                self._wire.outputs.append(CloseFlow(flow, "too many messages"))
            return
        try:
            message = parse_message(data)
        except MalformedMessage:
            return
        if isinstance(message, Request):
            self.refuse_bad(message, flow, PeerError("Too Many Messages", status=503), now)
