"""`sipconf call`: a telephone without a screen. Places one call, prints each response, ends with a summary.

The same user agent as the server's (sip/), with a handset in place of the media worker.
"""

import asyncio
import os
import random
import signal
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sipconf.clock import SYSTEM_CLOCK
from sipconf.errors import PeerError, SipconfError
from sipconf.line import Line, Stage
from sipconf.media.handset import Handset
from sipconf.mixer.edge.wavfile import read_wav, write_wav
from sipconf.mixer.resample import convert
from sipconf.rtp.edge.ports import Ports
from sipconf.rtp.streams import Streams
from sipconf.rtp.telephone_event import DIGITS
from sipconf.sip import events as sip
from sipconf.sip.agent import UserAgent
from sipconf.sip.challenged import Credentials
from sipconf.sip.digest import Authenticator
from sipconf.sip.edge.addresses import Addresses
from sipconf.sip.edge.endpoint import Endpoint
from sipconf.sip.edge.resolver import Resolver
from sipconf.sip.flow import Flow
from sipconf.sip.offer import Capabilities, Format, LocalMedia, OfferError
from sipconf.sip.registrar import NoBindings, Registrar, RegistrarSettings
from sipconf.sip.settings import AgentSettings
from sipconf.sip.trunk import Trunks, normal_address
from sipconf.sip.uri import SipUri

FRAME = 0.02
FIRST_PORT, LAST_PORT = 30000, 39999
FAREWELL = 1.0
KEYS = frozenset(DIGITS + ",")
TRANSPORTS = ("udp", "tcp", "tls")
DEFAULT_PORTS = {"udp": 5060, "tcp": 5060, "tls": 5061}
CAPABILITIES = Capabilities(formats=(Format("PCMU", 8000, 0), Format("PCMA", 8000, 8)))


class WishError(SipconfError):
    """The command line asks for what cannot be had; said before anybody is called."""


@dataclass(slots=True)
class Wishes:
    """What the command line asked for."""

    uri: str
    user: str | None
    password: str | None
    dtmf: str | None
    play: Path | None
    record: Path | None
    duration: float | None


class Audible:
    """A user agent whose every received response is shown as it comes."""

    def __init__(self, agent: UserAgent) -> None:
        self._agent = agent
        self.flow_failed = agent.flow_failed
        self.handle_timer = agent.handle_timer
        self.next_timer = agent.next_timer
        self.take_outputs = agent.take_outputs

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        """Show a response's status, then let the agent have it."""
        if data.startswith(b"SIP/2.0 "):
            print(data.split(b"\r\n", 1)[0][8:].decode(errors="replace"))
        self._agent.receive(data, flow, now)


def target_of(text: str) -> tuple[SipUri, str]:
    """Whom to call and by which transport. Raises SipconfError for an address that nothing can be sent to."""
    right = f"{text}: write it like sip:2001@conf.example.com or sip:2001@conf.example.com;transport=tcp"
    try:
        target = SipUri.parse(text if ":" in text.partition("@")[0] else f"sip:{text}")
    except PeerError as error:
        raise WishError(right) from error
    transport = (target.param("transport") or "udp").lower()
    if target.scheme == "sips":
        transport = "tls"
    if not target.is_sip or not target.user or transport not in TRANSPORTS:
        raise WishError(right)
    return target, transport


def keys_of(text: str | None) -> str:
    """The keys to press. Raises WishError for one that no telephone has, without repeating them: they may be secret."""
    keys = (text or "").upper()
    if set(keys) - KEYS:
        raise WishError("--dtmf: the keys are 0 to 9, * and #, and a comma for a second's pause")
    return keys


def check_record(path: Path | None) -> None:
    """Before the call, not after it: can the recording be written? Raises WishError."""
    if path is not None and (path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK)):
        raise WishError(f"{path}: cannot be written; name a file in a folder that is there and yours")


