"""Target: session descriptions, offers and answers. Only MalformedMessage and OfferError escape; what was read is
written so that it reads the same; an answer has the offer's sections and sends nowhere that packets must not go."""

import ipaddress
import random

from sipconf.sip import crypto_sdp
from sipconf.sip.audio_sdp import MAX_PTIME_MS, MIN_PTIME_MS
from sipconf.sip.offer import (
    Capabilities,
    Credentials,
    Format,
    Kind,
    LocalMedia,
    Negotiated,
    OfferError,
    Protection,
    choose,
    make_answer,
    make_offer,
    read_answer,
)
from sipconf.sip.sdp import MAX_SDP, SessionDescription
from sipconf.sip.tokens import MalformedMessage
from tests.fuzz.driver import Target, expect
from tests.fuzz.families import anomaly
from tests.fuzz.fields import sdp_fields, spoil
from tests.fuzz.mutation import mutate
from tests.fuzz.seeds import DESCRIPTIONS, corpus

CAPABILITIES = Capabilities(
    (Format("PCMU", 8000, 0), Format("PCMA", 8000, 8), Format("opus", 48000, 96, "useinbandfec=1"))
)
LOCAL = LocalMedia(
    "192.0.2.1", 10000, 10001, 1, 1, crypto=crypto_sdp.fresh_of_all(random.Random(1)),
    ice=Credentials("ours", "aPasswordOf24Characters+"), candidates=(("192.0.2.1", 10000),),
    fingerprint=("sha-256", ":".join(["5E"] * 32)),
)  # fmt: skip
PROTECTIONS = (Protection(), Protection(sdes=True, webrtc=True), Protection(plain=False, sdes=True, webrtc=True))
DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")


class SdpOffer(Target):
    name = "sdp"
    ending = "sdp"

    def __init__(self) -> None:
        self._ours = [make_offer(CAPABILITIES, LOCAL, kind=kind) for kind in Kind]
        self._seeds = (*DESCRIPTIONS, *self._ours, *corpus("sdp/*"))
        self._fields = [sdp_fields(seed) for seed in self._seeds]
        self._running = choose(DESCRIPTIONS[0], CAPABILITIES)
        self._browser = choose(self._ours[-1], CAPABILITIES, None, PROTECTIONS[1])

    def make(self, rng: random.Random) -> bytes:
        at = int(rng.random() * len(self._seeds))
        data = self._seeds[at]
        if rng.random() < 0.6:
            return spoil(rng, data, self._fields[at], anomaly(rng))
        return mutate(rng, data, self._seeds)

    def judge(self, data: bytes) -> None:
        try:
            description = SessionDescription.parse(data)
        except MalformedMessage:
            return
        written = description.encode()
        if len(written) <= MAX_SDP:  # letters that are no UTF-8 grow
            expect(SessionDescription.parse(written) == description, "another description")
        for running, protection in ((None, PROTECTIONS[0]), (None, PROTECTIONS[1]), (None, PROTECTIONS[2]),
                                    (self._running, PROTECTIONS[0]), (self._browser, PROTECTIONS[1])):
            try:
                agreed = choose(data, CAPABILITIES, running, protection)
            except OfferError as error:
                expect(400 <= error.status < 500 and "\n" not in error.reason, "another refusal")
                continue
            _judge_agreed(agreed)
            expect(agreed.kind is not Kind.PLAIN or protection.plain, "in the clear though it must not be")
            expect(running is None or agreed.kind is running.kind or running is self._running, "less than before")
            answer = SessionDescription.parse(make_answer(agreed, LOCAL))
            kinds = [[media.kind.lower() for media in each.media] for each in (description, answer)]
            expect(kinds[0] == kinds[1], "other sections")
            expect(sum(media.port != 0 for media in answer.media) <= 1, "two streams taken")
        for kind, offered in zip(Kind, self._ours, strict=True):
            try:
                agreed = read_answer(CAPABILITIES, offered, data)
            except OfferError:
                continue
            _judge_agreed(agreed)
            expect(agreed.kind is kind, "an answer of another kind than the offer")


def _judge_agreed(agreed: Negotiated) -> None:
    expect(agreed.direction in DIRECTIONS, "no such direction")
    expect(MIN_PTIME_MS <= agreed.ptime_ms <= MAX_PTIME_MS, "a packet length beyond the limits")
    for remote in (agreed.remote, agreed.remote_rtcp):
        if remote is not None:
            address = ipaddress.ip_address(remote[0])
            expect(not address.is_multicast and not address.is_unspecified, "packets for many")
            expect(0 <= remote[1] <= 65535, "no such port")
    types = [each.payload_type for each in (*agreed.rx_formats, agreed.tx_format)]
    expect(all(0 <= number <= 127 for number in types), "no such payload type")
    expect(agreed.telephone_event is None or 0 <= agreed.telephone_event <= 127, "no such payload type of digits")
