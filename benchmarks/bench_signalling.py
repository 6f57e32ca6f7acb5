"""Signalling: whole calls per second while 100 legs are mixed, the CPU of one answer, registrations, and whether
answers tell who is a user.

A real server on one core, its media worker too; the load, of text templates and in open loop, on the other. CPU time
is the kernel's accounting of the server's process. `python -m benchmarks.bench_signalling [--quick]`.
"""

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.call_generator import CALLERS
from benchmarks.pace import processor_seconds
from benchmarks.placement import cores, described, settle
from benchmarks.server import HOST, Server, own_host, running, telephone_of
from sipconf.media.supervisor import worker_environment
from sipconf.sip.agent import UserAgent
from sipconf.sip.digest import Authenticator
from sipconf.sip.events import Send
from sipconf.sip.flow import Flow
from sipconf.sip.registrar import NoBindings, Registrar, RegistrarSettings
from sipconf.sip.settings import AgentSettings
from sipconf.sip.trunk import Trunks

Row = dict[str, Any]

LEGS = 100
CALL_RATES = (250, 350, 450)
REGISTER_RATES = (800, 1200, 1600)
REQUEST_RATE = 1200
CALL_SECONDS, SHORT_SECONDS, REQUEST_SECONDS = 20.0, 5.0, 3.2
DRAIN = 34.0
"""Seconds until transactions of an earlier step are forgotten (64*T1)."""
MOST_LATE_PERCENT, MOST_REPEATED = 0.1, 0.001
"""Late ticks, and requests said again per call, with which a rate still counts as held."""
TRIES = 2
PROBES = 2000
IN_PROCESS = 5000
TICKS = ("sipconf_media_ticks_total", "sipconf_media_late_ticks_total", "sipconf_media_skipped_ticks_total")


