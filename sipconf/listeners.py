"""What the file says about listening: the certificate, the HTTP addresses, the limits of connections and of visitors.
Opens nothing."""

from sipconf.certificate import CertificateError, CertificateKeeper
from sipconf.config import Config
from sipconf.errors import StartError
from sipconf.sip.edge.connection import StreamLimits
from sipconf.sip.edge.endpoint import Endpoint
from sipconf.sip.edge.websocket import WebSocketCarrier
from sipconf.web.app import Listener
from sipconf.web.visitors import VisitorLimits

VISITORS_PER_CENT = 80
"""Of [limits] max_calls. The rest is for telephones: anybody may open a call from the join page, and hold it."""


def listens_with_tls(config: Config) -> bool:
    """Does anything here need the certificate?"""
    return config.http.tls_listen is not None or any(url.startswith("tls://") for url in config.sip.listen)


def keeper_of(config: Config) -> CertificateKeeper | None:
    """The certificate in use, where something listens with it. Raises StartError for one that is none."""
    if config.tls is None or not listens_with_tls(config):
        return None
    try:
        return CertificateKeeper(config.tls.certificate, config.tls.key)
    except CertificateError as error:
        raise StartError(f"[tls] {error}") from error


def web_listeners(config: Config, certificate: CertificateKeeper | None) -> list[Listener]:
    """The addresses of the HTTP server with their TLS contexts."""
    listeners: list[Listener] = [(config.http.listen, None)]
    if config.http.tls_listen is not None and certificate is not None:
        listeners.append((config.http.tls_listen, certificate.door()))
    return listeners


def stream_limits(config: Config) -> StreamLimits:
    """What the file says about connections."""
    return StreamLimits(connections=config.limits.max_connections, per_source=config.limits.max_connections_per_source)


def visitor_limits(config: Config) -> VisitorLimits:
    """As many visitors at once as leave the users their lines."""
    return VisitorLimits(all_calls=config.limits.max_calls * VISITORS_PER_CENT // 100)


def websocket_carriers(endpoint: Endpoint) -> dict[str, WebSocketCarrier]:
    """SIP over WebSocket for this endpoint: whoever carries the connections that the HTTP server takes."""
    carriers = {name: WebSocketCarrier(name, endpoint.floor) for name in ("ws", "wss")}
    for name, carrier in carriers.items():
        endpoint.add_carrier(name, carrier)
    return carriers
