"""Rooms of Opus, G.722, PCMU and PCMA: everyone hears everyone but oneself, in all the ways that one may be heard."""

import struct
from collections.abc import Callable

import numpy as np
import pytest

from sipconf.media import protocol
from sipconf.mixer.codecs.opus import OpusSettings
from sipconf.mixer.prompts import ClipLibrary
from tests.media.conftest import House, Telephone
from tests.media.wideband import fitted, g722, opus, rate_of
from tests.mixer import keyed
from tests.sim.voice import loudness

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
    report = struct.pack("!BBHIIIIIII", 0x81, 201, 7, phone.ssrc & 0xFFFFFFFF, leg.ssrc, 255 << 24, 0, 0, 0, 0)
    home.network.throw((phone.address[0], 4001), phone.port + 1, report, home.now)
    home.run(0.5, silent=(4, 5, 6))
    assert bank.encoders.loss_class.tolist()[:3] == [0, 2, 0] and bank.encoders.running == 2
    listen(home, 5, 0.3)  # no packet is missing


@pytest.mark.parametrize("traits", [g722(), opus()], ids=["g722", "opus"])
def test_keys_in_the_voice_of_a_wideband_leg_are_told_once(house: Callable[..., House], traits: dict) -> None:
    home = house()
    phone = home.phone(1, room=1, connect=False, amplitude=20.0, **traits)
    home.connect(phone, telephone_event=None)
    home.run(0.5)
    rng, samples = np.random.default_rng(3), phone.sound_rate // 50
    told = ""
    for key in "159#":
        tone = keyed.tone(key, 100, rng, rate=phone.sound_rate)
        for frame in (*tone.reshape(-1, samples), *np.zeros((10, samples))):
            phone.packet(phone.payload_type, phone.payload(frame), home.now)
            phone.timestamp += phone.clock_rate // 50
            home.events.clear()
            home.tick()
            told += "".join(event.digit for event in home.of_kind(protocol.DigitReceived))
    assert told == "159#"


def tone_of(phone: Telephone, pitch: float, seconds: float) -> float:
    """Amplitude of a steady tone in what was heard last."""
    return loudness(phone.heard()[-int(seconds * rate_of(phone)) :], pitch, rate_of(phone))


def test_what_is_played_comes_at_the_best_rate_of_each_leg(house: Callable[..., House]) -> None:
    high = (6000 * np.sin(2 * np.pi * 6000 * np.arange(16000) / 16000)).astype(np.float32)
    home = house(clips=ClipLibrary({"high": (16000, high)}), opus=OpusSettings(bit_rate=64000))
    home.phone(1, room=1)
    home.phone(3, room=1, **g722())
    home.phone(4, room=1, **opus())
    for command in (protocol.PlayToRoom(1, ("high",)), protocol.PlayToLeg(1, 1, ("high",), False),
                    protocol.PlayToLeg(3, 2, ("high",), False), protocol.PlayToLeg(4, 3, ("high",), False)):
        home.run(0.3, silent=(1, 3, 4))
        home.plane.send(command)
        home.run(0.8, silent=(1, 3, 4))
        wanted = [command.leg] if isinstance(command, protocol.PlayToLeg) else [1, 3, 4]
        for number, phone in home.phones.items():
            level = tone_of(phone, 2000.0 if number == 1 else 6000.0, 0.5)  # 2000: where it would fold back to
            assert 5000 < level < 7000 if number in wanted and number != 1 else level < 30
        home.run(0.5, silent=(1, 3, 4))


def test_music_on_hold_of_a_browser_is_taken_out_of_the_room(house: Callable[..., House]) -> None:
    home = house()
    home.phone(1, room=1)
    home.phone(4, room=1, **opus(pitch=PITCHES[4]))
    home.plane.send(protocol.TreatLeg(4, True, True))
    events = home.run(10.0, silent=(1,))
    assert [(e.leg, e.reason) for e in events if isinstance(e, protocol.GuardChanged)] == [(4, "hold music")]
    home.run(0.5, silent=(1,))
    assert not home.phones[1].heard()[-3200:].any()


def test_browsers_with_open_microphones_are_silent_together(house: Callable[..., House]) -> None:
    home = house()
    for number in range(1, 9):
        home.phone(number, room=1, **opus(amplitude=25.0))
    home.run(1.0)
    (bank,) = home.plane._banks
    assert bank.encoders is not None and bank.encoders.running == 1
    assert np.abs(home.phones[3].heard()[-24000:]).max() < 3


@pytest.mark.parametrize("pace", [1.006, 0.994], ids=["slow clock", "fast clock"])
def test_clocks_that_are_wrong_are_followed_without_a_hole(house: Callable[..., House], pace: float) -> None:
    home = house(opus=OpusSettings(bit_rate=64000))
    home.phone(1, room=1)
    for number, traits in ((3, g722()), (4, opus())):
        home.phone(number, room=1, pitch=PITCHES[number], packet_ms=20 * pace, **traits)
    slips = 0
    for _ in range(6 * 50):
        home.run(0.02, silent=(1,))
        slips += sum(bank.slipper.busy for bank in home.plane._banks)
    assert slips > 10
    sound = home.phones[1].heard()[-5 * 8000 :]
    for number in (3, 4):
        turns = np.exp(-2j * np.pi * PITCHES[number] * np.arange(160) / 8000) / 80
        levels = np.abs(sound.reshape(-1, 160) @ turns)
        assert levels.min() > 0.2 * 4000 * 0.5 and levels.max() < 1.2 * 4000


def test_a_bank_that_all_have_left_rests_and_works_again_for_the_next(house: Callable[..., House]) -> None:
    home = mixed_room(house)
    home.run(1.0)
    (resting,) = [bank for bank in home.plane._banks if bank.format.encoding == "opus"]
    before, decode = resting.sender.timestamp.copy(), resting.decode
    home.plane.send(protocol.CloseLeg(4))
    del home.phones[4]
    resting.decode = None  # whoever calls it fails
    home.run(1.5)
    assert len(home.plane._banks) == 4 and len(home.plane._mixer.shares) == 3
    levels, _ = listen(home, 1, 1.0)
    assert abs(levels[2]) < 1 and abs(levels[3]) < 1 and levels[4] < OWN_DB
    assert resting.sender.timestamp[0] == before[0]
    resting.decode = decode
    home.phone(4, room=1, pitch=PITCHES[4], **opus())
    home.phones[4].frames.clear()
    home.phones[4].packets().clear()
    home.run(3.0)
    for number in PITCHES:
        levels, clean_db = listen(home, number, 1.0)
        assert clean_db > CLEAN_DB and levels.pop(number) < OWN_DB
        assert all(abs(level) < 1.0 for level in levels.values()), levels
