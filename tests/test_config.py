"""The configuration file: what is accepted, and what is said, with its line, of what is not."""

from pathlib import Path

import pytest

from sipconf import config
from sipconf.config import Config, ConfigError, is_example_secret, is_loopback, load, parse
from sipconf.config_template import example
from sipconf.config_values import host_and_port, listen_parts, number_key, port_range
from tests.sim.certificates import Authority

REPO = Path(__file__).resolve().parents[1]
EXAMPLE = REPO / "config" / "conferences.toml"


def faults(text: str, path: Path = Path("/nowhere/x.toml")) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, path)
    return [str(fault).removeprefix(f"{path}:") for fault in caught.value.faults]


def only_fault(text: str) -> str:
    found = faults(text)
    assert len(found) == 1, found
    return found[0]


def test_the_shipped_example_loads():
    loaded = load(EXAMPLE)
    assert [conference.extension for conference in loaded.conferences] == ["2001", "2002", "2003"]
    assert loaded.conferences[0].access_code == "4321"
    assert loaded.store.path == EXAMPLE.parent / "sipconf.sqlite3"
    assert loaded.recordings.directory == EXAMPLE.parent / "recordings"


def test_the_shipped_example_is_the_template_to_the_letter():
    assert EXAMPLE.read_text() == example()


def test_the_example_with_every_remark_made_true_is_in_order(tmp_path):
    """What the comments propose is accepted."""
    text = "\n".join(
        line.removeprefix("# ")
        if line.startswith("# ") and (" = " in line or line.startswith("# [")) and "`" not in line
        else line
        for line in example().splitlines()
    )
    Authority(tmp_path).sign(tmp_path)
    (tmp_path / "prompts").mkdir()
    loaded = parse(text, tmp_path / "x.toml")
    assert loaded.trunks[0].addresses == ("198.51.100.7",)
    assert loaded.http.tls_listen == "0.0.0.0:8443"
    assert loaded.tls is not None and loaded.tls.key == tmp_path / "privkey.pem"
    assert loaded.prompts.directory == tmp_path / "prompts"
    defaults, written = Config(), loaded
    for section in ("log", "limits"):
        assert getattr(defaults, section) == getattr(written, section), "the remark shows another default"


def test_every_secret_of_the_example_is_known_as_one():
    loaded = load(EXAMPLE)
    assert all(is_example_secret(user.password) for user in loaded.users)
    assert loaded.example_secret_holders() == ["user 101", "user 102", "user 103", "[http] admin_password"]
    assert not is_example_secret("something else") and not is_example_secret(None)


def test_an_empty_file_is_a_configuration():
    assert parse("", Path("x.toml")).sip.listen == ("udp://0.0.0.0:5060", "tcp://0.0.0.0:5060")


def test_secrets_are_not_in_the_repr():
    text = repr(load(EXAMPLE))
    assert not [secret for secret in ("s3cret", "4321", "9876", "change-me") if secret in text]


