"""What the README shows works as it stands: its configuration is in order, its commands and their options exist."""

import re
import textwrap
from pathlib import Path

from sipconf.cli import main
from sipconf.config import parse

README = (Path(__file__).resolve().parents[1] / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return [textwrap.dedent(found) for found in re.findall(rf"^ *```{language}\n(.*?)^ *```", README, re.M | re.S)]


def test_its_configuration_is_in_order():
    config = parse("\n".join(blocks("toml")), Path("x.toml"))
    assert config.conferences[0].wait_for_administrator and config.trunks and config.incoming_numbers


def test_its_commands_exist():
    lines = "\n".join(blocks("sh")).replace("\\\n", " ").splitlines()
    calls = [line.split("#")[0].split() for line in lines if re.match(r"(\.venv/bin/)?sipconf ", line)]
    assert len(calls) >= 8
    for _, verb, *words in calls:
        options = {option for parameter in main.commands[verb].params for option in parameter.opts}
        assert not {word for word in words if word.startswith("--")} - options, (verb, words)
