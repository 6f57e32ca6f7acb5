"""What a peer sends cannot forge, hide or multiply log lines (docs/trust.md)."""

import io
import json
import logging
import re
from collections.abc import Callable, Iterator

import pytest

from sipconf import log
from tests.sim.house import DOMAIN, House
from tests.sim.rtp_phone import RtpPhone
from tests.sim.siege import ROOM, Stranger, running_call

LOGGER = logging.getLogger("sipconf.test_log_injection")
FORGED = "2026-01-01T00:00:00.000Z ERROR sipconf.reload ban 192.0.2.1"
HOSTILE = [
    f"x\r\n{FORGED}", f"x\n{FORGED}", f"x\r{FORGED}", f"x\x0b{FORGED}", f"x\x0c{FORGED}", f"x\x85{FORGED}",
    f"x\u2028{FORGED}", f"x\u2029{FORGED}", "\x1b[2J\x1b[1;31mgone", "\x9b2J", "a\x08\x08\x08b", "\x00", "\x7f",
    "\u202eevil\u202c", "\u2066a\u2069", "\u200f\u200e\u061c", "zero\u200bwidth\ufeff", "\ud800half", "\udcff",
    '"}\n{"level": "error", "message": "forged"}', '\\"}', "%s %d %n {0} ${jndi:ldap://192.0.2.66/x}", "😀é",
    "x" * 100_000,
]
BAD = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")


@pytest.fixture
def start() -> Iterator[Callable[[str], io.TextIOWrapper]]:
    """A function that begins a log in a form; the log is put back afterwards."""
    root, ours = logging.getLogger(), logging.getLogger(log.ROOT)
    before = root.handlers[:], root.level, ours.level

    def begin(form: str) -> io.TextIOWrapper:
        stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="")
        log.setup("debug", form, stream=stream)
        return stream

    yield begin
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])


def written(stream: io.TextIOWrapper) -> list[str]:
    stream.flush()
    text = stream.buffer.getvalue().decode()
    assert text == "" or text.endswith("\n")
    return text.split("\n")[:-1]


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_a_hostile_value_is_one_line(form: str, number: int, start: Callable[[str], io.TextIOWrapper]) -> None:
    value = HOSTILE[number]
    stream = start(form)
    LOGGER.info("call from %s", value, extra={"call": value})
    (line,) = written(stream)
    assert not BAD.search(line) and len(line) < 3 * log.MAX_LINE
    assert not line.startswith("2026-01-01")
    if form == "json":
        entry = json.loads(line)
        assert entry["level"] == "info" and entry["message"].startswith("call from ")
        if len(value) < 1000 and "\ud800" > max(value):
            assert value in entry["message"], "nothing is lost in JSON"


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_exception_is_escaped_too(form: str, start: Callable[[str], io.TextIOWrapper]) -> None:
    stream = start(form)
    try:
        raise ValueError(f"\x1b[2J\u202e\n{FORGED}")
    except ValueError:
        LOGGER.exception("a fault")
    lines = written(stream)
    assert not any(BAD.search(line) or line.startswith("2026-01-01") for line in lines)
    assert len(lines) == 1 if form == "json" else all(line.startswith("  | ") for line in lines[1:])


def test_a_peer_that_makes_one_kind_of_line_for_ever(start: Callable[[str], io.TextIOWrapper]) -> None:
    """Ten seconds of a thousand lines each, all different: the log grows at its own pace and tells what it left out."""
    stream = start("text")
    for step in range(10_000):
        record = LOGGER.makeRecord(LOGGER.name, logging.INFO, "", 0, "cannot send to %s", (f"10.0.0.1:{step}",), None)
        record.created = 1.7e9 + step / 1000
        LOGGER.handle(record)
    lines = written(stream)
    assert len(lines) <= log.LINES_A_SECOND * 10
    left_out = sum(int(found[1]) for line in lines if (found := re.search(r"\(and (\d+) lines like it\)", line)))
    assert left_out + len(lines) >= 10_000 - 1000


@pytest.mark.parametrize("form", ["text", "json"])
def test_one_request_is_at_most_one_line(form: str, start: Callable[[str], io.TextIOWrapper]) -> None:
    """Hostile values in every header of requests by a stranger, and by a user whose call is then refused."""
    with House(ROOM) as house:
        stranger = Stranger(house)
        thief = house.phone("104")
        with running_call(house):
            stream = start(form)
            asked = 0
            for number, value in enumerate(each for each in HOSTILE if "\ud800" > max(each) and len(each) < 200):
                text = value.replace("\r", " ").replace("\n", " ")
                extra = f"User-Agent: {text}\r\nSubject: {text}\r\nX-{number}: {text}\r\n"
                for method in ("INVITE", "OPTIONS", "REGISTER", "BYE", "FOO"):
                    stranger.send(stranger.request(method, extra=extra, sender=f"sip:{number}@{DOMAIN}"))
                    stranger.send(f"{method} sip:x SIP/2.0\r\nVia: {value}\r\nFrom: {value}\r\n\r\n")
                    asked += 2
                house.tick()
            house.run(0.2)
            assert written(stream) == [], "who has proven nothing is no news"
            for number, value in enumerate(HOSTILE[:17]):
                before = len(written(stream))
                thief._reset = call_id_of(thief, str(number) + re.sub(r"[\x00-\x20\x7f]", "", value))
                thief.invite("2009", house.now)
                house.run(0.2)
                assert thief.log[-1] == "404 INVITE"
                lines = written(stream)[before:]
                assert len(lines) == 2, "a call that came, and its end"
                assert not any(BAD.search(line) for line in lines)
    assert asked > 100


def call_id_of(phone: RtpPhone, call_id: str) -> Callable[[], None]:
    """A telephone's way to begin a call, with this Call-ID."""

    def reset() -> None:
        type(phone)._reset(phone)
        phone.call_id = call_id

    return reset
