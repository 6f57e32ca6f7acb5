"""Drivers of real telephones, headless: each registers, dials, keys, plays a tone as its microphone and records what
it hears. One folder per telephone holds its configuration, sounds and logs.
"""

import json
import os
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import numpy as np
import pytest

from tests.clients.tones import read_wav, voice, write_wav

PATIENCE = 60.0
"""Seconds until a telephone that does not do what it was asked fails the test; nothing else is judged by it."""
PORTS = range(10_000, 20_000, 2)
"""Below those that a system gives to whoever asks for any."""
_given: set[int] = set()


def free_port() -> int:
    """A port of loopback that nobody has, or has been given here, for UDP and TCP; even, with a free neighbour for
    RTCP."""
    while True:
        port = random.choice(PORTS)
        if port in _given:
            continue
        try:
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                for number in (port, port + 1):
                    with socket.socket(socket.AF_INET, kind) as probe:
                        probe.bind(("127.0.0.1", number))
        except OSError:
            continue
        _given.add(port)
        return port


def has_a_route() -> bool:
    """Does this machine have a default route? Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return False
    return True


def wait_for(what: str, condition: Callable[[], object], patience: float = PATIENCE) -> object:
    """Poll until condition() is true and return its value; fail the test with `what` when patience ends."""
    deadline = time.monotonic() + patience
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"waited {patience:.0f} s in vain for: {what}")
        time.sleep(0.05)
    return value


class Telephone:
    """What the tests need of any telephone."""

    program = ""
    transport = "udp"
    authority: Path | None = None
    """Who must have signed the server's certificate, over TLS."""
    encryption = ""
    """Of its media, which it insists on: "srtp" (keys in SDP) or "dtls"; "": none."""

    def __init__(self, folder: Path, server: tuple[str, int], extension: str, password: str, tone_hz: float) -> None:
        if self.program and shutil.which(self.program) is None:
            pytest.skip(f"{self.program} is not installed (run `make clients` as root)")
        self.folder = folder / f"{type(self).__name__.lower()}-{extension}"
        self.folder.mkdir()
        self.server, self.extension, self.password, self.tone_hz = server, extension, password, tone_hz
        self.microphone = write_wav(self.folder / "microphone.wav", voice(tone_hz, 60.0))
        self.recording = self.folder / "heard.wav"
        self.log = self.folder / "log.txt"
        self.process: subprocess.Popen | None = None

    def over(self, transport: str, authority: Path | None = None) -> Self:
        """The same telephone, told to use this transport."""
        self.transport, self.authority = transport, authority
        return self

    def encrypted(self, how: str) -> Self:
        """The same telephone, told to insist on SRTP."""
        self.encryption = how
        return self

    def run(self, *command: str, console: bool = False) -> subprocess.Popen:
        """Start a program in the telephone's folder, its output in the log; console: with a pipe to type into."""
        with self.log.open("ab") as log:
            return subprocess.Popen(
                command, stdin=subprocess.PIPE if console else subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, cwd=self.folder, env={**os.environ, "HOME": str(self.folder)})

    def start(self) -> None:
        """Start the program and have it register."""
        raise NotImplementedError

    def wait_registered(self) -> None:
        """Wait until the registrar has said yes."""
        raise NotImplementedError

    def said(self, words: str) -> bool:
        """True where the telephone's own output holds these words."""
        return self.log.exists() and words in self.log.read_text(errors="replace")

    def times_said(self, words: str) -> int:
        """How often the telephone's own output holds these words."""
        return self.log.read_text(errors="replace").count(words) if self.log.exists() else 0

    def heard(self) -> tuple[np.ndarray, int]:
        """Everything it has recorded: samples and rate. Only after `stop`."""
        return read_wav(self.recording)

    def stop(self) -> None:
        """End the program, so that its recording is complete."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@contextmanager
def in_use(*phones: Telephone) -> Iterator[None]:
    """Start these telephones and have them registered; stop them whatever happens."""
    try:
        for phone in phones:
            phone.start()
        for phone in phones:
            phone.wait_registered()
        yield
    finally:
        # All at once: what one records after the others have gone is nobody's voice.
        with ThreadPoolExecutor(len(phones)) as hands:
            list(hands.map(lambda phone: phone.stop(), phones))


class Linphone(Telephone):
    """linphonec, driven by its console."""

    program = "linphonec"

    def start(self) -> None:
        """Start the program and have it register."""
        host, port = self.server
        # Without a place for its database the core never opens a port.
        (self.folder / ".local/share/linphone").mkdir(parents=True)
        configuration = self.folder / "rc"
        configuration.write_text(
            f"[sip]\nsip_port={free_port()}\nsip_tcp_port=-1\nsip_tls_port=-1\nguess_hostname=0\nuse_ipv6=0\n"
            f"root_ca={self.authority or ''}\nverify_server_certs=1\nverify_server_cn=1\n"
            f"media_encryption={self.encryption or 'none'}\nmedia_encryption_mandatory={int(bool(self.encryption))}\n"
            f"[rtp]\naudio_rtp_port={free_port()}\naudio_jitt_comp=60\n"
            "[sound]\nechocancellation=0\nagc=0\nea_tx_gain=0\nnoisegate=0\n[video]\nenabled=0\n[net]\nmtu=0\n")
        self.process = self.run("linphonec", "-c", str(configuration), console=True)
        self.type("soundcard use files")
        self.type(f"play {self.microphone}")
        self.type(f"record {self.recording}")
        self.type(f"register sip:{self.extension}@{host} sip:{host}:{port};transport={self.transport} "
                  f"{self.password}")

    def wait_registered(self) -> None:
        """Wait until the registrar has said yes."""
        def registered() -> bool:
            self.type("status register")
            time.sleep(0.2)
            return self.said("registered, identity")

        wait_for("linphonec to register", registered)

    def type(self, line: str) -> None:
        """Type a line at its prompt."""
        assert self.process is not None and self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def call(self, number: str) -> None:
        """Dial and wait for the answer."""
        before = self.times_said("connected.")
        self.type(f"call sip:{number}@{self.server[0]}:{self.server[1]};transport={self.transport}")
        wait_for(f"linphonec to be answered by {number}", lambda: self.times_said("connected.") > before)

    def press(self, digits: str) -> None:
        """Key digits (RFC 4733)."""
        self.type(digits)

    def hold(self) -> None:
        """Put the call on hold."""
        self.type("pause")

    def resume(self) -> None:
        """Take the call back."""
        self.type("resume")

    def hang_up(self) -> None:
        """End the call."""
        self.type("terminate")

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.type("quit")
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                super().stop()
            self.process.stdin.close()


class Baresip(Telephone):
    """baresip, driven by its TCP control interface (netstrings of JSON)."""

    program = "baresip"
    SECURED = {"": ("", ""), "srtp": ("module srtp.so\n", ";mediaenc=srtp-mand"),
               "dtls": ("module dtls_srtp.so\nmodule ice.so\n", ";mediaenc=dtls_srtp;medianat=ice")}
    """Lines of its configuration and words of its account."""
    connection: socket.socket | None = None

    def start(self) -> None:
        """Start the program; it registers by itself."""
        host, port = self.server
        self.control = free_port()
        first_rtp = free_port()
        modules = next(path for path in (Path("/usr/lib/baresip/modules"), *Path("/usr/lib").glob("*/baresip/modules"))
                       if path.is_dir())
        (self.folder / "config").write_text(
            f"poll_method epoll\nsip_listen 127.0.0.1:{free_port()}\naudio_source aufile,{self.microphone}\n"
            "audio_player aubridge,player\naudio_alert aubridge,alert\nausrc_srate 8000\nauplay_srate 8000\n"
            f"ausrc_channels 1\nauplay_channels 1\nrtp_ports {first_rtp}-{first_rtp + 20}\nrtcp_mux "
            f"{'yes' if self.encryption == 'dtls' else 'no'}\n"
            "jitter_buffer_delay 2-10\naudio_buffer 20-160\n"
            f"{f'sip_cafile {self.authority}' if self.authority else ''}\n"
            f"net_interface 127.0.0.1\nmodule_path {modules}\nmodule g711.so\nmodule aufile.so\nmodule aubridge.so\n"
            f"{self.SECURED[self.encryption][0]}module sndfile.so\nmodule_tmp account.so\nmodule_app menu.so\n"
            "module_app ctrl_tcp.so\n"
            f"ctrl_tcp_listen 127.0.0.1:{self.control}\nsnd_path {self.folder}\n")
        (self.folder / "accounts").write_text(
            f"<sip:{self.extension}@{host}:{port};transport={self.transport}>;auth_user={self.extension};auth_pass={self.password}"
            f";audio_codecs=PCMU/8000/1,PCMA/8000/1;regint=60{self.SECURED[self.encryption][1]}\n")
        (self.folder / "contacts").write_text("")
        self.process = self.run("baresip", "-f", str(self.folder))
        wait_for("baresip's control port", self._connects)

    def _connects(self) -> bool:
        try:
            self.connection = socket.create_connection(("127.0.0.1", self.control), timeout=2)
        except OSError:
            return False
        return True

    def wait_registered(self) -> None:
        """Wait until the registrar has said yes."""
        wait_for("baresip to register", lambda: self.said("200 OK"))

    def command(self, name: str, parameters: str = "") -> None:
        """Send one command of its menu."""
        body = json.dumps({"command": name, "params": parameters, "token": "t"}).encode()
        self.connection.sendall(b"%d:%s," % (len(body), body))
        time.sleep(0.05)

    def call(self, number: str) -> None:
        """Dial and wait for the answer."""
        before = self.times_said("Call established")
        self.command("dial", f"sip:{number}@{self.server[0]}:{self.server[1]};transport={self.transport}")
        wait_for(f"baresip to be answered by {number}", lambda: self.times_said("Call established") > before)

    def press(self, digits: str) -> None:
        """Key digits (RFC 4733), as a finger would."""
        for digit in digits:
            self.command("sndcode", digit)
            time.sleep(0.15)
            self.command("sndcode", "\x04")
            time.sleep(0.15)

    def hold(self) -> None:
        """Put the call on hold."""
        self.command("hold")

    def resume(self) -> None:
        """Take the call back."""
        self.command("resume")

    def hang_up(self) -> None:
        """End the call."""
        self.command("hangup")

    def stop(self) -> None:
        if self.connection is not None:
            self.connection.close()
        super().stop()

    def heard(self) -> tuple[np.ndarray, int]:
        """The decoder's side of the sndfile filter: the longest of the recordings."""
        return read_wav(max(self.folder.glob("*-dec.wav"), key=lambda path: path.stat().st_size))
