"""The certificate: which pairs are refused and in what words, and that a new pair takes the old one's place or nothing
does."""

import logging
from pathlib import Path

import pytest

from sipconf.certificate import DAY, CertificateError, CertificateKeeper, read, speaks_for
from sipconf.clock import Clock
from sipconf.config import ConfigError, load
from tests.sim.certificates import Authority

IN_2026 = 1_780_000_000.0


class Time:
    """A clock that a test moves."""

    def __init__(self, wall: float = IN_2026) -> None:
        self.now = wall
        self.clock = Clock(lambda: self.now, lambda: self.now)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def pair(authority: Authority, tmp_path: Path) -> tuple[Path, Path]:
    return authority.sign(tmp_path)


def refused(certificate: Path, key: Path) -> tuple[str, str]:
    with pytest.raises(CertificateError) as caught:
        read(certificate, key)
    return caught.value.key, str(caught.value)


def test_a_good_pair_tells_its_names_and_dates(authority: Authority, tmp_path: Path) -> None:
    found = read(*authority.sign(tmp_path, "DNS:conf.example.com,DNS:localhost,IP:127.0.0.1", end="20300101000000Z"))
    assert found.names == ("conf.example.com", "localhost", "127.0.0.1")
    assert found.fault_at(IN_2026) is None
    assert found.fault_at(found.not_after) == "it expired on 2030-01-01; renew it"
    assert "valid from 2020-01-01 only" in (found.fault_at(0.0) or "")


def test_whom_a_certificate_speaks_for() -> None:
    names = ("Conf.example.com", "*.sip.example.com")
    for asked, expected in (("conf.example.com", True), ("CONF.EXAMPLE.COM.", True), ("a.sip.example.com", True),
                            ("a.b.sip.example.com", False), ("sip.example.com", False), ("example.com", False)):
        assert speaks_for(names, asked) is expected, asked


def test_what_is_wrong_with_a_pair_is_said_of_the_right_file(
    authority: Authority, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    certificate, key = pair
    other = tmp_path / "other"
    other.mkdir()
    _, stranger = authority.sign(other)
    junk = tmp_path / "junk.pem"
    junk.write_text("hello\n")
    broken = tmp_path / "broken.pem"
    broken.write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    locked = tmp_path / "locked.pem"
    locked.write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n")
    for files, at_fault, words in (
        ((tmp_path / "none.pem", key), "certificate", "there is no such file"),
        ((tmp_path, key), "certificate", "it cannot be read (is a directory)"),
        ((junk, key), "certificate", "it holds no certificate"),
        ((broken, key), "certificate", "it cannot be used"),
        ((certificate, junk), "key", "it holds no private key"),
        ((certificate, stranger), "key", "does not belong to the certificate"),
        ((certificate, locked), "key", "openssl pkey -in locked.pem"),
    ):
        where, message = refused(*files)
        assert where == at_fault and words in message, (where, message)
        assert str(files[0] if at_fault == "certificate" else files[1]) in message


def test_a_changed_pair_is_used_once_it_stood_still(authority: Authority, pair: tuple[Path, Path]) -> None:
    keeper = CertificateKeeper(*pair, clock=Time().clock)
    first = keeper.context()
    keeper.look()
    assert keeper.context() is first, "nothing changed"
    authority.sign(pair[0].parent, "DNS:new.example.com")
    keeper.look()
    assert keeper.context() is first, "it may still be being written"
    keeper.look()
    assert keeper.current.names == ("new.example.com",) and keeper.context() is not first


def test_a_broken_pair_changes_nothing_and_is_told_once(
    authority: Authority, pair: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    certificate, key = pair
    keeper = CertificateKeeper(*pair, clock=Time().clock)
    first = keeper.context()
    certificate.write_text("junk")
    for _ in range(5):
        keeper.look()
    key.unlink()
    for _ in range(5):
        keeper.look()
    assert keeper.context() is first and keeper.refused == 2
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(told) == 2 and f'"{certificate}": it holds no certificate' in told[0]
    authority.sign(certificate.parent)
    keeper.look(settled=True)
    assert keeper.context() is not first


def test_the_file_may_name_another_pair(authority: Authority, pair: tuple[Path, Path], tmp_path: Path) -> None:
    keeper = CertificateKeeper(*pair, clock=Time().clock)
    other = tmp_path / "other"
    other.mkdir()
    keeper.move(*authority.sign(other, "DNS:other.example.com"))
    assert keeper.current.names == ("other.example.com",)


def test_expiry_is_complained_of_once_a_day(
    authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = authority.sign(tmp_path, end="20260601000000Z")
    time = Time(read(*files).not_after - 30 * DAY)
    keeper = CertificateKeeper(*files, clock=time.clock)
    for _ in range(100):
        time.now += 0.5 * DAY
        keeper.look()
    levels = [record.levelname for record in caplog.records]
    assert levels.count("WARNING") == 14 and levels.count("ERROR") == 21
    assert keeper.seconds_left() == -20 * DAY


def test_check_names_the_line_of_a_bad_certificate_and_a_server_starts_with_an_expired_one(
    authority: Authority, tmp_path: Path
) -> None:
    certificate, key = authority.sign(tmp_path, end="20210101000000Z")
    file = tmp_path / "x.toml"
    file.write_text('[sip]\nlisten = ["tls://127.0.0.1:5061"]\n[tls]\ncertificate = "fullchain.pem"\n'
                    'key = "privkey.pem"\n')
    with pytest.raises(ConfigError) as caught:
        load(file, IN_2026)
    assert str(caught.value) == f'{file}:4: "{certificate}": it expired on 2021-01-01; renew it'
    assert load(file).tls is not None
    key.write_text("junk")
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert str(caught.value).startswith(f'{file}:5: "{key}": it holds no private key')
