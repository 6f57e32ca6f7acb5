"""Client transactions: every cell of both tables, every absent cell, and the timers (RFC 3261 section 17.1)."""

import itertools

import pytest

from sipconf.sip import client_tx
from sipconf.sip.client_tx import ClientTransaction, Heard, Input, NoAnswer, NoPath, State
from sipconf.sip.events import Send
from sipconf.sip.flow import Flow
from sipconf.sip.message import Request, Response
from sipconf.sip.parser import parse_message
from sipconf.sip.timers import Timers

UDP = Flow("udp", ("198.51.100.7", 5060), ("192.0.2.1", 5060))
TCP = Flow("tcp", ("198.51.100.7", 5060), ("192.0.2.1", 5060), 7)
TIMERS = Timers()


def request(method: str) -> Request:
    message = parse_message(
        (
            f"{method} sip:102@198.51.100.7 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKb1;rport\r\n"
            "Route: <sip:proxy.example.test;lr>\r\nMax-Forwards: 70\r\nFrom: <sip:101@example.test>;tag=a\r\n"
            f"To: <sip:102@example.test>\r\nCall-ID: c1\r\nCSeq: 5 {method}\r\nContent-Length: 0\r\n\r\n"
        ).encode()
    )
    assert isinstance(message, Request)
    return message


def response(to: Request, status: int) -> Response:
    return to.response(status, to_tag="b")


WAYS = {  # how to reach each state: statuses heard, seconds passed
    State.CALLING: (),
    State.TRYING: (),
    State.PROCEEDING: (180,),
    State.ACCEPTED: (200,),
    State.COMPLETED: (486,),
    State.TERMINATED: (486, "transport"),
}
STATUS = {Input.PROVISIONAL: 183, Input.SUCCESS: 202, Input.FAILURE: 404}


def transaction(method: str, state: State, flow: Flow = UDP) -> ClientTransaction:
    made = ClientTransaction(request(method), flow, TIMERS, 0.0)
    for step in WAYS[state]:
        if step == "transport" and method == "INVITE":
            made.transport_failed(0.0)
        elif step == "transport":
            made.handle_timer(TIMERS.t4)
        else:
            made.receive(response(made.request, step), 0.0)
    assert made.state is state
    made.take_outputs()
    return made


def apply(made: ClientTransaction, what: Input) -> list[client_tx.Output]:
    """Let an input happen from outside, timers by the table's own door."""
    if what in STATUS:
        made.receive(response(made.request, STATUS[what]), 0.0)
    elif what is Input.TRANSPORT_ERROR:
        made.transport_failed(0.0)
    else:
        made._step(what, None, 0.0)
    return made.take_outputs()


def tables() -> list[tuple[str, State, Input]]:
    states = {
        "INVITE": [State.CALLING, State.PROCEEDING, State.ACCEPTED, State.COMPLETED, State.TERMINATED],
        "BYE": [State.TRYING, State.PROCEEDING, State.COMPLETED, State.TERMINATED],
    }
    return [(method, *cell) for method in states for cell in itertools.product(states[method], Input)]


HEARD, AGAIN, NOTHING = "heard", "again", "nothing"
EXPECTED = {  # what each present cell puts out, and where it leads
    ("INVITE", State.CALLING, Input.RETRANSMIT): (AGAIN, State.CALLING),
    ("INVITE", State.CALLING, Input.TIMEOUT): ("no answer", State.TERMINATED),
    ("INVITE", State.CALLING, Input.PROVISIONAL): (HEARD, State.PROCEEDING),
    ("INVITE", State.CALLING, Input.SUCCESS): (HEARD, State.ACCEPTED),
    ("INVITE", State.CALLING, Input.FAILURE): ("ack heard", State.COMPLETED),
    ("INVITE", State.CALLING, Input.TRANSPORT_ERROR): ("no path", State.TERMINATED),
    ("INVITE", State.PROCEEDING, Input.PROVISIONAL): (HEARD, State.PROCEEDING),
    ("INVITE", State.PROCEEDING, Input.SUCCESS): (HEARD, State.ACCEPTED),
    ("INVITE", State.PROCEEDING, Input.FAILURE): ("ack heard", State.COMPLETED),
    ("INVITE", State.PROCEEDING, Input.TRANSPORT_ERROR): ("no path", State.TERMINATED),
    ("INVITE", State.ACCEPTED, Input.SUCCESS): (HEARD, State.ACCEPTED),
    ("INVITE", State.ACCEPTED, Input.END): (NOTHING, State.TERMINATED),
    ("INVITE", State.COMPLETED, Input.FAILURE): ("ack", State.COMPLETED),
    ("INVITE", State.COMPLETED, Input.END): (NOTHING, State.TERMINATED),
    ("INVITE", State.COMPLETED, Input.TRANSPORT_ERROR): (NOTHING, State.TERMINATED),
    ("BYE", State.TRYING, Input.RETRANSMIT): (AGAIN, State.TRYING),
    ("BYE", State.TRYING, Input.TIMEOUT): ("no answer", State.TERMINATED),
    ("BYE", State.TRYING, Input.PROVISIONAL): (HEARD, State.PROCEEDING),
    ("BYE", State.TRYING, Input.SUCCESS): (HEARD, State.COMPLETED),
    ("BYE", State.TRYING, Input.FAILURE): (HEARD, State.COMPLETED),
    ("BYE", State.TRYING, Input.TRANSPORT_ERROR): ("no path", State.TERMINATED),
    ("BYE", State.PROCEEDING, Input.RETRANSMIT): (AGAIN, State.PROCEEDING),
    ("BYE", State.PROCEEDING, Input.TIMEOUT): ("no answer", State.TERMINATED),
    ("BYE", State.PROCEEDING, Input.PROVISIONAL): (HEARD, State.PROCEEDING),
    ("BYE", State.PROCEEDING, Input.SUCCESS): (HEARD, State.COMPLETED),
    ("BYE", State.PROCEEDING, Input.FAILURE): (HEARD, State.COMPLETED),
    ("BYE", State.PROCEEDING, Input.TRANSPORT_ERROR): ("no path", State.TERMINATED),
    ("BYE", State.COMPLETED, Input.END): (NOTHING, State.TERMINATED),
}


