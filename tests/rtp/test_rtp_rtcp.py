"""RTCP: bytes worked out by hand, golden compounds, and what a report makes of a stream."""

import math
import random

import numpy as np
import pytest

from sipconf.errors import PeerError
from sipconf.rtp.packet import ROW, parse
from sipconf.rtp.rtcp import LOSS_WEIGHT, NTP_EPOCH, PATIENCE, Reports, Sent
from sipconf.rtp.rtcp_packets import (
    Bye,
    ReceiverReport,
    ReportBlock,
    SenderInfo,
    SenderReport,
    build_bye,
    build_reports,
    parse_compound,
)
from sipconf.rtp.streams import Streams
from tests.corpus.index import ABSENT, CORPORA
from tests.sim.rtcp_reports import build_report

CORPUS = CORPORA / "rtp"
PEER = 0x11223344


def block_of(datagrams):
    block = np.zeros((len(datagrams), ROW), np.uint8)
    for row, datagram in zip(block, datagrams, strict=True):
        row[: len(datagram)] = list(datagram)
    return block, np.array([len(one) for one in datagrams], np.int64)


def sent(packets=0, octets=0, timestamp=0):
    return Sent(*(np.array([figure]) for figure in (packets, octets, timestamp)))


def leg_that_heard(sequences, now=1.0):
    streams = Streams(4)
    streams.open(0)
    streams.connect(
        0, remote=("192.0.2.1", 4000), signalling_host="192.0.2.1", clock_rate=8000, kinds={0: 0},
        telephone_event=None, remote_rtcp=("192.0.2.1", 4001), now=0.0,
    )
    hear(streams, sequences, now)
    return streams


def hear(streams, sequences, now):
    for number in sequences:
        header = bytes((0x80, 0)) + (number % 65536).to_bytes(2) + (160 * number).to_bytes(4) + PEER.to_bytes(4)
        block, lengths = block_of([header + bytes(160)])
        streams.receive(np.zeros(1, np.intp), parse(block, lengths), now + 0.02 * number)


def test_a_report_of_losses_is_byte_for_byte_as_worked_out_by_hand():
    # Packets 7, 8, 9 serve probation; counted are 10 to 19 without 12 and 13: 10 expected, 8 come, 2 lost.
    streams = leg_that_heard([*range(7, 12), *range(14, 20)])
    reports = Reports(4, random.Random(1))
    reports.open(0, 0.0, "me@here", 0xAABBCCDD)
    ntp = bytes.fromhex("00000001 80000000".replace(" ", ""))
    sender_report = bytes.fromhex("80c80006 11223344") + ntp + bytes(12)
    assert not reports.receive(0, sender_report, 3.0, streams)
    (got,) = reports.compose([0], 5.5, 0.0, streams=streams, sent=sent())
    by_hand = (
        "81c90007 aabbccdd"
        "11223344 33000002 00000013 00000000"  # 2 of 10 lost: 51/256; two in all; highest 19; no jitter
        "00018000 00028000"  # middle of that NTP timestamp; 2.5 s ago
        "81ca0004 aabbccdd 0107 6d654068657265 000000"
    )
    assert got.hex() == by_hand.replace(" ", "")
    hear(streams, range(20, 24), 1.0)
    (report, _) = parse_compound(*reports.compose([0], 6.0, 0.0, streams=streams, sent=sent()))
    assert report.blocks[0].fraction == 0 and report.blocks[0].lost == 2


def test_a_sender_report_and_the_round_trip_it_brings_back():
    streams = Streams(4)
    reports = Reports(4, random.Random(1))
    reports.open(2, 0.0, "x", 77)
    (data,) = reports.compose([2], 100.0, 1000.5, streams=streams, sent=sent(3, 480, 0x1_0000_0005))
    assert data[:28].hex() == (
        "80c80006" "0000004d" + f"{NTP_EPOCH + 1000:08x}" + "80000000" "00000005" "00000003" "000001e0"
    )
    middle = int.from_bytes(data[10:14])
    block = (77).to_bytes(4) + bytes((64, 0, 0, 1)) + bytes(8) + middle.to_bytes(4) + (65536).to_bytes(4)
    answer = bytes.fromhex("81c9000700000009") + block
    assert math.isnan(reports.rtt[2])
    reports.receive(2, answer, 101.25, streams)
    assert reports.rtt[2] == pytest.approx(0.25, abs=1e-3) and reports.loss_fraction[2] == 0.25 * LOSS_WEIGHT


def test_the_losses_of_a_leg_are_what_its_peer_says_of_our_stream_smoothed():
    rng = random.Random(3)
    streams, reports, by_hand = Streams(4), Reports(1, random.Random(1)), 0.0
    reports.open(3, 0.0, "x", 77)
    for n in range(40):
        blocks = []
        for ssrc in rng.choices((77, 78, 9), k=rng.randrange(3)):
            blocks.append(ReportBlock(ssrc, rng.randrange(256), 5, 1, 0, 0, 0))
            if ssrc == 77:
                by_hand += (blocks[-1].fraction / 256 - by_hand) / 4
        info = rng.choice((None, SenderInfo(1, 2, 3, 4)))
        reports.receive(3, build_report(9, info, tuple(blocks)), n, streams)
        assert reports.loss_fraction[3] == pytest.approx(by_hand, abs=1e-6)
    assert by_hand > 0.1 and reports.loss_fraction.dtype == np.float32
    reports.open(3, 50.0, "x", 78)
    assert reports.loss_fraction[3] == 0