class Softphone:
    """One call, from INVITE to BYE."""

    def __init__(self, wishes: Wishes) -> None:
        """Raises SipconfError where a wish cannot be granted."""
        self._wishes = wishes
        self._target, self._transport = target_of(wishes.uri)
        self._keys = keys_of(wishes.dtmf)
        check_record(wishes.record)
        self._rng = random.SystemRandom()
        self._now = SYSTEM_CLOCK.monotonic
        self._over = asyncio.Event()
        self._said = read_wav(wishes.play) if wishes.play is not None else None
        self.answered = False
        self.outcome = "no answer"

    async def run(self) -> int:
        """Call; returns the exit status: 0 where somebody answered."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._end, "interrupted")
        found = await Resolver().resolve(self._target.host, self._target.port or DEFAULT_PORTS[self._transport])
        if not found:
            raise SipconfError(f"{self._target.host} has no address that can be found")
        remote = found[0]
        addresses = Addresses()
        anywhere = "::" if ":" in remote[0] else "0.0.0.0"
        own_host = addresses.host_for(Flow(self._transport, remote, (anywhere, 0)))
        streams = Streams(1)
        self._handset = Handset(streams, Ports(FIRST_PORT, LAST_PORT, self._rng, streams), anywhere, self._rng)
        agent = UserAgent(
            AgentSettings(own_host, "sipconf", lambda flow: (own_host, flow.local[1])),
            Authenticator(own_host, lambda user, source: None, ("MD5",), self._rng), Trunks(),
            Registrar(NoBindings(), RegistrarSettings(), self._rng), self._rng)
        listen = f"udp://[{anywhere}]:0" if ":" in anywhere else f"udp://{anywhere}:0"
        endpoint = Endpoint(Audible(agent), [listen], self._hear, SYSTEM_CLOCK)
        await endpoint.start()
        here = (own_host, endpoint.addresses[0][1][1])
        session = self._dial(agent, Flow(self._transport, remote, here, server_name=self._server_name()), own_host)
        endpoint.pump(self._now())
        talking = asyncio.create_task(self._talk())
        over = asyncio.create_task(self._over.wait())
        try:
            await asyncio.wait((talking, over), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (talking, over):
                task.cancel()
            agent.hang_up(session, self._now())
            endpoint.pump(self._now())
            deadline = self._now() + FAREWELL
            while agent.calls and self._now() < deadline:
                await asyncio.sleep(FRAME)
            await endpoint.stop()
            self._finish()
        if talking.done() and not talking.cancelled():
            talking.result()  # it ends by itself only by a fault of ours
        return 0 if self.answered else 1

    def _server_name(self) -> str | None:
        """Over TLS: who the server must prove to be; a bare address proves itself."""
        host = self._target.host
        return host if self._transport == "tls" and normal_address(host) is None else None

    def _dial(self, agent: UserAgent, flow: Flow, own_host: str) -> str:
        """Send the INVITE; the session's name."""
        wishes = self._wishes
        self._line = Line("call", 0, Stage.CALLING, {}, flow=flow)
        port = self._handset.port
        self._line.local = LocalMedia(own_host, port, port + 1, self._rng.getrandbits(62), 1)
        caller = SipUri("sip", wishes.user or "anonymous", None, self._target.host, None, (), "")
        credentials = Credentials(wishes.user, wishes.password or "") if wishes.user else None
        offer = self._line.describe_offer(CAPABILITIES, self._rng).text
        return agent.invite(target=self._target, flow=flow, from_uri=caller, from_name=wishes.user or "", offer=offer,
                            now=self._now(), credentials=credentials)

    def _hear(self, events: list[sip.CallEvent], now: float) -> None:
        for event in events:
            match event:
                case sip.CallAnswered(answer=answer):
                    self._begin(answer, now)
                case sip.CallFailed(status=status, reason=reason):
                    self._end(f"refused: {status} {reason}")
                case sip.CallEnded(reason=reason, by_peer=by_peer):
                    why = f" ({reason})" if reason not in ("", "hung up") else ""
                    self._end(f"{'they' if by_peer else 'we'} hung up{why}")

    def _begin(self, answer: bytes | None, now: float) -> None:
        try:
            if answer is None:
                raise OfferError("the answer has no media")
            self._line.take_answer(answer, CAPABILITIES)
        except OfferError as error:
            self._end(f"no media: {error.reason}")
            return
        # A handset keys digits, under the type of the answer; a leg hears them, under the type of our offer.
        agreed = replace(self._line.connection(), telephone_event=self._line.negotiated.telephone_event)
        self._handset.connect(agreed, now)
        self.answered = True
        self._began = now
        if self._said is not None:
            rate, samples = self._said
            self._handset.say(convert(samples, rate, self._handset.format.clock_rate))
        if self._keys and agreed.telephone_event is None:
            print("the other side takes no keys (no telephone-event in its answer)")
        self._handset.press(self._keys)

    async def _talk(self) -> None:
        due = self._now()
        while True:
            due += FRAME
            await asyncio.sleep(max(0.0, due - self._now()))
            if not self._handset.connected:
                due = self._now()
                continue
            self._handset.tick(self._now())
            if self._wishes.duration is not None and self._now() - self._began >= self._wishes.duration:
                self._end("the time was up")

    def _end(self, outcome: str) -> None:
        if not self._over.is_set():
            self.outcome = outcome
            self._over.set()

    def _finish(self) -> None:
        heard = self._handset.heard
        if self._wishes.record is not None and heard:
            write_wav(self._wishes.record, np.concatenate(heard), self._handset.format.clock_rate)
        media = "no media"
        if self._handset.connected:
            counters = self._handset.counters()
            media = (f"{self._line.codec}, {len(heard) * FRAME:.1f} s, {counters['received']:.0f} packets received, "
                     f"{counters['lost']:.0f} lost, jitter {counters['jitter_ms']:.1f} ms")
        print(f"{self.outcome}; {media}")
        self._handset.close()


def main(uri: str, *, user: str | None, password: str | None, dtmf: str | None, play: Path | None,
         record: Path | None, duration: float | None) -> int:
    """Place the call that the command line asks for; the exit status."""
    wishes = Wishes(uri, user, password, dtmf, play, record, duration)
    try:
        return asyncio.run(Softphone(wishes).run())
    except KeyboardInterrupt:
        return 130
    except SipconfError as error:
        print(error, file=sys.stderr)
        return 1
