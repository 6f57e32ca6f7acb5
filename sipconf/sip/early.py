"""Early dialogs of a call that we place: one per telephone that rings (RFC 3261 section 12.1), and PRACK for those of
their provisional responses that must be acknowledged (RFC 3262 section 4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sipconf.sip.dialog import Dialog
from sipconf.sip.message import Response
from sipconf.sip.options import RELIABLE, lists

if TYPE_CHECKING:
    from sipconf.sip.session import Session

MAX_EARLY = 16  # telephones behind one INVITE of ours


@dataclass(slots=True)
class EarlyDialog:
    """rseq: the last reliable response that was taken, by its INVITE's CSeq number (each counts anew); answer: the SDP
    that came early."""

    dialog: Dialog
    rseq: tuple[int, int] | None = None
    answer: bytes | None = None


def hear(session: Session, response: Response, now: float) -> bool:
    """Note a 1xx to our INVITE or re-INVITE and send the PRACK that it wants. False for one that says nothing new: a
    reliable one repeated, or one that overtook another, which will come again. Raises PeerError."""
    tag = response.to.tag
    if response.status == 100 or tag is None:
        return True
    early = session.early.get(tag)
    if early is None:
        if len(session.early) >= MAX_EARLY:
            return True
        early = session.early[tag] = EarlyDialog(Dialog.as_caller(session.invite, response, session.flow))
    if lists(response, "Require", RELIABLE):
        number, invite = _rseq(response), session.invite.cseq.number
        if number is None:
            return False
        if early.rseq is not None and early.rseq[0] == invite and number != early.rseq[1] + 1:
            return False
        early.rseq = (invite, number)
        rack = (("RAck", f"{number} {invite} INVITE"),)
        session.wire.send_in_dialog(session.dialog or early.dialog, "PRACK", None, now, extra=rack)
    early.answer = response.body or early.answer
    return True


def confirmed(session: Session, response: Response) -> Dialog:
    """The dialog of a 2xx to our INVITE. Its route set and target are the 2xx's (RFC 3261 section 13.2.2.4); numbers
    used while it was early stay used."""
    dialog = Dialog.as_caller(session.invite, response, session.flow)
    early = session.early.get(response.to.tag or "")
    if early is not None:
        dialog.local_cseq = max(dialog.local_cseq, early.dialog.local_cseq)
        dialog.remote_seen = early.dialog.remote_seen
    return dialog


def _rseq(response: Response) -> int | None:
    text = (response.headers.get("RSeq") or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 11 else None
