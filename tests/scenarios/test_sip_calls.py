"""Whole calls between a UserAgent and telephones written from raw text, over a network that loses, repeats and
reorders datagrams. Every scenario ends with all tables empty: nothing outlives its timers."""

import pytest

from sipconf.sip import events
from tests.sim.network import CLEAR, STORM, Weather
from tests.sim.raw_phone import RawPhone
from tests.sim.sip_bridge import PHONE, SDP, SERVER, TRUNK, Bridge

SEEDS = range(60)


@pytest.fixture(params=SEEDS, ids=lambda seed: f"seed{seed}")
def seed(request: pytest.FixtureRequest) -> int:
    return request.param


def test_user_calls_talks_and_hangs_up(seed: int) -> None:
    bridge = Bridge(seed, STORM)
    phone = bridge.phone()
    with bridge.network as network:
        phone.invite("2001", network.now)
        network.run(20)
        assert phone.in_call
        call = bridge.only(events.IncomingCall)
        assert (call.identity, call.dialled, call.caller_number) == (events.Identity("user", "101"), "2001", "101")
        assert call.offer is not None and b"m=audio 4000" in call.offer
        assert bridge.only(events.CallConfirmed) == events.CallConfirmed(call.session, None)
        phone.bye(network.now)
        network.run(20)
        assert bridge.only(events.CallEnded) == events.CallEnded(call.session, "hung up", True)
        assert "200 BYE" in phone.log
        assert phone.log.count("401 INVITE") == 1
        assert bridge.kinds() == ["IncomingCall", "CallConfirmed", "CallEnded"]
        bridge.settle()


def established(bridge: Bridge) -> tuple[RawPhone, str]:
    """A call that a telephone placed."""
    phone = bridge.phone()
    phone.invite("2001", bridge.network.now)
    bridge.network.run(40)
    assert phone.in_call
    return phone, bridge.only(events.IncomingCall).session


def test_server_hangs_up(seed: int) -> None:
    bridge = Bridge(seed, STORM)
    with bridge.network as network:
        phone, session = established(bridge)
        bridge.agent.hang_up(session, network.now, "kicked")
        network.run(20)
        assert not phone.in_call
        assert phone.log.count("BYE") == 1
        assert bridge.only(events.CallEnded) == events.CallEnded(session, "kicked", False)
        bridge.settle()


def test_both_hang_up_at_once(seed: int) -> None:
    bridge = Bridge(seed, STORM)
    with bridge.network as network:
        phone, session = established(bridge)
        phone.bye(network.now)
        bridge.agent.hang_up(session, network.now)
        network.run(40)
        assert "200 BYE" in phone.log or "481 BYE" in phone.log  # 481: ours was answered before theirs came
        bridge.only(events.CallEnded)
        bridge.settle()


def test_hang_up_right_after_the_answer_waits_for_the_ack(seed: int) -> None:
    bridge = Bridge(seed, STORM, answer_after=None)
    with bridge.network as network:
        phone = bridge.phone()
        phone.invite("2001", network.now)
        network.run(20)
        session = bridge.only(events.IncomingCall).session
        bridge.agent.answer(session, SDP, network.now)
        bridge.agent.hang_up(session, network.now)
        assert b"BYE" not in network.sent[-1][3][:4]
        network.run(40)
        assert "200 INVITE" in phone.log and "BYE" in phone.log and not phone.in_call
        bridge.only(events.CallEnded)
        bridge.settle()


def test_caller_cancels(seed: int) -> None:
    bridge = Bridge(seed, STORM, answer_after=None)
    with bridge.network as network:
        phone = bridge.phone()
        phone.invite("2001", network.now)
        network.run(20)
        assert "100" in phone.log or "180" in phone.log
        bridge.agent.ring(bridge.only(events.IncomingCall).session, network.now)
        phone.cancel(network.now)
        network.run(30)
        assert "487 INVITE" in phone.log
        assert "200 CANCEL" in phone.log or "481 CANCEL" in phone.log  # 481: the INVITE was over before it was heard
        assert bridge.kinds() == ["IncomingCall", "CallCancelled"]
        bridge.settle()