def test_all_faults_at_once_in_the_order_of_the_file():
    text = """[sip]
domian = "x"
listen = ["udp//a"]
[rtp]
ports = "30-20"
[[users]]
extension = 101
passwrd = "a"
[[conferences]]
extension = "20a"
access_code = "12x4"
administrator = "9"
[[incoming_numbers]]
number = "+32 x"
conference = "7777"
"""
    found = faults(text)
    assert [fault.split(":")[0] for fault in found] == ["2", "3", "5", "6", "7", "8", "10", "11", "12", "14", "15"]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("[sip]\ndomian = 'x'", 2, ["domian", '"domain"']),
        ("[[trunks]]\nname='a'\nhost='b'\nregster=true", 4, ['"register"']),
        ("[conference]\n", 1, ["unknown", '"conferences"']),
        ("[xyz]\n", 1, ["known are", "conferences", "users"]),
        ("[[users]]\nextension='101'", 1, ["users.password", "missing"]),
        ("[[users]]\nextension=101\npassword='x'", 2, ["quotes", '"101"']),
        ("[[users]]\nextension='10a'\npassword='x'", 2, ["digits"]),
        ("[[users]]\nextension='١٢'\npassword='x'", 2, ["digits"]),
        ("[[users]]\nextension='101'\npassword=''", 3, ["empty"]),
        ("[users]\nextension='101'", 1, ["users", "[[users]]"]),
        ("[[conferences]]\nextension='1'\naccess_code='12*'", 3, ["telephone", "32"]),
        (f"[[conferences]]\nextension='1'\naccess_code='{'1' * 33}'", 3, ["32"]),
        ("[[conferences]]\nextension='1'\nadministrator='9'", 3, ["no user", "[[users]]"]),
        ("[[conferences]]\nextension='1'\nwait_for_administrator=true", 3, ["administrator_code"]),
        ("[[conferences]]\nextension='1'\nwait_for_administrator='yes'", 3, ["true or false"]),
        ("[[conferences]]\nextension='1'\nwhen_administrator_leaves='stop'", 3, ["'continue', 'wait', 'end'"]),
        ("[[conferences]]\nextension='1'\naccess_code='1'\nadministrator_code='1'", 4, ["another"]),
        ("[[conferences]]\nextension='1'\nmax_participants=0", 3, ["at least 1"]),
        ("[[conferences]]\nextension='1'\n[[conferences]]\nextension='1'", 4, ["already taken"]),
        ("[[conferences]]\nextension='1'\nname='A'\n[[conferences]]\nextension='2'\nname='a'", 6, ["named"]),
        ("[[users]]\nextension='1'\npassword='x'\n[[conferences]]\nextension='1'", 5, ["user", "already taken"]),
        ("[[incoming_numbers]]\nnumber='+3225551234'\nconference='1'", 3, ["no conference", "[[conferences]]"]),
        ("[[conferences]]\nextension='1'\n" + "[[incoming_numbers]]\nconference='1'\nnumber='+32 25'\n"
         + "[[incoming_numbers]]\nconference='1'\nnumber='003225'", 8, ["same number"]),
        ("[rtp]\nports='2000-1000'", 2, ["1000-2000"]),
        ("[rtp]\nports='1000-70000'", 2, ["65535"]),
        ("[rtp]\nports='10001-10002'", 2, ["even"]),
        ("[rtp]\nports='10000-10001'", 2, ["browsers", "even", "10000-19999"]),
        ("[rtp]\nports='10000-10007'\n[media]\nworkers=3", 4, ["10000-10007", "2"]),
        ("[rtp]\nports=10000", 2, ['"10000"']),
        ("[rtp]\nsilence_timeout=-1", 2, ["at least 0"]),
        ("[rtp]\nsilence_timeout=inf", 2, ["seconds"]),
        ("[rtp]\nmax_delay_ms=20", 2, ["at least 40"]),
        ("[rtp]\nmax_delay_ms=1001", 2, ["at most 1000"]),
        ("[rtp]\nmax_delay_ms=0.2", 2, ["whole number"]),
        ("[opus]\nbit_rate=5999", 2, ["at least 6000"]),
        ("[opus]\ncomplexity=11", 2, ["at most 10"]),
        ("[opus]\ndtx='no'", 2, ["true or false"]),
        ("[opus]\nbitrate=24000", 2, ["bit_rate"]),
        ("[rtp]\nports='5000-6000'", 2, ["5060", "outside"]),
        ("[sip]\nlisten=['udp://0.0.0.0:5060',\n'sctp://0.0.0.0:5060']", 3, ["udp://0.0.0.0:5060"]),
        ("[sip]\nlisten=['tcp://0.0.0.0:5060','tcp://0.0.0.0:5060']", 2, ["already"]),
        ("[sip]\nlisten=[]", 2, ["empty"]),
        ("[sip]\nlisten='udp://0.0.0.0:5060'", 2, ["list"]),
        ("[sip]\nlisten=['tcp://127.0.0.1:8080']\n[http]\nlisten='127.0.0.1:8080'", 4, ["already"]),
        ("[sip]\nadvertise='example.com'", 2, ["IP address"]),
        ("[sip]\ndigest=['SHA-1']", 2, ["'MD5', 'SHA-256'"]),
        ("[sip]\nlocal_networks=['10.0.0.0/33']", 2, ["network"]),
        ("[http]\nlisten='8080'", 2, ["127.0.0.1:8080"]),
        ("[http]\norigins=['odoo.example.com/x']", 2, ["https://"]),
        ("[sip]\nlisten=['tls://0.0.0.0:5061']", 2, ["[tls]", "certificate"]),
        ("[http]\ntls_listen='0.0.0.0:8443'\n[tls]\ncertificate='c.pem'\nkey='/dev/null'", 4, ["c.pem"]),
        ("[rtp]\nports='10000'\n[media]\nworkers=2", 4, ["one worker", "10000-19999"]),
        ("[prompts]\ndirectory='none'", 2, ["folder"]),
        ("[store]\npath='none/x.db'", 2, ["folder"]),
        ("[log]\nlevel='loud'", 2, ["'debug', 'info', 'warning', 'error'"]),
        ("[limits]\nmax_calls=1.5", 2, ["whole number"]),
        ("sip = 3", 1, ["[sip]"]),
        ("conferences = [1]", 1, ["[[conferences]]"]),
        ("[sip]\nlisten=['udp://0.0.0.0:70000']", 2, ["70000", "1 to 65535"]),
        ("[sip]\nlisten=['udp://0.0.0.0:abc']", 2, ["udp://0.0.0.0:5060"]),
        ("[sip]\nlisten=['udp://0.0.0.0:5060', 'udp://127.0.0.1:5060']", 2, ["already", "udp://127.0.0.1:5060"]),
        ("[sip]\nlisten=['tcp://127.0.0.1:8080']\n[http]\nlisten='0.0.0.0:8080'", 4, ["already"]),
        ("[[trunks]]\nname='a'\nhost='b:0'", 3, ["1 to 65535"]),
        ("[[trunks]]\nname='a'\nhost='sip:b'", 3, ["sip.provider.example:5060", "[2001:db8::1]:5060"]),
        ("[[conferences]]\nextension='1'\n[[incoming_numbers]]\nnumber='+3225'\nconference='1'\ndestination='user'",
         6, ["must be 'conference'"]),
        ("a = 1\na = 2", 2, ["TOML", "once"]),
        ("[http]\nadmin_password = foo", 2, ["TOML", "quotes"]),
        ("[sip\ndomain='x'", 1, ["TOML", "[sip]"]),
        ("[sip]\n\nlisten = ['a',\n", 3, ["TOML"]),
    ],
)  # fmt: skip
def test_faults(text, line, words):
    tls_key_exists = "/dev/null" in text
    fault = [fault for fault in faults(text) if not (tls_key_exists and "/dev/null" in fault)][0]
    assert fault.startswith(f"{line}: "), fault
    assert not [word for word in words if word not in fault], fault


