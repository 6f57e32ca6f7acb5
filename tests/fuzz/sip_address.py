"""Target: the values of headers. Only MalformedMessage escapes; what was read is written so that it reads the same."""

import random
from typing import Any

from sipconf.sip.dtmf_info import read_digit
from sipconf.sip.headers import CSeq, Via
from sipconf.sip.tokens import MalformedMessage, parse_params, split_list, write_params
from sipconf.sip.uri import NameAddr, SipUri
from tests.fuzz.driver import Broken, Target, expect
from tests.fuzz.families import anomaly
from tests.fuzz.fields import sip_fields, spoil
from tests.fuzz.mutation import mutate
from tests.fuzz.seeds import ADDRESS

VALUES = tuple(text.encode() for text in (
    ADDRESS, "sip:2001*4321@192.0.2.1:5060;transport=udp?a=b&c=d", "sips:[2001:db8::9]:5061;lr",
    "tel:+32-475;phone-context=x",
    "Alice M <sip:a%20b:p%3Aw@host.example>;tag=1", "sip:a@b;tag=x;expires=5", "urn:service:sos", "<tel:%2B3212>;q=0.1",
    "SIP/2.0/UDP 203.0.113.9:5060;branch=z9hG4bK7;rport;received=203.0.113.9", "SIP / 2.0 / TLS [2001:db8::9];ttl=1",
    "4711 INVITE", ';a="b;c\\"d";e;f=g', '<sip:a@b>, "x, y" <sip:c@d>;q=1, e <f:g>', "Signal=5\r\nDuration=160\r\n",
))
SHAPES: tuple[Any, ...] = (SipUri, NameAddr, Via, CSeq)


class SipAddress(Target):
    name = "address"
    ending = "value"

    def __init__(self) -> None:
        self._fields = [sip_fields(b"X: " + value) for value in VALUES]

    def make(self, rng: random.Random) -> bytes:
        at = int(rng.random() * len(VALUES))
        data = VALUES[at]
        if rng.random() < 0.5:
            return spoil(rng, b"X: " + data, self._fields[at], anomaly(rng))[3:]
        return mutate(rng, data, VALUES)

    def judge(self, data: bytes) -> None:
        for kind in ("application/dtmf-relay", "application/dtmf"):
            digit = read_digit(kind, data)
            expect(digit is None or digit in "0123456789*#ABCD", "a digit that is no key")
        try:
            text = data.decode()
        except UnicodeDecodeError:
            text = data.decode("latin-1")
        text = text.replace("\r", " ").replace("\n", " ")  # no value has a line break: the parser has seen to that
        for shape in SHAPES:
            try:
                value = shape.parse(text)
            except MalformedMessage:
                continue
            expect(_again(shape, str(value)) == value, f"another {shape.__name__}")
            expect("\r" not in str(value) and "\n" not in str(value), "a new line break")
        try:
            for element in split_list(text):
                params = parse_params(element)
                expect(parse_params(write_params(params)) == params, "other parameters")
        except MalformedMessage:
            return


def _again(shape: Any, text: str) -> Any:
    try:
        return shape.parse(text)
    except MalformedMessage as fault:
        raise Broken(f"a {shape.__name__} that we wrote cannot be read: {fault.reason}") from fault
