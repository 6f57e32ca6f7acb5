"""What a participant costs who comes from a browser, and how many can shake hands while others talk.

One worker, its shared port, and the front's handshakes as the server has them; the load generator does checks, DTLS and
SRTP for every leg. Beside each case the floor (the same packets echoed by the kernel alone), and for the smallest room
what the floor costs with SRTP, and the same legs served by aiortc's RTCPeerConnection.
`python -m benchmarks.bench_webrtc [--quick] [--anywhere]`.
"""

import asyncio
import os
import sys
from asyncio.subprocess import Process
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from benchmarks import generators, webrtc_calls
from benchmarks.generators import hear, tell
from benchmarks.placement import cores, described
from benchmarks.plane import FIRST_PORT, LAST_PORT, PCMU, Row, run_floor, tick_figures
from benchmarks.rounds import CPU, in_turns
from sipconf.media import protocol
from sipconf.media.handshakes import Handshakes
from sipconf.media.supervisor import MediaSupervisor, WorkerSettings
from sipconf.rtp.edge import dtls

SECONDS, QUICK_SECONDS, WARM_SECONDS = 6.0, 3.0, 4.0
ROUNDS, QUICK_ROUNDS = 3, 1
SIZES, QUICK_SIZES = (20, 50, 100, 300), (20, 50)
OPUS_SIZES, QUICK_OPUS_SIZES = (50, 100), (20,)
SMALLEST = 20
HANDSHAKE_LEGS, QUICK_HANDSHAKE_LEGS, HANDSHAKES_PER_SECOND = 100, 20, 50
OPEN_TIMEOUT = 30.0
ROOM = 1
OPUS = protocol.RtpFormat("opus", 48_000, 111, "useinbandfec=1")
LEVEL_ID, TELEPHONE_EVENT = 1, 101


@dataclass(frozen=True, slots=True)
class Case:
    """legs in one room, of which `talking` talk (None: all). levels: packets tell how loud they are. calls: browsers
    that come each second, shake hands and go."""

    legs: int
    codec: str = "PCMU"
    talking: int | None = None
    levels: bool = False
    calls: int = 0
    seconds: float = SECONDS
    apart: bool = True

    @property
    def later(self) -> int:
        """Browsers that come while the others talk."""
        return round(self.calls * (WARM_SECONDS + self.seconds))


class OneWorker(MediaSupervisor):
    """A worker that takes every leg: the placement of `Workers` refuses some where the machine is busy with others."""

    def __init__(self, on_events: Callable[[], None]) -> None:
        super().__init__(WorkerSettings(FIRST_PORT, LAST_PORT), on_events)

    def reply(self, leg: int, address: protocol.Address, datagram: bytes) -> bool:  # type: ignore[override]
        return super().reply(address, datagram)


