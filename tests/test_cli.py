"""The verbs, run as a person runs them; the asking ones against a real server of the web side."""

import asyncio
import contextlib
import os
import re
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from aiohttp import web
from click.testing import CliRunner

from sipconf.cli import main
from sipconf.config import EXAMPLE_SECRETS, load

VERBS = ["serve", "check", "init", "call", "status", "invite", "kick", "mute", "lock", "apply"]
REPO = Path(__file__).resolve().parents[1]
PASSWORD = "pass word"


def run(*arguments: str, env: dict[str, str | None] | None = None):
    clean = {"SIPCONF_URL": None, "SIPCONF_PASSWORD": None} | (env or {})
    return CliRunner().invoke(main, list(arguments), env=clean)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb):
    result = run(verb, "--help")
    assert result.exit_code == 0 and len(result.output) > 100
    assert verb in run("--help").output


def test_a_file_that_may_not_be_read_is_one_line(tmp_path, monkeypatch):
    """The same for a server and a check: not click's own words, nor its status 2."""
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    result = run("check", str(tmp_path))
    assert result.exit_code == 1 and result.output == f"{tmp_path}: cannot be read: Is a directory\n"


def test_check_of_a_good_file():
    result = run("check", str(REPO / "config" / "conferences.toml"))
    assert result.exit_code == 0
    assert "in order (3 users, 3 conferences, 0 trunks)" in result.output
    assert "from this machine only" in result.output


def test_check_prints_every_fault(tmp_path):
    file = tmp_path / "x.toml"
    file.write_text("[sip]\ndomian = 'x'\nlisten = 3\n\n[rtp]\nports = 'x'\n")
    result = run("check", str(file))
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert [line.split(": ")[0] for line in lines] == [f"{file}:{number}" for number in (2, 3, 6)]


def test_check_of_no_file(tmp_path):
    result = run("check", str(tmp_path / "none.toml"))
    assert result.exit_code == 1 and result.stderr.count("\n") == 1


def test_check_says_what_is_not_served_yet(tmp_path):
    file = tmp_path / "x.toml"
    file.write_text('[[trunks]]\nname = "provider"\nhost = "a.b"\nregister = true\n')
    result = run("check", str(file))
    assert result.exit_code == 0 and 'not served yet: register of trunk "provider"' in result.output


def test_init_writes_secrets_of_its_own_once(tmp_path):
    first, second = tmp_path / "a.toml", tmp_path / "b.toml"
    assert run("init", str(first)).exit_code == 0
    assert run("init", str(second)).exit_code == 0
    assert stat.S_IMODE(first.stat().st_mode) == 0o600
    one, two = load(first), load(second)
    secrets = [user.password for user in one.users] + [one.http.admin_password]
    assert len(set(secrets)) == len(secrets) and not set(secrets) & EXAMPLE_SECRETS
    assert not set(secrets) & {user.password for user in two.users}
    assert one.conferences[0].access_code != "4321" and not one.example_secret_holders()
    text = first.read_text()
    assert len(re.findall(r"#", text)) > 20 and "change-me" not in text and "$" not in text
    again = run("init", str(first))
    assert again.exit_code == 1 and "left alone" in again.stderr
    assert first.read_text() == text


def test_commands_are_shown_as_they_can_be_typed_here(tmp_path, monkeypatch):
    file = tmp_path / "a.toml"
    monkeypatch.setattr(sys, "argv", [".venv/bin/sipconf"])
    assert f"then: .venv/bin/sipconf serve --config {file}" in run("init", str(file)).output
    file.unlink()
    monkeypatch.setattr(sys, "argv", ["/lib/sipconf/__main__.py"])
    assert f"then: sipconf serve --config {file}" in run("init", str(file)).output


def test_init_into_no_folder(tmp_path):
    result = run("init", str(tmp_path / "none" / "x.toml"))
    assert result.exit_code == 1 and result.stderr.count("\n") == 1


def test_the_command_starts_without_the_heavy_libraries():
    heavy = "aiohttp", "numpy", "pydantic", "scipy", "watchfiles", "prometheus_client"
    code = f"import sys, sipconf.cli; sys.exit(' '.join(m for m in {heavy} if m in sys.modules) or 0)"
    result = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr


