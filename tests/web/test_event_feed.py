"""Server-sent events: ids, replay, keep-alive, and what becomes of a client that does not read."""

import asyncio
import json

import pytest
from aiohttp import ClientError, ClientTimeout

from sipconf.web import events
from sipconf.web.events import EventFeed, TooManyListeners


async def taken(listener) -> list[str]:
    """The events that wait, by their id or, without one, their name."""
    text = (await listener.take(0)).decode()
    found = []
    for block in text.split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        json.loads(fields["data"])
        found.append(fields.get("id", fields["event"]))
    return found


async def test_listeners_hear_what_comes_after_them_in_order():
    feed = EventFeed()
    feed.publish("joined", {})
    listener = feed.listen()
    assert [feed.publish("joined", {"n": number}) for number in range(3)] == [2, 3, 4]
    assert await taken(listener) == ["2", "3", "4"]
    assert await taken(listener) == []


async def test_replay_after_the_last_id():
    feed = EventFeed(first_id=100)
    for number in range(5):
        feed.publish("joined", {"n": number})
    assert await taken(feed.listen(after=102)) == ["103", "104"]
    assert await taken(feed.listen(after=104)) == []
    assert await taken(feed.listen(after=99)) == ["100", "101", "102", "103", "104"]


async def test_replay_says_when_something_is_missing():
    feed = EventFeed(first_id=100, ring=3)
    for number in range(5):
        feed.publish("joined", {"n": number})
    assert await taken(feed.listen(after=100)) == ["missed", "102", "103", "104"]
    assert await taken(feed.listen(after=101)) == ["102", "103", "104"]
    assert await taken(feed.listen(after=5000)) == ["missed", "102", "103", "104"]


async def test_a_replay_longer_than_the_backlog_is_whole():
    feed = EventFeed(backlog=2)
    for number in range(10):
        feed.publish("joined", {"n": number})
    listener = feed.listen(after=0)
    feed.publish("left", {})
    assert len(await taken(listener)) == 11


async def test_a_slow_listener_is_dropped_and_others_are_not():
    feed = EventFeed(backlog=3, max_listeners=2)
    slow, quick = feed.listen(), feed.listen()
    with pytest.raises(TooManyListeners):
        feed.listen()
    for number in range(5):
        feed.publish("joined", {"n": number})
        assert len(await taken(quick)) == 1
    assert slow.over and slow.slow and not quick.over
    feed.listen()  # its place is free


async def test_closing_ends_listeners_now_and_later():
    feed = EventFeed()
    listener = feed.listen()
    waiting = asyncio.create_task(listener.take(60))
    await asyncio.sleep(0)
    feed.close()
    assert await waiting == b"" and listener.over and not listener.slow
    assert feed.listen().over


def test_data_cannot_break_out_of_its_line():
    feed = EventFeed()
    feed.publish("joined", {"name": "x\n\nevent: forged\r\n"})
    (line,) = feed._since(0)
    assert line.count(b"\n") == 4 and b"\r" not in line


async def lines(response, number: int) -> list[str]:
    return [(await response.content.readline()).decode().rstrip("\n") for _ in range(number)]


async def test_a_client_hears_events(house, client):
    async with client.get("/api/events", timeout=ClientTimeout(sock_read=10)) as response:
        assert response.content_type == "text/event-stream"
        assert await lines(response, 2) == ["retry: 2000", ""]
        house.events.publish("joined", {"conference": "2001", "participant": {"id": "p1"}})
        id_line, event_line, data_line, end = await lines(response, 4)
        assert (id_line, event_line, end) == ("id: 1", "event: joined", "")
        assert json.loads(data_line.removeprefix("data: ")) == {"conference": "2001", "participant": {"id": "p1"}}


async def test_a_client_that_returns_is_given_what_it_missed(house, client):
    for number in range(3):
        house.events.publish("joined", {"n": number})
    async with client.get("/api/events", headers={"Last-Event-ID": "1"}) as response:
        assert (await lines(response, 10))[2::4] == ["id: 2", "id: 3"]
    async with client.get("/api/events", headers={"Last-Event-ID": "nonsense"}) as response:
        house.events.publish("left", {})
        assert (await lines(response, 3))[2] == "id: 4"


async def test_comments_keep_a_quiet_connection_alive(house, client, monkeypatch):
    monkeypatch.setattr(events, "KEEP_ALIVE_SECONDS", 0.01)
    async with client.get("/api/events") as response:
        assert (await lines(response, 4))[2:] == [": still here", ""]


async def test_a_client_that_does_not_read_is_disconnected(house, client, monkeypatch):
    monkeypatch.setattr(events, "WRITE_SECONDS", 0.05)
    async with client.get("/api/events", headers={"Last-Event-ID": "0"}) as response:
        await lines(response, 2)
        block = {"filler": "x" * 1_000_000}
        for _ in range(30):  # far more than buffers hold, far fewer than the backlog
            house.events.publish("filler", block)
        async with asyncio.timeout(60):
            while house.events._listeners:  # the write times out
                await asyncio.sleep(0.01)
            with pytest.raises((ClientError, ConnectionError)):
                while True:
                    await response.content.readany()


async def test_too_many_listeners_is_a_503(house, client):
    house.events._max_listeners = 1
    async with client.get("/api/events") as response:
        await lines(response, 2)
        assert (await client.get("/api/events")).status == 503


async def test_a_client_that_leaves_is_forgotten(house, client, monkeypatch):
    monkeypatch.setattr(events, "KEEP_ALIVE_SECONDS", 0.01)
    async with client.get("/api/events") as response:
        await lines(response, 2)
        assert len(house.events._listeners) == 1
    async with asyncio.timeout(60):
        while house.events._listeners:
            await asyncio.sleep(0.01)
