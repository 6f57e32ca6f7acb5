"""Every input that once found a fault of ours, played again: tests/regress holds one file for each.

`NNN-name.sip` (or .stream) is sent to a running server by UDP and TCP, `.sdp` is an offer, `.rtp`, `.rtcp` and `.pcap`
come to a running leg from its own telephone. Each must leave the server and a call that goes on as they were. What more
is right stands beside it in `NNN-name.toml`: `fault`, what was wrong once; `answers`, the final statuses that are right
(an empty list: silence; with authentication 401 is right too); for an offer `remote`, where packets then go ("" for
nowhere); for a capture `digits`.
"""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sipconf.media import protocol
from sipconf.sip.offer import LocalMedia, OfferError, choose, make_answer
from sipconf.sip.sdp import SessionDescription
from tests.corpus.pcap import datagrams
from tests.corpus.served import Served
from tests.corpus.test_messages import end_calls
from tests.media.loopback import LOCAL, Rig
from tests.sim.house import CAPABILITIES

FILES = sorted((Path(__file__).parent / "regress").glob("[0-9]*"))


def kept(*suffixes: str) -> list[Any]:
    return [pytest.param(path, id=path.name) for path in FILES if path.suffix in suffixes]


def verdict(path: Path) -> dict[str, Any]:
    beside = path.with_suffix(".toml")
    return tomllib.loads(beside.read_text()) if beside.exists() else {}


def test_every_verdict_belongs_to_a_file_and_says_what_was_wrong() -> None:
    for path in FILES:
        if path.suffix == ".toml":
            assert any(each.stem == path.stem and each != path for each in FILES), path.name
            assert verdict(path)["fault"] and verdict(path).keys() <= {"fault", "answers", "remote", "digits"}


@pytest.fixture(scope="module", params=["open-udp", "open-tcp", "digest-udp", "digest-tcp"])
def served(request: pytest.FixtureRequest) -> Iterator[tuple[Served, str, bool]]:
    profile, transport = request.param.split("-")
    running = Served(profile == "open")
    yield running, transport, profile == "digest"
    running.settle()


@pytest.mark.parametrize("path", kept(".sip", ".stream"))
async def test_message(path: Path, served: tuple[Served, str, bool], caplog: pytest.LogCaptureFixture) -> None:
    running, transport, asks = served
    if path.suffix == ".stream":
        transport = "tcp"
    async with running.listening() as sockets:
        with running.undisturbed():
            peer = await sockets.peer(transport)
            await peer.feed(path.read_bytes())
            if peer.is_stream:
                await peer.half_close()
            else:
                await peer.options()
                sockets.pass_time()
                await peer.options()
                await end_calls(peer, sockets)
            assert await (await sockets.peer("udp")).options()
    right = verdict(path).get("answers")
    if right is not None and transport == "udp":
        final = {status for status in peer.heard.statuses() if status >= 200}
        assert final <= {*right, *((401,) if asks else ())} and bool(final) == bool(right)
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]


@pytest.mark.parametrize("path", kept(".sdp"))
def test_session_description(path: Path) -> None:
    data, right = path.read_bytes(), verdict(path)
    try:
        agreed = choose(data, CAPABILITIES)
    except OfferError as refused:
        assert refused.status in right.get("answers", (400, 488))
        return
    assert "answers" not in right
    if "remote" in right:
        assert (agreed.remote or ("",))[0] == right["remote"]
    answer = SessionDescription.parse(make_answer(agreed, LocalMedia("192.0.2.1", 10000, 10001, 1, 1)))
    assert [media.kind for media in answer.media] == [media.kind for media in SessionDescription.parse(data).media]


@pytest.mark.parametrize("path", kept(".rtp", ".rtcp", ".pcap"))
def test_packets(path: Path) -> None:
    data = path.read_bytes()
    packets = [(each.at, each.payload) for each in datagrams(data)] if path.suffix == ".pcap" else [(0.0, data)] * 4
    rig = Rig()
    try:
        for pitch in (450, 650):
            rig.connect(rig.phone(pitch))
        rig.run(1.5)
        phone, began = rig.phones[0], rig.now
        phone.talks = path.suffix != ".pcap"  # a capture is what it says
        for at, payload in packets:
            while rig.now - began < at - packets[0][0]:
                rig.run(0.02)
            one, port = (phone.rtcp, phone.port + 1) if path.suffix == ".rtcp" else (phone.rtp, phone.port)
            one.sendto(payload, (LOCAL, port))
        rig.run(0.2)
        heard = "".join(event.digit for event in rig.events if isinstance(event, protocol.DigitReceived))
        assert heard == verdict(path).get("digits", "")
        phone.talks = True
        rig.run(1.0)
        rig.listen(0.2)
    finally:
        rig.close()
