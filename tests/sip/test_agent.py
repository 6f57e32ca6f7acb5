"""The user agent judged by raw text: who is let in, what each bad or strange request gets, whose a message is."""

import random

import pytest

from sipconf.errors import MisuseError
from sipconf.sip import events
from sipconf.sip.events import Send
from sipconf.sip.flow import Flow
from tests.sim.desk import PHONE, SDP, SERVER, TRUNK, Desk, header, proof, reply, request, status, to_tag

ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, PRACK, REFER, REGISTER"


# --- admission -------------------------------------------------------------------------------------------------------
def test_stranger_is_challenged_without_being_remembered() -> None:
    desk = Desk()
    first, again = desk.receive(request("INVITE"), PHONE), desk.receive(request("INVITE"), PHONE)
    assert [status(text) for text in first + again] == [401, 401]
    assert to_tag(first[0]) == to_tag(again[0])
    assert header(first[0], "WWW-Authenticate")[0].startswith("Digest ")
    assert desk.agent.idle() and desk.agent.next_timer() is None
    assert desk.receive(request("ACK", to=f"<sip:2001@x>;tag={to_tag(first[0])}"), PHONE) == []


def test_user_is_who_the_digest_says_not_who_from_says() -> None:
    desk = Desk()
    (challenge,) = desk.receive(request("INVITE"), PHONE)
    auth = proof(header(challenge, "WWW-Authenticate")[0], "INVITE", "sip:2001*4321@x")
    (trying,) = desk.receive(request("INVITE", cseq=2, extra=auth, uri="sip:2001*4321@x"), PHONE)
    assert status(trying) == 100 and ";tag=" not in header(trying, "To")[0]
    (call,) = desk.told(events.IncomingCall)
    assert call.identity == events.Identity("user", "101") and call.caller_number == "101"
    assert (call.dialled, call.caller_name, call.offer, call.call_id) == ("2001*4321", "Bob", None, "c1")


def test_trunk_is_known_by_its_address_and_vouches_for_the_caller() -> None:
    desk = Desk()
    extra = 'P-Asserted-Identity: "Alice" <tel:+32-475-12.34>\r\n'
    desk.receive(request("INVITE", extra=extra, body="v=0\r\n"))
    (call,) = desk.told(events.IncomingCall)
    assert call.identity == events.Identity("trunk", "provider")
    assert (call.caller_number, call.caller_name, call.offer) == ("+324751234", "Alice", b"v=0\r\n")
    assert status(desk.receive(request("REGISTER", to="<sip:101@x>", call_id="r"))[0]) == 401


def test_user_may_register_only_his_own_extension() -> None:
    desk = Desk()
    for extension, expected in (("102", 403), ("101", 200)):
        (challenge,) = desk.receive(request("REGISTER", uri="sip:x", to=f"<sip:{extension}@x>"), PHONE)
        auth = proof(header(challenge, "WWW-Authenticate")[0], "REGISTER", "sip:x")
        text = request("REGISTER", uri="sip:x", to=f"<sip:{extension}@x>", cseq=2, extra=auth)
        answers = desk.receive(text, PHONE)
        assert [status(answer) for answer in answers] == [expected]
    assert desk.told(events.RegistrationChanged) == [events.RegistrationChanged("101", 1)]
    assert desk.receive(text, PHONE) == answers  # the repeated REGISTER is answered from memory
    assert desk.told(events.RegistrationChanged) == []


@pytest.mark.parametrize(
    ("uri", "dialled"),
    [
        ("sip:2001@192.0.2.1", "2001"), ("sip:2001@192.0.2.1:5060;transport=udp", "2001"), ("sip:2001@y.test", "2001"),
        ("sips:2001@x", "2001"), ("sip:2001@x;user=phone", "2001"), ("sip:2001:4321@x", "2001"), ("sip:x", ""),
        ("sip:2001*4321@x", "2001*4321"), ("sip:2001%2A4321@x", "2001*4321"), ("sip:2001%2a4321%23@x", "2001*4321#"),
        ("sip:2001,,4321@x", "2001,,4321"), ("sip:2001%2C%2C4321@x", "2001,,4321"), ("sip:2001%23@x", "2001#"),
        ("sip:2001#@x", "2001#"), ("sip:+3212;npdi;rn=+3299@x;user=phone", "+3212"),
        ("sip:+3212%3Bpostd=pp4321@x", "+3212"), ("tel:+3212;phone-context=x", "+3212"), ("tel:+32-1.2", "+32-1.2"),
        ("sip:[2001:db8::1]", ""), ("sip:2001@[2001:db8::1]:5060", "2001"),
    ],
)
def test_what_was_dialled(uri: str, dialled: str) -> None:
    """Telephones write addresses and names of all sorts behind the @, and around the number."""
    desk = Desk()
    desk.receive(request("INVITE", uri=uri))
    (call,) = desk.told(events.IncomingCall)
    assert call.dialled == dialled and "4321" not in repr(call)


