"""The messages, session descriptions and packets that are judged, each with its verdict: an index of rows.

Two sets with the same columns: the project's own in tests/vectors, always there, and a larger collection beside the
repository (SIPCONF_CORPORA names another place), which is read where it is present.
"""

import csv
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORPORA = Path(os.environ.get("SIPCONF_CORPORA", ROOT.parent / "shared" / "corpora"))
VECTORS = ROOT / "tests" / "vectors"
ABSENT = f"no corpora at {CORPORA} (SIPCONF_CORPORA): only the project's own vectors are judged"
POLICY = frozenset({200, 401, 403, 404, 405, 480, 481, 486, 488, 489})
"""Answers that a server may choose for a message that it has understood."""


@dataclass(frozen=True, slots=True)
class Row:
    """One file. allowed: statuses that may answer it; may_be_silent: none is right too."""

    corpus: str
    name: str
    path: Path
    kind: str
    transport: str
    allowed: frozenset[int]
    may_be_silent: bool
    expected: str
    fields: str

    @property
    def data(self) -> bytes:
        return self.path.read_bytes()

    @property
    def first_message(self) -> int:
        """Octets of the first message, where its head says how many that are; else all."""
        head, end, _ = self.data.partition(b"\r\n\r\n")
        length = re.search(rb"\r\n(?:Content-Length|l)[ \t]*:[ \t]*(\d+)[ \t]*(?=\r\n|$)", head, re.IGNORECASE)
        return len(head) + len(end) + int(length[1]) if length else len(self.data)

    @property
    def cseq(self) -> str:
        """The CSeq value as it stands there."""
        return re.search(rb"^CSeq[ \t]*:[ \t]*(.*?)\r?$", self.data, re.IGNORECASE | re.MULTILINE)[1].decode()

    @property
    def is_response(self) -> bool:
        return self.data.startswith(b"SIP/2.0 ")


def _allowed(text: str) -> frozenset[int]:
    statuses = {word for word in text.split(",") if word not in ("", "-", "NONE", "POLICY")}
    return frozenset(map(int, statuses)) | (POLICY if "POLICY" in text.split(",") else frozenset())


def _read(index: Path) -> list[Row]:
    with index.open(encoding="utf-8", newline="") as lines:
        return [
            Row(each["corpus"], Path(each["file"]).stem, index.parent / each["file"], each["class"],
                each["transport"], _allowed(each["allowed_responses"]), "NONE" in each["allowed_responses"].split(","),
                each["expected_behaviour"],
                each["fields_to_check"])
            for each in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        ]


def rows(*corpora: str) -> list[Any]:
    """Test parameters: every row of these sets, ours first; one skipped parameter in place of an absent collection."""
    own = [row for row in _read(VECTORS / "index.tsv") if row.corpus in corpora]
    found = [pytest.param(row, id=f"own-{row.name}") for row in own]
    if not (CORPORA / "index.tsv").is_file():
        return [*found, pytest.param(None, id="corpora", marks=pytest.mark.skip(reason=ABSENT))]
    theirs = [row for row in _read(CORPORA / "index.tsv") if row.corpus in corpora]
    return [*found, *(pytest.param(row, id=row.name) for row in theirs)]
