"""From the answer of a browser's call to the first sound in it: SIP.js in headless Chromium, as in tests/browsers.

Wall time in the page: 10 ms pieces of what it plays, from the 200 to the INVITE on. Needs what the tests need (the
packages of `make test`, Chromium, npm's packages); without them it says so and measures nothing.
"""

import statistics
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import server
from benchmarks.harness import Row

CALLS, QUICK_CALLS = 20, 5


def run(quick: bool = False) -> list[Row]:
    try:
        import pytest

        from tests.browsers.chromium import WebPhone, browsing, website
        from tests.clients.telephones import wait_for
    except ImportError as error:
        print(f"not measured: {error}")
        return []
    calls = QUICK_CALLS if quick else CALLS
    try:
        with TemporaryDirectory() as folder, server.running(1) as running, website(Path(folder)) as site, \
                browsing(Path(folder)) as browser:
            phone = WebPhone(browser.new_page(), f"{site}/widget.html", say=lambda line: None)
            user = str(server.FIRST_USER)
            phone.connect(f"ws://{server.HOST}:{running.http}", server.HOST, user, f"secret of {user}")
            waits = []
            for _ in range(calls):
                phone.call(server.TALKS_IN)
                wait_for("the first sound", lambda: "heard" in phone.state())
                state = phone.state()
                waits.append(state["heard"] - state["answered"])
                phone.do("hangup")
                phone.wait_state("ended")
    except pytest.skip.Exception as error:
        print(f"not measured: {error}")
        return []
    return [{"name": "browser, answer to first sound", "made": calls, "median_ms": statistics.median(waits),
             "worst_ms": max(waits)}]
