"""aiortc's own RTCPeerConnection as a browser: the whole way from its offer to a room, and back out of it.

It has a clock of its own, so the plane ticks with it; nothing is judged by the time.
"""

import asyncio
import fractions
from collections.abc import Callable

import numpy as np
import pytest
from aioice import ice
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame

from sipconf.media import protocol
from sipconf.media.handshakes import Handshakes
from sipconf.media.plane import TICK_SECONDS
from sipconf.rtp.edge import dtls
from tests.media.browsers import FIRST, Rig
from tests.media.loopback import LOCAL, PCMU
from tests.media.plane_as_workers import PlaneAsWorkers
from tests.sim.voice import loudness

PATIENCE = 60.0  # seconds until the test is given up; nothing is judged by it
OURS = dtls.generate()
ICE = protocol.IceCredentials("ours", "the password of our end")
LEG, ROOM, RATE, SAMPLES = 7, 1, 8000, 160
PITCH, OTHER_PITCH = 700, 400
ENOUGH = 80
"""Packets that each has to hear of the other."""
ANSWER = "\r\n".join((
    "v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=ice-lite", "a=group:BUNDLE 0",
    f"m=audio {FIRST} UDP/TLS/RTP/SAVPF 0", "c=IN IP4 127.0.0.1", "a=mid:0", "a=sendrecv", "a=rtcp-mux",
    "a=rtpmap:0 PCMU/8000", f"a=ice-ufrag:{ICE.ufrag}", f"a=ice-pwd:{ICE.password}",
    f"a=candidate:1 1 udp 2130706431 127.0.0.1 {FIRST} typ host", "a=end-of-candidates",
    f"a=fingerprint:{' '.join(OURS.fingerprint())}", "a=setup:{setup}", "",
))  # fmt: skip


class Tone(MediaStreamTrack):
    """What the peer connection says, in its own time."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._said, self._began = 0, asyncio.get_running_loop().time()

    async def recv(self) -> AudioFrame:
        time_s = (np.arange(SAMPLES) + self._said) / RATE
        frame = AudioFrame.from_ndarray((8000 * np.sin(2 * np.pi * PITCH * time_s)).astype(np.int16)[None], "s16",
                                        "mono")  # fmt: skip
        frame.sample_rate, frame.pts, frame.time_base = RATE, self._said, fractions.Fraction(1, RATE)
        self._said += SAMPLES
        await asyncio.sleep(max(0.0, self._began + self._said / RATE - asyncio.get_running_loop().time()))
        return frame


async def listen(track: MediaStreamTrack, heard: list[np.ndarray]) -> None:
    while True:
        try:
            heard.append((await track.recv()).to_ndarray().ravel())
        except MediaStreamError:
            return


def attribute(sdp: str, name: str) -> str:
    return next(line.partition(":")[2] for line in sdp.splitlines() if line.startswith(f"a={name}:"))


@pytest.mark.parametrize("setup", ["passive", "active"])
async def test_a_peer_connection_and_a_browser_hear_each_other(setup: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ice, "get_host_addresses", lambda use_ipv4, use_ipv6: [LOCAL])  # it leaves out loopback
    rig = Rig()
    other = rig.join(0, OTHER_PITCH)
    told: list[protocol.Event] = []
    made: list[PlaneAsWorkers] = []

    def make(on_events: Callable[[], None]) -> PlaneAsWorkers:
        made.append(PlaneAsWorkers(rig, on_events))
        return made[0]

    front = Handshakes(make, OURS.handshake, lambda: told.extend(front.take_events()),  # type: ignore[arg-type]
                       asyncio.get_running_loop())  # fmt: skip
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    connection.addTrack(Tone())
    heard: list[np.ndarray] = []
    tasks = []
    connection.on("track", lambda track: tasks.append(asyncio.create_task(listen(track, heard))))
    await connection.setLocalDescription(await connection.createOffer())
    offer = connection.localDescription.sdp
    algorithm, value = attribute(offer, "fingerprint").split()
    terms = protocol.WebRtcTerms(ICE, attribute(offer, "ice-ufrag"), "server" if setup == "passive" else "client",
                                 ((algorithm, value),))  # fmt: skip
    front.send(protocol.OpenLeg(LEG, LOCAL, "us@conf", ROOM, ICE, own_ports=False))
    front.send(protocol.ConnectLeg(LEG, None, None, LOCAL, (PCMU,), PCMU, None, True, "sendrecv", webrtc=terms))
    front.send(protocol.PlaceLeg(LEG, ROOM))

    async def tick(until: Callable[[], bool]) -> None:
        while not until():
            made[0].tell(rig.run(1))
            await asyncio.sleep(TICK_SECONDS)

    try:
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(
                connection.setRemoteDescription(RTCSessionDescription(ANSWER.replace("{setup}", setup), "answer")),
                tick(lambda: front.completed == 1 and len(heard) > ENOUGH))  # fmt: skip
            assert connection.connectionState == "connected" and not told_failures(told)
            theirs = np.concatenate(heard)[-ENOUGH // 2 * SAMPLES :].astype(np.float64)
            assert loudness(theirs, OTHER_PITCH, RATE) > 1500 and loudness(theirs, PITCH, RATE) < 60
            assert loudness(other.sound()[-ENOUGH // 2 * SAMPLES :], PITCH, RATE) > 1500
            await connection.close()
            await tick(lambda: bool(told_failures(told)))
            assert told_failures(told) == [
                protocol.LegFailed(LEG, "the peer has ended its DTLS association", by_peer=True)]
    finally:
        await connection.close()
        rig.close()


def told_failures(told: list[protocol.Event]) -> list[protocol.Event]:
    return [event for event in told if isinstance(event, protocol.LegFailed)]
