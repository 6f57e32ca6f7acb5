"""Server transactions: every cell of both tables, every absent cell, and the timers (RFC 3261 section 17.2)."""

import itertools

import pytest

from sipconf.errors import MisuseError
from sipconf.sip import server_tx
from sipconf.sip.events import Send
from sipconf.sip.flow import Flow
from sipconf.sip.message import Request
from sipconf.sip.parser import parse_message
from sipconf.sip.server_tx import OURS, AckHeard, Input, PathLost, ServerTransaction, State
from sipconf.sip.timers import Timers

UDP = Flow("udp", ("198.51.100.7", 5060), ("192.0.2.1", 5060))
TCP = Flow("tcp", ("198.51.100.7", 5060), ("192.0.2.1", 5060), 7)
TIMERS = Timers()
LAST, NEW, NOTHING = b"last", b"new", "nothing"


def request(method: str, cseq_method: str | None = None) -> Request:
    message = parse_message(
        (
            f"{method} sip:2001@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bKb1\r\n"
            "Max-Forwards: 70\r\nFrom: <sip:101@example.test>;tag=a\r\nTo: <sip:2001@example.test>\r\n"
            f"Call-ID: c1\r\nCSeq: 5 {cseq_method or method}\r\nContent-Length: 0\r\n\r\n"
        ).encode()
    )
    assert isinstance(message, Request)
    return message


WAYS: dict[tuple[str, State], tuple[object, ...]] = {  # statuses sent, "ack", or seconds at which timers fire
    ("INVITE", State.PROCEEDING): (180,),
    ("INVITE", State.COMPLETED): (486,),
    ("INVITE", State.CONFIRMED): (486, "ack"),
    ("INVITE", State.ACCEPTED): (200,),
    ("INVITE", State.TERMINATED): (486, "ack", 100.0),
    ("BYE", State.TRYING): (),
    ("BYE", State.PROCEEDING): (100,),
    ("BYE", State.COMPLETED): (200,),
    ("BYE", State.TERMINATED): (200, 100.0),
}


def transaction(method: str, state: State, flow: Flow = UDP) -> ServerTransaction:
    made = ServerTransaction(request(method), flow, TIMERS)
    for step in WAYS[method, state]:
        if isinstance(step, int):
            made.respond(step, LAST, 0.0)
        elif isinstance(step, float):
            made.handle_timer(step)
        else:
            made.receive(request("ACK"), 0.0)
    assert made.state is state
    made.take_outputs()
    return made


def apply(made: ServerTransaction, what: Input) -> list[server_tx.Output]:
    if what in OURS:
        made.respond({Input.SEND_PROVISIONAL: 183, Input.SEND_SUCCESS: 200, Input.SEND_FAILURE: 500}[what], NEW, 0.0)
    elif what is Input.REQUEST:
        made.receive(made.request, 0.0)
    elif what is Input.ACK:
        made.receive(request("ACK"), 0.0)
    elif what is Input.TRANSPORT_ERROR:
        made.transport_failed(0.0)
    else:
        made._step(what, None, 0.0)
    return made.take_outputs()


