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
READ, WRITE = 0, 1

REQUEST = np.dtype(
    [
        ("data", "u8"), ("key", "<u4"), ("flags", "<i4"), ("opcode", "<u2"), ("priority", "<i2"), ("fd", "<u4"),
        ("buffer", "u8"), ("bytes", "u8"), ("offset", "<i8"), ("reserved", "u8"), ("more", "<u4"), ("event", "<u4"),
    ]
)  # fmt: skip
RESULT = np.dtype([("data", "u8"), ("request", "u8"), ("result", "<i8"), ("result2", "<i8")])
_POINTER_BYTES = 8


class Requests:
    """Prepared reads or writes, one per socket: may be carried out again and again, and aimed elsewhere.

    fds, buffers, sizes: columns that may be written. numbers: of the requests. operation: READ or WRITE.
    """

    def __init__(
        self, operation: int, fds: NDArray[np.int64], buffers: NDArray[np.uint64], sizes: int | NDArray[np.int64]
    ) -> None:
        self._requests = np.zeros(len(fds), REQUEST)
        self._requests["opcode"] = operation
        self.numbers = np.arange(len(fds))
        self._requests["data"] = self.numbers
        self.fds, self.buffers, self.sizes = (self._requests[name] for name in ("fd", "buffer", "bytes"))
        self.sizes[:] = sizes
        self.fds[:] = fds
        self.buffers[:] = buffers
        self._addresses = self._requests.ctypes.data + np.arange(len(fds), dtype=np.uint64) * REQUEST.itemsize
        self.pointers = self._addresses.ctypes.data

    def __len__(self) -> int:
        return len(self._requests)


class BatchCalls:
    """One AIO context. Raises OSError where the system has none to give."""

    def __init__(self) -> None:
        if platform.machine() not in _NUMBERS:
            raise OSError(f"no system call numbers for {platform.machine()}")
        self._setup, self._getevents, self._submit, self._destroy = _NUMBERS[platform.machine()]
        self._call = ctypes.CDLL(None, use_errno=True).syscall
        # All as machine words, prepared once: ctypes then converts plain ints, five times faster than objects.
        self._call.argtypes = [ctypes.c_long] * 6
        self._call.restype = ctypes.c_long
        context = ctypes.c_ulong(0)
        self._checked(self._call(self._setup, CHUNK, ctypes.addressof(context), 0, 0, 0))
        self._context = context.value
        self._results = np.zeros(CHUNK, RESULT)
        self._numbers = self._results["data"].view(np.int64)
        self._answers = self._results["result"]
        self._results_at = self._results.ctypes.data

    def close(self) -> None:
        """Give the context back."""
        self._checked(self._call(self._destroy, self._context, 0, 0, 0, 0))

    def carry_out(self, requests: Requests, count: int) -> NDArray[np.int64]:
        """Results of the first count requests, int64 (count,): bytes read or written, or a negative error number."""
        outcome = np.empty(count, np.int64)
        for first in range(0, count, CHUNK):
            number = min(CHUNK, count - first)
            self._submit_all(requests.pointers + _POINTER_BYTES * first, number)
            fetched = self._checked(
                self._call(self._getevents, self._context, number, number, self._results_at, 0)
            )
            asked = requests.numbers[first : first + number]
            if fetched == number and (self._numbers[:number] == asked).all():
                outcome[first : first + number] = self._answers[:number]  # in order, as whatever is done at once is
            else:
                outcome[self._numbers[:fetched]] = self._answers[:fetched]
        return outcome

    def _submit_all(self, pointers: int, count: int) -> None:
        done = 0
        while done < count:
            done += self._checked(
                self._call(self._submit, self._context, count - done, pointers + _POINTER_BYTES * done, 0, 0)
            )

    @staticmethod
    def _checked(answer: int) -> int:
        if answer < 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))
        return answer
