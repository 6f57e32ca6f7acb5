"""The SQLite file: what survives a restart, what a broken disk does, what a save costs."""

import sqlite3
import threading
import time
from pathlib import Path

import pytest

from sipconf.clock import Clock
from sipconf.errors import MisuseError, StartError
from sipconf.store import LockoutRecord, Store, StoredBinding


class Hands:
    """A clock whose hands the test moves."""

    def __init__(self, monotonic: float, wall: float) -> None:
        self.now = monotonic
        self.date = wall
        self.clock = Clock(lambda: self.now, lambda: self.date)


def binding(extension: str = "101", user: str = "a", expires_at: float = 3600.0) -> StoredBinding:
    return StoredBinding(
        extension, f"<sip:{user}@10.0.0.1>;q=0.5", "udp", ("192.0.2.1", 4000), ("0.0.0.0", 5060), expires_at,
        "c1", 7, "phone", ("<sip:core;lr>", "<sip:edge;lr;ob>"),
    )  # fmt: skip


def test_bindings_survive_a_restart_on_another_monotonic_clock(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db", Hands(1000.0, 5_000_000.0).clock)
    store.bindings.save("101", [binding(expires_at=1600.0), binding(user="b", expires_at=1100.0)])
    store.bindings.save("102", [binding("102")])
    store.bindings.save("102", [])
    store.close()
    store = Store(tmp_path / "s.db", Hands(20.0, 5_000_200.0).clock)
    (kept,) = store.bindings.load()
    assert kept == binding(expires_at=420.0), "200 s of its 600 s have passed, and the other has expired"
    store.close()


def test_a_save_replaces_the_extensions_bindings_only(tmp_path: Path) -> None:
    store = Store(":memory:", Hands(0.0, 1000.0).clock)
    store.bindings.save("101", [binding(), binding(user="b")])
    store.bindings.save("102", [binding("102")])
    store.flush()
    store.bindings.save("101", [binding(user="c")])
    assert sorted((b.extension, b.contact[5]) for b in store.bindings.load()) == [("101", "c"), ("102", "a")]
    store.close()


def test_lockouts_survive_and_are_forgotten(tmp_path: Path) -> None:
    hands = Hands(0.0, 10_000_000.0)
    store = Store(tmp_path / "s.db", hands.clock)
    store.lockouts.save("user:101", LockoutRecord(3, hands.date, hands.date + 900))
    store.lockouts.save("user:101", LockoutRecord(4, hands.date, hands.date + 1800))
    store.lockouts.save("address:192.0.2.1", LockoutRecord(1, hands.date, 0.0))
    store.lockouts.forget("address:192.0.2.1")
    store.lockouts.save("old", LockoutRecord(1, hands.date - 40 * 86400, 0.0))
    store.close()
    store = Store(tmp_path / "s.db", hands.clock)
    assert store.lockouts.load() == {"user:101": LockoutRecord(4, hands.date, hands.date + 1800)}
    store.close()


def test_the_file_is_in_wal_mode_and_knows_its_migrations(tmp_path: Path) -> None:
    for _ in range(2):
        Store(tmp_path / "s.db", Hands(0.0, 77.0).clock).close()
    with sqlite3.connect(tmp_path / "s.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("SELECT version, applied_wall FROM migrations").fetchall() == [(1, 77.0), (2, 77.0)]
    connection.close()


def test_a_file_of_a_newer_program_is_left_alone(tmp_path: Path) -> None:
    Store(tmp_path / "s.db").close()
    with sqlite3.connect(tmp_path / "s.db") as connection:
        connection.execute("INSERT INTO migrations VALUES (99, 0)")
    connection.close()
    with pytest.raises(StartError, match="newer"):
        Store(tmp_path / "s.db")


def test_what_cannot_be_opened_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="the folder .* does not exist"):
        Store(tmp_path / "no" / "s.db")
    (tmp_path / "junk.db").write_bytes(b"this is no database, " * 100)
    with pytest.raises(StartError, match="junk.db"):
        Store(tmp_path / "junk.db")
    with pytest.raises(StartError):
        Store(tmp_path)


def test_saving_never_waits_for_the_disk(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    other = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")  # somebody holds the write lock: the writer thread has to wait, we must not
    rows = [binding(user=str(number), expires_at=time.monotonic() + 3600) for number in range(10)]
    started = time.thread_time()
    for number in range(2000):
        store.bindings.save(str(number % 100), rows)
    cost = (time.thread_time() - started) / 2000
    assert not store.flush(timeout=0.0)
    assert len(store._pending) <= 200, "the newest state of each extension only"
    other.execute("COMMIT")
    other.close()
    assert store.flush(timeout=10.0)
    assert len(store.bindings.load()) == 1000
    assert cost < 0.001, f"{cost * 1e6:.0f} us of CPU per save"
    store.close()


def test_a_disk_that_refuses_does_not_stop_the_server(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = Store(tmp_path / "s.db")
    with sqlite3.connect(tmp_path / "s.db") as connection:
        connection.execute("ALTER TABLE bindings RENAME TO hidden")
    store.bindings.save("101", [binding()])
    assert store.flush() and store.failures == 1 and "could not be written" in caplog.text
    with connection:
        connection.execute("ALTER TABLE hidden RENAME TO bindings")
    connection.close()
    store.bindings.save("101", [binding(expires_at=time.monotonic() + 60)])
    assert len(store.bindings.load()) == 1
    store.close()


def test_after_close_nothing_is_accepted_and_no_thread_is_left(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    store.close()
    with pytest.raises(MisuseError):
        store.lockouts.forget("x")
    assert not any(thread.name == "sipconf-store" for thread in threading.enumerate())


def rows_on_disk(path: Path) -> int:
    """What another reader of the file sees."""
    with sqlite3.connect(path) as connection:
        return connection.execute("SELECT count(*) FROM bindings").fetchone()[0]


class Hurry(threading.Event):
    """The writer's, that tells when the writer has begun to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.waiting.set()
        return super().wait(3600.0)


def test_saves_gather_until_somebody_waits_for_them(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db", Hands(0.0, 1000.0).clock)
    store._hurry = Hurry()
    commits: list[str] = []
    store._connection.set_trace_callback(lambda statement: commits.append(statement) if "COMMIT" in statement else None)
    store.bindings.save("first", [binding("first")])
    assert store._hurry.waiting.wait(10.0), "the writer waits for more"
    for number in range(50):
        store.bindings.save(str(number), [binding(str(number))])
    assert rows_on_disk(tmp_path / "s.db") == 0
    assert store.flush()
    assert rows_on_disk(tmp_path / "s.db") == 51 and len(commits) == 1, "all in one transaction"
    store.bindings.save("last", [binding("last")])
    store.close()
    assert rows_on_disk(tmp_path / "s.db") == 52, "closing does not wait for others either"
