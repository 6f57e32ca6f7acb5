"""Calls at the company's expense (docs/trust.md). Nothing is dialled out yet: whatever is asked, nothing reaches a
trunk, and one place alone could place a call at all."""

import ast
from pathlib import Path

import pytest

from tests.sim.house import DOMAIN, NUMBER, TRUNK_HOST, House
from tests.sim.siege import ROOM, Stranger, proof, running_call, status_of

PACKAGE = Path(__file__).resolve().parents[2] / "sipconf"
SDP = "v=0\r\no=- 1 1 IN IP4 203.0.113.66\r\ns=-\r\nc=IN IP4 203.0.113.66\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"

NUMBERS = [
    "+19005551234", "0019005551234", "19005551234", "+1900", "9005551234", "00", "+", "0", "+88213000000",
    "+870123456789", "+3225559999", "003225559999", "3225559999", "025559999", "900", "112", "911", "118", "*99",
    "*72+19005551234", "#31#0475", "+" + "1" * 50, "0" * 50, "9" * 200, "1" * 15, "+1" * 10, "１２３４", "٣٢٢٥٥٥",
    "+３２２", "二〇〇一", "²⁰⁰¹",
]
PARTS = [
    "300&Zap/g1/4165551212", "2009&SIP/provider/19005551234", "%2B19005551234", "%31%39%30%30", "%30%30%31",
    "2001%40evil", "19005551234%00", "%0d%0aINVITE", "2009%26", "2009%3bphone-context=+1",
    "9;phone-context=example.test", "+19005551234;ext=1", "+19005551234;npdi;rn=+1",
    "+19005551234;tgrp=provider;trunk-context=example.test", "sip:+1900", "sip%3A%2B1900", "tel%3A%2B1900", "2009/n",
    "Local%2F1900", "2009|1900", "2009,1900", "2009*1900", "2009,,1900", "2009p1900", "2009w1900", "${EXTEN}",
    "2009'--", "2009%22", "../2009", "..%2f2009", "provider", "provider!1900", "trunk", "anonymous", "restricted",
    "-1900", "1-900-555-1234", "(1900)5551234", "1.900.555.1234", "+1 900".replace(" ", "%20"), "2009%092001",
    "2009%20", "%e2%80%ae0091", "0091%ef%bc%91", "a" * 60, "2009:pass", "2009%25", "19005551234%2C2001",
]
URIS = [
    *(f"sip:{part}@{DOMAIN}" for part in [*NUMBERS, *PARTS]), "tel:+19005551234", "tel:0019005551234",
    "tel:1900;phone-context=+1", "tel:+1-900-555-1234", "tel:911", f"sip:+19005551234@{TRUNK_HOST}",
    "sip:2009@evil.example", f"sip:+19005551234@{DOMAIN};user=phone", f"sip:+19005551234@{DOMAIN};maddr={TRUNK_HOST}",
    f"sip:1900@{DOMAIN};transport=tcp", f"sip:+19005551234@{DOMAIN}?Route=x", f"sips:+19005551234@{DOMAIN}",
    f"sip:{DOMAIN}",
]


def to_the_trunk(house: House) -> list[bytes]:
    """Requests that left for the trunk (answers to its own are none)."""
    return [data for _, _, target, data in house.network.sent
            if target[0] == TRUNK_HOST and not data.startswith(b"SIP/2.0")]


def invite_as_user(house: House, who: Stranger, uri: str, user: str = "101") -> list[int]:
    """The statuses that a user's INVITE gets, after its challenge."""
    answers = who.ask(who.request("INVITE", uri, body=SDP), 0.04)
    if [status_of(answer) for answer in answers] != [401]:
        return [status_of(answer) for answer in answers]
    challenge = answers[0].split("WWW-Authenticate: ")[1].split("\r\n")[0]
    extra = proof(challenge, user, f"secret-{user}", "INVITE", uri)
    return [status_of(answer) for answer in who.ask(who.request("INVITE", uri, body=SDP, extra=extra, cseq="2"), 0.06)]


def test_there_are_enough_of_them() -> None:
    assert len(URIS) >= 80 and len(set(URIS)) == len(URIS)


def test_a_user_dials_numbers_that_are_nobodys() -> None:
    with House(ROOM) as house, running_call(house):
        provider = Stranger(house, (TRUNK_HOST, 5060))
        for number, uri in enumerate(URIS):
            who = Stranger(house, (f"198.51.100.{100 + number % 100}", 6000 + number))
            answers = invite_as_user(house, who, uri)
            final = [status for status in answers if status >= 200]
            assert final and set(final) <= {400, 404, 416, 484}, (uri, answers)
            del house.network._endpoints[who.address]
        assert to_the_trunk(house) == [] and provider.heard == []
        assert len(house.switchboard.lines) == 2


