"""Where the answer to a request goes: received and rport (RFC 3261 section 18.2, RFC 3581); how we write addresses."""

from sipconf.sip.flow import Flow
from sipconf.sip.message import Request
from sipconf.sip.trunk import normal_address
from sipconf.sip.uri import SipUri

DEFAULT_PORT = 5060


def stamp(request: Request, flow: Flow) -> tuple[Request, Flow]:
    """The request with what we saw written into its topmost Via, and the flow that answers go by.

    Without rport the answer goes to the port in the Via, unless the Via's host is not the packet's source: then a
    NAT is between us and only the source port leads through it. Over WebSocket there is no way but the connection, and
    the host in a browser's Via is never the packet's source (RFC 7118 section 5): it stays as it is.
    """
    via = request.via
    host, port = flow.remote[0], flow.remote[1]
    same_host = (normal_address(via.host) or via.host.lower()) == (normal_address(host) or host.lower())
    rport_asked = via.rport is not None
    if rport_asked:
        request = with_top_via(request, str(via.with_param("received", host).with_param("rport", str(port))))
    elif not same_host and not flow.by_websocket:
        request = with_top_via(request, str(via.with_param("received", host)))
    if flow.reliable or rport_asked or not same_host:
        return request, flow
    return request, Flow(flow.transport, (host, via.port or DEFAULT_PORT), flow.local, flow.connection)


def with_top_via(request: Request, value: str) -> Request:
    """The request with another topmost Via."""
    headers = request.headers.copy()
    others = headers.get_all("Via")[1:]
    headers.set("Via", value)
    for other in others:
        headers.add("Via", other)
    return Request(request.method, request.uri, headers, request.body)


def host_text(host: str) -> str:
    """A host as URIs and Vias write it: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


def address_uri(host: str, port: int, transport: str, *, sips: bool = False) -> SipUri:
    """Our contact: bare for UDP, because some telephones cannot read parameters behind it. sips: towards a peer that
    was called by or calls a sips URI (RFC 3261 sections 8.1.1.8 and 12.1.1), where TLS goes without saying."""
    secure = sips and transport in ("tls", "wss")
    scheme = "sips" if secure else "sip"
    named = {"udp": "", "wss": "ws"}.get(transport, "" if secure else transport)  # RFC 7118 section 5.2: "ws" for both
    return SipUri.parse(f"{scheme}:{host_text(host)}:{port}" + (f";transport={named}" if named else ""))
