"""Every event that the switchboard may be told of, at every stage of a line."""

from collections.abc import Callable

import pytest

from sipconf.conference.directory import ConferenceSpec
from sipconf.media import protocol as media
from sipconf.sip import events as sip
from tests.sim.house import House
from tests.sim.network import CLEAR
from tests.sim.stages import STAGES, connected, stage_of, tell

ROOM = ConferenceSpec("Open", "2001")
SDP = (b"v=0\r\no=- 1 1 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n")
NO_CODEC = SDP.replace(b"RTP/AVP 0", b"RTP/AVP 18")
GARBAGE = b"hello"

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
    "leg report": lambda session, leg: media.LegReports.of(
        media.LegReport(leg, -20.0, 1, 1, 0, 0, 0, 0, 0.0, 20.0)
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
