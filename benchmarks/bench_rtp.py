"""The array work of rtp by stage: microseconds per leg and tick, one 20 ms packet from every leg, no sockets."""

import time

import numpy as np

from sipconf.rtp.formats import lookup
from sipconf.rtp.jitter import JitterBank
from sipconf.rtp.packet import ROW, parse
from sipconf.rtp.streams import Streams
from sipconf.rtp.transmit import Sender

LEGS = (100, 500, 1000, 2000)
STAGES = ("parse", "streams", "put", "take", "packetise")
WARM_TICKS, TICKS = 100, 200


def measure(legs: int) -> dict[str, float]:
    """Median seconds per tick of each stage with so many PCMU legs."""
    streams, bank = Streams(legs), JitterBank(lookup("PCMU", 8000), legs)
    sender = Sender(bank.format, legs)
    for leg in range(legs):
        streams.open(leg)
        streams.connect(
            leg, remote=("127.0.0.1", 4000), signalling_host="127.0.0.1", clock_rate=8000, kinds={0: 0},
            telephone_event=101, remote_rtcp=None, now=0.0,
        )  # fmt: skip
        bank.open(leg)
        sender.open(leg, payload_type=0, sequence=leg, timestamp=leg, ssrc=leg)
    block, lengths = np.zeros((legs, ROW), np.uint8), np.full(legs, 172)
    words = block.view(">u4")
    slots = np.random.default_rng(1).permutation(legs)
    sending = np.ones(legs, bool)
    spent: list[list[float]] = []
    for tick in range(WARM_TICKS + TICKS):
        words[:, 0], words[:, 1], words[:, 2] = 2 << 30 | (65500 + tick) & 0xFFFF, 160 * tick, 5
        marks = [time.perf_counter()]
        parsed = parse(block, lengths)
        marks.append(time.perf_counter())
        received = streams.receive(slots, parsed, 0.02 * tick)
        marks.append(time.perf_counter())
        for batch in received.batches:
            bank.put(batch.slots, batch, block)
        marks.append(time.perf_counter())
        taken = bank.take(legs)
        marks.append(time.perf_counter())
        sender.packetise(taken.codes, sending)
        marks.append(time.perf_counter())
        spent.append(np.diff(marks).tolist())
    return dict(zip(STAGES, np.median(spent[WARM_TICKS:], axis=0).tolist(), strict=True))


def run() -> list[dict]:
    """Rows of {name, value, unit} for every stage and number of legs, and their sums."""
    rows = []
    for legs in LEGS:
        stages = measure(legs)
        for name, seconds in (*stages.items(), ("all", sum(stages.values()))):
            value = round(seconds / legs * 1e6, 3)
            rows.append({"name": f"rtp {name} N={legs}", "value": value, "unit": "us/leg/tick"})
    return rows


if __name__ == "__main__":
    for row in run():
        print(f"{row['name']:28} {row['value']:8.3f} {row['unit']}")
