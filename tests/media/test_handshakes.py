"""Handshakes between the workers and the switchboard: a worker that only notes and tells, browsers that are the other
end of a real DTLS handshake, and a loop whose time is an argument."""

import random
from collections.abc import Callable

import pytest

from sipconf.media import handshakes, protocol
from sipconf.media.handshakes import Handshakes
from sipconf.media.workers import Workers
from sipconf.rtp.edge import dtls
from tests.media.test_workers import Kept
from tests.sim.dtls_noise import alert, noise, null_hello
from tests.sim.loop import Loop

OURS, THEIRS = dtls.generate(), dtls.generate()
PCMU = protocol.RtpFormat("PCMU", 8000, 0)
REPORT = protocol.PlaneReport(0, 50, 0, 0, 0.1)


class Front:
    """Handshakes over one worker, and what the switchboard is told."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.events: list[protocol.Event] = []
        self.sending = False

        def make(on_events: Callable[[], None]) -> Workers:
            self.workers = Workers([Kept], on_events, self.loop.call_soon)
            return self.workers

        self.media = Handshakes(make, OURS.handshake, self.hear, self.loop)
        self.worker: Kept = self.workers.keepers[0]  # type: ignore[assignment]

    def hear(self) -> None:
        assert not self.sending, "told of events from within send()"
        self.events += self.media.take_events()

    def send(self, command: protocol.Command) -> None:
        self.sending = True
        self.media.send(command)
        self.sending = False

    def open(self, leg: int) -> None:
        self.send(protocol.OpenLeg(leg, "0.0.0.0", "x", None, protocol.IceCredentials(f"u{leg}", "p"), False))

    def connect(self, leg: int, role: str = "server", fingerprint: tuple[str, str] | None = None, ufrag: str = "r",
                plain: bool = False) -> None:
        told = THEIRS.fingerprint() if fingerprint is None else fingerprint
        terms = protocol.WebRtcTerms(protocol.IceCredentials(f"u{leg}", "p"), ufrag, role, (told,))
        self.send(protocol.ConnectLeg(leg, None, None, "192.0.2.1", (PCMU,), PCMU, None, True, "sendrecv",
                                      webrtc=None if plain else terms))  # fmt: skip

    def choose(self, leg: int, host: str = "192.0.2.1", port: int = 4000) -> None:
        self.worker.tell(protocol.PairChosen(leg, (host, port)))

    def secured(self) -> list[protocol.SecureLeg]:
        return [command for command in self.worker.sent if isinstance(command, protocol.SecureLeg)]

    def failures(self) -> dict[int, str]:
        return {event.leg: event.reason for event in self.events if isinstance(event, protocol.LegFailed)}


class Browser:
    """The other end of a leg's handshake."""

    def __init__(self, front: Front, leg: int, role: str = "client", host: str = "192.0.2.1", port: int = 4000) -> None:
        self.front, self.leg, self.address = front, leg, (host, port)
        self.dtls = THEIRS.handshake(role, [OURS.fingerprint()])
        self.dtls.begin()

    def talk(self, rounds: int = 6) -> None:
        """Say what there is to say and hear what was answered, until both are silent."""
        for _ in range(rounds):
            for datagram in self.dtls.take_datagrams():
                self.front.worker.tell(protocol.DtlsReceived(self.leg, datagram))
            replies, self.front.worker.replies = self.front.worker.replies, []
            for address, datagram in replies:
                if address == self.address:
                    self.dtls.receive(datagram)
                else:
                    self.front.worker.replies.append((address, datagram))

    def agrees_with(self, command: protocol.SecureLeg) -> bool:
        return self.dtls.keys == (command.keys.profile, command.keys.tx, command.keys.rx)


def joined(front: Front, leg: int, role: str = "server", port: int = 4000) -> Browser:
    """A leg that is secured."""
    front.open(leg)
    front.connect(leg, role)
    front.choose(leg, port=port)
    browser = Browser(front, leg, "client" if role == "server" else "server", port=port)
    browser.talk()
    return browser


@pytest.mark.parametrize("role", ["server", "client"])
def test_a_leg_gets_its_keys_in_either_role(role: str) -> None:
    front = Front()
    browser = joined(front, 1, role)
    (secured,) = front.secured()
    assert secured.leg == 1 and browser.agrees_with(secured)
    assert front.events == [] and front.media.completed == 1
    order = [type(command) for command in front.worker.sent]
    assert order == [protocol.OpenLeg, protocol.ConnectLeg, protocol.SecureLeg]
    front.loop.run(60.0)
    assert front.events == [] and not front.loop.due, "no timer is left"