@pytest.mark.parametrize(
    ("asserted", "number"),
    [
        ("<sip:+324751234;cpc=ordinary@p;user=phone>", "+324751234"), ("<sip:+32-475.1234@p;user=phone>", "+324751234"),
        ("<tel:+32475>", "+32475"), ("<sip:john.doe@p>", "john.doe"), ("<sip:p>, <tel:+32475>", "+32475"),
    ],
)
def test_number_of_a_trunks_caller(asserted: str, number: str) -> None:
    desk = Desk()
    desk.receive(request("INVITE", extra=f"P-Asserted-Identity: {asserted}\r\n"))
    assert desk.told(events.IncomingCall)[0].caller_number == number


def test_trunks_call_to_what_it_may_not_dial_is_challenged_like_anybodys() -> None:
    """A user behind the trunk's address proves who he is and gets through."""
    asked: list[tuple[str, str]] = []

    def serves(trunk: str, dialled: str) -> bool:
        asked.append((trunk, dialled))
        return dialled == "+3225551234"

    desk = Desk(serves=serves)
    assert status(desk.receive(request("INVITE", uri="sip:%2B3225551234@x"))[0]) == 100
    assert desk.told(events.IncomingCall)[0].identity == events.Identity("trunk", "provider")
    (challenge,) = desk.receive(request("INVITE", call_id="c2", branch="z9hG4bKc2"))
    assert status(challenge) == 401
    auth = proof(header(challenge, "WWW-Authenticate")[0], "INVITE", "sip:2001@x")
    (trying,) = desk.receive(request("INVITE", call_id="c2", branch="z9hG4bKc2", cseq=2, extra=auth))
    assert status(trying) == 100
    assert desk.told(events.IncomingCall)[0].identity == events.Identity("user", "101")
    assert asked == [("provider", "+3225551234"), ("provider", "2001"), ("provider", "2001")]


@pytest.mark.parametrize(
    ("text", "expected", "name", "value"),
    [
        (request("SUBSCRIBE"), 405, "Allow", ALLOW),
        (request("DANCE"), 501, "Allow", ALLOW),
        (request("INVITE", extra="Require: 100rel, replaces, timer, x\r\n"), 420, "Unsupported", "replaces, x"),
        (request("INVITE", extra="Session-Expires: 89\r\nSupported: timer\r\n"), 422, "Min-SE", "90"),
        (request("INVITE", extra="x: 60;refresher=uac\r\nRequire: timer\r\n"), 422, "Min-SE", "90"),
        (request("OPTIONS", uri="tel:+3212"), 416, "Call-ID", "c1"),
        (request("REGISTER", to="<tel:101>"), 400, "Call-ID", "c1"),
        (request("REGISTER", to="<isbn:2983792873>"), 400, "Call-ID", "c1"),
        (request("INVITE", extra="Content-Type: text/plain\r\n", body="x"), 415, "Accept", "application/sdp"),
        (request("INVITE", extra="Content-Encoding: gzip\r\n", body="x"), 415, "Accept-Encoding", "identity"),
        (request("INVITE", extra="Accept: text/plain\r\n"), 406, "Call-ID", "c1"),
        (request("INVITE").replace("Forwards: 70", "Forwards: 0"), 483, "Call-ID", "c1"),
        (request("OPTIONS").replace("Forwards: 70", "Forwards: 0"), 200, "Accept", "application/sdp"),
        (request("BYE", to="<sip:2001@x>;tag=unknown"), 481, "Call-ID", "c1"),
        (request("INVITE", to="<sip:2001@x>;tag=unknown"), 481, "Call-ID", "c1"),
        (request("OPTIONS", to="<sip:2001@x>;tag=unknown"), 481, "Call-ID", "c1"),
        (request("INFO"), 481, "Call-ID", "c1"),
        (request("UPDATE"), 481, "Call-ID", "c1"),
        (request("PRACK"), 481, "Call-ID", "c1"),
        (request("CANCEL"), 481, "Call-ID", "c1"),
        (request("INVITE").replace("SIP/2.0\r\nVia", "SIP/3.0\r\nVia"), 505, "Call-ID", "c1"),
        (request("INVITE").replace("Contact: <", "Contact: "), 400, "Call-ID", "c1"),
        (request("INVITE").replace("1 INVITE", "1 BYE"), 400, "Call-ID", "c1"),
    ],
)
def test_refused(text: str, expected: int, name: str, value: str) -> None:
    desk = Desk()
    (answer,) = desk.receive(text)
    assert status(answer) == expected
    assert header(answer, name) == [value]
    assert header(answer, "Via") == header(text, "Via") and to_tag(answer)
    assert desk.agent.idle()
    assert desk.told(events.IncomingCall) == []


