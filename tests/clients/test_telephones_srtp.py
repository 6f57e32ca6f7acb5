"""Real telephones that insist on SRTP, with keys in the SDP of a TLS connection, meet one that knows none."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.sipp import Sipp
from tests.clients.telephones import Baresip, Linphone, Telephone, in_use, wait_for
from tests.clients.test_telephones import FIRST, FOURTH, SECOND, THIRD, hears, hears_not
from tests.clients.test_telephones_streams import SecureServer, needs_a_route
from tests.sim.certificates import SERVED


@pytest.fixture(scope="module")
def secure_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureServer]:
    """One for all of them."""
    running = SecureServer(tmp_path_factory.mktemp("server"))
    with running:
        yield running


@pytest.mark.parametrize(
    ("make", "host"), [(Baresip, "127.0.0.1"), pytest.param(Linphone, SERVED, marks=needs_a_route)])
def test_keys_in_the_sdp(secure_server: SecureServer, tmp_path: Path, make: type[Telephone], host: str) -> None:
    server = secure_server
    secret = make(tmp_path, (host, server.tls), "101", "secret-101", FIRST)
    secret.over("tls", server.authority.file).encrypted("srtp")
    plain = Sipp(tmp_path, server.address, "102", "secret-102", SECOND)
    with in_use(secret, plain):
        secret.call("2001")
        server.wait_state("2001", "101", "prompting")
        secret.press("4321#")
        server.wait_state("2001", "101", "talking")
        plain.call("2001*4321")
        server.wait_state("2001", "102", "talking")
        wait_for("the plain one to hear", lambda: plain.recorded() > 5.0)
    hears(plain, FIRST, 2.5)
    hears(secret, SECOND, 2.5)
    hears_not(secret, FIRST)
    hears_not(plain, SECOND)


def test_keys_by_a_handshake(secure_server: SecureServer, tmp_path: Path) -> None:
    secret = Baresip(tmp_path, secure_server.address, "103", "secret-103", THIRD).encrypted("dtls")
    plain = Sipp(tmp_path, secure_server.address, "104", "secret-104", FOURTH)
    with in_use(secret, plain):
        secret.call("2001*4321")
        plain.call("2001*4321")
        secure_server.wait_state("2001", "103", "talking")
        secure_server.wait_state("2001", "104", "talking")
        wait_for("the plain one to hear", lambda: plain.recorded() > 5.0)
    hears(plain, THIRD, 2.5)
    hears(secret, FOURTH, 2.5)
    hears_not(secret, THIRD)


def test_no_keys_in_the_clear(secure_server: SecureServer, tmp_path: Path) -> None:
    phone = Baresip(tmp_path, secure_server.address, "103", "secret-103", THIRD).encrypted("srtp")
    with in_use(phone):
        phone.command("dial", f"sip:2001@127.0.0.1:{secure_server.sip}")
        wait_for("the refusal", lambda: phone.said("488"))
    assert "103" not in secure_server.people("2001")
