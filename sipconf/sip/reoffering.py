"""New offers inside a call, theirs and ours: hold, resume, glare (RFC 3261 section 14). Actions of call_table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipconf.sip.answering import Arrived, Refusal, refuse
from sipconf.sip.call_states import Input
from sipconf.sip.dtmf_info import INFO_TYPES
from sipconf.sip.events import CallAnswered, CallConfirmed, CallEnded, InfoReceived, Reoffered, ReofferFailed
from sipconf.sip.message import Response
from sipconf.sip.settings import NO_REPLY
from sipconf.sip.tokens import delta_seconds
from sipconf.sip.wire import Authorization

if TYPE_CHECKING:
    from sipconf.sip.session import Session

GLARE_STEP = 0.01
OWNER_GLARE_STEPS = (210, 400)
OTHER_GLARE_STEPS = (0, 200)
TOO_SOON_SECONDS = 10


# --- theirs ----------------------------------------------------------------------------------------------------------
def peer_reoffers(session: Session, arrived: Arrived, now: float) -> None:
    """A re-INVITE for the floor above to answer; whoever sent it shall not send it again meanwhile (section 17.2.1)."""
    session.invite, session.invite_key = arrived.request, arrived.key
    session.wire.respond(arrived.key, arrived.request, 100, now)
    session.dialog.refresh_target(arrived.request)
    session.stop_timers()
    session.tell(Reoffered(session.id, arrived.request.body or None))


def peer_reoffers_without_ack(session: Session, arrived: Arrived, now: float) -> None:
    """A new re-INVITE stands for the lost ACK of our answer to the one before."""
    session.tell(CallConfirmed(session.id, None))
    peer_reoffers(session, arrived, now)


def peer_reoffers_first(session: Session, arrived: Arrived, now: float) -> None:
    """Their re-INVITE comes while ours waits to be tried again: ours is given up."""
    give_way(session)
    peer_reoffers(session, arrived, now)


def give_way(session: Session) -> None:
    """An offer of ours that waits to be tried again is given up for theirs."""
    session.tell(ReofferFailed(session.id, 491, "Request Pending"))


def glare(session: Session, arrived: Arrived, now: float) -> None:
    """491: an offer of ours is pending (section 14.2, RFC 3311 section 5.2)."""
    session.wire.respond(arrived.key, arrived.request, 491, now)


def too_soon(session: Session, arrived: Arrived, now: float) -> None:
    """500 with Retry-After: their earlier INVITE or UPDATE has no answer yet (section 14.2, RFC 3311 section 5.2)."""
    later = (("Retry-After", str(session.wire.rng.randint(0, TOO_SOON_SECONDS))),)
    session.wire.respond(arrived.key, arrived.request, 500, now, tag=session.local_tag, extra=later)


def refuse_reoffer(session: Session, refusal: Refusal, now: float) -> None:
    """The call goes on as it was."""
    refuse(session, refusal, now)


def info(session: Session, arrived: Arrived, now: float) -> None:
    """200, and the body for the floor above; 415 for one that nobody here reads."""
    request = arrived.request
    if request.body and request.content_type not in INFO_TYPES:
        session.wire.respond(arrived.key, request, 415, now, extra=(("Accept", ", ".join(INFO_TYPES)),))
        return
    session.wire.respond(arrived.key, request, 200, now)
    session.tell(InfoReceived(session.id, request.content_type, request.body))


# --- ours ------------------------------------------------------------------------------------------------------------
def reoffer(session: Session, sdp: bytes, now: float) -> None:
    """Send a re-INVITE."""
    session.offer = sdp
    session.reset_challenges()
    send(session, None, now)


def reoffer_with_proof(session: Session, proof: Authorization, now: float) -> None:
    """The peer challenged our re-INVITE."""
    send(session, proof, now)


def reoffer_again(session: Session, _: object, now: float) -> None:
    """The glare timer fired, or the peer wants a longer session interval (RFC 4028 section 7.3)."""
    send(session, None, now)


def send(session: Session, proof: Authorization, now: float) -> None:
    """The re-INVITE that session.offer is for."""
    session.invite_key, session.invite = session.wire.send_in_dialog(
        session.dialog, "INVITE", session, now, session.offer, proof, session.timer.ask()
    )
    session.limit_wait(now)


def reoffer_answered(session: Session, response: Response, now: float) -> None:
    """2xx: ACK, and their answer for the floor above."""
    session.dialog.refresh_target(response)
    session.stop_timers()
    session.acknowledge(session.invite.cseq.number)
    session.ours, session.theirs = session.offer, response.body
    session.agree(response, now)
    session.tell(CallAnswered(session.id, response.body or None))


def wait_for_turn(session: Session, response: Response, now: float) -> None:
    """491, or 500 and the peer says when: once more, later."""
    session.stop_timers()
    seconds = None if response.status == 491 else delta_seconds(response.headers.get("Retry-After"))
    session.arm(Input.RETRY, now + (turn(session) if seconds is None else max(session.wire.timers.t1, seconds)))


def passes_soon(refusal: Response) -> bool:
    """Was our offer refused only because another has no answer yet (section 14.2)? Not so a server that is out of
    order for longer."""
    seconds = delta_seconds(refusal.headers.get("Retry-After"))
    return refusal.status == 491 or refusal.status == 500 and seconds is not None and seconds <= TOO_SOON_SECONDS


def turn(session: Session) -> float:
    """Seconds to wait after a 491: 2.1 to 4 for whoever chose the Call-ID, up to 2 for the other, in steps of 10 ms
    (section 14.1)."""
    steps = session.wire.rng.randint(*(OWNER_GLARE_STEPS if session.placed else OTHER_GLARE_STEPS))
    return steps * GLARE_STEP


def reoffer_refused(session: Session, response: Response, now: float) -> None:
    """Any other refusal leaves the call as it was."""
    session.stop_timers()
    session.tell(ReofferFailed(session.id, response.status, response.reason))


def reoffer_hopeless(session: Session, _: object, now: float) -> None:
    """408, 481 and their like, silence or a broken transport: the dialog is dead (section 12.2.1.2, RFC 5057)."""
    session.stop_timers()
    session.tell(CallEnded(session.id, NO_REPLY, by_peer=False))
    session.parting = NO_REPLY
    session.say_bye(now)
