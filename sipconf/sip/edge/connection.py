"""One stream connection: its bytes to messages, its keep-alives, its deadlines (RFC 3261 section 18.3, RFC 5626)."""

import asyncio
import logging
from dataclasses import dataclass
from typing import Protocol

from sipconf.clock import Clock
from sipconf.sip.edge.sockets import keep_alive, plain_address
from sipconf.sip.flow import Flow
from sipconf.sip.framing import StreamFramer
from sipconf.sip.tokens import MalformedMessage

log = logging.getLogger(__name__)

CRLF = b"\r\n"


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """Seconds, connections and bytes.

    first_message: until a peer that connected has sent a message; message: until a message that has begun is complete;
    idle: silence allowed to strangers; idle_in_use: to connections that carry a registration or a call;
    waiting: messages held while a connection is being opened.
    """

    first_message: float = 5.0
    message: float = 10.0
    idle: float = 120.0
    idle_in_use: float = 7260.0  # longer than the longest registration
    connect: float = 5.0
    connections: int = 4096
    per_source: int = 512
    write_buffer: int = 256 * 1024
    waiting: int = 64


class Owner(Protocol):
    """Who keeps the connections."""

    limits: StreamLimits
    clock: Clock

    def opened(self, connection: "Connection") -> bool: ...
    def proved(self, connection: "Connection") -> None: ...
    def heard(self, message: bytes, connection: "Connection") -> None: ...
    def closed(self, connection: "Connection") -> None: ...
    def in_use(self, connection: "Connection") -> bool: ...


class Connection(asyncio.Protocol):
    """A peer's connection, or one that we opened (outgoing)."""

    def __init__(self, owner: Owner, transport_name: str, number: int, *, outgoing: bool) -> None:
        self.number = number
        self.outgoing = outgoing
        self.in_call = False
        self.proven = outgoing  # a complete message has come
        self.flow: Flow | None = None
        self.asked_for: set[Flow] = set()  # flows without a connection that ended up here
        self._owner = owner
        self._name = transport_name
        self._framer = StreamFramer()
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        self._opened_at = self._heard_at = owner.clock.monotonic()
        self._partial_since: float | None = None
        self._closing = False

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._closing

    def write(self, data: bytes) -> None:
        if self.is_open:
            self._transport.write(data)

    def close(self, reason: str) -> None:
        """Sends what is buffered, then closes."""
        if self.is_open:
            log.info("closing the connection from %s:%s: %s", *self.flow.remote, reason)
            self._closing = True
            self._transport.close()
            if self._timer is not None:
                self._timer.cancel()
            # A peer that reads nothing would keep the buffer, and so the connection, for ever
            self._timer = self._loop.call_later(self._owner.limits.message, self._transport.abort)

    def abort(self, reason: str) -> None:
        """Closes at once."""
        if self._transport is not None:
            log.info("dropping the connection from %s:%s: %s", *self.flow.remote, reason)
            self._closing = True
            self._transport.abort()

    # --- asyncio's side --------------------------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        remote = transport.get_extra_info("peername")
        local = transport.get_extra_info("sockname")
        if not remote or not local:  # the peer was gone before we looked
            self._closing = True
            transport.abort()
            return
        self.flow = Flow(self._name, plain_address(remote), plain_address(local), self.number)
        transport.set_write_buffer_limits(high=self._owner.limits.write_buffer)
        keep_alive(transport.get_extra_info("socket"))
        if not self._owner.opened(self):
            self.abort("too many connections")
            return
        self._watch()

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        self._heard_at = self._owner.clock.monotonic()
        answered = self._framer.pongs
        try:
            messages = self._framer.feed(data)
        except MalformedMessage as fault:
            self._lose(fault)
            return
        for message in messages:
            if not self.proven:
                self.proven = True
                self._owner.proved(self)
            self._owner.heard(message, self)
            if self._closing:
                return
        self.write(CRLF * (self._framer.pongs - answered))  # RFC 5626 section 3.5.1
        if self._framer.fault is not None:
            self._lose(self._framer.fault)
            return
        if not self._framer.pending:
            self._partial_since = None
        elif messages or self._partial_since is None:
            self._partial_since = self._heard_at
        self._watch()

    def pause_writing(self) -> None:
        self.abort("it does not read what we send")

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        if self.flow is not None:
            self._owner.closed(self)

    # --- deadlines -------------------------------------------------------------------------------------------------
    def _lose(self, fault: MalformedMessage) -> None:
        """The next message cannot be found any more: answer what can be answered and close."""
        if fault.salvage is not None and fault.salvage.method != "ACK":
            self.write(fault.salvage.response(fault.status, fault.reason, to_tag=f"lost-{self.number}").encode())
        self.close(fault.reason)

    def _deadline(self) -> tuple[float, str]:
        limits = self._owner.limits
        if self._partial_since is not None and self.proven:
            return self._partial_since + limits.message, "an unfinished message"
        if not self.proven:
            return self._opened_at + limits.first_message, "no message came"
        idle = limits.idle_in_use if self._owner.in_use(self) else limits.idle
        return self._heard_at + idle, "idle"

    def _watch(self) -> None:
        """Sets the alarm, unless one is set that rings no later."""
        due, _ = self._deadline()
        if self._timer is not None:
            if self._timer_due <= due:
                return
            self._timer.cancel()
        self._timer_due = due
        self._timer = self._loop.call_later(max(0.001, due - self._owner.clock.monotonic()), self._check)

    def _check(self) -> None:
        self._timer = None
        due, reason = self._deadline()
        if self._owner.clock.monotonic() >= due:
            self.abort(reason)
        else:
            self._watch()
