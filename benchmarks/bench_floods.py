"""Floods, while fifty people talk: what do their calls lose, what memory stays, and who still gets through?

A real server, on whatever cores the system gives it; the fifty calls and an honest telephone in this process; the
flood in a process of its own, on loopback, for ten seconds. `python -m benchmarks.bench_floods [--quick] [name ...]`.
"""

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from tempfile import TemporaryDirectory
from typing import Any

import uvloop

from benchmarks.pace import processor_seconds
from benchmarks.placement import settle
from benchmarks.server import HOST, TALKS_IN, NotStarted, Server, memory_mb, own_host, running
from benchmarks.talkers import PERIOD, Talker, Talkers
from benchmarks.telephones import Refused, Telephone

Row = dict[str, Any]

LEGS = 50
RATE = 20_000
SECONDS, TCP_SECONDS = 10.0, 25.0
SETTLE = 40.0
"""Seconds after a flood until the memory is read."""
REPORT_WAIT = 6.0
"""Seconds in which every call has had an RTCP report."""
WATCH_EVERY = 0.25
HONEST_AFTER = 2.0
"""Seconds from the flood's beginning until an honest telephone registers, then calls."""
HONEST_NET, HONEST_PATIENCE = 9, 32.0
ATTACKER = "127.66.0.1"

Flood = dict[str, Any]
FLOODS: dict[str, Flood] = {
    "garbage from 1 port": {"kind": "garbage", "ports": 1},
    "garbage from 1000 ports": {"kind": "garbage", "ports": 1000},
    "INVITE from 1 port": {"kind": "INVITE", "ports": 1},
    "INVITE from 1000 ports": {"kind": "INVITE", "ports": 1000},
    "TCP, one address": {"idle": 5000, "slow": 500, "half": 0, "addresses": 1, "listener": "tcp"},
    "TCP, 250 addresses": {"idle": 5000, "slow": 500, "half": 0, "addresses": 250, "listener": "tcp"},
    "TLS, half handshakes": {"idle": 0, "slow": 0, "half": 500, "addresses": 1, "listener": "tls"},
}
TLS = '[tls]\ncertificate = "{0}/certificate.pem"\nkey = "{0}/key.pem"\n'


class Watch:
    """The memory of the server's two processes, looked at again and again."""

    def __init__(self, server: Server) -> None:
        self._pids = (server.pid, server.worker)
        self.before = self.peak = self.now()

    def now(self) -> tuple[float, float]:
        front, worker = (memory_mb(pid) for pid in self._pids)
        return front, worker

    async def run(self) -> None:
        while True:
            self.peak = tuple(map(max, self.peak, self.now()))
            await asyncio.sleep(WATCH_EVERY)

    def figures(self) -> Row:
        after = self.now()
        return {f"{name}_mb_{when}": value for when, values in
                (("before", self.before), ("peak", self.peak), ("after", after))
                for name, value in zip(("front", "worker"), values, strict=True)}  # fmt: skip


async def honest(server: Server, how: Callable[[Telephone], Any]) -> float:
    """Seconds that an honest telephone at an address of its own needs for something; -1 for never."""
    phone = await server.telephone(server.users - 1, own_host(0, HONEST_NET)).open()
    began = time.monotonic()
    try:
        await asyncio.wait_for(how(phone), HONEST_PATIENCE)
        return time.monotonic() - began
    except (Refused, TimeoutError, OSError) as error:
        print(f"the honest telephone: {error!r}", file=sys.stderr, flush=True)
        return -1.0
    finally:
        phone.close()


async def honest_things(server: Server) -> Row:
    """How long an honest telephone takes, each after the other, from a while after the flood's beginning."""
    await asyncio.sleep(HONEST_AFTER)
    return {
        "honest_register_s": await honest(server, Telephone.register),
        "honest_call_s": await honest(server, whole_call),
        "honest_register_tcp_s": await honest(server, lambda phone: register_by_tcp(server, phone)),
    }


async def whole_call(phone: Telephone) -> None:
    await phone.hang_up(await phone.call(str(int(TALKS_IN) + 1)))


async def register_by_tcp(server: Server, phone: Telephone) -> None:
    """Over a new connection of its own. Raises Refused."""
    reader, writer = await asyncio.open_connection(HOST, server.ports["tcp"], local_addr=(phone.host, 0))
    aor, call_id, tag, proof = f"<sip:{phone.user}@{HOST}>", phone.token(), phone.token(), ""
    try:
        for cseq in (1, 2):
            text = phone.request("REGISTER", f"sip:{HOST}", aor, call_id, tag, cseq, proof)
            writer.write(text.replace(b"SIP/2.0/UDP", b"SIP/2.0/TCP", 1))
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            if head.startswith("SIP/2.0 200"):
                return
            phone.remember_text(head)
            proof = phone.proof("REGISTER", f"sip:{HOST}")
        raise Refused(int(head[8:11]), "over TCP")
    except asyncio.IncompleteReadError as error:
        raise Refused(0, "the connection was closed") from error
    finally:
        writer.close()


