"""A short run of every fuzzer with fixed seeds; `make fuzz` runs them for long."""

import random
from itertools import islice

import pytest

from tests.fuzz.cost import READERS, SMALL, STEP, lines_run, peak
from tests.fuzz.driver import BATCH, Fault, Target, breaks, keep, replay, run_batch
from tests.fuzz.families import anomalies
from tests.fuzz.fields import every_spoiling, sdp_fields, sip_fields
from tests.fuzz.mutation import each_octet
from tests.fuzz.seeds import DESCRIPTIONS, MESSAGES
from tests.fuzz.sip_parser import judge_sent
from tests.fuzz.targets import TARGETS

BATCHES = {
    "parser": 16, "agent": 16, "stream": 4, "address": 40, "digest": 16, "sdp": 8, "rtp": 60, "rtcp": 60, "plane": 40,
    "opus": 10, "config": 4, "frames": 4, "dtls": 8, "stun": 60,
}
"""Batches of each target in a test run: about a second of CPU each."""
LONGEST = 3000
STRIDE = 53
"""One of so many of the product of fields and anomalies: no divisor of the number of anomalies, so that all come up."""


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_breaks(name: str) -> None:
    target = TARGETS[name]()
    faults = [fault for batch in range(BATCHES[name]) for fault in run_batch(target, 1, batch)]
    assert not faults, "\n".join(map(str, faults))


@pytest.mark.parametrize(
    ("name", "seeds", "fields"),
    [("parser", MESSAGES, sip_fields), ("sdp", DESCRIPTIONS, sdp_fields)],
    ids=["sip", "sdp"],
)
def test_every_field_stands_every_anomaly(name: str, seeds: tuple[bytes, ...], fields: object) -> None:
    target = TARGETS[name]()
    values = tuple(value for value in anomalies() if len(value) <= LONGEST)
    for seed in seeds:
        for data in islice(every_spoiling(seed, fields(seed), values), 0, None, STRIDE):
            assert breaks(target, data) is None, data


@pytest.mark.parametrize(("name", "seed"), [("parser", MESSAGES[3]), ("sdp", DESCRIPTIONS[3])], ids=["sip", "sdp"])
def test_every_octet_lost_doubled_turned_or_last(name: str, seed: bytes) -> None:
    target = TARGETS[name]()
    for data in islice(each_octet(seed), 4000):
        assert breaks(target, data) is None, data


@pytest.mark.parametrize(("name", "reader", "shapes"), READERS, ids=[name for name, _, _ in READERS])
def test_work_grows_as_the_input_does(name: str, reader: object, shapes: dict) -> None:
    for what, shape in shapes.items():
        work = [lines_run(reader, shape(times * SMALL)) for times in (1, 2, 4)]
        assert work[1] < STEP * work[0] + 100 and work[2] < STEP * work[1] + 100, (what, work)


@pytest.mark.parametrize(("name", "reader", "shapes"), READERS, ids=[name for name, _, _ in READERS])
def test_memory_is_a_small_multiple_of_the_input(name: str, reader: object, shapes: dict) -> None:
    for what, shape in shapes.items():
        data = shape(60_000)
        assert peak(reader, data) <= 8 * len(data) + 50_000, what


# --- the fuzzers themselves ------------------------------------------------------------------------------------------
class Planted(Target):
    """A target that breaks on a letter."""

    name, ending = "planted", "bin"

    def begin(self, rng: random.Random) -> None:
        self.seen = 0

    def make(self, rng: random.Random) -> bytes:
        return rng.choice((b"a", b"b", b"c" * rng.randrange(1, 200)))

    def judge(self, data: bytes) -> None:
        self.seen += 1
        assert b"c" * 190 not in data, "planted"

    def end(self) -> None:
        assert self.seen


def test_a_fault_is_found_named_replayed_and_kept(tmp_path) -> None:
    faults = [fault for batch in range(8) for fault in run_batch(Planted(), 5, batch)]
    assert faults and all(fault.alone and "planted" in fault.error for fault in faults)
    data, again = replay(Planted(), 5, faults[-1].number)
    assert data == faults[-1].data and again == faults[-1] and faults[-1].number >= BATCH
    paths = [keep(fault, tmp_path) for fault in (faults[0], faults[0], Fault("x", "sip", 1, 1, b"y", "", "", True))]
    assert [path.name for path in paths] == ["001-fuzz-planted.bin", "001-fuzz-planted.bin", "002-fuzz-x.sip"]


@pytest.mark.parametrize("line", ["Evil: x\r\n", "Via: a\nb\r\n", "To: x\r\nTo: y\r\n", "Content-Length: 9\r\n"])
def test_the_judge_of_our_messages_sees_what_does_not_belong_there(line: str) -> None:
    judge_sent(b"SIP/2.0 200 OK\r\nVia: a\r\nContent-Length: 1\r\n\r\nx")
    with pytest.raises(AssertionError):
        judge_sent(f"SIP/2.0 200 OK\r\n{line}Content-Length: 1\r\n\r\nx".encode())


def test_datagrams_of_a_block_are_kept_together() -> None:
    target = TARGETS["rtp"]()
    target.begin(random.Random(0))
    inputs = [target.make(random.Random(number)) for number in range(64)]
    for data in inputs:
        target.judge(data)
    assert target.evidence(inputs[-1]) == b"".join(inputs)
