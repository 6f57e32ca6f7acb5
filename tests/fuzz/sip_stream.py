"""Target: a stream of messages in pieces. However it is cut, the same messages, pongs and faults come out."""

import random

from sipconf.sip.framing import StreamFramer
from sipconf.sip.parser import parse_message
from sipconf.sip.tokens import MAX_MESSAGE, MalformedMessage
from tests.fuzz.driver import Target, expect
from tests.fuzz.seeds import MESSAGES, corpus
from tests.fuzz.sip_parser import SipSeeds

GLUE = (b"", b"", b"", b"\r\n", b"\r\n\r\n", b"\r\n\r\n\r\n\r\n", b"\n", b"\0", b" ")
Outcome = tuple[list[bytes], int, int | None]


class SipStream(Target):
    name = "stream"
    ending = "stream"

    def __init__(self) -> None:
        self._seeds = SipSeeds(MESSAGES + corpus("rfc4475/*", "phones/*"))
        self._rng = random.Random(0)

    def begin(self, rng: random.Random) -> None:
        self._rng = random.Random(rng.getrandbits(32))

    def make(self, rng: random.Random) -> bytes:
        stream = b""
        for _ in range(rng.choice((1, 1, 2, 3))):
            message = rng.choice(MESSAGES) if rng.random() < 0.5 else self._seeds.make(rng)
            stream += rng.choice(GLUE) + message
        return stream + rng.choice(GLUE)

    def judge(self, data: bytes) -> None:
        rng = self._rng
        whole = _framed([data])
        at = sorted(int(rng.random() * (len(data) + 1)) for _ in range(rng.choice((1, 2, 5, 20))))
        expect(_framed([data[a:b] for a, b in zip([0, *at], [*at, len(data)], strict=True)]) == whole, f"cut at {at}")
        if len(data) < 1500:
            for step, first in ((1, 0), (2, 0), (2, 1)):
                pieces = [data[:first], *(data[i : i + step] for i in range(first, len(data), step))]
                expect(_framed(pieces) == whole, f"cut every {step} octets from {first}")
        for message in whole[0]:
            try:
                parse_message(message)
            except MalformedMessage:
                continue


def _framed(pieces: list[bytes]) -> Outcome:
    framer = StreamFramer()
    messages: list[bytes] = []
    try:
        for piece in (*pieces, b""):
            messages += framer.feed(piece)
            expect(framer.pending <= MAX_MESSAGE + len(piece), "more is held than a message may have")
    except MalformedMessage as fault:
        return messages, framer.pongs, fault.status
    return messages, framer.pongs, None
