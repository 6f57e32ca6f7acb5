"""Browsers that call a running server while others talk: SIP, checks and handshakes from end to end, so many a second.

The calls are those of templates (telephones) with the offers of browsers, the media is the load generator's. Signalled
over UDP: what a WebSocket adds does not depend on the media. Not here: the worker alone (bench_webrtc).
"""

import asyncio
from asyncio.subprocess import Process
from typing import Any

from benchmarks import generators
from benchmarks.placement import cores
from benchmarks.server import TALKS_IN, Server, own_host, running
from benchmarks.telephones import Call, Telephone

Row = dict[str, Any]
OFFER = "\r\n".join((
    "v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=group:BUNDLE 0",
    "m=audio {port} UDP/TLS/RTP/SAVPF 0 101", "c=IN IP4 {host}", "a=mid:0", "a=sendrecv", "a=rtcp-mux",
    "a=rtpmap:0 PCMU/8000", "a=rtpmap:101 telephone-event/8000", "a=ice-ufrag:{ufrag}", "a=ice-pwd:{password}",
    "a=candidate:1 1 udp 2130706431 {host} {port} typ host", "a=fingerprint:{fingerprint[0]} {fingerprint[1]}",
    "a=setup:{setup}", "",
))  # fmt: skip
PATIENCE = 60.0
STAY = 1.0
"""Seconds that a caller stays who comes while the others talk."""


Place = tuple[int, int, str, str, tuple[str, str]]
"""Where one of the generator's legs is to call: its number; the server's port, ufrag, password and fingerprint."""


def offer(peers: Row, leg: int, setup: str = "actpass") -> str:
    """A browser's for one of the generator's legs. peers: what the generator said of them."""
    ufrag, password, (host, port) = peers["peers"][leg]
    return OFFER.format(host=host, port=port, ufrag=ufrag, password=password, setup=setup,
                        fingerprint=peers["fingerprint"])  # fmt: skip


def place(leg: int, sdp: str) -> Place:
    """What an answer tells."""
    algorithm, value = attribute(sdp, "fingerprint").split()
    return (leg, int(attribute(sdp, "candidate").split()[5]), attribute(sdp, "ice-ufrag"), attribute(sdp, "ice-pwd"),
            (algorithm, value))  # fmt: skip


def attribute(sdp: str, name: str) -> str:
    """The value of the first such line."""
    return next(line.partition(":")[2] for line in sdp.splitlines() if line.startswith(f"a={name}:"))


class Calls:
    """All callers of a run. legs: who talk from the beginning; later: who come one by one, so many a second."""

    def __init__(self, server: Server, legs: int, later: int, rate: int) -> None:
        self.server, self.legs, self.later, self.rate = server, legs, later, rate
        self.failed = 0
        self.over = False  # the generator has its figures

    async def run(self, warm: float, seconds: float, load_core: int | None) -> Row:
        telephones = [self.server.telephone(number, own_host(number)) for number in range(self.legs + self.later)]
        generator = await generators.start("webrtc_generator")
        generators.tell(generator, {"legs": self.legs, "more": self.later, "codec": "PCMU", "core": load_core,
                                    "warm": warm, "seconds": seconds})  # fmt: skip
        try:
            async with asyncio.timeout(PATIENCE + warm + seconds):
                return await self._with(telephones, generator, warm)
        finally:
            for telephone in telephones:
                telephone.close()
            await generators.end(generator)

    async def _with(self, telephones: list[Telephone], generator: Process, warm: float) -> Row:
        peers = await generators.hear(generator)
        await asyncio.gather(*(telephone.open() for telephone in telephones))
        talkers = []
        for number in range(self.legs):
            talkers.append(await self._call(telephones[number], peers, number))
        generators.tell(generator, {"calls": [place(leg, call.sdp) for leg, call in enumerate(talkers)],
                                    "pids": [self.server.pid, self.server.worker]})  # fmt: skip
        await generators.hear(generator)
        generators.tell(generator, {})
        more = asyncio.create_task(self._call_more(telephones, generator, peers))
        await asyncio.sleep(warm)
        before = self.server.metrics()
        result = await generators.hear(generator)
        self.over = True
        after = self.server.metrics()
        await more
        ticks, late = (after[name] - before[name] for name in ("sipconf_media_ticks_total",
                                                               "sipconf_media_late_ticks_total"))  # fmt: skip
        return {**result, "late_ticks_percent": 100 * late / max(1.0, ticks), "refused": self.failed,
                "failed_handshakes": after["sipconf_dtls_failures_total"]}  # fmt: skip

    async def _call(self, telephone: Telephone, peers: Row, number: int) -> Call:
        return await telephone.call(TALKS_IN, offer=offer(peers, number))

    async def _call_more(self, telephones: list[Telephone], generator: Process, peers: Row) -> None:
        """Callers one by one."""
        loop = asyncio.get_running_loop()
        begin = loop.time()

        async def visit(number: int) -> None:
            try:
                call = await self._call(telephones[number], peers, number)
            except Exception:
                self.failed += 1
                return
            if not self.over:
                generators.tell(generator, [place(number, call.sdp)])
                await asyncio.sleep(STAY)
            await telephones[number].hang_up(call)

        visits = []
        for number in range(self.later):
            await asyncio.sleep(max(0.0, begin + number / self.rate - loop.time()))
            visits.append(asyncio.create_task(visit(self.legs + number)))
        await asyncio.gather(*visits)


def run(legs: int, rate: int, warm: float, seconds: float, apart: bool) -> Row:
    """One run."""
    core, load_core = cores(apart)
    later = round(rate * (warm + seconds))
    with running(legs + later, core) as server:
        return asyncio.run(Calls(server, legs, later, rate).run(warm, seconds, load_core))