def test_refused_with_a_reason(seed: int) -> None:
    bridge = Bridge(seed, STORM, answer_after=None)
    with bridge.network as network:
        phone = bridge.phone()
        phone.invite("2001", network.now)
        network.run(20)
        session = bridge.only(events.IncomingCall).session
        bridge.agent.reject(session, 503, "No Line Free", network.now, retry_after=7)
        network.run(20)
        assert "503 INVITE" in phone.log
        refusals = [data for _, _, _, data in network.sent if data.startswith(b"SIP/2.0 503")]
        assert refusals[0].startswith(b"SIP/2.0 503 No Line Free") and b"Retry-After: 7\r\n" in refusals[0]
        assert bridge.kinds() == ["IncomingCall"]
        bridge.settle()


def test_hold_and_resume(seed: int) -> None:
    bridge = Bridge(seed, STORM)
    with bridge.network as network:
        phone, session = established(bridge)
        for mode in ("sendonly", "sendrecv"):
            phone.reinvite(mode, network.now)
            network.run(40)
        offers = [event.offer for event in bridge.events if isinstance(event, events.Reoffered)]
        assert [b"a=sendonly" in offer for offer in offers] == [True, False]
        assert bridge.kinds() == ["IncomingCall", "CallConfirmed"] + ["Reoffered", "CallConfirmed"] * 2
        phone.bye(network.now)
        bridge.settle()


@pytest.mark.parametrize("first", [False, True])
def test_re_invites_go_on_though_acks_are_lost(first: bool) -> None:
    """first: the ACK of the INVITE itself, else that of a re-INVITE."""
    bridge = Bridge(1, CLEAR)
    with bridge.network as network:
        phone = bridge.phone()
        send = phone._send
        phone._send = lambda data: None if first and data.startswith(b"ACK") and phone.in_call else send(data)
        phone.invite("2001", network.now)
        network.run(1.0)
        assert phone.in_call
        phone._send = lambda data: None if data.startswith(b"ACK") else send(data)
        phone.reinvite("sendonly", network.now)
        network.run(0.3)
        phone._send = send
        phone.reinvite("sendrecv", network.now)
        network.run(5)
        assert phone.log.count("200 INVITE") == 3 and "491 INVITE" not in phone.log
        assert bridge.kinds() == ["IncomingCall", *["CallConfirmed", "Reoffered"] * 2, "CallConfirmed"]
        assert [b"a=sendonly" in event.offer for event in bridge.events if isinstance(event, events.Reoffered)] == [
            True, False]
        phone.bye(network.now)
        bridge.settle()


def test_our_reoffer(seed: int) -> None:
    bridge = Bridge(seed, STORM)
    with bridge.network as network:
        phone, session = established(bridge)
        bridge.agent.reoffer(session, SDP, network.now)
        network.run(40)
        answer = bridge.only(events.CallAnswered)
        assert answer.answer is not None and b"m=audio 4000" in answer.answer
        assert "ACK" in phone.log
        bridge.agent.hang_up(session, network.now)
        bridge.settle()


def test_glare_ends_with_both_offers_through(seed: int) -> None:
    bridge = Bridge(seed, Weather(delay=0.05, jitter=0.02))
    with bridge.network as network:
        phone, session = established(bridge)
        phone.reinvite("sendonly", network.now)
        bridge.agent.reoffer(session, SDP, network.now)
        network.run(0.3)
        assert "491 INVITE" in phone.log
        network.run(2.2)  # we did not choose the Call-ID: our retry comes within 2 s
        bridge.only(events.CallAnswered)
        phone.reinvite("sendonly", network.now)
        network.run(5)
        bridge.only(events.Reoffered)
        phone.bye(network.now)
        bridge.settle()


