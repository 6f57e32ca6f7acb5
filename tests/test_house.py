"""The floors of the house: imports go down only, siblings never import each other, quiet floors stay quiet.

Read from the source text by `ast`, so that an import inside a function counts too.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "sipconf"

FLOORS: list[set[str]] = [
    {"__main__"},
    {"cli"},
    {"app", "softphone", "shell"},
    {"operations", "listeners", "capacity", "repertoire", "dial_plan"},
    {"web", "welcome"},
    {"meters"},
    {"switchboard", "reload", "config_template"},
    {"outgoing"},
    {"patchbay"},
    {"lines"},
    {"line", "signalling"},
    {"web_calls"},
    {"media", "sip", "config"},
    {"rtp", "mixer", "conference", "store", "certificate", "watchdog"},
    {"errors", "clock", "log", "metrics", "growing_waits"},
]
"""Highest first. A room may import rooms of lower floors only."""

OF_ONE_ROOM = {"config_check": "config", "config_faults": "config", "config_lines": "config", "config_values": "config"}
"""Modules that are one room in several files."""

QUIET = ("sip", "rtp", "mixer", "conference")
QUIET_MODULES = ("media/plane.py", "media/rows.py", "media/protocol.py", "media/keypress.py", "media/placement.py",
                 "switchboard.py", "outgoing.py", "patchbay.py", "lines.py", "line.py", "signalling.py",
                 "web_calls.py", "growing_waits.py")
WORLD = {"socket", "asyncio", "subprocess", "select", "threading", "multiprocessing", "time", "ssl", "sqlite3",
         "aiohttp", "uvloop", "os", "signal"}
STRANGERS = {"aiohttp": {"web", "shell"}, "sqlite3": {"store"}, "prometheus_client": {"metrics"},
             "pydantic": {"config"}, "watchfiles": {"reload"}, "click": {"cli"}, "uvloop": {"app", "softphone"},
             "ifaddr": {"sip"}, "aiortc": {"rtp"}, "OpenSSL": {"rtp"}, "cryptography": {"rtp"}}
"""Each library is met at one door (docs/adr/0002)."""


def modules() -> list[Path]:
    """Every source file of the package."""
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    """The room that a file belongs to."""
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return OF_ONE_ROOM.get(first, first)


def imports(path: Path) -> set[str]:
    """Full names of everything that a file imports, for types only or not."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def floor_of(room: str) -> int:
    """0 is the top floor."""
    for number, rooms in enumerate(FLOORS):
        if room in rooms:
            return number
    pytest.fail(f"{room} has no floor: name it in FLOORS")


def test_every_room_has_a_floor() -> None:
    rooms = {room_of(path) for path in modules()} - {"__init__"}
    assert {room for room in rooms if floor_of(room) >= 0} == rooms


def test_imports_go_down_only() -> None:
    wrong = []
    for path in modules():
        room = room_of(path)
        if room == "__init__":
            continue
        for name in imports(path):
            parts = name.split(".")
            if parts[0] != "sipconf" or len(parts) < 2:
                continue
            other = OF_ONE_ROOM.get(parts[1], parts[1])
            if other != room and floor_of(other) <= floor_of(room):
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_quiet_floors_read_no_clock_and_open_nothing() -> None:
    wrong = []
    for path in modules():
        inside = path.relative_to(PACKAGE)
        quiet = inside.parts[0] in QUIET or inside.as_posix() in QUIET_MODULES
        if not quiet or "edge" in inside.parts:
            continue
        for name in imports(path):
            if name.split(".")[0] in WORLD:
                wrong.append(f"{inside} imports {name}")
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith(("random.", "np.random.", "secrets.")):
                if ast.unparse(node.func) not in ("random.Random", "np.random.default_rng"):
                    wrong.append(f"{inside}:{node.lineno} throws its own dice: {ast.unparse(node.func)}")
    assert not wrong, "\n".join(wrong)


def test_only_the_top_opens_the_edge() -> None:
    wrong = []
    for path in modules():
        inside = path.relative_to(PACKAGE)
        opens = {"cli.py", "app.py", "listeners.py", "softphone.py", "media/worker.py", "media/shared_socket.py"}
        for name in imports(path):
            if ".edge" in name and "edge" not in inside.parts and inside.as_posix() not in opens:
                wrong.append(f"{inside} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_strangers_are_met_at_one_door() -> None:
    wrong = []
    for path in modules():
        for name in imports(path):
            allowed = STRANGERS.get(name.split(".")[0])
            if allowed is not None and room_of(path) not in allowed:
                wrong.append(f"{path.relative_to(PACKAGE)} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_every_module_has_a_sign_on_its_door() -> None:
    missing = [str(path.relative_to(ROOT)) for path in modules() if not ast.get_docstring(ast.parse(path.read_text()))]
    assert not missing
