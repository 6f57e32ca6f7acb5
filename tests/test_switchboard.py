"""The switchboard among its real neighbours: every event at every stage of a line, and what comes late, twice or
broken. Whole calls are in scenarios/."""

import logging
import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from sipconf.conference.directory import ConferenceSpec
from sipconf.line import Stage
from sipconf.media import protocol as media
from sipconf.sip import events as sip
from sipconf.sip.flow import Flow
from tests.sim.house import HOST, NUMBER, PBX_HOST, SERVER, TRUNK_HOST, House, assert_everyone_hears_the_others
from tests.sim.network import CLEAR, Weather

ROOM = ConferenceSpec("Open", "2001")
SDP = (b"v=0\r\no=- 1 1 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n")
NO_CODEC = SDP.replace(b"RTP/AVP 0", b"RTP/AVP 18")
GARBAGE = b"hello"


# --- every cell ------------------------------------------------------------------------------------------------------
def arrived(house: House) -> str:
    """A caller whose called person's telephone rings."""
    ringing(house)
    return next(line.call for line in house.switchboard.lines if line.stage is Stage.ARRIVED)


def ringing(house: House) -> str:
    called = house.phone("102")
    called.pickup = None
    house.register(called)
    house.phone("101").invite("102", house.now)
    house.until(lambda: "180" in called.log or "INVITE" in called.log, "ringing")
    house.run(0.1)
    return next(line.call for line in house.switchboard.lines if line.stage is Stage.CALLING)


def calling(house: House) -> str:
    """A call to somebody whose leg is not yet open: the plane has not ticked."""
    called = house.phone("102")
    house.register(called)
    house.phone("101").invite("102", house.now)
    house.network.run(0.2)
    return next(line.call for line in house.switchboard.lines if line.stage is Stage.CALLING)


def opening(house: House) -> str:
    house.phone("101").invite("2001", house.now)
    house.network.run(0.2)
    (line,) = house.switchboard.lines
    assert line.stage is Stage.OPENING
    return line.call


def answered(house: House) -> str:
    """The 200 is out and will never arrive."""
    call = opening(house)
    house.plane.tick(house.now)
    house.network.weather = Weather(loss=1.0)
    house.switchboard.receive_media(house.plane.take_events(), house.now)
    house.network.run(0.1)
    return call


def connected(house: House) -> str:
    house.dial(house.phone("101"), "2001")
    house.run(0.1)
    (line,) = house.switchboard.lines
    return line.call


STAGES: dict[str, Callable[[House], str]] = {
    "arrived": arrived, "opening": opening, "calling": calling, "ringing": ringing, "answered": answered,
    "connected": connected,
}  # fmt: skip

EVENTS: dict[str, Callable[[str, int], object]] = {
    "ACK": lambda session, leg: sip.CallConfirmed(session, None),
    "ACK with SDP": lambda session, leg: sip.CallConfirmed(session, SDP),
    "ACK with garbage": lambda session, leg: sip.CallConfirmed(session, GARBAGE),
    "INFO": lambda session, leg: sip.InfoReceived(session, "application/dtmf-relay", b"Signal=5\r\n"),
    "odd INFO": lambda session, leg: sip.InfoReceived(session, "text/plain", b"\xff"),
    "180": lambda session, leg: sip.CallProgress(session, 180, "Ringing", None),
    "200": lambda session, leg: sip.CallAnswered(session, SDP),
    "200 without SDP": lambda session, leg: sip.CallAnswered(session, None),
    "200 with garbage": lambda session, leg: sip.CallAnswered(session, GARBAGE),
    "200 without a codec": lambda session, leg: sip.CallAnswered(session, NO_CODEC),
    "486": lambda session, leg: sip.CallFailed(session, 486, "Busy Here"),
    "ended": lambda session, leg: sip.CallEnded(session, "hung up", True),
    "cancelled": lambda session, leg: sip.CallCancelled(session),
    "re-offer failed": lambda session, leg: sip.ReofferFailed(session, 491, "Request Pending"),
    "counted": lambda session, leg: sip.Counted("malformed"),
    "registration": lambda session, leg: sip.RegistrationChanged("101", 1),
    "leg opened": lambda session, leg: media.LegOpened(leg, 20_000),
    "leg failed": lambda session, leg: media.LegFailed(leg, "no port"),
    "digit": lambda session, leg: media.DigitReceived(leg, "1"),
    "playback ended": lambda session, leg: media.PlaybackEnded(leg, 1),
    "talking": lambda session, leg: media.TalkingChanged(leg, True, -20.0),
    "guarded": lambda session, leg: media.GuardChanged(leg, "echo"),
    "leg silent": lambda session, leg: media.LegSilent(leg),
    "leg report": lambda session, leg: media.LegReports(
        (leg,), (-20.0,), (1,), (1,), (0,), (0,), (0,), (0,), (0.0,), (20.0,)
    ),
    "plane report": lambda session, leg: media.PlaneReport(1, 50, 0, 0, 0.1),
}

