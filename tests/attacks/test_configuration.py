"""Broken configuration files and edits without end (docs/trust.md): a line is named or nothing changes, and a running
call loses no frame over it."""

import itertools
import logging
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from sipconf.cli import main
from sipconf.config import MAX_FILE_BYTES, Config, ConfigError, load
from sipconf.config_template import example
from sipconf.reload import Reloader
from tests.sim.house import House
from tests.sim.siege import ROOM, running_call

SECRETS = ("s3cret-101", "s3cret-102", "s3cret-103", "change-me")
VALUES = (
    "", "true", "-1", "0", "1e400", "9" * 30, "9" * 5000, "-" + "9" * 5000, "0x" + "f" * 300, "nan", "inf", '""',
    "''", '"\\u0000"', '"\\ud800"', '"' + "a" * 70_000 + '"', "[]", "{}", "[[]]", '["x", 3]', "{a = 1, a = 2}",
    "1979-05-27T07:32:00Z", "07:32:00", "9999-99-99", '"""', "'''", '"x" "y"', "bare", '"../../etc/passwd"',
    '"/dev/zero"', '"\\""', "[" * 3000, "[" * 3000 + "]" * 3000, "{a = " * 1500 + "1" + "}" * 1500,
    "[" + "1, " * 5000 + "]", '"2001"', '"1" # "', "+0", "1_000_000", "1__0", "0o17", '"é"', '"\\x"',
)


def by_line(rng: random.Random) -> str:
    """One line is missing, there twice, elsewhere, or has another value or key."""
    lines = example().splitlines()
    at = rng.randrange(len(lines))
    while not lines[at].strip() or lines[at].startswith("#"):
        at = rng.randrange(len(lines))
    key, _, _ = lines[at].partition(" = ")
    match rng.randrange(8):
        case 0:
            del lines[at]
        case 1:
            lines.insert(at, lines[at])
        case 2:
            lines.insert(rng.randrange(len(lines)), lines.pop(at))
        case 3:
            lines[at] = key.replace("e", "x") + " = 1"
        case 4:
            lines[at] = f"{key}.{key}.x = 1"
        case 5:
            lines.insert(at, f"[{'.'.join(['sip'] * rng.choice([2, 50, 3000]))}]")
        case _:
            lines[at] = f"{key} = {rng.choice(VALUES)}"
    return "\n".join(lines)


def by_octet(rng: random.Random) -> bytes:
    """Octets are missing, there twice or others; or the file ends early."""
    data = bytearray(example().encode())
    for _ in range(rng.choice([1, 1, 1, 5, 50])):
        at = rng.randrange(len(data))
        match rng.randrange(5):
            case 0:
                data[at] = rng.randrange(256)
            case 1:
                del data[at : at + rng.randrange(1, 40)]
            case 2:
                data[at:at] = rng.choice([b"\0", b"\xff", b"\xef\xbb\xbf", b"\r", b'"', b"[", b"=", b"\n["])
            case 3:
                data[at:at] = data[at : at + rng.randrange(1, 200)]
            case _:
                del data[at:]
                break
        if not data:
            data = bytearray(b"x")
    return bytes(data)


def mutants() -> Iterator[bytes]:
    """300 files and the special ones."""
    rng = random.Random(23)
    for _ in range(150):
        yield by_line(rng).encode("utf-8", "surrogatepass")
        yield by_octet(rng)
    text = example()
    yield from (b"", b"\0", b"\xef\xbb\xbf", b"\xff\xfe" + text.encode("utf-16-le"), text.encode() + b"\0" * 100,
                text.replace("\n", "\r").encode(), b"#" * 10_000_000, b"a = 1\n" * 200_000, (text * 2).encode())
    yield from (f"[limits]\nmax_calls = {value}\n".encode() for value in VALUES)
    yield b"a." * 2000 + b"b = 1"
    yield b"\n".join(b"[a%d.b]" % number for number in range(3000))
    yield b"x = " + b"9" * 10_000


