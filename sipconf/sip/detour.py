"""When a message has to take another way than its flow: large requests by TCP (RFC 3261 section 18.1.1), responses by a
new connection where the request's is lost (section 18.2.2). Decides only where; transactions send.
"""

from dataclasses import dataclass, replace

from sipconf.sip.flow import Address, Flow
from sipconf.sip.message import Request
from sipconf.sip.return_path import DEFAULT_PORT, with_top_via
from sipconf.sip.trunk import normal_address

LARGEST_DATAGRAM = 1300     # octets of a request, where the path's MTU is unknown
PATIENCE = 1.0              # seconds until a peer that says nothing over TCP is sent a datagram too
REFUSAL_REMEMBERED = 600.0
MAX_REFUSALS = 1024


@dataclass(frozen=True, slots=True)
class Datagram:
    """A request that went by TCP, as it goes by UDP should TCP lead nowhere. due: when that counts as certain."""

    request: Request
    flow: Flow
    due: float


class LargeRequests:
    """Who took no TCP lately. The same branch goes by both ways, so that a peer whom both reach takes it for one."""

    def __init__(self) -> None:
        self._refused: dict[Address, float] = {}

    def by_tcp(self, request: Request, flow: Flow, now: float) -> tuple[Request, Flow] | None:
        """The request and its flow over TCP, where it is too large for a datagram and TCP may reach its target."""
        if flow.transport != "udp" or len(request.encode()) <= LARGEST_DATAGRAM:
            return None
        if not _is_at(request, flow.remote) or now < self._refused.get(flow.remote, now):
            return None
        via = replace(request.via, transport="TCP")
        return with_top_via(request, str(via)), Flow("tcp", flow.remote, flow.local)

    def refused(self, peer: Address, now: float) -> None:
        """This peer is not tried again for a while."""
        if len(self._refused) >= MAX_REFUSALS:
            self._refused.clear()
        self._refused[peer] = now + REFUSAL_REMEMBERED


def _is_at(request: Request, remote: Address) -> bool:
    """Does the target itself receive there? Where it does not, a NAT stands between, and TCP leads nobody in."""
    uri = request.uri
    host = normal_address(uri.host)
    return host is not None and (host, uri.port or DEFAULT_PORT) == (normal_address(remote[0]), remote[1])


def response_again(request: Request, flow: Flow) -> Flow | None:
    """The flow for the responses to a request whose connection is lost: a new one to where its sender listens. None
    where there is none to open: over TLS it would have to prove a name that nobody told us."""
    if flow.transport != "tcp" or flow.connection is None:
        return None
    return Flow("tcp", (flow.remote[0], request.via.port or DEFAULT_PORT), flow.local)
