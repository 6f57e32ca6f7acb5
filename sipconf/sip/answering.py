"""What a session does with an INVITE that came to us: answer, refuse, wait for the ACK (RFC 3261 section 13.3).

Each function is an action of call_table; which one applies when is decided there. 180: ringing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sipconf.sip.events import CallCancelled, CallConfirmed, CallEnded
from sipconf.sip.message import Request, Response
from sipconf.sip.reason import with_cause
from sipconf.sip.tokens import quote
from sipconf.sip.transactions import Key
from sipconf.sip.wire import ExtraHeaders

if TYPE_CHECKING:
    from sipconf.sip.session import Session

MISCELLANEOUS_WARNING = 399  # RFC 3261 section 20.43: for people to read


@dataclass(frozen=True, slots=True)
class Arrived:
    """A request of the peer inside the dialog, and the server transaction that answers it."""

    key: Key
    request: Request


@dataclass(frozen=True, slots=True)
class Refusal:
    """A final answer that is no success."""

    status: int
    reason: str | None
    retry_after: int | None = None


def answer(session: Session, sdp: bytes, now: float) -> None:
    """200 with our SDP, repeated until its ACK comes, whatever the transport (section 13.3.1.4)."""
    session.we_offered = not session.invite.body
    session.ours, session.theirs = sdp, session.invite.body
    extra = session.timer.accept(session.invite)
    session.last_ok = answer_invite(session, 200, now, body=sdp, extra=extra)
    session.wait_for_ack(now)
    session.start_session_timer(now)


def resend(session: Session, _: None, now: float) -> None:
    """The 200 again."""
    session.wire.transactions.respond(session.invite_key, session.last_ok, now)
    session.wait_longer_for_ack(now)


def refuse(session: Session, refusal: Refusal, now: float) -> None:
    """A final refusal of the pending INVITE, re-INVITE or UPDATE."""
    extra = () if refusal.retry_after is None else (("Retry-After", str(refusal.retry_after)),)
    if refusal.status == 488 and refusal.reason:
        text = quote(refusal.reason)
        extra = (*extra, ("Warning", f"{MISCELLANEOUS_WARNING} {session.wire.settings.domain} {text}"))
    key, request = session.pending
    session.wire.respond(key, request, refusal.status, now, reason=refusal.reason, tag=session.local_tag, extra=extra)
    session.stop_timers()


def hang_up_unanswered(session: Session, reason: str, now: float) -> None:
    """480: we end a call that we never answered."""
    refuse(session, Refusal(480, None), now)
    session.tell(CallEnded(session.id, reason, by_peer=False))


def cancelled(session: Session, cancel: Request | None, now: float) -> None:
    """487: the caller gave up (section 9.2), or nobody decided for so long that he must have (section 13.3.1)."""
    refuse(session, Refusal(487, None), now)
    if cancel is None:
        session.tell(CallCancelled(session.id, "rang too long"))
    else:
        session.tell(CallCancelled(session.id, with_cause("cancelled by the caller", cancel)))


def left_early(session: Session, bye: Arrived, now: float) -> None:
    """A BYE in the early dialog ends the call as a CANCEL would (section 15.1.2)."""
    session.wire.respond(bye.key, bye.request, 200, now)
    cancelled(session, bye.request, now)


def lost(session: Session, _: None, now: float) -> None:
    """The connection that the INVITE came by is gone: nobody is left to answer."""
    session.stop_timers()
    session.tell(CallCancelled(session.id, "the caller's connection is lost"))


def confirm(session: Session, ack: Request, now: float) -> None:
    """The ACK; it holds the answer where the 200 held the offer."""
    session.stop_timers()
    if session.we_offered:
        session.theirs = ack.body
    session.tell(CallConfirmed(session.id, (ack.body or None) if session.we_offered else None))


def ignore(session: Session, _: object, now: float) -> None:
    """Nothing to do: it came too late, or says nothing new."""


def answer_invite(
    session: Session, status: int, now: float, *, body: bytes = b"", extra: ExtraHeaders = ()
) -> Response:
    """180 or 200 to the pending INVITE."""
    contact = session.wire.contact(session.flow, session.invite.uri)
    return session.wire.respond(
        session.invite_key, session.invite, status, now, tag=session.local_tag, contact=contact, body=body, extra=extra
    )
