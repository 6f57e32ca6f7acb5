"""Session timers: what is agreed in every combination (RFC 4028 section 9 table 2), 422, and when things happen."""

import pytest

from sipconf.sip.message import Request, Response
from sipconf.sip.parser import parse_message
from sipconf.sip.session_timer import SessionTimer, too_brief


def invite(*headers: str) -> Request:
    text = "".join(f"{header}\r\n" for header in headers)
    return parse_message((
        "INVITE sip:2001@x SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=z9hG4bK1\r\nFrom: <sip:a@x>;tag=a\r\nTo: <sip:b@x>\r\n"
        f"Call-ID: c\r\nCSeq: 1 INVITE\r\n{text}Content-Length: 0\r\n\r\n"
    ).encode())


def answer(status: int, *headers: str) -> Response:
    response = invite().response(status)
    for header in headers:
        response.headers.add(*header.split(": "))
    return response


@pytest.mark.parametrize(
    ("headers", "wanted", "expected"),
    [
        # no timer asked for
        ([], 1800, {}),
        (["Supported: timer"], 0, {}),
        (["Supported: timer"], 1800, {"Session-Expires": "1800;refresher=uas"}),
        (["Supported: 100rel, timer"], 1800, {"Session-Expires": "1800;refresher=uas"}),
        (["k: timer", "Min-SE: 3600"], 1800, {"Session-Expires": "3600;refresher=uas"}),
        # asked for by a peer that knows timers: its choice of refresher, or ours
        (["k: timer", "x: 600"], 1800, {"Session-Expires": "600;refresher=uas"}),
        (["k: timer", "x: 600;refresher=uas"], 1800, {"Session-Expires": "600;refresher=uas"}),
        (["k: timer", "x: 600;refresher=uac"], 1800, {"Session-Expires": "600;refresher=uac", "Require": "timer"}),
        (["k: timer", "x: 600 ; Refresher=UAC"], 1800, {"Session-Expires": "600;refresher=uac", "Require": "timer"}),
        (["Require: timer", "x: 90"], 0, {"Session-Expires": "90;refresher=uas"}),
        (["k: timer", "x: 90"], 1800, {"Session-Expires": "90;refresher=uas"}),
        (["k: timer", "x: 7200"], 1800, {"Session-Expires": "1800;refresher=uas"}),
        (["k: timer", "x: 7200", "Min-SE: 3600"], 1800, {"Session-Expires": "3600;refresher=uas"}),
        (["k: timer", "x: 7200"], 0, {"Session-Expires": "7200;refresher=uas"}),
        # by a proxy on behalf of a peer that does not: nobody but we can refresh, and nothing is required
        (["x: 600"], 1800, {"Session-Expires": "600;refresher=uas"}),
        (["x: 600;refresher=uac"], 1800, {"Session-Expires": "600;refresher=uas"}),
        (["x: 30"], 1800, {"Session-Expires": "90;refresher=uas"}),
        # unreadable: as if it were not there
        (["x: soon", "k: timer"], 0, {}),
        (["x: 99999999999", "k: timer"], 0, {}),
        (['x: 600;refresher="', "k: timer"], 0, {"Session-Expires": "600;refresher=uas"}),
    ],
)
def test_what_is_agreed_with_a_caller(headers: list[str], wanted: int, expected: dict[str, str]) -> None:
    timer = SessionTimer(wanted)
    assert dict(timer.accept(invite(*headers))) == expected
    said = expected.get("Session-Expires", "0")
    assert timer.interval == int(said.partition(";")[0])
    assert timer.we_refresh is (not said.endswith("uac"))


def test_roles_stay_where_a_refresh_does_not_name_them() -> None:
    timer = SessionTimer(1800)
    timer.accept(invite("k: timer", "x: 600;refresher=uac"))
    assert dict(timer.accept(invite("k: timer", "x: 600"))) == {
        "Session-Expires": "600;refresher=uac", "Require": "timer",
    }  # fmt: skip
    assert timer.ask() == (("Session-Expires", "600;refresher=uas"),)
    timer.accept(invite("k: timer", "x: 600;refresher=uas"))
    assert timer.ask() == (("Session-Expires", "600;refresher=uac"),)
    assert timer.accept(invite()) == () and timer.interval == 0
    assert timer.ask() == (("Session-Expires", "1800"),)
    assert SessionTimer(0).ask() == ()


@pytest.mark.parametrize(
    ("header", "interval", "we_refresh"),
    [
        ("Session-Expires: 1200;refresher=uac", 1200, True), ("Session-Expires: 1200;refresher=uas", 1200, False),
        ("Session-Expires: 1200", 1200, True), ("x: 5;refresher=uas", 90, False), ("Subject: none", 0, True),
    ],
)
def test_what_is_agreed_with_somebody_called(header: str, interval: int, we_refresh: bool) -> None:
    timer = SessionTimer(1800)
    assert timer.ask() == (("Session-Expires", "1800"),)
    timer.agree(answer(200, header))
    assert (timer.interval, timer.we_refresh) == (interval, we_refresh)


def test_422_raises_what_we_ask_for_a_few_times_and_never_lowers_it() -> None:
    timer = SessionTimer(1800)
    assert not timer.lengthen(answer(422)) and not timer.lengthen(answer(422, "Min-SE: 1800"))
    for seconds in (2000, 3000, 4000):
        assert timer.lengthen(answer(422, f"Min-SE: {seconds};x=y"))
        assert timer.ask() == (("Session-Expires", str(seconds)), ("Min-SE", str(seconds)))
    assert not timer.lengthen(answer(422, "Min-SE: 5000"))
    timer.agree(answer(200, "Session-Expires: 4000;refresher=uac"))
    assert timer.lengthen(answer(422, "Min-SE: 5000"))
    assert timer.ask() == (("Session-Expires", "5000;refresher=uac"), ("Min-SE", "5000"))
    assert not SessionTimer(0).lengthen(answer(422, "Min-SE: 2000"))


@pytest.mark.parametrize(
    ("headers", "brief"),
    [(["x: 89", "k: timer"], True), (["x: 90", "k: timer"], False), (["x: 89"], False), (["k: timer"], False),
     (["x: 0;refresher=uac", "Require: Timer"], True)],
)
def test_only_who_would_understand_422_gets_it(headers: list[str], brief: bool) -> None:
    assert too_brief(invite(*headers)) is brief


@pytest.mark.parametrize(("interval", "refresh", "end"), [(90, 45.0, 60.0), (1800, 900.0, 1768.0), (96, 48.0, 64.0)])
def test_times(interval: int, refresh: float, end: float) -> None:
    timer = SessionTimer(0, interval)
    assert (timer.refresh_after(), timer.end_after()) == (refresh, end)
