"""Sessions: every cell of the table with what it puts out, every absent cell refused."""

import itertools

import pytest

from sipconf.errors import MisuseError
from sipconf.sip.answering import Arrived
from sipconf.sip.session import ORDERS, TABLE, Input, State
from tests.sim.session_bench import Bench

CELLS = list(itertools.product(State, Input))
EXPECTED: dict[tuple[str, str], tuple[str, list[str]]] = {
    ("INVITED", "RING"): ("INVITED", ["180 INVITE"]),
    ("INVITED", "RING_AGAIN"): ("INVITED", ["180 INVITE"]),
    ("INVITED", "ANSWER"): ("ANSWERED", ["200 INVITE"]),
    ("INVITED", "REJECT"): ("ENDED", ["488 INVITE"]),
    ("INVITED", "HANG_UP"): ("ENDED", ["480 INVITE", "CallEnded"]),
    ("INVITED", "CANCEL"): ("ENDED", ["487 INVITE", "CallCancelled"]),
    ("INVITED", "RING_LIMIT"): ("ENDED", ["487 INVITE", "CallCancelled"]),
    ("INVITED", "BYE"): ("ENDED", ["200 BYE", "487 INVITE", "CallCancelled"]),
    ("INVITED", "REINVITE"): ("INVITED", ["500 INVITE"]),
    ("INVITED", "PATH_LOST"): ("ENDED", ["CallCancelled"]),
    ("ANSWERED", "RESEND"): ("ANSWERED", ["200 INVITE"]),
    ("ANSWERED", "ACK"): ("ACTIVE", ["CallConfirmed"]),
    ("ANSWERED", "NO_ACK"): ("ENDING", ["BYE", "CallEnded"]),
    ("ANSWERED", "HANG_UP"): ("LEAVING", ["CallEnded"]),
    ("ANSWERED", "CANCEL"): ("ANSWERED", []),
    ("ANSWERED", "BYE"): ("ENDED", ["200 BYE", "CallEnded"]),
    ("ANSWERED", "REINVITE"): ("ANSWERED", ["491 INVITE"]),
    ("ANSWERED", "REINVITE_PROVES"): ("REINVITED", ["CallConfirmed", "Reoffered"]),
    ("ANSWERED", "INFO"): ("ANSWERED", ["200 INFO", "InfoReceived"]),
    ("LEAVING", "RESEND"): ("LEAVING", ["200 INVITE"]),
    ("LEAVING", "ACK"): ("ENDING", ["BYE"]),
    ("LEAVING", "NO_ACK"): ("ENDING", ["BYE"]),
    ("LEAVING", "CANCEL"): ("LEAVING", []),
    ("LEAVING", "REINVITE"): ("LEAVING", ["491 INVITE"]),
    ("LEAVING", "REINVITE_PROVES"): ("ENDING", ["481 INVITE", "BYE"]),
    ("LEAVING", "BYE"): ("ENDED", ["200 BYE"]),
    ("CALLING", "PROVISIONAL"): ("EARLY", ["CallProgress"]),
    ("CALLING", "SUCCESS"): ("ACTIVE", ["ACK", "CallAnswered"]),
    ("CALLING", "FAILURE"): ("ENDED", ["CallFailed"]),
    ("CALLING", "CHALLENGED"): ("CALLING", ["INVITE"]),
    ("CALLING", "NO_ANSWER"): ("ENDED", ["CallFailed"]),
    ("CALLING", "NO_PATH"): ("ENDED", ["CallFailed"]),
    ("CALLING", "HANG_UP"): ("GIVING_UP", ["CallFailed"]),
    ("CALLING", "RING_LIMIT"): ("ENDED", ["CallFailed"]),
    ("EARLY", "PROVISIONAL"): ("EARLY", ["CallProgress"]),
    ("EARLY", "SUCCESS"): ("ACTIVE", ["ACK", "CallAnswered"]),
    ("EARLY", "FAILURE"): ("ENDED", ["CallFailed"]),
    ("EARLY", "CHALLENGED"): ("CALLING", ["INVITE"]),
    ("EARLY", "NO_PATH"): ("ENDED", ["CallFailed"]),
    ("EARLY", "HANG_UP"): ("CANCELLED", ["CANCEL", "CallFailed"]),
    ("EARLY", "RING_LIMIT"): ("CANCELLED", ["CANCEL", "CallFailed"]),
    ("GIVING_UP", "PROVISIONAL"): ("CANCELLED", ["CANCEL"]),
    ("GIVING_UP", "SUCCESS"): ("ENDING", ["ACK", "BYE"]),
    ("GIVING_UP", "FAILURE"): ("ENDED", []),
    ("GIVING_UP", "NO_ANSWER"): ("ENDED", []),
    ("GIVING_UP", "NO_PATH"): ("ENDED", []),
    ("GIVING_UP", "RING_LIMIT"): ("ENDED", []),
    ("CANCELLED", "PROVISIONAL"): ("CANCELLED", []),
    ("CANCELLED", "SUCCESS"): ("ENDING", ["ACK", "BYE"]),
    ("CANCELLED", "FAILURE"): ("ENDED", []),
    ("CANCELLED", "NO_PATH"): ("ENDED", []),
    ("CANCELLED", "LIMIT"): ("ENDED", []),
    ("ACTIVE", "CANCEL"): ("ACTIVE", []),
    ("ACTIVE", "INFO"): ("ACTIVE", ["200 INFO", "InfoReceived"]),
    ("ACTIVE", "HANG_UP"): ("ENDING", ["BYE", "CallEnded"]),
    ("ACTIVE", "BYE"): ("ENDED", ["200 BYE", "CallEnded"]),
    ("ACTIVE", "REINVITE"): ("REINVITED", ["Reoffered"]),
    ("ACTIVE", "REOFFER"): ("REOFFERING", ["INVITE"]),
    ("REINVITED", "ANSWER_REOFFER"): ("REANSWERED", ["200 INVITE"]),
    ("REINVITED", "REFUSE_REOFFER"): ("ACTIVE", ["488 INVITE"]),
    ("REINVITED", "CANCEL"): ("REINVITED", []),
    ("REINVITED", "INFO"): ("REINVITED", ["200 INFO", "InfoReceived"]),
    ("REINVITED", "HANG_UP"): ("ENDING", ["487 INVITE", "BYE", "CallEnded"]),
    ("REINVITED", "BYE"): ("ENDED", ["200 BYE", "487 INVITE", "CallEnded"]),
    ("REINVITED", "REINVITE"): ("REINVITED", ["500 INVITE"]),
    ("REANSWERED", "RESEND"): ("REANSWERED", ["200 INVITE"]),
    ("REANSWERED", "ACK"): ("ACTIVE", ["CallConfirmed"]),
    ("REANSWERED", "NO_ACK"): ("ENDING", ["BYE", "CallEnded"]),
    ("REANSWERED", "CANCEL"): ("REANSWERED", []),
    ("REANSWERED", "INFO"): ("REANSWERED", ["200 INFO", "InfoReceived"]),
    ("REANSWERED", "HANG_UP"): ("ENDING", ["BYE", "CallEnded"]),
    ("REANSWERED", "BYE"): ("ENDED", ["200 BYE", "CallEnded"]),
    ("REANSWERED", "REINVITE"): ("REANSWERED", ["491 INVITE"]),
    ("REANSWERED", "REINVITE_PROVES"): ("REINVITED", ["CallConfirmed", "Reoffered"]),
    ("REOFFERING", "PROVISIONAL"): ("REOFFERING", []),
    ("REOFFERING", "SUCCESS"): ("ACTIVE", ["ACK", "CallAnswered"]),
    ("REOFFERING", "FAILURE"): ("ACTIVE", ["ReofferFailed"]),
    ("REOFFERING", "CHALLENGED"): ("REOFFERING", ["INVITE"]),
    ("REOFFERING", "PENDING"): ("GLARE", []),
    ("REOFFERING", "GONE"): ("ENDING", ["BYE", "CallEnded"]),
    ("REOFFERING", "NO_ANSWER"): ("ENDING", ["BYE", "CallEnded"]),
    ("REOFFERING", "NO_PATH"): ("ENDING", ["BYE", "CallEnded"]),
    ("REOFFERING", "LIMIT"): ("ENDING", ["BYE", "CallEnded"]),
    ("REOFFERING", "INFO"): ("REOFFERING", ["200 INFO", "InfoReceived"]),
    ("REOFFERING", "HANG_UP"): ("ENDING", ["BYE", "CallEnded"]),
    ("REOFFERING", "BYE"): ("ENDED", ["200 BYE", "CallEnded"]),
    ("REOFFERING", "REINVITE"): ("REOFFERING", ["491 INVITE"]),
    ("GLARE", "RETRY"): ("REOFFERING", ["INVITE"]),
    ("GLARE", "INFO"): ("GLARE", ["200 INFO", "InfoReceived"]),
    ("GLARE", "HANG_UP"): ("ENDING", ["BYE", "CallEnded"]),
    ("GLARE", "BYE"): ("ENDED", ["200 BYE", "CallEnded"]),
    ("GLARE", "REINVITE"): ("REINVITED", ["ReofferFailed", "Reoffered"]),
    ("ENDING", "BYE"): ("ENDING", ["200 BYE"]),
    ("ENDING", "BYE_DONE"): ("ENDED", []),
    ("ENDING", "BYE_CHALLENGED"): ("ENDING", ["BYE"]),
    ("ENDING", "SUCCESS"): ("ENDING", ["ACK"]),
    ("ENDED", "SUCCESS"): ("ENDED", ["ACK"]),
}


@pytest.mark.parametrize(("state", "what"), CELLS)
def test_cell(state: State, what: Input) -> None:
    bench = Bench()
    bench.reach(state)
    payload = bench.payload(what)
    expected = EXPECTED.get((state.name, what.name))
    if expected is not None:
        assert bench.session._step(what, payload, 0.0)
        assert (bench.session.state.name, bench.outputs()) == expected
    elif what in ORDERS:
        with pytest.raises(MisuseError):
            bench.session.order(what, payload, 0.0)
        assert bench.session.state is state and bench.outputs() == []
    elif isinstance(payload, Arrived):
        bench.session.receive(what, payload, 0.0)
        assert bench.session.state is state and bench.outputs() == [f"481 {payload.request.method}"]
    else:
        assert not bench.session._step(what, payload, 0.0)
        assert bench.session.state is state and bench.outputs() == []


def test_table_holds_the_expected_cells_and_no_other() -> None:
    assert {(state.name, what.name) for state, what in TABLE} == EXPECTED.keys()
