"""The floor under every figure of the plane: one process that echoes datagrams and reads nothing in them.

Every 20 ms it takes all that waits and sends it back: what the kernel alone costs for the same packets, as many, of the
same size, in the same 20 ms rhythm, at the same priority and on the same core as the plane's worker. On one port, with
recvmmsg and sendmmsg; the same with libsrtp in between, both ways, as browsers' packets go; or on a port for each call,
with the plane's own batches. `python -m benchmarks.floor [--core N] [--calls | --srtp]` reads the callers' addresses,
prints the port of each of them, and runs until its standard input closes.
"""

import argparse
import json
import resource
import select
import sys
import time

import numpy as np
from pylibsrtp import Policy, Session
from pylibsrtp._binding import lib

from benchmarks.batched import Batch, open_socket
from benchmarks.placement import settle
from sipconf.rtp.edge.batch import READ, WRITE, BatchCalls, Requests
from sipconf.rtp.srtp import Lines

PERIOD = 0.02
BATCH = 1024
ROW_BYTES = 512


class OnePort:
    """recvmmsg and sendmmsg on one socket."""

    def __init__(self) -> None:
        self.sockets = [open_socket("127.0.0.1", buffer_bytes=32 << 20)]
        self._batch = Batch(BATCH, ROW_BYTES)

    def send_back(self) -> None:
        """All that waits, to where it came from."""
        batch, descriptor = self._batch, self.sockets[0].fileno()
        while count := batch.receive(descriptor):
            self._pass_on(count)
            batch.send_length[:count] = batch.length[:count]
            batch.send(descriptor, count)
            batch.send_length[:count] = ROW_BYTES
            if count < BATCH:
                break


    def _pass_on(self, count: int) -> None:
        """What happens to count packets in between: nothing."""


class Encrypted(OnePort):
    """And every packet goes through libsrtp once in each direction, by the profile that browsers and we agree on."""

    PROFILE, KEY_OCTETS = Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 16 + 12

    def __init__(self) -> None:
        super().__init__()
        self._lines = Lines(self._batch.data)
        self._sessions: dict[int, tuple[Session, Session]] = {}

    def _pass_on(self, count: int) -> None:
        lines = self._lines
        sources = self._batch.data[:count].view(">u4")[:, 2].tolist()
        sessions = [self._sessions.get(source) or self._open(source) for source in sources]
        lines.lengths[:count] = self._batch.length[:count]
        for direction, call in enumerate((lib.srtp_protect, lib.srtp_unprotect)):
            handles = [pair[direction]._srtp[0] for pair in sessions]
            if any(list(map(call, handles, lines.pointers, lines.length_pointers))):
                raise RuntimeError("libsrtp refuses a packet")

    def _open(self, source: int) -> tuple[Session, Session]:
        key = bytes(self.KEY_OCTETS)
        outbound, inbound = (Session(Policy(key=key, ssrc_type=kind, srtp_profile=self.PROFILE))
                             for kind in (Policy.SSRC_ANY_OUTBOUND, Policy.SSRC_ANY_INBOUND))
        return self._sessions.setdefault(source, (outbound, inbound))


class PortEach:
    """A connected socket for each caller, read and written as the plane does it."""

    def __init__(self, callers: list[tuple[str, int]]) -> None:
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        self.sockets = [open_socket("127.0.0.1") for _ in callers]
        for one, caller in zip(self.sockets, callers, strict=True):
            one.connect(caller)
        self._calls, self._rows = BatchCalls(), np.zeros((len(callers), ROW_BYTES), np.uint8)
        self._descriptors = np.array([one.fileno() for one in self.sockets])
        steps = np.arange(len(callers), dtype=np.uint64)
        self._places = self._rows.ctypes.data + steps * np.uint64(ROW_BYTES)
        self._reads = Requests(READ, self._descriptors, self._places, ROW_BYTES)
        self._writes = Requests(WRITE, self._descriptors, self._places, ROW_BYTES)

    def send_back(self) -> None:
        """What each has brought, to where it came from."""
        lengths = self._calls.carry_out(self._reads, len(self._reads))
        came = np.flatnonzero(lengths > 0)
        count, writes = len(came), self._writes
        if count:
            writes.fds[:count], writes.buffers[:count] = self._descriptors[came], self._places[came]
            writes.sizes[:count] = lengths[came]
            self._calls.carry_out(writes, count)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--core", type=int)
    parser.add_argument("--calls", action="store_true", help="a port for each of them")
    parser.add_argument("--srtp", action="store_true", help="encrypted and decrypted in between")
    arguments = parser.parse_args()
    settle(arguments.core)
    callers = [(str(host), int(port)) for host, port in json.loads(sys.stdin.readline())]
    echo = PortEach(callers) if arguments.calls else Encrypted() if arguments.srtp else OnePort()
    ports = [one.getsockname()[1] for one in echo.sockets]
    print(json.dumps(ports if arguments.calls else ports * len(callers)), flush=True)
    due = time.monotonic()
    while not select.select([sys.stdin], [], [], 0)[0]:
        echo.send_back()
        due = max(due + PERIOD, time.monotonic() - PERIOD)
        time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    main()
