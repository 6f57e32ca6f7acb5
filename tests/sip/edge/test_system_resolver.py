"""The system's resolver: its answers, and that nobody has to wait for one that does not come."""

import subprocess
import sys

import pytest

from sipconf.sip.edge import resolver


async def test_an_address_of_this_machine():
    assert ("127.0.0.1", 5070) in await resolver.ask_system("localhost", 5070)
    assert ("127.0.0.1", 5070) in await resolver.Resolver().resolve("localhost", 5070)


async def test_a_name_without_an_address():
    with pytest.raises((OSError, UnicodeError)):
        await resolver.ask_system("x" * 70 + ".invalid", 5060)
    assert await resolver.Resolver().resolve("x" * 70 + ".invalid", 5060) == ()


def test_neither_loop_nor_program_waits_for_a_lookup_that_hangs():
    program = """
import asyncio, socket, threading
from sipconf.sip.edge import resolver
socket.getaddrinfo = lambda *arguments, **more: threading.Event().wait()
print(asyncio.run(resolver.Resolver(timeout=0.01).resolve("slow.example", 5060)))
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert ended.returncode == 0 and ended.stdout == "()\n", ended.stderr
