"""Every cell of the table of a call from the join page, and every absent one; which keeper gets an order."""

import pytest

from sipconf.errors import MisuseError
from sipconf.signalling import Signalling
from sipconf.sip import events as sip
from sipconf.sip.flow import Flow
from sipconf.web_calls import TABLE, Answered, Input, Over, Refused, State, WebCalls

FLOW = Flow("https", ("198.51.100.7", 50000), ("192.0.2.1", 8443))
ORDERS = {
    Input.ANSWER: lambda calls: calls.answer("s", b"answer", 0.0),
    Input.REFUSE: lambda calls: calls.reject("s", 403, "no", 0.0, retry_after=7),
    Input.HANG_UP: lambda calls: calls.hang_up("s", 0.0, reason="kicked"),
    Input.CONFIRM: lambda calls: calls.confirm("s"),
    Input.LEAVE: lambda calls: calls.leave("s", "gone"),
}
WHAT_FOLLOWS = {
    (State.ARRIVED, Input.ANSWER): ([], [Answered("s", b"answer")]),
    (State.ARRIVED, Input.REFUSE): ([], [Refused("s", 403, "no", 7)]),
    (State.ARRIVED, Input.HANG_UP): ([sip.CallEnded("s", "kicked", False)], [Refused("s", 503, "kicked")]),
    (State.ARRIVED, Input.LEAVE): ([sip.CallCancelled("s", "gone")], []),
    (State.ANSWERED, Input.CONFIRM): ([sip.CallConfirmed("s", None)], []),
    (State.ANSWERED, Input.HANG_UP): ([sip.CallEnded("s", "kicked", False)], [Over("s", "kicked")]),
    (State.ANSWERED, Input.LEAVE): ([sip.CallEnded("s", "gone", True)], []),
    (State.CONNECTED, Input.HANG_UP): ([sip.CallEnded("s", "kicked", False)], [Over("s", "kicked")]),
    (State.CONNECTED, Input.LEAVE): ([sip.CallEnded("s", "gone", True)], []),
}


def call_in(state: State) -> WebCalls:
    calls = WebCalls()
    calls.arrive("s", "2001", "Vera", b"offer", FLOW)
    if state is not State.ARRIVED:
        calls.answer("s", b"", 0.0)
    if state is State.CONNECTED:
        calls.confirm("s")
    calls.take_events()
    calls.take_outputs()
    return calls


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("what", Input)
def test_every_input_in_every_state(state: State, what: Input) -> None:
    calls = call_in(state)
    ORDERS[what](calls)
    assert (calls.take_events(), calls.take_outputs()) == WHAT_FOLLOWS.get((state, what), ([], []))
    cell = TABLE.get((state, what))
    assert ("s" in calls) is (cell is None or cell[1] is not None)
    assert WHAT_FOLLOWS.keys() == TABLE.keys()


@pytest.mark.parametrize("what", Input)
def test_a_call_that_is_over_takes_nothing(what: Input) -> None:
    calls = call_in(State.CONNECTED)
    calls.leave("s", "gone")
    calls.take_events()
    ORDERS[what](calls)
    assert (calls.take_events(), calls.take_outputs(), len(calls)) == ([], [], 0)


def test_an_arrival_is_told_as_a_call_of_a_visitor() -> None:
    calls = WebCalls()
    calls.arrive("s", "2001", "Vera", b"offer", FLOW)
    (event,) = calls.take_events()
    assert event == sip.IncomingCall("s", "s", sip.Identity("visitor", "198.51.100.7"), "2001", "web", "Vera", b"offer",
                                     FLOW)
    with pytest.raises(MisuseError):
        calls.arrive("s", "2001", "Vera", b"offer", FLOW)


class Agent:
    """A user agent that notes its orders."""

    def __init__(self) -> None:
        self.orders: list[tuple[object, ...]] = []

    def __getattr__(self, name: str):
        return lambda *given, **named: self.orders.append((name, *given, *named.values()))


def test_orders_go_to_whoever_keeps_the_session() -> None:
    agent, calls = Agent(), call_in(State.ARRIVED)
    signalling = Signalling(agent, calls)
    for session in ("s", "another"):
        signalling.ring(session, 1.0)
        signalling.answer(session, b"answer", 1.0)
        signalling.reject(session, 403, "no", 1.0, retry_after=7)
        signalling.hang_up(session, 1.0, reason="over")
    signalling.refuse_reoffer("another", 488, "no", 1.0)
    assert agent.orders == [
        ("ring", "another", 1.0), ("answer", "another", b"answer", 1.0), ("reject", "another", 403, "no", 1.0, 7),
        ("hang_up", "another", 1.0, "over"), ("refuse_reoffer", "another", 488, "no", 1.0)]
    assert calls.take_outputs() == [Answered("s", b"answer"), Over("s", "over")]
