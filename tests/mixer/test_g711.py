"""G.711 tables against the recommendation written out sample by sample, and codecs on whole banks."""

import numpy as np
import pytest

from sipconf.errors import MisuseError
from sipconf.mixer.codecs import g711, limiter
from sipconf.mixer.codecs.catalogue import NAMES, codec
from sipconf.mixer.frame import db_to_power


def mu_law(sample: int) -> int:
    """ITU-T G.711 table 2: sign, three bits of segment, four of step, all inverted on the line."""
    sign = 0x80 if sample < 0 else 0
    magnitude = min(abs(sample), 32635) + 132
    segment = 7
    while segment and not magnitude & (0x80 << segment):
        segment -= 1
    return ~(sign | segment << 4 | magnitude >> (segment + 3) & 15) & 0xFF


def a_law(sample: int) -> int:
    """ITU-T G.711 table 1, even bits inverted on the line."""
    sign = 0x80 if sample >= 0 else 0
    magnitude = (sample if sample >= 0 else -sample - 1) >> 4
    segment = 0
    while magnitude > 31:
        magnitude >>= 1
        segment += 1
    if magnitude > 15:
        segment += 1
        magnitude -= 16
    return (sign | segment << 4 | magnitude) ^ 0x55


@pytest.mark.parametrize(("table", "formula"), [(g711.mu_law_codes, mu_law), (g711.a_law_codes, a_law)])
def test_every_int16_is_encoded_as_the_formula_says(table, formula):
    assert table().tolist() == [formula(sample) for sample in range(-32768, 32768)]


@pytest.mark.parametrize(
    ("values", "codes", "loudest", "exceptions"),
    [(g711.mu_law_values, g711.mu_law_codes, 32124, [0x7F]), (g711.a_law_values, g711.a_law_codes, 32256, [])],
)
def test_values_are_the_middle_of_their_steps(values, codes, loudest, exceptions):
    values, codes = values(), codes()
    assert values.max() == loudest == -values.min()
    back = codes[values.astype(int) + 32768]
    # Only mu-law's minus zero comes back as plus zero.
    assert np.flatnonzero(back != np.arange(256)).tolist() == exceptions


@pytest.mark.parametrize("encoding", ["PCMU", "PCMA"])
def test_one_talker_of_any_code_passes_unchanged(encoding):
    bank = codec(encoding, 8000)
    codes = np.random.default_rng(1).integers(0, 256, (600, 160), dtype=np.uint8)
    pcm = np.empty((600, 160), np.float32)
    bank.decode(codes, pcm)
    values = g711.mu_law_values() if encoding == "PCMU" else g711.a_law_values()
    twin = np.array([[values[code] for code in row] for row in codes[:3]])
    assert np.array_equal(pcm[:3], twin)
    out = np.empty_like(codes)
    bank.encode(pcm, out)
    if encoding == "PCMU":
        codes[codes == 0x7F] = 0xFF
    assert np.array_equal(out, codes)


@pytest.mark.parametrize(("encoding", "rate"), NAMES)
def test_sums_of_any_size_are_limited_not_wrapped(encoding, rate):
    bank = codec(encoding, rate)
    pcm = np.tile(np.float32([-7e7, -200000, -40000, -30000, 30000, 40000, 200000, 7e7]), (300, bank.samples // 8))
    packets = np.zeros((300, 12 + bank.frame_bytes), np.uint8)
    bank.encode(pcm, packets[:, 12:])  # straight into packets, whose rows are longer
    back = np.empty_like(pcm)
    bank.decode(packets[:, 12:], back)
    assert (np.sign(back) == np.sign(pcm)).all()
    assert (np.diff(back[0, :8]) >= 0).all()
    assert np.abs(back).max() >= 31000
    assert not packets[:, :12].any()


@pytest.mark.parametrize(("encoding", "rate"), NAMES)
def test_the_silence_byte_is_silence(encoding, rate):
    bank = codec(encoding, rate)
    pcm = np.empty((2, bank.samples), np.float32)
    bank.decode(np.full((2, bank.frame_bytes), bank.silence, np.uint8), pcm)
    assert (pcm**2).mean() <= db_to_power(-72)


def test_l16_is_exact_below_the_knee():
    bank = codec("L16", 16000)
    pcm = np.random.default_rng(2).integers(-30000, 30001, (70, 320)).astype(np.float32)
    out, back = np.empty((70, 640), np.uint8), np.empty_like(pcm)
    bank.encode(pcm, out)
    assert int.from_bytes(out[0, :2].tobytes(), "big", signed=True) == pcm[0, 0]
    bank.decode(out, back)
    assert np.array_equal(back, pcm)


def test_fractions_are_rounded_to_the_nearest_sample():
    bank = codec("L16", 8000)
    pcm = np.tile(np.float32([10.6, -10.6, 10.4, -10.4]), (1, 40))
    out, back = np.empty((1, 320), np.uint8), np.empty_like(pcm)
    bank.encode(pcm, out)
    bank.decode(out, back)
    assert back[0, :4].tolist() == [11, -11, 10, -10]


@pytest.mark.parametrize("encoding", ["PCMU", "PCMA"])
def test_decision_values_are_those_of_the_law_for_fractions_too(encoding):
    """Both laws decide at multiples of 4 at int16 scale (a quarter of mu-law's unit of 14 bits), for either sign."""
    bank = codec(encoding, 8000)
    begins = np.random.default_rng(3).integers(0, 29_999 // 4, (160,)) * 4
    begins[:20] = np.arange(20) * 4  # the finest steps
    for sign in (1, -1):
        pcm = sign * (begins[None, :] + np.array([0.01, 1, 2.5, 3.6, 3.99])[:, None]).astype(np.float32)
        out = np.empty(pcm.shape, np.uint8)
        bank.encode(pcm, out)
        assert (out == out[0]).all()


def test_the_limiter_is_odd_and_never_falls():
    samples = np.linspace(-200000, 200000, 4001)
    bent = limiter.soft_limit(samples)
    assert (np.diff(bent) >= 0).all() and np.allclose(bent, -bent[::-1])
    assert np.array_equal(bent[np.abs(samples) <= limiter.KNEE], samples[np.abs(samples) <= limiter.KNEE])
    assert np.abs(bent).max() <= limiter.CEILING


def test_unknown_codecs_are_our_own_mistake():
    with pytest.raises(MisuseError):
        codec("PCMU", 16000)
