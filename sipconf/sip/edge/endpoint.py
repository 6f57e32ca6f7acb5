"""The user agent's place in the world: its sockets, its clock, its one alarm. It reads no message and decides nothing.

What arrives is handed to the agent with the time; what the agent puts out goes to the wire or, as events, to the floor
above. One message that trips over a fault of ours is logged and counted; the others go on.
"""

import asyncio
import ipaddress
import logging
import traceback
from collections.abc import Callable, Sequence
from functools import cache
from typing import Protocol

from sipconf.clock import SYSTEM_CLOCK, Clock
from sipconf.errors import MisuseError, StartError
from sipconf.sip.crowd import Crowd
from sipconf.sip.edge.connection import StreamLimits
from sipconf.sip.edge.sockets import ListenAddress, open_listener, parse_listen
from sipconf.sip.edge.stream import Context, Floor, StreamCarrier
from sipconf.sip.edge.tls import client_context
from sipconf.sip.edge.turns import Turns
from sipconf.sip.edge.udp import UdpListener
from sipconf.sip.events import CallEvent, CloseFlow, Counted, IncomingCall, Output, Send
from sipconf.sip.flow import Address, Flow

log = logging.getLogger(__name__)

SOONEST_ALARM = 0.001      # seconds; an alarm rounded down by the loop must not spin
ALARM_AFTER_FAULT = 0.1
system_authorities = cache(client_context)  # read when the first connection is opened
TRACEBACKS_A_SECOND = 10   # a flood of messages that trip over one fault must not fill the disk


class Agent(Protocol):
    """The user agent's doors."""

    def receive(self, data: bytes, flow: Flow, now: float) -> None: ...
    def flow_failed(self, flow: Flow, now: float, for_good: bool = False) -> None: ...
    def handle_timer(self, now: float) -> None: ...
    def next_timer(self) -> float | None: ...
    def take_outputs(self) -> Sequence[Output]: ...


class Carrier(Protocol):
    """Whoever owns the connections of a transport: TCP here, WebSocket on the HTTP server's side."""

    def send(self, flow: Flow, data: bytes) -> None: ...
    def close(self, flow: Flow, reason: str) -> None: ...
    def keep_for_call(self, flow: Flow) -> None: ...
    def __len__(self) -> int: ...
    async def stop(self) -> None: ...


