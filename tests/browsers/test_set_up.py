"""What the other tests of this folder stand on: the browser runs, its microphone speaks, its scripts load."""

from tests.browsers.chromium import MICROPHONE_HZ, RATE
from tests.browsers.conftest import Open
from tests.clients.tones import judge, judge_best


def test_the_microphone_has_the_voice(open_page: Open) -> None:
    page = open_page("microphone")
    page.do("start")
    samples = page.wait_heard(3.0)
    hearing = judge_best(samples, RATE, MICROPHONE_HZ, 1.5)
    assert hearing.level_db > -30 and hearing.longest_gap_ms == 0, hearing
    assert judge(samples, RATE, 700.0).level_db < -45


def test_the_libraries_load(open_page: Open) -> None:
    for name in ("widget", "jssip"):
        page = open_page(name)
        assert page.state()["state"] == "none"
        assert not page.errors
