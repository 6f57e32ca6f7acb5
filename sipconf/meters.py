"""Reads the rooms' own counters for the metrics page, and counts what passes by: SIP messages, events, ticks.

What lives here: which figure of which room has which name. What does not: how a page is written (metrics), and any
decision; the meters may be left out and every call goes on as before.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from sipconf.media import protocol as media
from sipconf.metrics import Metrics
from sipconf.sip import events as sip
from sipconf.sip.agent import UserAgent
from sipconf.sip.flow import Flow

OUR_FAULT = "_exception"
"""How the endpoint names a fault of this program, as against a peer's mistake."""
ADDED_UP = ("ticks", "late_ticks", "skipped_ticks", "strangers", "excess", "checks_refused", "srtp_failures",
            "malformed", "send_errors")
"""Fields of a PlaneReport that tell of its second alone."""
OUTCOMES = {sip.CallCancelled: "cancelled", sip.CallFailed: "unanswered"}


class Meters:
    """The server's figures. `metrics` is their page.

    gauges: read whenever the page is made, name -> value ("calls_now"); totals: the same for what only grows.
    """

    def __init__(
        self, gauges: Mapping[str, Callable[[], float]], totals: Mapping[str, Callable[[], float]]
    ) -> None:
        self.metrics = Metrics()
        self._plane = dict.fromkeys(ADDED_UP, 0)
        self._workers: dict[int, media.PlaneReport] = {}
        self.metrics.read_from("media", lambda: {**self._plane, **self._plane_now()}, gauges=self._plane_now())
        self.metrics.read_all({**gauges, **totals}, gauges=gauges)

    def page(self) -> bytes:
        """For `GET /metrics`."""
        return self.metrics.page()

    def hear_sip(self, events: Iterable[sip.CallEvent]) -> None:
        """Count what the user agent reports."""
        for event in events:
            match event:
                case sip.Counted(metric=metric) if metric.endswith(OUR_FAULT):
                    self.metrics.fault(metric.removesuffix(OUR_FAULT))
                case sip.Counted(metric=metric):
                    self.metrics.peer_error(metric)
                case sip.CallEnded(by_peer=by_peer):
                    self.metrics.call_over("they_hung_up" if by_peer else "we_hung_up")
                case sip.CallCancelled() | sip.CallFailed():
                    self.metrics.call_over(OUTCOMES[type(event)])

    def hear_media(self, events: Iterable[media.Event]) -> None:
        """Count what the media plane reports of itself: its ticks are told by the second."""
        for event in events:
            if isinstance(event, media.PlaneReport):
                for name in ADDED_UP:
                    self._plane[name] += getattr(event, name)
                self._workers[event.worker] = event

    def _plane_now(self) -> dict[str, float]:
        """All workers together; of the busy time that of the busiest, who is the next to be full."""
        reports = self._workers.values()
        return {"legs": sum(report.legs for report in reports),
                "busy_ms_per_tick": max((report.busy_ms for report in reports), default=0.0),
                "capacity": sum(report.capacity for report in reports)}


class MeteredAgent:
    """A user agent whose messages are counted as they pass its doors: requests in, final responses out."""

    def __init__(self, agent: UserAgent, metrics: Metrics) -> None:
        self._agent = agent
        self._metrics = metrics
        self.flow_failed = agent.flow_failed
        self.handle_timer = agent.handle_timer
        self.next_timer = agent.next_timer

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        """Count a request by its method, then let the agent have the message."""
        if not data.startswith(b"SIP/"):
            self._metrics.sip_request(data[:16].partition(b" ")[0].decode("ascii", "replace"))
        self._agent.receive(data, flow, now)

    def take_outputs(self) -> Sequence[sip.Output]:
        """What the agent puts out; final responses are counted by their status."""
        outputs = self._agent.take_outputs()
        for output in outputs:
            if isinstance(output, sip.Send) and output.data.startswith(b"SIP/2.0 ") and output.data[8:9] != b"1":
                self._metrics.sip_response(int(output.data[8:11]))
        return outputs
