"""Sessions: every cell of the table with what it puts out, every absent cell refused."""

import itertools

import pytest

from sipconf.errors import MisuseError
from sipconf.sip.answering import Arrived
from sipconf.sip.call_states import CONFIRMED, Input, State
from sipconf.sip.call_table import TABLE
from tests.sim.session_bench import Bench

CELLS = list(itertools.product(State, Input))
ORDERS = {Input.RING, Input.ANSWER, Input.REJECT, Input.ANSWER_REOFFER, Input.REFUSE_REOFFER, Input.REOFFER,
          Input.HANG_UP, Input.REPORT}
EXPECTED: dict[tuple[str, str], tuple[str, list[str]]] = {
    ("INVITED", "RING"): ("INVITED", []),  # the reliable one before it has no PRACK yet
    ("INVITED", "RING_AGAIN"): ("INVITED", []),
    ("INVITED", "ANSWER"): ("ANSWERED", ["200 INVITE"]),
    ("INVITED", "REJECT"): ("ENDED", ["488 INVITE"]),
    ("INVITED", "HANG_UP"): ("ENDED", ["480 INVITE", "CallEnded"]),
    ("INVITED", "CANCEL"): ("ENDED", ["487 INVITE", "CallCancelled"]),
    ("INVITED", "RING_LIMIT"): ("ENDED", ["487 INVITE", "CallCancelled"]),
    ("INVITED", "BYE"): ("ENDED", ["200 BYE", "487 INVITE", "CallCancelled"]),
    ("INVITED", "REINVITE"): ("INVITED", ["500 INVITE"]),
    ("INVITED", "UPDATE"): ("INVITED", ["200 UPDATE"]),
    ("INVITED", "UPDATE_OFFER"): ("INVITED", ["500 UPDATE"]),
    ("INVITED", "PRACK"): ("INVITED", ["200 PRACK"]),
    ("INVITED", "RESEND_RINGING"): ("INVITED", ["180 INVITE"]),
    ("INVITED", "NO_PRACK"): ("ENDED", ["504 INVITE", "CallCancelled"]),
    ("INVITED", "PATH_LOST"): ("ENDED", ["CallCancelled"]),
    ("ANSWERED", "RESEND"): ("ANSWERED", ["200 INVITE"]),
    ("ANSWERED", "ACK"): ("ACTIVE", ["CallConfirmed"]),
    ("ANSWERED", "NO_ACK"): ("ENDING", ["BYE", "CallEnded"]),
    ("ANSWERED", "HANG_UP"): ("LEAVING", ["CallEnded"]),
    ("ANSWERED", "CANCEL"): ("ANSWERED", []),
    ("ANSWERED", "BYE"): ("ENDED", ["200 BYE", "CallEnded"]),
    ("ANSWERED", "REINVITE"): ("ANSWERED", ["491 INVITE"]),
    ("ANSWERED", "UPDATE"): ("ANSWERED", ["200 UPDATE"]),
    ("ANSWERED", "UPDATE_OFFER"): ("ANSWERED", ["491 UPDATE"]),
    ("ANSWERED", "PRACK"): ("ANSWERED", ["200 PRACK"]),
    ("ANSWERED", "REINVITE_PROVES"): ("REINVITED", ["100 INVITE", "CallConfirmed", "Reoffered"]),
    ("ANSWERED", "INFO"): ("ANSWERED", ["200 INFO", "InfoReceived"]),
    ("LEAVING", "RESEND"): ("LEAVING", ["200 INVITE"]),
    ("LEAVING", "ACK"): ("ENDING", ["BYE"]),
    ("LEAVING", "NO_ACK"): ("ENDING", ["BYE"]),
    ("LEAVING", "CANCEL"): ("LEAVING", []),
    ("LEAVING", "REINVITE"): ("LEAVING", ["491 INVITE"]),
    ("LEAVING", "UPDATE"): ("LEAVING", ["200 UPDATE"]),
    ("LEAVING", "UPDATE_OFFER"): ("LEAVING", ["491 UPDATE"]),
    ("LEAVING", "PRACK"): ("LEAVING", ["200 PRACK"]),
    ("LEAVING", "REINVITE_PROVES"): ("ENDING", ["481 INVITE", "BYE"]),
    ("LEAVING", "BYE"): ("ENDED", ["200 BYE"]),
    ("CALLING", "PROVISIONAL"): ("EARLY", ["CallProgress"]),
    ("CALLING", "SUCCESS"): ("ACTIVE", ["ACK", "CallAnswered"]),
    ("CALLING", "FAILURE"): ("ENDED", ["CallFailed"]),
    ("CALLING", "CHALLENGED"): ("CALLING", ["INVITE"]),
    ("CALLING", "BRIEF"): ("CALLING", ["INVITE"]),
    ("CALLING", "NO_ANSWER"): ("ENDED", ["CallFailed"]),
    ("CALLING", "NO_PATH"): ("ENDED", ["CallFailed"]),
    ("CALLING", "HANG_UP"): ("GIVING_UP", ["CallFailed"]),
    ("CALLING", "RING_LIMIT"): ("ENDED", ["CallFailed"]),
    ("EARLY", "PROVISIONAL"): ("EARLY", ["CallProgress"]),
    ("EARLY", "SUCCESS"): ("ACTIVE", ["ACK", "CallAnswered"]),
    ("EARLY", "FAILURE"): ("ENDED", ["CallFailed"]),
    ("EARLY", "CHALLENGED"): ("CALLING", ["INVITE"]),
    ("EARLY", "BRIEF"): ("CALLING", ["INVITE"]),
    ("EARLY", "UPDATE"): ("EARLY", ["200 UPDATE"]),
    ("EARLY", "UPDATE_OFFER"): ("EARLY", ["491 UPDATE"]),
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
    ("ACTIVE", "REINVITE"): ("REINVITED", ["100 INVITE", "Reoffered"]),
    ("ACTIVE", "REINVITE_SAME"): ("REANSWERED", ["200 INVITE", "MediaRestated"]),
    ("ACTIVE", "UPDATE"): ("ACTIVE", ["200 UPDATE"]),
    ("ACTIVE", "UPDATE_OFFER"): ("UPDATING", ["Reoffered"]),
    ("ACTIVE", "UPDATE_SAME"): ("ACTIVE", ["200 UPDATE", "MediaRestated"]),
    ("ACTIVE", "PRACK"): ("ACTIVE", ["481 PRACK"]),  # of a call that we placed
    ("ACTIVE", "REFRESH"): ("REFRESHING", ["INVITE"]),
    ("ACTIVE", "REFRESH_BY_UPDATE"): ("ACTIVE", ["UPDATE"]),
    ("ACTIVE", "EXPIRED"): ("ENDING", ["BYE", "CallEnded"]),
    ("ACTIVE", "REOFFER"): ("REOFFERING", ["INVITE"]),
    ("REINVITED", "ANSWER_REOFFER"): ("REANSWERED", ["200 INVITE"]),
    ("REINVITED", "REFUSE_REOFFER"): ("ACTIVE", ["488 INVITE"]),
    ("REINVITED", "CANCEL"): ("REINVITED", []),
    ("REINVITED", "INFO"): ("REINVITED", ["200 INFO", "InfoReceived"]),
    ("REINVITED", "HANG_UP"): ("ENDING", ["487 INVITE", "BYE", "CallEnded"]),
    ("REINVITED", "BYE"): ("ENDED", ["200 BYE", "487 INVITE", "CallEnded"]),
    ("REINVITED", "REINVITE"): ("REINVITED", ["500 INVITE"]),
    ("REINVITED", "UPDATE"): ("REINVITED", ["200 UPDATE"]),
    ("REINVITED", "UPDATE_OFFER"): ("REINVITED", ["500 UPDATE"]),
    ("REINVITED", "REFRESH"): ("REINVITED", []),
    ("REINVITED", "EXPIRED"): ("ENDING", ["487 INVITE", "BYE", "CallEnded"]),
    ("REANSWERED", "RESEND"): ("REANSWERED", ["200 INVITE"]),
    ("REANSWERED", "ACK"): ("ACTIVE", ["CallConfirmed"]),
    ("REANSWERED", "NO_ACK"): ("ENDING", ["BYE", "CallEnded"]),
    ("REANSWERED", "CANCEL"): ("REANSWERED", []),
    ("REANSWERED", "INFO"): ("REANSWERED", ["200 INFO", "InfoReceived"]),
    ("REANSWERED", "HANG_UP"): ("ENDING", ["BYE", "CallEnded"]),
    ("REANSWERED", "BYE"): ("ENDED", ["200 BYE", "CallEnded"]),
    ("REANSWERED", "REINVITE"): ("REANSWERED", ["491 INVITE"]),
    ("REANSWERED", "UPDATE"): ("REANSWERED", ["200 UPDATE"]),
    ("REANSWERED", "UPDATE_OFFER"): ("REANSWERED", ["491 UPDATE"]),
    ("REANSWERED", "REFRESH"): ("REANSWERED", []),
    ("REANSWERED", "EXPIRED"): ("ENDING", ["BYE", "CallEnded"]),
    ("UPDATING", "ANSWER_REOFFER"): ("ACTIVE", ["200 UPDATE", "CallConfirmed"]),
    ("UPDATING", "REFUSE_REOFFER"): ("ACTIVE", ["488 UPDATE"]),
    ("UPDATING", "INFO"): ("UPDATING", ["200 INFO", "InfoReceived"]),
    ("UPDATING", "HANG_UP"): ("ENDING", ["487 UPDATE", "BYE", "CallEnded"]),
    ("UPDATING", "BYE"): ("ENDED", ["200 BYE", "487 UPDATE", "CallEnded"]),
    ("UPDATING", "REINVITE"): ("UPDATING", ["500 INVITE"]),
    ("UPDATING", "UPDATE"): ("UPDATING", ["500 UPDATE"]),
    ("UPDATING", "UPDATE_OFFER"): ("UPDATING", ["500 UPDATE"]),
    ("UPDATING", "REFRESH"): ("UPDATING", []),
    ("UPDATING", "EXPIRED"): ("ENDING", ["487 UPDATE", "BYE", "CallEnded"]),
    ("REANSWERED", "REINVITE_PROVES"): ("REINVITED", ["100 INVITE", "CallConfirmed", "Reoffered"]),
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
    ("REOFFERING", "BRIEF"): ("REOFFERING", ["INVITE"]),
    ("REOFFERING", "UPDATE"): ("REOFFERING", ["200 UPDATE"]),
    ("REOFFERING", "UPDATE_OFFER"): ("REOFFERING", ["491 UPDATE"]),
    ("REOFFERING", "REFRESH"): ("REOFFERING", []),
    ("REOFFERING", "EXPIRED"): ("ENDING", ["BYE", "CallEnded"]),
    ("REFRESHING", "PROVISIONAL"): ("REFRESHING", []),
    ("REFRESHING", "SUCCESS"): ("ACTIVE", ["ACK"]),
    ("REFRESHING", "FAILURE"): ("ACTIVE", []),
    ("REFRESHING", "CHALLENGED"): ("REFRESHING", ["INVITE"]),
    ("REFRESHING", "BRIEF"): ("REFRESHING", ["INVITE"]),
    ("REFRESHING", "GONE"): ("ENDING", ["BYE", "CallEnded"]),
    ("REFRESHING", "NO_ANSWER"): ("ENDING", ["BYE", "CallEnded"]),
    ("REFRESHING", "NO_PATH"): ("ACTIVE", []),
    ("REFRESHING", "LIMIT"): ("ENDING", ["BYE", "CallEnded"]),
    ("REFRESHING", "EXPIRED"): ("ENDING", ["BYE", "CallEnded"]),
    ("REFRESHING", "INFO"): ("REFRESHING", ["200 INFO", "InfoReceived"]),
    ("REFRESHING", "HANG_UP"): ("ENDING", ["BYE", "CallEnded"]),
    ("REFRESHING", "BYE"): ("ENDED", ["200 BYE", "CallEnded"]),
    ("REFRESHING", "REINVITE"): ("REFRESHING", ["491 INVITE"]),
    ("REFRESHING", "UPDATE"): ("REFRESHING", ["200 UPDATE"]),
    ("REFRESHING", "UPDATE_OFFER"): ("REFRESHING", ["491 UPDATE"]),
    ("REFRESHING", "REOFFER"): ("REFRESHING", ["ReofferFailed"]),
    ("GLARE", "RETRY"): ("REOFFERING", ["INVITE"]),
    ("GLARE", "INFO"): ("GLARE", ["200 INFO", "InfoReceived"]),
    ("GLARE", "HANG_UP"): ("ENDING", ["BYE", "CallEnded"]),
    ("GLARE", "BYE"): ("ENDED", ["200 BYE", "CallEnded"]),
    ("GLARE", "UPDATE"): ("GLARE", ["200 UPDATE"]),
    ("GLARE", "UPDATE_OFFER"): ("UPDATING", ["ReofferFailed", "Reoffered"]),
    ("GLARE", "REFRESH"): ("GLARE", []),
    ("GLARE", "EXPIRED"): ("ENDING", ["BYE", "CallEnded"]),
    ("GLARE", "REINVITE"): ("REINVITED", ["100 INVITE", "ReofferFailed", "Reoffered"]),
    ("ENDING", "BYE"): ("ENDING", ["200 BYE"]),
    ("ENDING", "BYE_DONE"): ("ENDED", []),
    ("ENDING", "BYE_CHALLENGED"): ("ENDING", ["BYE"]),
    ("ENDING", "SUCCESS"): ("ENDING", ["ACK"]),
    ("ENDED", "SUCCESS"): ("ENDED", ["ACK"]),
} | {
    (state.name, what): (state.name, news)
    for state in CONFIRMED
    for what, news in (("REFER", ["Referred"]), ("REPORT", ["202 REFER", "NOTIFY"]))
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
