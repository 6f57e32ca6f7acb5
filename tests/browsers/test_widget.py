"""SIP.js, used as Odoo's widget uses it, in a real Chromium against a real `sipconf serve`: it registers, dials, keys
the code and talks with telephones, each heard by the tone of its voice.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.browsers.chromium import MICROPHONE_HZ, WebPhone
from tests.browsers.conftest import Open, WebServer, registered
from tests.browsers.hearing import hears, hears_not, hears_speech, is_heard
from tests.clients.sipp import Sipp
from tests.clients.telephones import Baresip, Linphone, Telephone, in_use, wait_for
from tests.clients.tones import VOICES

PARTNER_HZ = VOICES["fourth"]
OTHER_HZ = VOICES["second"]


@pytest.fixture
def partner(server: WebServer, tmp_path: Path) -> Iterator[Sipp]:
    """A telephone to talk to."""
    phone = Sipp(tmp_path, server.address, "104", "secret-104", PARTNER_HZ)
    with in_use(phone):
        yield phone


@pytest.fixture
def widget(server: WebServer, open_page: Open) -> WebPhone:
    """Alice's widget, registered."""
    return registered(open_page("widget"), server, "101")


@contextmanager
def dialling(phone: Sipp, number: str) -> Iterator[None]:
    """While the block runs the telephone dials; it has been answered when this ends."""
    with ThreadPoolExecutor(1) as hand:
        answered = hand.submit(phone.call, number)
        yield
        answered.result()


@pytest.mark.parametrize(("scheme", "make"), [("ws", Linphone), ("wss", Baresip)])
def test_it_meets_a_telephone_behind_the_code(
    server: WebServer, open_page: Open, tmp_path: Path, scheme: str, make: type[Telephone]
) -> None:
    widget = registered(open_page("widget"), server, "101", scheme)
    telephone = make(tmp_path, server.address, "102", "secret-102", OTHER_HZ)
    with in_use(telephone):
        telephone.call("2001")
        widget.call("2001")
        assert server.wait_state("2001", "101", "prompting")["transport"] == scheme
        hears_speech(widget)
        widget.press("4321#")
        telephone.press("4321#")
        person = server.wait_state("2001", "101", "talking")
        server.wait_state("2001", "102", "talking")
        assert person["name"] == "Alice Martin"
        hears(widget, OTHER_HZ)
        hears_not(widget, MICROPHONE_HZ)
        path = widget.do("path")
        assert path["dtls"] == "connected", path
        wait_for("the widget to be seen speaking", lambda: server.people("2001")["101"]["speaking"])
        widget.do("hangup")
        wait_for("the widget to have left", lambda: "101" not in server.people("2001"))
    is_heard(telephone, MICROPHONE_HZ)
    assert "4321" not in server.log.read_text()
    assert not widget.errors


def test_a_wrong_password(server: WebServer, open_page: Open) -> None:
    answer = open_page("widget").connect(server.url(), "127.0.0.1", "101", "wrong")
    assert answer["status"] == 401, answer


def test_a_number_that_is_not_there(widget: WebPhone) -> None:
    widget.do("dial", "2999")
    ended = widget.wait_state("ended")
    assert ended["status"] == 404 and ended["reason"] == "There is no such extension here", ended


def test_wrong_code_three_times_is_a_goodbye(server: WebServer, widget: WebPhone) -> None:
    widget.call("2001")
    server.wait_state("2001", "101", "prompting")
    hears_speech(widget)
    for _ in range(3):
        refused = widget.position()
        widget.press("1111#")
        hears_speech(widget, since=refused)
    widget.wait_state("ended")
    server.wait_empty("2001")


def test_hold_resume_and_mute(server: WebServer, widget: WebPhone, partner: Sipp) -> None:
    partner.call("2001*4321")
    widget.call("2001*4321")
    server.wait_state("2001", "101", "talking")
    hears(widget, PARTNER_HZ)
    is_heard(partner, MICROPHONE_HZ)

    assert widget.do("hold", True)["status"] == 200
    wait_for("the hold to be seen", lambda: server.people("2001")["101"]["held"])
    hears_not(partner, MICROPHONE_HZ)
    assert widget.do("hold", False)["status"] == 200
    wait_for("the call to be taken back", lambda: not server.people("2001")["101"]["held"])
    is_heard(partner, MICROPHONE_HZ, since=partner.recorded())
    hears(widget, PARTNER_HZ, since=widget.position())

    widget.do("mute", True)
    hears_not(partner, MICROPHONE_HZ)
    hears(widget, PARTNER_HZ, since=widget.position())
    widget.do("mute", False)
    is_heard(partner, MICROPHONE_HZ, since=partner.recorded())


def test_waiting_for_the_administrator(server: WebServer, open_page: Open) -> None:
    guest = registered(open_page("jssip"), server, "102")
    administrator = registered(open_page("widget"), server, "101")
    guest.page.evaluate("phone.speak(700)")
    guest.call("2002")
    server.wait_state("2002", "102", "prompting")
    hears_speech(guest)
    guest.press("2468#")
    server.wait_state("2002", "102", "waiting")
    hears_speech(guest, since=guest.position())  # it is told so, and music follows
    administrator.call("2002")
    server.wait_state("2002", "101", "prompting")
    hears_speech(administrator)
    hears_not(guest, MICROPHONE_HZ)
    administrator.press("2468#")
    assert server.wait_state("2002", "101", "talking")["administrator"]
    server.wait_state("2002", "102", "talking")
    hears(guest, MICROPHONE_HZ)
    hears(administrator, OTHER_HZ)
    administrator.do("hangup")
    guest.do("hangup")
    server.wait_empty("2002")


