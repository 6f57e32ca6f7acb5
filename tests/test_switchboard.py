"""The switchboard among its real neighbours: what comes late, crossed or broken. Every event at every stage is in
test_switchboard_stages, whole calls are in scenarios/."""

from dataclasses import replace

import pytest

from sipconf.conference.directory import ConferenceSpec
from sipconf.media import protocol as media
from sipconf.sip import events as sip
from sipconf.sip.flow import Flow
from tests.sim.house import HOST, NUMBER, PBX_HOST, SERVER, TRUNK_HOST, House, assert_everyone_hears_the_others
from tests.sim.network import Weather
from tests.sim.stages import connected, stage_of, tell

ROOM = ConferenceSpec("Open", "2001")
SDP = (b"v=0\r\no=- 1 1 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n")
NO_CODEC = SDP.replace(b"RTP/AVP 0", b"RTP/AVP 18")
GARBAGE = b"hello"


# --- late and crossed ------------------------------------------------------------------------------------------------
def test_the_caller_gives_up_before_the_leg_is_open() -> None:
    with House(ROOM) as house:
        phone = house.phone("101")
        phone.invite("2001", house.now)
        house.network.run(0.2)
        phone.cancel(house.now)
        house.network.run(0.2)
        assert "487 INVITE" in phone.log and not house.switchboard.lines
        house.run(0.1)  # only now the plane opens the leg, and closes it
        assert house.wire.in_use == 0
        house.settle()


def test_an_answer_crosses_the_cancel_of_a_slower_telephone() -> None:
    with House(sip=Weather(delay=0.1)) as house:
        caller, fast, slow = house.phone("101"), house.phone("102"), house.phone("102")
        fast.pickup, slow.pickup = 0.2, 0.25
        house.register(fast, slow)
        house.dial(caller, "102")
        house.until(lambda: "BYE" in slow.log, "the slower one is let go")
        house.run(0.7)
        house.listen(0.5)
        assert_everyone_hears_the_others([caller, fast])
        house.settle()


def test_everyone_falls_silent_in_the_same_tick() -> None:
    with House(ROOM) as house:
        people = [house.dial(house.phone(name), "2001") for name in ("101", "102", "103")]
        house.until(lambda: list(house.states().values()) == ["talking"] * 3, "in")
        legs = [line.leg for line in house.switchboard.lines]
        house.switchboard.receive_media([media.LegSilent(leg) for leg in legs], house.now)
        house.until(lambda: not any(phone.in_call for phone in people), "hung up")
        assert all(phone.log.count("BYE") == 1 for phone in people) and house.states() == {}
        house.settle()


def test_a_line_ends_while_the_leg_of_its_partner_opens() -> None:
    with House() as house:
        caller, called = house.phone("101"), house.phone("102")
        called.pickup = 0.0
        house.register(called)
        caller.invite("102", house.now)
        house.until(lambda: called.in_call, "answered")
        caller.cancel(house.now)  # its own 200 is on the way
        house.until(lambda: not house.switchboard.lines or caller.in_call, "decided")
        house.settle()
        assert not called.in_call


# --- broken media descriptions ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(("offer", "status"), [(NO_CODEC, 488), (GARBAGE, 400)])
def test_an_unusable_offer_is_refused_before_anybody_is_rung(offer: bytes, status: int) -> None:
    with House() as house:
        caller, called = house.phone("101"), house.phone("102")
        house.register(called)
        caller.sdp = lambda mode=None: offer.decode()
        caller.invite("102", house.now)
        house.until(lambda: f"{status} INVITE" in caller.log, "refused")
        assert "INVITE" not in called.log
        house.settle()


@pytest.mark.parametrize("answer", ["", NO_CODEC.decode(), GARBAGE.decode()])
def test_a_called_telephone_answers_without_usable_media(answer: str) -> None:
    with House() as house:
        caller, called = house.phone("101"), house.phone("102")
        called.sdp, called.pickup = lambda mode=None: answer, 0.1
        house.register(called)
        caller.invite("102", house.now)
        house.until(lambda: "480 INVITE" in caller.log, "the caller is told")
        house.until(lambda: "BYE" in called.log, "the called one is hung up")
        assert not caller.in_call and "200 INVITE" not in caller.log
        house.settle()


