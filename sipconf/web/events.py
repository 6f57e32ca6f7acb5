"""`GET /api/events`: what happens, as server-sent events with increasing ids, replayed after a lost connection.

The feed keeps the last events in a ring. A listener that does not keep up is dropped: it comes back with
Last-Event-ID and is given what it missed, or `event: missed` where the ring no longer has all of it.
"""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from sipconf.web.problems import Problem

RING_EVENTS = 1000
BACKLOG_EVENTS = 256  # that a listener may lag behind
MAX_LISTENERS = 100
KEEP_ALIVE_SECONDS = 15.0
WRITE_SECONDS = 10.0  # that a client may take to make room for more
RETRY_MS = 2000


class TooManyListeners(Exception):
    """The feed has as many listeners as it serves."""


class Listener:
    """One reader of a feed. `over` is set when it was too slow (then `slow` too), or the feed is closed."""

    def __init__(self, backlog: int, replay: list[bytes]) -> None:
        self.over = False
        self.slow = False
        self._backlog = backlog
        self._waiting: deque[bytes] = deque()
        self._replay = replay
        self._arrived = asyncio.Event()
        if replay:
            self._arrived.set()

    def offer(self, event: bytes) -> None:
        """Queue an event, or give the reader up."""
        if len(self._waiting) >= self._backlog:
            self.slow = True
            self._waiting.clear()  # the ring still has it
            self.end()
        elif not self.over:
            self._waiting.append(event)
            self._arrived.set()

    def end(self) -> None:
        """No more events after those that are queued."""
        self.over = True
        self._arrived.set()

    def forget(self) -> None:
        """What is queued need not be told any more, unless it is the last that there is to tell."""
        if not self.over:
            self._waiting.clear()

    async def take(self, timeout: float) -> bytes:
        """All that has arrived, in order; b"" after `timeout` seconds without anything, or when it is over."""
        try:
            async with asyncio.timeout(timeout):
                while not (self.over or self._arrived.is_set()):
                    await self._arrived.wait()
        except TimeoutError:
            return b""
        self._arrived.clear()
        chunk = b"".join([*self._replay, *self._waiting])
        self._replay = []
        self._waiting.clear()
        return chunk


class EventFeed:
    """Where events are published and from where they go to every listener."""

    def __init__(
        self,
        first_id: int = 1,
        *,
        ring: int = RING_EVENTS,
        backlog: int = BACKLOG_EVENTS,
        max_listeners: int = MAX_LISTENERS,
    ) -> None:
        """first_id: choose it larger at each start (milliseconds since 1970 do) so that ids go on increasing."""
        self._next_id = first_id
        self._ring: deque[tuple[int, bytes]] = deque(maxlen=ring)
        self._backlog = backlog
        self._max_listeners = max_listeners
        self._listeners: set[Listener] = set()
        self._closed = False

    def publish(self, event: str, data: Mapping[str, Any]) -> int:
        """Tell every listener. event: one word; data: JSON material. Returns the event's id."""
        number = self._next_id
        self._next_id += 1
        line = render(event, data, number)
        self._ring.append((number, line))
        for listener in tuple(self._listeners):
            listener.offer(line)
            if listener.over:
                self._listeners.discard(listener)
        return number

    def listen(self, after: int | None = None) -> Listener:
        """A new listener; after: the last id it knows of, from where it goes on. Give it back with `leave`."""
        if len(self._listeners) >= self._max_listeners:
            raise TooManyListeners
        listener = Listener(self._backlog, [] if after is None else self._since(after))
        if self._closed:
            listener.end()
        else:
            self._listeners.add(listener)
        return listener

    def leave(self, listener: Listener) -> None:
        """The listener has gone."""
        self._listeners.discard(listener)

    def close(self) -> None:
        """The server ends: so does every listener."""
        self._closed = True
        for listener in self._listeners:
            listener.end()
        self._listeners.clear()

    def _since(self, after: int) -> list[bytes]:
        known = [line for number, line in self._ring if number > after]
        oldest = self._ring[0][0] if self._ring else self._next_id
        if oldest - 1 <= after < self._next_id:
            return known
        if after >= self._next_id:  # an id of an earlier life of this server
            known = [line for _, line in self._ring]
        return [render("missed", {"after": after}, None), *known]


def render(event: str, data: Mapping[str, Any], number: int | None) -> bytes:
    """One event as it goes over the wire; None: it has no number, and is not asked for again."""
    head = "" if number is None else f"id: {number}\n"
    return f"{head}event: {event}\ndata: {json.dumps(data)}\n\n".encode()


async def stream(request: web.Request, feed: EventFeed) -> web.StreamResponse:
    """Answer a request with the feed, from where its client left it, until either side ends it."""
    last = request.headers.get("Last-Event-ID", "").strip()
    return await follow(request, feed, int(last) if last.isascii() and last.isdigit() and len(last) < 20 else None)


async def follow(
    request: web.Request, feed: EventFeed, after: int | None = None, begun: Callable[[], bytes] | None = None
) -> web.StreamResponse:
    """Answer with the feed after that id. begun: called once the client is there; what it returns is sent in place of
    everything that was published before."""
    try:
        listener = feed.listen(after)
    except TooManyListeners:
        raise Problem(503, "Too many listen to events already; try again later.") from None
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )
    try:
        await response.prepare(request)
        first = b""
        if begun is not None:
            first = begun()
            listener.forget()
        await response.write(f"retry: {RETRY_MS}\n\n".encode() + first)
        while True:
            chunk = await listener.take(KEEP_ALIVE_SECONDS)
            if listener.over and not chunk:
                break
            async with asyncio.timeout(WRITE_SECONDS):
                await response.write(chunk or b": still here\n\n")
    except TimeoutError:
        listener.slow = True
    except ConnectionError:
        pass  # the client is gone, which is how such answers usually end
    finally:
        feed.leave(listener)
        if listener.slow and request.transport:
            request.transport.abort()  # what it has not taken by now is not worth waiting for
    return response
