"""The way that a REGISTER came and calls go back by: Path (RFC 3327) and the client's own flow (outbound, RFC 5626).

The bindings themselves are the registrar's.
"""

from sipconf.errors import PeerError
from sipconf.sip.flow import Flow
from sipconf.sip.message import Request
from sipconf.sip.options import OUTBOUND, PATH, speaks
from sipconf.sip.tokens import MAX_ROUTES, MalformedMessage
from sipconf.sip.uri import NameAddr
from sipconf.sip.wire import ExtraHeaders


def path_of(request: Request) -> tuple[str, ...]:
    """The Route values of calls to the registered contacts, nearest proxy first. Raises MalformedMessage."""
    values = request.headers.get_all("Path")
    if len(values) > MAX_ROUTES:
        raise MalformedMessage("too many Path")
    return tuple(str(_proxy(value)) for value in values)


def _proxy(value: str) -> NameAddr:
    proxy = NameAddr.parse(value)
    if not proxy.uri.is_sip:
        raise MalformedMessage("a Path has to be a sip address")
    return proxy


def wants_outbound(request: Request, flow: Flow) -> bool:
    """Does the client register its flow: one contact, its instance and the flow's number? Raises PeerError: 400 for
    several such contacts, 439 behind a proxy that does not keep flows (RFC 5626 section 6).

    Connections only: over UDP the client would expect answers to STUN on this port (section 8), which gives none."""
    flows = [contact for contact in request.contacts if contact.param("reg-id") and contact.param("+sip.instance")]
    if not flows or not flow.reliable or not speaks(request, OUTBOUND):
        return False
    if len(request.contacts) > 1:
        raise PeerError("One contact with a reg-id stands alone", metric="register_malformed")
    if len(request.vias) > 1:
        path = request.headers.get_all("Path")
        if not path or not NameAddr.parse(path[-1]).uri.has_param("ob"):
            raise PeerError("First Hop Lacks Outbound Support", status=439, metric="register_no_outbound")
    return True


def path_headers(request: Request, flow: Flow) -> ExtraHeaders:
    """What the 200 says of it all: the Path to who understands it (RFC 3327 section 5.3), and that the flow is kept."""
    echoed = [("Path", value) for value in request.headers.get_fields("Path")] if speaks(request, PATH) else []
    return (*echoed, ("Require", OUTBOUND)) if wants_outbound(request, flow) else tuple(echoed)