def test_a_call_rings_in_the_page(server: WebServer, widget: WebPhone, partner: Sipp) -> None:
    with dialling(partner, "101"):
        ringing = widget.wait_state("ringing")
        assert (ringing["from"], ringing["name"]) == ("104", "Dirk Janssens"), ringing
        widget.do("answer")
        widget.wait_state("talking")
    hears(widget, PARTNER_HZ)
    hears_not(widget, MICROPHONE_HZ)
    is_heard(partner, MICROPHONE_HZ)
    widget.do("hangup")


@pytest.mark.parametrize(("answers", "stops", "says"), [
    ("widget", "jssip", {"cause": "Canceled"}), ("jssip", "widget", {"cancelled": True}),
])
def test_two_pages_of_one_extension_ring_and_one_answers(
    server: WebServer, open_page: Open, partner: Sipp, answers: str, stops: str, says: dict[str, object]
) -> None:
    pages = {name: registered(open_page(name), server, "101", scheme)
             for name, scheme in (("widget", "ws"), ("jssip", "wss"))}
    with dialling(partner, "101"):
        for page in pages.values():
            assert page.wait_state("ringing")["name"] == "Dirk Janssens"
        pages[answers].do("answer")
        pages[answers].wait_state("talking")
        stopped = pages[stops].wait_state("ended")
    assert stopped.items() >= says.items(), stopped
    hears(pages[answers], PARTNER_HZ)
    is_heard(partner, MICROPHONE_HZ)
    assert pages[answers].state()["state"] == "talking" and pages[stops].position() == 0
    pages[answers].do("hangup")
    assert pages[answers].wait_state("ended") and not any(page.errors for page in pages.values())


def test_a_transfer_after_asking_first(
    server: WebServer, widget: WebPhone, open_page: Open, partner: Sipp
) -> None:
    asked = registered(open_page("jssip"), server, "102")
    asked.do("speak", OTHER_HZ)
    with dialling(partner, "101"):
        widget.wait_state("ringing")
        widget.do("answer")
        widget.wait_state("talking")
    assert widget.do("consult", "102")["status"] == 200
    asked.wait_state("ringing")
    asked.do("answer")
    widget.wait_state("talking")
    hears(widget, OTHER_HZ)
    hears_not(partner, OTHER_HZ)
    assert widget.state()["first"]["state"] == "talking"

    assert widget.do("join")["status"] == 202
    widget.wait_state("ended")
    wait_for("the first call to end", lambda: widget.state()["first"]["state"] == "ended")
    told = widget.state()["first"]["notified"]
    assert "200 OK" in told[-1], told
    hears(asked, PARTNER_HZ)
    is_heard(partner, OTHER_HZ)
    hears_not(partner, MICROPHONE_HZ)
    assert asked.state()["state"] == "talking"
    asked.do("hangup")
    assert asked.wait_state("ended") and not widget.errors


def test_an_ice_restart(server: WebServer, widget: WebPhone, partner: Sipp) -> None:
    partner.call("2001*4321")
    widget.call("2001*4321")
    hears(widget, PARTNER_HZ)
    before = widget.do("path")
    assert widget.do("restartIce")["status"] == 200

    def by_a_new_pair() -> dict[str, object] | None:
        path = widget.do("path")
        return path if path["ufrag"] != before["ufrag"] and path["checked"] and path["heardByPair"] else None

    path = wait_for("sound by a pair that was checked anew", by_a_new_pair)
    assert path["answerUfrag"] != before["answerUfrag"] and path["dtls"] == "connected", (before, path)
    hears(widget, PARTNER_HZ, since=widget.position())
    is_heard(partner, MICROPHONE_HZ, since=partner.recorded())
    assert server.people("2001").keys() == {"101", "104"} and not widget.errors


def test_the_server_restarts(server: WebServer, widget: WebPhone) -> None:
    widget.call("2000")
    server.wait_state("2000", "101", "talking")
    server.stop()
    widget.wait_state("ended")
    wait_for("the loss to be seen", lambda: widget.state()["lost"])
    server.start()
    wait_for("the widget to be registered again", lambda: widget.do("registered"))
    widget.call("2000")
    assert server.wait_state("2000", "101", "talking")["name"] == "Alice Martin"
    assert widget.state()["state"] == "talking"
    widget.do("hangup")
    server.wait_empty("2000")
    assert widget.wait_state("ended") and not widget.errors


def test_a_page_that_is_closed_is_gone(server: WebServer, widget: WebPhone, open_page: Open) -> None:
    widget.call("2000")
    server.wait_state("2000", "101", "talking")
    widget.close()
    server.wait_empty("2000")
    caller = registered(open_page("jssip"), server, "102")
    caller.do("dial", "101")
    ended = caller.wait_state("ended")
    assert (ended["status"], server.people("2000")) == (480, {}), ended