@pytest.mark.parametrize(
    "text",
    ["", "\r\n\r\n", "hello", "INVITE sip:x SIP/2.0\r\n\r\n", request("ACK"), request("ACK").replace("1 ACK", "1 BYE"),
     "SIP/2.0 200 OK\r\n\r\n", "INVITE sip:2001@example.test SIP/2.0\r\nVia: nonsense\r\n\r\n",
     "INVITE sip:2001@x SIP/2.0\r\nVia: SIP/2.0/UDP 203.0.113.9:5060;branch=z9hG4bK1\r\nFrom: <sip:a@b>\r\n\r\n"],
)
def test_silence(text: str) -> None:
    """Nobody could tell what an answer without Via, or with neither CSeq nor Call-ID, is about."""
    desk = Desk()
    assert desk.receive(text) == [] and desk.agent.idle()
    if text != request("ACK"):  # a good one, of nothing that we know
        assert [counted.metric for counted in desk.told(events.Counted)] == ["malformed_message"]


def test_stray_response_is_counted() -> None:
    desk = Desk()
    text = request("BYE").replace("BYE sip:2001@x SIP/2.0", "SIP/2.0 200 OK")
    assert desk.receive(text) == []
    assert desk.told(events.Counted) == [events.Counted("stray_response")]


def test_options_tells_what_we_can() -> None:
    (answer,) = Desk().receive(request("OPTIONS"), PHONE)
    assert status(answer) == 200
    assert header(answer, "Allow") == [ALLOW] and header(answer, "Accept") == ["application/sdp"]
    assert header(answer, "Supported") == ["100rel, timer, outbound, path"]
    assert header(answer, "Accept-Encoding") == ["identity"]


def test_options_is_no_way_to_find_out_who_is_there() -> None:
    answers = set()
    for number, user in enumerate(("101", "2001", "999999", "")):
        uri = f"sip:{user}@x" if user else "sip:x"
        (answer,) = Desk().receive(request("OPTIONS", uri=uri, call_id=f"c{number}"), PHONE)
        answers.add(answer.replace(f"c{number}", "c").replace(to_tag(answer), "tag"))
    assert len(answers) == 1


def test_every_extension_that_options_names_may_be_required() -> None:
    for option in ("100rel", "timer", "outbound", "path"):
        (answer,) = Desk().receive(request("INVITE", extra=f"Require: {option}\r\n"))
        assert status(answer) == 100


def test_limits_answer_503_with_retry_after() -> None:
    desk = Desk(max_sessions=1, retry_after=9)
    desk.receive(request("INVITE"))
    (answer,) = desk.receive(request("INVITE", call_id="c2", branch="z9hG4bKsecond"))
    assert status(answer) == 503 and header(answer, "Retry-After") == ["9"]
    assert desk.told(events.Counted) == [events.Counted("sessions_full")]
    desk = Desk(max_transactions=1)
    desk.receive(request("INVITE"))
    (answer,) = desk.receive(request("INVITE", call_id="c2", branch="z9hG4bKsecond"))
    assert status(answer) == 503 and len(header(answer, "Retry-After")) == 1
    assert desk.told(events.Counted) == [events.Counted("transactions_full")]


def test_merged_request() -> None:
    desk = Desk()
    desk.receive(request("INVITE"))
    (answer,) = desk.receive(request("INVITE", branch="z9hG4bKotherway"))
    assert status(answer) == 482