class Load:
    """The call generator in its own process."""

    def __init__(self, server: Server, core: int | None) -> None:
        self._process = subprocess.Popen([sys.executable, "-m", "benchmarks.call_generator"], text=True,
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
        self.order("open", server=server.address, core=core)

    def order(self, do: str, **parameters: Any) -> Row:
        """Have it do something; what it measured."""
        process = self._process
        assert process.stdin and process.stdout
        process.stdin.write(json.dumps({"do": do, **parameters}) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            raise RuntimeError("the call generator failed; its own message is above")
        return json.loads(line)

    def close(self) -> None:
        self._process.communicate(timeout=10)


@contextmanager
def bench() -> Iterator[tuple[Server, Load]]:
    """A fresh server and a fresh load, apart."""
    core, load_core = cores(apart=True)
    with running(CALLERS, core) as server:
        load = Load(server, load_core)
        try:
            load.order("registers", rate=CALLERS / 4, seconds=4.0, afresh=True)  # everybody has a binding and a nonce
            yield server, load
        finally:
            load.close()


def accounted(server: Server, load: Load, do: str, pause: float = 1.1, **parameters: Any) -> Row:
    """What the load measured and what it cost the server: milliseconds of CPU for each that was made, and for each
    request that came, those said again included. pause: seconds until all ticks are told of, which is by the second."""
    before, front, worker = server.metrics(), processor_seconds(server.pid), processor_seconds(server.worker)
    began = time.monotonic()
    row = load.order(do, **parameters)
    took = time.monotonic() - began
    front, worker = processor_seconds(server.pid) - front, processor_seconds(server.worker) - worker
    time.sleep(pause)
    after = server.metrics()
    ticks, late, skipped = (after[name] - before[name] for name in TICKS)
    requests = _requests(after) - _requests(before)
    return {**row, "front_cpu_ms": front / row["made"] * 1e3, "request_cpu_ms": front / max(1.0, requests) * 1e3,
            "front_core": front / took, "worker_core": worker / took,
            "late_ticks": late, "late_ticks_percent": 100 * late / max(1.0, ticks),
            "skipped_ticks": skipped}  # fmt: skip


def _requests(figures: dict[str, float]) -> float:
    return sum(value for name, value in figures.items() if name.startswith("sipconf_sip_requests_total"))


def held(row: Row) -> bool:
    """Whether everyone was served, nobody had to ask twice and the sound was on time."""
    return (row["failed"] == 0 and row["repeats"] <= MOST_REPEATED * row["made"]
            and row["late_ticks_percent"] < MOST_LATE_PERCENT)  # fmt: skip


def most_held(name: str, rates: tuple[float, ...], step: Any, drain: float) -> Row:
    """The greatest of some rates that is held, and what the one beyond fell short by. Each has TRIES, as another
    process may take the core away for a moment."""
    row: Row = {"name": name, "per_second": 0}
    for number, rate in enumerate(rates):
        tries: list[Row] = []
        while len(tries) < TRIES and not (tries and held(tries[-1])):
            if number or tries:
                time.sleep(drain)
            tries.append(step(rate))
            print(f"{name} {rate}/s", tries[-1], file=sys.stderr, flush=True)
        if not held(tries[-1]):
            short = {key: tries[-1][key] for key in ("failed", "repeats", "late_ticks_percent")}
            return row | {"beyond": rate, **{f"beyond_{key}": value for key, value in short.items()}}
        row |= {"per_second": rate, **{key: value for key, value in tries[-1].items() if key not in ("why", "made")}}
    return row


def calls_while_mixing(quick: bool) -> Row:
    """INVITE with digest, 200, ACK, join, BYE, while LEGS others talk in a room."""
    rates, seconds, drain = ((100,), SHORT_SECONDS, 1.0) if quick else (CALL_RATES, CALL_SECONDS, DRAIN)
    _, load_core = cores(apart=True)
    with bench() as (server, load):
        talking = subprocess.Popen([sys.executable, "-m", "benchmarks.load_generator"], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True, env=worker_environment())  # fmt: skip
        try:
            assert talking.stdin and talking.stdout
            longest = len(rates) * TRIES * (seconds + drain + 5.0)
            plan = {"legs": LEGS, "echo": False, "warm": 1.0, "seconds": longest, "core": load_core}
            talking.stdin.write(json.dumps(plan) + "\n")
            talking.stdin.flush()
            ports = load.order("place", legs=json.loads(talking.stdout.readline()))["ports"]
            talking.stdin.write(json.dumps({"ports": ports, "pairs": [], "pids": [server.worker]}) + "\n")
            talking.stdin.flush()
            time.sleep(3.0)

            def step(rate: float) -> Row:
                return accounted(server, load, "calls", rate=rate, seconds=seconds)

            return most_held(f"calls/s while {LEGS} legs talk", rates, step, drain)
        finally:
            talking.kill()
            talking.communicate()


def registrations(quick: bool) -> list[Row]:
    """REGISTER with digest, challenged each time, and with the nonce of the last time."""
    rates = (REGISTER_RATES[0] / 4,) if quick else REGISTER_RATES
    rows = []
    for name, afresh in (("REGISTER/s, challenged each", True), ("REGISTER/s, same nonce", False)):
        with bench() as (server, load):
            def step(rate: float, server: Server = server, load: Load = load, afresh: bool = afresh) -> Row:
                return accounted(server, load, "registers", rate=rate, seconds=SHORT_SECONDS, afresh=afresh)

            rows.append(most_held(name, rates, step, 0.0))
    return rows


def one_answer(quick: bool) -> list[Row]:
    """CPU of one request, in a server under load and in the user agent alone."""
    rows = []
    rate = REQUEST_RATE / 4 if quick else REQUEST_RATE
    for kind, name in (("OPTIONS", "OPTIONS"), ("INVITE", "INVITE, wrong digest")):
        with bench() as (server, load):
            load.order("requests", kind=kind, rate=rate / 4, seconds=1.0)
            row = accounted(server, load, "requests", kind=kind, rate=rate, seconds=REQUEST_SECONDS)
        alone = in_process(kind)
        kept = ("made", "failed", "answer_p50_ms", "answer_p99_ms", "request_cpu_ms")
        rows.append({"name": f"one {name}", **{key: row[key] for key in kept}, "agent_cpu_ms": alone,
                     "ratio_to_agent": row["request_cpu_ms"] / alone})  # fmt: skip
    return rows


def in_process(kind: str) -> float:
    """Milliseconds of CPU for one request through the user agent, parsing and writing included, sockets not."""
    rng = random.Random(3)
    agent = UserAgent(
        AgentSettings(HOST, "sipconf", lambda flow: (HOST, 5060)),
        Authenticator(HOST, lambda user, source: "secret", ("MD5",), rng), Trunks([]),
        Registrar(NoBindings(), RegistrarSettings(), rng), rng,
    )  # fmt: skip
    phone = telephone_of((HOST, 5060), 0, HOST)
    phone.port = 5070
    uri = f"sip:2000@{HOST}"

    def flow(number: int) -> Flow:
        return Flow("udp", (own_host(number), phone.port), (HOST, 5060))  # nobody sends more than one may

    agent.receive(phone.request("INVITE", uri, f"<{uri}>", "c", "t", 1), flow(0), 1.0)
    phone.remember_text(next(out.data for out in agent.take_outputs() if isinstance(out, Send)).decode())
    proof = phone.proof("INVITE", uri, "wrong") if kind == "INVITE" else ""
    requests = [(phone.request(kind, uri, f"<{uri}>", phone.token(), phone.token(), 1, proof), flow(number))
                for number in range(1, IN_PROCESS + 1)]  # fmt: skip
    answered = 0
    began = time.process_time()
    for number, (request, source) in enumerate(requests):
        agent.receive(request, source, 1.0 + number / REQUEST_RATE)
        answered += sum(isinstance(out, Send) for out in agent.take_outputs())
    took = time.process_time() - began
    assert answered == IN_PROCESS, "each has one answer"
    return took / IN_PROCESS * 1e3


def who_is_a_user(quick: bool) -> list[Row]:
    """Answers to users that exist and to others: the same octets in the same time?"""
    tries = PROBES // 10 if quick else PROBES
    with bench() as (_, load):
        return [{"name": f"known or not, {kind}", **load.order("probes", kind=kind, tries=tries)}
                for kind in ("REGISTER", "INVITE", "OPTIONS")]  # fmt: skip


def run(quick: bool = False) -> list[Row]:
    """All rows."""
    settle(None)
    print(described(True), file=sys.stderr, flush=True)
    rows = [calls_while_mixing(quick), *one_answer(quick), *registrations(quick), *who_is_a_user(quick)]
    for row in rows:
        print(row, file=sys.stderr, flush=True)
    return rows


if __name__ == "__main__":
    run(quick="--quick" in sys.argv)
