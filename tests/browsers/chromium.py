"""The system's Chromium, headless, with a voice for its microphone, and the telephones that pages make of it.

What a page hears comes back as samples and is measured here. Nothing of a page is fetched from elsewhere: its scripts
are those of `pages/` and of the packages that npm has installed beside it (`make clients`).
"""

import base64
import functools
import http.server
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import load_pem_x509_certificate
from playwright.sync_api import Browser, Page, sync_playwright

from tests.clients.telephones import wait_for
from tests.clients.tones import voice, write_wav

HERE = Path(__file__).parent
PAGES = HERE / "pages"
PACKAGES = HERE / "node_modules"
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
RATE = 48000
PIECE_MS = 10
MICROPHONE_HZ = 855.0  # between the notes of the music on hold
"""The voice of every page."""

QUIET = (
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-default-apps",
    # No name is looked up, whatever a page or the browser itself would like: a test sends nothing out.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)
SOUND = ("--use-fake-device-for-media-stream", "--autoplay-policy=no-user-gesture-required")
GRANTED = ("--use-fake-ui-for-media-stream",)
"""Every page may use the microphone without being asked; one that may is also told the machine's addresses."""
LOOPBACK = ("--allow-loopback-in-peer-connection",)


UNPROCESSED = """
const asked = navigator.mediaDevices?.getUserMedia.bind(navigator.mediaDevices);
const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
if (asked) {
  navigator.mediaDevices.getUserMedia = (wishes) =>
    asked({ ...wishes, audio: { ...(wishes.audio === true ? {} : wishes.audio), ...plain } });
}"""
"""A page's microphone as it is: a tone is noise to the browser's own suppression, which on a busy machine takes so much
of it, for so long, that nobody could say whether it is heard."""


def unprocessed(page: Page) -> Page:
    """The same page, which has not been opened yet."""
    page.add_init_script(UNPROCESSED)
    return page


def chromium() -> str:
    """Where Chromium is. Skips the test where it, or what npm brings, is not installed."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("chromium is not installed (run `make clients` as root)")
    if not (PACKAGES / "installed.json").is_file():
        pytest.skip("the packages of tests/browsers are not installed (run `make clients`; it needs npm)")
    return program


def pin(authority: Path) -> str:
    """The option that has Chromium accept what this authority has signed."""
    public = load_pem_x509_certificate(authority.read_bytes()).public_key()
    digest = hashes.Hash(hashes.SHA256())
    digest.update(public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))
    return f"--ignore-certificate-errors-spki-list={base64.b64encode(digest.finalize()).decode()}"


@contextmanager
def browsing(folder: Path, *options: str, granted: bool = True) -> Iterator[Browser]:
    """One browser process, its profile empty, the voice of MICROPHONE_HZ at its microphone, which pages may use where
    that is granted."""
    program = chromium()
    microphone = write_wav(folder / "microphone.wav", voice(MICROPHONE_HZ, 20.0, RATE), RATE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, chromium_sandbox=False,
            args=[*QUIET, *SOUND, *LOOPBACK, *(GRANTED if granted else ()),
                  f"--use-file-for-fake-audio-capture={microphone}", *options])
        try:
            yield browser
        finally:
            browser.close()


class _Files(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    extensions_map = {**http.server.SimpleHTTPRequestHandler.extensions_map, ".js": "text/javascript"}

    def log_message(self, format: str, *args: object) -> None:
        """What is fetched is of no interest."""


@contextmanager
def website(folder: Path) -> Iterator[str]:
    """Serves the pages on loopback, each with its script in one piece, as Odoo would its own; their URL."""
    chromium()
    shutil.copytree(PAGES, folder, dirs_exist_ok=True)
    subprocess.run([PACKAGES / ".bin/esbuild", *(str(PAGES / f"{page.stem}.js") for page in PAGES.glob("*.html")),
                    "--bundle", "--allow-overwrite", "--log-level=warning", f"--outdir={folder}"], check=True)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Files, directory=str(folder)))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class WebPhone:
    """A page that is a telephone: its functions are those of the page's `phone`."""

    def __init__(self, page: Page, url: str, say: Callable[[str], None] = print) -> None:
        self.page, self.url = unprocessed(page), url
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        # Its SIP, which pytest shows where a test fails.
        page.on("console", lambda message: say(message.text))
        page.goto(url)
        page.wait_for_function("window.phone !== undefined")

    def do(self, function: str, *arguments: Any) -> Any:
        """One function of the page's phone; its value."""
        return self.page.evaluate("([name, words]) => phone[name](...words)", [function, list(arguments)])

    def connect(self, server: str, domain: str, extension: str, password: str) -> dict[str, Any]:
        """Open the WebSocket and register; the status and reason of the last answer."""
        self.extension = extension
        self.do("start", {"server": server, "domain": domain, "extension": extension, "password": password})
        return self.do("register")

    def state(self) -> dict[str, Any]:
        """What the page says of its call."""
        return self.do("state")

    def wait_state(self, state: str) -> dict[str, Any]:
        """Wait until its call is in this state."""
        def there() -> dict[str, Any] | None:
            now = self.state()
            if now["state"] == "ended" != state:
                pytest.fail(f"the page's call should be {state} and has ended: {now}")
            return now if now["state"] == state else None

        return wait_for(f"the page's call to be {state}", there)  # type: ignore[return-value]

    def call(self, number: str) -> dict[str, Any]:
        """Dial and wait for the answer."""
        self.do("dial", number)
        return self.wait_state("talking")

    def press(self, digits: str, *transport: str) -> None:
        """Key digits by RTCDTMFSender, or as the page's own words for a transport say."""
        assert self.do("sendDtmf", digits, *transport) is True, "the browser sent no digit"

    def position(self) -> int:
        """How far its recording is, in pieces of 10 ms."""
        return self.page.evaluate("phone.ear.position()")

    def wait_heard(self, seconds: float, since: int = 0) -> np.ndarray:
        """Wait until it has recorded so many seconds since a position; its float samples (full scale 1.0), 48 kHz."""
        wanted = since + round(seconds * 1000 / PIECE_MS)
        wait_for(f"{seconds} s of sound", lambda: self.position() >= wanted)
        return self.heard(since)

    def heard(self, since: int = 0) -> np.ndarray:
        """Everything heard since a position: float samples, full scale 1.0, 48 kHz."""
        raw = base64.b64decode(self.page.evaluate("since => phone.ear.heard(since)", since))
        return np.frombuffer(raw, "<i2").astype(float) / 32768

    def close(self) -> None:
        """Close the page, as one who leaves."""
        self.page.close()

