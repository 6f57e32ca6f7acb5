"""Whole calls to a real server over real sockets, with short timers: nothing of them stays. `make soak` makes more."""

import os
from pathlib import Path

import pytest
import uvloop

from benchmarks import soak

CALLS = int(os.environ.get("SIPCONF_CALLS", "300"))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="descriptors are counted in /proc")
def test_after_many_calls_all_is_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak, "WARM_CALLS", 100)
    before, after, failed = uvloop.run(soak.many_calls(tmp_path, CALLS))
    assert failed == 0
    assert after.dialogs == after.transactions == 0
    assert after.faults(before) == []


def test_a_leak_would_be_seen() -> None:
    before = soak.Reading(7, 40, 0, 0, 80.0, 12, 70.0)
    assert soak.Reading(7, 41, 0, 0, 80.0, 12, 90.0).faults(before) == [
        "descriptors: 40 before, 41 after", "worker_memory: 70 before, 90 after"]
    assert soak.Reading(7, 40, 0, 0, 95.0, 12, 70.0).faults(before) == [], "the allocator keeps some pages"