def test_everything_else_passes_in_order() -> None:
    front = Front()
    front.send(protocol.OpenLeg(1, "0.0.0.0", "x"))
    front.connect(1, plain=True)
    told = [protocol.LegOpened(1, 10_000), protocol.DigitReceived(1, "5"), REPORT, protocol.LegFailed(1, "no port")]
    front.worker.tell(told[0], protocol.PairChosen(9, ("192.0.2.9", 1)), told[1],
                      protocol.DtlsReceived(9, b"x"), *told[2:])  # fmt: skip
    assert front.events == told
    assert [type(command) for command in front.worker.sent] == [protocol.OpenLeg, protocol.ConnectLeg]
    assert front.media.capacities == [0] and front.media.restarts == 0 and front.media.heard == 0.0


def test_what_comes_before_the_terms_waits_for_them() -> None:
    front = Front()
    front.open(1)
    browser = Browser(front, 1)
    front.choose(1)
    browser.talk(1)
    assert front.worker.replies == []
    front.connect(1)
    browser.talk()
    assert browser.agrees_with(front.secured()[0])


def test_terms_without_a_believable_fingerprint_fail_the_leg_but_not_within_send() -> None:
    front = Front()
    front.open(1)
    front.choose(1)
    front.connect(1, "client", ("sha-1", "00"))
    assert front.events == []
    front.loop.run(0.0)
    assert "sha-256" in front.failures()[1]
    assert front.worker.sent[-1] == protocol.CloseLeg(1), "the worker is told, for nobody else will"


def test_another_certificate_fails_the_leg_and_no_keys_reach_the_worker() -> None:
    front = Front()
    front.open(1)
    front.connect(1, fingerprint=dtls.generate().fingerprint())
    front.choose(1)
    browser = Browser(front, 1)
    browser.talk()
    assert front.secured() == [] and front.failures() == {1: "the peer's certificate is not the one that its SDP names"}
    assert browser.dtls.trouble is not None and "unknown_ca" in browser.dtls.trouble, "and the peer knows why"
    assert front.media.failed == 1


def test_a_peer_that_does_not_begin_or_does_not_go_on_fails_in_the_end() -> None:
    front = Front()
    for leg in (1, 2):
        front.open(leg)
        front.connect(leg)
        front.choose(leg, port=4000 + leg)
    Browser(front, 2, port=4002).talk(1)
    front.loop.run(handshakes.PATIENCE - 2 * handshakes.TICK)
    assert front.events == []
    front.loop.run(4 * handshakes.TICK)
    assert set(front.failures()) == {1, 2} and not front.loop.due


def test_an_alert_that_anybody_may_have_sent_shortens_patience_and_ends_nothing_at_once() -> None:
    front = Front()
    for leg in (1, 2):
        front.open(leg)
        front.connect(leg)
        front.choose(leg, port=4000 + leg)
        Browser(front, leg, port=4000 + leg).talk(1)
        front.worker.tell(protocol.DtlsReceived(leg, alert(40)))
    front.loop.run(handshakes.TROUBLE_PATIENCE / 2)
    assert front.events == []
    front.loop.run(handshakes.TROUBLE_PATIENCE)
    assert front.failures()[1] == "the peer refused the DTLS handshake (handshake_failure)"


@pytest.mark.parametrize("seed", range(100))
def test_strangers_who_write_as_the_pair_do_not_keep_the_true_client_out(seed: int) -> None:
    rng = random.Random(seed)
    front = Front()
    front.open(1)
    front.connect(1)
    front.choose(1)
    for _ in range(20):
        front.worker.tell(protocol.DtlsReceived(1, noise(rng)), protocol.DtlsReceived(1, null_hello(rng)))
    front.loop.run(1.0)
    browser = Browser(front, 1)
    for _ in range(4):
        browser.talk(1)
        front.worker.tell(protocol.DtlsReceived(1, noise(rng)), protocol.DtlsReceived(1, null_hello(rng)))
    assert browser.agrees_with(front.secured()[0]) and front.events == []


def test_a_leg_has_an_allowance_of_datagrams_that_comes_back_with_time() -> None:
    front = Front()
    browser = joined(front, 1)
    for _ in range(1000):
        front.worker.tell(protocol.DtlsReceived(1, b"\x17" + bytes(100)))
    least = 1000 - handshakes.ALLOWANCE // (handshakes.DATAGRAM_COST + 101)
    assert front.media.dropped >= least > 700
    browser.dtls.close()
    front.loop.run(1.0)
    browser.talk()
    assert set(front.failures()) == {1}


