"""A dialog: the lasting relation between us and one peer (RFC 3261 section 12), and the requests made inside it.

What a call does with it is session's; finding the dialog of a message is agent's.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sipconf.sip.flow import Flow
from sipconf.sip.headers import Headers
from sipconf.sip.message import Request, Response
from sipconf.sip.uri import NameAddr, SipUri

DialogKey = tuple[str, str, str]


@dataclass(slots=True)
class Dialog:
    """local, remote: From and To values as our requests write them, tags included. remote_seen: highest CSeq number
    heard. flow: the way the dialog came by, which our requests take (a NAT may stand in front of the Contact)."""

    call_id: str
    local_tag: str
    remote_tag: str
    local: str
    remote: str
    target: SipUri
    routes: tuple[str, ...]
    local_cseq: int
    remote_seen: int
    flow: Flow

    @classmethod
    def as_callee(cls, invite: Request, local_tag: str, flow: Flow, first_cseq: int) -> "Dialog":
        """From an INVITE that we answer (section 12.1.1). Raises MalformedMessage for unreadable Contact or routes."""
        contacts = invite.contacts
        return cls(
            call_id=invite.call_id,
            local_tag=local_tag,
            remote_tag=invite.from_.tag or "",
            local=str(invite.to if invite.to.tag else invite.to.with_param("tag", local_tag)),
            remote=str(invite.from_),
            target=_target(contacts, invite.from_.uri),
            routes=tuple(str(route) for route in invite.record_routes),
            local_cseq=first_cseq,
            remote_seen=invite.cseq.number,
            flow=flow,
        )

    @classmethod
    def as_caller(cls, invite: Request, response: Response, flow: Flow) -> "Dialog":
        """From a 2xx to our INVITE, or a 1xx with a tag (section 12.1.2): the route set is the Record-Route in
        reverse."""
        contacts = response.contacts
        return cls(
            call_id=invite.call_id,
            local_tag=invite.from_.tag or "",
            remote_tag=response.to.tag or "",
            local=str(invite.from_),
            remote=str(response.to),
            target=_target(contacts, invite.uri),
            routes=tuple(str(route) for route in reversed(response.record_routes)),
            local_cseq=invite.cseq.number,
            remote_seen=-1,
            flow=flow,
        )

    @property
    def key(self) -> DialogKey:
        """What requests of the peer are found by: Call-ID, our tag, their tag."""
        return (self.call_id, self.local_tag, self.remote_tag)

    def in_order(self, request: Request) -> bool:
        """Note a request's CSeq number; False for one older than what was heard (section 12.2.2)."""
        if request.cseq.number < self.remote_seen:
            return False
        self.remote_seen = request.cseq.number
        return True

    def refresh_target(self, message: Request | Response) -> None:
        """A re-INVITE or its 2xx may move the peer (section 12.2)."""
        self.target = _target(message.contacts, self.target)

    def move(self, flow: Flow) -> None:
        """The peer came back by another connection; its address is no reason to move a UDP dialog."""
        if flow.reliable and flow.transport == self.flow.transport:
            self.flow = flow

    def next_cseq(self) -> int:
        """A number for a new request."""
        self.local_cseq += 1
        return self.local_cseq

    def request(self, method: str, cseq: int, via: str) -> Request:
        """A request inside the dialog (section 12.2.1.1). cseq: next_cseq(), or for ACK the INVITE's."""
        headers = Headers()
        headers.add("Via", via)
        uri, routes = routed(self.target, self.routes)
        for route in routes:
            headers.add("Route", route)
        headers.add("Max-Forwards", "70")
        headers.add("From", self.local)
        headers.add("To", self.remote)
        headers.add("Call-ID", self.call_id)
        headers.add("CSeq", f"{cseq} {method}")
        return Request(method, uri, headers, b"")


def routed(target: SipUri, routes: Sequence[str]) -> tuple[SipUri, Sequence[str]]:
    """Request-URI and Route values of a request for target by these routes (sections 12.2.1.1 and 16.12.1.1): a strict
    router, one without `lr`, wants itself in the Request-URI and the target last."""
    if not routes or _route_uri(routes[0]).has_param("lr"):
        return target, routes
    return replace(_route_uri(routes[0]), headers=""), (*routes[1:], f"<{target}>")


def dialog_key(request: Request) -> DialogKey:
    """The key of the dialog that a peer's request would be in."""
    return (request.call_id, request.to.tag or "", request.from_.tag or "")


def _target(contacts: list[NameAddr], otherwise: SipUri) -> SipUri:
    """Where our requests go; a Request-URI may have no headers inside (section 19.1.1)."""
    return replace(contacts[0].uri if contacts else otherwise, headers="")


def _route_uri(route: str) -> SipUri:
    return SipUri.parse(route[route.index("<") + 1 : route.index(">")])
