"""The HTTP API from a shell: finding the server, asking it, showing its answers. The verbs are in `cli`."""

import http.client
import json
import os
import tomllib
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sipconf.config_faults import ConfigError, Fault, syntax_fault
from sipconf.config_values import host_and_port
from sipconf.errors import SipconfError

Item = Mapping[str, Any]

TIMEOUT_SECONDS = 10.0
DEFAULT_HTTP = "127.0.0.1:8080"
MAX_ANSWER_BYTES = 64 << 20
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class ServerNotFound(SipconfError):
    """No server answers where one is expected, or nobody said where."""


class ApiRefusal(SipconfError):
    """The server's answer is a problem. status: its HTTP status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text

    def add(self, line: str) -> None:
        """Another line for the reader."""
        self.text += f"\n{line}"

    def __str__(self) -> str:
        return self.text


class Server:
    """A running server's HTTP API."""

    def __init__(self, url: str, password: str) -> None:
        self.url = url.rstrip("/")
        self._password = password

    def ask(self, method: str, *path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The JSON answer ({} where it is empty). path: the first part as it is, the others are escaped."""
        url = self.url + "/".join([path[0], *(urllib.parse.quote(part, safe="") for part in path[1:])])
        headers = {"Authorization": f"Bearer {self._password}", "Accept": "application/json"}
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        # The server is named by address: a proxy of the environment must not see its password.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            request = urllib.request.Request(url, data=data, headers=headers, method=method)
            with opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
                content = answer.read(MAX_ANSWER_BYTES)
            return json.loads(content) if content else {}
        except urllib.error.HTTPError as refusal:
            with refusal:
                raise ApiRefusal(refusal.code, _problem_text(refusal.code, refusal.read(1 << 20))) from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            why = getattr(error, "reason", None) or error
            raise ServerNotFound(f"no answer from {self.url}: {why}; is the server running?") from None


def find_server(config: Path | None, default: Path) -> Server:
    """By the file given, else by SIPCONF_URL and SIPCONF_PASSWORD, else by the default file."""
    url = os.environ.get("SIPCONF_URL")
    password = os.environ.get("SIPCONF_PASSWORD")
    if config is None and url:
        if not url.startswith(("http://", "https://")):
            raise ServerNotFound(f'SIPCONF_URL is "{url}"; it must begin with http:// or https://')
        if not password:
            raise ServerNotFound("SIPCONF_URL is set, SIPCONF_PASSWORD is not; set it to the admin_password")
        return Server(url, password)
    file = config or default
    if config is None and not file.exists():
        raise ServerNotFound("where is the server? Give --config FILE, or set SIPCONF_URL and SIPCONF_PASSWORD")
    listen, written = _http_section(file)
    password = written or password
    if not password:
        raise ServerNotFound(
            f"{file}: no [http] admin_password; set SIPCONF_PASSWORD to the one printed when the server started"
        )
    host, port = host_and_port(listen, default_port=None)
    host = _EVERYWHERE.get(host, host)
    return Server(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}", password)


def _http_section(file: Path) -> tuple[str, str | None]:
    """[http] listen and admin_password, even of an otherwise broken file: the server runs on its older self."""
    try:
        text = file.read_text(encoding="utf-8-sig")
        section = tomllib.loads(text).get("http", {})
    except OSError as error:
        raise ConfigError([Fault(str(file), 0, f"cannot be read: {error.strerror}")]) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([syntax_fault(str(file), text, str(error))]) from None
    except UnicodeDecodeError:
        raise ConfigError([Fault(str(file), 0, "not UTF-8 text; save the file as UTF-8")]) from None
    section = section if isinstance(section, dict) else {}
    listen, password = section.get("listen", DEFAULT_HTTP), section.get("admin_password")
    try:
        host_and_port(listen, default_port=None)
    except (ValueError, TypeError) as error:
        raise ConfigError([Fault(str(file), 0, f"http.listen: {error}")]) from None
    return listen, password if isinstance(password, str) else None


def _problem_text(status: int, content: bytes) -> str:
    """An RFC 9457 problem as lines; anything else by its status."""
    try:
        problem = json.loads(content)
        detail = str(problem.get("detail") or problem.get("title") or f"status {status}")
        errors = [f"{error['field']}: {error['detail']}" for error in problem.get("errors", [])]
    except (ValueError, AttributeError, KeyError, TypeError):
        return f"the server answered with status {status}"
    return "\n".join([f"{detail} ({status})", *errors])


def status_table(conferences: Sequence[Item], people: Mapping[str, Sequence[Item]]) -> str:
    """The conferences, and below them who is in them; people: participants by extension."""
    if not conferences:
        return "There are no conferences."
    rows = [("ROOM", "NAME", "PEOPLE", "LOCKED", "RECORDING")]
    for item in conferences:
        flags = ("yes" if item.get(key) else "no" for key in ("locked", "recording"))
        rows.append((item["extension"], item.get("name", ""), str(item.get("participants", 0)), *flags))
    blocks = [_table(rows)]
    present = [("ROOM", "ID", "NAME", "NUMBER", "STATE", "NOTES")]
    for room, participants in people.items():
        for person in participants:
            notes = [key for key in ("administrator", "muted", "speaking") if person.get(key)]
            cells = (str(person.get(key) or "") for key in ("id", "name", "number", "state"))
            present.append((room, *cells, ", ".join(notes)))
    if len(present) > 1:
        blocks.append(_table(present))
    return "\n\n".join(blocks)


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their longest cell. What peers chose (names) cannot drive the terminal."""
    clean = [["".join(char if char.isprintable() else "?" for char in cell) for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*clean, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in clean)
    return "\n".join(line.rstrip() for line in lines)


def changes_text(answer: Mapping[str, Any]) -> str:
    """What an apply did."""
    changes, restart = answer.get("changes", []), answer.get("needs_restart", [])
    if not changes:
        if restart:
            return f"Nothing new to apply; what takes a restart: {', '.join(restart)}"
        return "Nothing to apply: the file is in use as it is."
    lines = []
    for change in changes:
        name = f"{change['kind']} {change['key']}"
        lines.append(f"{name} {change['change']}{' (takes a restart)' if name in restart else ''}")
    return "\n".join(lines)
