"""Who answers an offer with several formats may send any of them at any time (RFC 3264 section 7): it is followed."""

import struct
from collections.abc import Callable

import pytest

from sipconf.media import protocol
from sipconf.media.changes import FOLLOW_SECONDS
from tests.media.conftest import PCMU, House, Telephone
from tests.media.wideband import g722, opus

OPUS, G722 = protocol.RtpFormat("opus", 48000, 111), protocol.RtpFormat("G722", 8000, 9)
PCMA = protocol.RtpFormat("PCMA", 8000, 8)
ALL = (OPUS, G722, PCMU, PCMA)
CLEAR, NOTHING = 800.0, 60.0


def become(phone: Telephone, other: Telephone) -> None:
    """The second telephone is the first one, which goes on in another format as one stream."""
    other.port, other.address, other.number = phone.port, phone.address, phone.number
    other.ssrc, other.sequence, other.timestamp, other.next_at = (
        phone.ssrc, phone.sequence, phone.timestamp, phone.next_at
    )  # fmt: skip
    phone.packets().clear()


def payload_types(phone: Telephone) -> set[int]:
    return {data[1] & 0x7F for _, data in phone.packets()}


def pair(house: Callable[..., House], first: protocol.RtpFormat, **more: object) -> tuple[House, Telephone]:
    """A plain telephone and one that is sent its first format, has agreed to all, and sends PCMU."""
    home = house(silence_timeout=2.0)
    home.phone(1, room=1, pitch=700.0)
    phone = home.phone(2, room=1, connect=False, pitch=1100.0)
    formats = (first, *(each for each in ALL if each != first))
    home.connect(phone, rx_formats=formats, tx_format=first, tx_formats=formats, **more)
    return home, phone


@pytest.mark.parametrize("first", [OPUS, G722], ids=lambda each: each.encoding)
def test_a_peer_that_never_sends_the_first_format_is_heard_and_hears(
    house: Callable[..., House], first: protocol.RtpFormat
) -> None:
    home, phone = pair(house, first)
    home.run(1.0)
    phone.packets().clear()
    events = home.run(3.0)
    assert not any(isinstance(event, protocol.LegSilent) for event in events)
    assert home.phones[1].loudness(1100.0) > CLEAR and phone.loudness(700.0) > CLEAR
    assert payload_types(phone) == {0}
    assert phone.loudness(1100.0) < NOTHING


@pytest.mark.parametrize("traits", [g722(), opus()], ids=["G722", "opus"])
def test_a_peer_changes_over_and_back(house: Callable[..., House], traits: dict[str, object]) -> None:
    home, phone = pair(house, PCMU)
    home.run(1.5)
    assert home.phones[1].loudness(1100.0) > CLEAR and payload_types(phone) == {0}
    wide = traits.pop("kind")(2, home.network, pitch=1900.0, **traits)
    for former, now in ((phone, wide), (wide, phone)):
        become(former, now)
        home.phones[2] = now
        home.run(0.5)
        now.packets().clear()
        home.run(1.5)
        assert home.phones[1].loudness(now.pitch) > CLEAR and home.phones[1].loudness(former.pitch, 0.5) < NOTHING
        assert payload_types(now) == {now.payload_type}


def test_what_was_followed_to_stays_when_the_same_is_agreed_again(house: Callable[..., House]) -> None:
    home, phone = pair(house, OPUS)
    home.run(1.0)
    ssrc = {struct.unpack("!I", data[8:12])[0] for _, data in phone.packets()[-10:]}
    home.connect(phone, rx_formats=ALL, tx_format=OPUS, tx_formats=ALL)
    home.run(0.1)
    phone.packets().clear()
    home.run(1.0)
    assert {struct.unpack("!I", data[8:12])[0] for _, data in phone.packets()} == ssrc and payload_types(phone) == {0}


def test_a_peer_that_changes_with_every_packet_costs_a_few_changes_a_second(house: Callable[..., House]) -> None:
    home, phone = pair(house, PCMU)
    home.run(1.0)
    moves, bank = 0, None
    for number in range(200):
        phone.packet((0, 9, 8, 111)[number % 4], bytes(160), home.now)
        phone.timestamp += 160
        home.run(0.02, silent=(2,))
        leg = home.plane._legs.get(2)
        moves, bank = moves + (leg.bank is not bank), leg.bank
    assert 2 < moves <= 200 * 0.02 / FOLLOW_SECONDS + 2
    home.run(1.0)
    assert home.phones[1].loudness(1100.0, 0.4) > CLEAR


def test_formats_that_were_not_agreed_on_are_not_followed(house: Callable[..., House]) -> None:
    home = house()
    home.phone(1, room=1, pitch=700.0)
    phone = home.phone(2, room=1, connect=False, pitch=1100.0)
    home.connect(phone, rx_formats=(G722,), tx_format=G722, tx_formats=(G722,))
    home.run(2.0)
    assert home.phones[1].loudness(1100.0) < NOTHING
