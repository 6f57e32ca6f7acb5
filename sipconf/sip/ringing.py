"""180 to a caller, plain or such that it must be acknowledged: the called side of RFC 3262. Actions of call_table.

Ours never holds a session description: the answer waits for the 200.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sipconf.sip.answering import Arrived, Refusal, answer_invite, refuse
from sipconf.sip.call_states import Input
from sipconf.sip.events import CallCancelled
from sipconf.sip.message import Request, Response
from sipconf.sip.options import RELIABLE, lists
from sipconf.sip.settings import RING_AGAIN

if TYPE_CHECKING:
    from sipconf.sip.session import Session

MAX_FIRST_RSEQ = 2**31 - 1  # RFC 3262 section 3


@dataclass(slots=True)
class Reliable:
    """The last 180 that had to be acknowledged. number: its RSeq; gap: seconds until it is sent again; 0 once its
    PRACK has come."""

    number: int
    response: Response
    gap: float


def must_be_reliable(invite: Request) -> bool:
    """Does the caller demand provisional responses that he can acknowledge?"""
    return lists(invite, "Require", RELIABLE)


def ring(session: Session, _: None, now: float) -> None:
    """180; again every minute, or proxies on the way give up (RFC 3261 section 13.3.1.1)."""
    session.arm(Input.RING_AGAIN, now + RING_AGAIN)
    if not must_be_reliable(session.invite):
        answer_invite(session, 180, now)
        return
    last = session.ringing
    if not session.invite.body or (last is not None and last.gap):
        # A first reliable response to an INVITE without an offer would have to make one, and there is no media yet;
        # and no second one may go before the first is acknowledged (RFC 3262 sections 3 and 5).
        return
    number = last.number + 1 if last is not None else session.wire.rng.randint(1, MAX_FIRST_RSEQ)
    extra = (("Require", RELIABLE), ("RSeq", str(number)))
    response = answer_invite(session, 180, now, extra=extra)
    session.ringing = Reliable(number, response, session.wire.timers.t1)
    session.arm(Input.RESEND_RINGING, now + session.wire.timers.t1)
    session.arm(Input.NO_PRACK, now + session.wire.timers.patience)


def ring_again(session: Session, _: None, now: float) -> None:
    """The reliable 180 has not been acknowledged: again, after twice the time each time (section 3)."""
    assert session.ringing is not None
    session.wire.transactions.respond(session.invite_key, session.ringing.response, now)
    session.ringing.gap *= 2
    session.arm(Input.RESEND_RINGING, now + session.ringing.gap)


def acknowledged(session: Session, prack: Arrived, now: float) -> None:
    """PRACK: 200 where it names our response, repeated ones too, else 481. An offer in it is none that we asked for."""
    last = session.ringing
    if last is None or _rack(prack.request) != (last.number, session.invite.cseq.number, "INVITE"):
        session.wire.respond(prack.key, prack.request, 481, now)
        return
    last.gap = 0.0
    session.disarm(Input.RESEND_RINGING, Input.NO_PRACK)
    session.wire.respond(prack.key, prack.request, 488 if prack.request.body else 200, now)


def not_acknowledged(session: Session, _: None, now: float) -> None:
    """64*T1 without a PRACK: the call cannot be (section 3)."""
    refuse(session, Refusal(504, "No PRACK Came"), now)
    session.tell(CallCancelled(session.id, "no PRACK"))


def _rack(prack: Request) -> tuple[int, int, str] | None:
    words = (prack.headers.get("RAck") or "").split()
    if len(words) != 3 or not all(word.isascii() and word.isdigit() and len(word) < 11 for word in words[:2]):
        return None
    return int(words[0]), int(words[1]), words[2]
