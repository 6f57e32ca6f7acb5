"""The join page in Chromium against the running server: by link and by number, the code by keyboard and by keypad, who
is heard and who is shown, and what a visitor reads where something is missing or refused."""

import time
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, Page

from tests.browsers.chromium import MICROPHONE_HZ, unprocessed
from tests.browsers.conftest import WebServer
from tests.clients.telephones import wait_for

HEARD_DB, UNHEARD_DB = -50.0, -75.0
"""Of the one tone among all that a page plays, in dBFS."""
LEVEL = """(frequency) => {
  const voices = document.getElementById('voices').srcObject;
  if (!voices) return -200;
  if (!window.ear) {
    const context = new AudioContext();
    const analyser = new AnalyserNode(context, { fftSize: 16384, smoothingTimeConstant: 0 });
    context.createMediaStreamSource(voices).connect(analyser);
    window.ear = { context, analyser };
  }
  const { context, analyser } = window.ear;
  const levels = new Float32Array(analyser.frequencyBinCount);
  analyser.getFloatFrequencyData(levels);
  const bin = Math.round(frequency / context.sampleRate * analyser.fftSize);
  return Math.max(-200, ...levels.slice(bin - 2, bin + 3));
}"""
UNTRUE = "Object.defineProperty(window, 'isSecureContext', { value: false });"
DENIED = "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('no', 'NotAllowedError'); };"

LOSABLE = """
const Peer = window.RTCPeerConnection;
window.RTCPeerConnection = class extends Peer { constructor(...words) { super(...words); window.peer = this; } };
const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = async (wishes) => {
  if (window.unplugged) throw new DOMException('no', 'NotFoundError');
  return window.microphone = await ask(wishes);
};"""
LOSE = """() => {
  Object.defineProperty(peer, 'connectionState', { value: 'failed' });
  peer.dispatchEvent(new Event('connectionstatechange'));
}"""
UNPLUG = "() => { window.unplugged = true; microphone.getAudioTracks()[0].dispatchEvent(new Event('ended')); }"


class Visitor:
    """A page that joins, as a person sees it."""

    def __init__(self, page: Page, server: WebServer) -> None:
        self.page, self.server = page, server
        self.faults: list[str] = []
        page.on("pageerror", lambda error: self.faults.append(str(error)))

    def open(self, path: str = "/", scheme: str = "http") -> "Visitor":
        port = {"http": self.server.http, "https": self.server.https}[scheme]
        self.page.goto(f"{scheme}://127.0.0.1:{port}{path}")
        return self

    def join(self, name: str, extension: str | None = None) -> "Visitor":
        if extension is not None:
            self.page.fill("#extension", extension)
        self.page.fill("#name", name)
        self.page.click("#join")
        return self

    def reads(self, element: str, words: str) -> None:
        """Wait until a part of the page says so."""
        wait_for(f"the page to say {words!r} in #{element}", lambda: words in self.text(element))

    def text(self, element: str) -> str:
        return self.page.inner_text(f"#{element}")

    def type(self, keys: str) -> None:
        """On the keyboard, wherever the page has put the focus itself."""
        for key in keys:
            self.page.keyboard.press(key)

    def sees(self, *names: str) -> None:
        """Wait until these people, and nobody else, are shown; each page learns of it for itself."""
        people = self.page.locator("#people b")
        wait_for(f"{names} to be shown", lambda: people.all_inner_texts() == list(names))

    def level(self) -> float:
        return self.page.evaluate(LEVEL, MICROPHONE_HZ)


@pytest.fixture
def visitor(context: BrowserContext, server: WebServer) -> Iterator[Callable[[], Visitor]]:
    """Pages of visitors; none outlives its test, nor does its call."""
    opened: list[Visitor] = []

    def open_one() -> Visitor:
        opened.append(Visitor(unprocessed(context.new_page()), server))
        return opened[-1]

    yield open_one
    for each in opened:
        each.page.close()
        assert not each.faults
    for extension in ("2000", "2001"):
        server.wait_empty(extension)


