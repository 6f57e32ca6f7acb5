"""Forged requests inside a call (docs/trust.md): tags that are guessed, tags that were overheard, borrowed names.

A telephone's NAT may change its port at any time: a request from the same host is the telephone's. From another host it
has to prove that it is still the same user's, for tags can be overheard.
"""

import random
from dataclasses import replace

import pytest

from sipconf.sip import events
from sipconf.sip.flow import Flow
from sipconf.sip.parser import parse_message
from tests.sim.desk import PHONE, SDP, SERVER, TRUNK, Desk, header, proof, request, status, to_tag
from tests.sim.house import DOMAIN, House
from tests.sim.rtp_phone import RtpPhone
from tests.sim.siege import ROOM, Stranger, running_call, status_of
from tests.sim.siege import proof as house_proof

GUESSES, GUESSES_READ = 100_000, 10_000
"""Guessed tags, and how many of them come as octets; the others are looked up as they would be then."""
ELSEWHERE = Flow("udp", ("203.0.113.66", 5060), SERVER)
OTHER_PORT = Flow("udp", (PHONE.remote[0], 61000), SERVER)


def users_call(desk: Desk, *, offer: str = SDP.decode()) -> str:
    """A call of user 101 from PHONE, up; our tag."""
    (challenge,) = desk.receive(request("INVITE"), PHONE)
    auth = proof(header(challenge, "WWW-Authenticate")[0], "INVITE", "sip:2001@x")
    desk.receive(request("INVITE", cseq=2, extra=auth, body=offer), PHONE)
    (call,) = desk.told(events.IncomingCall)
    desk.agent.answer(call.session, SDP, desk.now)
    return to_tag(desk.take()[-1])


def within(tag: str, method: str, cseq: int, **more: str) -> str:
    return request(method, to=f"<sip:2001@x>;tag={tag}", cseq=cseq, branch=f"z9hG4bK{method}{cseq}", **more)


def acknowledge(desk: Desk, tag: str) -> None:
    desk.receive(within(tag, "ACK", 2), PHONE)
    assert desk.told(events.CallConfirmed)


def test_guessed_tags() -> None:
    desk = Desk()
    tag = users_call(desk)
    acknowledge(desk, tag)
    rng = random.Random(9)
    before, after = within("@@", "BYE", 3).encode().split(b"@@")
    read = parse_message(before + b"guess" + after)
    for number in range(GUESSES):
        desk.now += 0.02  # as fast as a stranger is listened to
        guess = f"{rng.getrandbits(64):016x}" if number % 10 else tag[:-1] + rng.choice("ghijkl")
        if number < GUESSES_READ:
            desk.agent.receive(before + guess.encode() + after, ELSEWHERE, desk.now)
        else:
            read.headers.parsed["To"] = replace(read.to, params=(("tag", guess),))
            desk.agent._in_dialog(read, ELSEWHERE, desk.now)
        (answer,) = desk.agent.take_outputs()
        assert answer.data.startswith(b"SIP/2.0 481 ")
    assert desk.agent.calls == 1
    assert status(desk.receive(within(tag, "BYE", 3), PHONE)[0]) == 200


def test_our_tags_are_64_random_bits() -> None:
    tags = {users_call(Desk()) for _ in range(3)}
    assert all(len(tag) == 16 and int(tag, 16) >= 0 for tag in tags)


@pytest.mark.parametrize("method", ["BYE", "INVITE", "INFO"])
def test_overheard_tags_from_another_host(method: str) -> None:
    desk = Desk()
    tag = users_call(desk)
    acknowledge(desk, tag)
    forged = within(tag, method, 900, body=SDP.decode() if method == "INVITE" else "")
    assert [status(answer) for answer in desk.receive(forged, ELSEWHERE)] == [401]
    assert not desk.told(events.Reoffered) and not desk.told(events.InfoReceived) and desk.agent.calls == 1
    (answer,) = desk.receive(within(tag, "INFO", 3), PHONE)
    assert status(answer) == 200, "the forged CSeq was not noted"


def test_a_telephone_that_moved_proves_itself_and_nobody_else_can() -> None:
    desk = Desk()
    tag = users_call(desk)
    acknowledge(desk, tag)
    (challenge,) = desk.receive(within(tag, "BYE", 3), ELSEWHERE)
    for password, expected in (("wrong", 401), ("secret", 200)):
        auth = proof(header(challenge, "WWW-Authenticate")[0], "BYE", "sip:2001@x", password)
        (answer,) = desk.receive(within(tag, "BYE", 4, extra=auth).replace("BYE4", f"BYE{password}"), ELSEWHERE)
        assert status(answer) == expected
    assert desk.told(events.CallEnded)


