"""Those who only listen are sent the same sound, each in a stream of its own; who talks or is played to, his own."""

import struct
from collections.abc import Callable
from typing import Any

import pytest

from sipconf.media import protocol
from sipconf.mixer import sharing
from tests.media.conftest import Telephone

LISTENERS = range(3, 11)
CLEAR, NOTHING = 800.0, 60.0
BEEP = 2500.0


@pytest.mark.parametrize("encodings", [("PCMU",), ("PCMU", "PCMA")])
def test_listeners_are_sent_the_same_and_talkers_a_minus_one(
    encodings: tuple[str, ...], house: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "LEAST_SPARED", 1)
    encode, shared = sharing.Share.encode, []
    monkeypatch.setattr(sharing.Share, "encode", lambda share, *words: (shared.append(share), encode(share, *words)))
    sim = house()
    kinds = {"PCMU": 0, "PCMA": 8}
    phones: list[Telephone] = []
    for number in range(1, 11):
        encoding = encodings[number % len(encodings)]
        phones.append(sim.phone(number, room=7, encoding=encoding, payload_type=kinds[encoding]))
    one, two, *listeners = phones
    stranger = sim.phone(11, room=8)
    sim.run(1.5, silent=LISTENERS)
    sim.plane.send(protocol.PlayToLeg(5, 1, ("beep",), loop=True))
    sim.run(1.0, silent=LISTENERS)
    assert len(shared) > 50
    played = listeners[2]
    for encoding in encodings:
        alike = [phone for phone in listeners if phone is not played and phone.encoding == encoding]
        sounds = [[data[12:] for _, data in phone.packets()[-40:]] for phone in alike]
        assert len(alike) >= 3 and all(sound == sounds[0] for sound in sounds)
        heads = [struct.unpack("!BBHII", phone.packets()[-1][1][:12]) for phone in alike]
        assert len({head[4] for head in heads}) == len({head[3] for head in heads}) == len(alike)
    for phone in listeners:
        assert phone.loudness(one.pitch, 0.8) > CLEAR and phone.loudness(two.pitch, 0.8) > CLEAR
        assert (phone.loudness(BEEP, 0.8) > CLEAR) == (phone is played)
        assert phone.loudness(stranger.pitch, 0.8) < NOTHING
    assert one.loudness(two.pitch, 0.8) > CLEAR and one.loudness(one.pitch, 0.8) < NOTHING
    assert two.loudness(one.pitch, 0.8) > CLEAR and two.loudness(two.pitch, 0.8) < NOTHING