@pytest.mark.parametrize("answer", ["", NO_CODEC.decode(), GARBAGE.decode()])
def test_an_ack_without_a_usable_answer_ends_the_call(answer: str) -> None:
    with House(ROOM) as house:
        phone = house.phone("101")
        phone.sdp = lambda mode=None: answer
        phone.invite("2001", house.now, offer=False)
        house.until(lambda: "BYE" in phone.log, "hung up")
        assert house.states() == {}
        house.settle()


@pytest.mark.parametrize(("offer", "status"), [(NO_CODEC, 488), (GARBAGE, 400)])
def test_an_unusable_re_offer_is_refused_and_the_call_goes_on(offer: bytes, status: int) -> None:
    with House(ROOM) as house:
        one, two = people = [house.dial(house.phone(name), "2001") for name in ("101", "102")]
        house.run(0.7)
        one.sdp = lambda mode=None: offer.decode()
        one.reinvite("sendrecv", house.now)
        house.until(lambda: f"{status} INVITE" in one.log, "refused")
        del one.sdp
        house.listen(0.5)
        assert_everyone_hears_the_others(people)
        one.reinvite("sendonly", house.now)
        house.until(lambda: len(one.bodies) == 2, "a good one is taken")
        assert [body.split("o=- ")[1].split()[1] for body in one.bodies] == ["1", "2"]
        house.settle()


@pytest.mark.parametrize(("answer", "stays"), [(SDP, True), (NO_CODEC, False), (GARBAGE, False)])
def test_a_refresh_answered_with_other_media(answer: bytes, stays: bool) -> None:
    with House(ROOM) as house:
        call = connected(house)
        (session,) = house.switchboard.lines.of_call(call).sessions
        tell(house, sip.MediaRestated(session, answer))
        assert stage_of(house, call) == ("connected" if stays else "over")
        house.run(0.1)
        house.settle()


def test_an_ack_to_an_offerless_re_invite_without_an_answer_ends_the_call() -> None:
    with House(ROOM) as house:
        phone = house.dial(house.phone("101"), "2001")
        house.run(0.1)
        phone.sdp = lambda mode=None: ""
        phone.reinvite("sendrecv", house.now, offer=False)
        house.until(lambda: "BYE" in phone.log, "hung up")
        house.settle()


def test_a_telephone_behind_a_proxy_is_rung_by_the_path_that_it_registered_by() -> None:
    with House(ROOM) as house:
        called = house.phone("102")
        house.register(called)
        (binding,) = house.registrar.bindings("102", house.now)
        house.registrar._bindings["102"] = [replace(binding, path=("<sip:edge.example;lr>",))]
        house.dial(house.phone("101"), "102")
        invite = next(data for _, _, target, data in house.network.sent
                      if target == called.address and data.startswith(b"INVITE"))
        assert b"\r\nRoute: <sip:edge.example;lr>\r\n" in invite
        house.run(0.1)
        house.settle()


# --- what is shown and what is logged ---------------------------------------------------------------------------------
def test_a_caller_who_shows_no_number_is_anonymous() -> None:
    with House(ROOM) as house:
        called = house.phone("102")
        called.pickup = None
        house.register(called)
        flow = Flow("udp", (PBX_HOST, 5060), SERVER)
        tell(house, sip.IncomingCall("s", "id", sip.Identity("trunk", "pbx"), "102", "", "", None, flow))
        house.until(lambda: "INVITE" in called.log, "ringing")
        invite = next(data for _, _, target, data in house.network.sent
                      if target == called.address and data.startswith(b"INVITE"))
        assert b"\r\nFrom: <sip:anonymous@example.test>;tag=" in invite
        tell(house, sip.CallCancelled("s"))
        house.settle()