async def flooded(server: Server, name: str, flood: Flood, seconds: float, settle_for: float) -> Row:
    """One flood and what came of it."""
    talkers = await Talkers([Talker(f"127.8.0.{leg + 1}", leg) for leg in range(LEGS)]).open()
    phones = [await server.telephone(leg, own_host(leg)).open() for leg in range(LEGS)]
    calls = [await phone.call(TALKS_IN, talker.port, talker.host)
             for phone, talker in zip(phones, talkers.all, strict=True)]  # fmt: skip
    for call, talker in zip(calls, talkers.all, strict=True):
        talker.aim(call.media)
    await asyncio.sleep(REPORT_WAIT)
    ticks = await asyncio.to_thread(server.metrics)
    watch = Watch(server)
    watching = asyncio.create_task(watch.run())
    talkers.forget()
    used = processor_seconds(server.pid)
    sender = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.flood_sender", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    target = (HOST, server.ports[flood.get("listener", "udp")])
    plan = {"target": target, "source": ATTACKER, "rate": RATE, "seconds": seconds, **flood}
    honesty = asyncio.create_task(honest_things(server))
    sent, _ = await sender.communicate(json.dumps(plan).encode() + b"\n")
    used = processor_seconds(server.pid) - used
    await asyncio.sleep(REPORT_WAIT)
    lost = talkers.lost()
    frames = seconds / PERIOD
    row = {
        "legs": len(lost) - sum(call.ended.is_set() for call in calls),
        "lost_percent": 100 * sum(lost) / max(1, len(lost)) / frames,
        "worst_leg_lost_percent": 100 * max(lost, default=frames) / frames,
        **await honesty, **json.loads(sent or b"{}"), "front_core": used / seconds,
    }  # fmt: skip
    await asyncio.sleep(settle_for - REPORT_WAIT)
    watching.cancel()
    now = await asyncio.to_thread(server.metrics)
    row |= watch.figures()
    for key in ("late_ticks", "skipped_ticks"):
        row[key] = now[f"sipconf_media_{key}_total"] - ticks[f"sipconf_media_{key}_total"]
    row["faults"] = sum(value for key, value in now.items() if key.startswith("sipconf_faults_total"))
    await talkers.close()
    for phone in phones:
        phone.close()
    return {"name": f"flood: {name}", **row}


def certificate(folder: str) -> str:
    """The configuration of a certificate that was just made; "" where there is nothing to make one with."""
    openssl = shutil.which("openssl")
    if openssl is None:
        return ""
    subprocess.run([openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-keyout", f"{folder}/key.pem", "-out", f"{folder}/certificate.pem"], check=True,
                   capture_output=True)  # fmt: skip
    return TLS.format(folder)


def run(quick: bool = False, names: tuple[str, ...] = tuple(FLOODS)) -> list[Row]:
    """One row per flood, each against a server of its own."""
    settle(None)
    rows: list[Row] = []
    with TemporaryDirectory() as folder:
        for name in names:
            flood = FLOODS[name]
            listen, more = ("udp", "tcp"), ""
            if flood.get("listener") == "tls":
                listen, more = ("udp", "tcp", "tls"), certificate(folder)
                if not more:
                    print(f"flood: {name}: left out, no openssl here", file=sys.stderr, flush=True)
                    continue
            seconds = 3.0 if quick else TCP_SECONDS if "idle" in flood else SECONDS
            try:
                with running(LEGS + 1, listen=listen, more=more) as server:
                    rows.append(uvloop.run(flooded(server, name, flood, seconds, REPORT_WAIT + 2 if quick else SETTLE)))
            except NotStarted as error:
                if "tls is not available" not in str(error):
                    raise
                print(f"flood: {name}: left out, this version has no TLS listener", file=sys.stderr, flush=True)
                continue
            print(rows[-1], file=sys.stderr, flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Floods while fifty people talk.")
    parser.add_argument("names", nargs="*", help=f"any of: {', '.join(FLOODS)}; all without")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    run(arguments.quick, tuple(arguments.names) or tuple(FLOODS))


if __name__ == "__main__":
    main()
