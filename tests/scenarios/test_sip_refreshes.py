"""Long calls and careful ones: session timers, UPDATE and acknowledged ringing between a UserAgent and telephones
written from raw text, over a network that loses, repeats and reorders datagrams."""

import pytest

from sipconf.sip import events
from tests.sim.network import CLEAR, STORM, Weather
from tests.sim.raw_phone import RawPhone
from tests.sim.sip_bridge import OTHER, PHONE, SDP, Bridge

SEEDS = range(20)
TIMER = "Supported: timer\r\n"
ALLOW = "Allow: INVITE, ACK, BYE, CANCEL, UPDATE\r\n"


@pytest.fixture(params=SEEDS, ids=lambda seed: f"seed{seed}")
def seed(request: pytest.FixtureRequest) -> int:
    return request.param


def called(bridge: Bridge, says: str) -> tuple[RawPhone, str]:
    """A call that a telephone with these header lines placed."""
    phone = bridge.phone()
    phone.says = says
    phone.invite("2001", bridge.network.now)
    bridge.network.run(40)
    assert phone.in_call
    return phone, bridge.only(events.IncomingCall).session


def silent(bridge: Bridge, address: tuple[str, int]) -> None:
    """The telephone at this address has lost its power."""
    bridge.network.weather = Weather(loss=1.0)


@pytest.mark.parametrize("allow", ["", ALLOW])
@pytest.mark.parametrize("refresher", ["", ";refresher=uas"])
def test_we_refresh_a_long_call(seed: int, allow: str, refresher: str) -> None:
    bridge = Bridge(seed, STORM)
    with bridge.network as network:
        phone, session = called(bridge, f"{TIMER}Session-Expires: 600{refresher}\r\n{allow}")
        phone.says, phone.timer = allow, "uas"
        network.run(2000)
        assert phone.in_call
        assert phone.log.count("UPDATE" if allow else "INVITE") == 6
        assert bridge.kinds() == ["IncomingCall", "CallConfirmed"]  # nobody above was bothered
        phone.bye(network.now)
        network.run(30)
        assert bridge.only(events.CallEnded) == events.CallEnded(session, "hung up", True)
        bridge.settle()


@pytest.mark.parametrize("method", ["UPDATE", "INVITE"])
def test_they_refresh_a_long_call(seed: int, method: str) -> None:
    bridge = Bridge(seed, STORM)
    with bridge.network as network:
        phone, session = called(bridge, f"{TIMER}Session-Expires: 600;refresher=uac\r\n")
        for _ in range(5):
            network.run(300)
            if method == "UPDATE":
                phone.update(network.now)
            else:
                phone.reinvite("sendrecv", network.now)
        network.run(40)
        assert phone.in_call and "Reoffered" not in bridge.kinds()
        silent(bridge, PHONE)
        network.run(560)
        ended = bridge.only(events.CallEnded)
        assert ended == events.CallEnded(session, "session expired", False)
        bridge.settle()


@pytest.mark.parametrize("refresher", ["uac", "uas"])
@pytest.mark.parametrize("allow", ["", ALLOW])
def test_long_call_of_ours(seed: int, refresher: str, allow: str) -> None:
    bridge = Bridge(seed, STORM)
    with bridge.network as network:
        phone = bridge.phone("102", OTHER)
        phone.timer, phone.says = refresher, allow
        session = bridge.invite(phone)
        network.run(3000)
        if refresher == "uas":  # the phone said so and never refreshed
            assert bridge.only(events.CallEnded) == events.CallEnded(session, "session expired", False)
            assert not phone.in_call
        else:
            assert phone.in_call and phone.log.count("UPDATE" if allow else "INVITE") == 3 + (not allow)
            assert "CallEnded" not in bridge.kinds()
            silent(bridge, OTHER)
            network.run(2000)
            assert bridge.only(events.CallEnded) == events.CallEnded(session, "session expired", False)
        bridge.settle()


def test_telephone_without_timers_is_left_alone(seed: int) -> None:
    bridge = Bridge(seed, STORM)
    with bridge.network as network:
        phone, _ = called(bridge, ALLOW)
        sent = len(network.sent)
        network.run(10_000)
        assert phone.in_call and len(network.sent) == sent
        phone.bye(network.now)
        network.run(30)
        bridge.settle()


def test_hold_by_update(seed: int) -> None:
    bridge = Bridge(seed, STORM)
    with bridge.network as network:
        phone, session = called(bridge, "")
        phone.update(network.now, body=phone.sdp("sendonly"))
        network.run(30)
        assert bridge.only(events.Reoffered).session == session
        assert phone.log.count("200 UPDATE") == 1 and bridge.kinds()[-1] == "CallConfirmed"
        phone.bye(network.now)
        network.run(30)
        bridge.settle()


def test_caller_that_demands_prack(seed: int) -> None:
    bridge = Bridge(seed, STORM, answer_after=10.0)
    with bridge.network as network:
        phone, _ = called(bridge, "Require: 100rel\r\n")
        assert sum(line.startswith("RSeq ") for line in phone.log) == 1 and "200 PRACK" in phone.log
        bridge.only(events.CallConfirmed)
        phone.bye(network.now)
        network.run(30)
        bridge.settle()


def test_caller_that_demands_prack_and_sends_none(seed: int) -> None:
    bridge = Bridge(seed, CLEAR, answer_after=None)
    with bridge.network as network:
        phone = bridge.phone()
        phone._prack = lambda *args: None
        phone.says = "Require: 100rel\r\n"
        phone.invite("2001", network.now)
        network.run(1)
        bridge.agent.ring(bridge.only(events.IncomingCall).session, network.now)
        network.run(31.9)
        assert "504 INVITE" not in phone.log
        network.run(0.2)
        assert "504 INVITE" in phone.log
        assert bridge.kinds() == ["IncomingCall", "CallCancelled"]
        bridge.settle()


def test_telephone_whose_ringing_wants_prack(seed: int) -> None:
    bridge = Bridge(seed, STORM)
    with bridge.network as network:
        phone = bridge.phone("102", OTHER)
        phone.reliable, phone.pickup = True, 10.0
        session = bridge.invite(phone)
        network.run(60)
        assert bridge.only(events.CallAnswered).session == session
        assert phone.log.count("PRACK") == 1 and phone.in_call
        bridge.agent.hang_up(session, network.now)
        network.run(30)
        assert not phone.in_call
        bridge.settle()


def test_interval_too_small_is_refused_once_known(seed: int) -> None:
    bridge = Bridge(seed, CLEAR)
    with bridge.network as network:
        phone = bridge.phone()
        phone.says = f"{TIMER}Session-Expires: 60\r\n"
        phone.invite("2001", network.now)
        network.run(5)
        assert "422 INVITE" in phone.log and not phone.in_call and bridge.kinds() == []
        phone.says = f"{TIMER}Session-Expires: 90\r\n"
        phone.invite("2001", network.now)
        network.run(5)
        assert phone.in_call and SDP.decode() in phone.bodies
        phone.bye(network.now)
        network.run(5)
        bridge.settle()
