"""The Opus library: found or missed with a clear word, and what its encoders and decoders promise."""

import importlib.util
from ctypes import util

import numpy as np
import pytest

from sipconf.errors import MisuseError, StartError
from sipconf.mixer.codecs import libopus
from sipconf.mixer.codecs.g722 import G722, G722Decoder
from sipconf.mixer.codecs.opus import MOST_BYTES, Opus, OpusDecoder, OpusEncoder, OpusSettings
from tests.mixer.tones import modulated_tone, tone_level_db


def test_a_server_without_the_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(util, "find_library", lambda name: "/no/such/libopus.so")
    with pytest.raises(StartError, match="libopus0"):
        libopus.library.__wrapped__()


def test_the_library_is_found_without_importing_pyav() -> None:
    assert b"libopus" in libopus.library().opus_get_version_string()


def test_settings_that_the_library_does_not_take_are_refused() -> None:
    with pytest.raises(MisuseError):
        OpusEncoder(OpusSettings(complexity=11))


def test_a_decoder_that_lacks_room_has_not_moved() -> None:
    codec, decoder, twin = Opus(OpusSettings()), OpusDecoder(), OpusDecoder()
    tone = modulated_tone(800, 48000, 0.1)
    packet, length = np.zeros((1, MOST_BYTES), np.uint8), np.zeros(1, np.int64)
    out, other = np.zeros((2, 960), np.float32)
    encoder = codec.encoder(0)
    for frame in tone.reshape(5, 960):
        codec.encode([encoder], frame[None].copy(), packet, length)
        assert decoder.decode(packet.ctypes.data, int(length[0]), out.ctypes.data, 480) == 0
        assert decoder.decode(packet.ctypes.data, int(length[0]), out.ctypes.data, 960) == 960
        assert twin.decode(packet.ctypes.data, int(length[0]), other.ctypes.data, 960) == 960
        assert np.array_equal(out, other)


def test_g722_carries_seven_kilohertz() -> None:
    codec, decoder = G722(), G722Decoder()
    tone = modulated_tone(6500, 16000, 1.0)
    codes, lengths, heard = np.zeros((1, codec.frame_bytes), np.uint8), np.zeros(1, np.int64), np.zeros_like(tone)
    encoder = codec.encoder(0)
    for frame, out in zip(tone.reshape(50, 320), heard.reshape(50, 320), strict=True):
        codec.encode([encoder], frame[None].copy(), codes, lengths)
        decoder.decode(codes[0], out)
    assert lengths[0] == 160
    assert tone_level_db(heard[3200:], 6500, 16000) == pytest.approx(-20, abs=0.7)


def test_a_refresh_waits_for_a_packet_that_is_sent() -> None:
    codec = Opus(OpusSettings(dtx=True))
    encoder = codec.encoder(0)
    packets, lengths = np.zeros((1, 1275), np.uint8), np.zeros(1, np.int64)

    def encode(sound: np.ndarray) -> int:
        codec.encode([encoder], sound.astype(np.float32)[None].copy(), packets, lengths)
        return int(lengths[0])

    while encode(np.zeros(960)):
        pass
    encoder.refresh()
    assert not encode(np.zeros(960))
    tone = 6000 * np.sin(2 * np.pi * 440 * np.arange(960) / 48000)
    before = encoder.copy()
    assert encode(tone)
    refreshed = packets[0, : lengths[0]].tobytes()
    encoder = before
    encoder.refresh()
    assert encode(tone) and packets[0, : lengths[0]].tobytes() == refreshed