CHANGES: dict[tuple[str, str], str] = {
    ("answered", "ACK"): "connected", ("answered", "ACK with SDP"): "connected",
    ("answered", "ACK with garbage"): "connected",  # we asked for no SDP: nobody reads it
    ("ringing", "200"): "connected", ("ringing", "200 without SDP"): "over", ("ringing", "200 with garbage"): "over",
    ("ringing", "200 without a codec"): "over", ("ringing", "486"): "over",
    # No such ACK exists: we have asked for an answer, and this is none, or a good one.
    ("ringing", "ACK"): "over", ("ringing", "ACK with garbage"): "over",
    ("opening", "leg opened"): "answered", ("calling", "leg opened"): "ringing",
    ("opening", "leg failed"): "over", ("calling", "leg failed"): "over", ("ringing", "leg failed"): "over",
    ("answered", "leg failed"): "over", ("connected", "leg failed"): "over",
    **{(stage, event): "over" for stage in ("arrived", "opening", "ringing", "answered", "connected")
       for event in ("ended", "cancelled")},
    **{(stage, "leg silent"): "over" for stage in STAGES},
    # Nothing of ours asked for these answers: whoever sends them is no call of ours.
    **{(stage, event): "over" for stage in ("arrived", "opening", "answered", "connected")
       for event in ("200", "200 without SDP", "200 with garbage", "200 without a codec")},
}  # fmt: skip
"""(stage, event) -> the stage after it; elsewhere the line stays where it is. Reoffered and MediaRestated are in no
cell: the agent tells them of confirmed calls only (see below)."""


def stage_of(house: House, call: str) -> str:
    line = house.switchboard.lines.of_call(call)
    if line is None:
        return "over"
    if line.stage is Stage.CALLING:
        return "ringing" if line.sessions else "calling"
    return line.stage.name.lower()


def tell(house: House, event: object) -> None:
    receive = house.switchboard.receive_media if type(event).__module__ == media.__name__ else None
    (receive or house.switchboard.receive_sip)([event], house.now)


def end_everything(house: House) -> None:
    """However odd the news was, nothing of it stays."""
    house.network.weather = CLEAR
    house.switchboard.hang_up_all("the test is over", house.now)
    house.run(0.1)
    left = house.leftovers()
    assert {name: table for name, table in left.items() if not name.startswith("agent")} == {}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("name", EVENTS)
def test_every_event_at_every_stage(stage: str, name: str) -> None:
    with House(ROOM) as house:
        call = STAGES[stage](house)
        assert stage_of(house, call) == stage
        line = house.switchboard.lines.of_call(call)
        if name == "leg failed":
            house.replace_plane()  # it says so of every leg that it had
        tell(house, EVENTS[name](next(iter(line.sessions), "nobody"), line.leg))
        house.network.run(0.015)  # before anything comes back
        assert stage_of(house, call) == CHANGES.get((stage, name), stage)
        end_everything(house)


@pytest.mark.parametrize("name", EVENTS)
def test_every_event_of_a_call_that_is_over(name: str) -> None:
    with House(ROOM) as house:
        call = connected(house)
        line = house.switchboard.lines.of_call(call)
        (session,) = line.sessions
        house.phones[0].bye(house.now)
        house.run(0.2)
        tell(house, EVENTS[name](session, line.leg))
        tell(house, EVENTS[name]("nobody", 4711))
        house.switchboard.receive_sip([sip.Reoffered(session, SDP), sip.Reoffered("nobody", None)], house.now)
        assert not house.switchboard.lines
        house.settle()


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


CODES = ("4321", "9876", "5555", "5432")


