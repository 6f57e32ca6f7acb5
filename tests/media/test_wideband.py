"""Rooms of Opus, G.722, PCMU and PCMA: everyone hears everyone but oneself, in all the ways that one may be heard."""

from collections.abc import Callable

import numpy as np

from sipconf.media import protocol
from sipconf.mixer.codecs.opus import OpusSettings
from tests.media.conftest import House
from tests.media.wideband import fitted, g722, opus, rate_of

PITCHES = {1: 700.0, 2: 1100.0, 3: 1900.0, 4: 2600.0}
AMPLITUDE = 4000.0 * np.sqrt(0.6**2 + 0.4**2 / 2)
"""Of a telephone's swinging tone, its side bands included."""
CLEAN_DB, NARROW_CLEAN_DB, OWN_DB = 25.0, 30.0, -45.0
CHANGE_S = 0.3
"""What is listened to around a change."""


def mixed_room(house: Callable[..., House]) -> House:
    """PCMU, PCMA, G.722 and Opus at 64 kbit/s, all talking."""
    home = house(opus=OpusSettings(bit_rate=64000))
    home.phone(1, room=1, pitch=PITCHES[1])
    home.phone(2, room=1, pitch=PITCHES[2], encoding="PCMA", payload_type=8)
    home.phone(3, room=1, pitch=PITCHES[3], **g722())
    home.phone(4, room=1, pitch=PITCHES[4], **opus())
    return home


def listen(home: House, number: int, seconds: float) -> tuple[dict[int, float], float]:
    """How loud a telephone has heard each tone of late, in dB beside what was said, and all tones beside the rest."""
    rate = rate_of(home.phones[number])
    sound = home.phones[number].heard()[-int(seconds * rate) :]
    amplitudes, clean_db = fitted(sound, rate, list(PITCHES.values()))
    levels = 20 * np.log10(np.maximum(amplitudes, 1e-3) / AMPLITUDE)
    return dict(zip(PITCHES, levels.tolist(), strict=True)), clean_db


def test_everyone_hears_everyone_but_oneself(house: Callable[..., House]) -> None:
    home = mixed_room(house)
    home.run(3.0)
    for number in PITCHES:
        levels, clean_db = listen(home, number, 1.0)
        assert clean_db > CLEAN_DB, number
        assert levels.pop(number) < OWN_DB, number
        assert all(abs(level) < 1.0 for level in levels.values()), levels
    home.run(2.5, silent=(3, 4))
    for number in (1, 2):
        assert listen(home, number, 1.0)[1] > NARROW_CLEAN_DB


def half_volume(home: House, number: int, gain: float) -> None:
    leg = home.plane._legs.get(number)
    assert leg is not None and leg.bank is not None
    leg.bank.matching.gain[leg.row] = gain
    leg.bank.mix.set_gains(leg.bank.matching.gain)


def test_nobody_hears_oneself_while_anything_changes(house: Callable[..., House]) -> None:
    home = mixed_room(house)
    home.run(2.0)
    for number in (3, 4):
        send = home.plane.send
        changes: list[tuple[str, Callable[[], None]]] = [
            ("muted", lambda: send(protocol.MuteLeg(number, True))),  # noqa: B023
            ("heard again", lambda: send(protocol.MuteLeg(number, False))),  # noqa: B023
            ("half as loud", lambda: half_volume(home, number, 0.5)),  # noqa: B023
            ("as loud as before", lambda: half_volume(home, number, 1.0)),  # noqa: B023
            ("gone", lambda: send(protocol.PlaceLeg(number, None))),  # noqa: B023
            ("back", lambda: send(protocol.PlaceLeg(number, 1))),  # noqa: B023
            ("silent", lambda: silent.append(number)),  # noqa: B023
            ("talking", lambda: silent.clear()),  # noqa: B023
        ]
        silent: list[int] = []
        for name, change in changes:
            change()
            home.run(CHANGE_S, silent)
            for listener in PITCHES:
                assert listen(home, listener, CHANGE_S)[0][listener] < OWN_DB, (number, name, listener)
