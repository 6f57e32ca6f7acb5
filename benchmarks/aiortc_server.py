"""A conference bridge out of aiortc's own parts, to be compared with: a RTCPeerConnection for each participant, and
every 20 ms the sum of all minus one's own.

`python -m benchmarks.aiortc_server [CORE]`; JSON lines: it reads the offers, prints the answers, and serves until its
standard input closes. Nothing of the server is in it.
"""

import asyncio
import fractions
import json
import sys

import numpy as np
from aioice import ice
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame

from benchmarks.placement import settle

RATE, SAMPLES = 8000, 160
TICK = 0.02
SILENCE = np.zeros(SAMPLES, np.float32)


class Room:
    """What everybody said last, and their sum."""

    def __init__(self) -> None:
        self.said: dict[int, np.ndarray] = {}
        self.sum = SILENCE
        self.tick = asyncio.Event()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due += TICK
            await asyncio.sleep(max(0.0, due - loop.time()))
            self.sum = np.sum(list(self.said.values()), axis=0) if self.said else SILENCE
            before, self.tick = self.tick, asyncio.Event()
            before.set()


class Heard(MediaStreamTrack):
    """What one participant hears."""

    kind = "audio"

    def __init__(self, room: Room, number: int) -> None:
        super().__init__()
        self._room, self._number, self._pts = room, number, 0

    async def recv(self) -> AudioFrame:
        await self._room.tick.wait()
        mix = self._room.sum - self._room.said.get(self._number, SILENCE)
        samples = np.clip(mix, -32768, 32767).astype(np.int16)
        frame = AudioFrame.from_ndarray(samples[None], "s16", "mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, self._pts, fractions.Fraction(1, RATE)
        self._pts += SAMPLES
        return frame


async def listen(room: Room, number: int, track: MediaStreamTrack) -> None:
    while True:
        try:
            frame = await track.recv()
        except MediaStreamError:
            return
        room.said[number] = frame.to_ndarray().ravel()[:SAMPLES].astype(np.float32)


async def join(room: Room, number: int, offer: str, tasks: set[asyncio.Task[None]]) -> tuple[RTCPeerConnection, str]:
    """A participant; the answer to the offer."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    connection.addTrack(Heard(room, number))

    @connection.on("track")
    def heard(track: MediaStreamTrack) -> None:
        tasks.add(asyncio.create_task(listen(room, number, track)))

    await connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
    await connection.setLocalDescription(await connection.createAnswer())
    return connection, connection.localDescription.sdp


async def main() -> None:
    settle(int(sys.argv[1]) if len(sys.argv) > 1 else None)
    ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]  # it leaves out loopback otherwise
    loop = asyncio.get_running_loop()
    room, tasks = Room(), set()
    tasks.add(asyncio.create_task(room.run()))
    offers = json.loads(await loop.run_in_executor(None, sys.stdin.readline))
    joined = [await join(room, number, offer, tasks) for number, offer in enumerate(offers)]
    print(json.dumps([answer for _, answer in joined]), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    await asyncio.gather(*(connection.close() for connection, _ in joined))
    for task in tasks:
        task.cancel()


if __name__ == "__main__":
    asyncio.run(main())
