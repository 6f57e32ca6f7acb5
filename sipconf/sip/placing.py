"""What a session does with an INVITE of our own: try, try again with credentials, hear the answer, cancel
(RFC 3261 sections 9.1 and 13.2). Each function is an action of call_table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipconf.sip.early import confirmed
from sipconf.sip.events import CallAnswered, CallFailed, CallProgress, Send
from sipconf.sip.headers import Headers
from sipconf.sip.message import Request, Response
from sipconf.sip.reason import reason_headers
from sipconf.sip.settings import ANSWERED_ELSEWHERE
from sipconf.sip.uri import NameAddr, SipUri
from sipconf.sip.wire import FIRST_CSEQ, Authorization

if TYPE_CHECKING:
    from sipconf.sip.session import Session


def place(session: Session, target: SipUri, from_: NameAddr, offer: bytes, now: float) -> None:
    """The first INVITE."""
    session.offer = offer
    session.target = target
    _send(session, from_.with_param("tag", session.local_tag), NameAddr("", target, ()), FIRST_CSEQ, None, now)
    session.limit_ringing(now)


def try_with_proof(session: Session, proof: Authorization, now: float) -> None:
    """The same INVITE with credentials, one CSeq further (section 22.2)."""
    _send_again(session, proof, now)


def try_longer(session: Session, response: Response, now: float) -> None:
    """The same INVITE with the session interval that a 422 names (RFC 4028 section 7.3)."""
    _send_again(session, None, now)


def _send_again(session: Session, proof: Authorization, now: float) -> None:
    old = session.invite
    _send(session, old.from_, old.to, old.cseq.number + 1, proof, now)


def _send(
    session: Session, from_: NameAddr, to: NameAddr, cseq: int, proof: Authorization, now: float
) -> None:
    invite = session.wire.first_request(
        "INVITE", session.target, from_=from_, to=to, call_id=session.call_id, cseq=cseq, flow=session.flow,
        routes=session.routes,
    )  # fmt: skip
    session.early.clear()
    session.invite = session.wire.finished(invite, session.flow, session.offer, proof, session.timer.ask())
    session.invite_key = session.wire.transactions.send_request(session.invite, session.flow, session, now)


def progress(session: Session, response: Response, now: float) -> None:
    """180, 183: something to tell; 100: only that somebody is there."""
    if response.status > 100:
        session.tell(CallProgress(session.id, response.status, response.reason, response.body or None))


def answered(session: Session, response: Response, now: float) -> None:
    """The first 2xx makes the dialog. Where it has no SDP, that of its 18x is the answer (RFC 3262 section 5)."""
    early = session.early.get(response.to.tag or "")
    _confirm(session, response)
    session.stop_timers()
    answer = response.body or (early.answer if early is not None else None)
    session.ours, session.theirs = session.offer, answer or b""
    session.agree(response, now)
    session.tell(CallAnswered(session.id, answer))


def _confirm(session: Session, response: Response) -> None:
    session.dialog = confirmed(session, response)
    session.acknowledge(session.invite.cseq.number)


def drop_answer(session: Session, response: Response, now: float) -> None:
    """They answered while we gave up: ACK, then BYE (section 9.1)."""
    _confirm(session, response)
    session.stop_timers()
    session.say_bye(now)


def drop_fork(session: Session, response: Response, now: float) -> Send:
    """A second telephone answered the same INVITE: it gets its ACK and a BYE (section 13.2.2.4). Returns the ACK."""
    fork = confirmed(session, response)
    ack = session.wire.send_ack(fork, response.cseq.number)
    session.wire.send_in_dialog(fork, "BYE", None, now, extra=reason_headers(ANSWERED_ELSEWHERE))
    return ack


def failed(session: Session, response: Response, now: float) -> None:
    """A final refusal."""
    session.stop_timers()
    session.tell(CallFailed(session.id, response.status, response.reason))


def unanswered(session: Session, _: None, now: float) -> None:
    """Timer B."""
    session.stop_timers()
    session.tell(CallFailed(session.id, 408, "Request Timeout"))


def unreachable(session: Session, _: None, now: float) -> None:
    """The transport refused (section 8.1.3.1)."""
    session.stop_timers()
    session.tell(CallFailed(session.id, 503, "Service Unavailable"))


def give_up(session: Session, reason: str, now: float) -> None:
    """A CANCEL may go only after a 1xx (section 9.1): remember it."""
    session.parting = reason
    session.tell(CallFailed(session.id, 487, "Request Terminated"))


def cancel(session: Session, reason: str, now: float) -> None:
    """We give up while it rings."""
    session.parting = reason
    session.tell(CallFailed(session.id, 487, "Request Terminated"))
    send_cancel(session, None, now)


def rang_too_long(session: Session, _: None, now: float) -> None:
    """Nobody picked up within our limit."""
    session.tell(CallFailed(session.id, 408, "Request Timeout"))
    send_cancel(session, None, now)


def send_cancel(session: Session, _: object, now: float) -> None:
    """CANCEL takes the INVITE's branch, routes and CSeq number; a peer that never ends the INVITE is left alone."""
    invite = session.invite
    headers = Headers()
    headers.add("Via", str(invite.via))
    for route in invite.headers.get_all("Route"):
        headers.add("Route", route)
    headers.add("Max-Forwards", "70")
    headers.add("From", str(invite.from_))
    headers.add("To", str(invite.to))
    headers.add("Call-ID", invite.call_id)
    headers.add("CSeq", f"{invite.cseq.number} CANCEL")
    cancel = Request("CANCEL", invite.uri, headers, b"")
    request = session.wire.finished(cancel, session.flow, extra=reason_headers(session.parting))
    session.wire.transactions.send_request(request, session.flow, None, now)
    session.limit_wait(now)


def forget(session: Session, _: object, now: float) -> None:
    """The given-up INVITE is over; the floor above knows already."""
    session.stop_timers()
