"""Target: the file that an administrator edits. Only ConfigError escapes, with a line that the file has."""

import random
import re
from pathlib import Path

from sipconf.config import ConfigError, parse
from tests.fuzz.driver import Target, expect
from tests.fuzz.families import anomaly
from tests.fuzz.fields import Span, spoil
from tests.fuzz.mutation import mutate

EXAMPLE = Path(__file__).resolve().parents[2] / "config" / "conferences.toml"
PLACE = Path("/nowhere/conferences.toml")
FIELDS = {
    "key": re.compile(rb"(?m)^[a-z_]+(?= =)"),
    "value": re.compile(rb"(?m)(?<= = )[^#\n]+"),
    "section": re.compile(rb"(?m)^\[.*\]"),
    "line": re.compile(rb"(?m)^[^#\n].*\n"),
}


class ConfigText(Target):
    name = "config"
    ending = "config"

    def __init__(self) -> None:
        text = EXAMPLE.read_bytes()
        self._seed = b"".join(line for line in text.splitlines(keepends=True) if line.strip() and line[:1] != b"#")
        self._fields: dict[str, list[Span]] = {
            kind: [match.span() for match in pattern.finditer(self._seed)] for kind, pattern in FIELDS.items()
        }

    def make(self, rng: random.Random) -> bytes:
        if rng.random() < 0.6:
            return spoil(rng, self._seed, self._fields, anomaly(rng))
        return mutate(rng, self._seed, (self._seed,))

    def judge(self, data: bytes) -> None:
        text = data.decode("utf-8", "replace")
        try:
            parse(text, PLACE)
        except ConfigError as error:
            lines = text.count("\n") + 2
            expect(bool(error.faults), "a refusal without a reason")
            expect(all(0 <= fault.line <= lines for fault in error.faults), "a line that the file does not have")
