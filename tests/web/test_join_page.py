"""The files of the join page, read as text: nothing from elsewhere, nothing that its policy forbids, every word and
element that is named is there, and every colour can be read. What the page does is in browsers/test_join."""

import re
from pathlib import Path

import pytest

import sipconf
from sipconf.web.join import pages

SOURCES = {name: page.body.decode() for name, page in pages().items()}
SERVER = Path(sipconf.__file__).parent
SCRIPTS = {name: text for name, text in SOURCES.items() if name.endswith(".js")}
TEXT_CONTRAST, SIGN_CONTRAST = 4.5, 3.0  # WCAG 2.2, sections 1.4.3 and 1.4.11, level AA
TEXTS = [("text", "card"), ("text", "sunk"), ("text", "soft"), ("text", "warn-ground"), ("quiet", "card"),
         ("quiet", "soft"), ("on-accent", "accent"), ("on-danger", "danger"), ("accent", "card")]
SIGNS = [("line", "card"), ("voice", "card"), ("voice", "faint")]


def luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_every_text_and_sign_can_be_read(theme: int) -> None:
    block = SOURCES["join.css"].split(":root {")[1 + theme].split("}")[0]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))
    for pairs, least in ((TEXTS, TEXT_CONTRAST), (SIGNS, SIGN_CONTRAST)):
        for one, other in pairs:
            assert contrast(colours[one], colours[other]) >= least, (one, other)


def test_nothing_comes_from_elsewhere_and_nothing_needs_more_than_the_policy_allows() -> None:
    for name, text in SOURCES.items():
        addresses = set(re.findall(r"https?://[^\s'\"`<]+", text)) - {"http://www.w3.org/2000/svg"}
        assert addresses <= {"https://${host}:8443/"}, (name, addresses)
    page = SOURCES["index.html"]
    assert not re.search(r"\sstyle=|\son\w+=|<style|<script(?! type=\"module\" src=\"/static/join/)", page)
    assert set(re.findall(r'(?:src|href)="([^"]+)"', page)) == {f"/static/join/{name}" for name in (
        "icon.svg", "join.css", "call.css", "page.js")}
    for name, text in SCRIPTS.items():
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|new Function", text), name
        assert set(re.findall(r"from '\./([\w.]+)'", text)) <= SOURCES.keys()


def test_reasons_are_the_servers_words() -> None:
    """What the page says better is known to it by the server's own words for it."""
    reasons = SOURCES["texts.js"].split("    reasons: {")[1].split("    },")[0]
    said = "".join(path.read_text() for path in SERVER.rglob("*.py"))
    known = re.findall(r"^      '([^']+)':", reasons, re.MULTILINE)
    assert known
    for reason in known:
        assert f'"{reason}"' in said, reason


def test_every_element_and_word_that_is_named_is_there() -> None:
    page, words = SOURCES["index.html"], SOURCES["texts.js"]
    ids = re.findall(r'\bid="([\w-]+)"', page)
    assert len(ids) == len(set(ids))
    named = set(re.findall(r"\bat\('([\w-]+)'\)", SCRIPTS["page.js"]))
    named |= set(re.findall(r'(?:for|aria-describedby|aria-controls)="([\w-]+)"', page))
    assert named <= set(ids), named - set(ids)
    for word in re.findall(r'data-text="(\w+)"', page):
        assert re.search(rf"^  {word}: '", words, re.MULTILINE), word
    for notice in re.findall(r"notice: '(\w+)'", SCRIPTS["call.js"]):
        assert re.search(rf"^    {notice}: ", words, re.MULTILINE), notice
    assert not re.search(r">\s*[A-Za-z][a-z]+\s*</(?!title|p>)", page), "every word is in texts.js"