# --- addresses -------------------------------------------------------------------------------------------------------
def test_each_telephone_rung_is_offered_the_address_that_it_can_reach() -> None:
    near, far = "10.0.0.1", HOST
    with House(media_address=lambda flow: near if flow.remote[0].startswith("10.") else far) as house:
        caller, desk, mobile = house.phone("101"), house.phone("102", "10.0.0.7"), house.phone("102")
        desk.pickup, mobile.pickup = None, 0.2
        house.register(desk, mobile)
        house.dial(caller, "102")
        assert f"c=IN IP4 {near}\r\n" in desk.bodies[0] and f"c=IN IP4 {far}\r\n" in mobile.bodies[0]
        mobile.cseq = 100
        mobile.reinvite("sendrecv", house.now)
        house.until(lambda: len(mobile.bodies) == 2, "answered")
        assert f"c=IN IP4 {far}\r\n" in mobile.bodies[1]
        house.settle()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_telephone_behind_nat_is_heard_where_it_was_not_the_first_contact(order: tuple[int, int]) -> None:
    with House() as house:
        caller, desk, mobile = house.phone("101"), house.phone("102"), house.phone("102")
        desk.pickup, mobile.pickup = None, 0.2
        mobile.shown_host = "10.9.9.9"  # what it believes to be; it is seen at another address
        for index in order:
            house.register((desk, mobile)[index])
        house.dial(caller, "102")
        house.run(1.5)
        house.listen(0.5)
        assert_everyone_hears_the_others([caller, mobile])
        house.settle()


# --- limits and stopping ---------------------------------------------------------------------------------------------
def test_more_calls_than_lines() -> None:
    with House(ROOM, max_calls=1) as house:
        house.dial(house.phone("101"), "2001")
        late = house.phone("102")
        late.invite("2001", house.now)
        house.until(lambda: "503 INVITE" in late.log, "refused")
        refusal = next(data for _, _, _, data in house.network.sent if data.startswith(b"SIP/2.0 503"))
        assert b"\r\nRetry-After: 30\r\n" in refusal
        house.settle()


def test_stopping_says_bye_to_everyone_in_whatever_stage() -> None:
    with House(ROOM) as house:
        talking = house.dial(house.phone("101"), "2001")
        outside = house.dial(house.phone("+32475000001", TRUNK_HOST), NUMBER)
        caller, called = house.phone("102"), house.phone("103")
        called.pickup = None
        house.register(called)
        caller.invite("103", house.now)
        house.until(lambda: "INVITE" in called.log, "ringing")
        house.switchboard.hang_up_all("the server is stopping", house.now)
        late = house.phone("104")
        late.invite("2001", house.now)
        house.until(lambda: not talking.in_call and not outside.in_call, "BYE")
        house.until(lambda: "480 INVITE" in caller.log and "CANCEL" in called.log, "no more ringing")
        house.until(lambda: "503 INVITE" in late.log, "no new call")
        assert all(phone.log.count("BYE") == 1 for phone in (talking, outside)), "each is told once"
        assert "200 INVITE" not in caller.log + late.log and not house.switchboard.lines
        house.settle()


def test_a_trunk_becomes_the_companys_own_exchange() -> None:
    with House(replace(ROOM, access_code=None)) as house:
        outside = house.phone("33", TRUNK_HOST)
        outside.invite("2001", house.now)
        house.until(lambda: outside.log.count("401 INVITE") == 2, "a provider reaches no extension")
        assert house.states() == {}
        house.switchboard.set_peers(frozenset({"provider"}))
        house.dial(outside, "2001")
        assert outside.log.count("401 INVITE") == 2, "it is asked for no password any more"
        house.until(lambda: house.states() == {"33": "talking"}, "in")
        house.settle()


def test_malformed_messages_are_counted() -> None:
    with House(ROOM) as house:
        phone = house.phone("101")
        phone._send(b"INVITE sip:2001@example.test\r\n\r\n")
        house.run(0.1)
        assert sum(house.switchboard.counters.values()) == 1
        house.settle()
