"""One stream connection: its bytes to messages, its keep-alives, its deadlines (RFC 3261 section 18.3, RFC 5626)."""

import asyncio
import logging
from collections import deque
from dataclasses import dataclass, replace
from typing import Protocol

from sipconf.clock import Clock
from sipconf.sip.edge.sockets import keep_alive, plain_address
from sipconf.sip.edge.tls import TlsFault, TlsLayer
from sipconf.sip.edge.turns import Turns
from sipconf.sip.flow import Flow, network_of
from sipconf.sip.framing import StreamFramer
from sipconf.sip.tokens import MalformedMessage

log = logging.getLogger(__name__)

CRLF = b"\r\n"


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """Seconds, connections and bytes.

    handshake: until TLS is agreed on; first_message: from then on until a message has come; message: until a message
    that has begun is complete; idle: silence allowed to strangers; idle_in_use: to connections that carry a
    registration or a call; connect: until a connection of our own stands; connections, per_source: those that peers may
    have open, all together and from one network; handshakes: TLS handshakes under way at once; keep_alives: those
    answered in a second; write_buffer: what may wait for a peer that does not read; waiting: messages held while a
    connection is being opened. ping, pong: a WebSocket that is quiet for so long is sent a ping, and is dead when
    nothing comes for so long after it (half a minute is what NATs and proxies leave to TCP).
    """

    handshake: float = 5.0
    first_message: float = 5.0
    message: float = 10.0
    idle: float = 120.0
    idle_in_use: float = 7260.0  # longer than the longest registration
    connect: float = 5.0
    connections: int = 4096
    per_source: int = 512
    handshakes: int = 512
    keep_alives: int = 4
    write_buffer: int = 256 * 1024
    waiting: int = 64
    ping: float = 25.0
    pong: float = 20.0


class Owner(Protocol):
    """Who keeps the connections.

    opened: one has come; False where there is no room for it. shaken: its TLS handshake is over. spoke: complete
    messages have come; heard: one of them, in its turn. closed: it is gone, and all that came before has been heard.
    in_use: is it needed, by a registration or a call, although nothing is said on it?
    """

    limits: StreamLimits
    clock: Clock
    turns: Turns

    def opened(self, connection: "Connection") -> bool: ...
    def shaken(self, connection: "Connection") -> None: ...
    def spoke(self, connection: "Connection") -> None: ...
    def heard(self, message: bytes, connection: "Connection") -> None: ...
    def closed(self, connection: "Connection") -> None: ...
    def in_use(self, connection: "Connection") -> bool: ...
    def count(self, metric: str) -> None: ...


