"""Floods of loopback, bounded in number and time: datagrams by sendmmsg, and connections that say little or nothing.

Started by bench_floods with `python -m benchmarks.flood_sender`; one line of JSON in, what to send, and one out, what
was sent. It stops by itself and reads no answer.
"""

import contextlib
import json
import os
import random
import resource
import socket
import sys
import time
from typing import Any

import numpy as np

from benchmarks.batched import Batch, open_socket
from benchmarks.telephones import REQUEST, Address

SLICE = 0.01
"""Seconds between two bursts."""
ROW_BYTES = 1200
ROWS = 512
MOST_PER_SOCKET = 10
"""Datagrams in a row from one source port, where there are many."""
MOST_SECONDS, MOST_RATE, MOST_CONNECTIONS = 60.0, 50_000, 8_000
DIGITS = np.frombuffer(b"0123456789abcdef", np.uint8)
COUNTER = "00000000"
CONNECT_PATIENCE = 2.0
AT_ONCE = 50
CLIENT_HELLO = bytes.fromhex("16030101200100011c0303")
"""The first octets of a TLS record that announces 288 and of a ClientHello; the rest never comes."""


def garbage(rng: random.Random) -> tuple[Batch, np.ndarray]:
    """Octets without sense, some of them with the beginning of sense; nothing in them changes."""
    batch = Batch(ROWS, ROW_BYTES)
    for row in range(ROWS):
        size = rng.randrange(1, ROW_BYTES)
        data = rng.randbytes(size)
        if row % 4 == 0:
            data = (b"INVITE sip:2000@x SIP/2.0\\r\\nVia: " + data)[:size]
        batch.data[row, : len(data)] = np.frombuffer(data, np.uint8)
        batch.send_length[row] = len(data)
    return batch, np.zeros(0, np.int64)


def invites(rng: random.Random, target: Address, source: Address) -> tuple[Batch, np.ndarray]:
    """INVITEs without credentials; (them, the columns of the eight digits that make each a new one)."""
    batch = Batch(ROWS, ROW_BYTES)
    text = REQUEST.format(
        method="INVITE", uri=f"sip:2000@{target[0]}", host=source[0], port=source[1], branch=f"z9hG4bK{COUNTER}",
        user="666", domain=target[0], tag=f"{rng.getrandbits(32):08x}", to=f"<sip:2000@{target[0]}>",
        call_id=f"flood{COUNTER}", cseq=1, extra="Content-Length: 0\r\n\r\n",
    )  # fmt: skip
    data = text.encode()
    batch.data[:, : len(data)] = np.frombuffer(data, np.uint8)
    batch.send_length[:] = len(data)
    places = [place for place in range(len(data)) if data.startswith(COUNTER.encode(), place)]
    return batch, np.array(places)


def send_datagrams(plan: dict[str, Any]) -> dict[str, Any]:
    """`rate` a second for `seconds`, from so many `ports` of one address, in turn."""
    target: Address = (plan["target"][0], plan["target"][1])
    sources = [open_socket(plan["source"], buffer_bytes=1 << 16) for _ in range(plan["ports"])]
    rng = random.Random(1)
    batch, columns = (garbage(rng) if plan["kind"] == "garbage" else
                      invites(rng, target, sources[0].getsockname()))  # fmt: skip
    batch.address["port"] = target[1]
    batch.address["address"] = int.from_bytes(socket.inet_aton(target[0]))
    in_a_row = ROWS if len(sources) == 1 else MOST_PER_SOCKET
    sent = counter = turn = 0
    began = time.monotonic()
    while (passed := time.monotonic() - began) < min(plan["seconds"], MOST_SECONDS):
        missing = int(min(plan["rate"], MOST_RATE) * passed) - sent
        while missing > 0:
            count = min(missing, in_a_row)
            if len(columns):
                number = np.arange(counter, counter + count)[:, None] >> np.arange(28, -4, -4) & 15
                for column in columns:
                    batch.data[:count, column : column + 8] = DIGITS[number]
                counter += count
            batch.send(sources[turn % len(sources)].fileno(), count)
            turn += 1
            sent += count
            missing -= count
        time.sleep(SLICE)
    return {"sent": sent, "sent_per_second": sent / (time.monotonic() - began)}


def hold_connections(plan: dict[str, Any]) -> dict[str, Any]:
    """`idle` connections that say nothing and `slow` ones that say an octet a second, for `seconds`; or
    `half` ones that begin a TLS handshake. How many could be opened, and how many were still open at the end."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    began = time.monotonic()
    tried = [_connecting(plan["target"], f"127.66.1.{number % plan['addresses'] + 1}", number)
             for number in range(min(plan["idle"] + plan["slow"] + plan["half"], MOST_CONNECTIONS))]  # fmt: skip
    took = time.monotonic() - began
    time.sleep(CONNECT_PATIENCE)
    opened = [connection for connection in tried if _is_open(connection)]
    slow = opened[: plan["slow"]]
    for connection in opened[len(opened) - plan["half"] :] if plan["half"] else ():
        with contextlib.suppress(OSError):
            connection.send(CLIENT_HELLO)
    text = REQUEST.format(method="REGISTER", uri="sip:x", host="x", port=5060, branch="z9hG4bKslow", user="666",
                          domain="x", tag="t", to="<sip:666@x>", call_id="slow", cseq=1, extra="").encode()  # fmt: skip
    for octet in text:
        if time.monotonic() - began > min(plan["seconds"], MOST_SECONDS):
            break
        for connection in slow:
            with contextlib.suppress(OSError):  # the server has had enough of it
                connection.send(bytes([octet]))
        time.sleep(1.0)
    still = sum(_is_open(connection) for connection in opened)
    for connection in tried:
        connection.close()
    return {"tried": len(tried), "opening_seconds": took, "open_then": len(opened), "open_at_the_end": still}


def _connecting(target: list[Any], host: str, number: int) -> socket.socket:
    """A connection that is on its way; a hundred at once leave room in the listener's queue."""
    connection = socket.socket()
    connection.setblocking(False)
    connection.bind((host, 0))
    connection.connect_ex((target[0], target[1]))
    if number % AT_ONCE == AT_ONCE - 1:
        time.sleep(SLICE)
    return connection


def _is_open(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def main() -> None:
    plan = json.loads(sys.stdin.readline())
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -5)
    print(json.dumps(hold_connections(plan) if "idle" in plan else send_datagrams(plan)), flush=True)


if __name__ == "__main__":
    main()