class Endpoint:
    """Listeners and connections of one agent. Not to be used from another thread than the event loop's."""

    def __init__(
        self,
        agent: Agent,
        listen: Sequence[str],
        on_events: Callable[[list[CallEvent], float], None],
        clock: Clock = SYSTEM_CLOCK,
        *,
        limits: StreamLimits | None = None,
        in_use: Callable[[Flow], bool] | None = None,
        tls: Context | None = None,
        tls_client: Context = system_authorities,
    ) -> None:
        """listen: like "udp://0.0.0.0:5060" (port 0: any free one). in_use: does a registration need this connection?
        Without it every connection that has sent a message may be silent for as long as one in use. tls: the context
        for the next connection to a tls:// listener; tls_client: for those that we open.
        """
        self._agent = agent
        self._listen = tuple(listen)
        self._on_events = on_events
        self._clock = clock
        self._limits = limits or StreamLimits()
        self._udp: list[UdpListener] = []
        self._crowd = Crowd(self._limits.connections, self._limits.per_source, self._limits.handshakes)
        self._turns = Turns(clock.monotonic)
        self.floor = floor = Floor(self.receive, self.flow_failed, in_use or (lambda flow: True), self._count, clock,
                                   self._limits, self._crowd, self._turns)
        self._has_certificate = tls is not None
        self._streams = {
            "tcp": StreamCarrier("tcp", floor),
            "tls": StreamCarrier("tls", floor, accepting=tls, opening=tls_client),
        }
        self._carriers: dict[str, Carrier] = {**self._streams}
        self._counted: list[Counted] = []
        self._running = False
        self._pumping = False
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_due = 0.0
        self._no_alarm_before = 0.0
        self._traceback_second = -1.0
        self._tracebacks = 0
        self.addresses: tuple[tuple[str, Address], ...] = ()

    @property
    def connections(self) -> int:
        """Connections that peers have open."""
        return len(self._crowd)

    def connections_by_transport(self) -> dict[str, int]:
        """Connections that stand, those included that we have opened."""
        return {name: len(carrier) for name, carrier in self._carriers.items()}

    # --- start and stop ----------------------------------------------------------------------------------------------
    async def start(self) -> None:
        """Binds every listener, or none: raises StartError. `addresses` tells the ports."""
        wanted = [parse_listen(url) for url in self._listen]
        if not self._has_certificate and any(address.transport == "tls" for address in wanted):
            raise StartError("cannot listen on tls:// without a certificate; add a section [tls]")
        sockets = []
        try:
            for address in wanted:
                sockets.append(open_listener(address, v6_only=_has_ipv4_twin(address, wanted)))
        except BaseException:
            for sock in sockets:
                sock.close()
            raise
        self._loop = asyncio.get_running_loop()
        self._running = True
        self.addresses = tuple(
            (address.transport, sock.getsockname()[:2]) for address, sock in zip(wanted, sockets, strict=True)
        )
        for address, sock in zip(wanted, sockets, strict=True):
            if address.transport == "udp":
                listener = UdpListener(sock, self.receive, self._clock.monotonic)
                self._udp.append(listener)
                listener.start()
            else:
                await self._streams[address.transport].listen(sock)
        self.pump(self._clock.monotonic())

    async def stop(self) -> None:
        """Sends what the agent still has to say, then closes everything. The agent hears of no lost connection."""
        if not self._running:
            return
        self.pump(self._clock.monotonic())
        self._running = False
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        for listener in self._udp:
            listener.close()
        for carrier in self._carriers.values():
            await carrier.stop()
        self._turns.stop()

    def add_carrier(self, transport: str, carrier: Carrier) -> None:
        """Another transport, whose bytes come in by `receive` and whose losses by `flow_failed`."""
        if transport in self._carriers or transport == "udp":
            raise MisuseError(f"{transport} has its carrier already")
        self._carriers[transport] = carrier

    # --- from the wire -----------------------------------------------------------------------------------------------
    def receive(self, data: bytes, flow: Flow) -> None:
        """One datagram or framed message has arrived."""
        if not self._running:
            return
        now = self._clock.monotonic()
        try:
            self._agent.receive(data, flow, now)
        except Exception:
            self._note_fault("agent_exception", f"{len(data)} bytes from {flow.transport} {flow.remote}", now)
        self.pump(now)

    def flow_failed(self, flow: Flow, for_good: bool = False) -> None:
        """Nothing can be sent on this flow any more. for_good: its peer said that it will not come back."""
        if not self._running:
            return
        now = self._clock.monotonic()
        try:
            self._agent.flow_failed(flow, now, for_good)
        except Exception:
            self._note_fault("agent_exception", f"the loss of {flow.transport} {flow.remote}", now)
        self.pump(now)

    # --- to the wire and upwards -------------------------------------------------------------------------------------
    def pump(self, now: float) -> None:
        """Takes what the agent has to say: bytes to the wire, events upwards; sets the alarm for its next timer.

        To be called after every order given to the agent. A call from inside `on_events` does nothing: the pump that
        is running takes what was added.
        """
        if self._pumping or not self._running:
            return
        self._pumping = True
        try:
            while outputs := [*self._agent.take_outputs(), *self._take_counted()]:
                events: list[CallEvent] = []
                for output in outputs:
                    match output:
                        case Send():
                            self._send(output.flow, output.data)
                        case CloseFlow():
                            self._close(output)
                        case _:
                            if isinstance(output, IncomingCall) and output.flow.transport in self._carriers:
                                self._carriers[output.flow.transport].keep_for_call(output.flow)
                            events.append(output)
                if events:
                    self._tell(events, now)
        finally:
            self._pumping = False
        self._set_alarm(now)

    def _tell(self, events: list[CallEvent], now: float) -> None:
        try:
            self._on_events(events, now)
        except Exception:
            # Whoever fails at a count is not told of that failure as well: he would fail at it again, for ever.
            metric = None if all(isinstance(event, Counted) for event in events) else "event_exception"
            self._note_fault(metric, ", ".join(type(event).__name__ for event in events), now)

    def _send(self, flow: Flow, data: bytes) -> None:
        if flow.transport == "udp":
            listener = self._listener_for(flow)
            if listener is None or not listener.send(flow, data):
                self._loop.call_soon(self.flow_failed, flow)  # soon: the agent is not to be called while it is asked
            return
        carrier = self._carriers.get(flow.transport)
        if carrier is None:
            log.warning("nothing carries %s to %s:%s", flow.transport, *flow.remote)
            self._loop.call_soon(self.flow_failed, flow)
            return
        carrier.send(flow, data)

    def _close(self, order: CloseFlow) -> None:
        carrier = self._carriers.get(order.flow.transport)
        if carrier is not None:
            carrier.close(order.flow, order.reason)

    def _listener_for(self, flow: Flow) -> UdpListener | None:
        """The listener that the flow names, else the first that reaches the peer's family."""
        named = next((each for each in self._udp if each.local == flow.local), None)
        if named is not None and named.reaches(flow.remote[0]):
            return named
        return next((each for each in self._udp if each.reaches(flow.remote[0])), None)

    # --- the alarm ---------------------------------------------------------------------------------------------------
    def _set_alarm(self, now: float) -> None:
        due = self._agent.next_timer()
        if due is None:
            return  # an alarm that is still set rings for nothing, once
        due = max(due, self._no_alarm_before)
        if self._alarm is not None:
            if self._alarm_due <= due:
                return
            self._alarm.cancel()
        self._alarm_due = due
        self._alarm = self._loop.call_later(max(SOONEST_ALARM, due - now), self._ring)

    def _ring(self) -> None:
        self._alarm = None
        now = self._clock.monotonic()
        try:
            self._agent.handle_timer(now)
        except Exception:
            self._no_alarm_before = now + ALARM_AFTER_FAULT
            self._note_fault("agent_exception", "a timer", now)
        self.pump(now)

    # --- faults of ours ----------------------------------------------------------------------------------------------
    def _note_fault(self, metric: str | None, where: str, now: float) -> None:
        """Called from an except clause: counts, and logs the traceback unless too many were logged this second."""
        if metric is not None:
            self._count(metric)
        if now - self._traceback_second >= 1.0:
            self._traceback_second = now
            self._tracebacks = 0
        self._tracebacks += 1
        if self._tracebacks <= TRACEBACKS_A_SECOND:
            log.error("a fault of this program, met by %s:\n%s", where, traceback.format_exc())

    def _count(self, metric: str) -> None:
        """Told with the next events, at the latest when this round of the loop is over."""
        if not self._counted and self._running:
            self._loop.call_soon(lambda: self.pump(self._clock.monotonic()))
        self._counted.append(Counted(metric))

    def _take_counted(self) -> list[Counted]:
        counted, self._counted = self._counted, []
        return counted


def _has_ipv4_twin(address: ListenAddress, all_addresses: Sequence[ListenAddress]) -> bool:
    """Is the same port listened on over IPv4 too? Then an IPv6 socket must not take it as well."""
    return any(
        other.transport == address.transport and other.port == address.port and not _is_ipv6(other.host)
        for other in all_addresses
    )


def _is_ipv6(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).version == 6
    except ValueError:
        return False
