"""The words at the start: enough for a first call, and no secret that is not public anyway."""

from pathlib import Path

from sipconf.config import parse
from sipconf.config_template import example, fresh
from sipconf.welcome import welcome
from tests.sim.certificates import Authority

HERE = "192.0.2.7"


def text_of(source: str) -> str:
    return welcome(parse(source, Path("my.toml")), Path("my.toml"), HERE, "made-at-start")


def test_the_example_tells_all_that_a_softphone_needs():
    text = text_of(example())
    assert "user 101, password s3cret-101, server 127.0.0.1:5060, UDP" in text
    assert "dial 2001, and when asked, key 4321#" in text
    assert ("sipconf call 'sip:2001@127.0.0.1:5060' --user 101 --password s3cret-101 --dtmf '4321#'") in text
    assert "work from this machine only" in text and "made-at-start" not in text


def test_commands_are_shown_as_they_can_be_typed_here():
    """`make run` starts .venv/bin/sipconf, which is on nobody's PATH."""
    config = parse(example(), Path("my.toml"))
    text = welcome(config, Path("my.toml"), HERE, "", program=".venv/bin/sipconf")
    assert ".venv/bin/sipconf call 'sip:2001@" in text
    assert ".venv/bin/sipconf init my.toml && .venv/bin/sipconf serve --config my.toml" in text


def test_secrets_of_ones_own_are_not_repeated():
    source = fresh()
    config, text = parse(source, Path("my.toml")), text_of(source)
    secrets = [user.password for user in config.users] + [config.http.admin_password]
    secrets += [code for room in config.conferences for code in (room.access_code, room.administrator_code) if code]
    assert len(secrets) == 7 and not [secret for secret in secrets if secret in text]
    assert f"password as in my.toml, server {HERE}:5060" in text and "key its access code and #" in text
    assert "from this machine only" not in text


def test_what_cannot_be_called_is_said_and_a_password_made_is_shown():
    text = text_of("")
    assert "my.toml needs [[users]] and [[conferences]]" in text and "made-at-start" in text


def test_what_is_not_served_yet_is_said():
    trunks = '[[trunks]]\nname = "one"\nhost = "a.b"\n[[trunks]]\nname = "two"\nhost = "c.d"\n'
    assert "not served yet" not in text_of(trunks)
    assert 'not served yet: register, allow of trunk "two"' in text_of(trunks + 'register = true\nallow = ["+32*"]\n')


def test_tcp_and_ipv6():
    text = text_of('[sip]\nlisten = ["tcp://[::]:5070"]\n[[users]]\nextension = "1"\npassword = "p-w"\n'
                   '[[conferences]]\nextension = "2"\n')
    assert f"server {HERE}:5070, TCP" in text and f"'sip:2@{HERE}:5070;transport=tcp'" in text and "--dtmf" not in text


def test_tls_by_the_name_of_the_certificate(tmp_path):
    Authority(tmp_path).sign(tmp_path)
    config = parse('[sip]\nlisten = ["tls://0.0.0.0:5061"]\n[http]\ntls_listen = "0.0.0.0:8443"\n[tls]\n'
                   'certificate = "fullchain.pem"\nkey = "privkey.pem"\n[[users]]\nextension = "1"\npassword = "p-w"\n'
                   '[[conferences]]\nextension = "2"\n', tmp_path / "my.toml")
    text = welcome(config, tmp_path / "my.toml", HERE, "", ("conf.example.com", "localhost"))
    assert "the certificate is for conf.example.com, localhost: telephones use that name" in text
    assert "https://0.0.0.0:8443" in text and "tls://0.0.0.0:5061" in text
    assert "server conf.example.com:5061, TLS" in text and "'sip:2@conf.example.com:5061;transport=tls'" in text
