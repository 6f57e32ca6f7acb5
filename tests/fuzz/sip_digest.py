"""Target: challenges and credentials. Only PeerError escapes from reading them, nothing from verifying; nobody is
believed who did not know the password, and no answer is good twice."""

import random

from sipconf.errors import PeerError
from sipconf.sip.digest import (
    MAX_CREDENTIALS_CHARS,
    MAX_PARAMETERS,
    Authenticator,
    Challenge,
    Denied,
    Verified,
    answer_challenge,
    parse_parameters,
    strongest_challenge,
)
from sipconf.sip.headers import Headers
from sipconf.sip.message import Request
from sipconf.sip.uri import SipUri
from tests.fuzz.driver import Target, expect
from tests.fuzz.families import anomaly
from tests.fuzz.fields import sip_fields, spoil
from tests.fuzz.mutation import mutate

REALM, USER, PASSWORD = "example.test", "101", "secret"
TARGET = SipUri.parse("sip:2001@example.test")
CHALLENGES = (
    b'Digest realm="them", domain="sip:x", nonce="n", opaque="o", stale=true, algorithm=SHA-256, qop="auth,auth-int"',
    b'Digest realm="a \\"b\\"", nonce="", algorithm=MD5-sess, qop="auth-int"',
    b"digest realm=them,nonce=n",
)


class SipDigest(Target):
    name = "digest"
    ending = "value"

    def __init__(self) -> None:
        self._challenges = [(value, sip_fields(b"X: " + value)) for value in CHALLENGES]

    def begin(self, rng: random.Random) -> None:
        self._now = 1000.0
        self._authenticator = Authenticator(
            REALM, lambda user, source: PASSWORD if user == USER else None, ("SHA-256", "MD5"),
            random.Random(rng.getrandbits(32)),
        )

    def make(self, rng: random.Random) -> bytes:
        """A right answer to a new challenge, most often spoiled; now and then a challenge of a peer."""
        self._now += rng.choice((0.0, 0.1, 0.1, 400.0))
        if rng.random() < 0.25:
            data, fields = rng.choice(self._challenges)
        else:
            data = self._answer(rng, PASSWORD if rng.random() < 0.7 else "guess")
            if rng.random() < 0.1:
                return data
            fields = sip_fields(b"X: " + data)
        if rng.random() < 0.6:
            return spoil(rng, b"X: " + data, fields, anomaly(rng))[3:]
        return mutate(rng, data, CHALLENGES)

    def _answer(self, rng: random.Random, password: str) -> bytes:
        challenge = rng.choice(self._verdict(Headers()).values)
        if rng.random() < 0.3:
            challenge = challenge.replace(', qop="auth"', "")
        return answer_challenge(
            challenge, method="INVITE", uri=str(TARGET), username=USER, password=password, cnonce="c"
        ).encode()

    def _verdict(self, headers: Headers) -> Verified | Challenge | Denied:
        return self._authenticator.verify(Request("INVITE", TARGET, headers), self._now, "192.0.2.9")

    def judge(self, data: bytes) -> None:
        text = data.decode("latin-1").replace("\r", " ").replace("\n", " ")
        self._judge_read(text)
        proof = Headers([("Authorization", text)])
        verdict = self._verdict(proof)
        if isinstance(verdict, Verified):
            expect(verdict.user == USER, "somebody without a password was believed")
            expect(not isinstance(self._verdict(proof), Verified), "an answer was good twice")
        elif isinstance(verdict, Challenge):
            expect(len(verdict.values) == 2 and "\n" not in "".join(verdict.values), "another challenge")
        else:
            expect(isinstance(verdict, Denied) and verdict.status == 400, "another verdict")

    def _judge_read(self, text: str) -> None:
        try:
            scheme, parameters = parse_parameters(text)
            expect(len(text) <= MAX_CREDENTIALS_CHARS and len(parameters) <= MAX_PARAMETERS, "more than the limits")
            expect(scheme == "digest" or not parameters, "parameters of another scheme")
            value = answer_challenge(
                strongest_challenge([text]), method="INVITE", uri="sip:x", username=USER, password=PASSWORD, cnonce="c"
            )
        except PeerError:
            return
        if len(value) > MAX_CREDENTIALS_CHARS:  # backslashes of a long realm double
            return
        again = parse_parameters(value)[1]
        expect(again["username"] == USER and again["nonce"] == parameters["nonce"], "an answer that does not read back")

    def end(self) -> None:
        """A right answer that nobody touched is still believed."""
        answer = self._answer(random.Random(0), PASSWORD)
        verdict = self._verdict(Headers([("Authorization", answer.decode())]))
        expect(isinstance(verdict, Verified), "the user is not believed any more")