def test_no_more_handshakes_than_may_be_are_under_way_and_who_waits_gets_a_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(handshakes, "MOST_UNDER_WAY", 3)
    monkeypatch.setattr(handshakes, "MOST_FROM_ONE_HOST", 2)
    front = Front()
    places = {1: "192.0.2.1", 2: "192.0.2.1", 3: "192.0.2.1", 4: "192.0.2.4", 5: "192.0.2.5"}
    browsers = {}
    for leg, host in places.items():
        front.open(leg)
        front.connect(leg)
        front.choose(leg, host, 4000 + leg)
        browsers[leg] = Browser(front, leg, host=host, port=4000 + leg)
    for leg, browser in browsers.items():
        for datagram in browser.dtls.take_datagrams():
            front.worker.tell(protocol.DtlsReceived(leg, datagram))
    answered = {port - 4000 for (_, port), _ in front.worker.replies}
    assert answered == {1, 2, 4}, "3 has two of its host before it, 5 three of any"
    for leg in (1, 4):
        browsers[leg].talk()
    front.loop.run(handshakes.TICK)
    for leg in (2, 3, 5):
        browsers[leg].talk()
    assert {command.leg for command in front.secured()} == set(places)
    front.loop.run(60.0)
    assert front.events == []


def test_new_ice_credentials_keep_the_association_and_move_it() -> None:
    """RFC 8842 section 3.1."""
    front = Front()
    browser = joined(front, 1)
    front.connect(1, ufrag="other")
    front.choose(1, port=5000)
    browser.address = ("192.0.2.1", 5000)
    assert len(front.secured()) == 1 and not front.loop.run(60.0) and front.events == []
    front.send(protocol.CloseLeg(1))
    browser.talk()
    assert browser.dtls.closed, "the farewell went to the new address"


@pytest.mark.parametrize("change", ["role", "fingerprint"])
def test_another_role_or_fingerprint_is_another_association(change: str) -> None:
    front = Front()
    joined(front, 1)
    third = dtls.generate()
    if change == "role":
        front.connect(1, "client")
        browser = Browser(front, 1, "server")
    else:
        front.connect(1, "server", third.fingerprint())
        browser = Browser(front, 1)
        browser.dtls = third.handshake("client", [OURS.fingerprint()])
        browser.dtls.begin()
    browser.talk()
    first, second = front.secured()
    assert browser.agrees_with(second) and first.keys != second.keys and front.events == []


def test_new_terms_in_the_midst_of_a_handshake_begin_it_anew() -> None:
    front = Front()
    front.open(1)
    front.connect(1)
    front.choose(1)
    Browser(front, 1).talk(1)
    front.worker.replies.clear()
    front.connect(1, "client")
    browser = Browser(front, 1, "server")
    browser.talk()
    assert browser.agrees_with(front.secured()[0])


def test_the_peers_farewell_ends_the_leg() -> None:
    front = Front()
    browser = joined(front, 1)
    browser.dtls.close()
    browser.talk()
    assert front.events[-1:] == [protocol.LegFailed(1, "the peer has ended its DTLS association", by_peer=True)]
    assert front.worker.sent[-1] == protocol.CloseLeg(1) and front.media.failed == 0


def test_a_closed_leg_says_farewell_before_it_goes() -> None:
    front = Front()
    browser = joined(front, 1)
    front.send(protocol.CloseLeg(1))
    browser.talk()
    assert browser.dtls.closed
    assert not any(isinstance(command, protocol.SecureLeg) for command in front.worker.sent[3:])
    front.worker.tell(protocol.DtlsReceived(1, b"\x16late"))
    assert front.events == []


def test_a_telephone_that_answers_instead_leaves_nothing_behind() -> None:
    front = Front()
    front.open(1)
    front.choose(1)
    Browser(front, 1).talk(1)
    front.connect(1, plain=True)
    front.loop.run(60.0)
    assert front.events == [] and front.worker.replies == []


@pytest.mark.parametrize("where", ["begin", "receive", "handle_timer"])
def test_a_fault_of_ours_ends_the_leg_it_met_and_no_other(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    front = Front()
    front.open(1)
    front.connect(1)
    front.choose(1)
    other = joined(front, 2, port=4002)
    with monkeypatch.context() as broken:
        broken.setattr(dtls.Handshake, where, lambda *_: 1 // 0)
        for datagram in Browser(front, 1).dtls.take_datagrams() if where != "begin" else [b"\x16"]:
            front.worker.tell(protocol.DtlsReceived(1, datagram), REPORT)
        front.loop.run(handshakes.TICK)
    assert front.failures() == {1: "a fault of this program"} and protocol.CloseLeg(1) in front.worker.sent
    assert [event for event in front.events if isinstance(event, protocol.PlaneReport)], "what came after it is heard"
    other.dtls.close()
    other.talk()
    assert 2 in front.failures(), "the other is heard"


async def test_the_end_of_everything_tells_every_peer() -> None:
    front = Front()
    browsers = [joined(front, leg, port=4000 + leg) for leg in (1, 2)]
    await front.media.start()
    await front.media.stop()
    for browser in browsers:
        browser.talk()
        assert browser.dtls.closed
