"""aiortc's RTCPeerConnection, an independent WebRTC peer, meets others of its kind with other codecs in one room."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

import aioice.ice
import pytest

from tests.browsers.aiortc_phone import RATE, AiortcPhone
from tests.browsers.conftest import WebServer
from tests.browsers.hearing import is_there
from tests.clients.telephones import PATIENCE
from tests.clients.tones import VOICES, judge

CODECS = ("opus", "G722", "PCMU")


async def until(what: str, condition: Callable[[], object]) -> None:
    """Poll a condition while the peers go on talking."""
    try:
        async with asyncio.timeout(PATIENCE):
            while not await asyncio.to_thread(condition):
                await asyncio.sleep(0.1)
    except TimeoutError:
        pytest.fail(f"waited {PATIENCE:.0f} s in vain for: {what}")


async def test_three_codecs_meet_in_one_room(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])
    async with AsyncExitStack() as stack:
        phones = [await stack.enter_async_context(
            AiortcPhone(server.url(), "127.0.0.1", extension, f"secret-{extension}", tone, codec))
            for extension, tone, codec in zip(("101", "102", "103"), VOICES.values(), CODECS, strict=False)]
        for phone in phones:
            await phone.dial("2001*4321")
        await until("everyone to hear everyone", lambda: all(
            is_there(listener.heard(), RATE, talker.tone_hz)
            for listener in phones for talker in phones if talker is not listener))
        people = await asyncio.to_thread(server.people, "2001")
        assert {person["codec"].partition("/")[0] for person in people.values()} == set(CODECS), people
        for phone in phones:
            assert judge(phone.heard(), RATE, phone.tone_hz).level_db < -45, f"{phone.codec} hears itself"
            assert phone.peer.connectionState == "connected"
            assert (await phone.hang_up()).status == 200
    await asyncio.to_thread(server.wait_empty, "2001")
