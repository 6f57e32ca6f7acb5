"""Reads and writes on many sockets with one system call: Linux AIO (io_submit) through ctypes.

On a non-blocking socket an AIO request is carried out at once, so io_submit serves as a plain batch of calls: its
results are there when it returns. A kernel or container that refuses it is answered with OSError from the constructor;
`ports` then makes its calls one by one. Not here: which sockets, and what the packets are.
"""

import ctypes
import os
import platform

import numpy as np
from numpy.typing import NDArray

CHUNK = 1024
"""Requests of one submission; a context's size counts against the system-wide fs.aio-max-nr."""
_NUMBERS = {"x86_64": (206, 208, 209, 207), "aarch64": (0, 4, 2, 1)}
"""System call numbers of io_setup, io_getevents, io_submit, io_destroy."""
_READ, _WRITE = 0, 1

REQUEST = np.dtype(
    [
        ("data", "u8"), ("key", "<u4"), ("flags", "<i4"), ("opcode", "<u2"), ("priority", "<i2"), ("fd", "<u4"),
        ("buffer", "u8"), ("bytes", "u8"), ("offset", "<i8"), ("reserved", "u8"), ("more", "<u4"), ("event", "<u4"),
    ]
)  # fmt: skip
RESULT = np.dtype([("data", "u8"), ("request", "u8"), ("result", "<i8"), ("result2", "<i8")])


class Requests:
    """Prepared reads or writes, one per socket: may be carried out again and again."""

    def __init__(self, fds: NDArray[np.int64], buffers: NDArray[np.uint64], sizes: int | NDArray[np.int64]) -> None:
        self._requests = np.zeros(len(fds), REQUEST)
        self._requests["fd"] = fds
        self._requests["buffer"] = buffers
        self._requests["bytes"] = sizes
        self._requests["data"] = np.arange(len(fds))
        self._addresses = self._requests.ctypes.data + np.arange(len(fds), dtype=np.uint64) * REQUEST.itemsize

    def __len__(self) -> int:
        return len(self._requests)

    def reading(self) -> "Requests":
        """The same requests as reads."""
        self._requests["opcode"] = _READ
        return self

    def writing(self) -> "Requests":
        """The same requests as writes."""
        self._requests["opcode"] = _WRITE
        return self

    def retarget(self, buffers: NDArray[np.uint64]) -> None:
        """Other buffers for the same sockets."""
        self._requests["buffer"] = buffers

    def pointers(self, which: NDArray[np.intp] | None) -> NDArray[np.uint64]:
        """Addresses of the chosen requests, all when None."""
        return self._addresses if which is None else self._addresses[which]


class BatchCalls:
    """One AIO context. Raises OSError where the system has none to give."""

    def __init__(self) -> None:
        if platform.machine() not in _NUMBERS:
            raise OSError(f"no system call numbers for {platform.machine()}")
        self._setup, self._getevents, self._submit, self._destroy = _NUMBERS[platform.machine()]
        self._call = ctypes.CDLL(None, use_errno=True).syscall
        self._call.restype = ctypes.c_long
        context = ctypes.c_ulong(0)
        self._checked(self._call(ctypes.c_long(self._setup), ctypes.c_long(CHUNK), ctypes.byref(context)))
        self._context = context
        self._results = np.zeros(CHUNK, RESULT)

    def close(self) -> None:
        """Give the context back."""
        self._checked(self._call(ctypes.c_long(self._destroy), self._context))

    def carry_out(self, requests: Requests, which: NDArray[np.intp] | None = None) -> NDArray[np.int64]:
        """Results, int64 (len(requests),): bytes read or written, or a negative error number, by position in the
        requests; 0 for those not chosen."""
        pointers = requests.pointers(which)
        outcome = np.zeros(len(requests), np.int64)
        for first in range(0, len(pointers), CHUNK):
            self._carry_out(pointers[first : first + CHUNK], outcome)
        return outcome

    def _carry_out(self, pointers: NDArray[np.uint64], outcome: NDArray[np.int64]) -> None:
        done, count = 0, len(pointers)
        while done < count:
            address = ctypes.c_void_p(pointers.ctypes.data + 8 * done)
            done += self._checked(
                self._call(ctypes.c_long(self._submit), self._context, ctypes.c_long(count - done), address)
            )
        results = ctypes.c_void_p(self._results.ctypes.data)
        fetched = self._checked(
            self._call(ctypes.c_long(self._getevents), self._context, ctypes.c_long(count), ctypes.c_long(count),
                       results, None)
        )  # fmt: skip
        taken = self._results[:fetched]
        outcome[taken["data"].astype(np.intp)] = taken["result"]

    @staticmethod
    def _checked(answer: int) -> int:
        if answer < 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))
        return answer
