"""An HTTP server that takes SIP over WebSocket for an endpoint: above a tiny agent that echoes, or the real one."""

import contextlib
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from sipconf.listeners import websocket_carriers
from sipconf.sip import events
from sipconf.sip.agent import UserAgent
from sipconf.sip.digest import Authenticator
from sipconf.sip.edge.connection import StreamLimits
from sipconf.sip.edge.endpoint import Endpoint
from sipconf.sip.flow import Flow
from sipconf.sip.registrar import NoBindings, Registrar, RegistrarSettings
from sipconf.sip.settings import AgentSettings
from sipconf.sip.trunk import Trunks
from sipconf.web.app import Listener, WebServer, build_app
from tests.sip.edge.endpoint_house import Echo
from tests.web.web_house import House as Web

DOMAIN = "example.test"
PASSWORDS = {"101": "secret-101", "102": "secret-102"}
SDP = b"v=0\r\no=- 9 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 10000 RTP/AVP 0\r\n"


class WebSocketHouse:
    """limits: of the connections; settings: further lines of the section [http]."""

    def __init__(self, folder: Path, agent: Any, registrar: Registrar | None, limits: StreamLimits | None,
                 settings: str, listen: list[Listener], in_use: Callable[[Flow], bool] | None) -> None:
        self.agent = agent
        self.registrar = registrar
        self.events: list[Any] = []
        self.web = Web(folder)
        if settings:
            self.web.file.write_text(self.web.file.read_text().replace("[http]", f"[http]\n{settings}"))
            self.web.reloader.apply()
        self.endpoint = Endpoint(agent, (), self._hear, limits=limits, in_use=in_use)
        self.carriers = websocket_carriers(self.endpoint)
        self.server = WebServer(build_app(self.web, carriers=self.carriers), listen)

    @property
    def port(self) -> int:
        return self.server.addresses[0][1]

    def counted(self) -> list[str]:
        """Metrics that peers' mistakes were counted by."""
        return [event.metric for event in self.events if isinstance(event, events.Counted)]

    def _hear(self, heard: list[Any], now: float) -> None:
        self.events += heard
        for event in heard:
            if isinstance(self.agent, Echo):
                self.agent.changed.set()
            elif isinstance(event, events.IncomingCall):
                self.agent.ring(event.session, now)
                self.agent.answer(event.session, SDP, now)
            elif isinstance(event, events.Reoffered):
                self.agent.answer_reoffer(event.session, SDP, now)
        self.endpoint.pump(now)


@contextlib.asynccontextmanager
async def _running(house: WebSocketHouse) -> AsyncIterator[WebSocketHouse]:
    await house.endpoint.start()
    await house.server.start()
    try:
        yield house
    finally:
        await house.endpoint.stop()
        await house.server.stop()


def echoing(folder: Path, *, limits: StreamLimits | None = None, settings: str = "",
            listen: tuple[Listener, ...] = (("127.0.0.1:0", None),), in_use: Callable[[Flow], bool] | None = None,
            ) -> contextlib.AbstractAsyncContextManager[WebSocketHouse]:
    """Every message comes back as it is."""
    return _running(WebSocketHouse(folder, Echo(), None, limits, settings, list(listen), in_use))


def speaking(folder: Path, *, limits: StreamLimits | None = None, settings: str = "",
             ) -> contextlib.AbstractAsyncContextManager[WebSocketHouse]:
    """The real user agent, which registers people and answers calls."""
    rng = random.Random(1)
    registrar = Registrar(NoBindings(), RegistrarSettings(), rng)
    authenticator = Authenticator(DOMAIN, lambda user, source: PASSWORDS.get(user), ("MD5",), rng)
    agent = UserAgent(AgentSettings(DOMAIN, "sipconf", lambda flow: ("192.0.2.1", flow.local[1])), authenticator,
                      Trunks([]), registrar, rng)
    return _running(WebSocketHouse(folder, agent, registrar, limits, settings, [("127.0.0.1:0", None)],
                                   registrar.uses))
