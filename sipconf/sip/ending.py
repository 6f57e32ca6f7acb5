"""How a call ends: BYE from us, BYE from them, no ACK (RFC 3261 sections 13.3.1.4 and 15).

Actions of call_table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipconf.sip.answering import Arrived, Refusal, refuse
from sipconf.sip.events import CallEnded
from sipconf.sip.message import Request, Response
from sipconf.sip.placing import drop_fork
from sipconf.sip.reason import with_cause
from sipconf.sip.settings import NO_ACK, NO_REFRESH
from sipconf.sip.wire import Authorization

if TYPE_CHECKING:
    from sipconf.sip.session import Session


def hang_up(session: Session, reason: str, now: float) -> None:
    """We end the call."""
    session.stop_timers()
    session.parting = reason
    session.tell(CallEnded(session.id, reason, by_peer=False))
    session.say_bye(now)


def hang_up_reoffered(session: Session, reason: str, now: float) -> None:
    """We end the call while a re-INVITE or UPDATE of theirs waits: it is answered first."""
    refuse(session, Refusal(487, None), now)
    hang_up(session, reason, now)


def leave(session: Session, reason: str, now: float) -> None:
    """We end a call whose 200 has no ACK: the BYE has to wait for it (section 15)."""
    session.parting = reason
    session.tell(CallEnded(session.id, reason, by_peer=False))


def bye_after_ack(session: Session, ack: Request, now: float) -> None:
    """The ACK we waited for."""
    session.stop_timers()
    session.say_bye(now)


def bye_without_ack(session: Session, reinvite: Arrived, now: float) -> None:
    """A re-INVITE says that our 200 arrived: the ACK need not be waited for, and the call is over for us."""
    session.wire.respond(reinvite.key, reinvite.request, 481, now)
    session.stop_timers()
    session.say_bye(now)


def no_ack(session: Session, _: None, now: float) -> None:
    """64*T1 without an ACK (section 13.3.1.4)."""
    hang_up(session, NO_ACK, now)


def expired(session: Session, _: None, now: float) -> None:
    """The session was not refreshed in time, or its refresh found nobody (RFC 4028 section 10)."""
    hang_up(session, NO_REFRESH, now)


def expired_reoffered(session: Session, _: None, now: float) -> None:
    """The same while a re-INVITE or UPDATE of theirs waits."""
    hang_up_reoffered(session, NO_REFRESH, now)


def no_ack_either(session: Session, _: None, now: float) -> None:
    """We wanted to leave, and the ACK never came."""
    session.stop_timers()
    session.say_bye(now)


def peer_hung_up(session: Session, bye: Arrived, now: float) -> None:
    """They end the call."""
    session.stop_timers()
    session.wire.respond(bye.key, bye.request, 200, now)
    session.tell(CallEnded(session.id, with_cause("hung up", bye.request), by_peer=True))


def peer_hung_up_reoffering(session: Session, bye: Arrived, now: float) -> None:
    """They end the call with a re-INVITE or UPDATE of theirs unanswered: 487 for it (section 15.1.2)."""
    refuse(session, Refusal(487, None), now)
    peer_hung_up(session, bye, now)


def both_hung_up(session: Session, bye: Arrived, now: float) -> None:
    """Their BYE crossed ours, or came while ours waited."""
    session.wire.respond(bye.key, bye.request, 200, now)


def bye_with_proof(session: Session, proof: Authorization, now: float) -> None:
    """The peer challenged our BYE."""
    session.say_bye(now, proof)


def late_answer(session: Session, response: Response, now: float) -> None:
    """A 2xx to our INVITE or re-INVITE after the end still wants its ACK, and a call that was none yet its BYE."""
    if session.dialog is None:
        session.keep_ack(response.cseq.number, response.to.tag, drop_fork(session, response, now))
    else:
        session.acknowledge(session.invite.cseq.number)


def done(session: Session, _: object, now: float) -> None:
    """The BYE is answered, or never will be."""
    session.stop_timers()