def test_three_hundred_broken_files(tmp_path: Path) -> None:
    broken = 0
    for number, data in enumerate(mutants()):
        file = tmp_path / "x.toml"
        file.write_bytes(data)
        try:
            assert isinstance(load(file), Config)
        except ConfigError as error:
            broken += 1
            lines = data.count(b"\n") + 1
            assert error.faults and all(0 <= fault.line <= lines and fault.message for fault in error.faults), number
            assert all("\n" not in str(fault) for fault in error.faults), number
            if len(data) <= MAX_FILE_BYTES and data:
                assert any(fault.line for fault in error.faults), (number, error)
            assert not [secret for secret in SECRETS if secret in str(error)], number
    assert broken > 200


@pytest.mark.parametrize("data", [b"[sip]\ndomain = ", b"x = [[[[", b"[sip]\n\nunknown = 1\n", b"\xff\n", b"[" * 5000])
def test_check_names_the_line_and_ends_with_one(data: bytes, tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_bytes(data)
    result = CliRunner().invoke(main, ["check", str(file)])
    assert result.exit_code == 1 and f"{file}:" in result.output and "Traceback" not in result.output


def test_passwords_that_everybody_can_read_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "x.toml"
    file.write_text('[[users]]\nextension = "101"\npassword = "of-our-own"\n')
    for mode, warned in ((0o644, True), (0o640, False), (0o600, False)):
        file.chmod(mode)
        caplog.clear()
        Reloader(file, lambda config: None).warn_of_open_secrets()
        assert ("chmod" in caplog.text) is warned and "of-our-own" not in caplog.text
    reloader = Reloader(file, lambda config: None)
    file.write_text(file.read_text() + 'name = "Alice"\n')
    file.chmod(0o644)
    reloader.apply()
    assert "chmod" in caplog.text, "an edit that opened the file"
    file.write_text(example())
    caplog.clear()
    Reloader(file, lambda config: None).warn_of_open_secrets()
    assert "chmod" not in caplog.text, "what everybody knows is no secret"


def test_a_thousand_reloads_during_a_call(tmp_path: Path) -> None:
    """Good and broken edits, two in each tick; the good ones change the room that people are in."""
    file = tmp_path / "x.toml"
    base = '[http]\nadmin_password = "x"\n[[users]]\nextension = "101"\npassword = "y"\n'
    texts = itertools.cycle([
        base + '[[conferences]]\nextension = "2001"\nname = "A"\naccess_code = "1"\n', base + "[[[",
        base + '[[conferences]]\nextension = "2001"\nname = "B"\n',
        base + '[[conferences]]\nextension = "2001"\naccess_code = 1\n',
        base, base + '[[users]]\nextension = "101"\npassword = "y"\n',
    ])  # fmt: skip
    file.write_text(base)
    results: list[str] = []
    with House(ROOM) as house:

        def use(config: Config) -> None:
            rooms = [ROOM] if config.conferences else []
            house.console(house.conferences.replace_directory, house.directory(*rooms))

        reloader = Reloader(file, use, on_result=lambda result, changes, error: results.append(result))
        logging.getLogger("sipconf.reload").disabled = True
        try:
            with running_call(house):
                for _ in range(500):
                    for _ in range(2):
                        file.write_text(next(texts))
                        reloader.reload("SIGHUP")
                    house.tick()
        finally:
            logging.getLogger("sipconf.reload").disabled = False
    assert len(results) == 1000 and results.count("broken") >= 490 and results.count("applied") >= 490


def test_a_storm_of_signals_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text('[limits]\nmax_calls = 5\n')
    told: list[Config] = []
    reloader = Reloader(file, told.append)
    for _ in range(1000):
        reloader.reload("SIGHUP")
    assert told == [] and reloader.last_error is None
    file.unlink()
    reloader.reload("SIGHUP")
    assert told == [] and reloader.current.limits.max_calls == 5 and reloader.last_error is not None
