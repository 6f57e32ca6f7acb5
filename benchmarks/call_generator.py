"""Calls, registrations and wrong passwords at a given rate, whether or not the server keeps up (open loop).

Started by bench_signalling with `python -m benchmarks.call_generator`; each line of JSON on its standard input is an
order, {"do": name, ...}, and is answered by a line with what was measured. It shares no code with the server.
"""

import asyncio
import json
import random
import re
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import uvloop

from benchmarks.placement import settle
from benchmarks.server import HOST, ROOMS, TALKS_IN, own_host, telephone_of
from benchmarks.telephones import Address, Refused, Telephone

HOLD = 0.5
"""Seconds that a call lasts from its ACK to its BYE."""
CALLERS, ATTACKERS = 1000, 1000
"""Each attacker is at an address of his own and sends few wrong passwords: limits are not what is measured here."""
UNKNOWN = "9"
"""Before a user's number: nobody has that one."""
WRONG = "a password that nobody has"
ATTACKERS_NET, PROBES_NET, STAYING_NET = 3, 5, 7
PROBE_PATIENCE = 2.0
PROBE_PAUSE = (0.001, 0.002)
"""Seconds before each probe: the server is idle when it comes, and strangers are not too many."""
MASKED = (
    (re.compile(rb'nonce="[^"]*"'), b'nonce="N"'), (re.compile(rb"tag=[^;\r]*"), b"tag=T"),
    (re.compile(rb"branch=[^;\r]*"), b"branch=B"), (re.compile(rb"rport=\d+"), b"rport=P"),
    (re.compile(rb"127\.\d+\.\d+\.\d+(:\d+)?"), b"H"), (re.compile(rb"(?m)^Call-ID: [^\r]*"), b"Call-ID: C"),
)  # fmt: skip


class Pace:
    """An action so many times a second."""

    def __init__(self, rate: float, seconds: float) -> None:
        self.count, self.rate = round(rate * seconds), rate
        self.behind = 0.0

    async def run(self, act: Callable[[int], Awaitable[Any]]) -> list[Any]:
        """What each returned, or the Refused it raised; any other exception is ours and raised."""
        loop = asyncio.get_running_loop()
        began, tasks = loop.time(), []
        for number in range(self.count):
            left = began + number / self.rate - loop.time()
            if left > 0:
                await asyncio.sleep(left)
            else:
                self.behind = max(self.behind, -left)
            tasks.append(asyncio.ensure_future(act(number)))
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, Refused):
                raise result
        return results


