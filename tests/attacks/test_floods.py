"""Floods of requests (docs/trust.md): cheap refusal before any state, some 503, silence; whoever is known goes on."""

import random

import pytest

from sipconf.sip.agent import UserAgent
from sipconf.sip.digest import Authenticator
from sipconf.sip.events import CloseFlow
from sipconf.sip.flow import Flow
from sipconf.sip.registrar import NoBindings, Registrar, RegistrarSettings
from sipconf.sip.settings import AgentSettings
from sipconf.sip.sources import SourceLimits
from sipconf.sip.trunk import Trunks
from tests.sim.desk import PHONE, Desk, header, proof, request, status
from tests.sim.house import SERVER, House
from tests.sim.siege import ROOM, Stranger, running_call, status_of

LIMITS = SourceLimits()
PACKETS = 20_000
SECONDS = 0.5


def flood(house: House, stranger: Stranger, ports: int, text: bytes | None) -> None:
    """PACKETS a second for SECONDS, evenly from all ports; None: each time another INVITE."""
    each_tick = round(PACKETS * 0.02)
    for tick in range(round(SECONDS / 0.02)):
        for number in range(tick * each_tick, (tick + 1) * each_tick):
            stranger.send(text or stranger.request("INVITE", body="v=0\r\n"), 5060 + number % ports)
        house.tick()


@pytest.mark.parametrize("ports", [1, 1000])
@pytest.mark.parametrize("text", [None, b"\xff\x00" * 100, b"OPTIONS sip:x SIP/2.0\r\nVia: x\r\n\r\n"],
                         ids=["INVITE", "noise", "malformed"])
def test_a_flood_from_one_host(ports: int, text: bytes | None) -> None:
    with House(ROOM) as house:
        stranger = Stranger(house)
        with running_call(house):
            held = len(house.agent._transactions)
            flood(house, stranger, ports, text)
            assert len(house.agent._transactions) <= held, "a stranger's request leaves nothing behind"
            answers = [status_of(answer) for answer in stranger.told()]
            most = LIMITS.stranger_host.burst + LIMITS.stranger_host.per_second * SECONDS
            refusals = LIMITS.refusals.burst + LIMITS.refusals.per_second * SECONDS
            assert set(answers) <= {401, 400, 503} and len(answers) <= most + refusals + 2
            assert answers.count(503) <= refusals + 1
            assert house.agent.dropped >= PACKETS * SECONDS - most - refusals - 2
            late = house.phone("103")  # somebody new, from elsewhere, in the middle of it
            late.invite("2001", house.now)
            flood(house, stranger, ports, text)
            assert late.in_call
            late.bye(house.now)
        house.settle()


def test_a_flood_from_ever_new_addresses_does_not_reach_who_is_known() -> None:
    desk = Desk()
    texts = [request("INVITE", branch=f"z9hG4bK{number}", call_id=f"c{number}") for number in range(100)]
    held = len(desk.agent._gate.sources)
    for number in range(50_000):
        host = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        desk.now += 1 / PACKETS
        desk.agent.receive(texts[number % 100].encode(), Flow("udp", (host, 5060), SERVER), desk.now)
    answers = desk.take()
    most = LIMITS.strangers.burst + LIMITS.strangers.per_second * 2.5
    refusals = LIMITS.all_refusals.burst + LIMITS.all_refusals.per_second * 2.5
    assert len(answers) <= most + refusals + 2
    assert desk.agent.idle() and len(desk.agent._gate.sources) - held <= 3 * (most + refusals)
    call = desk.call()  # the trunk's call comes through in the middle of it
    assert call and desk.agent.calls == 1


def test_a_stream_that_floods_is_refused_and_closed() -> None:
    desk = Desk()
    stream = Flow("tcp", ("203.0.113.66", 40000), SERVER, 7)
    answers, closed = [], []
    for number in range(1000):
        answers += desk.receive(request("OPTIONS", branch=f"z9hG4bK{number}"), stream)
        closed += desk.told(CloseFlow)
        if closed:
            break
    assert closed and closed[0].flow == stream
    assert [status(answer) for answer in answers].count(503) == LIMITS.refusals.burst


