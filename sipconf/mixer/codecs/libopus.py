"""The Opus library (libopus, RFC 6716) by its C interface: where it is, and the few functions that are called.

The library that ships inside PyAV's wheel is used without importing PyAV, else the system's own. Calls let go of the
interpreter's lock. Not here: what encoders and decoders are made of (opus).
"""

import ctypes
import importlib.util
from collections.abc import Iterator
from ctypes import c_char_p, c_int, c_int32, c_void_p
from functools import cache
from pathlib import Path

from sipconf.errors import StartError

BUNDLED = (("..", "av.libs", "libopus-*.so*"), (".dylibs", "libopus*.dylib"))
"""Where PyAV's wheels keep it, seen from the package: on Linux, on macOS."""

_NAMES = {
    "opus_get_version_string": (c_char_p, ()),
    "opus_encoder_get_size": (c_int, (c_int,)),
    "opus_encoder_init": (c_int, (c_void_p, c_int32, c_int, c_int)),
    "opus_encode_float": (c_int32, (c_void_p, c_void_p, c_int, c_void_p, c_int32)),
    "opus_encoder_ctl": (c_int, (c_void_p, c_int)),  # and one more: it is variadic
    "opus_decoder_get_size": (c_int, (c_int,)),
    "opus_decoder_init": (c_int, (c_void_p, c_int32, c_int)),
    "opus_decode_float": (c_int, (c_void_p, c_void_p, c_int32, c_void_p, c_int, c_int)),
}


def _places() -> Iterator[str]:
    """File names to try, in order."""
    package = importlib.util.find_spec("av")
    if package is not None and package.origin is not None:
        home = Path(package.origin).parent
        for *folders, pattern in BUNDLED:
            yield from map(str, sorted(home.joinpath(*folders).glob(pattern)))
    from ctypes.util import find_library  # it brings half of the standard library along

    system = find_library("opus")
    if system is not None:
        yield system


@cache
def library() -> ctypes.CDLL:
    """The library, opened once, its functions declared. StartError where there is none."""
    for place in _places():
        try:
            opened = ctypes.CDLL(place)
            for name, (result, arguments) in _NAMES.items():
                function = getattr(opened, name)
                function.restype, function.argtypes = result, arguments
        except (OSError, AttributeError):
            continue
        return opened
    raise StartError("no Opus library: PyAV's package has none inside and the system has no libopus; install libopus0")
