"""A browser whose pages may not use the microphone hides this machine's addresses behind mDNS names, as browsers do for
whoever only listens: what it offers leads nowhere, and it is heard all the same, for its checks tell where it is.
"""

from pathlib import Path

import ifaddr
import pytest

from tests.browsers.chromium import WebPhone, browsing, pin
from tests.browsers.conftest import WebServer, registered
from tests.browsers.hearing import hears_speech


def has_a_network() -> bool:
    """Has this machine an address besides those of loopback?"""
    return any(adapter.name != "lo" and adapter.ips for adapter in ifaddr.get_adapters())


@pytest.mark.skipif(not has_a_network(), reason="a browser has names only for addresses of a network; there is none")
def test_names_instead_of_addresses(server: WebServer, site: str, tmp_path: Path) -> None:
    with browsing(tmp_path, pin(server.authority.file), granted=False) as browser:
        phone = registered(WebPhone(browser.new_page(), f"{site}/jssip.html"), server, "102", "wss")
        phone.do("speak", 700.0)
        phone.call("2001")
        candidates = [line.split() for line in phone.do("offer").splitlines() if line.startswith("a=candidate")]
        assert candidates and all(words[4].endswith(".local") for words in candidates), candidates
        hears_speech(phone)
        phone.press("4321#")
        server.wait_state("2001", "102", "talking")
        phone.do("hangup")
