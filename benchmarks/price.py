"""The packet price (a): what the kernel takes of the CPU for one sendto and one recvfrom of a datagram of 172 octets.

The measure that carries over from machine to machine: the peers' costs are known as multiples of it (PEERS, measured
with the same load on one machine). It is the system time of a loop of such pairs over loopback; the interpreter's own
time for the two calls, which a bridge in C would not pay, is left out.
"""

import resource
import socket
import time

SECONDS = 1.0
OCTETS = 172
PAIRS = 500
"""Pairs between two looks at the clock."""
FRAMES_PER_SECOND = 50
PEERS = {
    "one room": {"asterisk": 31.0, "janus": 31.0, "freeswitch": 66.0},
    "rooms of 5": {"asterisk": 44.0, "janus": 41.0, "freeswitch": 73.0},
}
"""Multiples of (a) per participant and frame: Asterisk 22.10 ConfBridge, Janus 1.1.2 AudioBridge, FreeSWITCH 1.11.2
mod_conference; one room of 400 to 500 people, all talking, and 200 people in rooms of five."""


def packet_price(seconds: float = SECONDS) -> float:
    """(a) in microseconds, here and now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:  # fmt: skip
        sender.bind(("127.0.0.1", 0))
        receiver.bind(("127.0.0.1", 0))
        where, data = receiver.getsockname(), bytes(OCTETS)
        pairs, end = 0, time.monotonic() + seconds
        before = resource.getrusage(resource.RUSAGE_SELF).ru_stime
        while time.monotonic() < end:
            for _ in range(PAIRS):
                sender.sendto(data, where)
                receiver.recvfrom(2048)
            pairs += PAIRS
        return (resource.getrusage(resource.RUSAGE_SELF).ru_stime - before) / pairs * 1e6


def in_prices(cpu_ms_per_participant_s: float, price_us: float) -> float:
    """A participant's cost per frame as a multiple of (a)."""
    return cpu_ms_per_participant_s * 1e3 / FRAMES_PER_SECOND / price_us
