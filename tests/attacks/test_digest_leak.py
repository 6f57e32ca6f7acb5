"""Whoever we call wants our password's hash, or endless requests (docs/trust.md)."""

import pytest

from sipconf.sip import events
from sipconf.sip.challenged import Credentials
from sipconf.sip.flow import Flow
from sipconf.sip.uri import SipUri
from tests.sim.desk import SDP, SERVER, TRUNK, Desk, header, reply, status
from tests.sim.house import DOMAIN, House
from tests.sim.siege import ROOM, Stranger, proof, running_call, status_of

CREDENTIALS = Credentials("account", "trunk-secret", realm="provider.example")
OTHER = Flow("udp", ("203.0.113.66", 5060), SERVER)


def challenge(code: int, realm: str = "provider.example", nonce: str = "n1", more: str = "") -> str:
    name = {401: "WWW-Authenticate", 407: "Proxy-Authenticate"}[code]
    return f'{name}: Digest realm="{realm}", nonce="{nonce}", algorithm=MD5, qop="auth"{more}\r\n'


def place(desk: Desk, credentials: Credentials | None = CREDENTIALS) -> tuple[str, str]:
    """A call by the trunk; session id and INVITE."""
    session = desk.agent.invite(target=SipUri.parse("sip:+3225559999@provider.example"), flow=TRUNK,
                                from_uri=SipUri.parse("sip:2001@example.test"), from_name="", offer=SDP, now=desk.now,
                                credentials=credentials)
    (invite,) = desk.take()
    return session, invite


def proofs(texts: list[str]) -> list[str]:
    return [line for text in texts for name in ("Authorization", "Proxy-Authorization") for line in header(text, name)]


@pytest.mark.parametrize("code", [401, 407])
def test_the_trunks_challenge_is_answered_once(code: int) -> None:
    desk = Desk()
    _, invite = place(desk)
    said = desk.receive(reply(invite, code, extra=challenge(code)))
    assert len(proofs(said)) == 1 and said[-1].startswith("INVITE ")


@pytest.mark.parametrize("code", [401, 407])
@pytest.mark.parametrize("stale", [False, True])
def test_a_peer_that_challenges_for_ever(code: int, stale: bool) -> None:
    """A fresh nonce each time: two INVITEs, a third where it says stale; then the call has failed, nothing is left."""
    desk = Desk()
    session, invite = place(desk)
    invites = 1
    for number in range(50):
        more = ", stale=true" if stale else ""
        said = desk.receive(reply(invite, code, extra=challenge(code, nonce=f"fresh{number}", more=more)))
        again = [text for text in said if text.startswith("INVITE ")]
        if not again:
            break
        (invite,) = again
        invites += 1
    assert invites == (3 if stale else 2)
    (failed,) = desk.told(events.CallFailed)
    assert (failed.session, failed.status) == (session, code)
    desk.rest()


def test_a_proxy_and_a_party_that_take_turns() -> None:
    desk = Desk()
    _, invite = place(desk, Credentials("account", "trunk-secret"))
    tries = 1
    for number in range(50):
        code = (401, 407)[number % 2]
        said = desk.receive(reply(invite, code, extra=challenge(code, nonce=f"{number}", more=", stale=true")))
        again = [text for text in said if text.startswith("INVITE ")]
        if not again:
            break
        (invite,) = again
        tries += 1
    assert tries == 2
    desk.rest()


@pytest.mark.parametrize(
    "extra",
    [
        challenge(401, realm="evil.example"), challenge(407, realm="evil.example"), challenge(401, realm=""),
        'WWW-Authenticate: Basic realm="provider.example"\r\n', "WWW-Authenticate: Digest\r\n", "",
        'WWW-Authenticate: Digest realm="provider.example", realm="x", nonce="n"\r\n',
        challenge(401, realm="evil.example") + challenge(401, realm="Provider.Example"),
    ],
)
def test_no_challenge_of_another_realm_is_answered(extra: str) -> None:
    desk = Desk()
    _, invite = place(desk)
    said = desk.receive(reply(invite, 407 if "Proxy" in extra else 401, extra=extra))
    assert proofs(said) == [] and len(desk.told(events.CallFailed)) == 1
    desk.rest()


def test_the_first_realm_is_kept_where_none_is_configured() -> None:
    desk = Desk()
    _, invite = place(desk, Credentials("account", "trunk-secret"))
    _, again = desk.receive(reply(invite, 407, extra=challenge(407)))
    said = desk.receive(reply(again, 401, extra=challenge(401, realm="evil.example")))
    assert proofs(said) == []


