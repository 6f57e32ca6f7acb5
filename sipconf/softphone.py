"""`sipconf call`: a telephone without a screen. Places one call, prints each response, ends with a summary.

The same user agent as the server's (sip/), with a handset in place of the media worker.
"""

import asyncio
import random
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sipconf.clock import SYSTEM_CLOCK
from sipconf.errors import SipconfError
from sipconf.line import Line, Stage
from sipconf.media.handset import Handset
from sipconf.mixer.edge.wavfile import read_wav, write_wav
from sipconf.mixer.resample import convert
from sipconf.rtp.edge.ports import Ports
from sipconf.rtp.streams import Streams
from sipconf.sip import events as sip
from sipconf.sip.agent import UserAgent
from sipconf.sip.challenged import Credentials
from sipconf.sip.digest import Authenticator
from sipconf.sip.edge.addresses import Addresses
from sipconf.sip.edge.endpoint import Endpoint
from sipconf.sip.edge.resolver import resolve
from sipconf.sip.flow import Flow
from sipconf.sip.offer import Capabilities, Format, LocalMedia, OfferError
from sipconf.sip.registrar import NoBindings, Registrar, RegistrarSettings
from sipconf.sip.settings import AgentSettings
from sipconf.sip.trunk import Trunks
from sipconf.sip.uri import SipUri

FRAME = 0.02
FIRST_PORT, LAST_PORT = 30000, 39999
FAREWELL = 1.0
CAPABILITIES = Capabilities(formats=(Format("PCMU", 8000, 0), Format("PCMA", 8000, 8)))


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


class Softphone:
    """One call, from INVITE to BYE."""

    def __init__(self, wishes: Wishes) -> None:
        self._wishes = wishes
        self._rng = random.SystemRandom()
        self._now = SYSTEM_CLOCK.monotonic
        self._over = asyncio.Event()
        self._said = read_wav(wishes.play) if wishes.play is not None else None
        self.answered = False
        self.outcome = "no answer"

    async def run(self) -> int:
        """Call; returns the exit status: 0 where somebody answered."""
        target = SipUri.parse(self._wishes.uri if ":" in self._wishes.uri else f"sip:{self._wishes.uri}")
        transport = (target.param("transport") or "udp").lower()
        found = await resolve(target.host, target.port or 5060)
        if not found:
            raise SipconfError(f"{target.host} has no address that can be found")
        remote = found[0]
        addresses = Addresses()
        family = "[::]" if ":" in remote[0] else "0.0.0.0"
        unknown = Flow(transport, remote, ("::" if ":" in remote[0] else "0.0.0.0", 0))
        own_host = addresses.host_for(unknown)
        streams = Streams(1)
        ports = Ports(FIRST_PORT, LAST_PORT, self._rng, streams)
        self._handset = Handset(streams, ports, unknown.local[0], self._rng)
        agent = UserAgent(
            AgentSettings(own_host, "sipconf", lambda flow: (own_host, flow.local[1])),
            Authenticator(own_host, lambda user, source: None, ("MD5",), self._rng), Trunks(),
            Registrar(NoBindings(), RegistrarSettings(), self._rng), self._rng)
        endpoint = Endpoint(Audible(agent), [f"udp://{family}:0"], self._hear, SYSTEM_CLOCK)
        await endpoint.start()
        flow = Flow(transport, remote, (own_host, endpoint.addresses[0][1][1]))
        self._line = Line("call", 0, Stage.CALLING, {}, flow=flow)
        port = self._handset.port
        self._line.local = LocalMedia(own_host, port, port + 1, self._rng.getrandbits(62), 1)
        caller = SipUri("sip", self._wishes.user or "anonymous", None, target.host, None, (), "")
        credentials = (Credentials(self._wishes.user, self._wishes.password or "") if self._wishes.user else None)
        session = agent.invite(target=target, flow=flow, from_uri=caller, from_name=self._wishes.user or "",
                               offer=self._line.describe_offer(CAPABILITIES), now=self._now(), credentials=credentials)
        endpoint.pump(self._now())
        talking = asyncio.create_task(self._talk())
        try:
            await self._over.wait()
        except asyncio.CancelledError:
            self.outcome = "interrupted"
        finally:
            talking.cancel()
            agent.hang_up(session, self._now())
            endpoint.pump(self._now())
            deadline = self._now() + FAREWELL
            while agent.calls and self._now() < deadline:
                await asyncio.sleep(FRAME)
            await endpoint.stop()
            self._finish()
        return 0 if self.answered else 1

    def _hear(self, events: list[sip.CallEvent], now: float) -> None:
        for event in events:
            match event:
                case sip.CallAnswered(answer=answer):
                    self._begin(answer, now)
                case sip.CallFailed(status=status, reason=reason):
                    self._end(f"refused: {status} {reason}")
                case sip.CallEnded(reason=reason, by_peer=by_peer):
                    self._end(f"{'they' if by_peer else 'we'} hung up{f' ({reason})' if reason else ''}")

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
        if self._wishes.dtmf:
            self._handset.press(self._wishes.dtmf)

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
        counters = self._handset.counters()
        print(f"{self.outcome}; {self._line.codec or 'no media'}, {len(heard) * FRAME:.1f} s, "
              f"{counters['received']:.0f} packets received, {counters['lost']:.0f} lost, "
              f"jitter {counters['jitter_ms']:.1f} ms")
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
        print(error)
        return 1
