"""aiortc's own RTCPeerConnection as a telephone: an independent WebRTC peer, with SIP over WebSocket written here from
RFC 3261 and RFC 7118 for one call at a time. It knows no telephone-event: it dials the code with the number.
"""

import asyncio
import contextlib
import fractions
import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import Self

import aiohttp
import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame, AudioResampler

from tests.clients.tones import voice

RATE = 48000
FRAME = RATE // 50
OK, UNAUTHORIZED = 200, 401


class Voice(MediaStreamTrack):
    """A tone in real time."""

    kind = "audio"

    def __init__(self, frequency: float) -> None:
        super().__init__()
        self._samples = (voice(frequency, 60.0, RATE) * 32767).astype("<i2")
        self._at = 0
        self._begun: float | None = None

    async def recv(self) -> AudioFrame:
        """The next 20 ms, when they are due."""
        now = asyncio.get_running_loop().time()
        self._begun = now if self._begun is None else self._begun
        await asyncio.sleep(max(0.0, self._begun + self._at / RATE - now))
        frame = AudioFrame(format="s16", layout="mono", samples=FRAME)
        start = self._at % len(self._samples)
        frame.planes[0].update(self._samples[start: start + FRAME].tobytes())
        frame.pts, frame.sample_rate, frame.time_base = self._at, RATE, fractions.Fraction(1, RATE)
        self._at += FRAME
        return frame


@dataclass(frozen=True)
class Answer:
    """A SIP response."""

    status: int
    headers: dict[str, str]
    body: str


def _parsed(text: str) -> Answer | None:
    head, _, body = text.partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    if not first.startswith("SIP/2.0 "):
        return None
    return Answer(int(first.split()[1]), {name.strip().lower(): value.strip() for name, _, value in
                                          (line.partition(":") for line in lines)}, body)


class AiortcPhone:
    """One peer connection and one WebSocket."""

    def __init__(self, url: str, domain: str, extension: str, password: str, tone_hz: float, codec: str) -> None:
        self._url, self._domain, self._extension, self._password = url, domain, extension, password
        self.tone_hz, self.codec = tone_hz, codec
        self._pieces: list[np.ndarray] = []
        self._call_id, self._tag, self._cseq = secrets.token_hex(8), secrets.token_hex(4), 0
        self._ear: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession()
        self._socket = await self._http.ws_connect(self._url, protocols=("sip",))
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._ear is not None:
            self._ear.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._ear
        await self.peer.close()
        await self._socket.close()
        await self._http.close()

    def _request(self, method: str, target: str, to: str, cseq: int, extra: str = "", body: str = "") -> str:
        content = "Content-Type: application/sdp\r\n" if body else ""
        branch = f"z9hG4bK{secrets.token_hex(8)}"
        return (f"{method} {target} SIP/2.0\r\nVia: SIP/2.0/WS {self._tag}.invalid;branch={branch}\r\n"
                f"Max-Forwards: 70\r\nFrom: <sip:{self._extension}@{self._domain}>;tag={self._tag}\r\nTo: {to}\r\n"
                f"Call-ID: {self._call_id}\r\nCSeq: {cseq} {method}\r\n"
                f"Contact: <sip:{self._extension}@{self._tag}.invalid;transport=ws>\r\n{extra}{content}"
                f"Content-Length: {len(body.encode())}\r\n\r\n{body}")

    async def _final(self, cseq: int) -> Answer:
        while True:
            message = await self._socket.receive()
            assert message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY), message
            text = message.data if isinstance(message.data, str) else message.data.decode()
            answer = _parsed(text)
            if answer is not None and answer.status >= OK and answer.headers["cseq"].split()[0] == str(cseq):
                return answer

    def _credentials(self, challenge: str, method: str, target: str) -> str:
        realm, nonce = (re.search(rf'{name}="([^"]*)"', challenge)[1] for name in ("realm", "nonce"))
        once = secrets.token_hex(8)

        def digest(*parts: str) -> str:
            return hashlib.md5(":".join(parts).encode()).hexdigest()

        proof = digest(digest(self._extension, realm, self._password), nonce, "00000001", once, "auth",
                       digest(method, target))
        return (f'Authorization: Digest username="{self._extension}", realm="{realm}", nonce="{nonce}", '
                f'uri="{target}", response="{proof}", algorithm=MD5, cnonce="{once}", qop=auth, nc=00000001\r\n')

    async def dial(self, number: str) -> Answer:
        """Offer this phone's codec, be answered, acknowledge; the answer."""
        transceiver = self.peer.addTransceiver(Voice(self.tone_hz))
        transceiver.setCodecPreferences([codec for codec in RTCRtpSender.getCapabilities("audio").codecs
                                         if codec.mimeType == f"audio/{self.codec}"])
        self.peer.on("track", self._listen)
        await self.peer.setLocalDescription(await self.peer.createOffer())
        target, offer = f"sip:{number}@{self._domain}", self.peer.localDescription.sdp
        to, extra = f"<{target}>", ""
        while True:
            self._cseq += 1
            await self._socket.send_str(self._request("INVITE", target, to, self._cseq, extra, offer))
            answer = await self._final(self._cseq)
            contact = re.search(r"<([^>]+)>", answer.headers.get("contact", ""))
            self._remote = contact[1] if contact else target
            self._to = answer.headers["to"]
            await self._socket.send_str(self._request("ACK", self._remote, self._to, self._cseq))
            if answer.status != UNAUTHORIZED or extra:
                break
            extra = self._credentials(answer.headers["www-authenticate"], "INVITE", target)
        assert answer.status == OK, answer
        await self.peer.setRemoteDescription(RTCSessionDescription(answer.body, "answer"))
        return answer

    async def hang_up(self) -> Answer:
        """BYE; its answer."""
        self._cseq += 1
        await self._socket.send_str(self._request("BYE", self._remote, self._to, self._cseq))
        return await self._final(self._cseq)

    def _listen(self, track: MediaStreamTrack) -> None:
        async def take() -> None:
            resampler = AudioResampler(format="s16", layout="mono", rate=RATE)
            with contextlib.suppress(MediaStreamError):  # the end of the call
                while True:
                    for frame in resampler.resample(await track.recv()):
                        self._pieces.append(frame.to_ndarray()[0] / 32768)

        self._ear = asyncio.create_task(take())

    def heard(self) -> np.ndarray:
        """Everything until now: float samples, full scale 1.0, 48 kHz."""
        return np.concatenate([np.zeros(0), *self._pieces])
