"""How many media workers there are, and the line about room for calls."""

import os
from pathlib import Path

import pytest

from sipconf.capacity import LEGS_EACH, room_for_calls, worker_settings, workers_of
from sipconf.config import Config, parse
from sipconf.media.worker import opus_settings
from sipconf.mixer.codecs.opus import OpusSettings


def config(text: str) -> Config:
    return parse(text, Path("x.toml"))


@pytest.mark.parametrize(
    ("text", "cores", "workers"),
    [
        ("", 1, 1), ("", 2, 1), ("", 4, 3), ("", 64, 5),
        (f'[rtp]\nports = "10000-{10000 + 4 * LEGS_EACH - 1}"', 64, 2), ('[rtp]\nports = "10000-10099"', 64, 1),
        ("[media]\nworkers = 7", 2, 7),
    ],
)  # fmt: skip
def test_a_worker_for_each_core_but_one_that_has_its_ports(
    text: str, cores: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(cores)))
    assert workers_of(config(text)) == workers


def test_the_workers_are_told_what_the_file_says() -> None:
    told = worker_settings(config('[rtp]\nports = "20000-20099"\nsilence_timeout = 7\n[media]\npriority = "realtime"'))
    assert (told.first_port, told.last_port, told.silence_timeout, told.priority) == (20_000, 20_099, 7, "realtime")
    told = worker_settings(config("[opus]\nbit_rate = 24000\ncomplexity = 9\ndtx = true"))
    said = next(word for word in told.arguments() if word.startswith("--opus="))
    assert opus_settings(said.removeprefix("--opus=")) == OpusSettings(24000, 9, True, True)


def test_the_logs_of_workers_are_as_in_the_file(tmp_path: Path) -> None:
    told = worker_settings(config(f'[log]\nlevel = "debug"\nformat = "json"\n[prompts]\ndirectory = "{tmp_path}"'))
    assert (told.log_level, told.log_format, told.sounds) == ("debug", "json", str(tmp_path))


@pytest.mark.parametrize(
    ("text", "capacities", "line"),
    [
        ("", [4999], "room for 4500 calls at once: 1 media worker, the largest room 4500, "
         "ports 10000-19999 allow 4999, a media worker takes 4500"),
        ('[rtp]\nports = "10000-17999"', [3999], "room for 3999 calls at once: 1 media worker, the largest room 3999, "
         "ports 10000-17999 allow 3999"),
        ("[limits]\nmax_calls = 80", [2499, 2499], "room for 80 calls at once: 2 media workers, the largest room 2499, "
         "ports 10000-19999 allow 4998, [limits] max_calls 80"),
        ('[rtp]\nports = "10001-18000"', [3999], "room for 3999 calls at once: 1 media worker, the largest room 3999, "
         "ports 10001-18000 allow 3999"),
        ("", [480], "room for 480 calls at once: 1 media worker, the largest room 480, ports 10000-19999 allow 4999, "
         "open files allow 480"),
        ('[rtp]\nports = "10000"', [4500], "room for 4500 calls at once: 1 media worker, the largest room 4500, "
         "everything on UDP port 10000"),
    ],
)  # fmt: skip
def test_one_line_says_for_how_many_calls_there_is_room_and_why(text: str, capacities: list[int], line: str) -> None:
    assert room_for_calls(config(text), capacities) == line
