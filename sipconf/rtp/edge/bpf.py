"""Programs that the kernel runs for us: bpf(2) through ctypes, and as much of its assembler as is needed here.

A program is a list of instructions and labels, laid out by `assemble` (RFC 9669). All of it needs CAP_BPF and
CAP_NET_ADMIN, and is refused with OSError without them. Not here: what a program does (steering).
"""

import ctypes
import os
import platform
import struct
from collections.abc import Sequence

_NUMBERS = {"x86_64": 321, "aarch64": 280}
_MAP_CREATE, _MAP_UPDATE, _MAP_DELETE, _PROGRAM_LOAD, _LINK_CREATE = 0, 2, 3, 5, 28
HASH, SOCKETS = 1, 15
"""Kinds of maps: BPF_MAP_TYPE_HASH and BPF_MAP_TYPE_SOCKMAP."""
SK_LOOKUP_PROGRAM, SK_LOOKUP = 30, 36
"""A program that chooses the socket a packet goes to, and the place where it is attached."""
MAP_LOOKUP, SK_RELEASE, SK_ASSIGN = 1, 86, 124
"""Functions of the kernel that a program may call."""
_ATTRIBUTE_BYTES = 128
_LICENSE = b"MIT"
_LOG_BYTES = 16_384

_libc = ctypes.CDLL(None, use_errno=True)


class Label:
    """A place in a program, named once where it is and by every jump to it."""


class Instruction:
    """One instruction, or the wide one that loads 64 bits. jump: where to, for those that jump."""

    def __init__(
        self, code: int, to: int = 0, source: int = 0, offset: int = 0, value: int = 0, jump: Label | None = None
    ) -> None:
        self.code, self.to, self.source, self.offset, self.value, self.jump = code, to, source, offset, value, jump

    @property
    def slots(self) -> int:
        """How many places of eight octets it takes."""
        return 2 if self.code == _LOAD_WIDE else 1

    def laid_out(self, offset: int) -> bytes:
        """Its octets, with an offset that is known by now."""
        words = struct.pack("=BBhi", self.code, self.source << 4 | self.to, offset, self.value)
        return words + bytes(8) if self.slots == 2 else words


_LOAD_WIDE = 0x18
_MAP_BY_FILE = 1


def load(to: int, source: int, offset: int, octets: int = 4) -> Instruction:
    """Register to = memory at register source + offset."""
    return Instruction({2: 0x69, 4: 0x61}[octets], to, source, offset)


def store(to: int, offset: int, source: int) -> Instruction:
    """Four octets at register to + offset = register source."""
    return Instruction(0x63, to, source, offset)


def store_value(to: int, offset: int, value: int) -> Instruction:
    """Four octets at register to + offset = a number."""
    return Instruction(0x62, to, 0, offset, value)


def copy(to: int, source: int) -> Instruction:
    """Register to = register source."""
    return Instruction(0xBF, to, source)


def put(to: int, value: int) -> Instruction:
    """Register to = a number."""
    return Instruction(0xB7, to, value=value)


def add(to: int, value: int) -> Instruction:
    """Register to += a number."""
    return Instruction(0x07, to, value=value)


def load_map(to: int, map_fd: int) -> Instruction:
    """Register to = a map."""
    return Instruction(_LOAD_WIDE, to, _MAP_BY_FILE, value=map_fd)


def call(function: int) -> Instruction:
    """Call a function of the kernel: arguments in registers 1 to 5, answer in 0."""
    return Instruction(0x85, value=function)


def jump_if(to: int, relation: str, value: int, label: Label) -> Instruction:
    """Go to the label if register to stands in that relation to a number: "==", "!=", "<" or ">", unsigned."""
    return Instruction({"==": 0x15, "!=": 0x55, "<": 0xA5, ">": 0x25}[relation], to, value=value, jump=label)


def jump(label: Label) -> Instruction:
    """Go to the label."""
    return Instruction(0x05, jump=label)


def leave() -> Instruction:
    """End with the answer in register 0."""
    return Instruction(0x95)


def assemble(program: Sequence[Instruction | Label]) -> bytes:
    """The octets of a program, in which every label stands once."""
    places: dict[Label, int] = {}
    place = 0
    for part in program:
        if isinstance(part, Label):
            places[part] = place
        else:
            place += part.slots
    octets = b""
    for part in program:
        if isinstance(part, Instruction):
            behind = len(octets) // 8 + part.slots
            octets += part.laid_out(part.offset if part.jump is None else places[part.jump] - behind)
    return octets


class Map:
    """A table that programs of the kernel and this process share. Raises OSError."""

    def __init__(self, kind: int, key_bytes: int, value_bytes: int, entries: int) -> None:
        self.fd = _bpf(_MAP_CREATE, struct.pack("=IIIII", kind, key_bytes, value_bytes, entries, 0))

    def put(self, key: bytes, value: bytes) -> None:
        """Set an entry. Raises OSError when the map is full."""
        kept = ctypes.create_string_buffer(key), ctypes.create_string_buffer(value)
        _bpf(_MAP_UPDATE, struct.pack("=IIQQQ", self.fd, 0, *map(ctypes.addressof, kept), 0))

    def remove(self, key: bytes) -> None:
        """Take an entry out. Raises OSError when there is none."""
        kept = ctypes.create_string_buffer(key)
        _bpf(_MAP_DELETE, struct.pack("=IIQQQ", self.fd, 0, ctypes.addressof(kept), 0, 0))

    def close(self) -> None:
        """Let go of it; programs that use it keep it."""
        os.close(self.fd)


def attach_to_network(octets: bytes, name: bytes) -> int:
    """Let the network that this process is in ask this program for every packet whose socket it looks for.

    The file whose closing ends that. Raises OSError, with what the kernel has against the program."""
    kept = ctypes.create_string_buffer(octets), ctypes.create_string_buffer(_LICENSE)
    complaint = ctypes.create_string_buffer(_LOG_BYTES)
    attributes = struct.pack(
        "=IIQQIIQII16sII", SK_LOOKUP_PROGRAM, len(octets) // 8, *map(ctypes.addressof, kept), 1, _LOG_BYTES,
        ctypes.addressof(complaint), 0, 0, name, 0, SK_LOOKUP,
    )  # fmt: skip
    try:
        program = _bpf(_PROGRAM_LOAD, attributes)
    except OSError as error:
        said = complaint.value.decode(errors="replace").strip()
        raise OSError(error.errno, f"{error.strerror}: {said}" if said else error.strerror) from None
    network = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        return _bpf(_LINK_CREATE, struct.pack("=IIII", program, network, SK_LOOKUP, 0))
    finally:
        os.close(network)
        os.close(program)


def _bpf(command: int, attributes: bytes) -> int:
    number = _NUMBERS.get(platform.machine())
    if number is None:
        raise OSError(f"no system call number for {platform.machine()}")
    buffer = ctypes.create_string_buffer(attributes, _ATTRIBUTE_BYTES)
    answer = _libc.syscall(number, command, buffer, _ATTRIBUTE_BYTES)
    if answer < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return answer
