"""UPDATE from the peer: target refresh, session timer, new media without a new INVITE (RFC 3311). Actions of
call_table. Whether an offer may come now is the table's; UPDATE of our own: refreshing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipconf.sip.answering import Arrived, Refusal, refuse
from sipconf.sip.events import CallConfirmed, MediaRestated, Reoffered
from sipconf.sip.reoffering import give_way

if TYPE_CHECKING:
    from sipconf.sip.session import Session


def accept(session: Session, update: Arrived, now: float) -> None:
    """No offer: 200, whatever else is pending."""
    session.dialog.refresh_target(update.request)
    _succeed(session, update, b"", now)


def accept_early(session: Session, update: Arrived, now: float) -> None:
    """The same before the call is up; session timers begin with the 200 to the INVITE (RFC 4028 section 9)."""
    session.dialog_with(update.request.from_.tag).refresh_target(update.request)
    contact = session.wire.contact(session.flow, update.request.uri)
    session.wire.respond(update.key, update.request, 200, now, contact=contact)


def accept_same(session: Session, update: Arrived, now: float) -> None:
    """An offer of what is agreed already: the answer is what it was."""
    session.dialog.refresh_target(update.request)
    session.theirs = update.request.body
    _succeed(session, update, session.ours, now)
    session.tell(MediaRestated(session.id, update.request.body))


def take_offer(session: Session, update: Arrived, now: float) -> None:
    """An offer for the floor above to answer."""
    session.dialog.refresh_target(update.request)
    session.stop_timers()
    session.update = update
    session.tell(Reoffered(session.id, update.request.body))


def take_offer_first(session: Session, update: Arrived, now: float) -> None:
    """Their offer comes while ours waits to be tried again: ours is given up."""
    give_way(session)
    take_offer(session, update, now)


def answer(session: Session, sdp: bytes, now: float) -> None:
    """200 with our answer; an UPDATE has no ACK to wait for."""
    update, session.update = session.update, None
    assert update is not None
    session.ours, session.theirs = sdp, update.request.body
    _succeed(session, update, sdp, now)
    session.tell(CallConfirmed(session.id, None))


def refuse_offer(session: Session, refusal: Refusal, now: float) -> None:
    """The call goes on as it was."""
    refuse(session, refusal, now)
    session.update = None


def refuse_early_offer(session: Session, update: Arrived, now: float) -> None:
    """Before the call is up: our offer is still open (491), or answered early, and then it stays as it is (488)."""
    answered = session.early[update.request.from_.tag or ""].answer is not None
    session.wire.respond(update.key, update.request, 488 if answered else 491, now)


def _succeed(session: Session, update: Arrived, body: bytes, now: float) -> None:
    extra = session.timer.accept(update.request)
    contact = session.wire.contact(session.dialog.flow, update.request.uri)
    session.wire.respond(update.key, update.request, 200, now, contact=contact, body=body, extra=extra)
    session.start_session_timer(now)
