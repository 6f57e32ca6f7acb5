"""`[http] origins` as a browser lives with it: pages of those origins may open the WebSocket, others may not. Offers
are taken from the join page that the server itself has shown, whatever the list says.
"""

from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Error

from tests.browsers.chromium import WebPhone, chromium
from tests.browsers.conftest import Open, WebServer, registered

OFFER = """async ([url, mode, type]) => {
  const peer = new RTCPeerConnection();
  peer.addTransceiver("audio");
  const { sdp } = await peer.createOffer();
  const sent = fetch(url, { method: "POST", mode, headers: { "Content-Type": type }, body: sdp });
  return sent.then((answer) => answer.type, (error) => error.name);
}"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, site: str) -> Iterator[WebServer]:
    """A server that names the website's origin."""
    chromium()
    running = WebServer(tmp_path_factory.mktemp("server"))
    running.config.write_text(running.config.read_text().replace("[http]\n", f'[http]\norigins = ["{site}"]\n', 1))
    with running:
        yield running


@pytest.fixture
def unlisted(context: BrowserContext, site: str) -> Iterator[WebPhone]:
    """The same page, from an origin that is not named."""
    phone = WebPhone(context.new_page(), f"{site}/widget.html".replace("127.0.0.1", "localhost"))
    yield phone
    phone.close()


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_only_pages_of_a_listed_origin_open_the_websocket(
    server: WebServer, open_page: Open, unlisted: WebPhone, scheme: str
) -> None:
    assert registered(open_page("widget"), server, "101", scheme).do("registered")
    with pytest.raises(Error, match="WebSocket closed"):
        unlisted.connect(server.url(scheme), "127.0.0.1", "102", "secret-102")
    assert not unlisted.do("registered")
    assert f"Pages from {unlisted.page.evaluate('location.origin')} may not connect" in server.log.read_text()


def test_only_the_servers_own_page_makes_calls_by_offer(
    server: WebServer, context: BrowserContext, open_page: Open, unlisted: WebPhone
) -> None:
    url = f"http://127.0.0.1:{server.http}/join/2001"
    for phone in (open_page("widget"), unlisted):
        assert phone.page.evaluate(OFFER, [url, "cors", "application/sdp"]) == "TypeError"
        with phone.page.expect_response(url) as told:
            assert phone.page.evaluate(OFFER, [url, "no-cors", "text/plain"]) == "opaque"
        assert told.value.status == 403
    assert server.people("2001") == {}
    page = context.new_page()
    page.goto(url)
    page.fill("#name", "Vera")
    page.click("#join")
    assert server.wait_state("2001", "web", "prompting")["name"] == "Vera"
    page.close()
    server.wait_empty("2001")
