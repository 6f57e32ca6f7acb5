"""The log: its form, the call a line belongs to, and what must not be readable in it."""

import io
import json
import logging

import pytest

from sipconf import log


@pytest.fixture
def lines():
    """A function that sets the log up and returns its stream; the log is put back afterwards."""
    root, ours = logging.getLogger(), logging.getLogger(log.ROOT)
    before = root.handlers[:], root.level, ours.level

    def start(*args) -> io.StringIO:
        stream = io.StringIO()
        log.setup(*args, stream=stream)
        return stream

    yield start
    root.handlers[:], root.level, ours.level = before[0], before[1], before[2]
    root.setLevel(before[1])
    ours.setLevel(before[2])


LOGGER = logging.getLogger("sipconf.test_room")


def test_a_line_has_time_level_logger_call_and_message(lines):
    stream = lines()
    with log.call("c-17"):
        LOGGER.info("joined %s", "2001")
    LOGGER.warning("later", extra={"call": "c-18"})
    LOGGER.error("nobody's")
    first, second, third = stream.getvalue().splitlines()
    time, level, logger, call, message = first.split(maxsplit=4)
    assert time.endswith("Z") and len(time) == len("2026-03-01T08:15:02.123Z")
    assert (level, logger, call, message) == ("INFO", "sipconf.test_room", "call=c-17", "joined 2001")
    assert "call=c-18" in second
    assert "call=" not in third


def test_json(lines):
    stream = lines("debug", "json")
    with log.call("c-17"):
        LOGGER.debug('quoted "x"')
    entry = json.loads(stream.getvalue())
    assert entry.pop("time").endswith("Z")
    assert entry == {"level": "debug", "logger": "sipconf.test_room", "call": "c-17", "message": 'quoted "x"'}


def test_levels(lines):
    stream = lines("warning")
    LOGGER.info("no")
    logging.getLogger("elsewhere").info("no")
    logging.getLogger("elsewhere").warning("yes")
    assert stream.getvalue().count("\n") == 1


def test_setting_up_again_replaces(lines):
    first, second = lines(), lines()
    LOGGER.info("once")
    assert first.getvalue() == "" and second.getvalue().count("\n") == 1


def test_nothing_a_peer_sends_makes_a_line_of_its_own(lines):
    stream = lines()
    LOGGER.info("from %s", 'x\r\n2026-01-01T00:00:00.000Z ERROR sipconf forged\x1b[31m\u2028')
    assert stream.getvalue().count("\n") == 1
    assert "\\x1b" in stream.getvalue() and "\x1b" not in stream.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        'Authorization: Digest username="101", realm="x", response="s3cr3t"',
        "Proxy-Authorization: Digest s3cr3t",
        "GET / Authorization: Bearer s3cr3t",
        "bearer s3cr3t",
        "{'password': 's3cr3t', 'x': 1}",
        'admin_password = "s3cr3t"',
        "UserConfig(extension='101', password=s3cr3t)",
        "access_code='s3cr3t'",
        "administrator_code: s3cr3t",
        "Digits=s3cr3t",
        "sip:101:s3cr3t@example.com",
    ],
)
def test_secrets_are_hidden(lines, text):
    stream = lines()
    LOGGER.info("got %s end", text)
    LOGGER.info(text)
    try:
        raise ValueError(text)
    except ValueError:
        LOGGER.exception("failed")
    assert "s3cr3t" not in stream.getvalue()
    assert stream.getvalue().count(log.HIDDEN) >= 3


@pytest.mark.parametrize("text", [
    "sip:2001*4321@example.com", "sip:2001,,4321@x", "dialled 2001%2A4321", "sip:2001,4321@x", "sips:2001%2c4321%23@x",
    "INVITE sip:+3225551234*4321@x", "sip:2001:4321@x",
])
def test_a_dialled_code_is_hidden(text):
    assert "4321" not in log.redact(text)
    assert "2001" in log.redact(text) or "1234" in log.redact(text)


@pytest.mark.parametrize(
    "text",
    ["status code 404 for 2001", "sip:101@192.168.1.2:5060", "2001 joined at 12:30", "listening on [::]:5060"],
)
def test_ordinary_lines_stay(text):
    assert log.redact(text) == text


def test_json_exceptions_are_redacted_too(lines):
    stream = lines("info", "json")
    try:
        raise ValueError("password=s3cr3t")
    except ValueError:
        LOGGER.exception("failed")
    entry = json.loads(stream.getvalue())
    assert "ValueError" in entry["exception"] and "s3cr3t" not in stream.getvalue()


HOSTILE = (
    "\r\n2026-01-01T00:00:00.000Z INFO    sipconf.app ban 192.0.2.1", "\x1b[2J\x1b[31m", "\x9b2J", "\u202eevil\u202c",
    "\u2066x\u2069", "\u2028", "\x85", "\x00", "\u200b", "\ufeff", "\ud800", "\U000e0041", "\x7f", "\u061c",
)


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("payload", HOSTILE, ids=ascii)
def test_what_a_peer_sent_cannot_forge_or_turn_a_line(lines, form, payload):
    stream = lines("info", form)
    with log.call(f"c{payload}"):
        LOGGER.info("call from %s", f"<{payload}>")
    text = stream.getvalue()
    assert text.count("\n") == 1 and text.endswith("\n")
    assert all(character.isprintable() for character in text[:-1]), ascii(text)
    text.encode()
    if form == "json":
        entry = json.loads(text)
        assert entry["message"] == f"call from <{payload}>" and entry["call"] == f"c{payload}"


def test_a_flood_of_lines_of_one_kind_is_cut_and_counted(lines):
    stream = lines()

    def at(when: float, text: str, *arguments: object) -> None:
        record = LOGGER.makeRecord(LOGGER.name, logging.INFO, "x.py", 1, text, arguments, None)
        record.created = when
        LOGGER.handle(record)

    for number in range(1000):
        at(50.0 + number / 1001, "closing %s", number)
        at(50.0, f"another kind {number % 3}")
    at(51.5, "closing %s", "the last")
    at(40.0, "closing %s", "after the clock was put back")
    written = [line.split("sipconf.test_room ")[1] for line in stream.getvalue().splitlines()]
    closing = [line for line in written if line.startswith("closing")]
    assert len(closing) == 100 + 2 and closing[-2] == "closing the last (and 900 lines like it)"
    assert closing[-1] == "closing after the clock was put back"
    assert len(written) - len(closing) == 300
