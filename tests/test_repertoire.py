"""Codecs: from their names in the file to the formats of offers and answers."""

from pathlib import Path

import pytest

from sipconf import repertoire
from sipconf.config import Config, ConfigError, parse
from sipconf.repertoire import capabilities_of


def config(text: str) -> Config:
    return parse(text, Path("sipconf.toml"))


def spoken(text: str) -> list[str]:
    return [each.encoding for each in capabilities_of(config(text)).formats if each.encoding != "L16"]


@pytest.fixture(autouse=True)
def everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """As though the media plane spoke all that the file may name."""
    monkeypatch.setattr(repertoire, "NOT_YET", frozenset(), raising=False)


def test_codecs_stand_in_the_files_order_and_ours_decides() -> None:
    assert spoken("") == ["opus", "G722", "PCMU", "PCMA"]
    assert spoken('[rtp]\ncodecs = ["pcma", "OPUS"]') == ["PCMA", "opus"]
    assert capabilities_of(config("")).prefer_ours


def test_no_payload_type_is_used_twice() -> None:
    numbers = [each.payload_type for each in capabilities_of(config("")).formats]
    assert len(set(numbers)) == len(numbers) and all(0 <= number <= 127 for number in numbers)


@pytest.mark.parametrize(("codecs", "fault"), [
    ('["g.722"]', 'there is no codec "g.722"; did you mean "G722"?'), ('["opsu"]', 'did you mean "opus"?'),
    ('["xyz"]', "known are: opus, G722, PCMU, PCMA"), ("[]", "is empty"),
    ('["PCMU", "pcmu"]', '"PCMU" stands there twice; write each codec once'), ('"opus"', "a list is expected"),
])
def test_a_wrong_list_is_refused_with_what_would_be_right(codecs: str, fault: str) -> None:
    with pytest.raises(ConfigError) as refused:
        config(f"[sip]\n[rtp]\ncodecs = {codecs}\n")
    assert fault in str(refused.value) and str(refused.value).startswith("sipconf.toml:3: rtp.codecs")


@pytest.mark.parametrize("text", ['[sip]\nencryption = "on"', '[[conferences]]\nextension = "1"\nencryption = true'])
def test_encryption_is_optional_or_required(text: str) -> None:
    with pytest.raises(ConfigError, match="'optional', 'required'"):
        config(text)
    assert config('[sip]\nencryption = "required"').sip.encryption == "required"
    assert config("").sip.encryption == "optional"
