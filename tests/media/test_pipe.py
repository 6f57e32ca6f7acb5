"""Framing: every message of the protocol survives the pipe, nothing blocks, and a full pipe drops reports
first."""

import dataclasses
import typing

import pytest

from sipconf.errors import MisuseError
from sipconf.media import pipe as pipe_module
from sipconf.media import protocol
from sipconf.media.pipe import Pipe, decode, encode, open_pair

PCMU = protocol.RtpFormat("PCMU", 8000, 0)
PCMA = protocol.RtpFormat("PCMA", 8000, 8)
OPUS = protocol.RtpFormat("opus", 48000, 111, "useinbandfec=1")
KEYS = protocol.SrtpKeys("AEAD_AES_128_GCM", bytes(28), b"\xff" * 28)
MESSAGES = [
    protocol.OpenLeg(1, "::", "a@b"),
    protocol.OpenLeg(1, "::", "a@b", 3, protocol.IceCredentials("frag", "secret"), False),
    protocol.ConnectLeg(1, ("127.0.0.1", 4000), None, "127.0.0.1", (PCMU, PCMA), PCMU, None, True, "sendrecv"),
    protocol.ConnectLeg(
        1, None, None, "127.0.0.1", (OPUS,), OPUS, 110, True, "sendrecv", srtp=KEYS, webrtc=protocol.WebRtcTerms(
            protocol.IceCredentials("frag", "secret"), "theirs", "server", (("sha-256", "AB:CD"),)), audio_level=1),
    protocol.SecureLeg(1, KEYS),
    protocol.CloseLeg(1),
    protocol.PlaceLeg(1, None),
    protocol.MuteLeg(1, True),
    protocol.TreatLeg(1, True, False),
    protocol.PlayToLeg(1, 2, ("enter-code", "café"), False),
    protocol.StopLegPlayback(1),
    protocol.PlayToRoom(3, ("joined",)),
    protocol.LegOpened(1, 10_000),
    protocol.LegFailed(1, "no port"),
    protocol.PairChosen(1, ("::1", 4000)),
    protocol.DtlsReceived(1, bytes(range(256))),
    protocol.DigitReceived(1, "#"),
    protocol.PlaybackEnded(1, 2),
    protocol.TalkingChanged(1, True, -31.25),
    protocol.GuardChanged(1, "echo"),
    protocol.LegSilent(1),
    protocol.LegReports.of(
        protocol.LegReport(1, -60.5, 1, 2, 3, 4, 5, 6, 0.5, 40.0),
        protocol.LegReport(9, -7.0, 2, 3, 4, 5, 6, 7, 0.0, 10.0),
    ),
    protocol.PlaneReport(1, 50, 0, 0, 1.25),
]


@pytest.fixture
def ends() -> typing.Iterator[tuple[Pipe, Pipe]]:
    one, other = map(Pipe, open_pair())
    yield one, other
    one.close()
    other.close()


def test_every_class_of_the_protocol_is_tried_here() -> None:
    assert {type(m) for m in MESSAGES} == {*typing.get_args(protocol.Command), *typing.get_args(protocol.Event)}


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_a_message_survives_the_pipe_with_its_types(message: pipe_module.Message, ends: tuple[Pipe, Pipe]) -> None:
    one, other = ends
    one.put([message])
    assert one.flush()
    (received,) = other.receive(10)
    assert received == message
    assert type(received) is type(message)
    assert [type(v) for v in dataclasses.astuple(received)] == [type(v) for v in dataclasses.astuple(message)]


def test_order_is_kept_over_many_datagrams_and_the_budget_holds(ends: tuple[Pipe, Pipe]) -> None:
    one, other = ends
    sent = [protocol.DigitReceived(leg, "5") for leg in range(10_000)]
    one.put(sent)
    received: list[pipe_module.Message] = []
    while len(received) < len(sent):
        one.flush()
        part = other.receive(300)
        assert 0 < len(part) <= 300
        received += part
    assert received == sent


def test_reports_of_many_legs_are_what_they_were() -> None:
    reports = [
        protocol.LegReport(2**40 + leg, -leg / 4, 2**33 + leg, 3 * leg, leg, 0, 1, 2, leg / 100, 20.0)
        for leg in range(250)
    ]
    told = list(protocol.LegReports.of(*reports).each())
    assert told == reports and {type(value) for value in (told[3].leg, told[3].lost)} == {int}
    assert list(protocol.LegReports.of().each()) == []


def test_a_full_pipe_does_not_block_and_loses_reports_before_digits(ends: tuple[Pipe, Pipe]) -> None:
    one, other = ends
    report = protocol.LegReports.of(protocol.LegReport(1, -60.5, 1, 2, 3, 4, 5, 6, 0.5, 40.0))
    for _ in range(6):
        one.put([report] * 3000)
        one.flush()
    assert one.dropped > 0
    one.put([protocol.DigitReceived(1, "#")])
    received: list[pipe_module.Message] = []
    while not one.flush():
        received += other.receive(100_000)
    received += other.receive(100_000)
    assert received[-1] == protocol.DigitReceived(1, "#")
    assert len(received) == 6 * 3000 - one.dropped + 1


def test_nothing_waits_without_limit(ends: tuple[Pipe, Pipe], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipe_module, "MAX_WAITING", 10)
    one, _ = ends
    one.put([protocol.LegSilent(leg) for leg in range(12)])
    assert one.waiting == 10
    assert one.dropped == 2


def test_the_other_end_gone_is_noticed_both_ways() -> None:
    one, other = map(Pipe, open_pair())
    other.close()
    assert one.receive(1) == []
    assert one.closed
    writer, reader = map(Pipe, open_pair())
    reader.close()
    writer.put([protocol.LegSilent(1)])
    assert not writer.flush()
    assert writer.closed
    one.close()
    writer.close()


def test_no_log_shows_keys() -> None:
    secret = protocol.SrtpKeys("AEAD_AES_128_GCM", b"incoming", b"outgoing")
    shown = repr(protocol.ConnectLeg(
        1, None, None, "", (OPUS,), OPUS, None, True, "sendrecv", srtp=secret, webrtc=protocol.WebRtcTerms(
            protocol.IceCredentials("frag", "password"), "theirs", "server", ())))
    assert "frag" in shown and not any(word in shown for word in ("incoming", "outgoing", "password"))


def test_what_is_not_of_the_protocol_is_our_mistake() -> None:
    for wrong in ({"leg": 1}, protocol.TalkingChanged(1, True, float("nan")), protocol.CloseLeg(object())):  # type: ignore[arg-type]
        with pytest.raises(MisuseError):
            encode(wrong if not isinstance(wrong, dict) else [object()])  # type: ignore[arg-type]
    for wrong_bytes in (
        b"{", b"[[1]", b'[{"Unknown":[1]}]', b'[{"CloseLeg":[1,2,3]}]', b'[{"octets":["?"]}]', b"[{}]", b"7",
    ):  # fmt: skip
        with pytest.raises(MisuseError):
            decode(wrong_bytes)
