"""Edits of the file: what is handed on, what changes nothing, what is said. Real files, the real watcher."""

import asyncio
import contextlib
import logging
import os
from pathlib import Path

import pytest

from sipconf.config import Config, ConfigError, parse
from sipconf.errors import StartError
from sipconf.reload import Reloader, differences

FIRST = """
[[users]]
extension = "101"
name = "Alice"
password = "old-secret"

[[conferences]]
extension = "2001"
access_code = "4321"
"""


def config(text: str) -> Config:
    return parse(text, Path("/nowhere/x.toml"))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "sipconf.toml"
    path.write_text(FIRST)
    return path


def test_differences_name_kind_key_change_before_and_after():
    after = FIRST.replace("Alice", "Alicia") + '[[conferences]]\nextension = "2002"\n[rtp]\nsilence_timeout = 30\n'
    rtp, user, conference = (change.as_dict() for change in differences(config(FIRST), config(after)))
    assert rtp == {
        "kind": "rtp", "key": "silence_timeout", "change": "changed", "before": 60.0, "after": 30.0
    }  # fmt: skip
    assert (user["kind"], user["key"], user["change"]) == ("user", "101", "changed")
    assert (user["before"]["name"], user["after"]["name"]) == ("Alice", "Alicia")
    assert (conference["key"], conference["change"], conference["before"]) == ("2002", "added", None)
    assert conference["after"]["tones"] is True


def test_removed_and_renumbered():
    changes = differences(config(FIRST), config(FIRST.replace('"2001"', '"2009"')))
    assert [str(change) for change in changes] == ["conference 2001 removed", "conference 2009 added"]


def test_one_number_in_two_spellings_is_one_number():
    one = FIRST + '[[incoming_numbers]]\nnumber = "+32 25"\nconference = "2001"\n'
    changes = differences(config(one), config(one.replace("+32 25", "003225")))
    assert [str(change) for change in changes] == ["incoming-number 003225 changed"]


def test_no_secret_is_in_a_difference():
    after = FIRST.replace("old-secret", "new-secret").replace("4321", "8765")
    after += '[http]\nadmin_password = "topsecret"\n[[trunks]]\nname = "t"\nhost = "h"\npassword = "trunksecret"\n'
    changes = differences(config(FIRST), config(after))
    assert len(changes) == 4
    text = repr(changes)
    assert not [s for s in ("-secret", "4321", "8765", "topsecret", "trunksecret") if s in text]
    user = next(change for change in changes if change.kind == "user")
    assert (user.before["password"], user.after["password"]) == ("(set)", "(changed)")


def test_order_and_comments_are_no_difference():
    assert differences(config(FIRST), config("# hello\n[sip]\n" + FIRST)) == []


def test_what_takes_a_restart():
    after = '[sip]\nlisten = ["udp://127.0.0.1:0"]\n[rtp]\nports = "20000-20100"\n[log]\nlevel = "debug"\n' + FIRST
    restart = {change.key: change.needs_restart for change in differences(config(FIRST), config(after))}
    assert restart == {"listen": True, "ports": True, "level": False}


def test_apply_hands_on_what_is_new(file):
    seen, told = [], []
    reloader = Reloader(file, seen.append, on_result=lambda *result: told.append(result))
    assert reloader.apply() == [] and seen == []
    file.write_text(FIRST.replace("Alice", "Alicia"))
    changes = reloader.apply()
    assert [str(change) for change in changes] == ["user 101 changed"]
    assert seen == [reloader.current] and seen[0].users[0].name == "Alicia"
    assert [result for result, _, _ in told] == ["unchanged", "applied"]


def test_what_waits_for_a_restart_is_remembered_until_it_is_undone(file):
    reloader = Reloader(file, lambda _: None)
    file.write_text(FIRST + "[rtp]\nports = '20000-20100'\n")
    reloader.apply()
    assert reloader.apply() == [] and reloader.awaiting_restart() == ["rtp ports"]
    file.write_text(FIRST)
    reloader.apply()
    assert reloader.awaiting_restart() == []


