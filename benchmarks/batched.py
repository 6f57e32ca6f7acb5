"""recvmmsg and sendmmsg over NumPy-laid-out headers: many datagrams per system call, for load generator and floor.

Linux on 64 bits, IPv4. Nothing of the server uses this file.
"""

import ctypes
import socket

import numpy as np

IOVEC = np.dtype([("base", "u8"), ("length", "u8")])
SOCKADDR = np.dtype([("family", "<u2"), ("port", ">u2"), ("address", ">u4"), ("zero", "u8")])
MMSGHDR = np.dtype(
    [
        ("name", "u8"), ("name_length", "<u4"), ("pad0", "<u4"), ("iov", "u8"), ("iov_length", "u8"),
        ("control", "u8"), ("control_length", "u8"), ("flags", "<i4"), ("pad1", "<u4"),
        ("length", "<u4"), ("pad2", "<u4"),
    ]
)  # fmt: skip
SO_RCVBUFFORCE, SO_SNDBUFFORCE = 33, 32

_libc = ctypes.CDLL(None, use_errno=True)
for _call in (_libc.recvmmsg, _libc.sendmmsg):
    _call.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p][
        : 5 if _call is _libc.recvmmsg else 4
    ]


class Batch:
    """Room for `count` datagrams of up to `size` bytes: rows of `data`, addresses in `address`, sizes in
    `length`."""

    def __init__(self, count: int, size: int) -> None:
        self.count, self.size = count, size
        self.data = np.zeros((count, size), np.uint8)
        self.address = np.zeros(count, SOCKADDR)
        self.address["family"] = socket.AF_INET
        self._iov = np.zeros(count, IOVEC)
        self._headers = np.zeros(count, MMSGHDR)
        steps = np.arange(count, dtype=np.uint64)
        self._iov["base"] = self.data.ctypes.data + steps * size
        self._iov["length"] = size
        self._headers["name"] = self.address.ctypes.data + steps * SOCKADDR.itemsize
        self._headers["name_length"] = SOCKADDR.itemsize
        self._headers["iov"] = self._iov.ctypes.data + steps * IOVEC.itemsize
        self._headers["iov_length"] = 1
        self._pointer = self._headers.ctypes.data
        self.length = self._headers["length"]
        self.send_length = self._iov["length"]

    def receive(self, descriptor: int) -> int:
        """Take what waits on a socket, at most `count` datagrams; their number."""
        return max(0, _libc.recvmmsg(descriptor, self._pointer, self.count, socket.MSG_DONTWAIT, None))

    def send(self, descriptor: int, count: int) -> int:
        """Send the first `count` rows to their addresses; how many the kernel took."""
        done = taken = 0
        while done < count:
            sent = _libc.sendmmsg(descriptor, self._pointer + done * MMSGHDR.itemsize, count - done, 0)
            taken += max(0, sent)
            done += max(1, sent)  # one that fails is left out
        return taken


def open_socket(address: str, port: int = 0, buffer_bytes: int = 8 << 20) -> socket.socket:
    """A bound, non-blocking UDP socket with buffers as large as the system gives."""
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for forced, asked in ((SO_RCVBUFFORCE, socket.SO_RCVBUF), (SO_SNDBUFFORCE, socket.SO_SNDBUF)):
        try:
            opened.setsockopt(socket.SOL_SOCKET, forced, buffer_bytes)
        except PermissionError:
            opened.setsockopt(socket.SOL_SOCKET, asked, buffer_bytes)
    opened.bind((address, port))
    opened.setblocking(False)
    return opened
