"""Playing clips to rows and to rooms, and the sounds that ship with the server."""

import tomllib
from collections import Counter

import numpy as np
import pytest

from sipconf.errors import MisuseError, StartError
from sipconf.mixer.edge.wavfile import SOUNDS, load_sounds, read_wav, write_wav
from sipconf.mixer.legs import MixBank
from sipconf.mixer.mix import Mixer
from sipconf.mixer.prompts import ClipLibrary, Player, RoomPlayer
from tests.mixer.tones import modulated_tone, tone_level_db

CLIPS = """enter-code wrong-code goodbye too-many-tries wait-for-administrator administrator-left conference-ended
only-person locked full not-available muted unmuted kicked welcome join-tone leave-tone music""".split()


def library():
    random = np.random.default_rng(4)
    sizes = {"a": 500, "b": 160, "c": 37, "d": 1000, "none": 0}
    return ClipLibrary({n: (8000, random.integers(1, 9000, s).astype(np.float32)) for n, s in sizes.items()})


def listen(player, rows, frames):
    heard, ended = np.zeros((rows, frames * 160), np.float32), {}
    for frame in range(frames):
        out = np.zeros((rows, 160), np.float32)
        player.add(out)
        heard[:, frame * 160 : (frame + 1) * 160] = out
        ended |= {key: frame for key in player.take_finished()}
    return heard, ended


def test_sequences_play_end_to_end_and_end_at_the_next_frame():
    store = library().store(8000)
    clip = {name: store.pcm[slice(*store.span(name))] for name in "abcd"}
    player = Player(store)
    player.play(0, 1, ("a", "b", "c"), False)
    player.play(2, 2, ("b",), False)
    player.play(3, 3, ("c", "a"), True)
    heard, ended = listen(player, 4, 8)
    whole = np.concatenate([clip["a"], clip["b"], clip["c"]])
    assert np.array_equal(heard[0, : len(whole)], whole) and not heard[0, len(whole) :].any()
    assert np.array_equal(heard[2, :160], clip["b"]) and not heard[2, 160:].any()
    assert not heard[1].any()
    assert np.array_equal(heard[3], np.tile(np.concatenate([clip["c"], clip["a"]]), 4)[: 8 * 160])
    assert ended == {(0, 1): 5, (2, 2): 1}  # 697 samples end in frame 4, 160 in frame 0


def test_stop_fades_over_one_frame_and_reports_nothing():
    store = library().store(8000)
    player = Player(store)
    player.play(0, 1, ("d",), True)
    player.play(1, 2, ("d",), False)
    listen(player, 2, 2)
    player.stop(0)
    heard, ended = listen(player, 2, 6)
    start = store.span("d")[0] + 320
    assert np.allclose(heard[0, :160], store.pcm[start : start + 160] * (1 - np.arange(1, 161) / 160), atol=0.01)
    assert not heard[0, 160:].any()
    assert set(ended) == {(1, 2)}


def test_a_new_playback_replaces_and_a_removed_row_is_forgotten():
    player = Player(library().store(8000))
    player.play(0, 1, ("d",), True)
    listen(player, 1, 1)
    player.play(0, 2, ("b",), False)
    assert listen(player, 1, 3)[1] == {(0, 2): 1}
    player.play(0, 3, ("b",), False)
    player.remove(0)
    heard, ended = listen(player, 1, 3)
    assert not heard.any() and not ended
    player.play(0, 4, ("none",), True)
    assert player.take_finished() == [(0, 4)]
    with pytest.raises(MisuseError):
        player.play(0, 5, ("nothing-of-the-kind",), False)


def test_many_rows_play_as_each_alone():
    random = np.random.default_rng(9)
    store = library().store(8000)
    orders = [tuple(random.choice(list("abcd"), random.integers(1, 4))) for _ in range(40)]
    player = Player(store)
    for row, order in enumerate(orders):
        player.play(row, row, order, False)
    heard, ended = listen(player, 40, 22)
    for row, order in enumerate(orders):
        alone = Player(store)
        alone.play(0, row, order, False)
        mine, end = listen(alone, 1, 22)
        assert np.array_equal(heard[row], mine[0]) and ended[row, row] == end[0, row]


