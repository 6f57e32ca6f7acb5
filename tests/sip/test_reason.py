"""Reason (RFC 3326): what we say of our own hanging up and what we make of the peer's."""

import pytest

from sipconf.sip import events
from sipconf.sip.settings import ANSWERED_ELSEWHERE
from tests.sim.desk import SDP, Desk, header, request

READ = [
    ("", ""), ("Reason: Q.850;cause=16;text=\"Normal\"\r\n", " (Q.850 16)"),
    ("Reason: q.850 ;cause=31\r\n", " (Q.850 31)"),
    ('Reason: SIP;cause=200;text="Call completed elsewhere"\r\n', " (SIP 200)"),
    ("Reason: X;cause=1, SIP;text=\"a, b\";cause=600\r\n", " (SIP 600)"), ("Reason: SIP\r\n", ""),
    ("Reason: SIP;cause=9999\r\n", ""), ("Reason: SIP;cause=<b>\r\n", ""), ("Reason: \"\r\n", ""),
]  # fmt: skip


@pytest.mark.parametrize(("reason", "shown"), READ)
def test_reason_of_a_bye(reason: str, shown: str) -> None:
    desk = Desk()
    session = desk.call()
    desk.receive(request("BYE", to=f"<sip:2001@x>;tag={desk.tag}", cseq=2, extra=reason))
    assert desk.told(events.CallEnded) == [events.CallEnded(session, f"hung up{shown}", True)]


@pytest.mark.parametrize(("reason", "shown"), READ)
def test_reason_of_a_cancel(reason: str, shown: str) -> None:
    desk = Desk()
    desk.receive(request("INVITE", branch="z9hG4bKi"))
    (call,) = desk.told(events.IncomingCall)
    desk.receive(request("CANCEL", branch="z9hG4bKi", extra=reason))
    assert desk.told(events.CallCancelled) == [events.CallCancelled(call.session, f"cancelled by the caller{shown}")]


@pytest.mark.parametrize(
    ("reason", "told"),
    [("kicked", []), (ANSWERED_ELSEWHERE, ['SIP;cause=200;text="Call completed elsewhere"'])],
)
def test_reason_of_our_bye(reason: str, told: list[str]) -> None:
    desk = Desk()
    session = desk.call()
    desk.agent.hang_up(session, desk.now, reason)
    assert header(desk.take()[0], "Reason") == told


def test_call_that_nobody_confirmed_is_ended_with_a_reason() -> None:
    desk = Desk()
    desk.receive(request("INVITE", body="v=0\r\n"))
    (call,) = desk.told(events.IncomingCall)
    desk.agent.answer(call.session, SDP, desk.now)
    texts: list[str] = []
    while "BYE" not in "".join(texts):
        desk.now = desk.agent.next_timer()
        desk.agent.handle_timer(desk.now)
        texts = [text for text in desk.take() if text.startswith("BYE")]
    assert header(texts[0], "Reason") == ['SIP;cause=408;text="no ACK"'] and desk.now == 132.0