# --- calls -----------------------------------------------------------------------------------------------------------
def test_requests_in_a_call() -> None:
    desk = Desk()
    session = desk.call()
    inside = {"to": f"<sip:2001@x>;tag={desk.tag}"}
    assert [status(text) for text in desk.receive(request("OPTIONS", cseq=2, **inside))] == [200]
    assert [status(text) for text in desk.receive(request("REGISTER", cseq=3, **inside))] == [405]
    kind = "Content-Type: Application/DTMF-Relay; x=1\r\n"
    info = request("INFO", cseq=4, extra=kind, body="Signal=1", **inside)
    assert [status(text) for text in desk.receive(info)] == [200]
    assert desk.told(events.InfoReceived) == [events.InfoReceived(session, "application/dtmf-relay", b"Signal=1")]
    assert [status(text) for text in desk.receive(request("BYE", cseq=3, **inside))] == [500]
    assert desk.agent.calls
    assert [status(text) for text in desk.receive(request("BYE", cseq=5, tag="somebody", **inside))] == [481]
    assert [status(text) for text in desk.receive(request("BYE", cseq=5, **inside))] == [200]
    assert not desk.agent.calls
    desk.agent.hang_up(session, desk.now)  # the news of the end was on its way: no error, no bytes
    assert desk.take() == []
    desk.rest()


def test_telephone_that_breaks_rules_like_pyvoip() -> None:
    """One branch for everything, an ACK with an invented To tag, a digest without qop."""
    desk = Desk()
    branch = "z9hG4bKsame"
    via = "SIP/2.0/UDP 198.51.100.7:5062"
    (challenge,) = desk.receive(request("INVITE", branch=branch, via=via, body="v=0\r\n"), PHONE)
    ack = request("ACK", branch=branch, via=via, to="<sip:2001@x>;tag=invented1", uri="sip:2001@x")
    assert desk.receive(ack, PHONE) == []
    auth = proof(header(challenge, "WWW-Authenticate")[0], "INVITE", "sip:x;transport=UDP")
    (trying,) = desk.receive(request("INVITE", branch=branch, via=via, cseq=2, extra=auth, body="v=0\r\n"), PHONE)
    assert status(trying) == 100
    (call,) = desk.told(events.IncomingCall)
    desk.agent.answer(call.session, SDP, desk.now)
    (ok,) = desk.take()
    assert header(ok, "Contact") == ["<sip:192.0.2.1:5060>"]
    ack = request("ACK", branch=branch, via=via, cseq=2, to="<sip:2001@x>;tag=invented2")
    assert desk.receive(ack, PHONE) == []
    assert desk.told(events.CallConfirmed) == [events.CallConfirmed(call.session, None)]
    desk.now += 1
    desk.agent.handle_timer(desk.now)
    assert desk.take() == []
    bye = request("BYE", branch=branch, via=via, cseq=3, to=f"<sip:2001@x>;tag={to_tag(ok)}")
    assert [status(text) for text in desk.receive(bye, PHONE)] == [200]
    assert desk.told(events.CallEnded) == [events.CallEnded(call.session, "hung up", True)]
    desk.rest()


def test_cancel_of_a_ringing_call() -> None:
    desk = Desk()
    desk.receive(request("INVITE"))
    (call,) = desk.told(events.IncomingCall)
    desk.agent.ring(call.session, desk.now)
    (ringing,) = desk.take()
    answers = desk.receive(request("CANCEL", branch="z9hG4bKINVITE1"))
    assert sorted((status(text), header(text, "CSeq")[0]) for text in answers) == [(200, "1 CANCEL"), (487, "1 INVITE")]
    assert {to_tag(text) for text in answers} == {to_tag(ringing)}
    assert desk.told(events.CallCancelled) == [events.CallCancelled(call.session)]
    assert desk.receive(request("ACK", branch="z9hG4bKINVITE1", to=f"<sip:2001@x>;tag={to_tag(ringing)}")) == []
    desk.rest()


def test_order_in_the_wrong_state_is_misuse() -> None:
    desk = Desk()
    session = desk.call()
    with pytest.raises(MisuseError):
        desk.agent.answer(session, SDP, desk.now)
    with pytest.raises(MisuseError):
        desk.agent.answer_reoffer(session, SDP, desk.now)
    desk.agent.answer("no such session", SDP, desk.now)


def test_ringing_is_repeated_every_minute() -> None:
    desk = Desk()
    desk.receive(request("INVITE"))
    (call,) = desk.told(events.IncomingCall)
    desk.agent.ring(call.session, desk.now)
    desk.take()
    for _ in range(3):
        assert desk.agent.next_timer() == desk.now + 60
        desk.now += 60
        desk.agent.handle_timer(desk.now)
        assert [status(text) for text in desk.take()] == [180]