def test_visitors_key_the_code_and_hear_each_other_and_not_themselves(visitor, server) -> None:
    vera = visitor().open("/join/2001").join("Vera Maes")
    vera.reads("state", "Key the access code")
    vera.type("1111#")
    vera.reads("state", "That code is not right")
    vera.type("4321#")
    vera.reads("title", "Weekly stand-up")
    vera.sees("Vera Maes")
    vera.level()
    time.sleep(1.0)
    assert vera.level() < UNHEARD_DB, "nobody hears himself"

    tom = visitor().open().join("<b>Tom</b> \u202e", "2001")
    tom.reads("state", "Key the access code")
    for key in "4321#":
        tom.page.click(f"#keys button:text-is('{key}')")
    tom.reads("people-title", "2 people are here")
    vera.sees("Vera Maes", "<b>Tom</b>")
    tom.sees("<b>Tom</b>", "Vera Maes")
    for each in (vera, tom):
        wait_for("the other's voice", lambda each=each: each.level() > HEARD_DB)
        each.page.wait_for_selector("#people li:last-child.speaking")

    tom.page.click("#mute")
    wait_for("silence", lambda: vera.level() < UNHEARD_DB)
    assert tom.text("own-word") == "You are muted"
    wait_for("vera, who still talks", lambda: tom.level() > HEARD_DB)
    tom.type("m")
    wait_for("the other's voice again", lambda: vera.level() > HEARD_DB)

    for person in server.ask("GET", "/api/conferences/2001/participants"):
        assert person["guest"] and person["number"] == "web" and person["transport"] == "http"
        if person["name"] == "<b>Tom</b>":
            server.ask("DELETE", f"/api/conferences/2001/participants/{person['id']}")
    tom.reads("over-text", "The call has ended: removed by the administrator.")
    vera.sees("Vera Maes")
    vera.page.click("#hang-up")
    vera.reads("over-text", "You have hung up.")
    server.wait_empty("2001")


def test_a_page_that_goes_away_hangs_up(visitor, server) -> None:
    vera = visitor().open("/join/2001", "https").join("Vera")
    vera.reads("state", "Key the access code")
    assert server.people("2001")["web"]["transport"] == "https"
    vera.page.goto("about:blank")
    server.wait_empty("2001")


def test_what_is_refused_is_read_in_plain_words(visitor, server) -> None:
    refused = {"2000": "This conference takes no guests from the web page",
               "2999": "There is no conference with this number", " ": "Type the number of the conference"}
    vera = visitor().open()
    for extension, words in refused.items():
        vera.join("Vera", extension)
        vera.reads("notice", words)
        assert words in vera.text("notice")
    assert server.people("2000") == {}


@pytest.mark.parametrize(("script", "words"), [(UNTRUE, 'tls_listen = "0.0.0.0:8443"'), (DENIED, "is not allowed")])
def test_what_is_missing_is_said(visitor, server, script: str, words: str) -> None:
    vera = visitor()
    vera.page.add_init_script(script)
    vera.open("/join/2001")
    if script is DENIED:
        vera.join("Vera")
    vera.reads("notice", words)
    assert words in vera.text("notice") and server.people("2001") == {}


def test_a_connection_that_is_lost_is_made_again(visitor) -> None:
    vera = visitor()
    vera.page.add_init_script(LOSABLE)
    vera.open("/join/2001").join("Vera")
    vera.reads("state", "Key the access code")
    vera.type("m")
    vera.page.evaluate(LOSE)
    vera.reads("state", "The connection was lost")
    vera.reads("state", "Key the access code")
    assert vera.text("own-word") == "You are muted"
    vera.type("4321#")
    vera.reads("title", "Weekly stand-up")


def test_a_microphone_that_is_gone_keeps_the_call_but_makes_no_other(visitor) -> None:
    vera = visitor()
    vera.page.add_init_script(LOSABLE)
    vera.open("/join/2001").join("Vera")
    vera.reads("state", "Key the access code")
    vera.type("4321#")
    vera.reads("title", "Weekly stand-up")
    vera.page.evaluate(UNPLUG)
    vera.reads("notice", "The microphone is gone")
    vera.sees("Vera")
    vera.page.evaluate(LOSE)
    vera.reads("notice", "No microphone was found")
    vera.page.wait_for_selector("#join:focus")
    assert not vera.page.is_visible("#call-view")
