"""Which legs are listened to for digits as tones: those without telephone-event that may send, and in a room strictly.
"""

from collections.abc import Callable

import numpy as np
import pytest

from sipconf.media import protocol
from tests.media.conftest import ALAW, MULAW, House, Telephone, nearest
from tests.mixer import keyed


def key(house: House, phone: Telephone, sound: np.ndarray, silent_after: float = 0.5) -> str:
    """Say something of whole frames instead of the telephone's own tone; the digits told meanwhile."""
    told = ""
    frames = [*sound.reshape(-1, 160), *np.zeros((round(silent_after / 0.02), 160))]
    table = MULAW if phone.encoding == "PCMU" else ALAW
    for frame in frames:
        phone.packet(phone.payload_type, nearest(table, frame), house.now)
        phone.timestamp += 160
        house.events.clear()
        house.tick()
        told += "".join(event.digit for event in house.of_kind(protocol.DigitReceived) if event.leg == phone.number)
    return told


def listened_to(house: House) -> dict[int, bool]:
    """Leg -> whether it is judged strictly."""
    return {leg.number: bool(leg.bank.inband._strict[list(leg.bank.inband.rows).index(leg.row)])
            for leg in house.plane._legs if leg.bank is not None and leg.row in leg.bank.inband.rows}  # fmt: skip


@pytest.fixture
def tone() -> np.ndarray:
    return keyed.tone("5", 100, np.random.default_rng(1))


def test_only_legs_without_telephone_event(house: Callable[..., House], tone: np.ndarray) -> None:
    here = house()
    with_events = here.phone(1)
    without = here.phone(2, connect=False)
    here.connect(without, telephone_event=None)
    here.run(0.5)
    assert listened_to(here) == {2: False}
    assert key(here, without, tone) == "5"
    assert key(here, with_events, tone) == ""


def test_terms_rooms_and_banks_are_followed(house: Callable[..., House], tone: np.ndarray) -> None:
    here = house()
    phone = here.phone(1, room=7)
    here.run(0.5)
    assert listened_to(here) == {}
    here.connect(phone, telephone_event=None)
    here.run(0.1)
    assert listened_to(here) == {1: True}
    assert key(here, phone, tone) == "5"
    here.plane.send(protocol.PlaceLeg(1, None))
    here.tick()
    assert listened_to(here) == {1: False}
    phone.encoding, phone.payload_type = "PCMA", 8
    here.connect(phone, telephone_event=None)
    here.run(0.5)
    assert listened_to(here) == {1: False} and key(here, phone, tone) == "5", "in another bank"
    assert sum(len(bank.inband.rows) for bank in here.plane._banks) == 1
    here.connect(phone, "sendonly", telephone_event=None)
    here.tick()
    assert listened_to(here) == {}, "nothing is expected from one whom we hold"
    here.connect(phone, telephone_event=None)
    here.plane.send(protocol.CloseLeg(1))
    here.tick()
    assert all(not len(bank.inband.rows) for bank in here.plane._banks)