def test_another_port_of_the_same_host_is_a_nats_doing() -> None:
    desk = Desk()
    tag = users_call(desk)
    acknowledge(desk, tag)
    assert status(desk.receive(within(tag, "INFO", 3), OTHER_PORT)[0]) == 200
    assert status(desk.receive(within(tag, "BYE", 4), OTHER_PORT)[0]) == 200
    assert desk.told(events.CallEnded)


def test_cancel_from_another_host() -> None:
    desk = Desk()
    (challenge,) = desk.receive(request("INVITE"), PHONE)
    auth = proof(header(challenge, "WWW-Authenticate")[0], "INVITE", "sip:2001@x")
    desk.receive(request("INVITE", cseq=2, extra=auth), PHONE)
    cancel = request("CANCEL", cseq=2, branch="z9hG4bKINVITE2")
    assert [status(answer) for answer in desk.receive(cancel, ELSEWHERE)] == [481]
    assert not desk.told(events.CallCancelled)
    assert [status(answer) for answer in desk.receive(cancel, OTHER_PORT)] == [200, 487]


def test_an_ack_from_another_host_needs_our_tag() -> None:
    """The ACK of an offerless INVITE says where the sound goes."""
    desk = Desk()
    tag = users_call(desk, offer="")
    desk.receive(within("invented", "ACK", 2, body=SDP.decode()), ELSEWHERE)
    assert not desk.told(events.CallConfirmed)
    desk.receive(within("invented", "ACK", 2, body=SDP.decode()), PHONE)
    assert desk.told(events.CallConfirmed), "a telephone that invents a To tag (pyVoIP)"
    desk = Desk()
    tag = users_call(desk, offer="")
    desk.receive(within(tag, "ACK", 2, body=SDP.decode()), ELSEWHERE)
    assert desk.told(events.CallConfirmed), "by another of the proxies in between"


def test_a_trunks_call_is_the_trunks() -> None:
    desk = Desk()
    desk.call()
    bye = request("BYE", to=f"<sip:2001@x>;tag={desk.tag}", cseq=5)
    assert [status(answer) for answer in desk.receive(bye, ELSEWHERE)] == [481]
    assert [status(answer) for answer in desk.receive(bye, PHONE)] == [481]
    assert [status(answer) for answer in desk.receive(bye, TRUNK)] == [200]


def test_cseq_must_not_fall() -> None:
    desk = Desk()
    tag = users_call(desk)
    acknowledge(desk, tag)
    assert status(desk.receive(within(tag, "INFO", 10), PHONE)[0]) == 200
    for method in ("BYE", "INFO", "INVITE"):
        assert status(desk.receive(within(tag, method, 9), PHONE)[0]) == 500
    assert desk.agent.calls == 1


def test_a_person_is_who_the_digest_says() -> None:
    """101's password with From 102."""
    with House(ROOM) as house:
        phone = house.phone("101")
        reset = phone._reset

        def borrow_a_name() -> None:
            reset()
            phone.local = f"<sip:102@{DOMAIN}>"

        phone._reset = borrow_a_name
        house.dial(phone, "2001")
        house.await_prompt(phone)
        assert list(house.states()) == ["101"]
        phone.bye(house.now)


def test_nobody_registers_for_another() -> None:
    with House(ROOM) as house:
        thief = Stranger(house)
        uri, victim = f"sip:{DOMAIN}", f"sip:102@{DOMAIN}"
        (answer,) = thief.ask(thief.request("REGISTER", uri, sender=victim, to=f"<{victim}>"))
        challenge = answer.split("WWW-Authenticate: ")[1].split("\r\n")[0]
        auth = house_proof(challenge, "101", "secret-101", "REGISTER", uri)
        (answer,) = thief.ask(thief.request("REGISTER", uri, sender=victim, to=f"<{victim}>", extra=auth, cseq="2"))
        assert status_of(answer) == 403 and not house.registered


def test_a_running_call_is_not_disturbed() -> None:
    """Somebody who overhears every datagram forges BYE, CANCEL, re-INVITE and INFO from a host of his own."""
    with House(ROOM) as house:
        thief = Stranger(house)
        with running_call(house) as people:
            for phone in people:
                for method in ("BYE", "CANCEL", "INVITE", "INFO"):
                    answers = thief.ask(forged(phone, thief, method), 0.2)
                    assert all(status_of(answer) in (401, 481) for answer in answers) and answers
        house.settle()


def forged(phone: RtpPhone, thief: Stranger, method: str) -> str:
    """As the telephone would write it: its tags, its Call-ID, its INVITE's branch for CANCEL."""
    more = {"call_id": phone.call_id, "tag": phone.tag, "cseq": "900"}
    to = f"{phone.remote};tag={phone.peer_tag}"
    if method == "CANCEL":
        more |= {"branch": phone._invite_branch, "cseq": "2"}
        to = phone.remote
    return thief.request(method, phone.target, sender=phone.local.strip("<>"), to=to, **more)
