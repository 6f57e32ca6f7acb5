"""Real telephones over TLS and TCP: they register, key the code and meet; the certificate changes while they talk."""

import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.conftest import Server
from tests.clients.telephones import Baresip, Linphone, Telephone, free_port, has_a_route, in_use, wait_for
from tests.clients.test_telephones import FIRST, SECOND, TALK, hears, hears_not
from tests.sim.certificates import SERVED, Authority


class SecureServer(Server):
    """A server that listens with TLS too, under a name of its certificate."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.authority = Authority(folder)
        self.authority.sign(folder)
        self.tls = free_port()
        text = self.config.read_text()
        text = text.replace("listen = [", f'listen = ["tls://127.0.0.1:{self.tls}", ', 1)
        text = text.replace('domain = "127.0.0.1"', f'domain = "{SERVED}"')
        self.config.write_text(text + '\n[tls]\ncertificate = "fullchain.pem"\nkey = "privkey.pem"\n')

    def serial(self) -> str:
        """Which certificate a newcomer is shown."""
        context = ssl.create_default_context(cafile=self.authority.file)
        with socket.create_connection(("127.0.0.1", self.tls), timeout=5) as plain:
            with context.wrap_socket(plain, server_hostname=SERVED) as secure:
                return str((secure.getpeercert() or {})["serialNumber"])


needs_a_route = pytest.mark.skipif(
    not has_a_route(), reason="linphonec closes its connections where there is no network")
pytestmark = needs_a_route


@pytest.fixture
def secure_server(tmp_path: Path) -> Iterator[SecureServer]:
    running = SecureServer(tmp_path)
    with running:
        yield running


def two_over(server: SecureServer, folder: Path, transport: str) -> tuple[Linphone, Baresip]:
    port = server.tls if transport == "tls" else server.sip
    authority = server.authority.file if transport == "tls" else None
    return (Linphone(folder, (SERVED, port), "101", "secret-101", FIRST).over(transport, authority),
            Baresip(folder, ("127.0.0.1", port), "102", "secret-102", SECOND).over(transport, authority))


def enter(server: Server, *phones: Telephone) -> None:
    for phone in phones:
        phone.call("2001")
        server.wait_state("2001", phone.extension, "prompting")
        phone.press("4321#")
        server.wait_state("2001", phone.extension, "talking")


@pytest.mark.parametrize("transport", ["tls", "tcp"])
def test_two_makes_meet(secure_server: SecureServer, tmp_path: Path, transport: str) -> None:
    linphone, baresip = two_over(secure_server, tmp_path, transport)
    with in_use(linphone, baresip):
        enter(secure_server, linphone, baresip)
        people = secure_server.people("2001")
        assert {person["transport"] for person in people.values()} == {transport}
        if transport == "tls":
            before = secure_server.serial()
            secure_server.authority.sign(tmp_path)
            wait_for("the new certificate to be shown", lambda: secure_server.serial() != before)
        time.sleep(TALK)
        assert set(secure_server.people("2001")) == {"101", "102"}, "nobody was dropped"
        linphone.hang_up()
        baresip.hang_up()
        secure_server.wait_empty("2001")
    for listener, talker in ((linphone, baresip), (baresip, linphone)):
        hears(listener, talker.tone_hz)
        hears_not(listener, listener.tone_hz)


def test_a_telephone_is_called_on_the_connection_that_it_registered_by(
    secure_server: SecureServer, tmp_path: Path
) -> None:
    linphone, baresip = two_over(secure_server, tmp_path, "tls")
    with in_use(linphone, baresip):
        linphone.type("autoanswer enable")
        baresip.call("101")
        time.sleep(TALK)
        baresip.hang_up()
        wait_for("linphonec to hear the end", lambda: linphone.said("ended") or linphone.said("terminated"))
    hears(baresip, FIRST)
    assert linphone.said("Receiving new incoming call")
