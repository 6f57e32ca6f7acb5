"""Reconnaissance (docs/trust.md): nothing tells what we are; with drop_unknown a scanner hears nothing at all."""

import re

import pytest

from sipconf.sip.flow import Flow
from tests.sim.desk import PHONE, SERVER, TRUNK, Desk, header, proof, request, status
from tests.sim.house import DOMAIN, House
from tests.sim.siege import ROOM, Stranger, running_call, status_of

SCANNER = Flow("udp", ("203.0.113.66", 5060), SERVER)
AGENTS = ("friendly-scanner", "sipcli/v1.8", "VaxSIPUserAgent/3.1", "sundayddr", "Linphone/5.1", "")


def sweep(uri: str) -> list[str]:
    """What svmap and its like send."""
    texts = [
        request(method, uri=uri, to=f"<{uri}>", branch=f"z9hG4bK{number}{method}", call_id=f"{number}{method}",
                extra=f"User-Agent: {agent}\r\n" if agent else "")
        for method in ("OPTIONS", "INVITE", "REGISTER", "SUBSCRIBE", "MESSAGE", "BYE", "CANCEL", "FOO")
        for number, agent in enumerate(AGENTS)
    ]
    in_dialog = request("BYE", uri=uri, to=f"<{uri}>;tag=guessed", call_id="guessed")
    broken = "OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=z9hG4bK1\r\nCSeq: 1 OPTIONS\r\n\r\n"
    return [*texts, in_dialog, broken, "\r\n"]


@pytest.mark.parametrize("uri", ["sip:100@192.0.2.1", "sip:192.0.2.1", "sip:100@1.1.1.1", "tel:+3225551234"])
def test_with_drop_unknown_a_scanner_hears_nothing(uri: str) -> None:
    desk, plain = Desk(drop_unknown=True), Desk()
    said = [answer for text in sweep(uri) for answer in plain.receive(text, SCANNER)]
    heard = [answer for text in sweep(uri) for answer in desk.receive(text, SCANNER)]
    assert said and [status(answer) for answer in heard] == []
    assert desk.agent.idle()


def test_with_drop_unknown_telephones_and_trunks_are_served_as_ever() -> None:
    desk = Desk(drop_unknown=True)
    home = "sip:example.test"
    (challenge,) = desk.receive(request("REGISTER", uri=home, to="<sip:101@example.test>"), PHONE)
    auth = proof(header(challenge, "WWW-Authenticate")[0], "REGISTER", home)
    (done,) = desk.receive(request("REGISTER", uri=home, to="<sip:101@example.test>", cseq=2, extra=auth), PHONE)
    assert (status(challenge), status(done)) == (401, 200)
    assert status(desk.receive(request("OPTIONS", uri="sip:192.0.2.1"), PHONE)[0]) == 200, "proven: any address will do"
    assert status(desk.receive("OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=z9hG4bK1\r\nCSeq: 1 OPTIONS\r\n\r\n",
                               PHONE)[0]) == 400
    assert desk.call() and desk.agent.calls == 1
    bye = request("BYE", uri="sip:192.0.2.1", to=f"<sip:2001@x>;tag={desk.tag}", cseq=2)
    assert status(desk.receive(bye, TRUNK)[0]) == 200


@pytest.mark.parametrize("agent", AGENTS)
def test_nobody_is_judged_by_his_user_agent(agent: str) -> None:
    texts = [request(method, extra=f"User-Agent: {agent}\r\n") for method in ("OPTIONS", "INVITE", "REGISTER")]
    plain = [request(method) for method in ("OPTIONS", "INVITE", "REGISTER")]
    for text, other in zip(texts, plain, strict=True):
        assert Desk().receive(text, SCANNER) == Desk().receive(other, SCANNER)


def test_no_answer_tells_a_version() -> None:
    desk = Desk()
    object.__setattr__(desk.agent._settings, "user_agent", "sipconf")  # as app does it
    answers = [answer for uri in ("sip:100@192.0.2.1", "sip:2001@example.test") for text in sweep(uri)
               for answer in desk.receive(text, SCANNER)]
    assert len(answers) > 20
    for answer in answers:
        assert header(answer, "Server") == ["sipconf"] and not header(answer, "User-Agent")
        assert not re.search(r"\d+\.\d+\.\d+(?!\.)", "".join(header(answer, "Server")))


def test_a_running_call_is_not_disturbed_by_a_sweep() -> None:
    """A scanner tries every method at many numbers while two people talk: it is told nothing but 4xx and what every
    telephone system answers to OPTIONS."""
    with House(ROOM) as house:
        scanner = Stranger(house)
        with running_call(house):
            for number in ("2001", "2002", "100", "admin"):
                for text in sweep(f"sip:{number}@{DOMAIN}"):
                    scanner.send(text)
                house.run(0.5)
        answers = scanner.told()
        codes = {status_of(answer) for answer in answers}
        assert answers and codes <= {200, 400, 401, 404, 405, 416, 420, 481, 501, 503}
        assert all("OPTIONS" in answer for answer in answers if status_of(answer) == 200)
        assert not [answer for answer in answers if re.search(r"^(Server|User-Agent):.*\d", answer, re.M)]
        house.settle()
