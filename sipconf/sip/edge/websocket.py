"""SIP over WebSocket (RFC 7118): the connections that clients have open, after the HTTP server took their handshake.

Only clients open them, so what is lost cannot be opened again from here. The handshake is the web side's
(web/sip_websocket), the frames' form is sip/websocket_frames's.
"""

import asyncio
import logging
import struct
from collections.abc import Callable
from itertools import count

from sipconf.sip.edge.connection import CRLF
from sipconf.sip.edge.sockets import keep_alive
from sipconf.sip.edge.stream import Floor
from sipconf.sip.flow import Address, Flow, network_of
from sipconf.sip.websocket_frames import CloseCode, Frame, FrameFault, FrameReader, Opcode, closing, message, written

log = logging.getLogger(__name__)

PING = written(Opcode.PING, b"")
LINGER = 0.5
"""Seconds for which what a peer still sends is thrown away, after it was told what was wrong."""


class WebSocketPeer:
    """One client's connection. The HTTP server hands it what arrives and tells it the end (`ended`)."""

    def __init__(self, carrier: "WebSocketCarrier", transport: asyncio.Transport, flow: Flow) -> None:
        self.flow = flow
        self.source = network_of(flow.remote[0])
        self.in_call = False
        self.proven = False  # a message has come
        self.has_left = False  # and will not be back
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._carrier = carrier
        self._limits = carrier.floor.limits
        self._now = carrier.floor.clock.monotonic
        self._transport = transport
        self._frames = FrameReader()
        self._timer: asyncio.TimerHandle | None = None
        self._opened_at = self._spoke_at = self._alive_at = self._pinged_at = self._now()
        self._partial_since: float | None = None
        self._second = self._opened_at
        self._answers = 0  # to keep-alives and pings, in this second
        self._closing = self._lost = False
        keep_alive(transport.get_extra_info("socket"))

    @property
    def is_open(self) -> bool:
        return not self._closing and not self._transport.is_closing()

    @property
    def is_used(self) -> bool:
        """Does a registration or a call need it?"""
        return self.in_call or self._carrier.floor.is_used(self.flow)

    def send(self, data: bytes) -> None:
        """One SIP message."""
        self._write(message(data))

    def close(self, reason: str, code: CloseCode = CloseCode.NORMAL) -> None:
        """Says why, sends what is buffered, then closes."""
        if self._closing:
            return
        log.info("closing the WebSocket of %s:%s: %s", *self.flow.remote, reason)
        self._write(closing(code, reason))
        if self._closing:  # it does not read
            return
        self._closing = True
        if code in (CloseCode.NORMAL, CloseCode.GOING_AWAY):
            self._hang_up()
        else:  # it may be sending still, and what is unread at the end takes our last word with it
            self._set_timer(LINGER, self._hang_up)

    def _hang_up(self) -> None:
        self._transport.close()
        self._set_timer(self._limits.message, self._transport.abort)  # a peer that reads nothing keeps it for ever

    def abort(self, reason: str) -> None:
        """Closes at once."""
        if not self._closing:
            log.info("dropping the WebSocket of %s:%s: %s", *self.flow.remote, reason)
        self._closing = True
        self._transport.abort()

    # --- from the HTTP server --------------------------------------------------------------------------------------
    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Octets that came after the handshake; they are worked on in turn. The answer is what aiohttp asks of a
        parser: not at the end, nothing left over."""
        if not self._closing:
            self._alive_at = self._now()
            self._frames.feed(data)
            self._carrier.floor.turns.add(self)
        return False, b""

    def feed_eof(self) -> None:
        """The connection is gone. What came before is heard first: it may be a BYE."""
        self._lost = True
        if self._timer is not None:
            self._timer.cancel()
        self._carrier.floor.turns.add(self)
        if not self.closed.done():
            self.closed.set_result(None)

    # --- frames ----------------------------------------------------------------------------------------------------
    def work(self) -> bool:
        """Reads one frame; True where more wait."""
        more = not self._closing and self._read()
        if self._lost and not more:
            self._carrier.ended(self)
        elif not self._transport.is_closing():
            if more:
                self._transport.pause_reading()  # until these have had their turn
            else:
                self._transport.resume_reading()
        return more

    def _read(self) -> bool:
        try:
            found, frame = self._frames.next()
        except FrameFault as fault:
            self._carrier.count(fault.metric)
            self.close(fault.reason, fault.code)
            return False
        if frame is not None:
            self._take(frame)
        self._note_progress(found, frame)
        return found and not self._closing

    def _take(self, frame: Frame) -> None:
        match frame.opcode:
            case Opcode.TEXT | Opcode.BINARY:
                self._hear(frame.payload)
            case Opcode.PING if self._may_answer():
                self._write(written(Opcode.PONG, frame.payload))
            case Opcode.CLOSE:
                # What browsers send for a page that is closed or left (RFC 6455 section 7.4.1)
                self.has_left = frame.payload[:2] == struct.pack("!H", CloseCode.GOING_AWAY)
                self.close("the client has ended it")

    def _hear(self, data: bytes) -> None:
        """A SIP message, or a keep-alive (RFC 7118 section 6): a double CRLF is answered with one."""
        self._spoke_at = self._now()
        if not data.strip(b"\r\n"):
            if data == CRLF * 2 and self._may_answer():
                self.send(CRLF)
            return
        self.proven = True
        self._carrier.floor.crowd.spoke(self)
        self._carrier.floor.receive(data, self.flow)

    def _may_answer(self) -> bool:
        """Keep-alives and pings are answered as far as somebody sends them to keep something alive."""
        if self._alive_at - self._second >= 1.0:
            self._second, self._answers = self._alive_at, 0
        self._answers += 1
        return self._answers <= self._limits.keep_alives

    def _write(self, data: bytes) -> None:
        if not self.is_open:
            return
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > self._limits.write_buffer:
            self._carrier.count("peer_reads_nothing")
            self.abort("it does not read what we send")

    # --- deadlines -------------------------------------------------------------------------------------------------
    def _note_progress(self, found: bool, frame: Frame | None) -> None:
        if frame is not None and frame.opcode < Opcode.CLOSE:
            self._partial_since = None
        elif not found and not self._frames.pending:
            self._partial_since = None
        elif self._partial_since is None and not (self._closing or self._lost):
            self._partial_since = self._alive_at
            self.check()  # it has less time now

    def _deadline(self) -> tuple[float, str, str]:
        """When it is over, why, and how that is counted."""
        limits = self._limits
        silent = (self._alive_at + limits.ping + limits.pong, "it answers no ping", "websocket_dead")
        if not self.proven:
            return self._opened_at + limits.first_message, "no message came", "no_first_message"
        if self._partial_since is not None:
            return min(silent, (self._partial_since + limits.message, "an unfinished message", "message_unfinished"))
        idle = limits.idle_in_use if self.is_used else limits.idle
        return min(silent, (self._spoke_at + idle, "idle", "connection_idle"))

    def check(self) -> None:
        """Ends it where a deadline has passed, else pings where it has been quiet, and comes back in time."""
        now = self._now()
        due, reason, metric = self._deadline()
        if now >= due:
            self._carrier.count(metric)
            self.abort(reason)
            return
        quiet_since = max(self._alive_at, self._pinged_at)
        if now - quiet_since >= self._limits.ping:
            self._write(PING)
            self._pinged_at = quiet_since = now
        self._set_timer(min(due, quiet_since + self._limits.ping) - now, self.check)

    def _set_timer(self, delay: float, what: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(max(0.001, delay), what)


class WebSocketCarrier:
    """All connections of one transport, "ws" or "wss"."""

    def __init__(self, name: str, floor: Floor) -> None:
        self.floor = floor
        self.count = floor.count
        self._name = name
        self._numbers = count(1)
        self._peers: dict[int, WebSocketPeer] = {}
        self._stopped = False

    def __len__(self) -> int:
        return len(self._peers)

    def accept(self, transport: asyncio.Transport, remote: Address, local: Address) -> WebSocketPeer | None:
        """A client whose handshake was good; None where there is no room for it. remote: the client's own address,
        where a proxy is in between with the port of the proxy; local: ours, as that client can reach it."""
        if self._stopped:
            return None
        flow = Flow(self._name, remote, local, next(self._numbers))
        peer = WebSocketPeer(self, transport, flow)
        if not self.floor.crowd.enter(peer, shaking=False):
            self.count("connections_full")
            return None
        self._peers[flow.connection] = peer
        peer.check()
        return peer

    def send(self, flow: Flow, data: bytes) -> None:
        """One SIP message; where the connection is gone, that is reported."""
        peer = self._peers.get(flow.connection or 0)
        if peer is not None and peer.is_open:
            peer.send(data)
        else:
            asyncio.get_running_loop().call_soon(self.floor.failed, flow)

    def close(self, flow: Flow, reason: str) -> None:
        """An order of the agent."""
        peer = self._peers.get(flow.connection or 0)
        if peer is not None:
            peer.close(reason)

    def keep_for_call(self, flow: Flow) -> None:
        """A call came by this connection: it may be silent as long as people talk."""
        peer = self._peers.get(flow.connection or 0)
        if peer is not None:
            peer.in_call = True

    async def stop(self) -> None:
        """Closes everything and reports nothing."""
        self._stopped = True
        for peer in list(self._peers.values()):
            peer.close("the server stops", CloseCode.GOING_AWAY)

    def ended(self, peer: WebSocketPeer) -> None:
        """What a connection tells at its end."""
        known = self._peers.pop(peer.flow.connection or 0, None) is not None
        self.floor.crowd.leave(peer)
        if known and peer.proven and not self._stopped:  # of any other nobody has heard
            self.floor.failed(peer.flow, peer.has_left)