EXPECTED = {
    ("INVITE", State.PROCEEDING, Input.REQUEST): ("last", State.PROCEEDING),
    ("INVITE", State.PROCEEDING, Input.SEND_PROVISIONAL): ("new", State.PROCEEDING),
    ("INVITE", State.PROCEEDING, Input.SEND_SUCCESS): ("new", State.ACCEPTED),
    ("INVITE", State.PROCEEDING, Input.SEND_FAILURE): ("new", State.COMPLETED),
    ("INVITE", State.PROCEEDING, Input.TRANSPORT_ERROR): ("lost", State.TERMINATED),
    ("INVITE", State.COMPLETED, Input.REQUEST): ("last", State.COMPLETED),
    ("INVITE", State.COMPLETED, Input.ACK): (NOTHING, State.CONFIRMED),
    ("INVITE", State.COMPLETED, Input.RETRANSMIT): ("last", State.COMPLETED),
    ("INVITE", State.COMPLETED, Input.TIMEOUT): (NOTHING, State.TERMINATED),
    ("INVITE", State.COMPLETED, Input.TRANSPORT_ERROR): (NOTHING, State.TERMINATED),
    ("INVITE", State.CONFIRMED, Input.REQUEST): (NOTHING, State.CONFIRMED),
    ("INVITE", State.CONFIRMED, Input.ACK): (NOTHING, State.CONFIRMED),
    ("INVITE", State.CONFIRMED, Input.END): (NOTHING, State.TERMINATED),
    ("INVITE", State.ACCEPTED, Input.REQUEST): (NOTHING, State.ACCEPTED),
    ("INVITE", State.ACCEPTED, Input.ACK): ("ack", State.ACCEPTED),
    ("INVITE", State.ACCEPTED, Input.SEND_SUCCESS): ("new", State.ACCEPTED),
    ("INVITE", State.ACCEPTED, Input.END): (NOTHING, State.TERMINATED),
    ("BYE", State.TRYING, Input.REQUEST): (NOTHING, State.TRYING),
    ("BYE", State.TRYING, Input.SEND_PROVISIONAL): ("new", State.PROCEEDING),
    ("BYE", State.TRYING, Input.SEND_SUCCESS): ("new", State.COMPLETED),
    ("BYE", State.TRYING, Input.SEND_FAILURE): ("new", State.COMPLETED),
    ("BYE", State.TRYING, Input.TRANSPORT_ERROR): (NOTHING, State.TERMINATED),
    ("BYE", State.PROCEEDING, Input.REQUEST): ("last", State.PROCEEDING),
    ("BYE", State.PROCEEDING, Input.SEND_PROVISIONAL): ("new", State.PROCEEDING),
    ("BYE", State.PROCEEDING, Input.SEND_SUCCESS): ("new", State.COMPLETED),
    ("BYE", State.PROCEEDING, Input.SEND_FAILURE): ("new", State.COMPLETED),
    ("BYE", State.PROCEEDING, Input.TRANSPORT_ERROR): (NOTHING, State.TERMINATED),
    ("BYE", State.COMPLETED, Input.REQUEST): ("last", State.COMPLETED),
    ("BYE", State.COMPLETED, Input.END): (NOTHING, State.TERMINATED),
    ("BYE", State.COMPLETED, Input.TRANSPORT_ERROR): (NOTHING, State.TERMINATED),
}


def describe(outputs: list[server_tx.Output]) -> str:
    words = []
    for output in outputs:
        if isinstance(output, Send):
            words.append(output.data.decode())
        else:
            words.append({AckHeard: "ack", PathLost: "lost"}[type(output)])
    return " ".join(words) or NOTHING


@pytest.mark.parametrize(("reached", "what"), list(itertools.product(WAYS, Input)))
def test_cell(reached: tuple[str, State], what: Input) -> None:
    method, state = reached
    made = transaction(method, state)
    cell = EXPECTED.get((method, state, what))
    if cell is None and what in OURS:
        with pytest.raises(MisuseError):
            apply(made, what)
        assert made.state is state and made.take_outputs() == []
    else:
        outputs = apply(made, what)
        assert (describe(outputs), made.state) == (cell or (NOTHING, state))


def test_tables_hold_the_expected_cells_and_no_other() -> None:
    cells = {("INVITE", *cell) for cell in server_tx.INVITE} | {("BYE", *cell) for cell in server_tx.NON_INVITE}
    assert cells == EXPECTED.keys()


def test_timer_g_doubles_to_t2_until_timer_h() -> None:
    made = transaction("INVITE", State.COMPLETED)
    times = []
    while (when := made.next_timer()) is not None:
        made.handle_timer(when)
        times += [when for _ in made.take_outputs()]
    assert times == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert made.state is State.TERMINATED


def test_repeated_invite_without_a_response_yet_is_only_absorbed() -> None:
    made = ServerTransaction(request("INVITE"), UDP, TIMERS)
    made.receive(made.request, 0.0)
    assert made.take_outputs() == []


@pytest.mark.parametrize(
    ("method", "status", "ack", "seconds"),
    [("INVITE", 200, False, 32.0), ("INVITE", 486, True, 5.0), ("BYE", 200, False, 32.0)],
)
def test_lingers_for_l_i_and_j(method: str, status: int, ack: bool, seconds: float) -> None:
    made = ServerTransaction(request(method), UDP, TIMERS)
    made.respond(status, LAST, 1.0)
    if ack:
        made.receive(request("ACK"), 1.0)
    assert made.next_timer() == 1.0 + seconds
    made.handle_timer(1.0 + seconds)
    assert made.state is State.TERMINATED


def test_streams_neither_retransmit_nor_linger() -> None:
    made = ServerTransaction(request("INVITE"), TCP, TIMERS)
    made.respond(486, LAST, 0.0)
    assert made.next_timer() == 32.0
    made.receive(request("ACK"), 1.0)
    assert made.next_timer() == 1.0
    other = ServerTransaction(request("BYE"), TCP, TIMERS)
    other.respond(200, LAST, 2.0)
    other.handle_timer(2.0)
    assert other.state is State.TERMINATED