def test_info_is_told_once(seed: int) -> None:
    bridge = Bridge(seed, STORM)
    with bridge.network as network:
        phone, session = established(bridge)
        phone.info("Signal=5\r\nDuration=160\r\n", network.now)
        network.run(30)
        assert "200 INFO" in phone.log
        told = bridge.only(events.InfoReceived)
        assert told == events.InfoReceived(session, "application/dtmf-relay", b"Signal=5\r\nDuration=160\r\n")
        phone.bye(network.now)
        bridge.settle()


def test_offerless_invite_is_confirmed_with_the_answer(seed: int) -> None:
    bridge = Bridge(seed, STORM)
    with bridge.network as network:
        phone = bridge.phone()
        phone.invite("2001", network.now, offer=False)
        network.run(30)
        assert bridge.only(events.IncomingCall).offer is None
        answer = bridge.only(events.CallConfirmed).answer
        assert answer is not None and b"m=audio 4000" in answer
        phone.bye(network.now)
        bridge.settle()


def test_trunk_is_not_challenged(seed: int) -> None:
    bridge = Bridge(seed, STORM)
    with bridge.network as network:
        phone = bridge.phone("+32475123456", TRUNK)
        phone.invite("+3225551234", network.now)
        network.run(30)
        assert "401 INVITE" not in phone.log
        call = bridge.only(events.IncomingCall)
        assert (call.identity, call.dialled) == (events.Identity("trunk", "provider"), "+3225551234")
        assert call.caller_number == "+32475123456"
        phone.bye(network.now)
        bridge.settle()


def test_wrong_password_stays_outside(seed: int) -> None:
    bridge = Bridge(seed, STORM)
    with bridge.network as network:
        phone = bridge.phone()
        phone.password = "wrong"
        phone.invite("2001", network.now)
        network.run(3)
        assert bridge.kinds() == []
        phone.cancel(network.now)  # nothing is remembered of it, so there is nothing to cancel
        network.run(1)
        assert "200 CANCEL" not in phone.log
        assert bridge.agent.idle()


def test_registers(seed: int) -> None:
    bridge = Bridge(seed, STORM)
    with bridge.network as network:
        phone = bridge.phone()
        phone.register(network.now)
        network.run(40)
        assert phone.log[-1] == "200 REGISTER"
        assert bridge.only(events.RegistrationChanged) == events.RegistrationChanged("101", 1)
        assert [binding.flow.remote for binding in bridge.registrar.bindings("101", network.now)] == [PHONE]


def test_caller_who_never_acknowledges_is_hung_up(seed: int) -> None:
    bridge = Bridge(seed, CLEAR)
    with bridge.network as network:
        phone = bridge.phone()
        phone.invite("2001", network.now)
        network.run(0.4)
        network.weather = Weather(loss=1.0)  # before our 200
        network.run(31.9)
        assert bridge.kinds() == ["IncomingCall"]
        oks = [when for when, source, _, data in network.sent if source == SERVER and data.startswith(b"SIP/2.0 200")]
        gaps = [round(after - before, 3) for before, after in zip(oks, oks[1:], strict=False)]
        assert gaps[:6] == [0.5, 1.0, 2.0, 4.0, 4.0, 4.0]
        network.weather = CLEAR
        network.run(1.0)
        assert bridge.only(events.CallEnded).reason == "no ACK"
        assert "BYE" in phone.log
        bridge.settle()


def test_caller_who_vanishes_while_nobody_decides_is_forgotten(seed: int) -> None:
    bridge = Bridge(seed, CLEAR, answer_after=None)
    with bridge.network as network:
        bridge.phone().invite("2001", network.now)
        network.run(1)
        network.weather = Weather(loss=1.0)
        network.run(298)
        assert bridge.kinds() == ["IncomingCall"]
        bridge.settle()
        assert bridge.kinds() == ["IncomingCall", "CallCancelled"]
