"""Host names to addresses, off the event loop. Only names from the configuration are ever looked up."""

import asyncio
import contextlib
import ipaddress
import logging
import socket
import threading
from collections.abc import Awaitable, Callable, Iterable
from itertools import islice
from typing import Protocol

from sipconf.clock import SYSTEM_CLOCK, Clock
from sipconf.sip.flow import Address
from sipconf.sip.trunk import Trunks, normal_address

log = logging.getLogger(__name__)

TIMEOUT = 2.0       # seconds for one name
KEEP = 30.0         # seconds that an answer is good for
MAX_ADDRESSES = 8   # of one name
MAX_LOOKED_AT = 64  # entries of one answer
MAX_NAMES = 1024    # remembered

Lookup = Callable[[str, int], Awaitable[list[Address]]]


class NamedTrunk(Protocol):
    """What a trunk of the configuration tells about its addresses."""

    @property
    def name(self) -> str: ...
    @property
    def host_port(self) -> tuple[str, int]: ...


async def ask_system(host: str, port: int) -> list[Address]:
    """The system's resolver, in a thread of its own that nobody waits for: a name server that does not answer takes
    minutes, and neither the loop's end nor the program's may take as long. Raises OSError, or UnicodeError for what can
    be no name."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[Address]] = loop.create_future()

    def tell(found: list[Address] | BaseException) -> None:
        if not answer.done():  # the caller has lost patience
            if isinstance(found, BaseException):
                answer.set_exception(found)
            else:
                answer.set_result(found)

    def look_up() -> None:
        outcome: list[Address] | BaseException
        try:
            outcome = [(entry[4][0], port) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)]
        except (OSError, UnicodeError) as error:
            outcome = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody wants to know any more
            loop.call_soon_threadsafe(tell, outcome)

    threading.Thread(target=look_up, name=f"look up {host}", daemon=True).start()
    return await answer


class Resolver:
    """Asks with limits: TIMEOUT for an answer, MAX_ADDRESSES of it, an answer kept for KEEP seconds, and one question
    for a name at a time: while a name server is silent nobody asks it again."""

    def __init__(
        self, lookup: Lookup = ask_system, clock: Clock = SYSTEM_CLOCK, *, timeout: float = TIMEOUT
    ) -> None:
        self._lookup = lookup
        self._now = clock.monotonic
        self._timeout = timeout
        self._known: dict[tuple[str, int], tuple[float, tuple[Address, ...]]] = {}
        self._asking: dict[tuple[str, int], asyncio.Task[list[Address]]] = {}

    async def resolve(self, host: str, port: int) -> tuple[Address, ...]:
        """The addresses of a host, without repeats, in the order in which they came; () where there are none in
        time."""
        literal = normal_address(host)
        if literal is not None:
            return ((literal, port),)
        question = (host.lower(), port)
        until, known = self._known.get(question, (0.0, ()))
        if known and self._now() < until:
            return known
        try:
            async with asyncio.timeout(self._timeout):
                addresses = _usable(await asyncio.shield(self._ask(question)), port)
        except Exception as error:  # whatever a resolver makes of a broken answer
            log.warning("cannot resolve %s: %s", host, str(error) or "no answer in time")
            return ()
        if len(self._known) >= MAX_NAMES:
            self._known.clear()
        self._known[question] = (self._now() + KEEP, addresses)
        return addresses

    def _ask(self, question: tuple[str, int]) -> "asyncio.Task[list[Address]]":
        asking = self._asking.get(question)
        if asking is None:
            async def ask() -> list[Address]:
                return await self._lookup(*question)

            asking = self._asking[question] = asyncio.get_running_loop().create_task(ask(), name=f"ask {question[0]}")
            asking.add_done_callback(lambda task: self._forget(question, task))
        return asking

    def _forget(self, question: tuple[str, int], task: "asyncio.Task[list[Address]]") -> None:
        del self._asking[question]
        if not task.cancelled():
            task.exception()  # who asked has been told, or has lost patience


async def resolve_trunks(resolver: Resolver, trunks: Trunks, named: Iterable[NamedTrunk]) -> None:
    """Tells the trunks what their hosts resolve to now. A name without an answer keeps what it resolved to last."""

    async def one(trunk: NamedTrunk) -> None:
        host, port = trunk.host_port
        found = await resolver.resolve(host, port)
        if trunks.get(trunk.name) is not None:  # the configuration may have changed meanwhile
            trunks.set_resolved(trunk.name, host, [address for address, _ in found])

    await asyncio.gather(*(one(trunk) for trunk in named))


def _usable(found: Iterable[Address], port: int) -> tuple[Address, ...]:
    peers = (normal_address(entry[0]) for entry in islice(found, MAX_LOOKED_AT) if _can_be_a_peer(entry[0]))
    return tuple(dict.fromkeys((address, port) for address in peers if address is not None))[:MAX_ADDRESSES]


def _can_be_a_peer(text: object) -> bool:
    """A name that resolves to everybody or to a crowd must not make them a trunk."""
    normal = normal_address(text) if isinstance(text, str) else None
    if normal is None:
        return False
    address = ipaddress.ip_address(normal)
    return not (address.is_unspecified or address.is_multicast or normal == "255.255.255.255")
