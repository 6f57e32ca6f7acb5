"""SIP over TCP: all connections, those that peers open and those that we open (RFC 3261 section 18)."""

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Callable
from itertools import count

from sipconf.clock import Clock
from sipconf.sip.edge.connection import Connection, StreamLimits
from sipconf.sip.flow import Address, Flow
from sipconf.sip.trunk import normal_address

log = logging.getLogger(__name__)


class StreamCarrier:
    """All connections of one transport.

    receive: takes each message and its flow; failed: is told each flow that can carry nothing any more; is_used: does
    the floor above need this connection although nothing is said on it?
    """

    def __init__(
        self,
        name: str,
        receive: Callable[[bytes, Flow], None],
        failed: Callable[[Flow], None],
        is_used: Callable[[Flow], bool],
        clock: Clock,
        limits: StreamLimits,
    ) -> None:
        self.limits = limits
        self.clock = clock
        self._name = name
        self._receive = receive
        self._failed = failed
        self._is_used = is_used
        self._numbers = count(1)
        self._connections: dict[int, Connection] = {}
        self._by_remote: dict[Address, Connection] = {}
        self._sources: dict[str, dict[int, Connection]] = {}  # accepted ones, oldest first
        self._unproven: dict[int, Connection] = {}  # accepted, no message yet; oldest first
        self._opening: dict[Address, list[tuple[Flow, bytes]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []
        self._stopped = False

    async def listen(self, sock: socket.socket) -> None:
        """Takes connections from a listening socket."""
        loop = asyncio.get_running_loop()
        self._servers.append(await loop.create_server(self._accepted, sock=sock))

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
            connection = self._by_remote.get(flow.remote)
        if connection is not None and connection.is_open:
            if flow.connection is None:
                connection.asked_for.add(flow)
            connection.write(data)
        elif flow.connection is not None:
            asyncio.get_running_loop().call_soon(self._failed, flow)
        else:
            self._send_when_open(flow, data)

    def close(self, flow: Flow, reason: str) -> None:
        connection = self._connections.get(flow.connection or 0)
        if connection is not None:
            connection.close(reason)

    def keep_for_call(self, flow: Flow) -> None:
        """A call came by this connection: it may be silent as long as people talk."""
        connection = self._connections.get(flow.connection or 0)
        if connection is not None:
            connection.in_call = True

    # --- what a connection tells its owner -------------------------------------------------------------------------
    def opened(self, connection: Connection) -> bool:
        """Room for one more? A newcomer pushes out the oldest connection that never said anything."""
        host = _source(connection)
        if self._stopped:
            return False
        if not connection.outgoing:
            mine = self._sources.get(host, {})
            if len(mine) >= self.limits.per_source and not self._drop_silent(mine):
                return False
            if len(self._connections) >= self.limits.connections and not self._drop_silent(self._unproven):
                return False
            self._sources.setdefault(host, {})[connection.number] = connection
            self._unproven[connection.number] = connection
        self._connections[connection.number] = connection
        self._by_remote[connection.flow.remote] = connection
        return True

    def proved(self, connection: Connection) -> None:
        self._unproven.pop(connection.number, None)

    def heard(self, message: bytes, connection: Connection) -> None:
        self._receive(message, connection.flow)

    def closed(self, connection: Connection) -> None:
        known = self._connections.pop(connection.number, None) is not None
        self._forget_source(connection)
        if self._by_remote.get(connection.flow.remote) is connection:
            del self._by_remote[connection.flow.remote]
        if known and not self._stopped:
            for flow in (connection.flow, *connection.asked_for):
                self._failed(flow)

    def in_use(self, connection: Connection) -> bool:
        return connection.outgoing or connection.in_call or self._is_used(connection.flow)

    # --- inside ----------------------------------------------------------------------------------------------------
    def _accepted(self) -> Connection:
        return Connection(self, self._name, next(self._numbers), outgoing=False)

    def _forget_source(self, connection: Connection) -> None:
        self._unproven.pop(connection.number, None)
        host = _source(connection)
        mine = self._sources.get(host)
        if mine is not None and mine.pop(connection.number, None) is not None and not mine:
            del self._sources[host]

    def _drop_silent(self, candidates: dict[int, Connection]) -> bool:
        victim = next((each for each in candidates.values() if not each.proven), None)
        if victim is None:
            return False
        self._forget_source(victim)  # now: the loop reports its end later
        self._connections.pop(victim.number, None)
        victim.abort("it makes room for another")
        return True

    def _send_when_open(self, flow: Flow, data: bytes) -> None:
        waiting = self._opening.get(flow.remote)
        if waiting is None:
            waiting = self._opening[flow.remote] = []
            task = asyncio.get_running_loop().create_task(self._open(flow), name=f"connect to {flow.remote[0]}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if len(waiting) < self.limits.waiting:
            waiting.append((flow, data))
        else:
            asyncio.get_running_loop().call_soon(self._failed, flow)

    async def _open(self, flow: Flow) -> None:
        loop = asyncio.get_running_loop()
        remote = flow.remote
        connection = Connection(self, self._name, next(self._numbers), outgoing=True)
        failure = None
        try:
            async with asyncio.timeout(self.limits.connect):
                await loop.create_connection(lambda: connection, *remote, local_addr=_source_of(flow))
        except (OSError, TimeoutError) as error:
            failure = str(error) or "no answer in time"
        waiting = self._opening.pop(remote)
        if failure is None and connection.is_open:
            for asked, data in waiting:
                connection.asked_for.add(asked)
                connection.write(data)
            return
        log.info("cannot connect to %s:%s: %s", *remote, failure or "it closed at once")
        for asked in dict.fromkeys(asked for asked, _ in waiting):
            self._failed(asked)


def _source(connection: Connection) -> str:
    """What counts as one source: an IPv4 address, or the /64 that one IPv6 customer has."""
    host = connection.flow.remote[0]
    if ":" not in host:
        return host
    return str(ipaddress.ip_network((host.partition("%")[0], 64), strict=False))


def _source_of(flow: Flow) -> Address | None:
    """The address to connect from: the flow's own, where it is a definite one of the same family."""
    local = normal_address(flow.local[0])
    if local is None or local in ("0.0.0.0", "::") or (":" in local) != (":" in flow.remote[0]):
        return None
    return local, 0
