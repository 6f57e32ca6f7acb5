"""Target: RTCP, as one packet and as a compound. Only PeerError escapes from the reader, nothing from the reports,
whose figures stay within sense whatever a peer says."""

import math
import random

import numpy as np

from sipconf.errors import PeerError
from sipconf.rtp.rtcp import Reports, Sent
from sipconf.rtp.rtcp_packets import (
    MAX_PACKETS,
    Bye,
    ReceiverReport,
    SenderReport,
    SourceDescription,
    parse_compound,
)
from sipconf.rtp.streams import Streams
from tests.fuzz.driver import Target, expect
from tests.fuzz.mutation import mutate
from tests.fuzz.seeds import RTCP, corpus
from tests.sim.rtcp_reports import build_report

OURS = 5
LONGEST = 2048
NOTHING_SENT = Sent(*np.zeros((3, 1), np.int64))


class RtcpCompound(Target):
    name = "rtcp"
    ending = "rtcp"

    def __init__(self) -> None:
        self._seeds = RTCP + corpus("rtp/rtcp_*.bin", "fuzz_seeds/janus/rtcp_fuzzer/*/*")
        self._streams = Streams(2)

    def begin(self, rng: random.Random) -> None:
        self._now = 100.0
        self._reports = Reports(2, random.Random(0))
        for slot in range(2):
            self._reports.open(slot, self._now, "cname", OURS)
        self._streams.started[0], self._streams.ssrc[0] = True, OURS
        self._reports.compose([0], self._now, 1.8e9, streams=self._streams, sent=NOTHING_SENT)

    def make(self, rng: random.Random) -> bytes:
        if rng.random() < 0.1:
            return rng.randbytes(int(rng.random() * 200))
        data = rng.choice(self._seeds)
        while rng.random() < 0.2:
            data += rng.choice(self._seeds)
        if rng.random() < 0.3 and len(data) >= 4:  # a length field that tells the truth
            data = data[:2] + ((len(data) + 3) // 4 - 1 & 0xFFFF).to_bytes(2) + data[4:]
        return mutate(rng, data, self._seeds)[:LONGEST]

    def judge(self, data: bytes) -> None:
        self._now += 0.01
        packets = None
        try:
            packets = parse_compound(data)
        except PeerError:
            pass
        bad = self._reports.bad
        bye = self._reports.receive(0, data, self._now, self._streams)
        expect((packets is None) == (self._reports.bad > bad), "a bad compound that was not counted, or a good one was")
        expect(not self._reports.receive(1, data, self._now, self._streams), "a leg without a source was told BYE")
        if packets is None:
            expect(not bye, "BYE in a bad compound")
            return
        expect(len(packets) <= MAX_PACKETS, "more packets than the limit")
        said = any(isinstance(one, Bye) and OURS in one.sources for one in packets)
        expect(bye == said, "BYE that was not said, or not heard")
        for packet in packets:
            _judge_packet(packet)
        rtt, lost = float(self._reports.rtt[0]), float(self._reports.loss_fraction[0])
        expect(math.isnan(rtt) or 0 <= rtt < 32768, "a round trip out of sense")
        expect(0 <= lost <= 1, "a loss out of sense")

    def end(self) -> None:
        """A report can be written still, and reads as one."""
        (written,) = self._reports.compose([0], self._now, 1.8e9, streams=self._streams, sent=NOTHING_SENT)
        (report, _) = parse_compound(written)
        expect(isinstance(report, ReceiverReport) and report.ssrc == OURS, "another report")
        expect(bool(np.all(np.isfinite(self._reports.loss_fraction))), "figures out of sense")


def _judge_packet(packet: SenderReport | ReceiverReport | SourceDescription | Bye) -> None:
    """What was read is written so that it reads the same."""
    if isinstance(packet, SenderReport):
        (again,) = parse_compound(build_report(packet.ssrc, packet.info, packet.blocks))
        expect(again == packet, "another sender report")
    elif isinstance(packet, ReceiverReport):
        (again,) = parse_compound(build_report(packet.ssrc, None, packet.blocks))
        expect(again == packet, "another receiver report")
    elif isinstance(packet, SourceDescription):
        expect(sum(len(text) + 2 for _, _, text in packet.items) <= LONGEST, "more text than octets")
    else:
        expect(len(packet.sources) <= 31, "more sources than a BYE can have")
