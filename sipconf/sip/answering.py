"""What a session does with an INVITE that came to us: ring, answer, refuse, wait for the ACK (RFC 3261 section 13.3).

Each function is an action of the table in session; which one applies when is decided there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sipconf.sip.events import CallCancelled, CallConfirmed, CallEnded
from sipconf.sip.message import Request, Response
from sipconf.sip.settings import RING_AGAIN
from sipconf.sip.transactions import Key

if TYPE_CHECKING:
    from sipconf.sip.session import Session


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


def ring(session: Session, _: None, now: float) -> None:
    """180; again every minute, or proxies on the way give up (section 13.3.1.1)."""
    _answer_invite(session, 180, now)
    session.arm_ring_again(now + RING_AGAIN)


def answer(session: Session, sdp: bytes, now: float) -> None:
    """200 with our SDP, repeated until its ACK comes, whatever the transport (section 13.3.1.4)."""
    session.we_offered = not session.invite.body
    session.last_ok = _answer_invite(session, 200, now, sdp)
    session.wait_for_ack(now)


def resend(session: Session, _: None, now: float) -> None:
    """The 200 again."""
    session.wire.transactions.respond(session.invite_key, session.last_ok, now)
    session.wait_longer_for_ack(now)


def refuse(session: Session, refusal: Refusal, now: float) -> None:
    """A final refusal of the pending INVITE or re-INVITE."""
    extra = () if refusal.retry_after is None else (("Retry-After", str(refusal.retry_after)),)
    invite, key = session.invite, session.invite_key
    session.wire.respond(
        key, invite, refusal.status, now, reason=refusal.reason, tag=session.local_tag, extra=extra
    )
    session.stop_timers()


def hang_up_unanswered(session: Session, reason: str, now: float) -> None:
    """480: we end a call that we never answered."""
    refuse(session, Refusal(480, None), now)
    session.tell(CallEnded(session.id, reason, by_peer=False))


def cancelled(session: Session, _: None, now: float) -> None:
    """487: the caller gave up (section 9.2), or nobody decided for so long that he must have (section 13.3.1)."""
    refuse(session, Refusal(487, None), now)
    session.tell(CallCancelled(session.id))


def left_early(session: Session, bye: Arrived, now: float) -> None:
    """A BYE in the early dialog ends the call as a CANCEL would (section 15.1.2)."""
    session.wire.respond(bye.key, bye.request, 200, now)
    cancelled(session, None, now)


def lost(session: Session, _: None, now: float) -> None:
    """The connection that the INVITE came by is gone: nobody is left to answer."""
    session.stop_timers()
    session.tell(CallCancelled(session.id))


def confirm(session: Session, ack: Request, now: float) -> None:
    """The ACK; it holds the answer where the 200 held the offer."""
    session.stop_timers()
    session.tell(CallConfirmed(session.id, (ack.body or None) if session.we_offered else None))


def ignore(session: Session, _: object, now: float) -> None:
    """Nothing to do: it came too late, or says nothing new."""


def _answer_invite(session: Session, status: int, now: float, body: bytes = b"") -> Response:
    contact = session.wire.contact(session.flow, session.invite.uri)
    return session.wire.respond(
        session.invite_key, session.invite, status, now, tag=session.local_tag, contact=contact, body=body
    )
