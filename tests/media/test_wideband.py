"""Rooms of Opus, G.722, PCMU and PCMA: everyone hears everyone but oneself, in all the ways that one may be heard."""

import struct
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


def test_g722_of_odd_sizes_is_no_noise_and_the_call_goes_on(house: Callable[..., House]) -> None:
    home = house()
    home.phone(1, room=1, pitch=PITCHES[1])
    attacker = home.phone(2, room=1, pitch=PITCHES[3], **g722())
    rng = np.random.default_rng(2)
    home.run(1.0)
    for _ in range(100):
        size = int(rng.integers(0, 400))
        attacker.packet(9, bytes(rng.integers(0, 256, size, np.uint8)), home.now)
        attacker.timestamp += int(rng.integers(1, 400))
        home.run(0.02, silent=(2,))
    home.run(4.0)  # what the jitter buffer has too much of slips away
    assert np.abs(home.phones[1].heard()).max() <= 32635
    levels, clean_db = listen(home, 1, 1.0)
    assert abs(levels[3]) < 1 and clean_db > CLEAN_DB


def test_lost_packets_of_wideband_legs_are_concealed(house: Callable[..., House]) -> None:
    home = house(seed=5, opus=OpusSettings(bit_rate=64000), loss=0.05)
    home.phone(1, room=1, pitch=PITCHES[1])
    home.phone(3, room=1, pitch=PITCHES[3], **g722())
    home.phone(4, room=1, pitch=PITCHES[4], **opus())
    home.run(4.0)
    levels, clean_db = listen(home, 1, 2.0)
    assert abs(levels[3]) < 1.0 and abs(levels[4]) < 1.5 and clean_db > 8


def test_a_leg_may_change_between_all_codecs_in_mid_call(house: Callable[..., House]) -> None:
    home = house()
    home.phone(1, room=1, pitch=PITCHES[1])
    home.phone(2, room=1, pitch=PITCHES[2])
    for traits in (opus(), g722(), opus()):
        former = home.phones[2]
        former.network.outbox.pop(former.address, None)
        kind = traits.pop("kind")
        phone = kind(2, home.network, pitch=PITCHES[2], **traits)  # type: ignore[operator]
        phone.port = former.port
        home.phones[2] = phone
        home.connect(phone)
        home.run(1.5)
        assert abs(listen(home, 1, 0.5)[0][2]) < 1 and abs(listen(home, 2, 0.5)[0][1]) < 1
    home.plane.send(protocol.CloseLeg(2))
    home.run(0.1, silent=(2,))
    assert not any(bank.encoders._own or bank.encoders._shared for bank in home.plane._banks if bank.encoders)
    assert not any(getattr(bank.decoding, "_decoders", None) for bank in home.plane._banks)


def test_what_receivers_lose_decides_how_they_are_guarded(house: Callable[..., House]) -> None:
    home = house()
    home.phone(1, room=1, pitch=PITCHES[1])
    for number in (4, 5, 6):
        home.phone(number, room=1, pitch=PITCHES[4], **opus())
    home.run(1.0, silent=(4, 5, 6))
    (bank,) = (bank for bank in home.plane._banks if bank.format.varies)
    assert bank.encoders is not None and bank.encoders.running == 1
    leg = home.plane._legs.get(5)
    assert leg is not None
    phone = home.phones[5]
    report = struct.pack("!BBHIIIIIII", 0x81, 201, 7, phone.ssrc & 0xFFFFFFFF, leg.ssrc, 51 << 24, 0, 0, 0, 0)
    home.network.throw((phone.address[0], 4001), phone.port + 1, report, home.now)
    home.run(0.5, silent=(4, 5, 6))
    assert bank.encoders.loss_class.tolist()[:3] == [0, 2, 0] and bank.encoders.running == 2
    listen(home, 5, 0.3)  # no packet is missing