def describe(outputs: list[client_tx.Output]) -> str:
    words = []
    for output in outputs:
        if isinstance(output, Send):
            words.append("ack" if output.data.startswith(b"ACK ") else AGAIN)
        else:
            words.append({Heard: HEARD, NoAnswer: "no answer", NoPath: "no path"}[type(output)])
    return " ".join(words) or NOTHING


@pytest.mark.parametrize(("method", "state", "what"), tables())
def test_cell(method: str, state: State, what: Input) -> None:
    made = transaction(method, state)
    outputs = apply(made, what)
    expected = EXPECTED.get((method, state, what), (NOTHING, state))
    assert (describe(outputs), made.state) == expected


def test_tables_hold_the_expected_cells_and_no_other() -> None:
    cells = {("INVITE", *cell) for cell in client_tx.INVITE} | {("BYE", *cell) for cell in client_tx.NON_INVITE}
    assert cells == EXPECTED.keys()


def sending_times(made: ClientTransaction, until: float) -> list[float]:
    made.take_outputs()
    times = []
    while (when := made.next_timer()) is not None and when <= until:
        made.handle_timer(when)
        times += [when for output in made.take_outputs() if isinstance(output, Send)]
    return times


def test_timer_a_doubles_until_timer_b() -> None:
    made = ClientTransaction(request("INVITE"), UDP, TIMERS, 0.0)
    assert sending_times(made, 31.9) == [0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    made.handle_timer(32.0)
    assert made.state is State.TERMINATED and made.take_outputs() == [NoAnswer()]


def test_timer_e_stops_doubling_at_t2_and_starts_there_once_proceeding() -> None:
    made = ClientTransaction(request("BYE"), UDP, TIMERS, 0.0)
    assert sending_times(made, 16.0) == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5]
    made.receive(response(made.request, 100), 16.0)
    assert sending_times(made, 31.9) == [19.5, 23.5, 27.5, 31.5]
    made.handle_timer(32.0)
    assert made.take_outputs() == [NoAnswer()]


def test_streams_neither_retransmit_nor_linger() -> None:
    for method in ("INVITE", "BYE"):
        made = ClientTransaction(request(method), TCP, TIMERS, 0.0)
        assert made.next_timer() == 32.0
        made.receive(response(made.request, 486), 1.0)
        assert made.next_timer() == 1.0
        made.handle_timer(1.0)
        assert made.state is State.TERMINATED and made.next_timer() is None


@pytest.mark.parametrize(("method", "status", "seconds"), [("INVITE", 200, 32), ("INVITE", 486, 32), ("BYE", 200, 5)])
def test_lingers_for_m_d_and_k(method: str, status: int, seconds: float) -> None:
    made = ClientTransaction(request(method), UDP, TIMERS, 0.0)
    made.receive(response(made.request, status), 1.0)
    assert made.next_timer() == 1.0 + seconds
    made.handle_timer(1.0 + seconds)
    assert made.state is State.TERMINATED


def test_invite_proceeding_has_no_timer() -> None:
    made = transaction("INVITE", State.PROCEEDING)
    assert made.next_timer() is None


def test_ack_of_a_refusal_follows_section_17_1_1_3() -> None:
    made = transaction("INVITE", State.CALLING)
    made.receive(response(made.request, 486), 0.0)
    send = made.take_outputs()[0]
    assert isinstance(send, Send)
    head = send.data.decode().split("\r\n")
    assert head[0] == "ACK sip:102@198.51.100.7 SIP/2.0"
    vias = [line for line in head if line.startswith("Via")]
    assert vias == ["Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKb1;rport"]
    assert "Route: <sip:proxy.example.test;lr>" in head
    assert "To: <sip:102@example.test>;tag=b" in head
    assert "CSeq: 5 ACK" in head and "Call-ID: c1" in head
