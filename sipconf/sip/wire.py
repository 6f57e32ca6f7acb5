"""How our requests and responses look: Via, Contact, Allow, Server, tags and ids. One per user agent.

Everything a session or registration needs in order to speak; it decides nothing.
"""

import random
from collections.abc import Sequence

from sipconf.sip.dialog import Dialog, routed
from sipconf.sip.events import Output, Send
from sipconf.sip.flow import Flow
from sipconf.sip.headers import Headers
from sipconf.sip.message import Request, Response
from sipconf.sip.options import OUTBOUND, PATH, RELIABLE, TIMER
from sipconf.sip.return_path import address_uri, host_text
from sipconf.sip.settings import MAX_FORWARDS, AgentSettings
from sipconf.sip.transactions import Key, Transactions
from sipconf.sip.uri import NameAddr, SipUri

ALLOWED = ("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "INFO", "UPDATE", "PRACK", "REFER", "REGISTER")
ALLOW = ", ".join(ALLOWED)
CALL_EXTENSIONS = (RELIABLE, TIMER)
REGISTRAR_EXTENSIONS = (OUTBOUND, PATH)
SUPPORTED = ", ".join((*CALL_EXTENSIONS, *REGISTRAR_EXTENSIONS))
SDP = "application/sdp"
BRANCH_COOKIE = "z9hG4bK"
FIRST_CSEQ = 1
Authorization = tuple[str, str] | None
ExtraHeaders = tuple[tuple[str, str], ...]


class Wire:
    """transactions: where everything leaves by; outputs: bytes and news of the whole agent."""

    def __init__(self, transactions: Transactions, settings: AgentSettings, rng: random.Random) -> None:
        self.transactions = transactions
        self.settings = settings
        self.timers = settings.timers
        self.rng = rng
        self.outputs: list[Output] = []

    def token(self) -> str:
        """64 random bits: a tag, a session id, a branch."""
        return self.rng.randbytes(8).hex()

    def via(self, flow: Flow) -> str:
        """A topmost Via of our own with a new branch; rport asks for symmetric answers (RFC 3581)."""
        host, port = self.settings.contact_address(flow)
        sent_by = f"{host_text(host)}:{port}"
        return f"SIP/2.0/{flow.transport.upper()} {sent_by};branch={BRANCH_COOKIE}{self.token()};rport"

    def contact(self, flow: Flow, asked: SipUri) -> str:
        """Our Contact as this flow's peer reaches us, with nothing behind the bracket. asked: the Request-URI, theirs
        or ours: where it is a sips one, so is our Contact."""
        host, port = self.settings.contact_address(flow)
        return f"<{address_uri(host, port, flow.transport, sips=asked.scheme == 'sips')}>"

    def respond(
        self,
        key: Key,
        request: Request,
        status: int,
        now: float,
        *,
        reason: str | None = None,
        tag: str | None = None,
        contact: str | None = None,
        body: bytes = b"",
        extra: ExtraHeaders = (),
    ) -> Response:
        """Answer a request through its transaction."""
        response = self.response(request, status, reason=reason, tag=tag, extra=extra)
        if contact is not None:
            response.headers.add("Contact", contact)
        if body:
            response.headers.add("Content-Type", SDP)
            response = Response(response.status, response.reason, response.headers, body)
        self.transactions.respond(key, response, now)
        return response

    def response(
        self,
        request: Request,
        status: int,
        *,
        reason: str | None = None,
        tag: str | None = None,
        extra: ExtraHeaders = (),
    ) -> Response:
        """A response with our common headers. tag is written where the request's To has none."""
        response = request.response(status, reason, to_tag=tag)
        if status == 405 or (status < 300 and status > 100 and request.method in ("INVITE", "OPTIONS", "UPDATE")):
            response.headers.add("Allow", ALLOW)
        if 200 <= status < 300 and request.method in ("INVITE", "UPDATE"):
            response.headers.add("Supported", ", ".join(CALL_EXTENSIONS))
        if self.settings.user_agent:
            response.headers.add("Server", self.settings.user_agent)
        for name, value in extra:
            response.headers.add(name, value)
        return response

    def first_request(
        self, method: str, uri: SipUri, *, from_: NameAddr, to: NameAddr, call_id: str, cseq: int, flow: Flow,
        routes: Sequence[str] = (),
    ) -> Request:  # fmt: skip
        """A request outside of any dialog; from_ carries our tag, routes are Route values to go by."""
        headers = Headers()
        headers.add("Via", self.via(flow))
        uri, routes = routed(uri, routes)
        for route in routes:
            headers.add("Route", route)
        headers.add("Max-Forwards", str(MAX_FORWARDS))
        headers.add("From", str(from_))
        headers.add("To", str(to))
        headers.add("Call-ID", call_id)
        headers.add("CSeq", f"{cseq} {method}")
        return Request(method, uri, headers, b"")

    def finished(
        self, request: Request, flow: Flow, body: bytes = b"", proof: Authorization = None, extra: ExtraHeaders = (),
        content_type: str = SDP,
    ) -> Request:  # fmt: skip
        """A request of ours with the headers that all of them share, and extra ones of its own."""
        headers = request.headers
        if request.method in ("INVITE", "UPDATE", "REGISTER"):
            headers.add("Allow", ALLOW)
        if request.method in ("INVITE", "UPDATE"):
            headers.add("Supported", ", ".join(CALL_EXTENSIONS))
            if "Contact" not in headers:
                headers.add("Contact", self.contact(flow, request.uri))
        for name, value in extra:
            headers.add(name, value)
        if proof is not None:
            headers.add(*proof)
        if self.settings.user_agent:
            headers.add("User-Agent", self.settings.user_agent)
        if body:
            headers.add("Content-Type", content_type)
        return Request(request.method, request.uri, headers, body)

    def send_ack(self, dialog: Dialog, cseq: int) -> Send:
        """Send the ACK of a 2xx, a request without a transaction (RFC 3261 section 13.2.2.4); for sending it again."""
        request = self.finished(dialog.request("ACK", cseq, self.via(dialog.flow)), dialog.flow)
        send = Send(dialog.flow, request.encode())
        self.outputs.append(send)
        return send

    def send_in_dialog(
        self,
        dialog: Dialog,
        method: str,
        owner: object,
        now: float,
        body: bytes = b"",
        proof: Authorization = None,
        extra: ExtraHeaders = (),
        content_type: str = SDP,
    ) -> tuple[Key, Request]:
        """Send a new request inside the dialog."""
        request = dialog.request(method, dialog.next_cseq(), self.via(dialog.flow))
        request = self.finished(request, dialog.flow, body, proof, extra, content_type)
        return self.transactions.send_request(request, dialog.flow, owner, now), request