def over(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged about the ends of calls, without the seconds, since the last time."""
    told = [record.getMessage() for record in caplog.records if record.getMessage().startswith("call over")]
    assert all(record.call for record in caplog.records if record.name == "sipconf.line")
    assert not any(code in caplog.text for code in CODES)
    caplog.clear()
    return [re.sub(r" [0-9]+\.[0-9] s", " N s", text) for text in told]


@pytest.mark.parametrize(("by_peer", "level"), [(True, logging.INFO), (False, logging.WARNING)])
def test_a_browser_that_goes_in_order_is_nothing_to_be_warned_of(
    by_peer: bool, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with House(ROOM) as house:
        phone = house.phone("101")
        house.dial(phone, "2001")
        house.run(0.5)
        (line,) = house.switchboard.lines
        house.switchboard.receive_media([media.LegFailed(line.leg, "that is how it ended", by_peer)], house.now)
        house.run(0.1)
        assert not phone.in_call
        (record,) = [each for each in caplog.records if each.getMessage().startswith("no media")]
        assert record.levelno == level


def test_every_end_of_a_call_is_logged_with_its_reason_and_never_a_code(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    room = replace(ROOM, access_code="4321", administrator_code="9876")
    with House(room) as house:
        phone, other, outside = house.phone("101"), house.phone("102"), house.phone("+32475000001", TRUNK_HOST)
        for dialled in ("2001*4321", "2001%2A4321", "2001,,9876", "2001*5555", "2001*4321#"):
            house.dial(phone, dialled)
            house.run(3.0)
            phone.press("5432#")
            house.run(1.0)
            phone.bye(house.now)
            house.run(0.1)
            assert len(over(caplog)) == 1
        house.dial(phone, "2001")
        house.run(2.5)
        (start,) = [record for record in caplog.records if record.getMessage().startswith("call from")]
        assert start.getMessage() == "call from 101 (user 101) to 2001" and start.call == phone.call_id
        phone.bye(house.now)
        house.run(0.1)
        (end,) = [record for record in caplog.records if record.getMessage().startswith("call over")]
        assert end.getMessage() == "call over after 2.5 s: hung up" and end.call == phone.call_id
        caplog.clear()
        for dialled in ("2001p4321", "102*4321", "2001%204321"):
            other.invite(dialled, house.now)
            house.run(0.2)
            assert len(over(caplog)) == 1
        house.console(house.conferences.lock, "2001", True)
        other.invite("2001", house.now)
        house.run(0.2)
        assert over(caplog) == ["call over after N s, not answered: 403 This conference is locked"]
        other.sdp = lambda mode=None: NO_CODEC.decode()
        other.invite("2001", house.now)
        house.run(0.2)
        assert over(caplog) == ["call over after N s, not answered: 488 no codec in common"]
        house.dial(outside, NUMBER + "*4321")
        house.until(lambda: not outside.in_call, "sent away")
        house.run(0.1)
        assert over(caplog) == ["call over after N s: This conference is locked"]
        said = caplog.text + repr(house.published) + repr(house.switchboard.counters)
        assert not any(code in said for code in CODES)
        house.console(house.conferences.lock, "2001", False)
        house.settle()


def test_both_ends_of_a_call_between_people_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with House() as house:
        caller, called = house.phone("101"), house.phone("102")
        house.register(called)
        called.final_status, called.pickup = 486, 0.1
        caller.invite("102", house.now)
        house.until(lambda: "486 INVITE" in caller.log, "busy")
        assert over(caplog) == ["call over after N s, not answered: 486",
                                "call over after N s, not answered: 486 User 102 is busy"]
        called.final_status = 200
        house.dial(caller, "102")
        assert any(record.getMessage() == "calling extension 102 for 101" for record in caplog.records)
        called.bye(house.now)
        house.until(lambda: not caller.in_call, "over")
        assert over(caplog) == ["call over after N s: hung up", "call over after N s: the other person hung up"]
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
        house.settle()


def test_a_trunk_becomes_the_companys_own_exchange() -> None:
    with House(replace(ROOM, access_code=None)) as house:
        outside = house.phone("33", TRUNK_HOST)
        outside.invite("2001", house.now)
        house.until(lambda: outside.log.count("401 INVITE") == 2, "a provider reaches no extension")
        house.switchboard.set_peers(frozenset({"provider"}))
        house.dial(outside, "2001")
        house.settle()


def test_malformed_messages_are_counted() -> None:
    with House(ROOM) as house:
        phone = house.phone("101")
        phone._send(b"INVITE sip:2001@example.test\r\n\r\n")
        house.run(0.1)
        assert sum(house.switchboard.counters.values()) == 1
        house.settle()