class Connection(asyncio.Protocol):
    """A peer's connection, or one that we opened (outgoing). tls: its encryption, None for TCP."""

    def __init__(
        self,
        owner: Owner,
        transport_name: str,
        number: int,
        *,
        outgoing: bool,
        tls: TlsLayer | None = None,
        server_name: str | None = None,
    ) -> None:
        """server_name: outgoing, the name that the peer has proven."""
        self.number = number
        self.outgoing = outgoing
        self.in_call = False
        self.proven = False  # accepted: a complete message has come; opened by us: it stands
        self.flow: Flow | None = None
        self.source = ""  # by what it is counted
        self.asked_for: set[Flow] = set()  # flows without a connection that ended up here
        self._owner = owner
        self._name = transport_name
        self._server_name = server_name
        self._tls = tls
        self._framer = StreamFramer()
        self._queue: deque[bytes] = deque()  # complete messages that wait for their turn
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = self._loop.create_future()  # may be written to; of interest where outgoing
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        self._opened_at = self._heard_at = self._ready_at = owner.clock.monotonic()
        self._partial_since: float | None = None
        self._keep_alive_second = 0.0
        self._keep_alives = 0
        self._closing = False
        self._lost = False

    @property
    def is_open(self) -> bool:
        """Can anything be written? Over TLS from the end of the handshake on."""
        return self._transport is not None and not self._closing and (self._tls is None or self._tls.ready)

    @property
    def is_used(self) -> bool:
        """Does a registration or a call need it?"""
        return self._owner.in_use(self)

    def write(self, data: bytes) -> None:
        """Sends plain bytes; nothing where it is not open: its end is reported by the owner."""
        if not self.is_open or not data:
            return
        if self._tls is None:
            self._transport.write(data)
        else:
            try:
                self._tls.write(data)
            except TlsFault as fault:
                self.abort(f"TLS: {fault}")
                return
            self._flush()

    def close(self, reason: str) -> None:
        """Sends what is buffered, then closes."""
        if self._transport is not None and not self._closing:
            log.info("closing the connection from %s:%s: %s", *self.flow.remote, reason)
            if self._tls is not None and self._tls.ready:
                self._tls.end()
            self._flush()
            self._closing = True
            self._queue.clear()
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
            self._queue.clear()
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
        self.flow = Flow(self._name, plain_address(remote), plain_address(local), self.number, self._server_name)
        self.source = network_of(self.flow.remote[0])
        transport.set_write_buffer_limits(high=self._owner.limits.write_buffer)
        keep_alive(transport.get_extra_info("socket"))
        if not self._owner.opened(self):
            self._owner.count("connections_full")
            self.abort("too many connections")
            return
        if self._tls is None:
            self._stands()
        elif self.outgoing:
            self._tls.start()
            self._flush()
        self._watch()

    def _stands(self) -> None:
        """Messages can go both ways."""
        self._ready_at = self._owner.clock.monotonic()
        self.proven = self.outgoing
        if self._tls is not None and not self.outgoing:
            self.flow = replace(self.flow, called=self._tls.called)
        self.ready.set_result(None)

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        plain = data if self._tls is None else self._decrypt(data)
        if plain and not self._closing:
            self._take(plain)
        if self._tls is not None and self._tls.ended and not self._closing and not self._queue:
            self.close("the peer has ended it")

    def pause_writing(self) -> None:
        self._owner.count("peer_reads_nothing")
        self.abort("it does not read what we send")

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = self._lost = True
        self._transport = None
        if not self.ready.done():
            self.ready.set_exception(exc or ConnectionError("it closed at once"))
            self.ready.exception()  # nobody need look at it
        if self._timer is not None:
            self._timer.cancel()
        if self.flow is not None and not self._queue:
            self._owner.closed(self)

    # --- bytes -----------------------------------------------------------------------------------------------------
    def _decrypt(self, data: bytes) -> bytes:
        assert self._tls is not None
        was_ready = self._tls.ready
        try:
            plain = self._tls.receive(data)
        except TlsFault as fault:
            self._flush()  # the alert
            self._owner.count("tls_failed")
            if not self.ready.done():
                self.ready.set_exception(ConnectionError(str(fault)))
                self.ready.exception()
            self.close(f"TLS: {fault}")
            return b""
        self._flush()
        if self._tls.ready and not was_ready:
            self._owner.shaken(self)
            self._stands()
            self._watch()
        return plain

    def _flush(self) -> None:
        if self._tls is not None and self._transport is not None and not self._closing:
            if encrypted := self._tls.take():
                self._transport.write(encrypted)

    def _take(self, plain: bytes) -> None:
        """Cuts messages out of what has come; they are worked on in turn."""
        self._heard_at = self._owner.clock.monotonic()
        answered = self._framer.pongs
        try:
            messages = self._framer.feed(plain)
        except MalformedMessage as fault:
            self._lose(fault)
            return
        if messages:
            self.proven = True
            self._owner.spoke(self)
            self._queue += messages
            self._owner.turns.add(self)
        self._answer_keep_alives(self._framer.pongs - answered)
        if not self._framer.pending:
            self._partial_since = None
        elif messages or self._partial_since is None:
            self._partial_since = self._heard_at
        if self._framer.fault is not None and not self._queue:
            self._lose(self._framer.fault)
        elif not self._closing:
            self._watch()

    def work(self) -> bool:
        """Hands on one message; True where more wait."""
        if self._queue:
            self._owner.heard(self._queue.popleft(), self)
        if self._queue:
            if self._transport is not None and not self._transport.is_closing():
                self._transport.pause_reading()  # until these have had their turn
            return True
        if self._lost:
            self._owner.closed(self)
        elif not self._closing:
            if self._framer.fault is not None:
                self._lose(self._framer.fault)
            elif self._tls is not None and self._tls.ended:
                self.close("the peer has ended it")
            elif not self._transport.is_closing():
                self._transport.resume_reading()
        return False

    def _answer_keep_alives(self, number: int) -> None:
        """RFC 5626 section 3.5.1, as far as somebody sends them to keep something alive."""
        if self._heard_at - self._keep_alive_second >= 1.0:
            self._keep_alive_second, self._keep_alives = self._heard_at, 0
        granted = min(number, self._owner.limits.keep_alives - self._keep_alives)
        self._keep_alives += granted
        self.write(CRLF * granted)

    # --- deadlines -------------------------------------------------------------------------------------------------
    def _lose(self, fault: MalformedMessage) -> None:
        """The next message cannot be found any more: answer what can be answered and close."""
        self._owner.count("framing_lost")
        if fault.salvage is not None and fault.salvage.method != "ACK":
            self.write(fault.salvage.response(fault.status, fault.reason, to_tag=f"lost-{self.number}").encode())
        self.close(fault.reason)

    def _deadline(self) -> tuple[float, str, str]:
        """When it is over, why, and how that is counted."""
        limits = self._owner.limits
        if self._tls is not None and not self._tls.ready:
            return self._opened_at + limits.handshake, "no TLS handshake", "tls_handshake_late"
        if self._partial_since is not None and self.proven:
            return self._partial_since + limits.message, "an unfinished message", "message_unfinished"
        if not self.proven:
            return self._ready_at + limits.first_message, "no message came", "no_first_message"
        idle = limits.idle_in_use if self._owner.in_use(self) else limits.idle
        return self._heard_at + idle, "idle", "connection_idle"

    def _watch(self) -> None:
        """Sets the alarm, unless one is set that rings no later."""
        due = self._deadline()[0]
        if self._timer is not None:
            if self._timer_due <= due:
                return
            self._timer.cancel()
        self._timer_due = due
        self._timer = self._loop.call_later(max(0.001, due - self._owner.clock.monotonic()), self._check)

    def _check(self) -> None:
        self._timer = None
        due, reason, metric = self._deadline()
        if self._owner.clock.monotonic() >= due:
            self._owner.count(metric)
            self.abort(reason)
        else:
            self._watch()
