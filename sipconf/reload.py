"""Edits of the configuration file: noticed, compared, handed on when the whole file is in order.

A broken file changes nothing. What is done with a new Config is the caller's business (`on_new`). Reading is
`config`'s.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sipconf.config import Config, ConfigError, is_open_to_all, load
from sipconf.config_values import number_key

POLL_MS = 1000  # also notices edits on file systems that tell nothing, and through symbolic links
SETTLE_SECONDS = 0.1  # an editor may be in the middle of writing

_log = logging.getLogger(__name__)

# What is read once, at the start.
RESTART_KEYS = frozenset(
    {
        ("sip", "domain"), ("sip", "listen"), ("sip", "advertise"), ("sip", "local_networks"), ("sip", "digest"),
        ("sip", "drop_unknown"), ("sip", "session_expires"), ("sip", "encryption"), ("rtp", "ports"),
        ("rtp", "codecs"), ("rtp", "silence_timeout"),
        ("rtp", "max_delay_ms"), ("media", "workers"), ("media", "priority"), ("media", "shared_sockets"),
        ("opus", "bit_rate"), ("opus", "complexity"), ("opus", "forward_error_correction"), ("opus", "dtx"),
        ("http", "listen"), ("http", "tls_listen"), ("prompts", "directory"), ("store", "path"),
        ("limits", "max_calls"), ("limits", "max_connections"), ("limits", "max_connections_per_source"),
    }
)  # fmt: skip

_SECTIONS = ("sip", "rtp", "media", "opus", "http", "tls", "prompts", "log", "store", "recordings", "limits")
_LISTS = (
    ("user", "users", "extension"),
    ("conference", "conferences", "extension"),
    ("incoming-number", "incoming_numbers", "number"),
    ("trunk", "trunks", "name"),
)
_SECRETS = ("password", "admin_password", "access_code", "administrator_code")


class Change(NamedTuple):
    """One difference between two configurations. Secrets are never in it: only whether one is set or was changed.

    kind: "user", "conference", "incoming-number" or "trunk", with key its extension, number or name; or a section
    ("sip") with key one of its keys. change: "added", "changed", "removed". before, after: JSON material or None.
    """

    kind: str
    key: str
    change: str
    before: Any
    after: Any

    def as_dict(self) -> dict[str, Any]:
        """As the API shows it."""
        return self._asdict()

    @property
    def needs_restart(self) -> bool:
        """True for what only a new start puts to use."""
        return (self.kind, self.key) in RESTART_KEYS

    def __str__(self) -> str:
        return f"{self.kind} {self.key} {self.change}"


def differences(before: Config, after: Config) -> list[Change]:
    """What changed, sections first, then the lists in the order of the file."""
    changes = []
    for section in _SECTIONS:
        changes += _section_changes(section, getattr(before, section), getattr(after, section))
    for kind, field, identity in _LISTS:
        old = {_identity(item, identity): item for item in getattr(before, field)}
        new = {_identity(item, identity): item for item in getattr(after, field)}
        for key in [*old, *(key for key in new if key not in old)]:
            if old.get(key) != new.get(key):
                item = new.get(key) or old[key]
                changes.append(_change(kind, getattr(item, identity), old.get(key), new.get(key)))
    return changes


def _identity(item: Any, field: str) -> str:
    value = getattr(item, field)
    return number_key(value) if field == "number" else value


def _section_changes(section: str, before: Any, after: Any) -> list[Change]:
    old = before.model_dump(mode="json") if before else {}
    new = after.model_dump(mode="json") if after else {}
    changes = []
    for key in old | new:
        was, now = old.get(key), new.get(key)
        if was != now:
            word = "added" if was is None else "removed" if now is None else "changed"
            if key in _SECRETS:
                was, now = _veiled(was, now)
            changes.append(Change(section, key, word, was, now))
    return changes


def _change(kind: str, key: str, before: Any, after: Any) -> Change:
    old = before.model_dump(mode="json", by_alias=True) if before else None
    new = after.model_dump(mode="json", by_alias=True) if after else None
    for secret in _SECRETS:
        was, now = _veiled((old or {}).get(secret), (new or {}).get(secret))
        if old is not None and secret in old:
            old[secret] = was
        if new is not None and secret in new:
            new[secret] = now
    word = "added" if old is None else "removed" if new is None else "changed"
    return Change(kind, key, word, old, new)


def _veiled(before: str | None, after: str | None) -> tuple[str | None, str | None]:
    if before is not None and after is not None and before != after:
        return "(set)", "(changed)"
    return before and "(set)", after and "(set)"


class Reloader:
    """Keeps the configuration in step with its file.

    on_new receives every valid Config that differs from the one in use; when it raises a SipconfError the old one
    stays. `current` is the one in use, `last_error` the faults of the last reading, or None when it was in order.
    """

    def __init__(
        self,
        path: Path,
        on_new: Callable[[Config], None],
        *,
        current: Config | None = None,
        on_result: Callable[[str, Sequence[Change], ConfigError | None], None] | None = None,
    ) -> None:
        """Reads the file unless the Config already read is given (ConfigError when it is broken).

        on_result(result, changes, error) is told of every reading: "applied", "unchanged" or "broken".
        """
        self.path = path
        self.current = self._started = current or load(path)
        self.last_error: ConfigError | None = None
        self._on_new = on_new
        self._on_result = on_result
        self._seen = _signature(path)

    def apply(self) -> list[Change]:
        """Read the file now. Returns what changed. Raises ConfigError, with nothing changed, when it is broken."""
        self._seen = _signature(self.path)
        try:
            config = load(self.path)
        except ConfigError as error:
            self.last_error = error
            for fault in error.faults:
                _log.error("configuration not applied: %s", fault)
            self._tell("broken", [], error)
            raise
        self.last_error = None
        changes = differences(self.current, config)
        if not changes:
            self._tell("unchanged", [], None)
            return []
        self._on_new(config)
        self.current = config
        self.warn_of_open_secrets()
        for change in changes:
            _log.info("configuration: %s%s", change, "; takes a restart" if change.needs_restart else "")
        self._tell("applied", changes, None)
        return changes

    def awaiting_restart(self) -> list[str]:
        """What the file says otherwise than at the start and only a new start puts to use, as "rtp ports"."""
        changes = differences(self._started, self.current)
        return [f"{change.kind} {change.key}" for change in changes if change.needs_restart]

    def reload(self, why: str) -> None:
        """Like apply, for when nobody waits for the answer (an edit, SIGHUP): what is wrong goes to the log."""
        _log.info("configuration read again: %s", why)
        try:
            self.apply()
        except ConfigError:
            return  # apply has logged every fault of it
        except Exception:
            _log.exception("configuration read, but could not be put to use; the old one stays")

    def warn_of_open_secrets(self) -> None:
        """A line in the log where the file has passwords and everybody on this machine may read it."""
        if self.current.holds_secrets() and is_open_to_all(self.path):
            _log.warning("%s holds passwords and every user of this machine can read it: chmod 640 or 600", self.path)

    async def watch(self) -> None:
        """Apply edits of the file as they happen, within two seconds. Runs until cancelled."""
        self.warn_of_open_secrets()
        try:
            await self._watch_folder()
        except OSError as error:  # no inotify watch left, or the folder has gone
            _log.warning("the folder of %s cannot be watched (%s): looking at the file each second", self.path, error)
        while True:
            await asyncio.sleep(POLL_MS / 1000)
            if await self._edited():
                self.reload("the file was edited")

    async def _watch_folder(self) -> None:
        from watchfiles import awatch  # a slow import that the start need not wait for

        stop = asyncio.Event()
        changes = awatch(
            self.path.absolute().parent,  # the folder: editors replace files
            watch_filter=lambda _, changed: Path(changed).name == self.path.name,
            debounce=200,
            rust_timeout=POLL_MS,
            yield_on_timeout=True,
            recursive=False,
            stop_event=stop,
        )
        try:
            async with contextlib.aclosing(changes):
                async for _ in changes:
                    if await self._edited():
                        self.reload("the file was edited")
        finally:
            stop.set()

    async def _edited(self) -> bool:
        """True when the file differs from what was last read and nobody is writing it just now."""
        signature = _signature(self.path)
        while signature != self._seen:
            await asyncio.sleep(SETTLE_SECONDS)
            before, signature = signature, _signature(self.path)
            if signature == before:
                return signature != self._seen
        return False

    def _tell(self, result: str, changes: Sequence[Change], error: ConfigError | None) -> None:
        if self._on_result:
            self._on_result(result, changes, error)


def _signature(path: Path) -> tuple[int, ...]:
    """Changes when the file does; () when it cannot be read, as in the moment of being replaced."""
    try:
        stat = os.stat(path)
    except OSError:
        return ()
    return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino
