"""WAV files to and from samples, and the folders of sounds: the built-in ones, and an admin's that replace them by
name.

Reads PCM of 8, 16, 24 and 32 bits and 32-bit float, any rate, any number of channels (mixed to one), in plain or
extensible RIFF headers. Playing the clips is in `prompts`.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sipconf.errors import MisuseError, StartError
from sipconf.mixer.frame import RATES, Pcm
from sipconf.mixer.resample import convert

SOUNDS = Path(__file__).resolve().parents[2] / "sounds"
MAX_FILE_BYTES = 64 << 20
PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE


@dataclass(frozen=True, slots=True)
class Sounds:
    """clips: name -> (rate, float32 samples at int16 scale). unknown: WAV files of the admin's that replace
    nothing."""

    clips: dict[str, tuple[int, Pcm]]
    unknown: tuple[str, ...]


def load_sounds(folder: Path | None = None) -> Sounds:
    """The built-in sounds, those replaced of which the folder has a NAME.wav. StartError names a bad file or
    folder."""
    built_in = {path.stem: path for path in sorted(SOUNDS.glob("*.wav"))}
    unknown: list[str] = []
    files = dict(built_in)
    if folder is not None:
        if not folder.is_dir():
            raise StartError(f"{folder}: there is no such folder of sounds")
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() != ".wav":
                continue
            if path.stem in built_in:
                files[path.stem] = path
            else:
                unknown.append(path.name)
    clips = {name: read_wav(path) for name, path in files.items()}
    for name, (rate, pcm) in clips.items():
        try:
            # What the mixer has no rate for is brought to 48 kHz once, here, so that a bad rate is known at the
            # start.
            clips[name] = (rate, pcm) if rate in RATES else (48000, convert(pcm, rate, 48000))
        except MisuseError as error:
            raise StartError(f"{files[name]}: {error}") from error
    return Sounds(clips, tuple(unknown))


def read_wav(path: Path) -> tuple[int, Pcm]:
    """(rate, float32 (samples,) at int16 scale, channels averaged). StartError with the file's name and what is
    wrong."""
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise StartError(f"{path}: {size} bytes; a sound may have {MAX_FILE_BYTES}")
        data = path.read_bytes()
    except OSError as error:
        raise StartError(f"{path}: {error.strerror}") from error
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise StartError(f"{path}: not a WAV file")
    chunks = _chunks(data)
    if len(chunks.get(b"fmt ", b"")) < 16 or b"data" not in chunks:
        raise StartError(f"{path}: the WAV file has no format or no samples")
    header = chunks[b"fmt "]
    kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", header)
    if kind == EXTENSIBLE and len(header) >= 26:
        kind = struct.unpack_from("<H", header, 24)[0]
    if not channels or not rate:
        raise StartError(f"{path}: the WAV file's header is damaged")
    samples = _samples(chunks[b"data"], kind, bits)
    if samples is None:
        raise StartError(f"{path}: format {kind} of {bits} bits; PCM of 8, 16, 24 or 32 bits is read")
    whole = samples[: len(samples) // channels * channels].reshape(-1, channels)
    if not len(whole):
        raise StartError(f"{path}: the WAV file is empty")
    return rate, np.ascontiguousarray(whole.mean(axis=1), np.float32)


def write_wav(path: Path, pcm: Pcm, rate: int) -> None:
    """pcm (samples,) at int16 scale as 16-bit mono, rounded and cut off at full scale."""
    data = np.clip(np.rint(pcm), -32768, 32767).astype("<i2").tobytes()
    form = struct.pack("<HHIIHH", PCM, 1, rate, 2 * rate, 2, 16)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(data)) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)


def _chunks(data: bytes) -> dict[bytes, bytes]:
    """The first chunk of each name; one that claims more than there is gets what there is."""
    chunks: dict[bytes, bytes] = {}
    at = 12
    while at + 8 <= len(data):
        name, size = data[at : at + 4], struct.unpack_from("<I", data, at + 4)[0]
        chunks.setdefault(name, data[at + 8 : at + 8 + size])
        at += 8 + size + size % 2
    return chunks


def _samples(data: bytes, kind: int, bits: int) -> Pcm | None:
    """All channels interleaved, float32 at int16 scale; None for a format that is not read."""
    width = bits // 8
    data = data[: len(data) // width * width] if width else b""
    if (kind, bits) == (PCM, 8):
        return (np.frombuffer(data, np.uint8).astype(np.float32) - 128) * 256
    if (kind, bits) == (PCM, 16):
        return np.frombuffer(data, "<i2").astype(np.float32)
    if (kind, bits) == (PCM, 24):
        wide = np.zeros((len(data) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        return (wide.view("<i4")[:, 0] / 65536).astype(np.float32)
    if (kind, bits) == (PCM, 32):
        return (np.frombuffer(data, "<i4") / 65536).astype(np.float32)
    if (kind, bits) == (FLOAT, 32):
        return np.nan_to_num(np.frombuffer(data, "<f4")) * np.float32(32768)
    return None
