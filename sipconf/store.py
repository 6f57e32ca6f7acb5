"""The one SQLite file: registrations and lock-outs that outlive a restart. No other module knows SQLite.

What is written here is decided elsewhere (registrar, conference). A save costs the caller a dictionary entry: a
thread writes what has gathered within a tenth of a second in one transaction, the newest state of each key only, so
that neither a slow disk nor many telephones at once stop the event loop.
"""

import logging
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sipconf.clock import SYSTEM_CLOCK, Clock
from sipconf.errors import MisuseError, StartError

log = logging.getLogger(__name__)

LOCKOUT_MEMORY = 30 * 86400.0  # seconds after which an old lock-out is not worth loading
FLUSH_LIMIT = 5.0              # seconds that closing waits for the disk
GATHER = 0.1                   # seconds that a save may wait for others, so that a thousand cost one transaction

_MIGRATIONS = (
    """
    CREATE TABLE bindings (
        extension TEXT NOT NULL, contact TEXT NOT NULL, transport TEXT NOT NULL,
        remote_host TEXT NOT NULL, remote_port INTEGER NOT NULL,
        local_host TEXT NOT NULL, local_port INTEGER NOT NULL,
        expires_wall REAL NOT NULL, call_id TEXT NOT NULL, cseq INTEGER NOT NULL, user_agent TEXT NOT NULL
    );
    CREATE INDEX bindings_of ON bindings (extension);
    CREATE TABLE lockouts (
        key TEXT PRIMARY KEY, failures INTEGER NOT NULL, last_failure REAL NOT NULL, locked_until REAL NOT NULL
    ) WITHOUT ROWID;
    """,
    "ALTER TABLE bindings ADD COLUMN path TEXT NOT NULL DEFAULT ''",
)

Write = Callable[[sqlite3.Connection], None]


@dataclass(frozen=True, slots=True)
class StoredBinding:
    """One contact of an extension. contact is a header value without `expires`, path the Route values on the way to
    it; expires_at is on this process's monotonic clock (the file holds wall-clock time)."""

    extension: str
    contact: str
    transport: str
    remote: tuple[str, int]
    local: tuple[str, int]
    expires_at: float
    call_id: str
    cseq: int
    user_agent: str
    path: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LockoutRecord:
    """Wrong access codes of one key; both times are wall-clock seconds."""

    failures: int
    last_failure: float
    locked_until: float


class Lockout(Protocol):
    """What a lock-out to be saved has to offer."""

    @property
    def failures(self) -> int: ...
    @property
    def last_failure(self) -> float: ...
    @property
    def locked_until(self) -> float: ...


class Store:
    """An open file and the thread that writes to it. `bindings` and `lockouts` are its two drawers."""

    def __init__(self, path: Path | str, clock: Clock = SYSTEM_CLOCK) -> None:
        """path ":memory:" keeps everything in memory. Raises StartError where the file cannot be used."""
        self.path = str(path)
        self.clock = clock
        self.failures = 0  # transactions that the disk refused
        self._connection = _open(self.path)
        self._connection_lock = threading.Lock()
        self._pending: dict[tuple[str, str], Write] = {}
        self._wake = threading.Condition()
        self._hurry = threading.Event()  # somebody waits for the disk
        self._writing = False
        self._closing = False
        try:
            _migrate(self._connection, clock.wall())
        except sqlite3.DatabaseError as error:
            self._connection.close()
            raise StartError(f"cannot use the store {self.path}: {error}; move the file away") from error
        self.bindings = BindingStore(self)
        self.lockouts = LockoutStore(self)
        self._thread = threading.Thread(target=self._write_behind, name="sipconf-store", daemon=True)
        self._thread.start()

    def put(self, drawer: str, key: str, write: Write) -> None:
        """Queues a write; a later one for the same drawer and key replaces it."""
        with self._wake:
            if self._closing:
                raise MisuseError("the store is closed")
            self._pending[drawer, key] = write
            self._wake.notify_all()

    def read(self, query: str, parameters: Sequence[object] = ()) -> list[tuple]:
        """Rows of a query, after everything queued so far is written. Only at the server's start: it waits."""
        self.flush()
        with self._connection_lock:
            return self._connection.execute(query, parameters).fetchall()

    def flush(self, timeout: float = FLUSH_LIMIT) -> bool:
        """Waits until nothing is queued; False where the disk took longer than the time-out."""
        self._hurry.set()
        with self._wake:
            done = self._wake.wait_for(lambda: not self._pending and not self._writing, timeout)
        self._hurry.clear()
        return done

    def close(self) -> None:
        """Writes what is queued and closes the file."""
        with self._wake:
            self._closing = True
            self._wake.notify_all()
        self._hurry.set()
        self._thread.join(FLUSH_LIMIT)
        if self._thread.is_alive():
            log.error("the store %s did not finish its writes in time", self.path)
            return
        self._connection.close()

    def _write_behind(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._pending or self._closing)
                if not self._pending:
                    return
            self._hurry.wait(GATHER)
            with self._wake:
                batch, self._pending = self._pending, {}
                self._writing = True
            try:
                with self._connection_lock, self._connection:
                    for write in batch.values():
                        write(self._connection)
            except sqlite3.Error as error:  # disk full, file gone: the server goes on without its memory
                self.failures += 1
                log.error("the store %s could not be written: %s", self.path, error)
            finally:
                with self._wake:
                    self._writing = False
                    self._wake.notify_all()


