"""The HTTP server: builds the application, binds and unbinds it. /healthz and /metrics are here, /api in `api`, the
join page in `join`, SIP over WebSocket in `sip_websocket`."""

import asyncio
import errno
import ssl
from collections.abc import Sequence

from aiohttp import web

from sipconf.config_values import host_and_port
from sipconf.errors import StartError
from sipconf.metrics import CONTENT_TYPE as METRICS_TYPE
from sipconf.web import api, join
from sipconf.web.api import OPERATIONS, Operations
from sipconf.web.door import DOOR, Door, administrators_only
from sipconf.web.problems import Handler, problems
from sipconf.web.sip_websocket import CARRIERS, Carriers, sip_websocket
from sipconf.web.visitors import Visitors

Listener = tuple[str, ssl.SSLContext | None]
"""host:port, and the TLS context to serve it with, None for plain HTTP."""
HANDSHAKE_SECONDS = 5.0  # for TLS
SHUTDOWN_SECONDS = 0.5  # for requests under way when the server ends
_WHY = {
    errno.EADDRINUSE: "address already in use; stop the other program or choose another port",
    errno.EACCES: "permission denied; choose a port of 1024 or more or grant the right to bind it",
    errno.EADDRNOTAVAIL: "this machine has no such address",
}


def build_app(
    operations: Operations, door: Door | None = None, carriers: Carriers | None = None, visitors: Visitors | None = None
) -> web.Application:
    """The whole web side as an aiohttp application. carriers: of SIP over WebSocket, None where nobody speaks it;
    without visitors it has no join page."""
    sip = () if carriers is None else (sip_websocket,)
    middlewares = [_counted, problems, *sip, administrators_only]
    app = web.Application(middlewares=middlewares, client_max_size=api.MAX_BODY_BYTES)
    app[OPERATIONS] = operations
    app[DOOR] = door or Door()
    app[CARRIERS] = carriers or {}
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/metrics", metrics)
    api.add_routes(app)
    if visitors is not None:
        app[join.VISITORS] = visitors
        join.add_routes(app)
    app.on_response_prepare.append(_name_server)
    app.on_shutdown.append(_end_streams)
    return app


class _Site(web.BaseSite):
    """One address. aiohttp's own site leaves a peer a minute for its TLS handshake."""

    def __init__(self, runner: web.AppRunner, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        super().__init__(runner, ssl_context=tls)
        self._address = (host, port)

    @property
    def name(self) -> str:
        return "{}://{}:{}".format("http" if self._ssl_context is None else "https", *self._address)

    async def start(self) -> None:
        await super().start()
        limits = {} if self._ssl_context is None else {"ssl_handshake_timeout": HANDSHAKE_SECONDS}
        self._server = await asyncio.get_running_loop().create_server(
            self._runner.server, *self._address, ssl=self._ssl_context, reuse_address=True, **limits)


class WebServer:
    """The application on its addresses."""

    def __init__(self, app: web.Application, listen: Sequence[Listener]) -> None:
        self._listen = listen
        self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=SHUTDOWN_SECONDS, keepalive_timeout=75
        )

    async def start(self) -> None:
        """Bind every address. StartError where one is taken or not ours; then none stays bound."""
        await self._runner.setup()
        for address, tls in self._listen:
            host, port = host_and_port(address, default_port=None)
            try:
                await _Site(self._runner, host, port, tls).start()
            except OSError as error:
                await self._runner.cleanup()
                why = _WHY.get(error.errno or 0) or error.strerror or str(error)
                raise StartError(f"cannot listen on http://{address}: {why}; see [http] in the file") from error

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where it listens: host and port as bound."""
        return [(address[0], address[1]) for address in self._runner.addresses]

    async def stop(self) -> None:
        """Unbind, end event streams and let requests under way finish shortly."""
        await self._runner.cleanup()


async def healthz(request: web.Request) -> web.Response:
    """200 once every listener is bound, and while the media worker lives; needs no password."""
    if request.app[OPERATIONS].healthy():
        return web.json_response({"status": "ok"})
    return web.json_response({"status": "not ready"}, status=503)


async def metrics(request: web.Request) -> web.Response:
    """Counters and gauges for Prometheus; no names, numbers or secrets are among them."""
    return web.Response(body=request.app[OPERATIONS].metrics_page(), headers={"Content-Type": METRICS_TYPE})


async def _name_server(request: web.Request, response: web.StreamResponse) -> None:
    """aiohttp would tell everybody its version, and Python's."""
    response.headers["Server"] = "sipconf"


async def _end_streams(app: web.Application) -> None:
    app[OPERATIONS].events.close()


@web.middleware
async def _counted(request: web.Request, handler: Handler) -> web.StreamResponse:
    response = await handler(request)
    request.app[OPERATIONS].count_http(response.status)
    return response
