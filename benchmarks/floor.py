"""The floor under every figure of the plane: one process that echoes datagrams on one port and reads nothing in
them.

Every 20 ms it takes all that waits with recvmmsg and sends it back with sendmmsg: what the kernel alone costs for
the same packets: as many, of the same size, in the same 20 ms rhythm, at the same priority and on the same core as the
plane's worker. `python -m benchmarks.floor [CORE]` prints its port and runs until its standard input closes.
"""

import select
import sys
import time

from benchmarks.batched import Batch, open_socket
from benchmarks.placement import settle

PERIOD = 0.02
BATCH = 1024
ROW_BYTES = 512


def main() -> None:
    settle(int(sys.argv[1]) if len(sys.argv) > 1 else None)
    echo = open_socket("127.0.0.1", buffer_bytes=32 << 20)
    print(echo.getsockname()[1], flush=True)
    batch = Batch(BATCH, ROW_BYTES)
    descriptor = echo.fileno()
    due = time.monotonic()
    while not select.select([sys.stdin], [], [], 0)[0]:
        while count := batch.receive(descriptor):
            batch.send_length[:count] = batch.length[:count]
            batch.send(descriptor, count)
            batch.send_length[:count] = ROW_BYTES
            if count < BATCH:
                break
        due = max(due + PERIOD, time.monotonic() - PERIOD)
        time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    main()
