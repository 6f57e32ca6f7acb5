"""The log: one readable line per fact, with time, level and call id; JSON lines on request.

The rule is that secrets, access codes and digits are never handed to the log at all; `RedactSecrets` is the second
line of defence. What a peer sent cannot forge a line: control characters are shown escaped.
"""

import contextlib
import contextvars
import json
import logging
import re
import sys
import time
from collections.abc import Iterator
from typing import TextIO

ROOT = "sipconf"
HIDDEN = "[hidden]"
MAX_LINE = 8192
MAX_CALL_ID = 256
LINES_A_SECOND = 100   # of one kind; what is left out is counted in the next that is written
KINDS_REMEMBERED = 1024

_call: contextvars.ContextVar[str] = contextvars.ContextVar("call", default="")

_SECRETS = (
    # Whole credentials: whatever follows the header's name or the scheme, to the end of the line.
    re.compile(r"(?i)\b((?:proxy-)?authorization\s*[:=]\s*)[^\r\n]+"),
    re.compile(r"(?i)\b((?:bearer|basic)\s+)[\w.~+/=-]{4,}"),
    re.compile(r"(?i)\b(digest\s+username\s*=)[^\r\n]+"),
    # key = value, "key": "value", key='value'
    re.compile(
        r"(?i)(['\"]?\b(?:[a-z_]*password|passwd|secret|access_code|administrator_code|code|digits?|response|cnonce)"
        r"\b['\"]?\s*[:=]\s*)(?:\"[^\"\r\n]*\"|'[^'\r\n]*'|[^\s,;)}\]]+)"
    ),
    # The code dialled with the number, 2001*4321 and 2001,,4321, and passwords inside addresses.
    re.compile(r"(?i)(\b[0-9]{1,15}(?:\*|%2a|,,|%2c%2c))[0-9]{1,32}"),
    re.compile(r"(?i)(\bsips?:[^\s:@;<>*,%]*(?:\*|,|%2a|%2c))[^\s@<>]+(?=@)"),
    re.compile(r"(?i)(\bsips?:[^\s:@;<>]+:)[^\s@<>]+(?=@)"),
)
_CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad"                      # C0, DEL, C1, soft hyphen
    "\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # invisible, direction, line ends
    "\ud800-\udfff\U000e0000-\U000e007f]"           # halves of characters, tags
)


@contextlib.contextmanager
def call(call_id: str) -> Iterator[None]:
    """Every line logged inside belongs to this call."""
    token = _call.set(call_id)
    try:
        yield
    finally:
        _call.reset(token)


def redact(text: str) -> str:
    """The text with everything that looks like a secret hidden."""
    for pattern in _SECRETS:
        text = pattern.sub(rf"\1{HIDDEN}", text)
    return text


class RedactSecrets(logging.Filter):
    """Hides what looks like a secret in a record's message, and settles the call it belongs to."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = redact(record.getMessage())
        record.args = None
        if not hasattr(record, "call"):
            record.call = _call.get()
        return True


class LimitRate(logging.Filter):
    """Lets so many lines of one kind (one place in the code) through in a second, by the time of the records."""

    def __init__(self) -> None:
        super().__init__()
        self._kinds: dict[tuple[str, str], list[float]] = {}  # second, lines written in it, lines left out

    def filter(self, record: logging.LogRecord) -> bool:
        kind = (record.name, str(record.msg))
        if len(self._kinds) >= KINDS_REMEMBERED and kind not in self._kinds:
            self._kinds.clear()
        second, written, left_out = self._kinds.setdefault(kind, [record.created, 0, 0])
        if not 0 <= record.created - second < 1.0:
            second, written = record.created, 0
        if written >= LINES_A_SECOND:
            self._kinds[kind] = [second, written, left_out + 1]
            return False
        self._kinds[kind] = [second, written + 1, 0]
        if left_out:
            record.msg = f"{record.getMessage()} (and {left_out:.0f} lines like it)"
            record.args = None
        return True


class TextFormatter(logging.Formatter):
    """2026-03-01T08:15:02.123Z INFO    sipconf.reload call=x7Gh the message"""

    def format(self, record: logging.LogRecord) -> str:
        call_id = getattr(record, "call", "")[:MAX_CALL_ID]
        belongs = f" call={_printable(call_id)}" if call_id else ""
        head = f"{_time(record)} {record.levelname:<7} {record.name}{belongs}"
        line = f"{head} {_printable(record.getMessage())}"[:MAX_LINE]
        if record.exc_info:
            trace = redact(self.formatException(record.exc_info))
            line += "".join(f"\n  | {_printable(row)}" for row in trace.splitlines())
        return line


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, logger, call (where there is one), message, exception."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {"time": _time(record), "level": record.levelname.lower(), "logger": record.name}
        if call_id := getattr(record, "call", ""):
            entry["call"] = call_id[:MAX_CALL_ID]
        entry["message"] = record.getMessage()[:MAX_LINE]
        if record.exc_info:
            entry["exception"] = redact(self.formatException(record.exc_info))
        # Outside of its strings JSON has none of these characters.
        return _CONTROL.sub(_json_escape, json.dumps(entry, ensure_ascii=False))


def setup(level: str = "info", form: str = "text", stream: TextIO | None = None) -> None:
    """Send our log lines, and the warnings of libraries, to a stream (standard error). May be called again.

    level: "debug", "info", "warning" or "error"; form: "text" or "json".
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    handler.addFilter(LimitRate())  # before the other, which writes every message out
    handler.addFilter(RedactSecrets())
    root = logging.getLogger()
    for old in root.handlers[:]:
        if getattr(old, "of_sipconf", False):
            root.removeHandler(old)
    handler.of_sipconf = True  # type: ignore[attr-defined]
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger(ROOT).setLevel(level.upper())


def _time(record: logging.LogRecord) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"


def _json_escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\u{code:04x}" if code < 0x10000 else json.dumps(match[0])[1:-1]


def _printable(text: str) -> str:
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)