def test_a_challenge_from_another_host_is_none() -> None:
    desk = Desk()
    _, invite = place(desk)
    assert desk.receive(reply(invite, 407, extra=challenge(407)), OTHER) == []
    assert desk.told(events.Counted) == [events.Counted("stray_challenge")]
    assert len(proofs(desk.receive(reply(invite, 407, extra=challenge(407))))) == 1, "the trunk's own is answered still"


@pytest.mark.parametrize("method", ["BYE", "INVITE"])
@pytest.mark.parametrize("realm", ["evil.example", "provider.example"])
@pytest.mark.parametrize("asked_before", [False, True])
def test_a_called_party_that_challenges_inside_the_call_learns_nothing(
    method: str, realm: str, asked_before: bool
) -> None:
    desk = Desk()
    session, invite = place(desk, CREDENTIALS if asked_before else Credentials("account", "trunk-secret"))
    if asked_before:
        _, invite = desk.receive(reply(invite, 407, extra=challenge(407)))
    desk.receive(reply(invite, 200))
    if method == "BYE":
        desk.agent.hang_up(session, desk.now)
    else:
        desk.agent.reoffer(session, SDP, desk.now)
    (request,) = desk.take()
    assert request.startswith(method) and proofs([request]) == []
    assert proofs(desk.receive(reply(request, 401, extra=challenge(401, realm)))) == []
    if realm == "evil.example" or not asked_before:
        desk = Desk()
        session, invite = place(desk, Credentials("account", "trunk-secret"))
        desk.receive(reply(invite, 200))
        desk.agent.hang_up(session, desk.now)
        (bye,) = desk.take()
        assert proofs(desk.receive(reply(bye, 407, extra=challenge(407, realm)))) == []
    desk.agent.hang_up(session, desk.now)
    desk.take()
    desk.rest()


@pytest.mark.parametrize("code", [401, 407])
def test_the_trunk_that_challenged_the_invite_may_challenge_the_bye(code: int) -> None:
    desk = Desk()
    session, invite = place(desk, Credentials("account", "trunk-secret"))
    _, invite = desk.receive(reply(invite, code, extra=challenge(code)))
    desk.receive(reply(invite, 200))
    desk.agent.hang_up(session, desk.now)
    (bye,) = desk.take()
    (again,) = desk.receive(reply(bye, code, extra=challenge(code, nonce="n2")))
    assert again.startswith("BYE ") and len(proofs([again])) == 1
    assert desk.receive(reply(again, code, extra=challenge(code, nonce="n3"))) == []
    desk.rest()


@pytest.mark.parametrize("code", [300, 301, 302, 305, 380])
def test_a_redirect_is_not_followed(code: int) -> None:
    desk = Desk()
    session, invite = place(desk)
    _, invite = desk.receive(reply(invite, 407, extra=challenge(407)))
    answer = reply(invite, code).replace("<sip:102@10.0.0.9:5062>", "<sip:+1900555@203.0.113.66>")
    (ack,) = desk.receive(answer)
    assert ack.startswith("ACK ") and proofs([ack]) == []
    assert [(each.session, each.status) for each in desk.told(events.CallFailed)] == [(session, code)]
    desk.rest()
    assert all(status(text) for text in desk.take())


def test_a_user_who_is_called_and_challenges_for_ever_gets_nothing_while_others_talk() -> None:
    """Whoever registers may be called, and may answer with challenges of his own."""
    with House(ROOM) as house:
        thief = Stranger(house)
        (asked,) = thief.ask(thief.request("REGISTER", f"sip:{DOMAIN}", to=f"<sip:102@{DOMAIN}>"))
        proven = proof(asked, "102", "secret-102", "REGISTER", f"sip:{DOMAIN}")
        (ok,) = thief.ask(thief.request("REGISTER", f"sip:{DOMAIN}", to=f"<sip:102@{DOMAIN}>", extra=proven))
        assert status_of(ok) == 200
        with running_call(house):
            for number, code in enumerate((401, 407) * 3):
                caller = house.phone("101")
                caller.invite("102", house.now)
                house.run(0.5)
                (invite,) = [text for text in thief.heard if text.startswith("INVITE ")]
                thief.heard.clear()
                thief.ask(reply(invite, code, extra=challenge(code, nonce=f"n{number}")), 0.5)
                assert not proofs(thief.told()) and not [each for each in thief.heard if each.startswith("INVITE ")]
                assert not caller.in_call
                thief.heard.clear()
        house.registrar.keep_only((), house.now)
        house.registrar.handle_timer(house.now + 1e6)  # it looks at what it has forgotten once more
        house.settle()
