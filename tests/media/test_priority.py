"""Rank of a worker: the nice value and its group's, for ourselves and for one that was just started."""

import errno
import os
from pathlib import Path

import pytest

from sipconf.media import priority
from sipconf.media.priority import NICE, REALTIME_PRIORITY, lend_priority, take_priority


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[int, int, int]]:
    """What setpriority was asked for; ourselves and process 77 have a scheduling group each."""
    calls: list[tuple[int, int, int]] = []
    monkeypatch.setattr(os, "setpriority", lambda *words: calls.append(words))
    monkeypatch.setattr(priority, "PROCESSES", tmp_path)
    for name in ("self", "77"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "autogroup").write_text("0")
    return calls


def refuse(*_: object) -> None:
    raise PermissionError(errno.EPERM, "no")


def group(folder: Path, process: str) -> str:
    return (folder / process / "autogroup").read_text()


def test_nice_is_the_process_and_its_group(asked: list[tuple[int, int, int]], tmp_path: Path) -> None:
    take_priority("nice")
    assert asked == [(os.PRIO_PROCESS, 0, NICE)] and group(tmp_path, "self") == str(NICE)
    assert group(tmp_path, "77") == "0"


@pytest.mark.parametrize(("wish", "lent"), [("nice", True), ("realtime", True), ("normal", False)])
def test_a_worker_is_lent_a_nice_value_for_its_start(
    wish: str, lent: bool, asked: list[tuple[int, int, int]], tmp_path: Path
) -> None:
    lend_priority(wish, 77)
    assert asked == ([(os.PRIO_PROCESS, 77, NICE)] if lent else [])
    assert group(tmp_path, "77") == (str(NICE) if lent else "0") and group(tmp_path, "self") == "0"


def test_realtime_is_a_policy(monkeypatch: pytest.MonkeyPatch, asked: list[tuple[int, int, int]]) -> None:
    policies: list[tuple[int, int, int]] = []
    monkeypatch.setattr(os, "sched_setscheduler", lambda process, policy, parameters: policies.append(
        (process, policy, parameters.sched_priority)))
    take_priority("realtime")
    take_priority("normal")
    assert policies == [(0, os.SCHED_RR, REALTIME_PRIORITY)] and not asked


def test_a_scheduling_group_that_keeps_its_rank_does_not_end_the_worker(
    asked: list[tuple[int, int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def keep(path: Path, text: str) -> None:
        tries.append(text)
        raise OSError(errno.EINVAL, "Invalid argument")  # the root group, whose rank nobody may change

    monkeypatch.setattr(Path, "write_text", keep)
    take_priority("nice")
    assert tries == [str(NICE)]


def test_without_the_right_to_a_priority_the_group_is_left_alone(
    asked: list[tuple[int, int, int]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "setpriority", refuse)
    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    take_priority("nice")
    take_priority("realtime")
    lend_priority("nice", 77)
    assert group(tmp_path, "self") == group(tmp_path, "77") == "0"