@pytest.mark.parametrize("method", ["REFER", "MESSAGE", "SUBSCRIBE", "NOTIFY", "PUBLISH", "UPDATE", "PRACK", "INFO"])
def test_other_methods_dial_nothing(method: str) -> None:
    with House(ROOM) as house, running_call(house) as people:
        Stranger(house, (TRUNK_HOST, 5060))
        member = people[0]
        for number, uri in enumerate(URIS[::4]):
            stranger = Stranger(house, (f"203.0.113.{100 + number}", 5060))
            extra = f"Refer-To: <{uri}>\r\nReferred-By: <sip:101@{DOMAIN}>\r\nReplaces: x;to-tag=1;from-tag=2\r\n"
            for answer in stranger.ask(stranger.request(method, f"sip:2001@{DOMAIN}", extra=extra), 0.04):
                assert status_of(answer) >= 400
            # And from somebody who is in a conference, inside his call.
            member.cseq += 1
            member._request(method, member.target, house.now, extra=f"Refer-To: <{uri}>\r\n")
            house.run(0.04)
            del house.network._endpoints[stranger.address]
        house.run(0.5)
        refusals = ("405", "403", "481", "603", "489")
        allowed = {"INFO": ("200",), "UPDATE": ("405", "200", "488", "500"), "REFER": ("403",)}.get(
            method, refusals)
        said = [entry for entry in member.log if entry.endswith(f" {method}")]
        assert said and all(entry.split()[0] in allowed for entry in said), said
        assert to_the_trunk(house) == [] and len(house.switchboard.lines) == 2


@pytest.mark.parametrize("status", [301, 302, 305])
def test_a_called_telephone_cannot_send_us_elsewhere(status: int) -> None:
    """102 answers our INVITE with a redirection to a telephone number."""
    with House(ROOM) as house, running_call(house):
        Stranger(house, (TRUNK_HOST, 5060))
        caller, called = house.phone("101"), house.phone("102")
        called.final_status, called.pickup = status, 0.2
        text = called._text
        called._text = lambda code, fields, body="": text(code, fields, body).replace(
            "Contact: <", f"Contact: <sip:+19005551234@{TRUNK_HOST}>, <" if code == status else "Contact: <")
        house.register(called)
        caller.invite("102", house.now)
        house.until(lambda: any(entry.endswith(" INVITE") and entry[0] in "3456" and "401" not in entry
                                for entry in caller.log), "refused")
        house.run(1.0)
        assert to_the_trunk(house) == [] and called.log.count("INVITE") == 1


def test_a_trunks_caller_does_not_come_out_at_a_trunk() -> None:
    """No hairpin: what is no incoming number of ours is nobody's."""
    with House(ROOM) as house, running_call(house):
        provider = Stranger(house, (TRUNK_HOST, 5060))
        for uri in URIS:
            answers = [status_of(answer) for answer in provider.ask(provider.request("INVITE", uri, body=SDP), 0.04)]
            assert [answer for answer in answers if answer], uri
            assert set(answers) <= {400, 401, 404, 416, 484}, (uri, answers)
        provider.heard.clear()
        answers = provider.ask(provider.request("INVITE", f"sip:{NUMBER}@{DOMAIN}", body=SDP), 0.2)
        assert status_of(answers[0]) == 100, "and what is ours is"
        assert to_the_trunk(house) == []


def calls_of(name: str) -> list[str]:
    """Every place in the package that calls a method of this name."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == name:
                of = node.func.value.attr if isinstance(node.func.value, ast.Attribute) else "?"
                found.append(f"{path.relative_to(PACKAGE).as_posix()}:{of}")
    return found


def test_one_place_places_calls() -> None:
    """Whoever adds a way to a trunk meets this test: the check of what may be dialled belongs in front of it."""
    assert calls_of("outgoing") == ["sip/agent.py:?"], "one place makes a session of our own"
    servers = [place for place in calls_of("invite") if place.endswith(":_agent") and "softphone" not in place]
    assert servers == ["outgoing.py:_agent"]
    source = (PACKAGE / "outgoing.py").read_text()
    assert "self._registrar.bindings(" in source and "target=binding.contact.uri, flow=binding.flow" in source
    assert "trunk" not in source.lower(), "registered telephones are called, and nothing else"