class Bench:
    """A worker, the front's handshakes, and the generator that calls."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.certificate = dtls.generate()
        self.events: list[protocol.Event] = []
        self.ports: dict[int, int] = {}
        self.failed: dict[int, str] = {}
        self.news = asyncio.Event()
        self.media = Handshakes(OneWorker, self.certificate.handshake, self._hear, asyncio.get_running_loop())
        self.worker: OneWorker = self.media._workers  # type: ignore[assignment]

    def _hear(self) -> None:
        for event in self.media.take_events():
            if isinstance(event, protocol.LegFailed):
                self.failed[event.leg] = event.reason
            if isinstance(event, protocol.LegOpened):
                self.ports[event.leg] = event.shared_port
            self.events.append(event)
        self.news.set()

    async def _until(self, enough: Callable[[], bool]) -> None:
        async with asyncio.timeout(OPEN_TIMEOUT):
            while not enough():
                if self.failed:
                    raise RuntimeError(f"legs failed: {self.failed}")
                self.news.clear()
                await self.news.wait()

    def _open(self, leg: int) -> protocol.IceCredentials:
        """A leg on the shared port."""
        ice = protocol.IceCredentials(f"leg{leg:05}", f"the password of leg {leg:05}")
        self.media.send(protocol.OpenLeg(leg, "127.0.0.1", "bench", ROOM, ice, False))
        return ice

    def _connect(self, leg: int, ice: protocol.IceCredentials, peers: Row) -> None:
        ufrag, _, (host, _) = peers["peers"][leg]
        terms = protocol.WebRtcTerms(ice, ufrag, "server", (tuple(peers["fingerprint"]),))
        rtp = PCMU if self.case.codec == "PCMU" else OPUS
        self.media.send(protocol.ConnectLeg(
            leg, None, None, host, (rtp,), rtp, TELEPHONE_EVENT, True, "sendrecv", webrtc=terms,
            audio_level=LEVEL_ID if self.case.levels else None))  # fmt: skip

    def _where(self, leg: int, ice: protocol.IceCredentials) -> webrtc_calls.Place:
        return leg, self.ports[0], ice.ufrag, ice.password, self.certificate.fingerprint()

    async def run(self) -> Row:
        case = self.case
        await self.media.start()
        generator = None
        try:
            core, load_core = cores(case.apart)
            pid = self.worker.pid
            assert pid is not None
            if core is not None:
                os.sched_setaffinity(pid, {core})
            generator = await generators.start("webrtc_generator")
            tell(generator, {
                "legs": case.legs, "more": case.later, "codec": case.codec, "talking": case.talking,
                "level": LEVEL_ID if case.levels else None, "core": load_core, "warm": WARM_SECONDS,
                "seconds": case.seconds})  # fmt: skip
            peers = await hear(generator)
            opened = {leg: self._open(leg) for leg in range(case.legs)}
            await self._until(lambda: len(self.ports) == case.legs)
            for leg, ice in opened.items():
                self._connect(leg, ice, peers)
                self.media.send(protocol.PlaceLeg(leg, ROOM))
            calls = [self._where(leg, ice) for leg, ice in opened.items()]
            tell(generator, {"calls": calls, "pids": [pid]})
            await self._until(lambda: self.media.completed == case.legs)
            setup = (await hear(generator))["setup_seconds"]
            self.events.clear()
            tell(generator, {})
            more = asyncio.create_task(self._call_more(generator, peers))
            result = await hear(generator)
            await more
        finally:
            if generator is not None:
                await generators.end(generator)
            await self.media.stop()
        return {**result, **tick_figures([self.events], case.seconds), "setup_ms_per_leg": setup / case.legs * 1e3,
                "refused": len(self.failed)}  # fmt: skip

    async def _call_more(self, generator: Process, peers: Row) -> None:
        """Browsers that come one by one; each goes after a second, when others have taken its place."""
        loop = asyncio.get_running_loop()
        begin = loop.time()
        for number in range(self.case.later):
            leg = self.case.legs + number
            await asyncio.sleep(max(0.0, begin + number / self.case.calls - loop.time()))
            ice = self._open(leg)
            self._connect(leg, ice, peers)
            tell(generator, [self._where(leg, ice)])
            if number >= self.case.calls:
                self.media.send(protocol.CloseLeg(leg - self.case.calls))


# --- aiortc's RTCPeerConnection --------------------------------------------------------------------------------------
async def run_aiortc(legs: int, seconds: float, apart: bool) -> Row:
    """The same legs, each a RTCPeerConnection of one process."""
    core, load_core = cores(apart)
    server = await generators.start("aiortc_server", *([] if core is None else [str(core)]))
    generator = await generators.start("webrtc_generator")
    try:
        tell(generator, {"legs": legs, "codec": "PCMU", "core": load_core, "warm": WARM_SECONDS, "seconds": seconds,
                         "lite": True})  # fmt: skip
        peers = await hear(generator)
        tell(server, [webrtc_calls.offer(peers, leg, "active").replace("t=0 0", "t=0 0\r\na=ice-lite")
                      for leg in range(legs)])  # fmt: skip
        answers = await hear(server)
        tell(generator, {"calls": [webrtc_calls.place(leg, sdp) for leg, sdp in enumerate(answers)],
                         "pids": [server.pid]})  # fmt: skip
        await hear(generator)
        tell(generator, {})
        return await hear(generator)
    finally:
        await generators.end(generator)
        await generators.end(server)


# --- rows ------------------------------------------------------------------------------------------------------------
def measure(case: Case) -> Row:
    """One run of a case."""

    async def of_case() -> Row:
        return await Bench(case).run()

    return asyncio.run(of_case())


def compare(case: Case, name: str, rounds: int) -> Row:
    """A row: the worker, in turns with the floor."""
    floor = partial(run_floor, case.legs, case.seconds / 2, case.apart)
    return {"name": name, **in_turns(lambda: measure(case), lambda: asyncio.run(floor())[CPU], rounds)}


def run(quick: bool = False, apart: bool = True) -> list[Row]:
    """One row per case."""
    print(described(apart), file=sys.stderr, flush=True)
    seconds, rounds = (QUICK_SECONDS, QUICK_ROUNDS) if quick else (SECONDS, ROUNDS)
    rows: list[Row] = []

    def add(row: Row) -> None:
        rows.append(row)
        print(row, file=sys.stderr, flush=True)

    for legs in QUICK_SIZES if quick else SIZES:
        add(compare(Case(legs, seconds=seconds, apart=apart), f"webrtc PCMU N={legs}", rounds))
        if legs == SMALLEST:
            ours, theirs = rows[-1][CPU], asyncio.run(run_aiortc(legs, seconds, apart))
            add({"name": f"webrtc aiortc N={legs}", **theirs,
                 "ours_to_aiortc": ours / theirs[CPU]})  # fmt: skip
            with_srtp = asyncio.run(run_floor(legs, seconds, apart, "--srtp"))
            add({"name": f"webrtc floor with SRTP N={legs}", **with_srtp})
    for legs in QUICK_OPUS_SIZES if quick else OPUS_SIZES:
        for case, kind in ((Case(legs, "opus", 3, seconds=seconds, apart=apart), "3 talk"),
                           (Case(legs, "opus", 3, True, seconds=seconds, apart=apart), "3 talk, levels told"),
                           (Case(legs, "opus", seconds=seconds, apart=apart), "all talk")):  # fmt: skip
            add(compare(case, f"webrtc Opus N={legs} {kind}", rounds))
    legs = QUICK_HANDSHAKE_LEGS if quick else HANDSHAKE_LEGS
    row = measure(Case(legs, calls=HANDSHAKES_PER_SECOND, seconds=seconds, apart=apart))
    add({"name": f"webrtc handshakes, {legs} mixed", **row})
    add({"name": f"webrtc calls, {legs} mixed",
         **webrtc_calls.run(legs, HANDSHAKES_PER_SECOND, WARM_SECONDS, seconds, apart)})  # fmt: skip
    return rows


if __name__ == "__main__":
    run(quick="--quick" in sys.argv, apart="--anywhere" not in sys.argv)
