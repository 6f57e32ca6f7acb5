"""`sipconf serve` as an administrator meets it: what stops its start, signals, a killed worker, its log and figures."""

import hashlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.clients.conftest import PASSWORD, Call, Server
from tests.clients.telephones import PATIENCE, wait_for

SECRETS = (PASSWORD, "secret-101", "secret-102", "4321", "2468", "9876", "1357")
def serve(config: Path) -> subprocess.CompletedProcess:
    """A start that is expected to fail."""
    return subprocess.run([sys.executable, "-m", "sipconf", "serve", "--config", str(config)], capture_output=True,
                          text=True, timeout=PATIENCE)


def workers(server: Server) -> list[int]:
    """Process ids of media workers with this server's ports, that with the lowest first."""
    ports = re.search(r'ports = "(\d+)-(\d+)"', server.config.read_text())
    assert ports is not None
    found: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended meanwhile
        if b"sipconf.media.worker" in words:
            share = next(word for word in words if word.startswith(b"--ports="))
            first = int(share.removeprefix(b"--ports=").partition(b"-")[0])
            if int(ports[1]) <= first <= int(ports[2]):
                found[first] = int(folder.name)
    return [found[first] for first in sorted(found)]


@pytest.fixture
def stopped(tmp_path: Path) -> Server:
    """A server that is not started."""
    return Server(tmp_path)


@pytest.mark.parametrize("what", ["udp", "tcp", "http"])
def test_a_busy_port_is_one_line(stopped: Server, what: str) -> None:
    port = stopped.http if what == "http" else stopped.sip
    with socket.socket(type=socket.SOCK_DGRAM if what == "udp" else socket.SOCK_STREAM) as taken:
        taken.bind(("127.0.0.1", port))
        if what != "udp":
            taken.listen()
        ended = serve(stopped.config)
    assert ended.returncode == 1 and ended.stdout == ""
    assert ended.stderr == (f"cannot listen on {what}://127.0.0.1:{port}: address already in use; stop the other "
                            f"program or choose another port{'; see [http] in the file' if what == 'http' else ''}\n")
    assert not workers(stopped)


def test_a_broken_sound_is_one_line_for_serve_and_check(stopped: Server) -> None:
    sounds = stopped.folder / "prompts"
    sounds.mkdir()
    (sounds / "goodbye.wav").write_text("no sound at all")
    stopped.config.write_text(f'{stopped.config.read_text()}\n[prompts]\ndirectory = "prompts"\n')
    ended = serve(stopped.config)
    assert ended.returncode == 1 and ended.stderr == f"{sounds / 'goodbye.wav'}: not a WAV file\n"
    assert not workers(stopped)
    checked = subprocess.run([sys.executable, "-m", "sipconf", "check", str(stopped.config)], capture_output=True,
                             text=True, timeout=PATIENCE)
    assert checked.returncode == 1 and checked.stderr == ended.stderr


