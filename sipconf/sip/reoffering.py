"""New offers inside a call, theirs and ours: hold, resume, glare (RFC 3261 section 14). Actions of session's table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipconf.sip.answering import Arrived, Refusal, refuse
from sipconf.sip.events import CallAnswered, CallConfirmed, CallEnded, InfoReceived, Reoffered, ReofferFailed
from sipconf.sip.message import Response
from sipconf.sip.wire import Authorization

if TYPE_CHECKING:
    from sipconf.sip.session import Session

GLARE_STEP = 0.01
OWNER_GLARE_STEPS = (210, 400)
OTHER_GLARE_STEPS = (0, 200)
TOO_SOON_SECONDS = 10


# --- theirs ----------------------------------------------------------------------------------------------------------
def peer_reoffers(session: Session, arrived: Arrived, now: float) -> None:
    """A re-INVITE for the floor above to answer."""
    session.invite, session.invite_key = arrived.request, arrived.key
    session.dialog.refresh_target(arrived.request)
    session.stop_timers()
    session.tell(Reoffered(session.id, arrived.request.body or None))


def peer_reoffers_without_ack(session: Session, arrived: Arrived, now: float) -> None:
    """A new re-INVITE stands for the lost ACK of our answer to the one before."""
    session.tell(CallConfirmed(session.id, None))
    peer_reoffers(session, arrived, now)


def peer_reoffers_first(session: Session, arrived: Arrived, now: float) -> None:
    """Their re-INVITE comes while ours waits to be tried again: ours is given up."""
    session.tell(ReofferFailed(session.id, 491, "Request Pending"))
    peer_reoffers(session, arrived, now)


def glare(session: Session, arrived: Arrived, now: float) -> None:
    """491: an offer of ours is pending (section 14.2)."""
    session.wire.respond(arrived.key, arrived.request, 491, now)


def too_soon(session: Session, arrived: Arrived, now: float) -> None:
    """500 with Retry-After: their earlier INVITE has no answer yet (section 14.2)."""
    later = (("Retry-After", str(session.wire.rng.randint(0, TOO_SOON_SECONDS))),)
    session.wire.respond(arrived.key, arrived.request, 500, now, tag=session.local_tag, extra=later)


def refuse_reoffer(session: Session, refusal: Refusal, now: float) -> None:
    """The call goes on as it was."""
    refuse(session, refusal, now)


def info(session: Session, arrived: Arrived, now: float) -> None:
    """200, and the body for the floor above."""
    session.wire.respond(arrived.key, arrived.request, 200, now)
    session.tell(InfoReceived(session.id, arrived.request.content_type or "", arrived.request.body))


# --- ours ------------------------------------------------------------------------------------------------------------
def reoffer(session: Session, sdp: bytes, now: float) -> None:
    """Send a re-INVITE."""
    session.offer = sdp
    _send(session, None, now)


def reoffer_with_proof(session: Session, proof: Authorization, now: float) -> None:
    """The peer challenged our re-INVITE."""
    _send(session, proof, now)


def reoffer_again(session: Session, _: None, now: float) -> None:
    """The glare timer fired."""
    _send(session, None, now)


def _send(session: Session, proof: Authorization, now: float) -> None:
    session.invite_key, session.invite = session.wire.send_in_dialog(
        session.dialog, "INVITE", session, now, session.offer, proof
    )
    session.limit_wait(now)


def reoffer_answered(session: Session, response: Response, now: float) -> None:
    """2xx: ACK, and their answer for the floor above."""
    session.stop_timers()
    session.dialog.refresh_target(response)
    session.acknowledge(session.invite.cseq.number)
    session.tell(CallAnswered(session.id, response.body or None))


def wait_for_turn(session: Session, response: Response, now: float) -> None:
    """491: whoever chose the Call-ID waits 2.1 to 4 s, the other up to 2 s, in steps of 10 ms (section 14.1)."""
    session.stop_timers()
    steps = session.wire.rng.randint(*(OWNER_GLARE_STEPS if session.placed else OTHER_GLARE_STEPS))
    session.retry_reoffer_at(now + steps * GLARE_STEP)


def reoffer_refused(session: Session, response: Response, now: float) -> None:
    """Any other refusal leaves the call as it was."""
    session.stop_timers()
    session.tell(ReofferFailed(session.id, response.status, response.reason))


def reoffer_hopeless(session: Session, _: object, now: float) -> None:
    """408, 481, silence or a broken transport: the dialog is dead (section 12.2.1.2)."""
    session.stop_timers()
    session.tell(CallEnded(session.id, "no answer to re-INVITE", by_peer=False))
    session.say_bye(now)