def test_many_at_once_read_as_one_by_one():
    rng = random.Random(4)
    ssrc, timestamp, packets, octets = np.array([[rng.getrandbits(32) for _ in range(40)] for _ in range(4)])
    words = np.array([[rng.getrandbits(32) for _ in range(6)] for _ in range(40)])
    sending, reporting = (np.array([rng.random() < 0.5 for _ in range(40)]) for _ in range(2))
    ntp = rng.getrandbits(64)
    made = build_reports(ssrc, (ntp, timestamp, packets, octets), words, sending=sending, reporting=reporting)
    for i, data in enumerate(made):
        source, loss, *rest = words[i].tolist()
        block = ReportBlock(source, loss >> 24, (loss & 0xFFFFFF ^ 0x800000) - 0x800000, *rest)
        info = SenderInfo(ntp, *(int(column[i]) for column in (timestamp, packets, octets)))
        assert data == build_report(int(ssrc[i]), info if sending[i] else None, (block,) if reporting[i] else ()), i


def test_who_sends_nothing_more_sends_receiver_reports():
    streams = leg_that_heard(range(6))
    reports = Reports(4, random.Random(1))
    reports.open(0, 0.0, "x", 1)
    kinds = []
    for packets in (5, 9, 9, 12):
        (data,) = reports.compose([0], 1.0, 1.0, streams=streams, sent=sent(packets, 160 * packets))
        kinds.append(type(parse_compound(data)[0]))
    assert kinds == [SenderReport, SenderReport, ReceiverReport, SenderReport]


def test_only_a_bye_of_our_stream_ends_it():
    streams = leg_that_heard(range(6))
    reports = Reports(4, random.Random(1))
    reports.open(0, 0.0, "x", 1)
    empty_report = bytes.fromhex("80c90001") + PEER.to_bytes(4)
    assert not reports.receive(0, empty_report + build_bye(PEER + 1), 1.0, streams)
    assert not reports.receive(0, build_bye(PEER), 1.0, streams) and reports.bad == 1
    assert reports.receive(0, empty_report + build_bye(PEER), 1.0, streams)
    assert not reports.receive(3, empty_report + build_bye(PEER), 1.0, streams)
    ours = parse_compound(reports.compose_bye(0, 1.0, 1.0, streams=streams, sent=sent()))
    assert isinstance(ours[0], ReceiverReport) and ours[-1] == Bye((1,))


def test_reports_are_spread_and_bounded():
    reports = Reports(4, random.Random(5))
    for slot in range(400):
        reports.open(slot, 0.0, "x", slot)
    reports.close(7)
    sent = {}
    for tick in range(1000):
        due = reports.due(tick * 0.02, limit=10)
        assert len(due) <= 10
        for slot in due:
            sent.setdefault(slot, []).append(tick * 0.02)
    assert set(sent) == set(range(400)) - {7}
    for times in sent.values():
        assert times[0] <= 4.5 and all(2.4 < b - a < 8 for a, b in zip(times, times[1:], strict=False))


def test_reports_wait_for_company_but_not_for_long():
    reports = Reports(4, random.Random(5))
    for slot in range(100):
        reports.open(slot, 0.0, "x", slot)
    last = 0.0
    for tick in range(1000):
        now = tick * 0.1
        late = now - reports._due_at.min()
        if due := reports.due(now, limit=64, together=20):
            assert len(due) >= 20 or late >= PATIENCE
            last = now
        else:
            assert late < PATIENCE, "nobody waits longer"
    assert last > 90


@pytest.mark.parametrize(
    "text",
    [
        "", "80c9", "80c90001", "40c9000100000001", "80ca0000", "81c9000100000001", "80c8000100000001",
        "a0c9000200000001" "00000000", "a0c9000200000001" "000000ff", "80c9000100000001" "81cb0000",
        "80c9000100000001" "81ca0001" "00000001", "80c9000100000001" "81ca0002" "00000001" "01ff6161",
    ],
)  # fmt: skip
def test_what_does_not_add_up_is_refused(text):
    with pytest.raises(PeerError):
        parse_compound(bytes.fromhex(text))


def test_random_bytes_never_do_worse_than_a_peer_error():
    rng = random.Random(3)
    good = bytes.fromhex("80c9000100000001" "81ca0002" "00000001" "01016100") + build_bye(5)
    refused = 0
    for _ in range(3000):
        data = bytearray(good)
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            parse_compound(bytes(data[: rng.randrange(len(data) + 1)]))
        except PeerError:
            refused += 1
    assert 0 < refused < 3000


@pytest.mark.skipif(not CORPUS.is_dir(), reason=ABSENT)
def test_golden_compounds():
    (report,) = parse_compound((CORPUS / "rtcp_rr.bin").read_bytes())
    assert isinstance(report, ReceiverReport) and report.ssrc == 817267719
    assert (report.blocks[0].ssrc, report.blocks[0].highest, report.blocks[0].jitter) == (1200895919, 630, 1906)
    (report,) = parse_compound((CORPUS / "rtcp_sr.bin").read_bytes())
    assert isinstance(report, SenderReport) and report.info.ntp == 16016567581311369308
    for name in ("rtcp_rr_invalid.bin", "rtcp_sr_invalid.bin", "rtcp_bye_invalid.bin"):
        with pytest.raises(PeerError):
            parse_compound((CORPUS / name).read_bytes())
