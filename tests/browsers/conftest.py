"""One Chromium, one website and one `sipconf serve` for the tests of a module, and a page for each telephone."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext

from tests.browsers.chromium import WebPhone, browsing, chromium, pin, website
from tests.clients.conftest import Server
from tests.clients.telephones import PATIENCE, free_port, wait_for
from tests.sim.certificates import Authority

Open = Callable[[str], WebPhone]


class WebServer(Server):
    """A server that browsers reach by ws and by wss."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.authority = Authority(folder)
        self.authority.sign(folder)
        self.https = free_port()
        text = self.config.read_text()
        text = text.replace("[http]\n", f'[http]\ntls_listen = "127.0.0.1:{self.https}"\n', 1)
        self.config.write_text(text + '\n[tls]\ncertificate = "fullchain.pem"\nkey = "privkey.pem"\n')

    def url(self, scheme: str = "ws") -> str:
        """Where SIP over WebSocket is, as an administrator types it."""
        return {"ws": f"ws://127.0.0.1:{self.http}", "wss": f"wss://127.0.0.1:{self.https}/ws"}[scheme]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    """A running server."""
    chromium()
    running = WebServer(tmp_path_factory.mktemp("server"))
    with running:
        yield running


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory, server: WebServer) -> Iterator[BrowserContext]:
    """A browser that trusts the server's certificate."""
    with browsing(tmp_path_factory.mktemp("chromium"), pin(server.authority.file)) as browser:
        context = browser.new_context()
        context.set_default_timeout(PATIENCE * 1000)
        yield context


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of the pages."""
    with website(tmp_path_factory.mktemp("pages")) as url:
        yield url


@pytest.fixture
def open_page(context: BrowserContext, site: str) -> Iterator[Open]:
    """Opens one of the pages; none outlives its test."""
    opened: list[WebPhone] = []

    def open_one(name: str) -> WebPhone:
        opened.append(WebPhone(context.new_page(), f"{site}/{name}.html"))
        return opened[-1]

    yield open_one
    for page in opened:
        page.close()


def registered(page: WebPhone, server: WebServer, extension: str, scheme: str = "ws") -> WebPhone:
    """The page, registered as this user."""
    answer = page.connect(server.url(scheme), "127.0.0.1", extension, f"secret-{extension}")
    assert answer["status"] == 200, answer
    wait_for("the page to believe it", lambda: page.do("registered"))
    return page
