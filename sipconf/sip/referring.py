"""REFER inside a call: its sender wants somebody else brought into it, or put through to somebody (RFC 3515, RFC 4579
section 5.5, RFC 3891 for the call to be taken over).

Actions of call_table. Whether and how it is done is for the floor above, which reports step by step: a refusal is the
answer to the REFER, anything else is 202 and news of it by NOTIFY. Nothing in a Refer-To is obeyed but whom it names,
and that is one of ours whatever host stands behind it: no call leaves by it. It cannot be refused for its host, for a
widget that we have rung writes the name that it knows us by, perhaps a proxy's, which nothing has told us.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from sipconf.sip.answering import Arrived
from sipconf.sip.dialog import DialogKey
from sipconf.sip.events import Referred
from sipconf.sip.message import REASONS, Request
from sipconf.sip.tokens import MalformedMessage, find_param, parse_params
from sipconf.sip.uri import NameAddr, SipUri

if TYPE_CHECKING:
    from sipconf.sip.session import Session

MAX_REFERRALS = 4  # of one call at once
NEWS_FOR = 120  # seconds for which a NOTIFY promises more; longer than any telephone rings
SIPFRAG = "message/sipfrag;version=2.0"


@dataclass(frozen=True, slots=True)
class Report:
    """How a referral fares: a SIP status and its reason, final from 200 on."""

    referral: str
    status: int
    reason: str | None


@dataclass(slots=True)
class Referral:
    """One REFER. news: whether its sender wants to be told (RFC 4488); event: how the NOTIFYs name it."""

    arrived: Arrived
    news: bool
    event: str
    accepted: bool = False


def ask(session: Session, arrived: Arrived, now: float) -> None:
    """Read whom it names and pass it on; 400, 403 or 503 at once for what is no such wish."""
    request, wire = arrived.request, session.wire
    try:
        target = _target(request)
        replaces = _replaced(target.headers)
    except MalformedMessage as fault:
        wire.respond(arrived.key, request, 400, now, reason=fault.reason)
        return
    method = target.param("method") or "INVITE"
    # Who names a call needs to name nobody: it has our own Contact for a target, which names none either.
    names_any = target.user is not None or replaces is not None
    if method.upper() != "INVITE" or not names_any or not (target.is_sip or target.scheme == "tel"):
        wire.respond(arrived.key, request, 403, now, reason="Only People Can Be Referred To")
        return
    if len(session.referrals) >= MAX_REFERRALS:
        again = (("Retry-After", "10"),)
        wire.respond(arrived.key, request, 503, now, reason="Too Many Transfers At Once", extra=again)
        return
    name = wire.token()
    # RFC 3515 section 2.4.6: the first of a dialog needs no name, and some telephones know none.
    event = f"refer;id={request.cseq.number}" if session.has_referred else "refer"
    session.has_referred = True
    news = (request.headers.get("Refer-Sub") or "").strip().lower() != "false"
    session.referrals[name] = Referral(arrived, news, event)
    session.tell(Referred(session.id, name, target.user or "", replaces))


def report(session: Session, news: Report, now: float) -> None:
    """Tell the sender how it fares."""
    referral = session.referrals.get(news.referral)
    if referral is None:
        return
    request, key = referral.arrived.request, referral.arrived.key
    final = news.status >= 200
    if final:
        del session.referrals[news.referral]
    if not referral.accepted:
        if news.status >= 300:
            session.wire.respond(key, request, news.status, now, reason=news.reason)
            return
        referral.accepted = True
        contact = session.wire.contact(session.dialog.flow, request.uri)
        extra = () if referral.news else (("Refer-Sub", "false"),)
        session.wire.respond(key, request, 202, now, contact=contact, extra=extra)
    if referral.news:
        _notify(session, referral, news, final, now)


def _notify(session: Session, referral: Referral, news: Report, final: bool, now: float) -> None:
    """Nobody waits for the answer: who does not want the news does not get more of it by refusing them."""
    reason = news.reason or REASONS.get(news.status, "")
    state = "terminated;reason=noresource" if final else f"active;expires={NEWS_FOR}"
    flow = session.dialog.flow
    extra = (
        ("Contact", session.wire.contact(flow, session.dialog.target)), ("Event", referral.event),
        ("Subscription-State", state),
    )  # fmt: skip
    body = f"SIP/2.0 {news.status} {reason}\r\n".encode()
    session.wire.send_in_dialog(session.dialog, "NOTIFY", None, now, body, extra=extra, content_type=SIPFRAG)


def _target(request: Request) -> SipUri:
    """The one URI of Refer-To (RFC 3515 section 2.1)."""
    values = request.headers.get_all("Refer-To")
    if len(values) != 1:
        raise MalformedMessage("exactly one Refer-To is needed")
    return NameAddr.parse(values[0]).uri


def _replaced(headers: str) -> DialogKey | None:
    """The dialog that the header Replaces within a Refer-To names, as we know it (RFC 3891 section 3: to-tag is of the
    side that it is sent to, which is ours); None where there is none."""
    fields = [field.partition("=") for field in headers.split("&")]
    values = [unquote(value) for name, _, value in fields if unquote(name).lower() == "replaces"]
    if not values:
        return None
    call_id, semicolon, params = values[0].partition(";")
    found = parse_params(semicolon + params)
    ours, theirs = find_param(found, "to-tag"), find_param(found, "from-tag")
    if len(values) > 1 or not call_id or not ours or theirs is None:
        raise MalformedMessage("malformed Replaces")
    return call_id, ours, theirs