def test_one_mistake_is_one_fault():
    assert only_fault("[[conferences]]\nextension='1'\nadministrator='9'").startswith("3: ")
    assert only_fault("[rtp]\nports='x'").startswith("2: ")
    assert only_fault("[[trunks]]\nname='a'\nhost=''").startswith("3: ")


def test_a_secret_is_never_repeated_in_a_fault():
    text = (
        "[http]\nadmin_password=123498765\n[[users]]\nextension='1'\npassword=['hunter2']\n"
        "[[conferences]]\nextension='2'\naccess_code='77x77'\nadministrator_code=556677\n"
    )
    found = "\n".join(faults(text))
    assert found.count("\n") == 3
    assert not [secret for secret in ("123498765", "hunter2", "77x77", "556677") if secret in found]


def test_missing_certificates_do_not_matter_without_tls():
    assert parse("[tls]\ncertificate='no.pem'\nkey='no.pem'", Path("/nowhere/x.toml")).tls is not None


def test_namesakes_are_people_too():
    text = "[[users]]\nextension='1'\nname='A'\npassword='x'\n[[users]]\nextension='2'\nname='A'\npassword='x'"
    assert len(parse(text, Path("x")).users) == 2


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match="sipconf init"):
        load(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path)
    bad = tmp_path / "latin.toml"
    bad.write_bytes(b"# one\nname = '\xe9'\n")
    with pytest.raises(ConfigError, match=r"latin\.toml:2: not UTF-8"):
        load(bad)


def test_a_byte_order_mark_is_forgiven(tmp_path):
    file = tmp_path / "x.toml"
    file.write_bytes(b"\xef\xbb\xbf[sip]\r\ndomain = 'a.example'\r\n")
    assert load(file).sip.domain == "a.example"


def test_a_huge_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(config, "MAX_FILE_BYTES", 10)
    file = tmp_path / "x.toml"
    file.write_text("# 0123456789")
    with pytest.raises(ConfigError, match="larger"):
        load(file)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("udp://0.0.0.0:5060", ("udp", "0.0.0.0", 5060)),
        ("tls://[::]:0", ("tls", "::", 0)),
        ("tcp://localhost", ("tcp", "localhost", 5060)),
        ("tls://localhost", ("tls", "localhost", 5061)),
    ],
)
def test_listen_urls(text, parts):
    assert listen_parts(text) == parts


@pytest.mark.parametrize("text", ["", "a:b", "a:70000", "::1:80", "[::1", "a b:1", "http://a:1", "-a:1", "a:"])
def test_no_host_and_port(text):
    with pytest.raises(ValueError):
        host_and_port(text, default_port=None)


def test_small_notations():
    assert host_and_port("[::1]:80", None) == ("::1", 80)
    assert host_and_port("sip.example", 5060) == ("sip.example", 5060)
    assert port_range("10000") == (10000, 10000)
    assert port_range("10001 - 10003") == (10001, 10003)
    assert {number_key(text) for text in ("+32 2 555", "00322555", "322555", "+32-2.555")} == {"322555"}
    assert number_key("+32*") == ""


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "::ffff:127.0.0.1"])
def test_loopback(host):
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["192.168.1.1", "::ffff:10.0.0.1", "localhost.example", "", "2001:db8::1"])
def test_not_loopback(host):
    assert not is_loopback(host)


@pytest.mark.parametrize("seconds", [0, 90, 1800, 86400])
def test_session_timers_may_be_set(seconds, tmp_path):
    assert parse(f"[sip]\nsession_expires = {seconds}\n", tmp_path / "x.toml").sip.session_expires == seconds


@pytest.mark.parametrize("seconds", [-1, 1, 89, 86401])
def test_session_timers_have_a_floor(seconds, tmp_path):
    with pytest.raises(ConfigError) as error:
        parse(f"[sip]\nsession_expires = {seconds}\n", tmp_path / "x.toml")
    assert [fault.line for fault in error.value.faults] == [2] and "90 to 86400 seconds" in str(error.value)
