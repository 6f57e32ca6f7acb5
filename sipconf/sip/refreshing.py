"""Session timers at work (RFC 4028 sections 7.4, 9 and 10): refreshes of ours and theirs that leave the media alone.

By UPDATE where the peer takes it, else by a re-INVITE that offers what is agreed. Actions of call_table; the outcome
of an UPDATE moves no state and comes by hear_update. Arithmetic: session_timer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipconf.sip import reoffering
from sipconf.sip.answering import Arrived, answer
from sipconf.sip.call_states import ENDS_DIALOG
from sipconf.sip.client_tx import Heard, NoPath
from sipconf.sip.events import MediaRestated, ReofferFailed
from sipconf.sip.message import Response
from sipconf.sip.tokens import delta_seconds
from sipconf.sip.transactions import Fact
from sipconf.sip.wire import Authorization

if TYPE_CHECKING:
    from sipconf.sip.session import Session

NOT_UPDATE = frozenset({405, 415, 420, 501})  # the peer does not take UPDATE, whatever its Allow says


def same_media(one: bytes, other: bytes) -> bool:
    """Do two session descriptions say the same? The o= line may differ: some telephones count every refresh."""
    return one == other or _without_origin(one) == _without_origin(other)


def _without_origin(sdp: bytes) -> list[bytes]:
    return [line for line in sdp.splitlines() if not line.startswith(b"o=")]


# --- theirs ----------------------------------------------------------------------------------------------------------
def answer_same(session: Session, arrived: Arrived, now: float) -> None:
    """Their re-INVITE offers what is agreed: the answer is what it was."""
    session.invite, session.invite_key = arrived.request, arrived.key
    session.dialog.refresh_target(arrived.request)
    answer(session, session.ours, now)
    session.tell(MediaRestated(session.id, arrived.request.body))


# --- ours ------------------------------------------------------------------------------------------------------------
def by_reinvite(session: Session, _: None, now: float) -> None:
    """Half the interval is over."""
    session.reset_challenges()
    _reinvite(session, None, now)


def by_reinvite_again(session: Session, proof: Authorization | Response, now: float) -> None:
    """Challenged, or with a longer interval after a 422."""
    _reinvite(session, proof if isinstance(proof, tuple) else None, now)


def _reinvite(session: Session, proof: Authorization, now: float) -> None:
    session.offer = session.ours
    reoffering.send(session, proof, now)


def postpone(session: Session, _: None, now: float) -> None:
    """Something else is under way, which may well refresh the session by itself."""
    session.refresh_at(now + session.wire.timers.t4)


def reinvite_answered(session: Session, response: Response, now: float) -> None:
    """2xx: ACK. The peer may use it to say something new about its media."""
    session.dialog.refresh_target(response)
    session.stop_timers()
    session.acknowledge(session.invite.cseq.number)
    session.agree(response, now)
    if response.body and not same_media(response.body, session.theirs):
        session.tell(MediaRestated(session.id, response.body))
    session.theirs = response.body or session.theirs


def reinvite_refused(session: Session, response: Response, now: float) -> None:
    """The call goes on for as long as it was granted."""
    session.stop_timers()
    _retry(session, response, now)


def unreachable(session: Session, _: None, now: float) -> None:
    """The peer's connection is gone, and it may come back by another before its time is up."""
    session.stop_timers()
    session.refresh_at(_later(session, now))


def _retry(session: Session, response: Response, now: float) -> None:
    """What stood in the way may pass: another offer soon (491), anything else when the peer says (RFC 3261 section
    20.33), or less soon."""
    if response.status == 491:
        session.refresh_at(now + reoffering.turn(session))
    elif (seconds := delta_seconds(response.headers.get("Retry-After"))) is not None:
        session.refresh_at(now + max(session.wire.timers.t4, seconds))
    else:
        session.refresh_at(_later(session, now))


def _later(session: Session, now: float) -> float:
    """When half the time that is left is over."""
    left = (session.expires_at or now) - now
    return now + max(session.wire.timers.t4, left / 2)


def no_reoffer_now(session: Session, sdp: bytes, now: float) -> None:
    """An order from above that met our own refresh."""
    session.tell(ReofferFailed(session.id, 491, "Request Pending"))


def by_update(session: Session, _: None, now: float) -> None:
    """Half the interval is over, and the peer takes UPDATE: it touches no offer."""
    session.reset_challenges()
    _update(session, None, now)


def _update(session: Session, proof: Authorization, now: float) -> None:
    session.refresh_key, session.refresh = session.wire.send_in_dialog(
        session.dialog, "UPDATE", session, now, proof=proof, extra=session.timer.ask()
    )


def hear_update(session: Session, fact: Fact, now: float) -> bool:
    """What became of our UPDATE. False where the dialog is dead."""
    if isinstance(fact, NoPath):
        session.refresh_at(_later(session, now))
        return True
    if not isinstance(fact, Heard):  # silence
        return False
    response = fact.response
    if response.status < 200:
        return True
    session.refresh_key = None
    if response.status < 300:
        session.dialog.refresh_target(response)
        session.agree(response, now)
    elif response.status in ENDS_DIALOG:
        return False
    elif (proof := session.proof_for(session.refresh, response)) is not None:
        _update(session, proof, now)
    elif response.status == 422 and session.timer.lengthen(response):
        _update(session, None, now)
    elif response.status in NOT_UPDATE:
        session.takes_update = False
        session.refresh_at(now)
    else:
        _retry(session, response, now)
    return True