class Generator:
    """Everybody who calls; `server` is where."""

    def __init__(self) -> None:
        self.server: Address = (HOST, 0)
        self.callers: list[Telephone] = []
        self.staying: list[Telephone] = []
        self.attackers: list[Telephone] = []

    async def open(self, server: list[Any], core: int | None) -> dict[str, Any]:
        """Know the server; run on this core."""
        settle(core)
        self.server = (server[0], server[1])
        self.callers = [await telephone_of(self.server, n, own_host(n)).open() for n in range(CALLERS)]
        return {}

    async def place(self, legs: list[list[Any]]) -> dict[str, Any]:
        """Call once for each of these RTP addresses, to stay; the server's RTP ports."""
        ports = []
        for number, (host, port) in enumerate(legs):
            phone = await telephone_of(self.server, number % CALLERS, own_host(number, STAYING_NET)).open()
            self.staying.append(phone)
            ports.append((await phone.call(TALKS_IN, port, host)).media[1])
        return {"ports": ports}

    async def gather(self, legs: list[list[Any]], rate: float) -> dict[str, Any]:
        """Call for each of these RTP addresses, so many a second, to stay; the server's RTP ports, 0 where refused."""
        first = len(self.staying)
        for number in range(first, first + len(legs)):
            phone = telephone_of(self.server, number % CALLERS, own_host(number, STAYING_NET))
            self.staying.append(await phone.open())

        async def one(number: int) -> tuple[float, float, float]:
            host, port = legs[number]
            call = await self.staying[first + number].call(TALKS_IN, port, host)
            return call.challenge_delay, call.answer_delay, float(call.media[1])

        pace = Pace(rate, len(legs) / rate)
        results = await pace.run(one)
        ports = [0 if isinstance(result, Refused) else int(result[2]) for result in results]
        phones = self.staying[first:]
        return {**_judged([each if isinstance(each, Refused) else each[:2] for each in results], pace,
                          ("challenge", "answer")),
                "repeats": sum(phone.repeats for phone in phones), "ports": ports}  # fmt: skip

    async def calls(self, rate: float, seconds: float) -> dict[str, Any]:
        """INVITE with digest, 200, ACK, join, BYE."""
        repeats = sum(phone.repeats for phone in self.callers)

        async def one(number: int) -> tuple[float, float]:
            phone = self.callers[number % CALLERS]
            call = await phone.call(str(int(TALKS_IN) + 1 + number % (ROOMS - 1)))
            await asyncio.sleep(HOLD)
            if call.ended.is_set():
                raise Refused(0, "cut off")
            await phone.hang_up(call)
            return call.challenge_delay, call.answer_delay

        pace = Pace(rate, seconds)
        results = await pace.run(one)
        return {**_judged(results, pace, ("challenge", "answer")),
                "repeats": sum(phone.repeats for phone in self.callers) - repeats}  # fmt: skip

    async def registers(self, rate: float, seconds: float, afresh: bool) -> dict[str, Any]:
        """REGISTER with digest. afresh: challenged each time, else with the next count of the nonce of last time."""
        repeats = sum(phone.repeats for phone in self.callers)
        began = [asyncio.Lock() for _ in self.callers]

        async def one(number: int) -> tuple[float]:
            phone = self.callers[number % CALLERS]
            async with began[number % CALLERS]:  # a telephone has one REGISTER under way
                if afresh:
                    phone.forget_challenge()
                return (await phone.register(),)

        pace = Pace(rate, seconds)
        results = await pace.run(one)
        return {**_judged(results, pace, ("register",)),
                "repeats": sum(phone.repeats for phone in self.callers) - repeats}  # fmt: skip

    async def requests(self, kind: str, rate: float, seconds: float) -> dict[str, Any]:
        """Requests that are answered at once: "OPTIONS", or "INVITE" with a wrong password, which nobody ACKs."""
        if not self.attackers:
            self.attackers = [await telephone_of(self.server, n % CALLERS, own_host(n, ATTACKERS_NET)).open()
                              for n in range(ATTACKERS)]  # fmt: skip
            for phone in self.attackers:
                phone.acknowledges = False  # one message each, to tell what one costs
                aor = f"<sip:{phone.user}@{HOST}>"
                phone.remember(await phone.ask("REGISTER", f"sip:{HOST}", aor, phone.token(), phone.token(), 1))
        uri = f"sip:{TALKS_IN}@{HOST}"

        async def one(number: int) -> tuple[float]:
            phone = self.attackers[number % ATTACKERS]
            proof = phone.proof("INVITE", uri, WRONG) if kind == "INVITE" else ""
            began = time.monotonic()
            answer = await phone.ask(kind, uri, f"<{uri}>", phone.token(), phone.token(), 1, proof)
            if answer.status != (401 if kind == "INVITE" else 200):
                raise Refused(answer.status, answer.reason)
            return (time.monotonic() - began,)

        pace = Pace(rate, seconds)
        return _judged(await pace.run(one), pace, ("answer",))

    async def probes(self, kind: str, tries: int) -> dict[str, Any]:
        """The same request for users that exist and for users that do not, in turn; each try from a new address."""
        rng = random.Random(5)
        delays: dict[bool, list[float]] = {True: [], False: []}
        answers: dict[bool, set[bytes]] = {True: set(), False: set()}
        for number in range(2 * tries):
            exists = (number + number // 2) % 2 == 0  # in turn, and each as often first
            reply, took = _probe(self.server, kind, exists, number, rng)
            answers[exists].add(reply)
            delays[exists].append(took)
        known, unknown = (float(np.median(delays[each])) * 1e3 for each in (True, False))
        different = answers[True] ^ answers[False]
        for answer in sorted(different):
            print(answer.decode(), file=sys.stderr, flush=True)
        return {"tries": tries, "known_ms": known, "unknown_ms": unknown, "known_to_unknown": known / unknown,
                "answers": len(answers[True] | answers[False]), "different_answers": len(different)}  # fmt: skip


def _probe(server: Address, kind: str, exists: bool, number: int, rng: random.Random) -> tuple[bytes, float]:
    """One answer, masked, and how long it took. Blocking: nothing else is to be in the way."""
    host = own_host(number, PROBES_NET)
    phone = telephone_of(server, number % CALLERS, host)
    if not exists:
        phone.user = UNKNOWN + phone.user[1:]
    user = phone.user.encode()
    to = f"<sip:{phone.user}@{HOST}>"
    uri = {"REGISTER": f"sip:{HOST}", "OPTIONS": f"sip:{phone.user}@{HOST}"}.get(kind, f"sip:{TALKS_IN}@{HOST}")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((host, 0))
        probe.settimeout(PROBE_PATIENCE)
        phone.port = probe.getsockname()[1]
        proof = ""
        if kind != "OPTIONS":
            first, _ = _ask_once(probe, server, phone.request(kind, uri, to, phone.token(), phone.token(), 1))
            phone.remember_text(first.decode())
            proof = phone.proof(kind, uri, WRONG) if first.startswith(b"SIP/2.0 401") else ""
        data = phone.request(kind, uri, to, phone.token(), phone.token(), 2, proof)
        time.sleep(rng.uniform(*PROBE_PAUSE))
        reply, took = _ask_once(probe, server, data)
    for pattern, word in MASKED:
        reply = pattern.sub(word, reply)
    return reply.replace(user, b"USER"), took


def _ask_once(probe: socket.socket, server: Address, data: bytes) -> tuple[bytes, float]:
    """The first answer, or silence, and the seconds it took."""
    began = time.perf_counter()
    probe.sendto(data, server)
    try:
        reply = probe.recv(65536)
    except TimeoutError:
        reply = b"silence"
    return reply, time.perf_counter() - began


def _judged(results: list[Any], pace: Pace, names: tuple[str, ...]) -> dict[str, Any]:
    """Counts, and the middle and the worst hundredth of each delay in milliseconds."""
    good = [result for result in results if not isinstance(result, Refused)]
    refused = [str(result) for result in results if isinstance(result, Refused)]
    row: dict[str, Any] = {"made": len(results), "failed": len(refused), "behind_ms": pace.behind * 1e3,
                           "why": sorted(set(refused))[:3]}  # fmt: skip
    for name, delays in zip(names, np.array(good).T if good else [[np.nan]] * len(names), strict=True):
        for percent in (50, 99):
            row[f"{name}_p{percent}_ms"] = float(np.percentile(delays, percent)) * 1e3
    return row


async def main() -> None:
    generator = Generator()
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        order = json.loads(line)
        print(json.dumps(await getattr(generator, order.pop("do"))(**order)), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
