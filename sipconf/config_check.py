"""Rules that tie one part of the configuration file to another: duplicates, references, colliding ports, files.

Works on the raw TOML so that these faults are found together with those of single values; anything whose type is
wrong is passed over here, for `config` reports it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sipconf.config_lines import KeyPath
from sipconf.config_values import (
    DEFAULT_LISTEN,
    DEFAULT_PORTS,
    host_and_port,
    listen_parts,
    number_key,
    port_range,
)

Found = Iterator[tuple[KeyPath, str]]
Raw = dict[str, Any]


def cross_faults(raw: Raw, folder: Path, wall: float | None = None) -> list[tuple[KeyPath, str]]:
    """Every fault between parts, as (path in the file, message). folder: what relative paths are relative to; wall:
    with a time given, a certificate that is not valid then is a fault too."""
    checks = (_extensions, _names, _numbers, _references, _administrators, _listeners, _workers)
    faults = [fault for check in checks for fault in check(raw)]
    return faults + list(_files(raw, folder)) + list(_certificates(raw, folder, wall))


def _items(raw: Raw, section: str) -> Iterator[tuple[KeyPath, Raw]]:
    items = raw.get(section)
    for index, item in enumerate(items if isinstance(items, list) else []):
        if isinstance(item, dict):
            yield (section, index), item


def _text(item: Any, key: str) -> str | None:
    value = item.get(key) if isinstance(item, dict) else None
    return value if isinstance(value, str) else None


def _extensions(raw: Raw) -> Found:
    seen: dict[str, str] = {}
    for section, noun in (("users", "user"), ("conferences", "conference")):
        for path, item in _items(raw, section):
            extension = _text(item, "extension")
            if extension is None:
                continue
            if extension in seen:
                yield (*path, "extension"), (
                    f'extension "{extension}" is already taken by {seen[extension]}; '
                    "give each user and each conference an extension of its own"
                )
            else:
                seen[extension] = f'the {noun} "{_text(item, "name") or extension}"'


def _names(raw: Raw) -> Found:
    """Two conferences or trunks of one name cannot be told apart; two people may well be namesakes."""
    for section, noun in (("conferences", "conference"), ("trunks", "trunk")):
        seen: set[str] = set()
        for path, item in _items(raw, section):
            name = _text(item, "name")
            if not name:
                continue
            if name.casefold() in seen:
                yield (*path, "name"), f'another {noun} is already named "{name}"; give each a name of its own'
            seen.add(name.casefold())


def _numbers(raw: Raw) -> Found:
    seen: dict[str, str] = {}
    for path, item in _items(raw, "incoming_numbers"):
        number = _text(item, "number")
        key = number_key(number) if number else ""
        if key and key in seen:
            yield (*path, "number"), (
                f'"{number}" is the same number as "{seen[key]}" above; a number leads to one conference'
            )
        elif key and number:
            seen[key] = number


def _references(raw: Raw) -> Found:
    users = {_text(item, "extension") for _, item in _items(raw, "users")}
    conferences = {_text(item, "extension") for _, item in _items(raw, "conferences")}
    for path, item in _items(raw, "conferences"):
        administrator = _text(item, "administrator")
        if administrator is not None and administrator not in users:
            yield (*path, "administrator"), (
                f'"{administrator}" is no user\'s extension; {_choices(users, "users")}'
            )
    for path, item in _items(raw, "incoming_numbers"):
        conference = _text(item, "conference")
        if conference is not None and conference not in conferences:
            yield (*path, "conference"), (
                f'there is no conference "{conference}"; {_choices(conferences, "conferences")}'
            )


def _choices(extensions: set[str | None], section: str) -> str:
    known = sorted(extension for extension in extensions if extension)
    if not known:
        return f"add it under [[{section}]]"
    shown = ", ".join(known[:8]) + (", ..." if len(known) > 8 else "")
    return f"known are {shown}; or add it under [[{section}]]"


def _administrators(raw: Raw) -> Found:
    for path, item in _items(raw, "conferences"):
        code = _text(item, "administrator_code")
        if code is not None and code == _text(item, "access_code"):
            yield (*path, "administrator_code"), (
                "is the same as access_code, which would make everyone an administrator; choose another"
            )
        nobody = "administrator" not in item and "administrator_code" not in item
        if item.get("wait_for_administrator") is True and nobody:
            yield (*path, "wait_for_administrator"), (
                "nobody could ever be the administrator; add administrator = (a user's extension) "
                "or administrator_code"
            )


def _listeners(raw: Raw) -> Found:
    """Ports that collide: two listeners on one, or a SIP listener inside the media range."""
    sip, http, rtp = raw.get("sip"), raw.get("http"), raw.get("rtp")
    listen = sip.get("listen", DEFAULT_LISTEN) if isinstance(sip, dict) else DEFAULT_LISTEN
    first, last = _quietly(port_range, _text(rtp, "ports") or DEFAULT_PORTS) or (0, 0)
    taken: list[tuple[str, str, int, str]] = []
    for index, url in enumerate(listen if isinstance(listen, (list, tuple)) else []):
        parts = _quietly(listen_parts, url) if isinstance(url, str) else None
        if parts is None:
            continue
        transport, host, port = parts
        wire = "udp" if transport == "udp" else "tcp"
        if wire == "udp" and first <= port <= last:
            where: KeyPath = ("rtp", "ports") if listen is DEFAULT_LISTEN else ("sip", "listen", index)
            yield where, f'"{url}" lies within [rtp] ports; choose a port outside {first}-{last}'
        if by := _taken_by(taken, wire, host, port):
            yield ("sip", "listen", index), f'"{url}" is already listened on by {by}; choose another port'
        taken.append((wire, host, port, f'"{url}" of [sip] listen'))
    for key in ("listen", "tls_listen"):
        address = _text(http, key)
        place = _quietly(lambda text: host_and_port(text, None), address) if address else None
        if place and (by := _taken_by(taken, "tcp", *place)):
            yield ("http", key), f'"{address}" is already listened on by {by}; choose another port'
        elif place:
            taken.append(("tcp", *place, f"[http] {key}"))


def _taken_by(taken: list[tuple[str, str, int, str]], wire: str, host: str, port: int) -> str | None:
    """Who listens on this already; 0.0.0.0 and :: are every address of their kind, port 0 is any that is free."""
    for its_wire, its_host, its_port, who in taken:
        every = "::" if ":" in host else "0.0.0.0"
        same_kind = (":" in host) == (":" in its_host)
        if port and (wire, port) == (its_wire, its_port) and (
            host == its_host or (same_kind and every in (host, its_host))
        ):
            return who
    return None


def _workers(raw: Raw) -> Found:
    """Everything behind one UDP port is read by one process; of a range each takes a port for browsers, which costs it
    an even port and the next, and needs such a pair for telephones."""
    ports, media = _text(raw.get("rtp"), "ports") or DEFAULT_PORTS, raw.get("media")
    workers = media.get("workers") if isinstance(media, dict) else None
    parts = _quietly(port_range, ports)
    if parts is None or not isinstance(workers, int) or workers <= 1:
        return
    first, last = parts
    most = (last + 1 - first - first % 2) // 4
    if first == last:
        yield ("media", "workers"), (
            f'is {workers}, but [rtp] ports = "{ports}" is one port, which takes one worker; leave workers out, or '
            'give a range such as "10000-19999"'
        )
    elif workers > most:
        yield ("media", "workers"), (
            f'is {workers}, but [rtp] ports = "{ports}" has ports for {max(1, most)}; leave workers out, or give a '
            'larger range such as "10000-19999"'
        )


def _quietly(read: Any, text: str) -> Any:
    """The parts of a notation, or None where it is wrong, which the models report."""
    try:
        return read(text)
    except ValueError:
        return None


def _files(raw: Raw, folder: Path) -> Found:
    directory = _text(raw.get("prompts"), "directory")
    if directory is not None and not (folder / Path(directory).expanduser()).is_dir():
        yield ("prompts", "directory"), f'there is no folder "{folder / directory}"; make it, or correct the path'
    store = _text(raw.get("store"), "path")
    if store is not None and not (folder / Path(store).expanduser()).parent.is_dir():
        yield ("store", "path"), (
            f'there is no folder "{(folder / store).parent}" to keep it in; make it, or correct the path'
        )


def _certificates(raw: Raw, folder: Path, wall: float | None) -> Found:
    """The certificate and its key must be a pair that TLS can be spoken with, but only where something listens."""
    sip, tls, http = raw.get("sip"), raw.get("tls"), raw.get("http")
    listen = sip.get("listen") if isinstance(sip, dict) else None
    users: list[KeyPath] = [
        ("sip", "listen", index)
        for index, url in enumerate(listen if isinstance(listen, list) else [])
        if isinstance(url, str) and url.startswith("tls://")
    ]
    if _text(http, "tls_listen"):
        users.append(("http", "tls_listen"))
    if not users:
        return
    if not isinstance(tls, dict):
        yield users[0], "TLS needs a certificate; add a section [tls] with certificate and key"
        return
    files = {key: folder / Path(file).expanduser() for key in ("certificate", "key") if (file := _text(tls, key))}
    missing = [key for key, file in files.items() if not file.is_file()]
    for key in missing:
        yield ("tls", key), f'there is no file "{files[key]}"; TLS is listened on and needs it'
    if len(files) == 2 and not missing:
        yield from _pair(files["certificate"], files["key"], wall)


def _pair(certificate: Path, key: Path, wall: float | None) -> Found:
    from sipconf.certificate import CertificateError, read  # the ssl module: only where there is something to read

    try:
        pair = read(certificate, key)
    except CertificateError as error:
        yield ("tls", error.key), str(error)
        return
    fault = None if wall is None else pair.fault_at(wall)
    if fault is not None:
        yield ("tls", "certificate"), f'"{certificate}": {fault}'
