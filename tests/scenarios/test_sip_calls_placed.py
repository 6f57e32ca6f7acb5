"""Calls that the server places to telephones written from raw text, over a network that loses, repeats and reorders."""

import pytest

from sipconf.sip import events
from tests.sim.network import CLEAR, STORM, Weather
from tests.sim.sip_bridge import OTHER, Bridge

SEEDS = range(60)


@pytest.fixture(params=SEEDS, ids=lambda seed: f"seed{seed}")
def seed(request: pytest.FixtureRequest) -> int:
    return request.param


def test_our_call_is_answered(seed: int) -> None:
    bridge = Bridge(seed, STORM)
    with bridge.network as network:
        phone = bridge.phone("102", OTHER)
        session = bridge.invite(phone)
        network.run(40)
        answered = bridge.only(events.CallAnswered)
        assert answered.session == session and b"m=audio 4000" in answered.answer
        assert phone.in_call and "ACK" in phone.log
        bridge.agent.hang_up(session, network.now)
        network.run(30)
        assert not phone.in_call
        bridge.settle()


def test_our_call_is_hung_up_by_them(seed: int) -> None:
    bridge = Bridge(seed, STORM)
    with bridge.network as network:
        phone = bridge.phone("102", OTHER)
        session = bridge.invite(phone)
        network.run(40)
        phone.cseq = 100
        phone.reinvite("sendonly", network.now)
        network.run(30)
        phone.bye(network.now)
        network.run(30)
        assert bridge.only(events.CallEnded) == events.CallEnded(session, "hung up", True)
        bridge.only(events.Reoffered)
        assert "200 BYE" in phone.log
        bridge.settle()


def test_our_call_is_refused(seed: int) -> None:
    bridge = Bridge(seed, STORM)
    with bridge.network as network:
        phone = bridge.phone("102", OTHER)
        phone.final_status = 486
        session = bridge.invite(phone)
        network.run(40)
        assert bridge.only(events.CallFailed) == events.CallFailed(session, 486, "Whatever")
        assert "ACK" in phone.log
        bridge.settle()


def test_our_call_is_cancelled(seed: int) -> None:
    bridge = Bridge(seed, STORM)
    with bridge.network as network:
        phone = bridge.phone("102", OTHER)
        phone.pickup = None
        session = bridge.invite(phone)
        network.run(seed / 30)  # before and after the first 1xx
        bridge.agent.cancel(session, network.now)
        assert bridge.agent.calls
        network.run(60)
        assert bridge.only(events.CallFailed) == events.CallFailed(session, 487, "Request Terminated")
        assert not phone.in_call and "CANCEL" in phone.log
        bridge.settle()


def test_our_call_is_cancelled_while_it_is_answered(seed: int) -> None:
    bridge = Bridge(seed, STORM)
    with bridge.network as network:
        phone = bridge.phone("102", OTHER)
        phone.pickup = 0.0
        session = bridge.invite(phone)
        network.run(seed / 100)
        if bridge.agent.calls and "CallAnswered" not in bridge.kinds():
            bridge.agent.cancel(session, network.now)
            network.run(60)
            assert "CallAnswered" not in bridge.kinds()
        else:
            bridge.agent.hang_up(session, network.now)
            network.run(60)
        assert not phone.in_call
        bridge.settle()


def test_our_call_to_nobody(seed: int) -> None:
    bridge = Bridge(seed, CLEAR)
    with bridge.network as network:
        phone = bridge.phone("102", OTHER)
        network.weather = Weather(loss=1.0)
        session = bridge.invite(phone)
        network.run(31.9)
        assert bridge.kinds() == []
        network.run(0.2)
        assert bridge.only(events.CallFailed) == events.CallFailed(session, 408, "Request Timeout")
        assert sum(data.startswith(b"INVITE") for _, _, _, data in network.sent) == 7
        bridge.settle()


def test_telephone_that_rings_for_ever(seed: int) -> None:
    bridge = Bridge(seed, STORM)
    with bridge.network as network:
        phone = bridge.phone("102", OTHER)
        phone.pickup = None
        session = bridge.invite(phone)
        network.run(400)
        assert bridge.only(events.CallFailed) == events.CallFailed(session, 408, "Request Timeout")
        assert "CANCEL" in phone.log
        bridge.settle()
