"""Host names to addresses, off the event loop. Only names from the configuration are ever looked up."""

import asyncio
import contextlib
import ipaddress
import logging
import socket
import threading
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from sipconf.sip.flow import Address
from sipconf.sip.trunk import Trunks, normal_address

log = logging.getLogger(__name__)

TIMEOUT = 2.0       # seconds for one name
MAX_ADDRESSES = 8   # of one name

Lookup = Callable[[str, int], Awaitable[list[Address]]]


class NamedTrunk(Protocol):
    """What a trunk of the configuration tells about its addresses."""

    @property
    def name(self) -> str: ...
    @property
    def host_port(self) -> tuple[str, int]: ...


async def ask_system(host: str, port: int) -> list[Address]:
    """The system's resolver, in a thread of its own that nobody waits for: a name server that does not answer takes
    minutes, and neither the loop's end nor the program's may take as long. Raises OSError, or
    UnicodeError for what can be no name."""
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


async def resolve(
    host: str, port: int, *, lookup: Lookup = ask_system, timeout: float = TIMEOUT
) -> tuple[Address, ...]:
    """The addresses of a host, without repeats, in the order in which they came; () where there are none in time."""
    literal = normal_address(host)
    if literal is not None:
        return ((literal, port),)
    try:
        async with asyncio.timeout(timeout):
            found = await lookup(host, port)
    except (OSError, TimeoutError, UnicodeError) as error:
        log.warning("cannot resolve %s: %s", host, str(error) or "no answer in time")
        return ()
    usable = [(normal_address(address), number) for address, number in found if _can_be_a_peer(address)]
    return tuple(dict.fromkeys(usable))[:MAX_ADDRESSES]


async def resolve_trunks(trunks: Trunks, named: Iterable[NamedTrunk], *, lookup: Lookup = ask_system) -> None:
    """Tells the trunks what their hosts resolve to now. A name without an answer keeps what it resolved to last."""

    async def one(trunk: NamedTrunk) -> None:
        host, port = trunk.host_port
        found = await resolve(host, port, lookup=lookup)
        if trunks.get(trunk.name) is not None:  # the configuration may have changed meanwhile
            trunks.set_resolved(trunk.name, host, [address for address, _ in found])

    await asyncio.gather(*(one(trunk) for trunk in named))


def _can_be_a_peer(text: str) -> bool:
    """A name that resolves to everybody or to a crowd must not make them a trunk."""
    normal = normal_address(text)
    if normal is None:
        return False
    address = ipaddress.ip_address(normal)
    return not (address.is_unspecified or address.is_multicast or normal == "255.255.255.255")