def test_a_call_with_everything_on_one_port(stopped: Server) -> None:
    stopped.config.write_text(re.sub(r'ports = "(\d+)-\d+"', r'ports = "\1"', stopped.config.read_text()))
    stopped.start()
    phone = subprocess.Popen(
        [sys.executable, "-m", "sipconf", "call", f"sip:2000@127.0.0.1:{stopped.sip}", "--user", "101", "--password",
         "secret-101"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # fmt: skip
    try:
        stopped.wait_state("2000", "101", "talking")
        assert "everything on UDP port" in stopped.log.read_text()
    finally:
        stopped.stop()
        phone.communicate(timeout=PATIENCE)


def test_two_sigterms_during_a_call(server: Server, call: Call) -> None:
    phone = call("2000")
    server.wait_state("2000", "101", "talking")
    began = time.monotonic()
    assert server.process is not None
    server.process.terminate()
    while server.process.poll() is None and time.monotonic() - began < PATIENCE:
        server.process.terminate()
        time.sleep(0.02)
    assert server.process.poll() == 0
    output, _ = phone.communicate(timeout=PATIENCE)
    assert "they hung up" in output, output
    log = server.log.read_text()
    assert "stopping: SIGTERM; 1 calls are told" in log and log.rstrip().endswith("stopped")
    assert not workers(server)


def test_a_killed_worker_costs_its_calls_and_no_more(server: Server, call: Call) -> None:
    phone = call("2000")
    server.wait_state("2000", "101", "talking")
    (killed,) = workers(server)
    os.kill(killed, signal.SIGKILL)
    output, _ = phone.communicate(timeout=PATIENCE)
    assert "they hung up" in output, output
    wait_for("another worker", lambda: [pid for pid in workers(server) if pid != killed])
    assert server.healthy()
    call("2000", user="102")
    server.wait_state("2000", "102", "talking")
    assert figures(server)["sipconf_media_restarts_total"] == 1


@pytest.mark.parametrize("server", ["[media]\nworkers = 2\n"], indirect=True)
def test_of_two_workers_one_is_killed_and_the_room_of_the_other_talks_on(server: Server, call: Call) -> None:
    assert "2 media workers, the largest room 99" in server.log.read_text()
    phone = call("2000")
    server.wait_state("2000", "101", "talking")
    other = call("2001*4321", user="102")
    server.wait_state("2001", "102", "talking")
    killed, living = workers(server)
    os.kill(killed, signal.SIGKILL)
    output, _ = phone.communicate(timeout=10)
    assert "they hung up" in output, output
    again = call("2000", user="103")
    server.wait_state("2000", "103", "talking")
    wait_for("another worker", lambda: len(workers(server)) == 2 and killed not in workers(server))
    assert server.people("2001")["102"]["state"] == "talking" and living in workers(server)
    assert other.poll() is None and again.poll() is None


def figures(server: Server) -> dict[str, float]:
    """The metrics page by name (labels included)."""
    connection = http.client.HTTPConnection("127.0.0.1", server.http, timeout=PATIENCE)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


def test_log_events_and_figures_of_a_call_hold_no_secret(server: Server, call: Call) -> None:
    server.config.write_text(f'{server.config.read_text()}\n[log]\nlevel = "debug"\n')
    server.ask("POST", "/api/apply")
    connection = http.client.HTTPConnection("127.0.0.1", server.http, timeout=PATIENCE)
    connection.request("GET", "/api/events", headers={"Authorization": f"Bearer {PASSWORD}"})
    feed = connection.getresponse()
    phone = call("2001", "--dtmf", "1357#,,,,4321#")
    heard: list[tuple[str, dict]] = []

    def listen_for(name: str) -> None:
        while not any(event == name for event, _ in heard):
            line = feed.readline().decode()
            assert line, heard
            if line.startswith("event: "):
                heard.append((line[7:].strip(), json.loads(feed.readline().decode()[6:])))

    listen_for("joined")
    page = figures(server)
    assert page["sipconf_calls_now"] == page["sipconf_participants_now"] == page["sipconf_media_legs"] == 1
    (person,) = server.people("2001").values()
    server.ask("DELETE", f"/api/conferences/2001/participants/{person['id']}")
    listen_for("left")
    assert "they hung up" in phone.communicate(timeout=PATIENCE)[0]
    broken = server.config.read_text()
    server.config.write_text(f"{broken}nonsense\n")
    listen_for("configuration-broken")
    connection.close()
    assert [event for event, _ in heard][:3] == ["prompting", "digit-refused", "joined"]
    page = figures(server)
    assert page['sipconf_calls_total{outcome="we_hung_up"}'] == 1
    assert page['sipconf_sip_requests_total{method="INVITE"}'] == 2
    assert page['sipconf_sip_responses_total{status="401"}'] == 1
    assert page['sipconf_config_reloads_total{result="broken"}'] >= 1
    told = server.log.read_text() + json.dumps(heard) + "\n".join(page)
    assert "call over after" in told, told
    leaks = [line for line in told.splitlines() for secret in SECRETS if re.search(rf"\b{secret}\b", line)]
    assert not leaks, leaks


def register(server: Server, sock: socket.socket, expires: int, cseq: int) -> None:
    """REGISTER as 101 with digest (RFC 2617 section 3.2.2)."""
    uri, authorization = f"sip:127.0.0.1:{server.sip}", ""
    for attempt in range(2):
        port = sock.getsockname()[1]
        sock.sendto((
            f"REGISTER {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{cseq}-{attempt}"
            f"\r\nMax-Forwards: 70\r\nFrom: <sip:101@127.0.0.1>;tag=f\r\nTo: <sip:101@127.0.0.1>\r\n"
            f"Call-ID: registration\r\nCSeq: {cseq + attempt} REGISTER\r\nExpires: {expires}\r\n"
            f"Contact: <sip:101@127.0.0.1:{port}>\r\n{authorization}Content-Length: 0\r\n\r\n"
        ).encode(), server.address)
        answer = sock.recv(4096).decode()
        if attempt == 0:
            nonce, realm = (re.search(f'{name}="([^"]*)"', answer)[1] for name in ("nonce", "realm"))  # type: ignore[index]
            ha1, ha2 = (hashlib.md5(text.encode()).hexdigest() for text in (f"101:{realm}:secret-101",
                                                                           f"REGISTER:{uri}"))
            response = hashlib.md5(f"{ha1}:{nonce}:00000001:c:auth:{ha2}".encode()).hexdigest()
            authorization = (f'Authorization: Digest username="101", realm="{realm}", nonce="{nonce}", uri="{uri}", '
                             f'qop=auth, nc=00000001, cnonce="c", response="{response}"\r\n')
    assert answer.startswith("SIP/2.0 200"), answer


def test_a_telephone_that_comes_and_goes_is_a_line_each(server: Server) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(PATIENCE)
        register(server, sock, 600, 1)
        assert figures(server)["sipconf_bindings_now"] == 1
        register(server, sock, 600, 10)  # refreshed: no news
        register(server, sock, 0, 20)
        wait_for("the last line", lambda: "no longer registered" in server.log.read_text())
        lines = [line.rpartition("extension ")[2] for line in server.log.read_text().splitlines() if "101: " in line]
        assert lines == [f"101: registered at udp 127.0.0.1:{sock.getsockname()[1]}", "101: no longer registered"]


def test_signalling_that_stands_still_does_not_reach_the_sound(server: Server, call: Call) -> None:
    """The signalling process is stopped for a second and a half, as a handler that blocks would stop it."""
    seconds, stopped = 5, 1.5
    talking = call("2000", "--duration", str(seconds))
    server.wait_state("2000", "101", "talking")
    assert server.process is not None and talking.stdout is not None
    server.process.send_signal(signal.SIGSTOP)
    time.sleep(stopped)
    server.process.send_signal(signal.SIGCONT)
    output = talking.stdout.read()
    found = re.search(r"([0-9]+) packets received, ([0-9]+) lost", output)
    assert found is not None, output
    assert int(found[1]) > 50 * (seconds - stopped / 2) and int(found[2]) == 0, output
    assert talking.wait() == 0