class BindingStore:
    """The registrations of every extension."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def load(self) -> list[StoredBinding]:
        """Every binding that has not expired meanwhile, `expires_at` on this process's monotonic clock."""
        clock = self._store.clock
        offset = clock.monotonic() - clock.wall()
        rows = self._store.read(
            "SELECT extension, contact, transport, remote_host, remote_port, local_host, local_port, expires_wall,"
            " call_id, cseq, user_agent, path FROM bindings WHERE expires_wall > ? ORDER BY rowid",
            (clock.wall(),),
        )
        return [
            StoredBinding(row[0], row[1], row[2], (row[3], row[4]), (row[5], row[6]), row[7] + offset, *row[8:11],
                          tuple(row[11].splitlines()))
            for row in rows
        ]

    def save(self, extension: str, bindings: Sequence[StoredBinding]) -> None:
        """Makes these the extension's only bindings."""
        clock = self._store.clock
        offset = clock.wall() - clock.monotonic()
        rows = [
            (extension, b.contact, b.transport, *b.remote, *b.local, b.expires_at + offset, b.call_id, b.cseq,
             b.user_agent, "\n".join(b.path))
            for b in bindings
        ]  # fmt: skip

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM bindings WHERE extension = ?", (extension,))
            connection.executemany("INSERT INTO bindings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)

        self._store.put("bindings", extension, write)


class LockoutStore:
    """Wrong access codes, counted per key."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def load(self) -> dict[str, LockoutRecord]:
        """Every record younger than a month, by key."""
        oldest = self._store.clock.wall() - LOCKOUT_MEMORY
        rows = self._store.read(
            "SELECT key, failures, last_failure, locked_until FROM lockouts"
            " WHERE max(last_failure, locked_until) > ?",
            (oldest,),
        )
        return {row[0]: LockoutRecord(*row[1:]) for row in rows}

    def save(self, key: str, record: Lockout) -> None:
        """Makes this the key's record."""
        row = (key, record.failures, record.last_failure, record.locked_until)

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("REPLACE INTO lockouts VALUES (?, ?, ?, ?)", row)

        self._store.put("lockouts", key, write)

    def forget(self, key: str) -> None:
        """Drops the key's record, if there is one."""

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM lockouts WHERE key = ?", (key,))

        self._store.put("lockouts", key, write)


def _open(path: str) -> sqlite3.Connection:
    folder = Path(path).parent
    if path != ":memory:" and not folder.is_dir():
        raise StartError(f"cannot open the store {path}: the folder {folder} does not exist; create it")
    connection = None
    try:
        connection = sqlite3.connect(path, timeout=5.0, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
    except sqlite3.Error as error:
        if connection is not None:
            connection.close()
        raise StartError(f"cannot open the store {path}: {error}; check the file and its permissions") from error
    return connection


def _migrate(connection: sqlite3.Connection, wall: float) -> None:
    """Brings the schema to the newest version, one transaction per step."""
    with connection:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS migrations (version INTEGER PRIMARY KEY, applied_wall REAL NOT NULL)"
        )
    (version,) = connection.execute("SELECT coalesce(max(version), 0) FROM migrations").fetchone()
    if version > len(_MIGRATIONS):
        raise sqlite3.DatabaseError(f"its schema {version} is newer than this program's {len(_MIGRATIONS)}")
    for number, script in enumerate(_MIGRATIONS[version:], version + 1):
        with connection:
            connection.execute("BEGIN")
            for statement in filter(str.strip, script.split(";")):
                connection.execute(statement)
            connection.execute("INSERT INTO migrations VALUES (?, ?)", (number, wall))
