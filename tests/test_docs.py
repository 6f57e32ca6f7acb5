"""What the documents say can be checked: links lead somewhere, examples are in order, names are those of the code."""

import re
import textwrap
from pathlib import Path

import pytest
from aiohttp import web

from sipconf.config import parse
from sipconf.reload import RESTART_KEYS
from sipconf.web import api, join
from tests.sim.certificates import Authority
from tests.test_house import FLOORS

REPO = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*REPO.glob("*.md"), *REPO.glob("docs/**/*.md")])
SOURCE = "\n".join(path.read_text() for path in sorted(REPO.glob("sipconf/**/*.py")))


def names_of(documents: list[Path]) -> list[str]:
    return [str(path.relative_to(REPO)) for path in documents]


def anchors(text: str) -> set[str]:
    """As web pages of repositories name headings."""
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=names_of(DOCUMENTS))
def test_links_lead_somewhere(document):
    text = document.read_text()
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = document.parent / path if path else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text()), link


@pytest.mark.parametrize("name", ["docs/odoo.md", "docs/operations.md", "docs/join.md"])
def test_examples_of_the_file_are_in_order(name, tmp_path):
    Authority(tmp_path).sign(tmp_path)
    (tmp_path / "prompts").mkdir()
    blocks = re.findall(r"^ *```toml\n(.*?)^ *```", (REPO / name).read_text(), re.M | re.S)
    tls = '[tls]\ncertificate = "fullchain.pem"\nkey = "privkey.pem"\n'
    for block in map(textwrap.dedent, blocks):
        parse(block + (tls if "tls_listen" in block and "[tls]" not in block else ""), tmp_path / "x.toml")
    assert blocks


def test_tests_that_are_named_exist():
    text = (REPO / "docs/trust.md").read_text()
    named = re.findall(r"`((?:\w+/)*test_\w+|tests/\w+)`", text)
    missing = [name for name in named if not any(
        (REPO / "tests" / (name.removeprefix("tests/") + ending)).exists() for ending in ("", ".py"))]
    assert len(named) > 40 and not missing


def test_figures_that_are_named_exist():
    """sipconf_NAME_total, sipconf_media_NAME_total and the like: NAME is somewhere in the code."""
    named = {found for path in DOCUMENTS for found in re.findall(r"sipconf_([a-z_]+)", path.read_text())}
    kinds = {f"connections_{transport}_now" for transport in ("tcp", "tls", "ws", "wss")}
    missing = [name for name in named - kinds
               if not re.search(rf"\b(media_)?{name.removesuffix('_total').removeprefix('media_')}\b", SOURCE)]
    assert len(named) > 15 and not missing


def test_the_api_is_described_whole():
    app = web.Application()
    api.add_routes(app)
    served = {(route.method, route.resource.canonical) for route in app.router.routes() if route.method != "HEAD"}
    text = (REPO / "docs/api.md").read_text()
    told = set(re.findall(r"`(GET|PATCH|DELETE|POST|PUT) (/api/[^`]+)`", text))
    assert told == served
    web_page = web.Application()
    join.add_routes(web_page)
    assert "/join/{extension}/{call}/events" in {route.resource.canonical for route in web_page.router.routes()}
    assert "GET /join/2001/CALL/events" in (REPO / "docs/join.md").read_text()


def test_every_event_is_described():
    section = (REPO / "docs/api.md").read_text().partition("## Events")[2].partition("\n## ")[0]
    cells = " ".join(re.findall(r"^\| (`[^|]+)\|", section, re.M))
    told = set(re.findall(r"`([a-z-]+)`", cells))
    floors = [REPO / "sipconf/app.py", *REPO.glob("sipconf/conference/*.py")]
    source = "\n".join(path.read_text() for path in floors)
    assert told == set(re.findall(r'(?:announce|tell|publish)\("([a-z-]+)"', source)) | {"missed"}


def test_what_takes_a_restart_is_told():
    section = (REPO / "docs/operations.md").read_text().partition("## Editing the file")[2].partition("\n## ")[0]
    whole, parts = section.partition("all of")[2].partition(", and\n")[::2]
    assert {section for section, _ in RESTART_KEYS} == set(re.findall(r"\[(\w+)\]", whole)) | {"http"}
    assert {key for section, key in RESTART_KEYS if section == "http"} == set(re.findall(r"`(\w+)`", parts))


def test_the_floors_are_told_as_they_are():
    told = re.search(r"^    cli > .*?\n\n", (REPO / "CONTRIBUTING.md").read_text(), re.M | re.S)
    assert told and [set(re.findall(r"\w+", floor)) for floor in told[0].split(">")] == FLOORS[1:]
