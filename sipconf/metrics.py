"""Counters and gauges, and their page for Prometheus. The only room that knows prometheus_client.

Every label has a small, known set of values: a peer cannot make new series. Media counters live in the workers and
are read when the page is made.
"""

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, ProcessCollector, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MAX_LABEL_VALUES = 256

disable_created_metrics()  # a series more for each of ours, of no use to anybody

_METHODS = frozenset(
    "ACK BYE CANCEL INFO INVITE MESSAGE NOTIFY OPTIONS PRACK PUBLISH REFER REGISTER SUBSCRIBE UPDATE".split()
)


class Metrics:
    """All of this server's metrics, in a registry of their own (so that a test can have several)."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._peer_errors = self._counter("peer_errors", "What peers got wrong, by kind", "kind")
        self._requests = self._counter("sip_requests", "SIP requests received, by method", "method")
        self._responses = self._counter("sip_responses", "SIP final responses sent, by status", "status")
        self._calls = self._counter("calls", "Calls that ended, by outcome", "outcome")
        self._reloads = self._counter("config_reloads", "Readings of the configuration, by result", "result")
        self._http = self._counter("http_requests", "HTTP requests answered, by status", "status")
        self._faults = self._counter("faults", "Faults of this program that were met and survived", "where")
        self._kinds: set[str] = set()

    def _counter(self, name: str, text: str, label: str) -> Counter:
        return Counter(f"sipconf_{name}", text, [label], registry=self.registry)

    def peer_error(self, kind: str) -> None:
        """A peer's mistake; kind is the metric label of a PeerError."""
        if kind not in self._kinds and len(self._kinds) >= MAX_LABEL_VALUES:
            kind = "other"
        self._kinds.add(kind)
        self._peer_errors.labels(kind).inc()

    def fault(self, where: str) -> None:
        """This program made a mistake, which cost at most one message; the log has the trace."""
        self._faults.labels(where).inc()

    def sip_request(self, method: str) -> None:
        """A request arrived."""
        self._requests.labels(method if method in _METHODS else "other").inc()

    def sip_response(self, status: int) -> None:
        """A final response left."""
        self._responses.labels(str(status) if 200 <= status <= 699 else "other").inc()

    def call_over(self, outcome: str) -> None:
        """A call ended; outcome is one of our own few words."""
        self._calls.labels(outcome).inc()

    def reload(self, result: str) -> None:
        """The configuration was read: "applied", "unchanged", "broken" or "refused"."""
        self._reloads.labels(result).inc()

    def http_request(self, status: int) -> None:
        """An HTTP request was answered."""
        self._http.labels(str(status)).inc()

    def read_from(
        self, prefix: str, read: Callable[[], Mapping[str, float]], gauges: Iterable[str] = ()
    ) -> None:
        """Add values that somebody else counts, read whenever the page is made.

        read() returns {name: value}; each appears as sipconf_<prefix>_<name>, a counter unless named in gauges.
        """
        self.registry.register(_Foreign(f"{prefix}_", read, frozenset(gauges)))

    def read_all(self, readers: Mapping[str, Callable[[], float]], gauges: Iterable[str] = ()) -> None:
        """The same for single values, each with its own reader; they appear as sipconf_<name>."""
        def read() -> dict[str, float]:
            return {name: reader() for name, reader in readers.items()}

        self.registry.register(_Foreign("", read, frozenset(gauges)))

    def page(self) -> bytes:
        """The page for `GET /metrics`, of CONTENT_TYPE."""
        return generate_latest(self.registry)


class _Foreign(Collector):
    """Values counted elsewhere (a media worker), translated when asked for."""

    def __init__(self, prefix: str, read: Callable[[], Mapping[str, float]], gauges: frozenset[str]) -> None:
        self._prefix = prefix
        self._read = read
        self._gauges = gauges

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        for name, value in sorted(self._read().items()):
            family = GaugeMetricFamily if name in self._gauges else CounterMetricFamily
            full = f"{self._prefix}{name}"
            yield family(f"sipconf_{full}", full.replace("_", " ").capitalize(), value=value)
