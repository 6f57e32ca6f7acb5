"""`sipconf call` against `sipconf serve`: the command line, transports, IPv6, sound both ways."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.conftest import Call, Server
from tests.clients.telephones import PATIENCE, free_port
from tests.clients.tones import judge, judge_best, read_wav, voice, write_wav

TONE, OTHER = 440.0, 1000.0


def finish(process: subprocess.Popen) -> str:
    """Wait for its end; its output."""
    output, _ = process.communicate(timeout=PATIENCE)
    assert "Traceback" not in output, output
    return output


def test_two_of_them_hear_each_other(server: Server, call: Call, tmp_path: Path) -> None:
    phones = []
    for user, tone in (("101", TONE), ("102", OTHER)):
        said = write_wav(tmp_path / f"{user}.wav", voice(tone, 30.0))
        phones.append(call(f"sip:2001@127.0.0.1:{server.sip}", "--dtmf", "4321#", "--play", str(said),
                           "--record", str(tmp_path / f"{user}-heard.wav"), "--duration", "8", user=user))
    for user in ("101", "102"):
        server.wait_state("2001", user, "talking")
    for phone in phones:
        output = finish(phone)
        assert phone.returncode == 0, output
        assert "200 OK" in output and "packets received" in output, output
    for user, own, others in (("101", TONE, OTHER), ("102", OTHER, TONE)):
        samples, rate = read_wav(tmp_path / f"{user}-heard.wav")
        assert judge_best(samples, rate, others, 2.0).level_db > -30
        assert judge(samples, rate, own).level_db < -45


@pytest.mark.parametrize("uri", ["sip:2000@127.0.0.1:{sip};transport=tcp", "sip:2000@[::1]:{sip}"])
def test_tcp_and_ipv6(server: Server, call: Call, tmp_path: Path, uri: str) -> None:
    heard = tmp_path / "heard.wav"
    said = write_wav(tmp_path / "said.wav", voice(TONE, 20.0))
    other = call(f"sip:2000@127.0.0.1:{server.sip}", "--play", str(said), "--duration", "60", user="102")
    server.wait_state("2000", "102", "talking")
    phone = call(uri.format(sip=server.sip), "--duration", "4", "--record", str(heard))
    assert server.wait_state("2000", "101", "talking")["transport"] == ("tcp" if "tcp" in uri else "udp")
    assert "we hung up" in finish(phone) or phone.returncode == 0
    other.terminate()
    finish(other)
    samples, rate = read_wav(heard)
    hearing = judge_best(samples, rate, TONE, 1.5)
    assert hearing.level_db > -30 and hearing.longest_gap_ms < 75, hearing


def test_a_refusal_is_shown_and_is_exit_status_1(server: Server, call: Call) -> None:
    phone = call(f"sip:2999@127.0.0.1:{server.sip}")
    output = finish(phone)
    assert phone.returncode == 1
    assert "404 There is no such extension here" in output


def test_a_wrong_password(server: Server) -> None:
    phone = subprocess.run(
        [sys.executable, "-m", "sipconf", "call", f"sip:2000@127.0.0.1:{server.sip}", "--user", "101", "--password",
         "wrong"], capture_output=True, text=True, timeout=PATIENCE)
    assert phone.returncode == 1 and "401" in phone.stdout, phone.stdout + phone.stderr


def test_nobody_at_home(tmp_path: Path) -> None:
    phone = subprocess.run([sys.executable, "-m", "sipconf", "call", f"sip:2000@127.0.0.1:{free_port()};transport=tcp"],
                           capture_output=True, text=True, timeout=PATIENCE)
    assert phone.returncode == 1 and "503" in phone.stdout, phone.stdout + phone.stderr