def test_a_broken_file_changes_nothing_and_is_reported(file, caplog):
    seen = []
    reloader = Reloader(file, seen.append)
    before = reloader.current
    file.write_text(FIRST + "[sip]\ndomian = 'x'\nlisten = 3\n")
    with pytest.raises(ConfigError):
        reloader.apply()
    assert seen == [] and reloader.current is before
    assert [fault.line for fault in reloader.last_error.faults] == [11, 12]
    assert f"{file}:11: unknown key" in caplog.text and f"{file}:12:" in caplog.text
    reloader.reload("SIGHUP")  # reports, does not raise
    file.write_text(FIRST)
    reloader.apply()
    assert reloader.last_error is None


def test_a_configuration_that_cannot_be_used_leaves_the_old_one(file, caplog):
    def refuse(new: Config) -> None:
        raise StartError("no such codec")

    reloader = Reloader(file, refuse)
    before = reloader.current
    file.write_text(FIRST.replace("Alice", "Alicia"))
    with pytest.raises(StartError):
        reloader.apply()
    reloader.reload("SIGHUP")
    assert reloader.current is before
    assert "no such codec" in caplog.text


def test_the_log_says_what_takes_a_restart(file, caplog):
    caplog.set_level(logging.INFO)
    reloader = Reloader(file, lambda new: None)
    file.write_text(FIRST + "[http]\nlisten = '127.0.0.1:8081'\n[log]\nformat = 'json'\n")
    reloader.apply()
    assert "http listen changed; takes a restart" in caplog.text
    assert "log format changed\n" in caplog.text


class Watching:
    """A Reloader that watches, and a queue of what it was told of."""

    def __init__(self, file: Path) -> None:
        self.seen: asyncio.Queue[str] = asyncio.Queue()
        self.reloader = Reloader(
            file, lambda new: None, on_result=lambda result, changes, error: self.seen.put_nowait(result)
        )

    async def result(self) -> str:
        """The next result; two seconds are the promise, the rest is for a busy machine."""
        return await asyncio.wait_for(self.seen.get(), 60)


@pytest.fixture
async def watching(file):
    watching = Watching(file)
    task = asyncio.create_task(watching.reloader.watch())
    yield watching
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_an_edit_is_noticed(file, watching):
    file.write_text(FIRST.replace("Alice", "Alicia"))
    assert await watching.result() == "applied"
    assert watching.reloader.current.users[0].name == "Alicia"


async def test_a_replaced_file_is_noticed_again_and_again(file, watching):
    """As editors save: a new file renamed over the old one."""
    for name in ("Anna", "Berta"):
        new = file.with_suffix(".new")
        new.write_text(FIRST.replace("Alice", name))
        os.replace(new, file)
        assert await watching.result() == "applied"
        assert watching.reloader.current.users[0].name == name


async def test_a_broken_edit_then_a_good_one(file, watching):
    file.write_text("[sip\n")
    assert await watching.result() == "broken"
    file.write_text(FIRST.replace("Alice", "Alicia"))
    assert await watching.result() == "applied"


async def test_an_edit_behind_a_symbolic_link_is_noticed(tmp_path):
    """The folder that is watched never changes; only the file elsewhere does."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "real.toml").write_text(FIRST)
    here = tmp_path / "here"
    here.mkdir()
    link = here / "sipconf.toml"
    link.symlink_to(elsewhere / "real.toml")
    watching = Watching(link)
    task = asyncio.create_task(watching.reloader.watch())
    try:
        (elsewhere / "real.toml").write_text(FIRST.replace("Alice", "Alicia"))
        assert await watching.result() == "applied"
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def test_a_broken_file_at_the_start_is_an_error(tmp_path):
    bad = tmp_path / "x.toml"
    bad.write_text("[sip\n")
    with pytest.raises(ConfigError):
        Reloader(bad, lambda new: None)


async def test_edits_are_noticed_where_the_folder_cannot_be_watched(tmp_path, monkeypatch, caplog):
    folder = tmp_path / "folder"
    folder.mkdir()
    file = folder / "x.toml"
    file.write_text(FIRST)
    applied = asyncio.Event()
    reloader = Reloader(file, lambda config: applied.set())
    file.rename(tmp_path / "x.toml")
    folder.rmdir()  # nothing to watch
    watching = asyncio.create_task(reloader.watch())
    async with asyncio.timeout(60):
        while "cannot be watched" not in caplog.text:
            await asyncio.sleep(0.01)
        folder.mkdir()
        file.write_text(FIRST.replace("Alice", "Alicia"))
        await applied.wait()
    assert reloader.current.users[0].name == "Alicia"
    watching.cancel()
