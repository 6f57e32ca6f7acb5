"""JsSIP in a real Chromium, over wss: another library's idea of the same telephone, and two pages in one room."""

import pytest

from tests.browsers.chromium import MICROPHONE_HZ, WebPhone
from tests.browsers.conftest import Open, WebServer, registered
from tests.browsers.hearing import hears, hears_not, hears_speech
from tests.clients.tones import VOICES

OWN_HZ = VOICES["second"]


@pytest.fixture
def phone(server: WebServer, open_page: Open) -> WebPhone:
    """Bruno's page, registered."""
    page = registered(open_page("jssip"), server, "102", "wss")
    page.do("speak", OWN_HZ)
    return page


@pytest.mark.parametrize("transport", ["RFC2833", "INFO"])
def test_it_keys_the_code(server: WebServer, phone: WebPhone, transport: str) -> None:
    phone.call("2001")
    server.wait_state("2001", "102", "prompting")
    hears_speech(phone)
    phone.press("4321#", transport)
    assert server.wait_state("2001", "102", "talking")["transport"] == "wss"
    phone.do("hangup")
    server.wait_empty("2001")
    assert not phone.errors


def test_two_pages_in_one_room(server: WebServer, phone: WebPhone, open_page: Open) -> None:
    widget = registered(open_page("widget"), server, "101")
    widget.call("2000")
    phone.call("2000")
    hears(widget, OWN_HZ)
    hears(phone, MICROPHONE_HZ)
    hears_not(widget, MICROPHONE_HZ)
    hears_not(phone, OWN_HZ)
    assert phone.do("hold", True)["status"] == 200
    hears_not(widget, OWN_HZ)
    assert phone.do("hold", False)["status"] == 200
    hears(widget, OWN_HZ, since=widget.position())
    hears(phone, MICROPHONE_HZ, since=phone.position())
    widget.do("hangup")
    phone.do("hangup")
    server.wait_empty("2000")


def test_a_page_calls_a_page(server: WebServer, phone: WebPhone, open_page: Open) -> None:
    widget = registered(open_page("widget"), server, "101")
    widget.do("dial", "102")
    assert phone.wait_state("ringing")["name"] == "Alice Martin"
    phone.do("answer")
    widget.wait_state("talking")
    phone.wait_state("talking")
    hears(widget, OWN_HZ)
    hears(phone, MICROPHONE_HZ)
    widget.do("hangup")
    phone.wait_state("ended")


def test_a_page_refuses(server: WebServer, phone: WebPhone, open_page: Open) -> None:
    widget = registered(open_page("widget"), server, "101")
    widget.do("dial", "102")
    phone.wait_state("ringing")
    phone.do("hangup")
    assert widget.wait_state("ended")["status"] in (480, 486, 603)


def test_a_transfer_into_the_room(server: WebServer, phone: WebPhone, open_page: Open) -> None:
    widget = registered(open_page("widget"), server, "101")
    stays = registered(open_page("widget"), server, "103")
    for page in (widget, stays):
        page.call("2001*4321")
        server.wait_state("2001", page.extension, "talking")
    refused = widget.do("transfer", "0475112233")
    assert refused["status"] == 403 and widget.state()["state"] == "talking", refused
    assert widget.do("transfer", "102")["status"] == 202
    widget.wait_state("ended")
    assert phone.wait_state("ringing")["from"] == "2001"
    phone.do("answer")
    server.wait_state("2001", "102", "talking")
    hears(stays, OWN_HZ)
    hears(phone, MICROPHONE_HZ)
    assert set(server.people("2001")) == {"102", "103"}
    stays.do("hangup")
    phone.do("hangup")
    server.wait_empty("2001")


def test_who_calls_is_put_through(server: WebServer, phone: WebPhone, open_page: Open) -> None:
    caller, widget = (registered(open_page("widget"), server, extension) for extension in ("103", "101"))
    caller.do("dial", "101")
    widget.wait_state("ringing")
    widget.do("answer")
    caller.wait_state("talking")
    assert widget.do("transfer", "102")["status"] == 202
    widget.wait_state("ended")
    assert phone.wait_state("ringing")["name"] == "Carla Rossi"
    phone.do("answer")
    hears(caller, OWN_HZ)
    hears(phone, MICROPHONE_HZ)
    phone.do("hangup")
    caller.wait_state("ended")