def test_python_m_sipconf():
    result = subprocess.run(
        [sys.executable, "-m", "sipconf", "--help"], cwd=REPO, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0 and all(verb in result.stdout for verb in VERBS)


class ScriptedServer:
    """An HTTP server in a thread: notes what it is asked, answers what it is told."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, object]] = []
        self.answers: dict[tuple[str, str], tuple[int, object]] = {}
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))

    def __enter__(self) -> "ScriptedServer":
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = "http://{}:{}".format(*runner.addresses[0])
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.json() if request.can_read_body else None
        self.asked.append((request.method, request.raw_path, body))
        if request.headers.get("Authorization") != f"Bearer {PASSWORD}":
            return web.json_response({"detail": "No."}, status=401, content_type="application/problem+json")
        status, answer = self.answers.get((request.method, request.raw_path), (404, {"detail": "Nothing there."}))
        if status == 204:
            return web.Response(status=204)
        return web.json_response(answer, status=status)


@pytest.fixture
def server():
    with ScriptedServer() as server:
        yield server


@pytest.fixture
def env(server):
    return {"SIPCONF_URL": server.url + "/", "SIPCONF_PASSWORD": PASSWORD, "http_proxy": "http://127.0.0.1:9"}


ROOM = {"extension": "2001", "name": "Stand-up", "participants": 1, "locked": True, "recording": False}
PERSON = {"id": "p1", "name": "Al\x1b[31mice", "number": "101", "administrator": True, "muted": True,
          "speaking": False, "level_db": -40.0, "state": "talking"}  # fmt: skip


def test_status_is_a_table(server, env):
    server.answers["GET", "/api/conferences"] = 200, [ROOM, ROOM | {"extension": "2002", "participants": 0}]
    server.answers["GET", "/api/conferences/2001/participants"] = 200, [PERSON]
    result = run("status", env=env)
    assert result.exit_code == 0, result.stderr
    lines = result.output.splitlines()
    assert lines[0].split() == ["ROOM", "NAME", "PEOPLE", "LOCKED", "RECORDING"]
    assert lines[1].split() == ["2001", "Stand-up", "1", "yes", "no"]
    assert lines[-1].split(maxsplit=5) == ["2001", "p1", "Al?[31mice", "101", "talking", "administrator, muted"]
    assert lines[1][lines[0].index("PEOPLE")] == "1"


def test_status_of_nothing(server, env):
    server.answers["GET", "/api/conferences"] = 200, []
    assert "no conferences" in run("status", env=env).output


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        (["kick", "2001", "p/1"], ("DELETE", "/api/conferences/2001/participants/p%2F1", None)),
        (["mute", "2001", "p1"], ("PATCH", "/api/conferences/2001/participants/p1", {"muted": True})),
        (["mute", "2001", "p1", "--off"], ("PATCH", "/api/conferences/2001/participants/p1", {"muted": False})),
        (["lock", "2001"], ("PATCH", "/api/conferences/2001", {"locked": True})),
        (["lock", "2001", "--off"], ("PATCH", "/api/conferences/2001", {"locked": False})),
        (["invite", "2001", "+32 2"], ("POST", "/api/conferences/2001/invite", {"to": "+32 2"})),
    ],
)
def test_verbs_ask_what_they_say(server, env, arguments, asked):
    method, path, body = asked
    server.answers[method, path] = (204, None) if method == "DELETE" else (200, PERSON)
    result = run(*arguments, env=env)
    assert result.exit_code == 0, result.stderr
    assert server.asked == [asked]
    assert result.output.count("\n") == 1


def test_apply_prints_what_changed(server, env):
    changes = [{"kind": "user", "key": "101", "change": "added"}, {"kind": "rtp", "key": "ports", "change": "changed"}]
    server.answers["POST", "/api/apply"] = 200, {"changes": changes, "needs_restart": ["rtp ports"]}
    assert run("apply", env=env).output == "user 101 added\nrtp ports changed (takes a restart)\n"
    server.answers["POST", "/api/apply"] = 200, {"changes": [], "needs_restart": []}
    assert "Nothing to apply" in run("apply", env=env).output
    server.answers["POST", "/api/apply"] = 200, {"changes": [], "needs_restart": ["rtp ports", "sip domain"]}
    output = run("apply", env=env).output
    assert "as it is" not in output and "rtp ports, sip domain" in output and "restart" in output


def test_a_problem_is_shown_with_every_fault(server, env):
    errors = [{"field": "x.toml:3", "detail": "unknown key"}, {"field": "x.toml:5", "detail": "no"}]
    server.answers["POST", "/api/apply"] = 422, {"detail": "Not in order.", "errors": errors}
    result = run("apply", env=env)
    assert result.exit_code == 1
    assert result.stderr.splitlines() == ["Not in order. (422)", "x.toml:3: unknown key", "x.toml:5: no"]


def test_invite_before_its_time_says_so(server, env):
    result = run("invite", "2001", "102", env=env)
    assert result.exit_code == 1
    assert result.stderr.startswith("Nothing there. (404)\n") and "later version" in result.stderr
    server.answers["POST", "/api/conferences/2001/invite"] = 409, {"detail": "102 is not registered."}
    assert "later version" not in run("invite", "2001", "102", env=env).stderr


def test_the_server_is_found_by_its_file(server, tmp_path):
    file = tmp_path / "x.toml"
    port = server.url.rpartition(":")[2]
    file.write_text(f'[http]\nlisten = "0.0.0.0:{port}"\nadmin_password = "{PASSWORD}"\n[sip]\nbroken = 1\n')
    server.answers["GET", "/api/conferences"] = 200, []
    elsewhere = {"SIPCONF_URL": "http://127.0.0.1:9", "SIPCONF_PASSWORD": "other"}
    assert run("status", "--config", str(file), env=elsewhere).exit_code == 0
    file.write_text(f'[http]\nlisten = "127.0.0.1:{port}"\n')
    assert "SIPCONF_PASSWORD" in run("status", "--config", str(file)).stderr
    assert run("status", "--config", str(file), env={"SIPCONF_PASSWORD": PASSWORD}).exit_code == 0


def test_the_server_is_not_found(server, tmp_path):
    with contextlib.chdir(tmp_path):
        assert "--config" in run("status").stderr
    assert run("status", env={"SIPCONF_URL": "nonsense", "SIPCONF_PASSWORD": "x"}).exit_code == 1
    assert "SIPCONF_PASSWORD" in run("status", env={"SIPCONF_URL": server.url}).stderr
    gone = run("status", env={"SIPCONF_URL": "http://127.0.0.1:1", "SIPCONF_PASSWORD": "x"})
    assert gone.exit_code == 1 and "is the server running?" in gone.stderr and gone.stderr.count("\n") == 1
    assert "No. (401)" in run("status", env={"SIPCONF_URL": server.url, "SIPCONF_PASSWORD": "wrong"}).stderr
    assert os.environ.get("SIPCONF_URL") is None
