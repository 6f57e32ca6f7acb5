"""Strangers at the RTP ports of running calls, over real sockets on loopback and in counted time.

RTP bleed and injection: they send to every port of the range before, during and after the telephones prove themselves.
They are to get nothing, not to be heard, and to cost the call nothing. Floods are bounded: a few hundred datagrams in
each of some ticks.
"""

import struct
from collections.abc import Iterator

import pytest

from tests.media.loopback import LOCAL, MINUS_50_DB, THEIR_TONE, Phone, Rig, read_all
from tests.sim import voice


@pytest.fixture
def rig() -> Iterator[Rig]:
    built = Rig()
    yield built
    built.close()


def talking(rig: Rig, attack: int = 0) -> list[Phone]:
    """Two people in a call."""
    phones = [rig.phone(450), rig.phone(650)]
    for phone in phones:
        rig.connect(phone)
    rig.run(1.5, attack=attack)
    return phones


def test_strangers_after_the_call_is_up(rig: Rig) -> None:
    talking(rig)
    rig.listen(1.0, attack=10)
    rig.listen(1.0, attack=10, rtcp=True)
    assert all(rig.streams.started[:2])


def test_strangers_before_and_while_the_telephones_prove_themselves(rig: Rig) -> None:
    phones = [rig.phone(450), rig.phone(650)]
    for phone in phones:
        rig.connect(phone)
        phone.talks = False
    rig.run(0.3, attack=10)
    assert rig.strangers.received() == 0 and not any(rig.streams.started[:2])
    for phone in phones:
        phone.talks = True
    rig.run(0.5, attack=10)
    assert [rig.streams.latched(slot) for slot in range(2)] == [phone.address for phone in phones]
    rig.run(0.6, attack=10)
    rig.listen(1.0, attack=10)
    assert int(rig.streams.strangers[:2].min()) > 100


def test_strangers_elsewhere_while_a_telephone_is_silent_from_the_beginning(rig: Rig) -> None:
    """Nobody of another host is believed, however long the telephone keeps them waiting."""
    phones = [rig.phone(450), rig.phone(650)]
    for phone in phones:
        rig.connect(phone)
        phone.talks = False
    rig.strangers.neighbours = False
    rig.run(5.0, attack=4)
    assert not any(rig.streams.started[:2]) and rig.strangers.received() == 0
    for phone in phones:
        phone.talks = True
    rig.run(1.0, attack=4)
    rig.listen(1.0, attack=4)


def test_strangers_around_a_hold(rig: Rig) -> None:
    first, _ = talking(rig)
    for direction in ("recvonly", "sendrecv"):
        rig.connect(first, direction)
        rig.run(0.4, attack=10)
        assert rig.strangers.received() == 0
    rig.run(1.0, attack=10)
    rig.listen(1.0, attack=10)


def test_strangers_while_a_telephone_says_nothing_for_half_a_minute(rig: Rig) -> None:
    first, second = talking(rig)
    first.talks = False
    rig.run(29.0)
    first.heard.clear()
    second.heard.clear()
    rig.run(1.0, attack=10, rtcp=True)
    assert voice.loudness(second.sound(), THEIR_TONE, 8000) < MINUS_50_DB
    assert len(first.heard) == 50 and rig.strangers.received() == 0, "it still hears the other"
    first.talks = True
    rig.run(0.5, attack=10)
    rig.listen(1.0, attack=10)


def test_strangers_when_new_signalling_finds_the_telephone_silent(rig: Rig) -> None:
    """A re-INVITE of a telephone that says nothing opens the question again; who answers it is still the telephone."""
    first, _ = talking(rig)
    first.talks = False
    rig.run(2.0)
    rig.connect(first)
    rig.run(0.4, attack=10)
    assert rig.strangers.received() == 0 and not rig.streams.started[0]
    first.talks = True
    rig.run(1.5, attack=10)
    assert rig.streams.latched(0) == first.address
    rig.listen(1.0, attack=10)


@pytest.mark.parametrize("shows_itself", [True, False])
def test_rtcp_of_strangers_is_counted_and_changes_nothing(rig: Rig, shows_itself: bool) -> None:
    first, _ = talking(rig)
    if shows_itself:
        report = b"\x80\xc9\x00\x01" + struct.pack("!I", first.ssrc)
        first.rtcp.sendto(report, (LOCAL, first.port + 1))
        rig.run(0.1)
    before = int(rig.streams.strangers[0])
    rig.listen(1.0, rtcp=True)
    assert rig.streams.strangers[0] > before + 100 and rig.streams.started[0]
    read_all(first.rtcp)
    rig.listen(15.0, rtcp=True)
    assert len(read_all(first.rtcp)) >= 2, "our reports still go to the telephone"


@pytest.mark.parametrize("other", ["itself", "another leg", "its control port"])
def test_legs_are_not_fed_by_each_other(rig: Rig, other: str) -> None:
    """c= and m= may name one of our own ports: nothing is sent there."""
    first, second = talking(rig)
    third = rig.phone(850)
    target = {"itself": third.port, "another leg": second.port, "its control port": second.port + 1}[other]
    third.talks = False
    rig.connect(third, remote=(LOCAL, target))
    rig.run(1.0)
    assert rig.streams.latched(2) is None and int(rig.streams.strangers.sum() + rig.streams.bad.sum()) == 0
    rig.phones.remove(third)
    rig.listen(0.5)
    third.rtp.close(), third.rtcp.close()


@pytest.mark.parametrize("remote", [("239.1.2.3", 5004), ("255.255.255.255", 5004), ("0.0.0.0", 5004), ("::1", 5004)])
def test_nothing_is_sent_to_groups_or_everybody(rig: Rig, remote: tuple[str, int]) -> None:
    phone = rig.phone(450)
    phone.talks = False
    rig.connect(phone, remote=remote)
    rig.run(0.5)
    assert rig.ports.send_errors == 0 and phone.heard == []