def test_half_open_calls_of_one_user_are_bounded_and_others_call_on() -> None:
    """A user's stolen password opens calls that nobody answers and nobody acknowledges."""
    settings = AgentSettings("x", "", lambda flow: SERVER)
    with House(ROOM, max_calls=1000, pairs=2000) as house:
        thief, friend = house.phone("101"), house.phone("102")
        friend.pickup = None
        house.register(friend)
        with running_call(house):
            for _ in range(settings.max_half_open_per_source + 20):
                thief.invite("102", house.now)
                house.run(0.04)
            house.run(1.0)
            refused = thief.log.count("503 INVITE")
            assert refused >= 20 and len(house.agent._sessions._half_open) <= settings.max_half_open_per_source + 2
            other = house.phone("103")
            house.dial(other, "2001")
            other.bye(house.now)
        house.run(settings.ring_limit + 40.0)
        assert len(house.agent._sessions._half_open) == 0 and not house.switchboard.lines


def test_503_says_when_to_come_again_a_bounded_number_of_times_and_then_nothing_is_said() -> None:
    desk = Desk(max_sessions=1, retry_after=9)
    desk.receive(request("INVITE"))
    answers = []
    for number in range(200):
        answers += desk.receive(request("INVITE", call_id=f"more{number}", branch=f"z9hG4bKmore{number}"))
    assert len(answers) == LIMITS.refusals.burst
    assert all("\r\nRetry-After: 9\r\n" in answer and status(answer) == 503 for answer in answers)
    assert desk.agent.dropped == 200 - LIMITS.refusals.burst
    desk.now += 1.0
    assert desk.receive(request("INVITE", call_id="later", branch="z9hG4bKlater"))
    assert len(desk.agent._transactions) == 1


def test_the_tenth_telephone_of_an_extension_is_the_last() -> None:
    with House(ROOM) as house:
        phones = [house.phone("101") for _ in range(12)]
        for phone in phones:
            phone.register(house.now)
            house.run(0.2)
        assert [phone.log[-1] for phone in phones] == ["200 REGISTER"] * 10 + ["403 REGISTER"] * 2
        assert len(house.registrar.bindings("101", house.now)) == 10


@pytest.mark.parametrize(("contacts", "expected"), [(10, 200), (11, 403), (32, 403), (33, 400), (500, 400)])
def test_contacts_of_one_register_are_bounded(contacts: int, expected: int) -> None:
    desk = Desk()
    (challenge,) = desk.receive(request("REGISTER", uri="sip:x", to="<sip:101@x>"), PHONE)
    auth = proof(header(challenge, "WWW-Authenticate")[0], "REGISTER", "sip:x")
    more = "".join(f"Contact: <sip:101@198.51.100.{number % 250}:{5000 + number}>\r\n" for number in range(1, contacts))
    text = request("REGISTER", uri="sip:x", to="<sip:101@x>", cseq=2, extra=auth + more)
    assert [status(answer) for answer in desk.receive(text, PHONE)] == [expected]
    assert len(desk.registrar.bindings("101", desk.now)) == (contacts if expected == 200 else 0)


def test_telephones_registered_before_a_restart_are_known_after_it() -> None:
    with House(ROOM) as house:
        phone = house.phone("101")
        house.register(phone)
        kept = Registrar(NoBindings(), RegistrarSettings(), random.Random(2))
        kept._bindings = house.registrar._bindings
        agent = UserAgent(AgentSettings("x", "", lambda flow: SERVER), Authenticator("x", {}.get, ("MD5",), house._rng),
                          Trunks(), kept, house._rng)
        assert agent._gate.knows(Flow("udp", phone.address, SERVER))
        assert not agent._gate.knows(Flow("udp", (phone.address[0], 1), SERVER))