def test_answers_and_requests_follow_record_route() -> None:
    desk = Desk()
    routes = "Record-Route: <sip:p2.example;lr>\r\nRecord-Route: <sip:p1.example;lr>\r\n"
    desk.receive(request("INVITE", extra=routes))
    (call,) = desk.told(events.IncomingCall)
    desk.agent.answer(call.session, SDP, desk.now)
    (ok,) = desk.take()
    assert header(ok, "Record-Route") == ["<sip:p2.example;lr>", "<sip:p1.example;lr>"]
    desk.receive(request("ACK", branch="z9hG4bKa", to=f"<sip:2001@x>;tag={to_tag(ok)}"))
    desk.agent.hang_up(call.session, desk.now)
    (bye,) = desk.take()
    assert bye.startswith("BYE sip:+3212@203.0.113.9 SIP/2.0")
    assert header(bye, "Route") == ["<sip:p2.example;lr>", "<sip:p1.example;lr>"]


@pytest.mark.parametrize(
    ("via", "stamped", "port"),
    [
        ("SIP/2.0/UDP 203.0.113.9:5060;rport", ";rport=6000", 6000),
        ("SIP/2.0/UDP 203.0.113.9:5070", "", 5070),
        ("SIP/2.0/UDP 203.0.113.9", "", 5060),
        ("SIP/2.0/UDP 10.0.0.4:5070", ";received=203.0.113.9", 6000),
        ("SIP/2.0/UDP 10.0.0.4:5070;rport", ";received=203.0.113.9", 6000),
    ],
)
def test_return_path(via: str, stamped: str, port: int) -> None:
    desk = Desk()
    flow = Flow("udp", ("203.0.113.9", 6000), SERVER)
    behind = "Via: SIP/2.0/UDP behind.example;branch=z9hG4bKx\r\n"
    (answer,) = desk.receive(request("OPTIONS", via=via, extra=behind), flow)
    first, second = header(answer, "Via")
    assert stamped in first and second == "SIP/2.0/UDP behind.example;branch=z9hG4bKx"
    assert ("rport=6000" in first) == ("rport" in via)
    (send,) = desk.told(Send)
    assert send.flow.remote == ("203.0.113.9", port)


def test_lost_connection_cancels_a_call_that_came_by_it() -> None:
    desk = Desk()
    flow = Flow("tcp", TRUNK.remote, SERVER, 5)
    desk.receive(request("INVITE", via="SIP/2.0/TCP 203.0.113.9:5060"), flow)
    (call,) = desk.told(events.IncomingCall)
    desk.agent.flow_failed(flow, desk.now)
    desk.take()
    assert not desk.told(events.CallCancelled), "the caller may be reached by another connection"
    desk.agent.flow_failed(Flow("tcp", (TRUNK.remote[0], 5060), SERVER), desk.now)
    desk.take()
    assert desk.told(events.CallCancelled) == [events.CallCancelled(call.session, "the caller's connection is lost")]
    assert desk.agent.idle()


@pytest.mark.parametrize("spelled", ["[2001:db8::7]", "[2001:DB8:0::7]", "[2001:0db8:0:0:0:0:0:7]"])
def test_an_ipv6_address_has_many_spellings(spelled: str) -> None:
    """RFC 5118 section 4.3: whose Via names his own address is behind no NAT, however he spells it."""
    desk = Desk(("2001:db8::1", 5060))
    flow = Flow("udp", ("2001:db8::7", 6000), ("2001:db8::1", 5060))
    (answer,) = desk.receive(request("OPTIONS", via=f"SIP/2.0/UDP {spelled}:5070"), flow)
    (send,) = desk.told(Send)
    assert send.flow.remote == ("2001:db8::7", 5070) and "received" not in header(answer, "Via")[0]


# --- anything at all -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("seed", range(20))
def test_noise_never_raises(seed: int) -> None:
    rng = random.Random(seed)
    desk = Desk()
    desk.call()
    seeds = [request(method, cseq=9, to=f"<sip:2001@x>;tag={desk.tag}") for method in ("BYE", "INVITE", "INFO", "ACK")]
    seeds += [request("INVITE"), request("CANCEL"), request("REGISTER"), reply(request("INVITE"), 200)]
    for _ in range(100):
        data = bytearray(rng.choice(seeds).encode())
        for _ in range(rng.randrange(1, 6)):
            place_ = rng.randrange(len(data))
            data[place_ : place_ + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
        desk.agent.receive(bytes(data), rng.choice([PHONE, TRUNK]), desk.now)
        desk.take()
    (answer,) = desk.receive(request("OPTIONS", call_id="after"))
    assert status(answer) == 200
