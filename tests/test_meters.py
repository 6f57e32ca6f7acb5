"""Figures of the rooms on the metrics page: what passes is counted once, under a name that says what it is."""

from prometheus_client.parser import text_string_to_metric_families

from sipconf.media.protocol import PlaneReport
from sipconf.meters import MeteredAgent, Meters
from sipconf.sip.events import CallCancelled, CallEnded, CallFailed, Counted, Send
from sipconf.sip.flow import Flow

FLOW = Flow("udp", ("192.0.2.1", 5060), ("192.0.2.2", 5060))


def samples(meters: Meters) -> dict[tuple, float]:
    families = text_string_to_metric_families(meters.page().decode())
    return {(each.name, *each.labels.values()): each.value for family in families for each in family.samples}


class ScriptedAgent:
    """An agent's doors, with what it will put out."""

    def __init__(self, outputs: list) -> None:
        self.outputs, self.received = outputs, []
        self.flow_failed = self.handle_timer = self.next_timer = None

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        self.received.append(data)

    def take_outputs(self) -> list:
        return self.outputs


def test_peers_mistakes_and_our_faults_are_told_apart():
    meters = Meters({}, {})
    meters.hear_sip([Counted("bad_request"), Counted("bad_request"), Counted("agent_exception")])
    page = samples(meters)
    assert page["sipconf_peer_errors_total", "bad_request"] == 2
    assert page["sipconf_faults_total", "agent"] == 1
    assert ("sipconf_peer_errors_total", "agent_exception") not in page


def test_calls_by_outcome():
    meters = Meters({}, {})
    meters.hear_sip([CallEnded("s", "", True), CallEnded("s", "", False), CallEnded("s", "", False),
                     CallCancelled("s"), CallFailed("s", 486, "Busy")])
    page = samples(meters)
    outcomes = {key[1]: value for key, value in page.items() if key[0] == "sipconf_calls_total"}
    assert outcomes == {"they_hung_up": 1, "we_hung_up": 2, "cancelled": 1, "unanswered": 1}


def test_seconds_of_ticks_add_up_and_the_rest_is_as_it_is_now():
    meters = Meters({"calls_now": lambda: 4}, {"media_restarts": lambda: 1})
    meters.hear_media([PlaneReport(3, 50, 1, 2, 0.5, strangers=4),
                       PlaneReport(7, 50, 0, 1, 0.25, strangers=5, excess=1)])
    page = samples(meters)
    assert page["sipconf_media_ticks_total",] == 100
    assert page["sipconf_media_late_ticks_total",] == 1
    assert page["sipconf_media_skipped_ticks_total",] == 3
    assert page["sipconf_media_strangers_total",] == 9
    assert page["sipconf_media_excess_total",] == 1
    assert page["sipconf_media_srtp_failures_total",] == 0
    assert page["sipconf_media_legs",] == 7
    assert page["sipconf_media_busy_ms_per_tick",] == 0.25
    assert page["sipconf_calls_now",] == 4
    assert page["sipconf_media_restarts_total",] == 1


def test_several_workers_are_one_plane():
    meters = Meters({}, {})
    meters.hear_media([PlaneReport(3, 50, 0, 0, 0.5, 100), PlaneReport(7, 50, 1, 0, 4.0, 100, worker=1),
                       PlaneReport(4, 50, 0, 0, 0.5, 100)])
    page = samples(meters)
    assert (page["sipconf_media_legs",], page["sipconf_media_busy_ms_per_tick",]) == (11, 4.0)
    assert page["sipconf_media_capacity",] == 200
    assert page["sipconf_media_ticks_total",] == 150


def test_messages_are_counted_as_they_pass():
    meters = Meters({}, {})
    inner = ScriptedAgent([Send(FLOW, b"SIP/2.0 100 Trying\r\n"), Send(FLOW, b"SIP/2.0 401 Unauthorized\r\n"),
                           Send(FLOW, b"BYE sip:x SIP/2.0\r\n"), Counted("x")])
    agent = MeteredAgent(inner, meters.metrics)
    for data in (b"INVITE sip:x SIP/2.0\r\n", b"SIP/2.0 200 OK\r\n", b"\xff\xfe junk", b""):
        agent.receive(data, FLOW, 0.0)
    assert len(inner.received) == 4 and agent.take_outputs() is inner.outputs
    page = samples(meters)
    assert {key[1:]: value for key, value in page.items() if key[0].startswith("sipconf_sip")} == {
        ("INVITE",): 1, ("other",): 2, ("401",): 1}
