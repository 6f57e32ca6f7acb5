"""The metrics page: what is counted appears, and peers cannot make it grow."""

from prometheus_client.parser import text_string_to_metric_families

from sipconf.metrics import MAX_LABEL_VALUES, Metrics


def samples(metrics: Metrics) -> dict[tuple, float]:
    families = text_string_to_metric_families(metrics.page().decode())
    return {
        (sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples
    }


def test_what_is_counted_is_on_the_page():
    metrics = Metrics()
    metrics.peer_error("malformed")
    metrics.peer_error("malformed")
    metrics.sip_request("INVITE")
    metrics.sip_response(200)
    metrics.call_over("hung_up")
    metrics.reload("broken")
    metrics.http_request(401)
    metrics.fault("agent")
    metrics.read_all({"calls_now": lambda: 3, "media_restarts": lambda: 2}, gauges=["calls_now"])
    page = samples(metrics)
    assert page["sipconf_peer_errors_total", "malformed"] == 2
    assert page["sipconf_sip_requests_total", "INVITE"] == 1
    assert page["sipconf_sip_responses_total", "200"] == 1
    assert page["sipconf_calls_total", "hung_up"] == 1
    assert page["sipconf_config_reloads_total", "broken"] == 1
    assert page["sipconf_http_requests_total", "401"] == 1
    assert page["sipconf_faults_total", "agent"] == 1
    assert page["sipconf_calls_now",] == 3
    assert page["sipconf_media_restarts_total",] == 2
    assert not [key for key in page if key[0].endswith("_created")]
    assert page["process_cpu_seconds_total",] > 0


def test_strangers_make_no_series_of_their_own():
    metrics = Metrics()
    for number in range(MAX_LABEL_VALUES * 2):
        metrics.sip_request(f"X{number}")
        metrics.sip_response(1000 + number)
        metrics.peer_error(f"kind{number}")
    page = samples(metrics)
    assert page["sipconf_sip_requests_total", "other"] == MAX_LABEL_VALUES * 2
    assert page["sipconf_peer_errors_total", "other"] == MAX_LABEL_VALUES
    assert len([key for key in page if key[0] == "sipconf_peer_errors_total"]) == MAX_LABEL_VALUES + 1


def test_values_counted_elsewhere_are_read_for_each_page():
    metrics = Metrics()
    values = {"late_ticks": 1.0, "legs": 7.0}
    metrics.read_from("media", lambda: values, gauges=["legs"])
    assert samples(metrics)["sipconf_media_late_ticks_total",] == 1
    values["late_ticks"] = 5.0
    page = samples(metrics)
    assert page["sipconf_media_late_ticks_total",] == 5
    assert page["sipconf_media_legs",] == 7


def test_two_servers_of_one_process_count_apart():
    first, second = Metrics(), Metrics()
    first.fault("agent")
    assert ("sipconf_faults_total", "agent") not in samples(second)
