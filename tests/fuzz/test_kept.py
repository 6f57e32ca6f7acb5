"""Every kept input that once broke something, judged by the fuzzers of its kind again: a bad one leaves a file here."""

from pathlib import Path

import pytest

from tests.fuzz.cost import agree, peak, register
from tests.fuzz.driver import breaks
from tests.fuzz.targets import TARGETS

REGRESS = Path(__file__).resolve().parents[1] / "regress"
KEPT = [
    pytest.param(path, name, id=f"{path.name} {name}")
    for path in sorted(REGRESS.glob("*"))
    for name, target in TARGETS.items()
    if path.suffix == f".{target.ending}"
]
READERS = {".sip": register, ".sdp": agree}
COSTLY = [pytest.param(path, id=path.name) for path in sorted(REGRESS.glob("*")) if path.suffix in READERS]


@pytest.mark.parametrize(("path", "name"), KEPT)
def test_it_breaks_nothing_any_more(path: Path, name: str) -> None:
    assert breaks(TARGETS[name](), path.read_bytes()) is None


@pytest.mark.parametrize("path", COSTLY)
def test_it_costs_a_small_multiple_of_its_length(path: Path) -> None:
    data = path.read_bytes()
    assert peak(READERS[path.suffix], data) <= 8 * len(data) + 50_000