def test_rooms_hear_their_clips_once_at_every_rate():
    tone = modulated_tone(600, 16000, 0.5)
    clips = ClipLibrary({"tone": (16000, tone), "beep": (16000, tone[:1600])})
    rooms = RoomPlayer(clips)
    mixer, banks = Mixer(rooms), []
    for rate in (8000, 16000, 48000):
        bank = MixBank(rate)
        for row, room in enumerate((1, 2)):
            bank.add(row)
            bank.place(row, room)
        banks.append(bank)
        mixer.add_bank(bank)
    heard = {bank.clock_rate: [] for bank in banks}
    for frame in range(50):
        if frame == 1:
            rooms.play(1, ("tone", "beep"))
            rooms.play(99, ("tone",))  # a room with nobody in it
        silence = [np.zeros((2, bank.samples), np.float32) for bank in banks]
        for bank, out in zip(banks, mixer.mix(silence), strict=True):
            heard[bank.clock_rate].append(out.copy())
    for rate, blocks in heard.items():
        sound = np.concatenate(blocks, axis=1)
        assert not sound[1].any()
        assert tone_level_db(sound[0, rate // 50 : rate // 50 * 26], 600, rate) == pytest.approx(-20, abs=0.5)
        assert sound[0, rate // 50 * 26 : rate // 50 * 31].any()
        assert not sound[0, rate // 50 * 31 :].any()


def test_the_folder_has_exactly_the_clips_that_conferences_name():
    texts = tomllib.loads((SOUNDS / "prompts.toml").read_text())["speech"]
    assert set(texts) == set(CLIPS) - {"join-tone", "leave-tone", "music"}
    assert Counter(path.stem for path in SOUNDS.glob("*.wav")) == Counter(CLIPS)


@pytest.mark.parametrize("name", CLIPS)
def test_every_clip_is_trimmed_and_level_matched(name):
    rate, pcm = read_wav(SOUNDS / f"{name}.wav")
    assert rate == 16000
    levels = 10 * np.log10((pcm[: len(pcm) // 160 * 160].reshape(-1, 160) ** 2).mean(axis=1) / 32768**2 + 1e-12)
    if name == "music":
        assert 20 <= len(pcm) / rate <= 40
        assert 10 * np.log10((pcm**2).mean() / 32768**2) == pytest.approx(-30, abs=1)
        seam = np.abs(np.diff(np.concatenate([pcm[-400:], pcm[:400]]), 2))[398:401].max()
        assert seam <= np.percentile(np.abs(np.diff(pcm, 2)), 99.9)
        return
    assert np.abs(pcm).max() < 32768 * 10 ** (-3 / 20)
    loud = np.flatnonzero(levels > levels.max() - 40)
    assert loud[0] < 5 and len(levels) - 1 - loud[-1] < 5
    assert np.abs(pcm[[0, -1]]).max() < 200
    if name.endswith("tone"):
        assert len(pcm) / rate < 0.4
        return
    assert 0.4 < len(pcm) / rate < 8
    frames = 10 * np.log10((pcm[: len(pcm) // 320 * 320].reshape(-1, 320) ** 2).mean(axis=1) / 32768**2 + 1e-12)
    active = frames[frames > frames.max() - 25]
    assert 10 * np.log10(np.mean(10 ** (active / 10))) == pytest.approx(-20, abs=1)


def riff(kind, channels, rate, bits, data, extensible=False):
    frame = channels * bits // 8
    rest = np.array([rate, rate * frame], "<u4").tobytes() + np.array([frame, bits], "<u2").tobytes()
    form = np.array([0xFFFE if extensible else kind, channels], "<u2").tobytes() + rest
    if extensible:
        form += np.array([22, bits, 0, 0, kind], "<u2").tobytes() + bytes(14)
    body = b"WAVELIST" + np.uint32(3).tobytes() + b"odd\0fmt " + np.uint32(len(form)).tobytes() + form
    body += b"data" + np.uint32(len(data)).tobytes() + data
    return b"RIFF" + np.uint32(len(body)).tobytes() + body


KINDS = [(8, 1, False), (16, 2, False), (24, 2, True), (32, 1, True)]


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize(("bits", "channels", "extensible"), KINDS)
def test_an_admins_file_of_any_kind_replaces_a_clip(tmp_path, rate, bits, channels, extensible):
    tone = np.repeat(modulated_tone(900, rate, 1.0)[:, None] / 32768, channels, axis=1)
    whole = np.rint(tone * 2 ** (bits - 1)).astype(np.int64).ravel()
    if bits == 8:
        data = (whole + 128).astype(np.uint8).tobytes()
    else:
        data = whole.astype("<i8").view(np.uint8).reshape(-1, 8)[:, : bits // 8].tobytes()
    (tmp_path / "welcome.wav").write_bytes(riff(1, channels, rate, bits, data, extensible))
    (tmp_path / "strange.wav").write_bytes(b"not even read")
    (tmp_path / "notes.txt").write_text("nor this")
    sounds = load_sounds(tmp_path)
    assert sounds.unknown == ("strange.wav",) and set(sounds.clips) == set(CLIPS)
    clips = ClipLibrary(sounds.clips)
    for target in (8000, 48000):
        store = clips.store(target)
        begin, end = store.span("welcome")
        assert end - begin == pytest.approx(target, abs=2)
        assert tone_level_db(store.pcm[begin:end], 900, target) == pytest.approx(-20, abs=0.5)


BAD_FILES = [
    b"",
    b"RIFF....WAVE",
    riff(1, 1, 8000, 12, b"1234"),
    riff(7, 1, 8000, 8, b"1234"),
    riff(1, 0, 8000, 16, b"1234"),
    riff(1, 1, 8000, 16, b""),
    riff(1, 1, 8001, 16, bytes(800)),
]


@pytest.mark.parametrize("data", BAD_FILES)
def test_a_bad_file_is_named(tmp_path, data):
    (tmp_path / "goodbye.wav").write_bytes(data)
    with pytest.raises(StartError, match=r"goodbye\.wav"):
        load_sounds(tmp_path)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(StartError, match="nowhere"):
        load_sounds(tmp_path / "nowhere")


def test_what_is_written_is_read(tmp_path):
    pcm = np.float32([0, 1.4, -1.6, 40000, -40000, 7])
    write_wav(tmp_path / "x.wav", pcm, 16000)
    rate, back = read_wav(tmp_path / "x.wav")
    assert rate == 16000 and back.tolist() == [0, 1, -2, 32767, -32768, 7]
