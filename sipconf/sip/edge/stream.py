"""SIP over TCP and over TLS: all connections, those that peers open and those that we open (RFC 3261 section 18)."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from sipconf.clock import Clock
from sipconf.sip.crowd import Crowd
from sipconf.sip.edge.connection import Connection, StreamLimits
from sipconf.sip.edge.sockets import BACKLOG
from sipconf.sip.edge.tls import TlsFault, TlsLayer
from sipconf.sip.edge.turns import Turns
from sipconf.sip.flow import Address, Flow
from sipconf.sip.trunk import normal_address

log = logging.getLogger(__name__)

Context = Callable[[], ssl.SSLContext]


@dataclass(frozen=True, slots=True)
class Floor:
    """What all carriers of an endpoint share, and whom they tell.

    receive: takes each message and its flow; failed: is told each flow that can carry nothing any more, and whether the
    peer has left for good; is_used: does the floor above need this connection although nothing is said on it? count:
    notes a metric.
    """

    receive: Callable[[bytes, Flow], None]
    failed: Callable[..., None]
    is_used: Callable[[Flow], bool]
    count: Callable[[str], None]
    clock: Clock
    limits: StreamLimits
    crowd: Crowd
    turns: Turns


class StreamCarrier:
    """All connections of one transport."""

    def __init__(
        self, name: str, floor: Floor, *, accepting: Context | None = None, opening: Context | None = None
    ) -> None:
        """accepting, opening: for TLS, the context of the next connection from a peer and to a peer."""
        self.limits = floor.limits
        self.clock = floor.clock
        self.turns = floor.turns
        self.count = floor.count
        self._name = name
        self._floor = floor
        self._accepting = accepting
        self._opening_context = opening
        self._numbers = count(1)
        self._connections: dict[int, Connection] = {}
        self._by_remote: dict[tuple[Address, str | None], Connection] = {}
        self._opening: dict[tuple[Address, str | None], list[tuple[Flow, bytes]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []
        self._stopped = False

    def __len__(self) -> int:
        return len(self._connections)

    async def listen(self, sock: socket.socket) -> None:
        """Takes connections from a listening socket."""
        loop = asyncio.get_running_loop()
        self._servers.append(await loop.create_server(self._accepted, sock=sock, backlog=BACKLOG))

    async def stop(self) -> None:
        """Closes everything and reports nothing: we go, the bindings of our peers stay."""
        self._stopped = True
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for connection in list(self._connections.values()):
            connection.close("the server stops")

    def send(self, flow: Flow, data: bytes) -> None:
        """Sends on the flow's connection; a flow that has none is given one, opened where need be."""
        if flow.connection is not None:
            connection = self._connections.get(flow.connection)
        else:
            connection = self._by_remote.get((flow.remote, flow.server_name))
        if connection is not None and connection.is_open:
            if flow.connection is None:
                connection.asked_for.add(flow)
            connection.write(data)
        elif flow.connection is not None:
            asyncio.get_running_loop().call_soon(self._floor.failed, flow)
        else:
            self._send_when_open(flow, data)

    def close(self, flow: Flow, reason: str) -> None:
        """An order of the agent."""
        connection = self._connections.get(flow.connection or 0)
        if connection is not None:
            connection.close(reason)

    def keep_for_call(self, flow: Flow) -> None:
        """A call came by this connection: it may be silent as long as people talk."""
        connection = self._connections.get(flow.connection or 0)
        if connection is not None:
            connection.in_call = True

    # --- what a connection tells its owner (connection.Owner) --------------------------------------------------------
    def opened(self, connection: Connection) -> bool:
        """Room for one more?"""
        if self._stopped:
            return False
        if not connection.outgoing and not self._floor.crowd.enter(connection, shaking=self._accepting is not None):
            return False
        self._connections[connection.number] = connection
        self._by_remote[connection.flow.remote, connection.flow.server_name] = connection
        return True

    def shaken(self, connection: Connection) -> None:
        self._floor.crowd.shaken(connection)

    def spoke(self, connection: Connection) -> None:
        self._floor.crowd.spoke(connection)

    def heard(self, message: bytes, connection: Connection) -> None:
        self._floor.receive(message, connection.flow)

    def closed(self, connection: Connection) -> None:
        known = self._connections.pop(connection.number, None) is not None
        self._floor.crowd.leave(connection)
        place = (connection.flow.remote, connection.flow.server_name)
        if self._by_remote.get(place) is connection:
            del self._by_remote[place]
        if known and connection.proven and not self._stopped:  # of any other nobody has heard
            for flow in (connection.flow, *connection.asked_for):
                self._floor.failed(flow)

    def in_use(self, connection: Connection) -> bool:
        return connection.outgoing or connection.in_call or self._floor.is_used(connection.flow)

    # --- inside ----------------------------------------------------------------------------------------------------
    def _accepted(self) -> Connection:
        tls = None if self._accepting is None else TlsLayer(self._accepting(), outgoing=False)
        return Connection(self, self._name, next(self._numbers), outgoing=False, tls=tls)

    def _send_when_open(self, flow: Flow, data: bytes) -> None:
        place = (flow.remote, flow.server_name)
        waiting = self._opening.get(place)
        if waiting is None:
            waiting = self._opening[place] = []
            task = asyncio.get_running_loop().create_task(self._open(flow), name=f"connect to {flow.remote[0]}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if len(waiting) < self.limits.waiting:
            waiting.append((flow, data))
        else:
            asyncio.get_running_loop().call_soon(self._floor.failed, flow)

    async def _open(self, flow: Flow) -> None:
        loop = asyncio.get_running_loop()
        remote = flow.remote
        failure = None
        connection = None
        try:
            connection = self._outgoing(flow)
            async with asyncio.timeout(self.limits.connect):
                await loop.create_connection(lambda: connection, *remote, local_addr=_source_of(flow))
                await connection.ready
        except (OSError, TimeoutError, TlsFault) as error:
            failure = str(error) or "no answer in time"
            if connection is not None:
                connection.abort(failure)
        waiting = self._opening.pop((remote, flow.server_name))
        if failure is None and connection is not None and connection.is_open:
            for asked, data in waiting:
                connection.asked_for.add(asked)
                connection.write(data)
            return
        log.info("cannot connect to %s:%s: %s", *remote, failure or "it closed at once")
        for asked in dict.fromkeys(asked for asked, _ in waiting):
            self._floor.failed(asked)

    def _outgoing(self, flow: Flow) -> Connection:
        """Where no name is known the peer has to prove that it is that very address."""
        tls = None
        if self._opening_context is not None:
            tls = TlsLayer(self._opening_context(), server_name=flow.server_name or flow.remote[0], outgoing=True)
        return Connection(
            self, self._name, next(self._numbers), outgoing=True, tls=tls, server_name=flow.server_name
        )


def _source_of(flow: Flow) -> Address | None:
    """The address to connect from: the flow's own, where it is a definite one of the same family."""
    local = normal_address(flow.local[0])
    if local is None or local in ("0.0.0.0", "::") or (":" in local) != (":" in flow.remote[0]):
        return None
    return local, 0
